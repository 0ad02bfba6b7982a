package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// typical is the entry of one look at one result, with ids as the store makes them.
func typical(i int) audit.Event {
	return audit.Event{Action: audit.ActionRead, Type: "Observation", Version: 1, Categories: []string{"results"},
		ID:      fmt.Sprintf("6b0b9a4e-6f0f-4c55-9a3e-%012x", i),
		Patient: fmt.Sprintf("Patient/2f0c2a9e-9d55-4b0e-8e5f-%012x", i/50)}
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
		const batch = 500
		n := 0
		for range max(b.N/batch, 40) {
			err := d.Do(b.Context(), person(1, int64(1+n%40)), func(tx *db.Tx) error {
				events := make([]audit.Event, batch)
				for i := range events {
					events[i] = typical(n)
					n++
				}
				l.Record(tx, events...)
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
		var size int64
		err := d.View(b.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
			return tx.QueryRow(b.Context(), db.SQL(`SELECT pg_total_relation_size('audit_pack') + pg_total_relation_size('audit_find')
				+ pg_total_relation_size('audit_tree') + pg_total_relation_size('audit_fresh')
				+ 0 * $1`), 1).Scan(&size)
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/float64(n), "bytes/entry")
	})
}
