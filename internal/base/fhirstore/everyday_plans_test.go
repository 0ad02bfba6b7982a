package fhirstore

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

var update = flag.Bool("update", false, "write testdata/plans/*.txt anew")

// ofADay are the forms of statements that a practice's day consists of. {p} is a patient's id.
var ofADay = []struct {
	name string
	do   func(ctx context.Context, b *bench, tx *db.Tx) error
}{
	{"read", func(ctx context.Context, b *bench, tx *db.Tx) error {
		_, err := b.Read(ctx, tx, "Patient", "p1")
		return err
	}},
	{"read of several", func(ctx context.Context, b *bench, tx *db.Tx) error {
		_, err := b.ReadMany(ctx, tx, []string{"Patient/p1", "Encounter/e1-1", "Observation/o1-1"})
		return err
	}},
	{"read of a version", func(ctx context.Context, b *bench, tx *db.Tx) error {
		_, err := b.ReadVersion(ctx, tx, "Patient", "p1", 1)
		return err
	}},
	{"history of one", func(ctx context.Context, b *bench, tx *db.Tx) error {
		_, err := b.History(ctx, tx, "Patient", "p1", 0, 20)
		return err
	}},
	{"chart", func(ctx context.Context, b *bench, tx *db.Tx) error {
		_, err := b.Compartment(ctx, tx, "p1", []string{"Condition", "Encounter", "Observation"}, 50)
		return err
	}},
	{"patient and code", finding("Observation?patient=p1&code=http://loinc.org|8302-2")},
	{"patient, code and date", finding("Observation?patient=p1&code=http://loinc.org|8302-2&date=ge2016")},
	{"patient and category", finding("Observation?patient=p1&category=laboratory")},
	{"patient and status", finding("Condition?patient=p1&clinical-status=active")},
	{"name", finding("Patient?name=" + flatName(1))},
	{"name and birth date", finding("Patient?name=" + flatName(1) + "&birthdate=1931-02-02")},
	{"identifier", finding("Patient?identifier=urn:mrn|M1")},
	{"several by id", finding("Patient?_id=p1,p2")},
	{"changed since", finding("Observation?_lastUpdated=gt2020-01-01")},
	{"code, newest first", finding("Observation?code=http://loinc.org|8302-2&_sort=-date")},
	{"chain", finding("Observation?patient.identifier=urn:mrn|M1&code=http://loinc.org|8302-2")},
	{"reverse chain", finding("Patient?_has:Condition:patient:code=http://snomed.info/sct|38341004")},
	{"with what it refers to", finding("Observation?patient=p1&code=http://loinc.org|8302-2&_include=Observation:encounter")},
	{"with what refers to it", finding("Patient?_id=p1&_revinclude=Condition:patient")},
	{"type by date", finding("Encounter?date=ge2016-01-01&date=lt2017-01-01")},
	{"type by date, oldest first", finding("Encounter?date=ge2016-01-01&_sort=date")},
	{"count of a patient's results", finding("Observation?patient=p1&_total=accurate&_summary=count")},
	{"count of a type", finding("Encounter?_summary=count")},
	{"create", func(ctx context.Context, b *bench, tx *db.Tx) error {
		p, err := b.PrepareNew(ctx, []byte(flatResult(1, 1)))
		if err != nil {
			return err
		}
		p.Seek(WarnTarget)
		_, err = b.Create(ctx, tx, p)
		return err
	}},
	{"update", func(ctx context.Context, b *bench, tx *db.Tx) error {
		p, err := b.Prepare(ctx, []byte(flatPatientWith("p1", 1, 77)))
		if err != nil {
			return err
		}
		_, err = b.Update(ctx, tx, p, 0)
		return err
	}},
}

func finding(request string) func(ctx context.Context, b *bench, tx *db.Tx) error {
	return func(ctx context.Context, b *bench, tx *db.Tx) error {
		page, err := b.Search(ctx, tx, parse(b.t, request))
		if err == nil && len(page.Resources) == 0 && page.Total < 1 {
			err = fmt.Errorf("%s finds nothing: it says nothing about how something is found", request)
		}
		return err
	}
}

// statement is one that the store sent.
type statement struct {
	text string
	args []any
}

// TestPlansOfEverydayStatements compares how each engine carries out every form of statement of a practice's day, as the store
// sends it, with what is written down in testdata/plans: which nodes, which indexes, in which order. PostgreSQL plans with
// what it knows after VACUUM (ANALYZE) of two practices, in the plan_cache_mode in which the server reads or writes.
func TestPlansOfEverydayStatements(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(flatPatient("first", 0))
		if b.d.Engine() == db.PostgreSQL {
			b.fillForPlans()
		} else {
			var all []string
			for i := range 3 {
				if err := flatChart(i, func(raw string) error { all = append(all, raw); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			b.put(all...)
		}
		sent := b.traced()
		var out strings.Builder
		for _, e := range ofADay {
			write := e.name == "create" || e.name == "update"
			run := b.d.View
			if write {
				run = b.d.Do
			}
			for range 2 { // the second time, what is read once for all is known
				*sent = nil
				if err := run(t.Context(), system(1), func(tx *db.Tx) error { return e.do(t.Context(), b, tx) }); err != nil {
					t.Fatalf("%s: %v", e.name, err)
				}
			}
			fmt.Fprintf(&out, "## %s\n", e.name)
			seen := map[string]bool{}
			for _, st := range *sent {
				if seen[st.text] || !strings.Contains(st.text, "resource") && !strings.Contains(st.text, "key") && !strings.Contains(st.text, "history") {
					continue // what other packages write beside it is theirs
				}
				seen[st.text] = true
				fmt.Fprintf(&out, "%s\n", strings.TrimSpace(headOf(st.text)))
				for _, line := range b.shapeOf(st, write) {
					fmt.Fprintf(&out, "    %s\n", line)
				}
			}
		}
		b.golden(filepath.Join("testdata", "plans", "everyday-"+strings.ToLower(fmt.Sprint(b.d.Engine()))+".txt"), out.String())
	})
}

// fillForPlans loads two practices of some thousand resources each, so that pages and statistics are the same in every run.
func (b *bench) fillForPlans() {
	b.t.Helper()
	exec := func(texts ...string) {
		b.t.Helper()
		c, err := pgx.Connect(b.t.Context(), b.d.Super)
		if err != nil {
			b.t.Fatal(err)
		}
		defer c.Close(context.Background())
		for _, text := range texts {
			if _, err := c.Exec(b.t.Context(), text); err != nil {
				b.t.Fatalf("%s: %v", text, err)
			}
		}
	}
	exec("TRUNCATE yarrow.resource, yarrow.hkey, yarrow.rkey, yarrow.history") // pages that earlier tests left would count
	b.grow(0, 60)
	exec("INSERT INTO yarrow.resource SELECT 2, rid, idh, version, seq, date, span, facet, patient, encounter, author, labels, type, deleted, idx_keys, body FROM yarrow.resource",
		"INSERT INTO yarrow.hkey SELECT 2, h, d, rid FROM yarrow.hkey", "INSERT INTO yarrow.rkey SELECT 2, p, lo, hi, rid FROM yarrow.rkey",
		"INSERT INTO yarrow.history SELECT practice_id, rid, 1000, seq - 1000000000000, author, labels, deleted, body FROM yarrow.resource",
		"SET default_statistics_target = 2000", "VACUUM (ANALYZE) yarrow.resource, yarrow.hkey, yarrow.rkey, yarrow.history")
	exec("SET default_statistics_target = 2000; ANALYZE yarrow.resource; ANALYZE yarrow.hkey; ANALYZE yarrow.rkey; ANALYZE yarrow.history")
}

// traced opens the database again so that what the store sends is kept.
func (b *bench) traced() *[]statement {
	b.t.Helper()
	var sent []statement
	o := b.d.Options()
	o.Trace = func(text string, args []any) { sent = append(sent, statement{text, args}) }
	if err := b.d.DB.Close(); err != nil {
		b.t.Fatal(err)
	}
	opened, err := db.Open(context.WithoutCancel(b.t.Context()), o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.d.DB = opened
	b.Store = New(opened, audit.New(opened))
	return &sent
}

// headOf is the beginning of a statement, without what varies.
func headOf(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if i := strings.Index(text, " WHERE"); i > 0 {
		text = text[:i]
	}
	verb, rest, _ := strings.Cut(text, " ")
	if verb == "SELECT" || verb == "WITH" {
		if i := strings.Index(rest, "FROM "); i >= 0 {
			rest = rest[i:]
		}
	}
	return verb + " … " + rest[:min(len(rest), 60)]
}

// What a line of PostgreSQL's plan says of the way that is taken, and the columns by which an index is entered. Result nodes only
// hold the test of the practice.
var (
	planNode  = regexp.MustCompile(`^(\s*)(?:->\s+)?([A-Z][A-Za-z ]*(?:using \w+ )?(?:on \w+(?: \w+)?)?)(?:  \(|$)`)
	indexCond = regexp.MustCompile(`(\w+) (=|<=|>=|<|>) `)
)

// shapeOf is how a statement is carried out: nodes and indexes, no costs.
func (b *bench) shapeOf(st statement, write bool) (out []string) {
	b.t.Helper()
	if b.d.Engine() == db.SQLite {
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			rows, err := tx.Query(ctx, tx.Compile("EXPLAIN QUERY PLAN "+markers.ReplaceAllString(st.text, "$$$1")), st.args...)
			if err != nil {
				return fmt.Errorf("%s: %w", st.text, err)
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int64
				var line string
				if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
					return err
				}
				out = append(out, line)
			}
			return rows.Err()
		})
		return out
	}
	c := b.lookedAt()
	defer c.Close(context.Background())
	if write {
		if _, err := c.Exec(b.t.Context(), "SET plan_cache_mode = auto"); err != nil {
			b.t.Fatal(err)
		}
	}
	q := newSQL(1)
	q.b.Reset()
	q.b.WriteString(st.text)
	q.args = st.args
	for line := range strings.SplitSeq(b.planOf(c, q), "\n") {
		if _, cond, ok := strings.Cut(line, "Index Cond: "); ok && len(out) > 0 {
			var columns []string
			for _, m := range indexCond.FindAllStringSubmatch(cond, -1) {
				if column := m[1] + m[2]; !slices.Contains(columns, column) {
					columns = append(columns, column)
				}
			}
			out[len(out)-1] += " (" + strings.Join(columns, " ") + ")"
		} else if m := planNode.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[2], "Result") {
			out = append(out, m[1]+strings.TrimSpace(m[2]))
		}
	}
	return out
}

var markers = regexp.MustCompile(`\?(\d+)`)

// wholeTable is a line that reads all of a table, or all that a practice has in it.
var wholeTable = regexp.MustCompile(`Seq Scan on|^\s*SCAN (r|k|s|x)\b|\(practice_id=\??\)$`)

// golden compares with what is written down, and says which way changed and whether a table is read whole now.
func (b *bench) golden(file, got string) {
	b.t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatalf("%v: run with -update to write it", err)
	}
	was, now := sections(string(raw)), sections(got)
	for name, text := range now {
		if was[name] == text {
			continue
		}
		whole := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if wholeTable.MatchString(line) && !strings.Contains(was[name], line) {
				whole = "A TABLE IS READ WHOLE NOW: " + strings.TrimSpace(line) + "\n"
			}
		}
		b.t.Errorf("%s: %s is carried out in another way.\n%sIt was\n%sand is now\n%sIf the change is meant, run with -update and look at the difference.", file, name, whole, was[name], text)
	}
	for name := range was {
		if _, ok := now[name]; !ok {
			b.t.Errorf("%s: %s is not tried any more; run with -update", file, name)
		}
	}
}

func sections(text string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(text, "## ") {
		if name, rest, ok := strings.Cut(part, "\n"); ok {
			out[name] = rest
		}
	}
	return out
}
