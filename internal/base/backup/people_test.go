package backup_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// TestPeopleAreRenumbered: two people who change numbers stay two, and nobody else is touched.
func TestPeopleAreRenumbered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ins := db.InsertInto("role_rule", "practice_id", "role", "kind", "name", "value", "changed", "changed_by")
		err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
			for i, name := range []string{"a", "b", "c"} {
				tx.InsertMany(ins, [][]any{{1, "nurse", "permission", name, 1, 1, i + 1}})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := backup.Renumber(t.Context(), d.DB, d.Scope(1), map[int64]int64{1: 2, 2: 1}); err != nil {
			t.Fatal(err)
		}
		got := ""
		err = d.View(t.Context(), d.Scope(1), func(tx *db.Tx) error {
			rows, err := tx.Query(t.Context(), db.SQL(`SELECT name, changed_by FROM role_rule WHERE practice_id = $1 ORDER BY name`), 1)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var name string
				var by int64
				if err := rows.Scan(&name, &by); err != nil {
					return err
				}
				got += name + string(rune('0'+by))
			}
			return rows.Err()
		})
		if err != nil || got != "a2b1c3" {
			t.Errorf("%s %v", got, err)
		}
	})
}

// TestNobodysNumberIsForgotten: a new column with numbers of people must be renumbered too.
func TestNobodysNumberIsForgotten(t *testing.T) {
	known, err := os.ReadFile("people_store.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("../db/migrations/practice")
	if err != nil || len(files) < 7 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile("../db/migrations/practice/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`).FindAllStringSubmatch(string(b), -1) {
			for _, col := range regexp.MustCompile(`(?m)^\s+(\w*user\w*|\w+_by|author)\s+BIGINT`).FindAllStringSubmatch(m[2], -1) {
				if want := `{"` + m[1] + `", "` + col[1] + `"}`; !strings.Contains(string(known), want) && m[1]+"."+col[1] != "resource.author" && m[1]+"."+col[1] != "history.author" {
					t.Errorf("%s.%s: is it a person's number? Then list it in peopleColumns", m[1], col[1])
				}
			}
		}
	}
}
