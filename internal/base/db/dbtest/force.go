package dbtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/db"
)

// Force runs statements on a practice as somebody could who owns the database: past grants, row security and
// triggers. $1 is the practice. A statement that changes nothing fails the test. Afterwards an embedded database has
// no triggers any more.
func (d *DB) Force(t testing.TB, p db.PracticeID, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if d.Engine() == db.SQLite {
		if err := d.Do(ctx, ScopeOf(p), func(tx *db.Tx) error { return forceLite(ctx, tx, statements) }); err != nil {
			t.Fatal(err)
		}
		return
	}
	conn, err := pgx.Connect(ctx, d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET session_replication_role = replica; SET search_path = yarrow"); err != nil {
		t.Fatal(err)
	}
	for _, text := range statements {
		tag, err := conn.Exec(ctx, strings.ReplaceAll(text, "$1", fmt.Sprint(p)))
		if err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("%s: %d rows, %v", text, tag.RowsAffected(), err)
		}
	}
}

// RowSecurity turns the row security of every table off or on, to measure what it costs. The database has it again when the test ends.
// An embedded database has none.
func (d *DB) RowSecurity(t testing.TB, on bool) {
	t.Helper()
	if d.Engine() == db.SQLite {
		return
	}
	verb := "DISABLE"
	if on {
		verb = "ENABLE"
	} else {
		t.Cleanup(func() { d.RowSecurity(t, true) })
	}
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `DO $$ DECLARE r regclass; BEGIN
		FOR r IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND relforcerowsecurity LOOP
			EXECUTE format('ALTER TABLE %s `+verb+` ROW LEVEL SECURITY', r);
		END LOOP; END $$`)
	if err != nil {
		t.Fatal(err)
	}
}

func forceLite(ctx context.Context, tx *db.Tx, statements []string) error {
	rows, err := tx.Query(ctx, db.SQL(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`))
	if err != nil {
		return err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	rows.Close()
	for _, name := range names {
		if _, err := tx.Exec(ctx, db.SQL("DROP TRIGGER "+name)); err != nil {
			return err
		}
	}
	for _, text := range statements {
		if n, err := tx.Exec(ctx, db.SQL(text), int64(tx.Practice())); err != nil || n == 0 {
			return fmt.Errorf("%s: %d rows, %w", text, n, err)
		}
	}
	return nil
}
