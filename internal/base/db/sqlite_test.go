package db_test

import (
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func TestSmoke(t *testing.T) {
	d := dbtest.SQLite(t)
	mk := db.SQL(`CREATE TABLE note (practice_id INTEGER, id INTEGER, body TEXT, PRIMARY KEY (practice_id, id)) STRICT`)
	ins := db.InsertInto("note", "practice_id", "id", "body")
	get := db.SQL(`SELECT id, body FROM note WHERE practice_id = $1 AND id {in $2} ORDER BY id`)
	ctx := t.Context()
	if err := d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, mk); err != nil {
			return err
		}
		tx.InsertMany(ins, [][]any{{1, 1, "a"}, {1, 2, "b"}, {1, 3, "c"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d.Reopen(t)
	if err := d.View(ctx, d.Scope(1), func(tx *db.Tx) error {
		rows, err := tx.Query(ctx, get, tx.Practice(), []int64{1, 3})
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			var id int64
			var body string
			if err := rows.Scan(&id, &body); err != nil {
				return err
			}
			n++
		}
		if n != 2 {
			t.Error(n)
		}
		if err := d.View(ctx, d.Scope(1), nil); err != db.ErrNested {
			t.Error(err)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
}
