package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func TestWitness(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		dir, ctx := t.TempDir(), t.Context()
		s := dbtest.ScopeOf(1)
		log := audit.New(d.DB)
		grow := func(what string) {
			t.Helper()
			d.Clock.Advance(2 * time.Hour)
			if err := log.Seen(ctx, s, audit.Event{Action: audit.ActionRead, Detail: what}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := log.Sequence(ctx, s); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := log.Checkpoint(ctx, s, true); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		w, err := audit.NewWitness(log, dir)
		if err != nil {
			t.Fatal(err)
		}
		files := func() int {
			list, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		for n := 1; n <= 3; n++ {
			grow("a look")
			for range 2 { // the second time there is nothing to add
				if err := w.Keep(ctx, s); err != nil || files() != n {
					t.Fatal(n, files(), err)
				}
			}
		}
		if _, err := audit.NewWitness(log, dir+"/none"); err == nil {
			t.Error("a missing folder is a witness")
		}
		// The practice's notes of a log that went further than the one that is here now.
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		last := dir + "/" + list[2].Name()
		text, err := os.ReadFile(last)
		if err != nil {
			t.Fatal(err)
		}
		for _, harm := range []string{"", string(text[1:]), string(text[:len(text)/2])} {
			if err := os.WriteFile(last, []byte(harm), 0o600); err != nil {
				t.Fatal(err)
			}
			grow("after")
			if err := w.Keep(ctx, s); !errors.Is(err, audit.ErrForked) || files() != 3 {
				t.Errorf("%q: %v, %d files", harm, err, files())
			}
		}
	})
}

// The data folder of yesterday is put back: fewer entries at first, then as many and more, but other ones.
func TestWitnessOfARollback(t *testing.T) {
	d, dir, yesterday := dbtest.SQLite(t, nil), t.TempDir(), filepath.Join(t.TempDir(), "yesterday")
	ctx, s := t.Context(), dbtest.ScopeOf(1)
	keep := func(what string) error {
		t.Helper()
		d.Clock.Advance(2 * time.Hour)
		log := audit.New(d.DB)
		if err := log.Seen(ctx, s, audit.Event{Action: audit.ActionRead, Detail: what}); err != nil {
			t.Fatal(err)
		}
		if err := log.Settle(ctx, s); err != nil {
			t.Fatal(err)
		}
		if _, _, err := log.Sequence(ctx, s); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := log.Checkpoint(ctx, s, true); err != nil || !ok {
			t.Fatal(ok, err)
		}
		w, err := audit.NewWitness(log, dir)
		if err != nil {
			t.Fatal(err)
		}
		return w.Keep(ctx, s)
	}
	while := func(do func() error) {
		t.Helper()
		if err := d.DB.Close(); err != nil {
			t.Fatal(err)
		}
		err := do()
		opened, oerr := db.Open(context.WithoutCancel(ctx), d.Options())
		if err != nil || oerr != nil {
			t.Fatal(err, oerr)
		}
		d.DB = opened
	}
	if err := keep("yesterday"); err != nil {
		t.Fatal(err)
	}
	while(func() error { return os.CopyFS(yesterday, os.DirFS(d.Dir)) })
	for _, what := range []string{"this morning", "at noon", "tonight"} {
		if err := keep(what); err != nil {
			t.Fatal(err)
		}
	}
	while(func() error { return errors.Join(os.RemoveAll(d.Dir), os.CopyFS(d.Dir, os.DirFS(yesterday))) })
	for n := range 5 {
		if err := keep("rewritten"); !errors.Is(err, audit.ErrForked) {
			t.Errorf("%d entries after the rollback: %v", n+1, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 4 {
		t.Errorf("%d notes, %v", len(list), err)
	}
}

// What goes unwitnessed is told at once when the log is forked, and after a while when the folder or the rounds fail.
func TestLapseOfTheWitness(t *testing.T) {
	d, dir := dbtest.SQLite(t, nil), filepath.Join(t.TempDir(), "witness")
	ctx, s := t.Context(), dbtest.ScopeOf(1)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log := audit.New(d.DB)
	grow := func() {
		t.Helper()
		if err := log.Seen(ctx, s, audit.Event{Action: audit.ActionRead}); err != nil {
			t.Fatal(err)
		}
		if err := log.Settle(ctx, s); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := log.Checkpoint(ctx, s, true); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	grow()
	w, err := audit.NewWitness(log, dir)
	if err != nil {
		t.Fatal(err)
	}
	told := func(when string, lapse, forked bool) {
		t.Helper()
		l, ok := w.Lapse(1)
		if ok != lapse || l.Forked != forked && ok {
			t.Errorf("%s: %+v, %v", when, l, ok)
		}
		n, f, _ := w.Lapses()
		if forked != (f == 1) || f > n {
			t.Errorf("%s: %d unwitnessed, %d forked", when, n, f)
		}
	}
	keep := func(good bool) {
		t.Helper()
		if err := w.Keep(ctx, s); (err == nil) != good {
			t.Errorf("kept: %v", err)
		}
		w.Rounded()
	}
	told("before the first round", false, false)
	keep(true)
	told("kept", false, false)
	d.Clock.Advance(audit.WitnessLate)
	told("no round since", true, false)
	if _, _, late := w.Lapses(); !late {
		t.Error("rounds that hang are not told of")
	}
	keep(true)
	told("kept again", false, false)

	if err := os.Rename(dir, dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	keep(false)
	told("the folder went away this minute", false, false)
	d.Clock.Advance(audit.WitnessLate)
	keep(false)
	told("the folder went away", true, false)
	if err := os.Rename(dir+"-gone", dir); err != nil {
		t.Fatal(err)
	}
	keep(true)
	told("the folder is back", false, false)

	key, err := log.Key(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	notes, err := audit.WitnessNotes(dir, key)
	if err != nil || len(notes) != 1 || notes[0].Fault != "" || notes[0].Position != 1 {
		t.Fatal(notes, err)
	}
	path := filepath.Join(dir, notes[0].File)
	if err := os.Rename(path, filepath.Join(dir, "practice-1-0000000000000000007.note")); err != nil {
		t.Fatal(err)
	}
	if notes, err = audit.WitnessNotes(dir, key); err != nil || len(notes) != 1 || notes[0].Fault == "" {
		t.Errorf("under another name: %+v, %v", notes, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "practice-1-0000000000000000009.note"), []byte("forged"), 0o600); err != nil {
		t.Fatal(err)
	}
	keep(false)
	told("a note that nobody signed", true, true)
	if notes, err = audit.WitnessNotes(dir, key); err != nil || len(notes) != 2 || notes[1].Fault == "" {
		t.Errorf("forged: %+v, %v", notes, err)
	}
}
