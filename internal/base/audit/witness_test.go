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
