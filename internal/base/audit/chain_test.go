package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func sequenceAll(t *testing.T, l *audit.Log, p db.PracticeID) audit.Checkpoint {
	t.Helper()
	for {
		end, more, err := l.Sequence(t.Context(), dbtest.ScopeOf(p))
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return end
		}
	}
}

func verify(t *testing.T, l *audit.Log, known ...audit.Checkpoint) audit.Report {
	t.Helper()
	r, err := l.Verify(t.Context(), dbtest.ScopeOf(1), known...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fill records n entries, the last `waiting` of them without a position.
func fill(t *testing.T, l *audit.Log, n, waiting int) audit.Checkpoint {
	t.Helper()
	for i := range n {
		e := audit.Event{Action: audit.ActionRead, Type: "Patient", ID: "a", Patient: "Patient/a"}
		if i%5 == 0 {
			e = audit.Event{Action: audit.ActionPrint, Patient: "Patient/b"}
		}
		if err := l.Seen(t.Context(), person(1, int64(1+i)), e, e); err != nil {
			t.Fatal(err)
		}
		if i == n/2 || i == n-1-waiting {
			sequenceAll(t, l, 1)
		}
	}
	end, err := l.Head(t.Context(), dbtest.ScopeOf(1))
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func TestSequenceAndVerify(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		if r := verify(t, l); r.Fault != nil || r.Entries != 0 {
			t.Errorf("an empty log: %+v", r)
		}
		middle := fill(t, l, 10, 0)
		end := fill(t, l, 10, 3)
		if middle.Position != 20 || end.Position != 34 {
			t.Fatalf("positions %d and %d", middle.Position, end.Position)
		}
		r := verify(t, l, middle, end)
		if r.Fault != nil || r.Entries != 34 || r.Waiting != 6 || r.End != end {
			t.Errorf("%+v %+v", r, r.Fault)
		}
		again := sequenceAll(t, l, 1)
		if r := verify(t, l, middle, end, again); r.Fault != nil || r.Entries != 40 || r.Waiting != 0 {
			t.Errorf("%+v %+v", r, r.Fault)
		}
		if other := verify(t, l, audit.Checkpoint{Position: 20, Hash: end.Hash}); other.Fault == nil || other.Fault.Position != 20 {
			t.Errorf("a checkpoint of another history passes: %+v", other.Fault)
		}
	})
}

// Whoever can write to the tables, past triggers and grants, but has no key is always found out, and the first bad entry
// is named.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	const lastOf = ` = (SELECT max(position) FROM audit_%[1]s WHERE practice_id = $1)`
	last := func(table string) string { return fmt.Sprintf(" WHERE practice_id = $1 AND position"+lastOf, table) }
	for _, c := range []struct {
		name string
		sql  []string
		what string
		at   int64 // the first position named
	}{
		{"nothing", nil, "", 0},
		{"remove a pack", []string{`DELETE FROM audit_pack WHERE practice_id = $1 AND first = 1`}, "removed", 1},
		{"remove the last pack", []string{`DELETE FROM audit_pack` + last("pack")}, "removed", 513},
		{"remove fresh entries", []string{`DELETE FROM audit_fresh WHERE practice_id = $1 AND position = (SELECT min(position) FROM audit_fresh WHERE practice_id = $1)`}, "removed", 1025},
		{"cut the end off", []string{`DELETE FROM audit_fresh` + last("fresh")}, "cut off", 1037},
		{"change what waits", []string{`UPDATE audit_wait SET id = id + 1 WHERE practice_id = $1`}, "wait", 0},
		{"exchange two bodies", []string{`UPDATE audit_pack SET body = (SELECT body FROM audit_pack` + last("pack") + `) WHERE practice_id = $1 AND first = 1`}, "changed", 1},
		{"reorder packs", []string{`UPDATE audit_pack SET position = -position WHERE practice_id = $1`, `UPDATE audit_pack SET position = 1536 + position WHERE practice_id = $1`}, "removed", 1},
		{"renumber", []string{`DELETE FROM audit_pack WHERE practice_id = $1 AND first = 1`, `UPDATE audit_pack SET first = 1, position = 512 WHERE practice_id = $1`}, "seal is broken", 1},
		{"hide from searches", []string{`DELETE FROM audit_find WHERE practice_id = $1 AND high = (SELECT max(high) FROM audit_pack WHERE practice_id = $1)`}, "search row", 513},
		{"change a search row", []string{`UPDATE audit_find SET key = key + 1 WHERE practice_id = $1 AND high = (SELECT min(high) FROM audit_pack WHERE practice_id = $1)`}, "search row", 1},
		{"add a search row", []string{`INSERT INTO audit_find (practice_id, key, high) VALUES ($1, 1, 2)`}, "added", 0},
		{"move a pack in time", []string{`UPDATE audit_pack SET low = low - 1 WHERE practice_id = $1 AND first = 1`}, "times", 1},
		{"forge the tree", []string{`UPDATE audit_tree SET hash = (SELECT edge FROM audit_pack WHERE practice_id = $1 AND position = 512) WHERE practice_id = $1`}, "hash of the tree", 1},
		{"forge the edge", []string{`UPDATE audit_pack SET edge = (SELECT hash FROM audit_tree WHERE practice_id = $1 ORDER BY place LIMIT 1) WHERE practice_id = $1 AND first = 1`}, "hashes of the tree", 1},
		{"forge a checkpoint", []string{`UPDATE audit_checkpoint SET at = at - 1000000 WHERE practice_id = $1`}, "checkpoint was changed", 1036},
		{"forget all", []string{`DELETE FROM audit_pack WHERE practice_id = $1`, `DELETE FROM audit_fresh WHERE practice_id = $1`, `DELETE FROM audit_wait WHERE practice_id = $1`,
			`DELETE FROM audit_find WHERE practice_id = $1`, `DELETE FROM audit_tree WHERE practice_id = $1`, `DELETE FROM audit_checkpoint WHERE practice_id = $1`}, "cut off", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
				l := audit.New(d.DB)
				end := many(t, d, l)
				d.Force(t, 1, c.sql...)
				r := verify(t, l, end)
				switch {
				case c.what == "" && r.Fault != nil:
					t.Errorf("a false alarm: %+v", *r.Fault)
				case c.what == "" && (r.Entries != 1038 || r.Waiting != 2 || r.Checkpoints != 1):
					t.Errorf("%+v", r)
				case c.what != "" && r.Fault == nil:
					t.Error("not found")
				case c.what != "" && (!strings.Contains(r.Fault.What, c.what) || r.Fault.Position != c.at):
					t.Errorf("found as %+v", *r.Fault)
				}
			})
		})
	}
}

// many fills a log of two packs, some fresh rows, a signed checkpoint and two entries that wait: a look and a change.
func many(t *testing.T, d *dbtest.DB, l *audit.Log) audit.Checkpoint {
	t.Helper()
	var events []audit.Event
	for i := range 512 {
		e := audit.Event{Action: audit.ActionRead, Type: "Observation", ID: fmt.Sprintf("o%d", i), Patient: fmt.Sprintf("Patient/p%d", i%20)}
		if i%50 == 0 {
			e.Action = audit.ActionPrint
		}
		events = append(events, e)
	}
	seen := func(user int64, e ...audit.Event) {
		if err := l.Seen(t.Context(), person(1, user), e...); err != nil {
			t.Fatal(err)
		}
	}
	seen(1, events...)
	sequenceAll(t, l, 1)
	seen(2, events...)
	sequenceAll(t, l, 1)
	for i := range 6 {
		seen(int64(3+i), events[:2]...)
		sequenceAll(t, l, 1)
	}
	if _, ok, err := l.Checkpoint(t.Context(), dbtest.ScopeOf(1), true); !ok || err != nil {
		t.Fatal(ok, err)
	}
	seen(9, events[3:5]...)
	end := sequenceAll(t, l, 1)
	seen(10, events[5])
	if err := d.Do(t.Context(), person(1, 10), func(tx *db.Tx) error { l.Record(tx, events[6]); return nil }); err != nil {
		t.Fatal(err)
	}
	return end
}
