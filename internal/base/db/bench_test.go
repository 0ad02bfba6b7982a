package db_test

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func onBoth(b *testing.B, fn func(b *testing.B, d *dbtest.DB)) {
	b.Run("SQLite", func(b *testing.B) { fn(b, dbtest.SQLite(b, ours)) })
	b.Run("PostgreSQL", func(b *testing.B) { fn(b, dbtest.PostgreSQL(b, ours)) })
}

// BenchmarkCommit is a durable transaction shaped like a resource: a sealed body and a dozen index rows.
func BenchmarkCommit(b *testing.B) {
	body := make([]byte, 600)
	rand.Read(body)
	keyRows := db.InsertInto("key_date", "practice_id", "h", "at", "rid")
	onBoth(b, func(b *testing.B, d *dbtest.DB) {
		var id atomic.Int64
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprint(writers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ResetTimer()
				for range writers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							n := id.Add(1)
							err := d.Do(b.Context(), d.Scope(1), func(tx *db.Tx) error {
								tx.InsertMany(notes, [][]any{{1, n, fmt.Sprint(n), body, nil, 0}})
								rows := make([][]any, 12)
								for i := range rows {
									rows[i] = []any{1, (n*31 + int64(i)) * 0x1e3779b97f4a7c15, n, n}
								}
								tx.InsertMany(keyRows, rows)
								return nil
							})
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			})
		}
	})
}

// BenchmarkLoad is the bulk load: 200 resources in a transaction.
func BenchmarkLoad(b *testing.B) {
	body := make([]byte, 600)
	rand.Read(body)
	keyRows := db.InsertInto("key_date", "practice_id", "h", "at", "rid")
	onBoth(b, func(b *testing.B, d *dbtest.DB) {
		n := int64(0)
		for b.Loop() {
			err := d.Do(b.Context(), d.Scope(1), func(tx *db.Tx) error {
				var rows, keys [][]any
				for range 200 {
					n++
					rows = append(rows, []any{1, n, fmt.Sprint(n), body, nil, 0})
					for i := range 12 {
						keys = append(keys, []any{1, (n*31 + int64(i)) * 0x1e3779b97f4a7c15, n, n})
					}
				}
				tx.InsertMany(notes, rows)
				tx.InsertMany(keyRows, keys)
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "resources/s")
	})
}

// BenchmarkRead is a point read in a View of its own.
func BenchmarkRead(b *testing.B) {
	body := make([]byte, 600)
	rand.Read(body)
	get := db.SQL(`SELECT sealed FROM note WHERE practice_id = $1 AND id = $2`)
	onBoth(b, func(b *testing.B, d *dbtest.DB) {
		err := d.Do(b.Context(), d.Scope(1), func(tx *db.Tx) error {
			var rows [][]any
			for n := range 10000 {
				rows = append(rows, []any{1, n, fmt.Sprint(n), body, nil, 0})
			}
			tx.InsertMany(notes, rows)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		var n atomic.Int64
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				err := d.View(b.Context(), d.Scope(1), func(tx *db.Tx) error {
					var out []byte
					return tx.QueryRow(b.Context(), get, 1, n.Add(7919)%10000).Scan(&out)
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
