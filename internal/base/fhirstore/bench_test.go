package fhirstore

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// The benchmarks report what docs/performance.md quotes: run them with
// YARROW_CORPUS set, -bench . and -benchtime 1x for Import.

func eachEngine(b *testing.B, fn func(b *testing.B, s *bench)) {
	b.Run("SQLite", func(b *testing.B) { fn(b, benchOn(b, dbtest.SQLite(b, nil))) })
	b.Run("PostgreSQL", func(b *testing.B) { fn(b, benchOn(b, dbtest.PostgreSQL(b, nil))) })
}

// BenchmarkImport takes the whole corpus in: rate, and bytes on disk per resource with index, history, audit.
func BenchmarkImport(b *testing.B) {
	dir := corpus(b)
	if dir == "" {
		return
	}
	real := clock.System()
	eachEngine(b, func(b *testing.B, s *bench) {
		if b.N > 1 {
			return
		}
		files := syntheaFiles(b, dir)
		empty := s.bytesUsed()
		start := real.Now()
		r := s.load(files...)
		took := real.Since(start)
		n := r.Created + r.Updated + r.Same
		b.ReportMetric(float64(n)/took.Seconds(), "resources/s")
		if s.d.Engine() == db.SQLite {
			s.d.Reopen(b) // closing moves the log into the file
		}
		b.ReportMetric(float64(s.bytesUsed()-empty)/float64(r.Created), "B/resource")
	})
}

// loaded is a store with a few patients of the corpus, and the patient who has most.
func loaded(b *testing.B, s *bench) (patient string) {
	s.load(filepath.Join(corpus(b), "2025-02-uscore6-transaction-bundles"), filepath.Join(corpus(b), "2021-09-uscore-fewmodules-transaction-bundles"))
	most, count := 0, map[string]int{}
	for _, r := range s.everything(1) {
		if ref := r.Node().At("subject", "reference").Text(); r.Type == "Observation" && strings.HasPrefix(ref, "Patient/") {
			if count[ref]++; count[ref] > most {
				most, patient = count[ref], strings.TrimPrefix(ref, "Patient/")
			}
		}
	}
	if s.d.Engine() == db.PostgreSQL {
		s.analyze()
	}
	return patient
}

// BenchmarkLook measures reads and searches, each in a View of its own.
func BenchmarkLook(b *testing.B) {
	if corpus(b) == "" {
		return
	}
	eachEngine(b, func(b *testing.B, s *bench) {
		patient := loaded(b, s)
		look := func(name string, fn func(ctx context.Context, tx *db.Tx) error) {
			b.Run(name, func(b *testing.B) {
				ctx := context.Background()
				for b.Loop() {
					if err := s.d.View(ctx, system(1), func(tx *db.Tx) error { return fn(ctx, tx) }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		look("Read", func(ctx context.Context, tx *db.Tx) error { _, err := s.Read(ctx, tx, "Patient", patient); return err })
		for _, request := range []string{
			"Observation?patient=" + patient + "&code=http://loinc.org|8867-4&_count=20", "Observation?patient=" + patient + "&category=laboratory&_count=20",
			"Observation?patient=" + patient + "&date=ge2020&_count=20", "Patient?name=al&_count=20", "Condition?patient=" + patient + "&clinical-status=active",
			"Observation?code=8302-2&_sort=-date&_count=20", "Observation?patient.gender=female&code=8302-2&_count=20",
		} {
			q := parse(b, request)
			look(strings.ReplaceAll(strings.ReplaceAll(request, patient, "x"), "/", "_"), func(ctx context.Context, tx *db.Tx) error { _, err := s.Search(ctx, tx, q); return err })
		}
		look("Chart", func(ctx context.Context, tx *db.Tx) error {
			_, err := s.Compartment(ctx, tx, patient, []string{"AllergyIntolerance", "CarePlan", "Condition", "Encounter", "Immunization", "MedicationRequest", "Observation", "Procedure"}, 50)
			return err
		})
	})
}

// BenchmarkWrite measures single writes, each durable, from many callers.
func BenchmarkWrite(b *testing.B) {
	eachEngine(b, func(b *testing.B, s *bench) {
		raw := []byte(`{"resourceType":"Patient","active":true,"name":[{"use":"official","family":"Hartwell","given":["Robin","Lee"]}],"gender":"female","birthDate":"1979-11-23",
			"identifier":[{"system":"http://hospital.example.org","value":"12345"}],"telecom":[{"system":"phone","value":"413-555-0107"}],"address":[{"line":["77 Orchard Lane"],"city":"Springfield","state":"MA","postalCode":"01104"}]}`)
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("Create-%d", callers), func(b *testing.B) {
				b.SetParallelism(max(1, callers/2))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						p, err := s.PrepareNew(context.Background(), raw)
						if err == nil {
							err = s.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := s.Create(ctx, tx, p); return err })
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
		// As a program: what it writes into is looked for.
		s.put(`{"resourceType":"Patient","id":"bench"}`)
		result := []byte(`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1-1"}]},"subject":{"reference":"Patient/bench"},"valueQuantity":{"value":1}}`)
		for name, who := range map[string]db.Scope{"server": system(1), "program": auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy})} {
			b.Run("Result-"+name, func(b *testing.B) {
				for b.Loop() {
					p, err := s.PrepareNew(context.Background(), result)
					if err == nil {
						err = s.try(who, func(ctx context.Context, tx *db.Tx) error { _, err := s.Create(ctx, tx, p); return err })
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// BenchmarkPrepare measures what happens to one resource outside the writer.
func BenchmarkPrepare(b *testing.B) {
	s := &Store{}
	raw := []byte(`{"resourceType":"Observation","id":"366a7ed9-34ad-7ee3-3bdf-285ad9f2c236","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8302-2","display":"Body Height"}],"text":"Body Height"},"subject":{"reference":"Patient/b08d10a2-5031-379f-0157-ddceb2196440"},"encounter":{"reference":"Encounter/978428e3-0ddd-b244-915f-0889ef5c0413"},"effectiveDateTime":"2012-01-20T06:24:28+01:00","issued":"2012-01-20T06:24:28.884+01:00","valueQuantity":{"value":170,"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Prepare(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}
