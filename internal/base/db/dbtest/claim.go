package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
)

// Making and dropping a database costs the server a second of flushing files. So test databases are kept: each belongs
// to a schema and is claimed, by a lock on a file, for the time of one test. Whoever claims one empties it first, and
// replaces it when an earlier test has changed its schema.

const (
	testPrefix = "yarrow_test_"
	keepFor    = 24 * time.Hour // unclaimed for longer, it is dropped
)

func (c *cluster) claims() string { return c.dir + ".claims" }

// claim gives an empty database with the schema of files to the test, until the test ends.
func (c *cluster) claim(t testing.TB, files fs.FS) string {
	t.Helper()
	hash, err := db.SchemaHash(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.claims(), 0o700); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s%s_%d", testPrefix, hash, n)
		unlock, err := c.tryLock(name)
		if err != nil {
			t.Fatal(err)
		}
		if unlock == nil {
			continue // somebody has it
		}
		t.Cleanup(unlock)
		if err := c.ready(name, files); err != nil {
			t.Fatal(err)
		}
		return name
	}
}

// tryLock returns nil when another test has the database.
func (c *cluster) tryLock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.claims(), name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	now := clock.System().Now()
	if err := os.Chtimes(f.Name(), now, now); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// ready makes the database what it was when it was new.
func (c *cluster) ready(name string, files fs.FS) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(superuser, name))
	if err == nil {
		err = empty(ctx, conn)
		conn.Close(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	if err := c.super(func(conn *pgx.Conn) error {
		c.dropOld(ctx, conn)
		if err := dropDatabase(ctx, conn, name); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "CREATE DATABASE "+name+" OWNER "+owner)
		return err
	}); err != nil {
		return err
	}
	if err := db.MigrateSet(ctx, c.url(owner, name), db.DefaultAppRole, files); err != nil {
		return err
	}
	if conn, err = pgx.Connect(ctx, c.url(superuser, name)); err != nil {
		return err
	}
	defer conn.Close(ctx)
	mark, err := shape(ctx, conn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "COMMENT ON DATABASE "+name+" IS '"+mark+"'")
	return err
}

var errChanged = errors.New("dbtest: a test changed the schema")

// shape is a digest of everything a test could have changed but rows.
func shape(ctx context.Context, conn *pgx.Conn) (digest string, err error) {
	err = conn.QueryRow(ctx, `
SELECT md5(coalesce(string_agg(line, E'\n' ORDER BY line), '')) FROM (
	SELECT concat_ws(' ', n.nspname, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner, c.relacl) AS line
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'yarrow%'
	UNION ALL
	SELECT concat_ws(' ', a.attrelid, a.attname, a.atttypid, a.attnotnull, a.attisdropped)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname LIKE 'yarrow%' AND a.attnum > 0
	UNION ALL
	SELECT concat_ws(' ', p.polrelid, p.polname, p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid),
		pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p
) AS lines`).Scan(&digest)
	return digest, err
}

// empty deletes all rows but those that say which migrations have been applied, and what is known about them.
func empty(ctx context.Context, conn *pgx.Conn) error {
	mark, err := shape(ctx, conn)
	if err != nil {
		return err
	}
	var was *string
	if err := conn.QueryRow(ctx, `SELECT shobj_description(oid, 'pg_database') FROM pg_database
		WHERE datname = current_database()`).Scan(&was); err != nil {
		return err
	}
	if was == nil || *was != mark {
		return errChanged
	}
	// What a killed process left may still hold locks.
	if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname), pg_relation_size(c.oid) + CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_relation_size(c.reltoastrelid) END > 4000000
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname LIKE 'yarrow%' AND c.relkind = 'r' AND c.relname <> 'schema_version'`)
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString("SET session_replication_role = replica;") // past the triggers of tables that are only added to
	// What an earlier test let PostgreSQL learn about its rows.
	text.WriteString(`DELETE FROM pg_statistic WHERE starelid IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'yarrow%');`)
	var table string
	var large bool
	if _, err := pgx.ForEachRow(rows, []any{&table, &large}, func() error {
		if large {
			fmt.Fprintf(&text, "TRUNCATE %s;", table)
		} else {
			fmt.Fprintf(&text, "DELETE FROM %s;", table)
		}
		return nil
	}); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, text.String())
	return err
}

// dropOld drops databases of schemas nobody tests any more. It is a courtesy: what fails is left for next time.
func (c *cluster) dropOld(ctx context.Context, conn *pgx.Conn) {
	entries, err := os.ReadDir(c.claims())
	if err != nil {
		return
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil || clock.System().Since(st.ModTime()) < keepFor {
			continue
		}
		unlock, err := c.tryLock(e.Name())
		if err != nil || unlock == nil {
			continue
		}
		if dropDatabase(ctx, conn, e.Name()) == nil {
			_ = os.Remove(filepath.Join(c.claims(), e.Name()))
		}
		unlock()
	}
}

func dropDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return err
}
