// Package dbtest gives tests a real database: Each runs a test on SQLite and on PostgreSQL, with the practices 1
// and 2 ready, a manual clock and throw-away keys. The PostgreSQL cluster is started once per machine and user, lives
// under the temporary folder and listens on a Unix socket only. It never touches any other server, and a missing
// PostgreSQL fails the test instead of skipping it.
package dbtest

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
)

// DB is an open database for one test; the test's cleanup closes it.
type DB struct {
	*db.DB
	Clock *clock.Clock // manual; stands at Start
	Keys  *keys.Ring
	Dir   string // data folder on SQLite, a folder with the keys beside it on PostgreSQL
	URL   string // the app role's URL, on PostgreSQL
	Owner string // the owner's URL, on PostgreSQL
	Super string // the superuser's URL, on PostgreSQL

	options db.Options
}

// Start is the instant every test's clock stands at.
var Start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

type scope struct{ db.Seal }

// ScopeOf is a system scope on a practice.
func ScopeOf(p db.PracticeID) db.Scope {
	return scope{db.NewSeal(p, db.Actor{Kind: "system", Display: "test"})}
}

// Scope is a system scope on a practice.
func (d *DB) Scope(p db.PracticeID) db.Scope { return ScopeOf(p) }

// Options are those the database was opened with, for tests that open it again by themselves.
func (d *DB) Options() db.Options { return d.options }

// Each runs fn as a subtest on both engines.
func Each(t *testing.T, fn func(t *testing.T, d *DB)) {
	t.Helper()
	EachWith(t, nil, fn)
}

// EachWith is Each with migrations of the test's own, in the folders practice and system, instead of Yarrow's.
func EachWith(t *testing.T, files fs.FS, fn func(t *testing.T, d *DB)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { fn(t, SQLite(t, files)) })
	t.Run("PostgreSQL", func(t *testing.T) { fn(t, PostgreSQL(t, files)) })
}

// SQLite opens an embedded database in a folder of the test's own. files may be nil.
func SQLite(t testing.TB, files fs.FS) *DB {
	t.Helper()
	d := &DB{Dir: filepath.Join(t.TempDir(), "data")}
	d.options = db.Options{DataDir: d.Dir, Migrations: files}
	d.open(t)
	return d
}

// PostgreSQL opens an empty database on the machine's test cluster. files may be nil.
func PostgreSQL(t testing.TB, files fs.FS) *DB {
	t.Helper()
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	name := c.claim(t, files)
	d := &DB{
		Dir:   filepath.Join(t.TempDir(), "data"),
		URL:   c.url(db.DefaultAppRole, name),
		Owner: c.url(owner, name),
		Super: c.url(superuser, name),
	}
	d.options = db.Options{DatabaseURL: d.URL, Migrations: files}
	d.open(t)
	return d
}

func (d *DB) open(t testing.TB) {
	t.Helper()
	d.Clock = clock.NewManual(Start)
	d.Keys = ringOf(t, d.Dir, d.Clock)
	d.openWith(t)
	t.Cleanup(func() {
		if err := d.DB.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
}

// ringOf opens the keys beside a data folder, and makes them when there are none.
func ringOf(t testing.TB, dir string, c *clock.Clock) *keys.Ring {
	t.Helper()
	o := keys.DefaultOptions(dir)
	o.MasterText, o.MayCreate, o.Clock = "", true, c
	ring, _, err := keys.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// openWith opens the database with the keys and the clock that it has been given.
func (d *DB) openWith(t testing.TB) {
	t.Helper()
	d.options.Keys, d.options.Clock = d.Keys, d.Clock
	var err error
	if d.DB, err = db.Open(t.Context(), d.options); err != nil {
		t.Fatal(err)
	}
	for _, p := range []db.PracticeID{1, 2} {
		if err := d.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// Reopen closes the database and opens it again, as a restart of the program does.
func (d *DB) Reopen(t testing.TB) {
	t.Helper()
	if err := d.DB.Close(); err != nil {
		t.Fatal(err)
	}
	opened, err := db.Open(context.WithoutCancel(t.Context()), d.options)
	if err != nil {
		t.Fatal(err)
	}
	d.DB = opened
}
