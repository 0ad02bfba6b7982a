package dbtest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/db"
)

// URLs lead the roles of one PostgreSQL database to it.
type URLs struct{ App, Owner, Super string }

// Migrated gives the test a database with the schema of files (nil: Yarrow's) and no rows, for programs that open it
// themselves. A test that changes what schema_version says uses Empty instead.
func Migrated(t testing.TB, files fs.FS) URLs {
	t.Helper()
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c.urls(c.claim(t, files))
}

var emptyNumber atomic.Int64

// Empty makes a database with nothing in it, as an operator hands it to `yarrow migrate`. It is dropped when the test
// ends. The app role exists already when any test of this machine has migrated a database.
func Empty(t testing.TB) URLs { return EmptyIn(t, "") }

// EmptyIn is Empty with the database's files in a folder that only root can hand to the server; they outlive no test.
func EmptyIn(t testing.TB, dir string) URLs {
	t.Helper()
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("yarrow_empty_%d_%d", os.Getpid(), emptyNumber.Add(1))
	ctx := context.Background()
	drop := []string{"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"}
	create := []string{"CREATE DATABASE " + name + " OWNER " + owner}
	if dir != "" {
		if c.server != nil {
			if err := os.Chown(dir, int(c.server.Uid), int(c.server.Gid)); err != nil {
				t.Fatal(err)
			}
		}
		drop = append(drop, "DROP TABLESPACE IF EXISTS "+name)
		create = []string{"CREATE TABLESPACE " + name + " LOCATION '" + dir + "'", create[0] + " TABLESPACE " + name}
	}
	run := func(statements ...string) error {
		return c.super(func(conn *pgx.Conn) error {
			for _, s := range statements {
				if _, err := conn.Exec(ctx, s); err != nil {
					return fmt.Errorf("%s: %w", s, err)
				}
			}
			return nil
		})
	}
	if err := run(append(drop, create...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run(drop...); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	return c.urls(name)
}

func (c *cluster) urls(name string) URLs {
	return URLs{App: c.url(db.DefaultAppRole, name), Owner: c.url(owner, name), Super: c.url(superuser, name)}
}

// Files are the places where the server keeps the database at u on the disk, after it has written down what it holds in memory: its
// files, the write-ahead log and what the server says. The latter two are those of all databases of the cluster.
func (u URLs) Files(t testing.TB) []string {
	t.Helper()
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, u.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	var oid int64
	if err := conn.QueryRow(ctx, "SELECT oid::bigint FROM pg_database WHERE datname = current_database()").Scan(&oid); err != nil {
		t.Fatal(err)
	}
	return []string{filepath.Join(c.dir, "data", "base", fmt.Sprint(oid)), filepath.Join(c.dir, "data", "pg_wal"), filepath.Join(c.dir, "log")}
}
