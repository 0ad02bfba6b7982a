package dbtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
)

// Kept is a PostgreSQL cluster of its own in a folder, whose databases outlive the process: for data that take long to
// make and are looked at more than once. All its databases share one set of keys.
type Kept struct {
	c     *cluster
	keys  *keys.Ring
	clock *clock.Clock
}

// Keep starts the cluster of a folder, and makes it when there is none, with the server's settings given as name=value.
// The server is stopped when the test ends, so that the next one may start it with others.
func Keep(t testing.TB, dir string, settings ...string) *Kept {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the server, as a user of its own, has its folder in this one
		t.Fatal(err)
	}
	c, err := clusterIn(filepath.Join(dir, "pg"), append([]string{"listen_addresses=''", "port=" + port}, settings...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.held.Close(context.Background())
		if err := c.run("pg_ctl", "-D", filepath.Join(c.dir, "data"), "-m", "fast", "-w", "-t", "600", "stop"); err != nil {
			t.Errorf("stopping the cluster: %v", err)
		}
	})
	k := &Kept{c: c, clock: clock.NewManual(Start)}
	k.keys = ringOf(t, filepath.Join(dir, "data"), k.clock)
	return k
}

// Has says whether there is a database of that name.
func (k *Kept) Has(t testing.TB, name string) (found bool) {
	t.Helper()
	if err := k.c.super(func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&found)
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// Names are the names of its databases that begin so.
func (k *Kept) Names(t testing.TB, begin string) (names []string) {
	t.Helper()
	if err := k.c.super(func(conn *pgx.Conn) error {
		rows, err := conn.Query(t.Context(), "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY datname", begin)
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// Make makes a database anew: with nothing in it, or as a copy of the files of one that nobody has open.
func (k *Kept) Make(t testing.TB, name, like string) {
	t.Helper()
	text := "CREATE DATABASE " + name + " OWNER " + owner
	if like != "" {
		text += " TEMPLATE " + like + " STRATEGY file_copy"
	}
	k.Drop(t, name)
	k.Super(t, "", text)
}

// Drop removes a database, if there is one of that name.
func (k *Kept) Drop(t testing.TB, name string) {
	t.Helper()
	k.Super(t, "", "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// Rename gives a database that nobody has open another name.
func (k *Kept) Rename(t testing.TB, from, to string) {
	t.Helper()
	k.Super(t, "", "ALTER DATABASE "+from+" RENAME TO "+to)
}

// Super carries out statements as the superuser, each in a transaction of its own, in a database ("": none in particular).
func (k *Kept) Super(t testing.TB, name string, statements ...string) {
	t.Helper()
	if name == "" {
		name = "postgres"
	}
	conn, err := pgx.Connect(t.Context(), k.c.url(superuser, name))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, text := range statements {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// Open opens a database, brought up to today's schema, with the practices 1 and 2 in it. The caller closes it.
func (k *Kept) Open(t testing.TB, name string) *DB {
	t.Helper()
	urls := k.c.urls(name)
	if err := db.MigrateSet(t.Context(), urls.Owner, db.DefaultAppRole, nil); err != nil {
		t.Fatal(err)
	}
	d := &DB{Dir: filepath.Join(t.TempDir(), "data"), URL: urls.App, Owner: urls.Owner, Super: urls.Super, Keys: k.keys, Clock: k.clock}
	d.options = db.Options{DatabaseURL: d.URL}
	d.openWith(t)
	return d
}

// Log is the file in which the server writes what it has to say.
func (k *Kept) Log() string { return filepath.Join(k.c.dir, "log") }
