package db

import (
	"strings"
	"testing"
)

// FuzzTranslate: whatever is accepted means the same parameters on both engines, and no dollar is left for SQLite to
// take for a name.
func FuzzTranslate(f *testing.F) {
	for _, s := range []string{
		`SELECT a FROM t WHERE practice_id = $1 AND b {in $2} AND c = '$3 ''x' -- $4`, `SELECT "a$1" /* $9 */ WHERE $2 = $1`,
		`{in $1}`, `$`, `'`, `--`, `/*`, `$1$2`, `{in $1`, `$10, $1`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lite, n, errLite := translate(text, SQLite)
		pg, m, errPG := translate(text, PostgreSQL)
		if (errLite == nil) != (errPG == nil) || n != m {
			t.Fatalf("SQLite: %d %v, PostgreSQL: %d %v", n, errLite, m, errPG)
		}
		if errLite != nil {
			return
		}
		if bare := withoutQuoted(lite); strings.ContainsAny(bare, "$") {
			t.Fatalf("a dollar is left in %q", lite)
		}
		if strings.Contains(withoutQuoted(pg), "?") {
			t.Fatalf("a question mark is left in %q", pg)
		}
	})
}

func withoutQuoted(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		j, err := skipQuoted(text, i)
		if err != nil {
			return b.String()
		}
		if j > i {
			i = j
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// FuzzRewriteDDL: a migration is refused or rewritten, and rewriting what is rewritten changes nothing in PostgreSQL's
// words but the collation.
func FuzzRewriteDDL(f *testing.F) {
	f.Add("-- +goose Up\nCREATE TABLE a (x BIGINT, t TEXT) /*clustered*/;\nINSERT INTO a VALUES (1, 'TEXT;');")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range []Engine{SQLite, PostgreSQL} {
			out, err := rewriteDDL(text, e)
			if err == nil && len(text) > 0 && len(strings.TrimSpace(text)) > 0 && strings.TrimSpace(out) == "" {
				t.Fatalf("%v: nothing is left of %q", e, text)
			}
		}
	})
}
