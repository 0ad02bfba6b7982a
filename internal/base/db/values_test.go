package db_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func TestParametersKeepTheirNumbers(t *testing.T) {
	swapped := db.SQL(`SELECT CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT), '$1 ''?', "c" /* $9 */ FROM (SELECT 1 AS c) AS q -- $8`)
	lists := db.SQL(`SELECT id FROM note WHERE practice_id = $1 AND (id {in $2} OR body {in $3}) ORDER BY id`)
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error {
			for id, body := range []string{"zero", "one", `quo"ted`, "three"} {
				if err := add(ctx, tx, int64(id), body); err != nil {
					return err
				}
			}
			return nil
		})
		view(t, d, 1, func(tx *db.Tx) error {
			var a, b, c, quoted string
			var one int
			if err := tx.QueryRow(ctx, swapped, "first", "second").Scan(&a, &b, &c, &quoted, &one); err != nil {
				return err
			}
			if a != "second" || b != "first" || c != "second" || quoted != "$1 '?" || one != 1 {
				t.Errorf("got %q %q %q %q %d", a, b, c, quoted, one)
			}
			for _, c := range []struct {
				ids    []int64
				bodies []string
				want   string
			}{
				{[]int64{3, 1, 77}, []string{`quo"ted`}, "[1 2 3]"},
				{[]int64{}, []string{}, "[]"},
				{[]int64{-1 << 63, 0, 1<<63 - 1}, nil, "[0]"},
			} {
				rows, err := tx.Query(ctx, lists, 1, c.ids, c.bodies)
				if err != nil {
					return err
				}
				got := []int64{}
				for rows.Next() {
					var id int64
					if err := rows.Scan(&id); err != nil {
						return err
					}
					got = append(got, id)
				}
				if fmt.Sprint(got) != c.want || rows.Err() != nil {
					t.Errorf("%v %v: got %v, %v", c.ids, c.bodies, got, rows.Err())
				}
			}
			return nil
		})
		if err := d.View(ctx, d.Scope(1), func(tx *db.Tx) error {
			_, err := tx.Query(ctx, lists, 1)
			return err
		}); err == nil {
			t.Error("missing arguments were accepted")
		}
	})
}

func TestValuesComeBackAsTheyWent(t *testing.T) {
	put := db.SQL(`INSERT INTO note (practice_id, id, body, sealed, weight, flag) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (practice_id, id) DO UPDATE SET body = excluded.body, sealed = excluded.sealed, weight = excluded.weight, flag = excluded.flag`)
	get := db.SQL(`SELECT id, body, sealed, weight, flag, sealed IS NULL FROM note WHERE practice_id = $1 AND id = $2`)
	each(t, func(t *testing.T, d *dbtest.DB) {
		rapid.Check(t, func(rt *rapid.T) {
			id := rapid.Int64().Draw(rt, "id")
			body := rapid.StringMatching(`[^\x00]*`).Draw(rt, "body")
			sealed := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(rt, "sealed")
			var weight *float64
			if rapid.Bool().Draw(rt, "has weight") {
				f := rapid.Float64().Filter(func(f float64) bool { return f != 0 }).Draw(rt, "weight") // SQLite has no -0
				weight = &f
			}
			flag := rapid.Bool().Draw(rt, "flag")
			many := rapid.Bool().Draw(rt, "many")
			err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
				if _, err := tx.Exec(t.Context(), db.SQL(`DELETE FROM note WHERE practice_id = $1`), 1); err != nil {
					return err
				}
				if many {
					tx.InsertMany(notes, [][]any{{1, id, body, sealed, weight, flag}, {1, id ^ 1, "", nil, nil, 1}})
				} else if _, err := tx.Exec(t.Context(), put, 1, id, body, sealed, weight, flag); err != nil {
					return err
				}
				var gotID int64
				var gotBody string
				var gotSealed []byte
				var gotWeight *float64
				var gotFlag, null bool
				if err := tx.QueryRow(t.Context(), get, 1, id).Scan(&gotID, &gotBody, &gotSealed, &gotWeight, &gotFlag, &null); err != nil {
					return err
				}
				if gotID != id || gotBody != body || string(gotSealed) != string(sealed) || gotFlag != flag || null != (sealed == nil) ||
					(weight == nil) != (gotWeight == nil) || (weight != nil && *weight != *gotWeight) {
					return fmt.Errorf("got %d %q %x %v %v %v", gotID, gotBody, gotSealed, gotWeight, gotFlag, null)
				}
				return nil
			})
			if err != nil && !db.IsUnique(err) {
				rt.Fatal(err)
			}
		})
	})
}

func TestTextThatNoEngineMayKeepIsRefused(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		for _, body := range []string{"a\x00b", "\xff", "caf\xc3"} {
			err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error { return add(t.Context(), tx, 1, body) })
			if !errors.Is(err, db.ErrText) {
				t.Errorf("%q: %v", body, err)
			}
			err = d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
				tx.InsertMany(notes, [][]any{{1, 1, "fine", nil, nil, 0}, {1, 2, body, nil, nil, 0}})
				return nil
			})
			if !errors.Is(err, db.ErrText) {
				t.Errorf("InsertMany %q: %v", body, err)
			}
		}
		if n := count(t, d, 1); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestTypesAreStrictOnBothEngines(t *testing.T) {
	word := db.SQL(`INSERT INTO note (practice_id, id, body, flag) VALUES ($1, $2, $3, $4)`)
	each(t, func(t *testing.T, d *dbtest.DB) {
		for _, args := range [][]any{{1, "one", "x", 0}, {1, 1, "x", "yes"}, {1, 1, nil, 0}, {1, 1, "x", nil}} {
			err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
				_, err := tx.Exec(t.Context(), word, args...)
				return err
			})
			if err == nil {
				t.Errorf("%v was accepted", args)
			}
		}
	})
}

func TestSameOrderOnBothEngines(t *testing.T) {
	ordered := db.SQL(`SELECT body FROM note WHERE practice_id = $1 AND body >= $2 ORDER BY body`)
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		words := []string{"b", "A", "é", "a", "Z", "_", "e\u0301", "aa", "", "ä"}
		do(t, d, 1, func(tx *db.Tx) error {
			for i, w := range words {
				if err := add(ctx, tx, int64(i), w); err != nil {
					return err
				}
			}
			return nil
		})
		slices.Sort(words) // by bytes
		view(t, d, 1, func(tx *db.Tx) error {
			rows, err := tx.Query(ctx, ordered, 1, "")
			if err != nil {
				return err
			}
			var got []string
			for rows.Next() {
				var s string
				if err := rows.Scan(&s); err != nil {
					return err
				}
				got = append(got, s)
			}
			if !slices.Equal(got, words) {
				t.Errorf("order %q, want %q", got, words)
			}
			return rows.Err()
		})
	})
}

func TestCompiledStatements(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		view(t, d, 1, func(tx *db.Tx) error {
			for i := range 900 { // more than a connection keeps
				var n int64
				st := tx.Compile(fmt.Sprintf(`SELECT CAST($1 AS BIGINT) + %d`, i))
				if err := tx.QueryRow(ctx, st, 1).Scan(&n); err != nil || n != int64(i)+1 {
					t.Fatalf("%d: %d, %v", i, n, err)
				}
			}
			first, again := tx.Compile("SELECT 1"), tx.Compile("SELECT 1")
			if first != again {
				t.Error("the same text was compiled twice")
			}
			return nil
		})
		if err := d.View(ctx, d.Scope(1), func(tx *db.Tx) error {
			_, err := tx.Query(ctx, tx.Compile("SELECT $2"), 1)
			return err
		}); err == nil {
			t.Error("a statement with a missing parameter ran")
		}
	})
}

func TestStatementText(t *testing.T) {
	for _, bad := range []string{`SELECT $2`, `SELECT ?`, `SELECT '`, `SELECT "a`, `SELECT /* x`, `SELECT $0`, `x {in $1`, `x {of $1}`, `SELECT $`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was accepted", bad)
				}
			}()
			db.SQL(bad)
		}()
	}
}
