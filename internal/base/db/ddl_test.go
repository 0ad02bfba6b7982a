package db

import (
	"strings"
	"testing"
)

func TestDDLInTheWordsOfEachEngine(t *testing.T) {
	const in = `-- +goose Up
-- a TEXT in a comment; stays
CREATE TABLE a (
  practice_id BIGINT NOT NULL, -- BIGINT
  n SMALLINT, t TEXT NOT NULL DEFAULT 'TEXT; x', b BYTEA, d DOUBLE PRECISION,
  CHECK (CAST(n AS TEXT) <> 'BIGINT'),
  PRIMARY KEY (practice_id)
) /*clustered*/;
CREATE INDEX a_t ON a (practice_id, t);
ALTER TABLE a ADD COLUMN u TEXT;
CREATE TABLE b (practice_id BIGINT PRIMARY KEY);
`
	for engine, want := range map[Engine][]string{
		SQLite: {
			") STRICT, WITHOUT ROWID;", "n INTEGER, t TEXT NOT NULL", "b BLOB, d REAL", "practice_id INTEGER NOT NULL",
			"ADD COLUMN u TEXT;", "INTEGER PRIMARY KEY) STRICT;", "-- BIGINT", "'BIGINT'", "-- +goose Up", "'TEXT; x'",
		},
		PostgreSQL: {
			`t TEXT COLLATE "C" NOT NULL DEFAULT 'TEXT; x'`, `ADD COLUMN u TEXT COLLATE "C";`, "CAST(n AS TEXT)", "b BYTEA, d DOUBLE PRECISION",
			"a (practice_id, t);", "-- a TEXT in a comment; stays",
		},
	} {
		got, err := rewriteDDL(in, engine)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%v: %q is missing in\n%s", engine, w, got)
			}
		}
	}
}
