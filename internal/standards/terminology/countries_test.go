package terminology

import (
	"strings"
	"testing"
)

// TestCountries: codes of two letters, three letters and three digits; parts of countries by their form; regions.
func TestCountries(t *testing.T) {
	sh := BuiltIn()
	for _, c := range []struct {
		system, code string
		ok           bool
	}{
		{Countries, "US", true}, {Countries, "USA", true}, {Countries, "840", true}, {Countries, "us", false}, {Countries, "ZZ", false}, {Countries, "EU", false}, {Countries, "UK", false},
		{Countries, "GB", true}, {Countries, "004", true}, {Countries, "4", false},
		{Subdivisions, "US-MN", true}, {Subdivisions, "GB-ENG", true}, {Subdivisions, "FR-2A", true}, {Subdivisions, "US", false}, {Subdivisions, "US-", false}, {Subdivisions, "us-mn", false}, {Subdivisions, "XX-A", false}, {Subdivisions, "US-ABCD", false},
		{Regions, "001", true}, {Regions, "150", true}, {Regions, "840", true}, {Regions, "1", false}, {Regions, "Europe", false},
	} {
		v, err := sh.ValidateIn(Coding{System: c.system, Code: c.code}, Judging{})
		if err != nil || !v.Known || v.OK != c.ok {
			t.Errorf("%s %s: %+v %v", c.system, c.code, v, err)
		}
	}
	def, err := sh.ValueSet("http://hl7.org/fhir/ValueSet/jurisdiction", "")
	if err != nil || def == nil {
		t.Fatal(err)
	}
	set, err := sh.Evaluate(def)
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]bool{Countries + "|BD": true, Subdivisions + "|US-NY": true, Regions + "|150": true, Regions + "|840": false} {
		system, code, _ := strings.Cut(code, "|")
		if ok, known := set.Has(system, "", code); ok != want || !known {
			t.Errorf("%s %s: %v %v", system, code, ok, known)
		}
	}
	s, err := sh.CodeSystem(Countries, "")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Len(); n != 3*249 {
		t.Errorf("%d codes", n)
	}
	if i, ok := s.Find("CIV"); !ok || s.Display(i) != "Côte d'Ivoire" {
		t.Error("CIV")
	}
}
