package fhirapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
)

// BenchmarkReadOnRecord reads one resource of many through the API, with and without putting it on record: over connections that stay
// open, and the bare handler, side by side. cpu-µs/read is the CPU time of this process, in user and system mode; on PostgreSQL
// without the database server's, and without that of the other side of the connections. sealing-µs/read is what comes after, within a
// second of the server's life: positions in the log, its tree and its packs.
func BenchmarkReadOnRecord(b *testing.B) {
	run := func(b *testing.B, d *dbtest.DB) {
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		staff := auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", auth.Clinician).ForRequest("0123456789abcdef").From("10.0.0.1")
		api := New(Options{DB: d.DB, Store: store, Audit: log, Origin: "https://ehr.example.org",
			Practice: func(context.Context, string) (auth.Practice, error) {
				return auth.Practice{ID: 1, Slug: "north", Name: "North"}, nil
			},
			Budget:       &Budget{Requests: 1 << 40, Window: time.Second}, // one client asks for everything
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
		served := http.NewServeMux()
		served.Handle("/{practice}/fhir/", api)
		server := httptest.NewServer(served)
		defer server.Close()
		for _, connections := range []int{1, 32} {
			for _, op := range []string{"bare", "kept"} {
				b.Run(fmt.Sprintf("connections=%d/%s", connections, op), func(b *testing.B) {
					before, writes := cpu(b), log.Commits()
					b.ResetTimer()
					ask(b, server.Listener.Addr().String(), op, connections, b.N)
					b.StopTimer()
					b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-µs/read")
					b.ReportMetric(float64(log.Commits()-writes)/float64(b.N), "writes/read")
					before = cpu(b)
					if err := log.Settle(b.Context(), auth.SystemScope(1, "bench")); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "sealing-µs/read")
				})
			}
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
				if err := log.Settle(b.Context(), auth.SystemScope(1, "bench")); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("SQLite", func(b *testing.B) { run(b, dbtest.SQLite(b, nil)) })
	b.Run("PostgreSQL", func(b *testing.B) { run(b, dbtest.PostgreSQL(b, nil)) })
}

// askEnv tells a process of this program to be the other side of the connections: where, what, how many connections and reads.
const askEnv = "YARROW_BENCH_ASK"

// ask has a process of its own read n times over connections that stay open, so that its CPU time is not the server's.
func ask(b *testing.B, addr, op string, connections, n int) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAsk$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d", askEnv, addr, op, connections, n))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
}

// TestAsk is that process; otherwise it has nothing to do.
func TestAsk(t *testing.T) {
	var addr, op string
	var connections, n int
	if _, err := fmt.Sscan(os.Getenv(askEnv), &addr, &op, &connections, &n); err != nil {
		return
	}
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for i := c; i < n; i += connections {
				if _, err := fmt.Fprintf(conn, "GET /north/fhir/Observation/o%d/$%s HTTP/1.1\r\nHost: ehr.example.org\r\n\r\n", i%200, op); err != nil {
					t.Error(err)
					return
				}
				r, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
					t.Error(r.Status, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// cpu is the process's CPU time in µs.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano()/1000 + u.Stime.Nano()/1000
}
