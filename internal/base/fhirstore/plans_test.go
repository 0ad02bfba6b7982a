package fhirstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// hot are the searches whose way through the indexes must not change unnoticed.
var hot = []string{
	"Observation?patient=p1&code=c1", "Observation?patient=p1", "Observation?patient=p1&category=laboratory", "Observation?patient=p1&date=ge2024", "Observation?code=c1", "Observation?code=c1&_sort=date",
	"Observation?code=c1,c2", "Observation?category=laboratory", "Observation?status:not=final", "Observation?code:text=x", "Observation?date=ge2024&date=lt2025",
	"Observation?encounter=e1", "Observation?code-value-quantity=c1$gt5", "Observation?code-value-quantity=c1$5|http://unitsofmeasure.org|mg", "Observation?_id=o1,o2", "Observation?_lastUpdated=gt2024",
	"Patient?name=ash", "Patient?identifier=x", "Patient?birthdate=1980", "Patient?name:contains=sh", "Patient?gender=female", "Encounter?status=planned", "Encounter?date=2024", "Condition?patient=p1&clinical-status=active",
}

// loose are statements that the compiler does not make.
var loose = []struct {
	name, text string
	args       []any
}{
	{"ReadMany", `SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2}`, []any{int64(1), []int64{1, 2, 3}}},
	{"Write", `SELECT ` + rowColumns + `, r.author, r.idx_keys FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2} ORDER BY (r.rid + 0)`, []any{int64(1), []int64{1, 2, 3}}},
	{"Labels", `SELECT idh, labels FROM resource WHERE practice_id = $1 AND idh {in $2} AND labels <> 0`, []any{int64(1), []int64{1, 2, 3}}},
	{"Known", `SELECT idh FROM resource WHERE practice_id = $1 AND idh {in $2} AND deleted = 0`, []any{int64(1), []int64{1, 2, 3}}},
	{"Read", `SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.idh = $2`, []any{int64(1), int64(1)}},
	{"Changes", `SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.seq > $2 ORDER BY r.seq LIMIT $3`, []any{int64(1), int64(1), int64(1)}},
}

// What PostgreSQL sorts, and whether it collects rows in a bitmap first, depends on how full pages are; which indexes it
// reads must not.
var indexName = regexp.MustCompile(`Seq Scan on \w+|(?:using|Bitmap Index Scan on) \w+`)

// TestPlansOfHotSearches compares which indexes each engine takes, and in what order, with what is written down. PostgreSQL must choose them with no statistics at all.
func TestPlansOfHotSearches(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(fixtures()...)
		var out strings.Builder
		undone := errors.New("undone")
		// All in one transaction that does not end well: nobody gathers statistics of what it holds.
		if err := b.try(system(1), func(ctx context.Context, tx *db.Tx) error {
			out.Reset()
			if tx.Engine() == db.PostgreSQL {
				for _, filler := range []string{
					`INSERT INTO resource SELECT $1, 100000 + g, g, 1, g, g, 0, g, g, g, 0, 0, 1 + g % 148, 0, 'x', repeat('x', 200)::bytea FROM generate_series(1, 20000) g`,
					`INSERT INTO hkey SELECT $1, g % 1000, g, 100000 + g FROM generate_series(1, 20000) g`, `INSERT INTO rkey SELECT $1, g % 1000, g, g, 100000 + g FROM generate_series(1, 20000) g`,
				} {
					if _, err := tx.Exec(ctx, tx.Compile(filler), int64(1)); err != nil {
						return err
					}
				}
			}
			for _, who := range []struct {
				name string
				s    db.Scope
			}{{"system", system(1)}, {"a patient's app", patientApp("Patient/p1")}} {
				for _, request := range hot {
					q := parse(t, request)
					a := b.kernelFor(tx, who.s)
					x := compiler{s: b.Store, tx: tx, a: &a}
					c, err := x.compile(ctx, q.Type, q.Clauses)
					if err != nil {
						return err
					}
					o, _ := orderOf(q)
					c.many = o.bySeq
					fmt.Fprintf(&out, "%s, %s\n", request, who.name)
					if err := b.explain(ctx, tx, c.query(1, o, nil, 50), &out); err != nil {
						return err
					}
				}
			}
			for _, st := range loose {
				fmt.Fprintf(&out, "%s\n", st.name)
				q := newSQL(1)
				q.add(st.text)
				q.args = st.args
				if err := b.explain(ctx, tx, q, &out); err != nil {
					return err
				}
			}
			return undone
		}); !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if b.d.Engine() == db.PostgreSQL {
			// Which of two indexes it takes where it expects one row of either depends on what the test database held
			// before; that it reads no table whole does not.
			if strings.Contains(out.String(), "Seq Scan") || !strings.Contains(out.String(), "hkey_pkey") {
				t.Errorf("a hot search reads a whole table:\n%s", out.String())
			}
			return
		}
		golden := filepath.Join("testdata", "plans", "searches-"+strings.ToLower(fmt.Sprint(b.d.Engine()))+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != string(want) {
			g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
			for i := range g {
				if i >= len(w) || g[i] != w[i] {
					t.Fatalf("line %d of %s differs: %q. If the change is meant, run with -update and look at the difference.", i+1, golden, g[i])
				}
			}
			t.Fatalf("%s has more lines", golden)
		}
		for i, line := range strings.Split(string(want), "\n") {
			if strings.Contains(line, "Seq Scan") || strings.HasPrefix(strings.TrimSpace(line), "SCAN r") || strings.HasSuffix(line, "(practice_id=?)") && !strings.Contains(line, "resource_seq") {
				t.Errorf("%s:%d reads a whole table: %s", golden, i+1, line)
			}
		}
	})
}

// TestPlansOfAPracticeThatStatisticsDoNotKnow: a practice comes to a server whose statistics say that all rows belong to
// others, as after an import. PostgreSQL expects no rows then, and any index would do; it must take those that find the row.
func TestPlansOfAPracticeThatStatisticsDoNotKnow(t *testing.T) {
	b := benchOn(t, dbtest.PostgreSQL(t, nil))
	fill := func(p int64) []string {
		return []string{
			fmt.Sprintf(`INSERT INTO resource SELECT %d, 100000 + g, g, 1, g, g, 0, g, g, g, 0, 0, 1 + g %% 148, 0, 'x', repeat('x', 200)::bytea FROM generate_series(1, 20000) g`, p),
			fmt.Sprintf(`INSERT INTO hkey SELECT %d, g %% 1000, g, 100000 + g FROM generate_series(1, 20000) g`, p),
			fmt.Sprintf(`INSERT INTO rkey SELECT %d, g %% 1000, g, g, 100000 + g FROM generate_series(1, 20000) g`, p),
		}
	}
	b.d.Force(t, 2, fill(2)...)
	b.analyze()
	b.d.Force(t, 1, fill(1)...)
	conn := b.lookedAt()
	look := func(name string, sql *sqlText) {
		plan := b.planOf(conn, sql)
		for _, wrong := range []string{"Seq Scan", "Filter: (rid = ", "Filter: (idh = "} {
			if strings.Contains(plan, wrong) {
				t.Errorf("%s: a row is looked for in all of the practice\n%s\n%s", name, sql.b.String(), plan)
			}
		}
		asked := name == "Changes" || strings.Contains(name, "_lastUpdated")
		if strings.Contains(plan, "resource_seq") && !asked {
			t.Errorf("%s: the order of changes is gone through\n%s", name, plan)
		}
	}
	for _, request := range hot {
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			q := parse(t, request)
			a := b.kernelFor(tx, system(1))
			x := compiler{s: b.Store, tx: tx, a: &a}
			c, err := x.compile(ctx, q.Type, q.Clauses)
			if err != nil {
				return err
			}
			o, _ := orderOf(q)
			c.many = o.bySeq
			look(request, c.query(1, o, nil, 50))
			return nil
		})
	}
	for _, st := range loose {
		q := newSQL(1)
		q.add(st.text)
		q.args = st.args
		look(st.name, q)
	}
}

// lookedAt is a connection like the store's own, which it does not lend.
func (b *bench) lookedAt() *pgx.Conn {
	b.t.Helper()
	var mode string
	b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, tx.Compile("SELECT current_setting('plan_cache_mode')")).Scan(&mode)
	})
	c, err := pgx.Connect(b.t.Context(), b.d.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close(context.Background()) })
	if _, err := c.Exec(b.t.Context(), "SET search_path = yarrow; SET app.practice = '1'; SET jit = off; SET plan_cache_mode = "+mode); err != nil {
		b.t.Fatal(err)
	}
	return c
}

var inList = regexp.MustCompile(`\{in (\$\d+)\}`)

// planOf is the plan of a statement that is prepared and then carried out.
func (b *bench) planOf(c *pgx.Conn, q *sqlText) string {
	b.t.Helper()
	var args, types []string
	for _, a := range q.args {
		switch v := a.(type) {
		case []int64:
			args, types = append(args, "'{"+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(v)), ","), "[]")+"}'"), append(types, "bigint[]")
		case float64:
			args, types = append(args, fmt.Sprint(v)), append(types, "double precision")
		case []byte:
			args, types = append(args, fmt.Sprintf(`'\x%x'`, v)), append(types, "bytea")
		case string:
			args, types = append(args, "'"+v+"'"), append(types, "text")
		default:
			args, types = append(args, fmt.Sprint(v)), append(types, "bigint")
		}
	}
	text := inList.ReplaceAllString(q.b.String(), "= ANY ($1)")
	if _, err := c.Exec(b.t.Context(), "PREPARE looked_at ("+strings.Join(types, ", ")+") AS "+text); err != nil {
		b.t.Fatalf("%v\n%s", err, text)
	}
	rows, err := c.Query(b.t.Context(), "EXPLAIN EXECUTE looked_at ("+strings.Join(args, ", ")+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := c.Exec(b.t.Context(), "DEALLOCATE looked_at"); err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func (b *bench) explain(ctx context.Context, tx *db.Tx, q *sqlText, out *strings.Builder) error {
	verb := "EXPLAIN QUERY PLAN "
	if tx.Engine() == db.PostgreSQL {
		verb = "EXPLAIN "
	}
	rows, err := tx.Query(ctx, tx.Compile(verb+q.b.String()), q.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if tx.Engine() == db.PostgreSQL {
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if line = indexName.FindString(line); line == "" {
				continue
			}
			line = strings.TrimPrefix(strings.TrimPrefix(line, "using "), "Bitmap Index Scan on ")
		} else {
			var id, parent, unused int64
			if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "    %s\n", line)
	}
	return rows.Err()
}
