package fhirsearch

import (
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		typ, filter string
		want        bool
	}{
		{"Patient", `family eq "O'Brien-Núñez"`, true}, {"Patient", `family eq obrien`, false}, {"Patient", `family sw obri`, true}, {"Patient", `family co nunez`, true}, {"Patient", `family ew NUNEZ`, true},
		{"Patient", `family ne smith`, true}, {"Patient", `gender eq female`, true}, {"Patient", `gender ne female`, false}, {"Patient", `gender eq female and birthdate gt 1979`, true},
		{"Patient", `gender eq male or birthdate gt 1979`, true}, {"Patient", `gender eq male and birthdate gt 1979`, false}, {"Patient", `not (gender eq male)`, true}, {"Patient", `not(gender eq female)`, false},
		{"Patient", `gender eq male and birthdate gt 1979 or family sw obri`, true}, {"Patient", `family sw obri or gender eq male and birthdate gt 2000`, false}, {"Patient", `family sw obri or (gender eq male and birthdate gt 2000)`, true},
		{"Patient", `birthdate pr true`, true}, {"Patient", `death-date pr true`, false}, {"Patient", `death-date pr false`, true}, {"Patient", `birthdate po 1980-02`, true}, {"Patient", `birthdate po 1981`, false},
		{"Patient", `general-practitioner re Practitioner/d1`, true}, {"Patient", `general-practitioner eq Practitioner/d2`, false}, {"Patient", `identifier eq http://example.org/mrn|00123`, true},
		{"Patient", `((gender eq female))`, true}, {"Patient", `not (not (gender eq female)) and _id eq p1`, true},
		{"Observation", `component-value-quantity lt 30`, true}, {"Observation", `component-value-quantity gt 119|http://unitsofmeasure.org|mm[Hg] and code eq 85354-9`, true},
		{"Observation", `subject:Patient.name co x`, true}, {"Observation", `subject:Patient[gender eq female and (birthdate gt 1980 or name eq "a] b")].name co x and code eq 85354-9`, true},
		{"Observation", `subject:Patient[general-practitioner:Practitioner[active eq true].name sw a].birthdate pr true and code eq other`, false},
	} {
		q, issues := ParseQuery(c.typ, url.Values{"_filter": {c.filter}})
		if issues.HasErrors() {
			t.Errorf("%s: %v", c.filter, issues)
			continue
		}
		if got := Match(mustParse(t, map[string]string{"Patient": patientJSON, "Observation": observationJSON}[c.typ]), q.Clauses[0]); got != c.want {
			t.Errorf("%s?_filter=%s: %v", c.typ, c.filter, got)
		}
	}
	for filter, code := range map[string]string{
		"": "value", "gender": "value", "gender eq": "value", "gender is female": "value", "gendr eq female": "not-supported", "(gender eq female": "value", "gender eq female)": "value",
		"gender eq female xor active eq true": "value", "not gender eq female": "value", `name eq "x`: "value", "name gt x": "not-supported", "birthdate gt soon": "value", "birthdate pr maybe": "value",
		"name.x eq y": "value", "general-practitioner.nam eq x": "not-supported", "link[type eq x].other pr true": "not-supported", "gender eq a and": "value", "and": "value", ")": "value",
		"general-practitioner[active eq true": "value", "general-practitioner[active eq true] re Practitioner/d1": "value", "name[use eq official].text co x": "not-supported", "general-practitioner]": "value",
		"general-practitioner:Practitioner[].name co x": "value", "general-practitioner:Practitioner[active is true].name co x": "value", "general-practitioner:Practitioner[actve eq true].name co x": "not-supported",
		"general-practitioner.": "value", "general-practitioner..name co x": "value", "general-practitioner:Practitioner[" + strings.Repeat("active eq true or ", 300) + "active eq true].name co x": "too-costly",
		strings.Repeat("(", 40) + "gender eq a" + strings.Repeat(")", 40): "too-costly", strings.Repeat("gender eq a or ", 300) + "gender eq a": "too-costly",
	} {
		if _, issues := ParseQuery("Patient", url.Values{"_filter": {filter}}); len(issues) != 1 || issues[0].Code != code || issues[0].Fix == "" {
			t.Errorf("%.60s gives %v, want %s", filter, issues, code)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`name co "ash" and (birthdate gt 1980 or not (gender eq male))`, `general-practitioner:Practitioner.name sw x`, `birthdate pr true`, `general-practitioner:Practitioner[name eq "x]"].name pr true`, `((`, `name eq "\\"`} {
		f.Add(s)
	}
	n, err := fhirjson.Parse([]byte(patientJSON), fhirjson.Limits{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, issues := ParseQuery("Patient", map[string][]string{"_filter": {s}})
		if len(q.Clauses)+len(issues) != 1 {
			t.Fatalf("%d clauses and %d issues", len(q.Clauses), len(issues))
		}
		if len(q.Clauses) == 1 {
			Match(n, q.Clauses[0])
			leaves := 0
			q.Clauses[0].Filter.Leaves(func(*Clause) { leaves++ })
			if leaves == 0 {
				t.Error("a filter without conditions")
			}
		}
	})
}
