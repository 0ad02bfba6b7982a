package profile

import (
	"strings"
	"testing"
)

// TestForms: what has a form that can be judged without knowing the content.
func TestForms(t *testing.T) {
	coded := func(system, code string) string {
		return `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"` + system + `","code":"` + code + `"}]}}`
	}
	amount := func(code string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1,"system":"http://unitsofmeasure.org","code":"` + code + `"}}`
	}
	identified := func(system, value string) string {
		return patient + `"identifier":[{"system":"` + system + `","value":"` + value + `"}]}`
	}
	for name, c := range map[string]struct{ doc, want string }{
		"SNOMED CT":               {coded(snomed, "38341003"), ""},
		"SNOMED CT, slip":         {coded(snomed, "38341004"), "identifier of SNOMED CT"},
		"SNOMED CT, word":         {coded(snomed, "fever"), "identifier of SNOMED CT"},
		"SNOMED CT, expression":   {coded(snomed, "284196006:246112005=24484000"), ""},
		"LOINC":                   {coded(loinc, "8480-6"), ""},
		"LOINC, slip":             {coded(loinc, "8480-7"), "code of LOINC"},
		"LOINC, no hyphen":        {coded(loinc, "84806"), "code of LOINC"},
		"LOINC, part":             {coded(loinc, "LP7839-6"), ""},
		"LOINC, answer":           {coded(loinc, "LA33-6"), ""},
		"another system":          {coded("http://example.org/c", "8480-7"), ""},
		"unit":                    {amount("mg/dL"), ""},
		"unit, not UCUM":          {amount("mcg"), "not a unit of UCUM"},
		"identifier":              {identified("http://example.org/mrn", "1"), ""},
		"identifier, local":       {identified("mrn", "1"), "absolute address"},
		"identifier, a URI":       {identified("urn:ietf:rfc:3986", "urn:uuid:7c3a2b1e-98f1-4b7e-a8f6-3f2c4b1d5e6f"), ""},
		"identifier, no URI":      {identified("urn:ietf:rfc:3986", "7c3a2b1e"), "whole URI"},
		"OID":                     {identified("urn:oid:2.16.840.1.113883", "1"), ""},
		"OID, letters":            {identified("urn:oid:2.16.x", "1"), "no OID"},
		"OID, zero before":        {identified("urn:oid:2.016", "1"), "no OID"},
		"OID, without urn":        {identified("oid:2.16.840", "1"), "begins with urn:"},
		"UUID":                    {identified("urn:uuid:7c3a2b1e-98f1-4b7e-a8f6-3f2c4b1d5e6f", "1"), ""},
		"UUID, short":             {identified("urn:uuid:7c3a2b1e", "1"), "no UUID"},
		"ids of elements":         {patient + `"name":[{"id":"a","family":"x"},{"id":"b","family":"y"}]}`, ""},
		"ids of elements, twice":  {patient + `"name":[{"id":"a","family":"x"}],"contact":[{"name":{"id":"a","family":"y"}}]}`, "Two elements of the resource have the same id"},
		"id of the resource":      {patient + `"id":"a","name":[{"id":"a","family":"x"}]}`, ""},
		"ids of contained":        {patient + `"contained":[{"resourceType":"Organization","id":"o","name":"x"},{"resourceType":"Organization","id":"o","name":"y"}],"managingOrganization":{"reference":"#o"}}`, "Another contained resource has this id"},
		"ids in two resources":    {`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:7c3a2b1e-98f1-4b7e-a8f6-3f2c4b1d5e6f","resource":{"resourceType":"Patient","name":[{"id":"a","family":"x"}]}},{"fullUrl":"urn:uuid:7c3a2b1e-98f1-4b7e-a8f6-3f2c4b1d5e70","resource":{"resourceType":"Patient","name":[{"id":"a","family":"x"}]}}]}`, ""},
		"snapshot and difference": {`{"resourceType":"StructureDefinition","url":"test:x","name":"X","status":"draft","kind":"resource","abstract":false,"type":"Basic","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Basic","derivation":"constraint","snapshot":{"element":[{"id":"Basic","path":"Basic","min":0,"max":"*","definition":"x","base":{"path":"Basic","min":0,"max":"*"}}]},"differential":{"element":[{"id":"Basic","path":"Basic"}]}}`, ""},
	} {
		faults(t, name, &Validator{Profiles: NewSet(Builtin())}, Options{Strict: true}, c.doc, c.want)
		faults(t, name+", not strictly", &Validator{Profiles: NewSet(Builtin())}, Options{}, c.doc, "")
	}
	for kind, docs := range map[string][2]string{"specific": {"Practitioner/a/_history/1", "Practitioner/a"}, "independent": {"Practitioner/a", "Practitioner/a/_history/1"}} {
		s := setOf(t, "p", "Patient", `{"path":"Patient.generalPractitioner","type":[{"code":"Reference","versioning":"`+kind+`"}]}`)
		for i, ref := range docs {
			got := judged(t, s, patient+`"generalPractitioner":[{"reference":"`+ref+`"}]}`, Options{})
			if (got == "") != (i == 0) || i == 1 && !strings.Contains(got, "version") {
				t.Errorf("%s, %s: %q", kind, ref, got)
			}
		}
	}
}
