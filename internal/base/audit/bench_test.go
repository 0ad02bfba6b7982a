package audit_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// typical is the entry of one look at one result. The ids have as many random bits as those that the store makes, so
// that nothing is compressed here that would not be in a practice.
func typical(i int) audit.Event {
	return audit.Event{Action: audit.ActionRead, Type: "Observation", Version: 1, Categories: []string{"results"},
		ID: uuid("result", i), Patient: "Patient/" + uuid("patient", i/10%400)}
}

func uuid(kind string, i int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, i))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// caller is one of forty people in one of her requests.
func caller(i int) db.Scope {
	h := sha256.Sum256(fmt.Appendf(nil, "request %d", i))
	return scope{db.NewSeal(1, db.Actor{Kind: "staff", UserID: int64(1 + i%40), Session: fmt.Sprintf("%016x", uint64(i%40+1)<<40),
		Request: fmt.Sprintf("%x", h[:8]), Role: "clinician", Address: fmt.Sprintf("10.0.0.%d", i%40)})}
}

func benchEach(b *testing.B, fn func(b *testing.B, d *dbtest.DB)) {
	b.Run("SQLite", func(b *testing.B) { fn(b, dbtest.SQLite(b, nil)) })
	b.Run("PostgreSQL", func(b *testing.B) { fn(b, dbtest.PostgreSQL(b, nil)) })
}

// BenchmarkSeen is the cost of recording one look, durably, for callers side by side.
func BenchmarkSeen(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchEach(b, func(b *testing.B, d *dbtest.DB) {
				l := audit.New(d.DB)
				s := person(1, 7)
				b.ResetTimer()
				var wg sync.WaitGroup
				for c := range callers {
					wg.Go(func() {
						for i := c; i < b.N; i += callers {
							if err := l.Seen(b.Context(), s, typical(i)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/float64(max(l.Commits(), 1)), "entries/commit")
			})
		})
	}
}

// BenchmarkStored reports what an entry takes on disk, sequenced, all told.
func BenchmarkStored(b *testing.B) {
	benchEach(b, func(b *testing.B, d *dbtest.DB) {
		l := audit.New(d.DB)
		const page = 3 // entries of one request
		n := 0
		for n < max(b.N, 100000) {
			for range 200 { // the requests of a second
				err := d.Do(b.Context(), caller(n), func(tx *db.Tx) error {
					for range page {
						l.Record(tx, typical(n))
						n++
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			for more := true; more; {
				var err error
				if _, more, err = l.Sequence(b.Context(), dbtest.ScopeOf(1)); err != nil {
					b.Fatal(err)
				}
			}
		}
		if d.Engine() == db.SQLite {
			if err := d.DB.Close(); err != nil { // writes the log into the file
				b.Fatal(err)
			}
			var size int64
			_ = filepath.WalkDir(d.Dir, func(path string, e os.DirEntry, err error) error {
				if i, err := e.Info(); err == nil && !e.IsDir() && filepath.Base(filepath.Dir(path)) != "system" {
					size += i.Size()
				}
				return nil
			})
			b.ReportMetric(float64(size)/float64(n), "bytes/entry")
			d.Reopen(b)
			return
		}
		// What waits and what is fresh passes through and leaves room for the next to come, once vacuum has been there.
		var size int64
		err := d.View(b.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
			return tx.QueryRow(b.Context(), db.SQL(`SELECT pg_total_relation_size('audit_pack') + pg_total_relation_size('audit_find')
				+ pg_total_relation_size('audit_tree') + pg_total_relation_size('audit_checkpoint') + 0 * $1`), 1).Scan(&size)
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/float64(n), "bytes/entry")
	})
}
