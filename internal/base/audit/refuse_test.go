package audit_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// 45 CFR 170.315(d)(2)(iv): entries cannot be changed, overwritten or deleted, neither with the role that serves nor
// by the owner of the tables.
func TestTheAuditIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		end := many(t, d, l)
		columns := map[string]string{"audit_wait": "body", "audit_fresh": "body", "audit_pack": "body", "audit_find": "key", "audit_tree": "hash", "audit_checkpoint": "note"}
		for table, column := range columns {
			statements := []string{
				"UPDATE " + table + " SET " + column + " = " + column + " WHERE practice_id = $1",
				"DELETE FROM " + table + " WHERE practice_id = $1",
			}
			if d.Engine() == db.SQLite {
				statements = append(statements, "INSERT OR REPLACE INTO "+table+" SELECT * FROM "+table+" WHERE practice_id = $1")
			} else {
				statements = append(statements, "INSERT INTO "+table+" SELECT * FROM "+table+" WHERE practice_id = $1 ON CONFLICT DO NOTHING")
			}
			for i, text := range statements {
				err := d.Do(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
					_, err := tx.Exec(t.Context(), db.SQL(text), 1)
					return err
				})
				if err == nil && (i < 2 || d.Engine() == db.SQLite) {
					t.Errorf("allowed: %s", text)
				}
			}
		}
		if d.Engine() == db.PostgreSQL {
			for _, who := range []string{d.URL, d.Owner} {
				refusedBy(t, who, columns)
			}
		}
		if r := verify(t, l, end); r.Fault != nil || r.Entries != 1038 || r.Waiting != 2 {
			t.Errorf("%+v %+v", r, r.Fault)
		}
		sequenceAll(t, l, 1) // what moves on may still do so
	})
}

func refusedBy(t *testing.T, url string, tables map[string]string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET search_path = yarrow; SET app.practice = '1'"); err != nil {
		t.Fatal(err)
	}
	for table, column := range tables {
		for _, text := range []string{"TRUNCATE " + table, "TRUNCATE " + table + " CASCADE", "DELETE FROM " + table, "UPDATE " + table + " SET " + column + " = " + column} {
			if _, err := conn.Exec(ctx, text); err == nil {
				t.Errorf("allowed as %s: %s", conn.Config().User, text)
			}
		}
	}
}
