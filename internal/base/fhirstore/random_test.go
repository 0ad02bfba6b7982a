package fhirstore

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// asker draws searches of every form over the worlds of kernel_test.go.
type asker struct{ t *rapid.T }

func (a asker) pick(from ...string) string { return rapid.SampledFrom(from).Draw(a.t, "pick") }

func (a asker) chance(of int) bool { return rapid.IntRange(0, of-1).Draw(a.t, "chance") == 0 }

// pools are parameters by type with how their values are drawn.
var pools = map[string]map[string]func(a asker) string{
	"Patient": {
		"name": asker.name, "family": asker.name, "birthdate": asker.date, "general-practitioner": func(a asker) string {
			return a.pick("Practitioner/d0", "d1", "Practitioner/d0,Practitioner/d1", "Organization/d0")
		},
		"_id": func(a asker) string { return a.pick("p0", "p1,p2", "p9") }, "_security": asker.label, "gender": func(a asker) string { return a.pick("male", "female") },
	},
	"Observation": {
		"status": func(a asker) string { return a.pick("final", "preliminary", "final,amended") }, "category": func(a asker) string { return a.pick("laboratory", "vital-signs", "survey") },
		"code": asker.code, "combo-code": asker.code, "patient": asker.patient, "subject": asker.patient, "performer": asker.patient, "date": asker.date, "encounter": func(a asker) string { return a.pick("e0", "Encounter/e1") },
		"value-quantity": asker.number, "code-value-quantity": func(a asker) string { return a.code() + "$" + a.number() }, "_id": func(a asker) string { return a.pick("o0", "o1,o2,o3", "o5") }, "_security": asker.label,
	},
	"Encounter":    {"status": func(a asker) string { return a.pick("finished", "planned") }, "patient": asker.patient, "date": asker.date, "class": func(a asker) string { return a.pick("AMB", "IMP") }},
	"Task":         {"patient": asker.patient, "focus": func(a asker) string { return a.pick("Observation/o0", "Observation/o1") }, "status": func(a asker) string { return a.pick("requested", "draft") }},
	"Practitioner": {"name": asker.name, "_id": func(a asker) string { return a.pick("d0", "d1") }},
}

func (a asker) name() string { return a.pick("ash", "Ash", "bir", "sh", "x") }
func (a asker) code() string { return a.pick("a", "b", "http://loinc.org|a", "|b", "http://other|") }
func (a asker) patient() string {
	return a.pick("p0", "Patient/p1", "Patient/p2,Patient/p0", "Group/p0")
}
func (a asker) label() string {
	return a.pick("R", "http://terminology.hl7.org/CodeSystem/v3-ActCode|PSYTHPN")
}
func (a asker) number() string {
	return a.pick("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap") + a.pick("0", "2", "3.0", "5")
}
func (a asker) date() string {
	return a.pick("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap") + a.pick("2024", "2024-01", "2024-01-15", "2023-06-01", "1980", "1980-05", "2024-01-15T10:00:00Z")
}

// links lead from a type to others, and back.
var links = map[string][]string{
	"Observation": {"subject:Patient", "performer:Patient", "encounter:Encounter"}, "Encounter": {"subject:Patient"}, "Task": {"focus:Observation"}, "Patient": {"general-practitioner:Practitioner"},
}

var backs = map[string][]string{
	"Patient": {"Observation:patient", "Observation:performer", "Encounter:patient", "Task:patient"}, "Encounter": {"Observation:encounter"}, "Observation": {"Task:focus"}, "Practitioner": {"Patient:general-practitioner"},
}

// clause draws name and value of one condition on a type.
func (a asker) clause(typ string, depth int) (name, value string) {
	if depth < 3 && len(links[typ]) > 0 && a.chance(5) {
		link := a.pick(links[typ]...)
		_, target, _ := strings.Cut(link, ":")
		name, value = a.clause(target, depth+1)
		return link + "." + name, value
	}
	if depth < 3 && len(backs[typ]) > 0 && a.chance(5) {
		back := a.pick(backs[typ]...)
		from, _, _ := strings.Cut(back, ":")
		name, value = a.clause(from, depth+1)
		return "_has:" + back + ":" + name, value
	}
	if depth < 3 && a.chance(8) {
		return "_filter", a.filter(typ, 0)
	}
	params := make([]string, 0, 16)
	for p := range pools[typ] {
		params = append(params, p)
	}
	slices.Sort(params)
	name = a.pick(params...)
	value = pools[typ][name](a)
	if a.chance(3) {
		switch name {
		case "name", "family":
			name += a.pick(":exact", ":contains")
		case "status", "category", "code", "class", "gender", "_security":
			name += ":not"
		case "performer", "general-practitioner", "encounter", "date", "birthdate":
			name, value = name+":missing", a.pick("true", "false")
		}
	}
	if (name == "code" || name == "code:not") && a.chance(6) {
		name, value = a.pick("code:in", "code:not-in"), "http://vs/a"
	}
	return name, value
}

// filter draws a _filter.
func (a asker) filter(typ string, depth int) string {
	if depth < 2 && a.chance(2) {
		left, right := a.filter(typ, depth+1), a.filter(typ, depth+1)
		switch a.pick("and", "or", "not") {
		case "and":
			return "(" + left + ") and (" + right + ")"
		case "or":
			return left + " or " + right
		}
		return "not (" + left + ")"
	}
	switch typ {
	case "Patient":
		return a.pick(`name co "sh"`, "birthdate gt 1985", "_id eq p1", "general-practitioner:Practitioner.name sw ash", "birthdate po 1980-05", "family ne Ash")
	case "Observation":
		return a.pick("status eq final", "code eq a", "code in http://vs/a", "subject:Patient.family sw ash", "performer pr true", "date ge 2024-01-10", "value-quantity gt 2", "category ne laboratory", "encounter:Encounter.status eq planned")
	case "Encounter":
		return a.pick("status eq planned", "date lt 2024-01-02", "subject:Patient.name co bir")
	case "Task":
		return a.pick("status eq requested", "focus re Observation/o0")
	}
	return a.pick("name sw ash", "_id eq d0")
}

// scope draws what somebody may reach.
func (a asker) scope() db.Scope {
	access := auth.Access{All: a.chance(2), Forbidden: rapid.SampledFrom([]int64{0, auth.LabelRestricted, auth.LabelPsychotherapy, auth.LabelRestricted | auth.LabelPsychotherapy}).Draw(a.t, "forbidden")}
	if !access.All {
		access.Types = map[string]auth.Bits{}
		for _, typ := range []string{"Patient", "Observation", "Encounter", "Task", "Practitioner"} {
			if !a.chance(5) {
				access.Types[typ] = auth.CanRead | auth.CanSearch
			}
		}
	}
	if a.chance(3) {
		access.Compartment = a.pick("Patient/p0", "Patient/p1", "Patient/p2")
	}
	if a.chance(3) {
		access.Narrow = map[string][]auth.Narrowing{}
		for range 1 + rapid.IntRange(0, 1).Draw(a.t, "ways") {
			typ := a.pick("Observation", "Patient", "Encounter")
			way := map[string][]string{
				"Observation": {"category=laboratory", "code=a&status=final", "date=ge2024-01-10", "patient=Patient/p0", "code:not=b", "subject:Patient.name=ash", "_security:not=R"},
				"Patient":     {"name=ash", "birthdate=lt1990", "_id=p0,p1"}, "Encounter": {"status=finished", "patient=Patient/p1"},
			}[typ]
			access.Narrow[typ] = append(access.Narrow[typ], auth.Narrowing{Params: a.pick(way...), Bits: rapid.SampledFrom([]auth.Bits{auth.CanRead | auth.CanSearch, auth.CanSearch, auth.CanRead}).Draw(a.t, "bits")})
		}
	}
	if a.chance(3) {
		access.Charts = map[string]auth.ChartRule{a.pick("p0", "p1", "p2"): {Closed: true}, a.pick("p0", "p1", "p2"): {Forbidden: rapid.SampledFrom([]int64{0, auth.LabelRestricted}).Draw(a.t, "chart")}}
	}
	return auth.AsApp(1, access)
}

// TestRandomSearchesEqualALookAtEverything draws practices, scopes and searches. YARROW_LONG=n multiplies how many: 10
// gives more than 10,000 searches on each engine.
func TestRandomSearchesEqualALookAtEverything(t *testing.T) {
	worldsPer, searches := 8, 100
	if n, err := strconv.Atoi(os.Getenv("YARROW_LONG")); err == nil && n > 0 {
		worldsPer *= n * 3
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := benchOn(t, d)
		b.Terms = testTerms
		var all []*Resource
		found, asked := 0, 0
		for round := range worldsPer {
			if len(all) > 0 {
				b.do(func(ctx context.Context, tx *db.Tx) error {
					for _, r := range all {
						if err := b.Delete(ctx, tx, r.Type, r.ID, 0); err != nil {
							return err
						}
					}
					return nil
				})
			}
			all = b.put(rapid.Custom(worlds).Example(round*7 + 1)...)
			for i, r := range all { // an Encounter's labels have reached what was recorded in it
				all[i] = b.get(r.Type, r.ID)
			}
			for i := range searches {
				ask := rapid.Custom(func(rt *rapid.T) drawn { return asker{rt}.request() }).Example(round*searches + i + 1)
				asked++
				found += b.agree(ask.scope, all, ask.text)
				b.agreeTotal(ask.scope, all, ask.text)
				if t.Failed() {
					t.Fatalf("world %d, search %d: %s", round, i, ask.text)
				}
			}
		}
		t.Logf("%d searches found %d resources", asked, found)
		if found < asked/4 {
			t.Errorf("%d searches found only %d resources: they try too little", asked, found)
		}
	})
}

type drawn struct {
	scope db.Scope
	text  string
}

func (a asker) request() drawn {
	typ := a.pick("Patient", "Observation", "Observation", "Encounter", "Task", "Practitioner")
	var parts []string
	for range rapid.IntRange(0, 3).Draw(a.t, "clauses") {
		name, value := a.clause(typ, 0)
		parts = append(parts, name+"="+value)
	}
	switch a.pick("", "", "_sort=-_lastUpdated", "_sort=_id", "_sort=other", "_count=1", "_count=2&_sort=-_id") {
	case "_sort=-_lastUpdated":
		parts = append(parts, "_sort=-_lastUpdated")
	case "_sort=_id":
		parts = append(parts, "_sort=_id")
	case "_count=1":
		parts = append(parts, "_count=1")
	case "_count=2&_sort=-_id":
		parts = append(parts, "_count=2&_sort=-_id")
	}
	return drawn{a.scope(), fmt.Sprintf("%s?%s", typ, strings.Join(parts, "&"))}
}

// agreeTotal compares what is counted.
func (b *bench) agreeTotal(s db.Scope, all []*Resource, text string) {
	b.t.Helper()
	q := parse(b.t, text)
	if !auth.AccessOf(s).Allows(q.Type, auth.CanSearch) {
		return
	}
	q.Summary = "count"
	want := len(slowOf(s, all).find(q.Type, q.Clauses))
	b.view(s, func(ctx context.Context, tx *db.Tx) error {
		page, err := b.Search(ctx, tx, q)
		if err == nil && page.Total != want {
			b.t.Errorf("%s counts %d, and there are %d", text, page.Total, want)
		}
		return err
	})
}
