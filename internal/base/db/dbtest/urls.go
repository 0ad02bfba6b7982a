package dbtest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
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
