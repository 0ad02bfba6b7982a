package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// The folder of a practice is taken away while the journal still has looks at its charts: the log says so now and then, not each
// second, and when the folder is back they are taken over.
func TestAPracticeTakenAwayIsSaidNowAndThen(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	if err := audit.New(d.DB).Seen(t.Context(), auth.SystemScope(2, "test"), audit.Event{Action: audit.ActionRead}); err != nil {
		t.Fatal(err)
	}
	folder, aside := filepath.Join(d.Dir, "practices", "2"), filepath.Join(t.TempDir(), "2")
	if err := d.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder, aside); err != nil {
		t.Fatal(err)
	}
	opened, err := db.Open(t.Context(), d.Options())
	if err != nil {
		t.Fatal(err)
	}
	d.DB = opened
	var out bytes.Buffer
	h := &house{ground: &ground{db: d.DB, audit: audit.New(d.DB)}, log: slog.New(slog.NewTextHandler(&out, nil))}
	said := map[db.PracticeID]time.Time{}
	seal := func(times, want int) {
		t.Helper()
		out.Reset()
		for range times {
			for _, p := range h.audit.Unsealed() {
				h.seal(t.Context(), p, said)
			}
			d.Clock.Advance(time.Second)
		}
		if n := strings.Count(out.String(), "could not be chained"); n != want {
			t.Errorf("said %d times, want %d: %s", n, want, out.String())
		}
	}
	seal(30, 1)
	d.Clock.Advance(saidAgain)
	seal(30, 1)
	if err := os.Rename(aside, folder); err != nil {
		t.Fatal(err)
	}
	seal(1, 0)
	if r, err := h.audit.Verify(t.Context(), auth.SystemScope(2, "test")); err != nil || r.Fault != nil || r.Entries != 1 || len(said) != 0 {
		t.Errorf("%+v, %v, %v", r, err, said)
	}
}
