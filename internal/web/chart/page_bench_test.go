package chart_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/simulate"
)

// BenchmarkChartPage opens the chart of 1,000 encounters and 10,000 results over HTTP, eight people at once; every look is put on
// record before its first byte. It reports the time of the middle request and of the slowest in twenty.
func BenchmarkChartPage(b *testing.B) {
	for name, d := range map[string]func(testing.TB) *dbtest.DB{
		"SQLite":     func(t testing.TB) *dbtest.DB { return dbtest.SQLite(t, nil) },
		"PostgreSQL": func(t testing.TB) *dbtest.DB { return dbtest.PostgreSQL(t, nil) },
	} {
		b.Run(name, func(b *testing.B) {
			h := open(b, d(b))
			id, bundles := simulate.BigChart(1, h.Clock.Now(), 1000, 10000)
			scope := auth.SystemScope(h.ID, "benchmark")
			for part := range bundles {
				if _, err := h.Store.Apply(ctx, scope, part.JSON, fhirstore.ApplyOptions{KeepIDs: true, Loose: true}); err != nil {
					b.Fatal(err)
				}
			}
			for _, page := range []string{"", "/timeline", "/results", "/vitals"} {
				b.Run("summary"+page, func(b *testing.B) {
					var mu sync.Mutex
					var times []time.Duration
					b.SetParallelism(4) // eight people on two processors
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							r := httptest.NewRequest("GET", "http://localhost/millrace/patients/"+id+page, nil)
							r.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: h.tokens["doctor"]})
							w := httptest.NewRecorder()
							began := time.Now()
							h.router.ServeHTTP(w, r)
							took := time.Since(began)
							if w.Code != http.StatusOK {
								b.Errorf("status %d", w.Code)
								return
							}
							mu.Lock()
							times = append(times, took)
							mu.Unlock()
						}
					})
					slices.Sort(times)
					b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
					b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
				})
			}
		})
	}
}
