package fhirsearch

import "testing"

func BenchmarkExtractObservation(b *testing.B) {
	n := mustParse(b, observationJSON)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Extract("Observation", n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExtractPatient(b *testing.B) {
	n := mustParse(b, patientJSON)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Extract("Patient", n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseQuery(b *testing.B) {
	q := map[string][]string{"patient": {"p1"}, "code": {"http://loinc.org|8480-6"}, "date": {"ge2024-01"}, "_sort": {"-date"}, "_count": {"50"}}
	for b.Loop() {
		if _, issues := ParseQuery("Observation", q); len(issues) > 0 {
			b.Fatal(issues)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	n := mustParse(b, observationJSON)
	c := one(b, "Observation", "code=http://loinc.org|85354-9")
	for b.Loop() {
		if !Match(n, c) {
			b.Fatal("no match")
		}
	}
}
