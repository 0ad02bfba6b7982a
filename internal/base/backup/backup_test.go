package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"filippo.io/age"

	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

var schema = fstest.MapFS{
	"practice/0001_note.sql": {Data: []byte(`-- +goose Up
CREATE TABLE note (
  practice_id BIGINT NOT NULL, id BIGINT NOT NULL, body TEXT, sealed BYTEA, weight DOUBLE PRECISION, flag SMALLINT NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE TABLE link (practice_id BIGINT NOT NULL, name TEXT NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (practice_id, name, id));
`)},
	"system/0001_login.sql": {Data: []byte(`-- +goose Up
CREATE TABLE login (practice_id BIGINT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (practice_id, name));
`)},
}

var (
	notes  = db.InsertInto("note", "practice_id", "id", "body", "sealed", "weight", "flag")
	links  = db.InsertInto("link", "practice_id", "name", "id")
	logins = db.InsertInto("login", "practice_id", "name")
)

const planted = "Zephyrine Quagmire"

func fillStores(t *testing.T, d *db.DB) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for p := db.PracticeID(1); p <= 2; p++ {
		err := d.Do(t.Context(), dbtest.ScopeOf(p), func(tx *db.Tx) error {
			var rows, names [][]any
			for id := range int64(1500) * int64(p) {
				body := make([]byte, rng.IntN(2000))
				for i := range body {
					body[i] = byte(rng.Uint32())
				}
				row := []any{p, id - 700, fmt.Sprint(planted, id), tx.Keys().Seal(nil, body, nil), rng.NormFloat64(), id % 2}
				if id%5 == 0 {
					row[2], row[4] = nil, nil
				}
				if id%7 == 0 {
					row[3] = []byte{}
				}
				rows = append(rows, row)
				names = append(names, []any{p, strings.Repeat("é", int(id%4)), id})
			}
			tx.InsertMany(notes, rows)
			tx.InsertMany(links, names)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Do(t.Context(), dbtest.ScopeOf(db.System), func(tx *db.Tx) error {
		tx.InsertMany(logins, [][]any{{1, "ann"}, {2, "bob"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// emptyDB opens an empty database of an engine with the keys of another.
func emptyDB(t *testing.T, e db.Engine, ring *keys.Ring) *db.DB {
	t.Helper()
	o := db.Options{DataDir: filepath.Join(t.TempDir(), "other"), Migrations: schema}
	if e == db.PostgreSQL {
		o = db.Options{DatabaseURL: dbtest.Migrated(t, schema).App, Migrations: schema}
	}
	o.Keys, o.Clock = ring, clock.NewManual(dbtest.Start)
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	who, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return who
}

func wantIssue(t *testing.T, err error, code, words string) {
	t.Helper()
	var issue *fhir.Issue
	if !errors.As(err, &issue) || issue.Code != code || !strings.Contains(issue.Text, words) || issue.Fix == "" {
		t.Errorf("got %v, want a %q issue about %q with a remedy", err, code, words)
	}
}

func contents(t *testing.T, d *db.DB, p db.PracticeID) string {
	t.Helper()
	var out strings.Builder
	err := d.View(t.Context(), dbtest.ScopeOf(p), func(tx *db.Tx) error {
		rows, err := tx.Query(t.Context(), db.SQL(`SELECT id, body, sealed, weight, flag FROM note WHERE practice_id = $1 ORDER BY id`), p)
		if err != nil {
			return err
		}
		for rows.Next() {
			var id, flag int64
			var body *string
			var sealed []byte
			var weight *float64
			if err := rows.Scan(&id, &body, &sealed, &weight, &flag); err != nil {
				return err
			}
			fmt.Fprint(&out, id, " ")
			if body != nil {
				fmt.Fprintf(&out, "%q %v", *body, *weight)
			}
			fmt.Fprintf(&out, " %x %d\n", sealed, flag)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestABackupGoesIntoEitherEngine(t *testing.T) {
	who := identity(t)
	dbtest.EachWith(t, schema, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		fillStores(t, d.DB)
		file := filepath.Join(t.TempDir(), "all.yarrow")
		o := backup.Options{DB: d.DB, Scope: dbtest.ScopeOf, To: []age.Recipient{who.Recipient()}}
		wrote, err := backup.Write(ctx, file, o)
		if err != nil {
			t.Fatal(err)
		}
		if wrote.Rows() != 2*(1500+3000)+2 || len(wrote.Stores) != 3 || wrote.Bytes == 0 {
			t.Errorf("report: %d rows in %d stores", wrote.Rows(), len(wrote.Stores))
		}
		_, err = backup.Write(ctx, file, o)
		wantIssue(t, err, "conflict", "already")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(planted)) {
			t.Error("the backup is in the clear")
		}
		if left, _ := filepath.Glob(file + ".*"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
			other := emptyDB(t, engine, d.Keys)
			ro := backup.RestoreOptions{DB: other, Keys: d.Keys, Scope: dbtest.ScopeOf, Who: []age.Identity{who}}
			got, err := backup.Restore(ctx, bytes.NewReader(raw), ro)
			if err != nil {
				t.Fatalf("into %v: %v", engine, err)
			}
			if got.Rows() != wrote.Rows() {
				t.Errorf("into %v: %d rows", engine, got.Rows())
			}
			for p := db.PracticeID(1); p <= 2; p++ {
				if contents(t, other, p) != contents(t, d.DB, p) {
					t.Errorf("into %v: practice %d differs", engine, p)
				}
			}
			_, err = backup.Restore(ctx, bytes.NewReader(raw), ro)
			wantIssue(t, err, "conflict", "holds data already")
		}
		// One practice alone.
		other := emptyDB(t, d.Engine(), d.Keys)
		ro := backup.RestoreOptions{DB: other, Keys: d.Keys, Scope: dbtest.ScopeOf, Who: []age.Identity{who}, Practice: 2}
		if _, err := backup.Restore(ctx, bytes.NewReader(raw), ro); err != nil {
			t.Fatal(err)
		}
		if err := other.Create(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if contents(t, other, 2) != contents(t, d.DB, 2) || contents(t, other, 1) != "" {
			t.Error("restoring one practice restored another thing")
		}
		ro.Practice = 7
		_, err = backup.Restore(ctx, bytes.NewReader(raw), ro)
		wantIssue(t, err, "not-found", "practice 7")
	})
}

func TestPassphrase(t *testing.T) {
	d := dbtest.SQLite(t, schema)
	file := filepath.Join(t.TempDir(), "p")
	o := backup.Options{DB: d.DB, Scope: dbtest.ScopeOf, Practices: []db.PracticeID{1}}
	_, err := backup.Write(t.Context(), file, o)
	wantIssue(t, err, "required", "encrypted")
	o.Passphrase = "correct horse battery staple"
	if _, err := backup.Write(t.Context(), file, o); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	right, err := age.NewScryptIdentity(o.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := backup.Verify(t.Context(), f, right); err != nil || len(r.Stores) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}

// A backup gets its name only after it was read back: a disk that keeps something else is noticed at once, not at a restore.
func TestABackupIsReadBack(t *testing.T) {
	d := dbtest.SQLite(t, schema)
	fillStores(t, d.DB)
	who := identity(t)
	file := filepath.Join(t.TempDir(), "backup")
	harmed := false
	o := backup.Options{DB: d.DB, Scope: dbtest.ScopeOf, To: []age.Recipient{who.Recipient()}, Progress: func(db.PracticeID, string, int64) {
		f, err := os.OpenFile(file+".part", os.O_RDWR, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, 70_000); err != nil || harmed {
			return // not so far yet
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, 70_000); err != nil {
			t.Error(err)
		}
		harmed = true
	}}
	_, err := backup.Write(t.Context(), file, o)
	if !harmed {
		t.Fatal("nothing was harmed")
	}
	wantIssue(t, err, "exception", "")
	if _, err := os.Lstat(file); err == nil {
		t.Error("a backup that cannot be read has its name")
	}
}

func TestADamagedBackupIsNeverRestored(t *testing.T) {
	who := identity(t)
	d := dbtest.SQLite(t, schema)
	fillStores(t, d.DB)
	file := filepath.Join(t.TempDir(), "b")
	if _, err := backup.Write(t.Context(), file, backup.Options{DB: d.DB, Scope: dbtest.ScopeOf, To: []age.Recipient{who.Recipient()}}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		broken := bytes.Clone(raw)
		at := rng.IntN(len(broken))
		if i%2 == 0 {
			broken[at] ^= 1 << rng.IntN(8)
		} else {
			broken = broken[:at]
		}
		if _, err := backup.Verify(t.Context(), bytes.NewReader(broken), who); err == nil {
			t.Errorf("damage at %d of %d was not noticed", at, len(raw))
		}
	}
	// Restored from a file cut in the middle of the last store: that store holds nothing.
	other := emptyDB(t, db.SQLite, d.Keys)
	_, err = backup.Restore(t.Context(), bytes.NewReader(raw[:len(raw)-200_000]), backup.RestoreOptions{DB: other, Keys: d.Keys, Scope: dbtest.ScopeOf, Who: []age.Identity{who}})
	wantIssue(t, err, "exception", "cannot be used")
	if contents(t, other, 2) != "" {
		t.Error("half a practice was restored")
	}
	_, err = backup.Verify(t.Context(), bytes.NewReader(raw), identity(t))
	wantIssue(t, err, "security", "somebody else")
}

func TestRestoreNeedsTheRightKeysAndSchema(t *testing.T) {
	who := identity(t)
	d := dbtest.SQLite(t, schema)
	file := filepath.Join(t.TempDir(), "b")
	if _, err := backup.Write(t.Context(), file, backup.Options{DB: d.DB, Scope: dbtest.ScopeOf, To: []age.Recipient{who.Recipient()}}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(d *db.DB, ring *keys.Ring) error {
		_, err := backup.Restore(context.WithoutCancel(t.Context()), bytes.NewReader(raw),
			backup.RestoreOptions{DB: d, Keys: ring, Scope: dbtest.ScopeOf, Who: []age.Identity{who}})
		return err
	}
	stranger := dbtest.SQLite(t, schema)
	wantIssue(t, restore(stranger.DB, stranger.Keys), "security", "not those of the backup")

	var export bytes.Buffer
	if err := d.Keys.Export(&export, []int64{0}, who.Recipient()); err != nil {
		t.Fatal(err)
	}
	o := keys.DefaultOptions(filepath.Join(t.TempDir(), "k"))
	o.MasterText, o.MayCreate = "", true
	ring, _, err := keys.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Import(&export, who); err != nil {
		t.Fatal(err)
	}
	wantIssue(t, restore(emptyDB(t, db.SQLite, ring), ring), "security", "keys of practice 1 are not in this key store")

	newer := fstest.MapFS{"practice/0002_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (practice_id BIGINT NOT NULL PRIMARY KEY);\n")}}
	for name, f := range schema {
		newer[name] = f
	}
	later := dbtest.SQLite(t, newer)
	later.Close()
	opt := later.Options()
	opt.DataDir, opt.Keys = filepath.Join(t.TempDir(), "later"), d.Keys
	up, err := db.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	wantIssue(t, restore(up, d.Keys), "not-supported", "schema")
}
