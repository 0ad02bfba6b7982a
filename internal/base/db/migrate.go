package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"yarrow.health/internal/standards/fhir"
)

// Migrations are goose files, written once in PostgreSQL's types and rewritten for SQLite. Numbers may have gaps and
// may arrive out of order; what counts is which have been applied.

//go:embed all:migrations
var migrationFiles embed.FS

const (
	practiceSet = "practice"
	systemSet   = "system"

	versionTable = "schema_version"
)

// migrationSet is the migrations of practice stores or of the system store.
type migrationSet struct {
	name  string
	files fs.FS
	err   error
}

// migrations are the folders practice and system.
type migrations struct{ files fs.FS }

func migrationsIn(files fs.FS) migrations {
	if files == nil {
		files = builtIn{}
	}
	return migrations{files}
}

// builtIn is the migrations compiled in.
type builtIn struct{}

// Open opens a file below migrations/.
func (builtIn) Open(name string) (fs.File, error) {
	return migrationFiles.Open(path.Join("migrations", name))
}

func (m migrations) of(id PracticeID) migrationSet {
	name := practiceSet
	if id == System {
		name = systemSet
	}
	sub, err := fs.Sub(m.files, name)
	return migrationSet{name: name, files: sub, err: err}
}

// SchemaHash identifies the schema that files (nil: the migrations compiled in) give on PostgreSQL. Tests keep a
// template database under this name.
func SchemaHash(files fs.FS) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, policyName, policyExpr, tending, practiceSchema, systemSchema, practiceStoreTable)
	for _, id := range []PracticeID{System, 1} {
		set := migrationsIn(files).of(id)
		names, err := fs.Glob(set.files, "*.sql")
		if err != nil {
			return "", err
		}
		for _, name := range names {
			raw, err := fs.ReadFile(rewrittenFS{set.files, PostgreSQL}, name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%s %s %d\n%s", set.name, name, len(raw), raw)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// versions lists the numbers of the files, in order.
func (m migrationSet) versions() ([]int64, error) {
	if m.err != nil {
		return nil, m.err
	}
	names, err := fs.Glob(m.files, "*.sql")
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil || v < 1 {
			return nil, fmt.Errorf("db: migration %s has no number", name)
		}
		out = append(out, v)
	}
	slices.Sort(out)
	return out, nil
}

// check refuses a store that a newer Yarrow has changed.
func (m migrationSet) check(applied []int64) error {
	known, err := m.versions()
	if err != nil {
		return err
	}
	for _, v := range applied {
		if v != 0 && !slices.Contains(known, v) {
			newest := int64(0)
			if len(known) > 0 {
				newest = known[len(known)-1]
			}
			return fhir.Problem("not-supported",
				fmt.Sprintf("The database is newer than this Yarrow: its %s schema has step %d, and this program knows up to %d.", m.name, v, newest),
				fmt.Sprintf("Run the version of Yarrow that last used this data, or any whose %s schema is %d or later. Nothing was changed.", m.name, v))
		}
	}
	return nil
}

// complete says whether every migration has been applied.
func (m migrationSet) complete(applied []int64) bool {
	known, err := m.versions()
	if err != nil {
		return false
	}
	for _, v := range known {
		if !slices.Contains(applied, v) {
			return false
		}
	}
	return true
}

// up applies what is missing.
func (m migrationSet) up(ctx context.Context, dialect goose.Dialect, e Engine, conn *sql.DB) error {
	known, err := m.versions()
	if err != nil || len(known) == 0 {
		return err
	}
	options := []goose.ProviderOption{goose.WithAllowOutofOrder(true), goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true)}
	files := fs.FS(rewrittenFS{m.files, e})
	if e == SQLite {
		whole, err := m.whole(files)
		if err != nil {
			return fmt.Errorf("db: %s migrations: %w", m.name, err)
		}
		options, files = append(options, goose.WithGoMigrations(whole...)), nil
	}
	p, err := goose.NewProvider(dialect, conn, files, options...)
	if err != nil {
		return fmt.Errorf("db: %s migrations: %w", m.name, err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("db: %s migrations: %w", m.name, err)
	}
	return nil
}

// whole gives each migration as one text, which SQLite takes apart itself: goose reads every file line by line through 4 MB, and
// on the embedded database each new practice begins with all of them.
func (m migrationSet) whole(files fs.FS) ([]*goose.Migration, error) {
	names, err := fs.Glob(m.files, "*.sql")
	if err != nil {
		return nil, err
	}
	var out []*goose.Migration
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", name)
		}
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		_, up, ok := strings.Cut(string(raw), "-- +goose Up\n")
		up, _, _ = strings.Cut(up, "-- +goose Down\n")
		if !ok || strings.Contains(string(raw), "+goose NO TRANSACTION") {
			return nil, fmt.Errorf("migration %s has no part that goes up in a transaction", name)
		}
		out = append(out, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, up); err != nil {
				return fmt.Errorf("migration %s: %w", name, err)
			}
			return nil
		}}, nil))
	}
	return out, nil
}

func (m migrationSet) migrateSQLite(ctx context.Context, uri string) error {
	conn, err := driver.Open(uri, func(c *sqlite3.Conn) error { return configure(c, true) })
	if err != nil {
		return err
	}
	conn.SetMaxOpenConns(1)
	err = m.up(ctx, database.DialectSQLite3, SQLite, conn)
	if e := conn.Close(); err == nil {
		err = e
	}
	return err
}

// liteVersions lists the applied migrations of an open file; none when it is new.
func liteVersions(lc *liteConn) ([]int64, error) {
	st, _, err := lc.c.Prepare(`SELECT version_id FROM ` + versionTable + ` WHERE is_applied`)
	if err != nil {
		if errors.Is(err, sqlite3.ERROR) { // no such table
			return nil, nil
		}
		return nil, err
	}
	defer st.Close()
	var out []int64
	for st.Step() {
		out = append(out, st.ColumnInt64(0))
	}
	return out, st.Err()
}
