package terminology

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
)

type published struct {
	URL       string
	Expansion struct {
		Contains []contained
		Total    int
	}
}

type contained struct {
	System, Code, Display string
	Contains              []contained
}

func flat(list []contained, visit func(contained)) {
	for _, c := range list {
		if c.Code != "" {
			visit(c)
		}
		flat(c.Contains, visit)
	}
}

// differs names value sets whose published expansion is not what their definition says, each with the reason.
var differs = map[string]string{
	"http://terminology.hl7.org/ValueSet/v2-0916":                 deprecated,
	"http://terminology.hl7.org/ValueSet/v2-0487":                 deprecated,
	"http://hl7.org/fhir/ValueSet/relatedperson-relationshiptype": deprecated,
	"http://hl7.org/fhir/ValueSet/diagnostic-service-sections":    deprecated,
	"http://hl7.org/fhir/ValueSet/patient-contactrelationship":    deprecated,
	"http://hl7.org/fhir/ValueSet/observation-interpretation":     deprecated,
	"http://hl7.org/fhir/ValueSet/security-labels":                deprecated,
}

const deprecated = "HL7's expansion leaves out codes whose use is discouraged; they are not inactive and the definition includes them"

// TestPublishedExpansions compares every value set we can list with the expansion HL7 published.
func TestPublishedExpansions(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	var bundle struct {
		Entry []struct{ Resource published }
	}
	if err := json.Unmarshal(corpustest.Gunzip(t, filepath.Join(dir, "definitions/valueset-expansions.json.gz")), &bundle); err != nil {
		t.Fatal(err)
	}
	shelf := BuiltIn()
	same, unknown, wrong := 0, 0, 0
	for _, e := range bundle.Entry {
		r := e.Resource
		if len(r.Expansion.Contains) == 0 {
			continue
		}
		v, _ := shelf.ValueSet(strings.Split(r.URL, "|")[0], "")
		if v == nil {
			unknown++
			continue
		}
		set, err := shelf.Evaluate(v)
		if err != nil {
			t.Errorf("%s: %v", r.URL, err)
			continue
		}
		if _, ok := set.Listable(); !ok || len(set.Unknown) > 0 || len(set.Unsure) > 0 {
			unknown++
			continue
		}
		want := map[string]bool{}
		flat(r.Expansion.Contains, func(c contained) { want[c.System+"|"+c.Code] = true })
		codes, _ := set.Codes(100000)
		got := map[string]bool{}
		for _, c := range codes {
			got[c.System+"|"+c.Code] = true
		}
		var fault string
		for c := range want {
			if !got[c] {
				fault = "misses " + c
			}
		}
		for c := range got { // HL7 leaves out headings and what is retired, which only activeOnly and excludeNotForUI do
			system, code, _ := strings.Cut(c, "|")
			if m, _ := set.find(system, "", code); !want[c] && (m.ref < 0 || !m.part.system.Abstract(m.ref) && !m.part.system.Inactive(m.ref)) {
				fault = "has " + c
			}
		}
		switch {
		case fault == "":
			if why := differs[v.URL]; why != "" {
				t.Errorf("%s is the same; take it off the list (%s)", v.URL, why)
			}
			same++
		case differs[v.URL] == "":
			wrong++
			if wrong < 30 {
				t.Errorf("%s %s (%d of %d)", v.URL, fault, len(got), len(want))
			}
		}
	}
	t.Logf("%d value sets are the same, %d cannot be listed here, %d differ", same, unknown, wrong)
}

func TestEveryBuiltInHolds(t *testing.T) {
	n := 0
	for url, l := range carried().systems {
		if s := l.system(); s.URL != url {
			t.Errorf("%s says it is %s", url, s.URL)
		}
		n += l.system().Len()
	}
	for url, v := range carried().sets {
		if _, err := BuiltIn().Evaluate(v); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if n < 15000 || len(carried().sets) < 1300 {
		t.Errorf("%d concepts, %d value sets", n, len(carried().sets))
	}
}
