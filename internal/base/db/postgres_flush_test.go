package db_test

import (
	"fmt"
	"sync"
	"testing"

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
