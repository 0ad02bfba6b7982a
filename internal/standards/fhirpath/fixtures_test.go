package fhirpath_test

import (
	"testing"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

var model = &fhir.Model{}

// patient is invented.
const patient = `{"resourceType":"Patient","id":"p1","active":true,
 "contained":[{"resourceType":"Organization","id":"o1","name":"Yarrow Field Clinic"}],
 "name":[{"use":"official","family":"Okafor","given":["Ada","Ngozi"],"period":{"start":"2001-02"}},
         {"use":"nickname","given":["Ade",null],"_given":[null,{"extension":[{"url":"http://example.org/x","valueCode":"unknown"}]}]}],
 "telecom":[{"system":"phone","value":"555-0100","rank":1},{"system":"email","value":"ada@example.org"}],
 "gender":"female","birthDate":"1980-05",
 "_birthDate":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/patient-birthTime","valueDateTime":"1980-05-11T04:30:00+02:00"}]},
 "deceasedBoolean":false,"multipleBirthInteger":2,
 "managingOrganization":{"reference":"#o1"},
 "generalPractitioner":[{"reference":"Practitioner/d1"},{"reference":"http://other.example/fhir/Organization/9"}],
 "link":[{"other":{"reference":"Patient/p2"},"type":"seealso"}]}`

// observation is invented.
const observation = `{"resourceType":"Observation","id":"w1","status":"final",
 "code":{"coding":[{"system":"http://loinc.org","code":"29463-7","display":"Body weight"}]},
 "subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-03-05T09:30:00Z",
 "valueQuantity":{"value":1.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"},
 "referenceRange":[{"low":{"value":1.0,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"},"high":{"value":2,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}],
 "component":[{"code":{"text":"a"},"valueString":"x"},{"code":{"text":"b"},"valueInteger":7}]}`

func mustParse(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustCompile(t testing.TB, src string) *fhirpath.Expr {
	t.Helper()
	e, err := fhirpath.Compile(src)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return e
}
