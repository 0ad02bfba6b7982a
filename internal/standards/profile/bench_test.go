package profile

import (
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

// observation is shaped like those of Synthea: a laboratory result with US Core's profile.
const observation = `{"resourceType":"Observation","id":"0b4d3a0c-6d1c-4c2e-9f0e-0a6f2a1c9b11","meta":{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]},
"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"laboratory"}]}],
"code":{"coding":[{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}],"text":"Glucose"},
"subject":{"reference":"Patient/0b4d3a0c-6d1c-4c2e-9f0e-0a6f2a1c9b12"},"encounter":{"reference":"Encounter/0b4d3a0c-6d1c-4c2e-9f0e-0a6f2a1c9b13"},
"effectiveDateTime":"2020-03-07T13:18:01+01:00","issued":"2020-03-07T13:18:01.190+01:00","valueQuantity":{"value":82.35,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}`

// pressure is a panel with components, of the profile with the most slices.
const pressure = `{"resourceType":"Observation","id":"b","meta":{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-blood-pressure"]},"status":"final",
"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],
"code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}],"text":"Blood pressure"},"subject":{"reference":"Patient/x"},"effectiveDateTime":"2020-03-07T13:18:01+01:00",
"component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":81,"unit":"mm[Hg]","system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":121,"unit":"mm[Hg]","system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]}`

func BenchmarkObservation(b *testing.B)   { benchmark(b, observation, Options{}) }
func BenchmarkStructured(b *testing.B)    { benchmark(b, observation, Options{Structured: true}) }
func BenchmarkBaseOnly(b *testing.B)      { benchmark(b, observation, Options{NoMeta: true}) }
func BenchmarkBloodPressure(b *testing.B) { benchmark(b, pressure, Options{}) }

func benchmark(b *testing.B, raw string, o Options) {
	n, err := fhirjson.Parse([]byte(raw), fhirjson.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	v := &Validator{Codes: func(valueSet, system, code string) (ok, known bool) { return true, true }}
	if issues := v.Validate(n, o); len(issues) > 0 {
		b.Fatal(issues)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Validate(n, o)
	}
}
