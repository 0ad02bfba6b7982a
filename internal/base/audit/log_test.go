package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// scope is a person in practice p.
type scope struct{ db.Seal }

func person(p db.PracticeID, user int64) scope {
	return scope{db.NewSeal(p, db.Actor{Kind: "staff", UserID: user, Display: "Dr. Ann Ash", FHIR: "Practitioner/p",
		Session: "00c0ffee00c0ffee", Request: fmt.Sprintf("%016x", user)})}
}

func find(t *testing.T, l *audit.Log, p db.PracticeID, f audit.Filter) []audit.Entry {
	t.Helper()
	out, err := l.Find(t.Context(), dbtest.ScopeOf(p), f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSeenIsFoundAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		e := audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "o1", Version: 2, Patient: "Patient/a",
			Categories: []string{"results"}, Labels: 5}
		if err := l.Seen(t.Context(), person(1, 7), e); err != nil {
			t.Fatal(err)
		}
		got := find(t, l, 1, audit.Filter{})
		if len(got) != 1 {
			t.Fatalf("%d entries", len(got))
		}
		g := got[0]
		if g.Action != e.Action || g.Type != e.Type || g.Event.ID != e.ID || g.Version != 2 || g.Patient != e.Patient ||
			g.Labels != 5 || !slices.Equal(g.Categories, e.Categories) {
			t.Errorf("event: %+v", g.Event)
		}
		if g.Actor.UserID != 7 || g.Actor.Kind != "staff" || g.Actor.Session != "00c0ffee00c0ffee" ||
			g.Actor.Request != "0000000000000007" || g.Actor.Display != "" {
			t.Errorf("actor: %+v", g.Actor)
		}
		if !g.At.Equal(dbtest.Start) {
			t.Errorf("at %s", g.At)
		}
		if other := find(t, l, 2, audit.Filter{}); len(other) != 0 {
			t.Errorf("practice 2 sees %d entries of practice 1", len(other))
		}
	})
}

func TestSeenRefusesZeroScope(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	if err := l.Seen(t.Context(), scope{}, audit.Event{}); !errors.Is(err, db.ErrNoScope) {
		t.Errorf("zero scope: %v", err)
	}
	if err := l.Seen(t.Context(), nil, audit.Event{}); !errors.Is(err, db.ErrNoScope) {
		t.Errorf("nil scope: %v", err)
	}
}

func TestRecordGoesWithItsEffect(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		undone := errors.New("undone")
		for _, want := range []error{undone, nil} {
			err := d.Do(t.Context(), person(1, 1), func(tx *db.Tx) error {
				l.Record(tx, audit.Event{Action: audit.ActionUpdate, Patient: "Patient/a"})
				return want
			})
			if !errors.Is(err, want) {
				t.Fatal(err)
			}
		}
		if n := len(find(t, l, 1, audit.Filter{})); n != 1 {
			t.Errorf("%d entries; the undone one must not stay", n)
		}
		err := d.View(t.Context(), person(1, 1), func(tx *db.Tx) error {
			l.Record(tx, audit.Event{Action: audit.ActionUpdate})
			return nil
		})
		if err == nil {
			t.Error("a View recorded something and said nothing")
		}
	})
}

func TestFindFilters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		for i := range 30 {
			e := audit.Event{Action: audit.ActionRead, Type: "Patient", ID: "a", Patient: "Patient/a"}
			switch i % 3 {
			case 1:
				e = audit.Event{Action: audit.ActionPrint, Patient: "Patient/b"}
			case 2: // a list: patients a and c are in it
				e = audit.Event{Action: audit.ActionSearch, Type: "Patient", Links: []string{"Patient/c", "Patient/a", "Patient/c", "Encounter/x"}}
			}
			if err := l.Seen(t.Context(), person(1, int64(1+i%2)), e); err != nil {
				t.Fatal(err)
			}
			d.Clock.Advance(time.Minute)
		}
		at := func(m int) time.Time { return dbtest.Start.Add(time.Duration(m) * time.Minute) }
		for _, c := range []struct {
			name string
			f    audit.Filter
			want int
		}{
			{"all", audit.Filter{}, 30},
			{"patient directly and in lists", audit.Filter{Patient: "Patient/a"}, 20},
			{"patient in lists only", audit.Filter{Patient: "Patient/c"}, 10},
			{"unknown patient", audit.Filter{Patient: "Patient/z"}, 0},
			{"not a patient", audit.Filter{Patient: "Encounter/x"}, 0},
			{"user", audit.Filter{UserID: 2}, 15},
			{"rare action", audit.Filter{Action: audit.ActionPrint}, 10},
			{"common action", audit.Filter{Action: audit.ActionSearch}, 10},
			{"from", audit.Filter{From: at(20)}, 10},
			{"to", audit.Filter{To: at(20)}, 20},
			{"period", audit.Filter{From: at(10), To: at(12)}, 2},
			{"user and patient and period", audit.Filter{UserID: 1, Patient: "Patient/a", From: at(0), To: at(12)}, 4},
			{"user and action", audit.Filter{UserID: 1, Action: audit.ActionPrint}, 5},
			{"limit", audit.Filter{Limit: 7}, 7},
			{"narrow filter, small pages", audit.Filter{Action: audit.ActionSearch, UserID: 1, Limit: 5}, 5},
		} {
			got := find(t, l, 1, c.f)
			if len(got) != c.want {
				t.Errorf("%s: %d entries, want %d", c.name, len(got), c.want)
			}
			if !slices.IsSortedFunc(got, func(a, b audit.Entry) int { return b.At.Compare(a.At) }) {
				t.Errorf("%s: not newest first", c.name)
			}
			// Page by page gives the same entries.
			f := c.f
			f.Limit = 3
			var paged []int64
			for {
				page := find(t, l, 1, f)
				for _, e := range page {
					paged = append(paged, e.ID)
				}
				if len(page) < 3 || c.f.Limit > 0 && len(paged) >= c.f.Limit {
					break
				}
				f.Before = page[len(page)-1].ID
			}
			for i, e := range got {
				if i >= len(paged) || paged[i] != e.ID {
					t.Errorf("%s: pages differ at %d", c.name, i)
					break
				}
			}
		}
	})
}

func TestSeenSharesCommits(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		const callers, each = 32, 20
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for range each {
					s := person(db.PracticeID(1+i%2), int64(i))
					if err := l.Seen(t.Context(), s, audit.Event{Action: audit.ActionRead, Patient: "Patient/a"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := l.Commits(); n > callers*each/3 {
			t.Errorf("%d recordings took %d commits", callers*each, n)
		}
		d.Reopen(t)
		l = audit.New(d.DB)
		for p := db.PracticeID(1); p <= 2; p++ {
			if n := len(find(t, l, p, audit.Filter{Limit: 1000})); n != callers*each/2 {
				t.Errorf("practice %d has %d entries after a restart, want %d", p, n, callers*each/2)
			}
		}
	})
}

func TestSeenFailsWhenNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		var wg sync.WaitGroup
		// Practice 9 does not exist: every waiting request must hear that its record was not kept.
		for i := range 8 {
			wg.Go(func() {
				err := l.Seen(t.Context(), person(9, int64(i)), audit.Event{Action: audit.ActionRead})
				var issue *fhir.Issue
				if !errors.As(err, &issue) || issue.Code != "transient" {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if err := l.Seen(t.Context(), person(1, 1), audit.Event{Action: audit.ActionRead}); err != nil {
			t.Errorf("another practice suffers: %v", err)
		}
	})
}

func TestSeenInsideDoIsRefused(t *testing.T) {
	t.Parallel()
	d := dbtest.PostgreSQL(t, nil)
	l := audit.New(d.DB)
	err := d.Do(t.Context(), person(1, 1), func(tx *db.Tx) error {
		if err := l.Seen(t.Context(), person(1, 1), audit.Event{}); !errors.Is(err, db.ErrNested) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSeenOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = l.Seen(ctx, person(1, 1), audit.Event{Action: audit.ActionRead})
	if n := len(find(t, l, 1, audit.Filter{})); n != 1 {
		t.Errorf("%d entries: what was begun for others must be finished", n)
	}
}

// Two processes that record in the same microsecond do not get into each other's way. (The clock of this test stands
// still, so that they always do.)
func TestTwoProcessesInOneMicrosecond(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		const each, looks = 1000, 12
		a, b := audit.New(d.DB), audit.New(d.DB)
		events := make([]audit.Event, each)
		for range looks {
			for _, l := range []*audit.Log{a, b} {
				if err := l.Seen(t.Context(), person(1, 1), events...); err != nil {
					t.Fatal(err)
				}
			}
		}
		sequenceAll(t, a, 1)
		if r := verify(t, b); r.Fault != nil || r.Entries != 2*each*looks {
			t.Errorf("%+v %+v", r, r.Fault)
		}
	})
}
