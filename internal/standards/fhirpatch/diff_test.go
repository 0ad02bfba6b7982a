package fhirpatch

import (
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

func TestDiff(t *testing.T) {
	const base = `{"resourceType":"Observation","id":"o","status":"final","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>"},"code":{"coding":[{"code":"a"},{"code":"b"}]},"valueString":"x","component":[{"code":{"text":"c"},"valueInteger":1}]}`
	for _, c := range []struct {
		old, new string // one replacement
		has      string
	}{
		{`"final"`, `"amended"`, `{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}`},
		{`"valueString":"x"`, `"valueQuantity":{"value":1.50}`, `"name":"value","valueQuantity":{"value":1.50}`},
		{`"valueString":"x",`, ``, `{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Observation.value"}`},
		{`"valueString":"x"`, `"_valueString":{"extension":[{"url":"u","valueCode":"c"}]}`, `"_valueString":{"extension"`},
		{`{"code":"a"},{"code":"b"}`, `{"code":"b"}`, `"Observation.code.coding[1]"`},
		{`{"code":"b"}`, `{"code":"b"},{"code":"c","display":"C"}`, `{"name":"value","valueCoding":{"code":"c","display":"C"}}`},
		{`"valueInteger":1}`, `"valueInteger":1},{"code":{"text":"d"},"valueRange":{"low":{"value":1}},"referenceRange":[{"text":"r"}]}`, `"part":[{"name":"code","valueCodeableConcept":{"text":"d"}}`},
		{`>a<`, `>b<`, `"Observation.text.div"`},
		{`"code":{"coding":[{"code":"a"},{"code":"b"}]}`, `"code":{"text":"t"}`, `"replace"`},
		{`"status":"final"`, `"contained":[{"resourceType":"Patient","id":"p"}],"status":"final"`, `"resource":{"resourceType":"Patient","id":"p"}`},
		{`"x"`, `"x"`, `{"resourceType":"Parameters"}`},
	} {
		from, to := parse(t, base), parse(t, strings.Replace(base, c.old, c.new, 1))
		patch := roundTrip(t, c.new, from, to)
		if !strings.Contains(patch, c.has) {
			t.Errorf("%s: without %s\n%s", c.new, c.has, patch)
		}
		roundTrip(t, "back from "+c.new, to, from)
	}
	if _, err := Diff(parse(t, base), parse(t, `{"resourceType":"Patient"}`)); err == nil {
		t.Error("two types are compared")
	}
}

// roundTrip checks that the difference is valid FHIR and turns one into the other.
func roundTrip(t *testing.T, name string, from, to *fhirjson.Node) string {
	t.Helper()
	patch, err := Diff(from, to)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return ""
	}
	if issues := fhir.Validate(patch); issues.HasErrors() {
		t.Errorf("%s: the patch is not valid: %v\n%s", name, issues, patch.AppendJSON(nil))
	}
	got, err := FHIRPath(from, patch)
	if err != nil {
		t.Errorf("%s: the patch does not fit: %v\n%.1500s", name, err, patch.AppendJSON(nil))
	} else if !fhirjson.Equal(got, to) {
		t.Errorf("%s: the patch makes\n%.1500s\nof\n%.1500s", name, got.AppendJSON(nil), patch.AppendJSON(nil))
	}
	return string(patch.AppendJSON(nil))
}

// TestDiffOfExamples turns published examples of each type into one another.
func TestDiffOfExamples(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		t.Log("without YARROW_CORPUS no published examples are compared")
		return
	}
	last, pairs := map[string]*fhirjson.Node{}, map[string]int{}
	corpustest.Untar(t, filepath.Join(dir, "examples.tar.gz"), func(name string, raw []byte) {
		if len(raw) > 20_000 || !strings.HasSuffix(name, ".json") {
			return
		}
		n, issues := fhir.Parse(raw)
		if issues.HasErrors() {
			return
		}
		typ := n.Get("resourceType").Text()
		if before := last[typ]; before != nil && pairs[typ] < 3 {
			p, err := Diff(before, n)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if p.Get("parameter").Len() <= maxOperations {
				pairs[typ]++
				roundTrip(t, name, before, n)
			}
		}
		last[typ] = n
	})
	n := 0
	for _, p := range pairs {
		n += p
	}
	if n < 100 {
		t.Errorf("only %d pairs were compared", n)
	}
	t.Logf("%d pairs", n)
}
