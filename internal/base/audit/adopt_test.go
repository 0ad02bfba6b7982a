package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// before8 is the schema up to practice step 7.
func before8(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, set := range []string{"practice", "system"} {
		names, err := filepath.Glob("../db/migrations/" + set + "/*.sql")
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if set == "practice" && filepath.Base(name) >= "0008" {
				continue
			}
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[set+"/"+filepath.Base(name)] = &fstest.MapFile{Data: raw}
		}
	}
	return files
}

// newest gives the data the schema of today, as an upgrade does.
func newest(t *testing.T, d *dbtest.DB) {
	t.Helper()
	if err := d.DB.Close(); err != nil {
		t.Fatal(err)
	}
	o := d.Options()
	o.Migrations = nil
	if d.Engine() == db.PostgreSQL {
		if err := db.Migrate(t.Context(), d.Owner, ""); err != nil {
			t.Fatal(err)
		}
	}
	opened, err := db.Open(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	d.DB = opened
}

// recordEarlier writes n entries as practice schema 7 did, in blocks of per; the last ones have no block yet.
func recordEarlier(t *testing.T, d *dbtest.DB, n, per, loose int) (ids []int64) {
	t.Helper()
	events := db.InsertInto("audit_event", "practice_id", "id", "who", "patient", "action", "body")
	blocks := db.InsertInto("audit_block", "practice_id", "position", "ids", "hash")
	fresh := db.InsertInto("audit_new", "practice_id", "first_id", "ids")
	links := db.InsertInto("audit_link", "practice_id", "patient", "id")
	err := d.Do(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
		ids = nil
		var chain [32]byte
		var packed []byte
		last := int64(0)
		for i := range n {
			at := dbtest.Start.AddDate(0, -1, 0).Add(time.Duration(i) * time.Minute)
			e := Entry{ID: idAt(at) + 7, At: at, Actor: db.Actor{Kind: "staff", UserID: int64(1 + i%3)},
				Event: Event{Action: ActionRead, Type: "Patient", ID: "a", Patient: "Patient/a", Links: []string{"Patient/b"}}}
			plain := appendEntry(nil, &e)
			if i == 1 { // spelled out, as when "nurse" was no word yet
				plain = append(plain, fieldRole<<3|formText, 5)
				plain = append(plain, "nurse"...)
			}
			body := tx.Keys().Audit().Seal(nil, plain, oldPlace(1, e.ID))
			tx.InsertMany(events, [][]any{{int64(1), e.ID, whoKey(tx.Keys(), e.Actor), patientKey(tx.Keys(), e.Patient), nil, body}})
			tx.InsertMany(links, [][]any{{int64(1), patientKey(tx.Keys(), "Patient/b"), e.ID}})
			ids = append(ids, e.ID)
			if i >= n-loose {
				tx.InsertMany(fresh, [][]any{{int64(1), e.ID, nil}})
				continue
			}
			chain = oldChain(chain, 1, e.ID, body)
			packed = binary.AppendVarint(packed, e.ID-last)
			if last = e.ID; (i+1)%per == 0 || i == n-loose-1 {
				tx.InsertMany(blocks, [][]any{{int64(1), int64(i + 1), packed, chain[:]}})
				packed, last = nil, 0
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func sequenceUp(t *testing.T, l *Log) {
	t.Helper()
	for more := true; more; {
		var err error
		if _, more, err = l.Sequence(t.Context(), dbtest.ScopeOf(1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEarlierEntriesAreAdopted(t *testing.T) {
	t.Parallel()
	files := before8(t)
	dbtest.EachWith(t, files, func(t *testing.T, d *dbtest.DB) {
		ids := recordEarlier(t, d, 1300, 400, 600)
		newest(t, d)
		l := New(d.DB)
		// What is recorded today comes first in the log.
		if err := l.Seen(t.Context(), dbtest.ScopeOf(1), Event{Action: ActionPrint, Patient: "Patient/a"}); err != nil {
			t.Fatal(err)
		}
		sequenceUp(t, l)
		// Ended after two steps, and begun again by another process.
		for range 2 {
			if err := d.Do(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
				_, _, err := l.adoptSome(t.Context(), tx)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		sequenceUp(t, l)
		l = New(d.DB)
		a, err := l.Adopt(t.Context(), dbtest.ScopeOf(1))
		if err != nil || a != (Adopted{Entries: 600}) {
			t.Fatalf("%+v %v", a, err)
		}
		if a, err := l.Adopt(t.Context(), dbtest.ScopeOf(1)); err != nil || a != (Adopted{}) {
			t.Errorf("again: %+v %v", a, err)
		}
		sequenceUp(t, l)
		r, err := l.Verify(t.Context(), dbtest.ScopeOf(1))
		if err != nil || r.Fault != nil || r.Entries != 1301 || r.Waiting != 0 {
			t.Errorf("%+v %+v %v", r, r.Fault, err)
		}
		found, err := l.Find(t.Context(), dbtest.ScopeOf(1), Filter{Patient: "Patient/b", Limit: 5000})
		if err != nil || len(found) != 1300 {
			t.Fatalf("%d found, %v", len(found), err)
		}
		for i, e := range found {
			if want := ids[len(ids)-1-i]; e.ID != want || e.At.UnixMicro() != idMicro(want) || e.Action != ActionRead || e.Patient != "Patient/a" {
				t.Fatalf("entry %d is %+v", i, e)
			}
		}
		if e := found[1298]; e.Actor.Role != "nurse" || e.Actor.UserID != 2 {
			t.Errorf("%+v", e.Actor)
		}
		for _, table := range []string{"audit_event", "audit_block", "audit_new", "audit_link"} {
			if n := count(t, d, table); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
	})
}

func count(t *testing.T, d *dbtest.DB, table string) (n int) {
	t.Helper()
	if err := d.View(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
		return tx.QueryRow(t.Context(), db.SQL(`SELECT count(*) FROM `+table+` WHERE practice_id = $1`), int64(1)).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAdoptionPutsOnRecordWhatWasAltered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql string
		want      Adopted
		says      string
		left      int
	}{
		{"changed", `UPDATE audit_event SET body = (SELECT body FROM audit_event WHERE practice_id = $1 AND id <> %[1]d ORDER BY id LIMIT 1) WHERE practice_id = $1 AND id = %[1]d`,
			Adopted{Entries: 29, Damaged: 1, Broken: 1}, "do not open", 1},
		{"removed", `DELETE FROM audit_event WHERE practice_id = $1 AND id = %[1]d`, Adopted{Entries: 29, Missing: 1, Broken: 1}, "were removed", 0},
		{"a block removed", `DELETE FROM audit_block WHERE practice_id = $1 AND position = 10`, Adopted{Entries: 30, Broken: 1}, "chain", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
				ids := recordEarlier(t, d, 30, 10, 5)
				text := c.sql
				if strings.Contains(text, "%") {
					text = fmt.Sprintf(text, ids[13])
				}
				if err := d.Do(t.Context(), dbtest.ScopeOf(1), func(tx *db.Tx) error {
					n, err := tx.Exec(t.Context(), db.SQL(text), int64(1))
					if n != 1 {
						t.Errorf("%d rows", n)
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
				l := New(d.DB)
				a, err := l.Adopt(t.Context(), dbtest.ScopeOf(1))
				if err != nil || a != c.want {
					t.Fatalf("%+v %v", a, err)
				}
				if again, err := l.Adopt(t.Context(), dbtest.ScopeOf(1)); err != nil || again != (Adopted{}) {
					t.Errorf("again: %+v %v", again, err)
				}
				said, err := l.Find(t.Context(), dbtest.ScopeOf(1), Filter{Action: ActionDamaged})
				if err != nil || len(said) != 1 || !strings.Contains(said[0].Detail, c.says) {
					t.Errorf("%+v %v", said, err)
				}
				if n := count(t, d, "audit_event"); n != c.left {
					t.Errorf("%d rows left", n)
				}
				sequenceUp(t, l)
				if r, err := l.Verify(t.Context(), dbtest.ScopeOf(1)); err != nil || r.Fault != nil {
					t.Errorf("%+v %v", r.Fault, err)
				}
			})
		})
	}
}
