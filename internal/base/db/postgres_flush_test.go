package db_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// TestSharedFlushesAreOnTheDisk has many writers wait for one row. When Do returns, the log must be on the disk up to
// what the transaction wrote, although its own commit did not wait for that; a writer that builds on what it saw of
// another comes later in the same log.
func TestSharedFlushesAreOnTheDisk(t *testing.T) {
	const writers, rounds = 12, 25
	written := db.SQL(`SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS BIGINT)`)
	flushed := db.SQL(`SELECT CAST(pg_current_wal_flush_lsn() - '0/0' AS BIGINT)`)
	count := db.SQL(`INSERT INTO note (practice_id, id, body, flag) VALUES ($1, 0, 'count', 0)
		ON CONFLICT (practice_id, id) DO UPDATE SET weight = coalesce(note.weight, 0) + 1`)
	mark := db.SQL(`INSERT INTO note (practice_id, id, body) VALUES ($1, $2, 'mark') ON CONFLICT (practice_id, id) DO UPDATE SET id = excluded.id`)
	d := dbtest.PostgreSQL(t, ours)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				var at, disk int64
				err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
					id := int64(1 + w*rounds + r)
					tx.Queue(insertNote, int64(1), id, fmt.Sprint(id))
					tx.Crowded(mark)
					if _, err := tx.Exec(t.Context(), count, int64(1)); err != nil {
						return err
					}
					return tx.QueryRow(t.Context(), written).Scan(&at)
				})
				if err == nil {
					err = d.View(t.Context(), d.Scope(1), func(tx *db.Tx) error { return tx.QueryRow(t.Context(), flushed).Scan(&disk) })
				}
				if err != nil {
					t.Error(err)
				} else if disk < at {
					t.Errorf("acknowledged at %d, and the disk has the log up to %d", at, disk)
				}
			}
		})
	}
	wg.Wait()
	var n int64
	if err := d.View(t.Context(), d.Scope(1), func(tx *db.Tx) error {
		return tx.QueryRow(t.Context(), db.SQL(`SELECT CAST(weight AS BIGINT) FROM note WHERE practice_id = $1 AND id = 0`), int64(1)).Scan(&n)
	}); err != nil || n != writers*rounds-1 {
		t.Errorf("%d of %d writers counted themselves: %v", n+1, writers*rounds, err)
	}
}

// What the app role cannot do, the owner has arranged: tables that many practices share are looked at when one of them grew.
func TestTablesAreTended(t *testing.T) {
	t.Parallel()
	d := dbtest.PostgreSQL(t, nil)
	conn, err := pgx.Connect(t.Context(), d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var tended, all int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE 'autovacuum_analyze_scale_factor=0.02' = ANY (c.reloptions)), count(*) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'yarrow' AND c.relkind = 'r' AND c.relname <> 'schema_version'`).Scan(&tended, &all); err != nil {
		t.Fatal(err)
	}
	if all < 20 || tended != all {
		t.Errorf("%d of %d tables", tended, all)
	}
}
