package fhirapi

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
)

// BenchmarkInterface measures a read and a page of fifty, each with its durable audit, as sixteen clients at once see them.
func BenchmarkInterface(b *testing.B) {
	for engine, d := range map[string]*dbtest.DB{"SQLite": dbtest.SQLite(b, nil), "PostgreSQL": dbtest.PostgreSQL(b, nil)} {
		k := deskOn(b, d, func(o *Options) { o.Budget = &Budget{Requests: 1 << 40, Window: time.Minute} })
		k.fill()
		for i := range 50 {
			k.must(201, "system", "POST", "Observation", observation("", "Patient/ann", fmt.Sprint("x-", i)))
		}
		for name, path := range map[string]string{"read": "/north/fhir/Patient/ann", "search": "/north/fhir/Observation?subject=Patient/ann"} {
			b.Run(engine+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(16)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						r := httptest.NewRequest("GET", path, nil)
						r.Header.Set("X-As", "clinician")
						w := httptest.NewRecorder()
						k.api.ServeHTTP(w, r)
						if w.Code != 200 {
							b.Error(w.Code)
						}
					}
				})
			})
		}
	}
}
