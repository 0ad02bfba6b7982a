package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

func looked(t *testing.T, l *audit.Log, p db.PracticeID, patients ...string) {
	t.Helper()
	for i, patient := range patients {
		if err := l.Seen(t.Context(), person(p, int64(1+i)), audit.Event{Action: audit.ActionRead, Type: "Patient", ID: patient, Patient: "Patient/" + patient}); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever moment the program ends at, each look is there once: in the journal, in the practice, and never in both.
func TestLooksAreTakenOverOnce(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	again := func() {
		d.Reopen(t)
		l = audit.New(d.DB)
	}
	check := func(entries, waiting int64) {
		t.Helper()
		if r := verify(t, l); r.Fault != nil || r.Entries != entries || r.Waiting != waiting {
			t.Errorf("%+v %+v, want %d and %d", r, r.Fault, entries, waiting)
		}
		if n := len(find(t, l, 1, audit.Filter{})); int64(n) != entries+waiting {
			t.Errorf("%d are found, want %d", n, entries+waiting)
		}
		if n := len(find(t, l, 1, audit.Filter{Patient: "Patient/a"})); n != 1 {
			t.Errorf("%d looks at a", n)
		}
	}
	looked(t, l, 1, "a", "b")
	looked(t, l, 2, "c")
	check(0, 2)
	again()
	check(0, 2)
	sequenceAll(t, l, 1)
	check(2, 0)
	again() // the journal has them still, and the practice says that it took them
	check(2, 0)
	sequenceAll(t, l, 1)
	check(2, 0)
	looked(t, l, 1, "d")
	check(2, 1)
	again()
	sequenceAll(t, l, 1)
	check(3, 0)
	if n := len(find(t, l, 2, audit.Filter{})); n != 1 {
		t.Errorf("practice 2 has %d", n)
	}
}

// A practice takes over more than one step takes.
func TestManyLooksAreTakenOverInSteps(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	events := make([]audit.Event, 700)
	for range 4 {
		if err := l.Seen(t.Context(), person(1, 1), events...); err != nil {
			t.Fatal(err)
		}
	}
	if _, more, err := l.Sequence(t.Context(), dbtest.ScopeOf(1)); err != nil || !more {
		t.Errorf("more %v, %v", more, err)
	}
	sequenceAll(t, l, 1)
	if r := verify(t, l); r.Fault != nil || r.Entries != 2800 || r.Waiting != 0 {
		t.Errorf("%+v %+v", r, r.Fault)
	}
}

// Many looks at once are packed as they are taken over, few wait in fresh rows for others: both are found, and verify.
func TestLooksArePackedOrWaitForOthers(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	total := 0
	for _, n := range []int{600, 3, 700, 511, 1, 1000, 1000} {
		events := make([]audit.Event, n)
		for i := range events {
			events[i] = audit.Event{Action: audit.ActionRead, Type: "Observation", ID: uuid("result", total+i), Patient: "Patient/p" + strconv.Itoa((total+i)%97)}
		}
		if err := l.Seen(t.Context(), person(1, 1), events...); err != nil {
			t.Fatal(err)
		}
		total += n
		sequenceAll(t, l, 1)
		if r := verify(t, l); r.Fault != nil || r.Entries != int64(total) || r.Waiting != 0 {
			t.Fatalf("%d: %+v %+v", total, r, r.Fault)
		}
		if got, want := len(find(t, l, 1, audit.Filter{Patient: "Patient/p0"})), (total+96)/97; got != want {
			t.Errorf("%d of %d looks at p0 are found", got, want)
		}
	}
}

func TestNothingIsShownWithoutTheJournal(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	looked(t, l, 1, "a")
	if err := d.Journal().Close(); err != nil {
		t.Fatal(err)
	}
	err := l.Seen(t.Context(), person(1, 1), audit.Event{Action: audit.ActionRead})
	var issue *fhir.Issue
	if !errors.As(err, &issue) || issue.Code != "transient" {
		t.Errorf("got %v", err)
	}
	if n := len(find(t, l, 1, audit.Filter{})); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestDamageToTheJournalIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   int // of the second write, from its beginning
		what string
	}{
		{"a body", 80, "seal is broken"},
		{"a head", 20, "journal of this server was damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.SQLite(t, nil)
			looked(t, audit.New(d.DB), 1, "a", "b", "c")
			file := filepath.Join(d.Dir, "journal", "0.journal")
			d.DB.Close()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[4096+c.at] ^= 1
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				d.Reopen(t)
				l := audit.New(d.DB)
				r, err := l.Verify(t.Context(), dbtest.ScopeOf(1))
				if err != nil || r.Fault == nil || !strings.Contains(r.Fault.What, c.what) {
					t.Errorf("%+v %+v %v", r, r.Fault, err)
				}
				sequenceAll(t, l, 1)
			}
			l := audit.New(d.DB)
			if got := find(t, l, 1, audit.Filter{Patient: "Patient/c"}); len(got) == 0 {
				t.Error("what is sound is not found")
			}
		})
	}
}

// Whose keys were destroyed has nothing in the journal that opens, and does not keep its files.
func TestTheJournalForgetsWhoIsErased(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	looked(t, l, 1, "a")
	looked(t, l, 2, "b")
	if _, err := d.Keys.Destroy(1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Sequence(t.Context(), dbtest.ScopeOf(1)); err == nil {
		t.Error("sequenced without keys")
	}
	if got := l.Unsealed(); len(got) != 1 || got[0] != 2 {
		t.Errorf("%v", got)
	}
}

// What waits is sealed for its practice: the files hold no word of it.
func TestTheJournalSaysNothing(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	if err := l.Seen(t.Context(), person(1, 1), audit.Event{Action: audit.ActionBreakGlass, Patient: "Patient/canary-7", Detail: "canary words"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(d.Dir, "journal", "0.journal"))
	if err != nil || len(b) == 0 || strings.Contains(string(b), "canary") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
