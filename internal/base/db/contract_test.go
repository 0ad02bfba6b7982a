package db_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// ours is a small schema for testing the store itself.
var ours = fstest.MapFS{
	"practice/0003_note.sql": {Data: []byte(`-- +goose Up
CREATE TABLE note (
  practice_id BIGINT NOT NULL,
  id BIGINT NOT NULL,
  body TEXT NOT NULL DEFAULT '',
  sealed BYTEA,
  weight DOUBLE PRECISION,
  flag SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE UNIQUE INDEX note_body ON note (practice_id, body, flag);
`)},
	"practice/0007_key.sql": {Data: []byte(`-- +goose Up
CREATE TABLE key_date (
  practice_id BIGINT NOT NULL,
  h BIGINT NOT NULL,
  at BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (practice_id, h, at, rid)
) /*clustered*/;
CREATE INDEX key_date_at ON key_date (practice_id, at);
`)},
	"system/0002_login.sql": {Data: []byte(`-- +goose Up
CREATE TABLE login (
  practice_id BIGINT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (practice_id, name)
);
`)},
}

var (
	insertNote = db.SQL(`INSERT INTO note (practice_id, id, body) VALUES ($1, $2, $3)`)
	bodyOf     = db.SQL(`SELECT body FROM note WHERE practice_id = $1 AND id = $2`)
	countNotes = db.SQL(`SELECT count(*) FROM note WHERE practice_id = $1`)
	countAll   = db.SQL(`SELECT count(*) FROM note`)
	notes      = db.InsertInto("note", "practice_id", "id", "body", "sealed", "weight", "flag")
)

func each(t *testing.T, fn func(t *testing.T, d *dbtest.DB)) { dbtest.EachWith(t, ours, fn) }

func do(t *testing.T, d *dbtest.DB, p db.PracticeID, fn func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Do(t.Context(), d.Scope(p), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, d *dbtest.DB, p db.PracticeID, fn func(tx *db.Tx) error) {
	t.Helper()
	if err := d.View(t.Context(), d.Scope(p), fn); err != nil {
		t.Fatal(err)
	}
}

func add(ctx context.Context, tx *db.Tx, id int64, body string) error {
	n, err := tx.Exec(ctx, insertNote, tx.Practice(), id, body)
	if err == nil && n != 1 {
		err = errors.New("the row count is not 1")
	}
	return err
}

func count(t *testing.T, d *dbtest.DB, p db.PracticeID) (n int64) {
	t.Helper()
	view(t, d, p, func(tx *db.Tx) error {
		return tx.QueryRow(t.Context(), countNotes, p).Scan(&n)
	})
	return n
}

func TestWhatIsWrittenIsReadAfterReopening(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error { return add(ctx, tx, 1, "first") })
		d.Reopen(t)
		view(t, d, 1, func(tx *db.Tx) error {
			var body string
			if err := tx.QueryRow(ctx, bodyOf, tx.Practice(), 1).Scan(&body); err != nil || body != "first" {
				t.Errorf("body %q, %v", body, err)
			}
			if err := tx.QueryRow(ctx, bodyOf, tx.Practice(), 2).Scan(&body); err != db.ErrNoRows {
				t.Errorf("a missing row: %v", err)
			}
			return nil
		})
	})
}
