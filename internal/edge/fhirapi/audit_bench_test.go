package fhirapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
)

// BenchmarkReadOnRecord reads one resource of many through the API, with and without putting it on record: the same handler, side
// by side. cpu-µs/read is the CPU time of this process, in user and system mode, without the network's share and, on PostgreSQL,
// without the server's.
func BenchmarkReadOnRecord(b *testing.B) {
	run := func(b *testing.B, d *dbtest.DB) {
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		staff := auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", auth.Clinician).ForRequest("0123456789abcdef").From("10.0.0.1")
		api := New(Options{DB: d.DB, Store: store, Audit: log, Origin: "https://ehr.example.org",
			Practice: func(context.Context, string) (auth.Practice, error) {
				return auth.Practice{ID: 1, Slug: "north", Name: "North"}, nil
			},
			Authenticate: func(*http.Request, auth.Practice) (db.Scope, error) { return staff, nil }})
		peek := func(on bool) func(ctx context.Context, c *Call) (*Answer, error) {
			return func(ctx context.Context, c *Call) (ans *Answer, err error) {
				err = d.View(ctx, c.Scope, func(tx *db.Tx) error {
					r, err := store.Read(ctx, tx, c.Type, c.ID)
					if err == nil {
						if on {
							c.SeeResource(audit.ActionRead, r)
						}
						ans = &Answer{Resource: r.Raw, Version: r.Version, Updated: r.Updated}
					}
					return err
				})
				return ans, err
			}
		}
		api.Register(Operation{Name: "$bare", Levels: Instance, Open: true, Run: peek(false)}, Operation{Name: "$kept", Levels: Instance, Open: true, Run: peek(true)})
		var entries []string
		for i := range 200 {
			entries = append(entries, fmt.Sprintf(`{"request":{"method":"PUT","url":"Observation/o%d"},"resource":{"resourceType":"Observation","id":"o%d","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7","display":"Body weight"}],"text":"Weight"},"subject":{"reference":"Patient/p%d"},"effectiveDateTime":"2026-03-02T09:00:00Z","valueQuantity":{"value":71.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}}`, i, i, i%20))
		}
		if _, err := store.Apply(b.Context(), auth.SystemScope(1, "bench"), []byte(`{"resourceType":"Bundle","type":"batch","entry":[`+strings.Join(entries, ",")+`]}`), fhirstore.ApplyOptions{}); err != nil {
			b.Fatal(err)
		}
		for _, callers := range []int{1, 32} {
			for _, op := range []string{"bare", "kept"} {
				b.Run(fmt.Sprintf("callers=%d/%s", callers, op), func(b *testing.B) {
					before := cpu(b)
					b.ResetTimer()
					var wg sync.WaitGroup
					for c := range callers {
						wg.Go(func() {
							for i := c; i < b.N; i += callers {
								r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("https://ehr.example.org/north/fhir/Observation/o%d/$%s", i%200, op), nil)
								r.SetPathValue("practice", "north")
								w := httptest.NewRecorder()
								api.ServeHTTP(w, r)
								if w.Code != http.StatusOK {
									b.Errorf("%d %s", w.Code, w.Body)
									return
								}
							}
						})
					}
					wg.Wait()
					b.StopTimer()
					b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-µs/read")
				})
				for more := true; more; {
					var err error
					if _, more, err = log.Sequence(b.Context(), auth.SystemScope(1, "bench")); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	}
	b.Run("SQLite", func(b *testing.B) { run(b, dbtest.SQLite(b, nil)) })
	b.Run("PostgreSQL", func(b *testing.B) { run(b, dbtest.PostgreSQL(b, nil)) })
}

// cpu is the process's CPU time in µs.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano()/1000 + u.Stime.Nano()/1000
}
