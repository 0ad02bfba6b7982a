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

// Whoever can write to the tables but has no key is always found out, and the first bad entry is named.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	const some = `(SELECT max(id) FROM audit_event WHERE practice_id = $1 AND id < (SELECT max(id) FROM audit_event WHERE practice_id = $1) - 8 * 4096)`
	for _, c := range []struct {
		name string
		sql  []string
		what string
	}{
		{"nothing", nil, ""},
		{"delete an entry", []string{`DELETE FROM audit_event WHERE practice_id = $1 AND id = ` + some}, "removed"},
		{"delete one that waits", []string{`DELETE FROM audit_event WHERE practice_id = $1 AND id = (SELECT max(id) FROM audit_event WHERE practice_id = $1)`}, "removed"},
		{"move it to another time", []string{`UPDATE audit_event SET id = id + 1 WHERE practice_id = $1 AND id = ` + some}, "removed"},
		{"put another's body in", []string{`UPDATE audit_event SET body = (SELECT body FROM audit_event WHERE practice_id = $1 ORDER BY id LIMIT 1) WHERE practice_id = $1 AND id = ` + some}, "changed"},
		{"hide it from a patient", []string{`UPDATE audit_event SET patient = NULL WHERE practice_id = $1 AND id = ` + some}, "search columns"},
		{"give it to another user", []string{`UPDATE audit_event SET who = who + 1 WHERE practice_id = $1 AND id = ` + some}, "search columns"},
		{"hide an action", []string{`UPDATE audit_event SET action = NULL WHERE practice_id = $1 AND action IS NOT NULL`}, "search columns"},
		{"add a copy", []string{`INSERT INTO audit_event (practice_id, id, who, patient, action, body) SELECT practice_id, id + 1, who, patient, action, body FROM audit_event WHERE practice_id = $1 AND id = ` + some}, "added"},
		{"drop the last block", []string{`DELETE FROM audit_block WHERE practice_id = $1 AND position = (SELECT max(position) FROM audit_block WHERE practice_id = $1)`}, "cut off"},
		{"drop the first block", []string{`DELETE FROM audit_block WHERE practice_id = $1 AND position = (SELECT min(position) FROM audit_block WHERE practice_id = $1)`}, "block"},
		{"forge a hash", []string{`UPDATE audit_block SET hash = (SELECT hash FROM audit_block WHERE practice_id = $1 ORDER BY position DESC LIMIT 1) WHERE practice_id = $1`}, "changed or moved"},
		{"forget all", []string{`DELETE FROM audit_event WHERE practice_id = $1`, `DELETE FROM audit_block WHERE practice_id = $1`, `DELETE FROM audit_new WHERE practice_id = $1`}, "cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
				l := audit.New(d.DB)
				end := fill(t, l, 12, 2)
				err := d.Do(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
					for _, s := range c.sql {
						if n, err := tx.Exec(t.Context(), db.SQL(s), 1); err != nil || n == 0 {
							return fmt.Errorf("%d rows: %w", n, err)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				r := verify(t, l, end)
				switch {
				case c.what == "" && r.Fault != nil:
					t.Errorf("a false alarm: %+v", *r.Fault)
				case c.what != "" && r.Fault == nil:
					t.Error("not found")
				case c.what != "" && !strings.Contains(r.Fault.What, c.what):
					t.Errorf("found as %+v", *r.Fault)
				}
			})
		})
	}
}

// Every byte of a sealed entry counts.
func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	end := fill(t, l, 3, 0)
	read := db.SQL(`SELECT id, body FROM audit_event WHERE practice_id = $1 ORDER BY id LIMIT 1`)
	write := db.SQL(`UPDATE audit_event SET body = $2 WHERE practice_id = $1 AND id = $3`)
	var id int64
	var body []byte
	err := d.View(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
		var b []byte
		err := tx.QueryRow(t.Context(), read, 1).Scan(&id, &b)
		body = append(body, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		err := d.Do(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), write, 1, b, id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range body {
		bad := append([]byte(nil), body...)
		bad[i] ^= 0x40
		put(bad)
		if r := verify(t, l, end); r.Fault == nil || r.Fault.Position != 1 || r.Fault.ID != id {
			t.Fatalf("byte %d flipped: %+v", i, r.Fault)
		}
	}
	put(body[:len(body)-1])
	if r := verify(t, l, end); r.Fault == nil {
		t.Error("a missing byte is not found")
	}
	put(body)
	if r := verify(t, l, end); r.Fault != nil {
		t.Errorf("restored, but %+v", *r.Fault)
	}
	if got := find(t, l, 1, audit.Filter{}); got[0].Action == audit.ActionDamaged {
		t.Error("a whole entry shows as damaged")
	}
}
