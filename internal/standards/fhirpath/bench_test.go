package fhirpath_test

import (
	"testing"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

func BenchmarkPlan(b *testing.B) {
	n := mustParse(b, observation)
	p := mustCompile(b, "AllergyIntolerance.code | Observation.code | Condition.code").For(model, "Observation")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Each(n, n, func(*fhirjson.Node, string) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvalPath(b *testing.B) {
	n := mustParse(b, observation)
	e := mustCompile(b, "Observation.code.coding.code")
	env := &fhirpath.Env{Model: model}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Eval(env, n, "Observation"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvalInvariant(b *testing.B) {
	n := mustParse(b, observation)
	e := mustCompile(b, "value.exists() and component.code.where(coding.intersect(%resource.code.coding).exists()).empty()")
	env := &fhirpath.Env{Model: model}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Eval(env, n, "Observation"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := fhirpath.Compile("Patient.telecom.where(system='phone' and use = 'home').value | Person.telecom.where(system='phone')"); err != nil {
			b.Fatal(err)
		}
	}
}
