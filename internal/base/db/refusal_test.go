package db_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

func wantIssue(t *testing.T, err error, code, words string) {
	t.Helper()
	var issue *fhir.Issue
	if !errors.As(err, &issue) || issue.Code != code || !strings.Contains(issue.Text, words) || issue.Fix == "" {
		t.Errorf("got %v, want a %q issue about %q with a remedy", err, code, words)
	}
}

// reopenWith closes d and tries to open it with changed options.
func reopenWith(t *testing.T, d *dbtest.DB, change func(o *db.Options)) error {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	o := d.Options()
	change(&o)
	other, err := db.Open(t.Context(), o)
	if err == nil {
		defer other.Close()
		return other.View(t.Context(), dbtest.ScopeOf(1), func(*db.Tx) error { return nil })
	}
	return err
}

func TestANewerSchemaIsRefused(t *testing.T) {
	older := maps.Clone(ours)
	delete(older, "practice/0007_key.sql")
	each(t, func(t *testing.T, d *dbtest.DB) {
		err := reopenWith(t, d, func(o *db.Options) { o.Migrations = older })
		wantIssue(t, err, "not-supported", "newer than this Yarrow")
		d.Reopen(t) // and nothing was changed
	})
}

func TestAnOlderSchemaIsBroughtUp(t *testing.T) {
	newer := maps.Clone(ours)
	newer["practice/0005_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" +
		"CREATE TABLE more (practice_id BIGINT NOT NULL, id BIGINT NOT NULL, name TEXT, PRIMARY KEY (practice_id, id));\n" +
		"ALTER TABLE note ADD COLUMN extra TEXT NOT NULL DEFAULT 'none';\n" +
		"UPDATE note SET flag = 7;\n")} // the number lies between two that are applied
	each(t, func(t *testing.T, d *dbtest.DB) {
		do(t, d, 1, func(tx *db.Tx) error { return add(t.Context(), tx, 1, "kept") })
		if d.Engine() == db.PostgreSQL {
			err := reopenWith(t, d, func(o *db.Options) { o.Migrations = newer })
			wantIssue(t, err, "not-supported", "has not been brought up")
			if err := db.MigrateSet(t.Context(), d.Owner, db.DefaultAppRole, newer); err != nil {
				t.Fatal(err)
			}
		} else if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		o := d.Options()
		o.Migrations = newer
		up, err := db.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		if err := up.View(t.Context(), d.Scope(1), func(tx *db.Tx) error {
			var body, extra string
			var flag int
			err := tx.QueryRow(t.Context(), db.SQL(`SELECT body, extra, flag FROM note WHERE practice_id = $1`), 1).Scan(&body, &extra, &flag)
			if body != "kept" || extra != "none" || flag != 7 {
				t.Errorf("%q %q %d", body, extra, flag)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestTheWrongKeyIsNamed(t *testing.T) {
	a, b := dbtest.SQLite(t, ours), dbtest.SQLite(t, ours)
	err := reopenWith(t, a, func(o *db.Options) { o.Keys = b.Keys })
	wantIssue(t, err, "exception", "does not open with its key")
}

func TestKeysOfAnotherInstallationAreRefused(t *testing.T) {
	a, b := dbtest.PostgreSQL(t, ours), dbtest.SQLite(t, ours)
	err := reopenWith(t, a, func(o *db.Options) { o.Keys = b.Keys })
	wantIssue(t, err, "security", "sealed with other keys")
	a.Reopen(t)
}

func TestDestroyedKeysCloseThePractice(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		if _, err := d.Keys.Destroy(2); err != nil {
			t.Fatal(err)
		}
		err := d.View(t.Context(), d.Scope(2), func(*db.Tx) error { return nil })
		wantIssue(t, err, "deleted", "destroyed")
		wantIssue(t, d.Create(t.Context(), 2), "deleted", "destroyed")
		view(t, d, 1, func(*db.Tx) error { return nil })
	})
}

func TestUnsafeRolesAreRefused(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	err := reopenWith(t, d, func(o *db.Options) { o.DatabaseURL = d.Super })
	wantIssue(t, err, "security", "superuser")
	err = reopenWith(t, d, func(o *db.Options) { o.DatabaseURL = d.Owner })
	wantIssue(t, err, "security", "owns it")
	wantIssue(t, db.Migrate(t.Context(), d.Owner, "yarrow_owner"), "security", "may not be the owner")
	err = db.Migrate(t.Context(), d.URL, "someone")
	wantIssue(t, err, "security", "may not change the schema")
}

func TestTablesWithoutTheirPolicyAreRefused(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	ctx := t.Context()
	super, err := pgx.Connect(ctx, d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.WithoutCancel(ctx))
	for _, c := range []struct{ harm, words string }{
		{`ALTER TABLE yarrow.note NO FORCE ROW LEVEL SECURITY`, "not forced"},
		{`ALTER TABLE yarrow.note DISABLE ROW LEVEL SECURITY`, "not forced"},
		{`DROP POLICY practice_isolation ON yarrow.note`, "exactly the policy"},
		{`CREATE POLICY open ON yarrow.note USING (true)`, "exactly the policy"},
		{`DROP POLICY practice_isolation ON yarrow.note; CREATE POLICY practice_isolation ON yarrow.note USING (true)`, "exactly the policy"},
		{`ALTER POLICY practice_isolation ON yarrow.note WITH CHECK (true)`, "exactly the policy"},
		{`CREATE TABLE yarrow.stray (id BIGINT)`, "no practice_id"},
		{`ALTER TABLE yarrow.note OWNER TO yarrow_app`, "owns it"},
	} {
		if _, err := super.Exec(ctx, c.harm); err != nil {
			t.Fatal(err)
		}
		err := reopenWith(t, d, func(*db.Options) {})
		wantIssue(t, err, "security", c.words)
		if _, err := super.Exec(ctx, `DROP TABLE IF EXISTS yarrow.stray; ALTER TABLE yarrow.note OWNER TO yarrow_owner;
			DROP POLICY IF EXISTS open ON yarrow.note`); err != nil {
			t.Fatal(err)
		}
		if err := db.MigrateSet(ctx, d.Owner, db.DefaultAppRole, ours); err != nil {
			t.Fatalf("after %s: %v", c.harm, err)
		}
	}
	d.Reopen(t)
}

// TestRowSecurityStandsAlone goes round Yarrow, straight to the server, as the app role.
func TestRowSecurityStandsAlone(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	ctx := t.Context()
	do(t, d, 1, func(tx *db.Tx) error { return add(ctx, tx, 1, "of the first") })
	conn, err := pgx.Connect(ctx, d.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	count := func() (n int) {
		t.Helper()
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM yarrow.note`).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	if n := count(); n != 0 {
		t.Errorf("without a practice %d rows show", n)
	}
	for setting, want := range map[string]int{"1": 1, "2": 0, "": 0} {
		if _, err := conn.Exec(ctx, `SELECT set_config('app.practice', $1, false)`, setting); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != want {
			t.Errorf("practice %q sees %d rows", setting, n)
		}
	}
	for _, harm := range []string{
		`SET app.practice = '2'; INSERT INTO yarrow.note (practice_id, id) VALUES (1, 5)`,
		`SET app.practice = '1'; UPDATE yarrow.note SET practice_id = 2`,
		`TRUNCATE yarrow.note`, `DROP TABLE yarrow.note`, `ALTER TABLE yarrow.note DISABLE ROW LEVEL SECURITY`,
		`DROP POLICY practice_isolation ON yarrow.note`, `CREATE TABLE yarrow.mine (id BIGINT)`, `SET row_security = off; SELECT * FROM yarrow.note`,
		`UPDATE yarrow.schema_version SET version_id = 1`,
	} {
		if _, err := conn.Exec(ctx, harm); err == nil {
			t.Errorf("the app role may: %s", harm)
		}
	}
	// A connection that worked for one practice shows nothing of it to another, whatever became of the work.
	for i := range 40 {
		run := []func(context.Context, db.Scope, func(*db.Tx) error) error{d.View, d.Glance, d.Do, d.Do}[i%4]
		err := run(ctx, d.Scope(1), func(tx *db.Tx) error {
			var n int
			if err := tx.QueryRow(ctx, countAll).Scan(&n); err != nil || n != 1 {
				t.Errorf("practice 1 sees %d rows, %v", n, err)
			}
			if i%4 == 3 {
				return errUndone
			}
			return nil
		})
		if err != nil && !errors.Is(err, errUndone) {
			t.Error(err)
		}
		view(t, d, 2, func(tx *db.Tx) error {
			var n int
			if err := tx.QueryRow(ctx, countAll).Scan(&n); err != nil || n != 0 {
				t.Errorf("practice 2 sees %d rows, %v", n, err)
			}
			return nil
		})
	}
}

func TestNoSecretIsInErrorTexts(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	o := d.Options()
	for _, url := range []string{"postgres://yarrow_app:hunter2secret@/%zz", "postgres://yarrow_app:hunter2secret@127.0.0.1:1/x?connect_timeout=1"} {
		o.DatabaseURL = url
		_, err := db.Open(t.Context(), o)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	// A violated constraint names columns, never values.
	err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
		if err := add(t.Context(), tx, 1, "hunter2secret"); err != nil {
			return err
		}
		return add(t.Context(), tx, 2, "hunter2secret")
	})
	if !db.IsUnique(err) || strings.Contains(fmt.Sprintf("%v %+v", err, err), "hunter2") {
		t.Errorf("%v", err)
	}
}

// TestNothingIsInTheClear writes known words into sealed columns and into text, and looks for them on the disk.
func TestNothingIsInTheClear(t *testing.T) {
	var planted []string
	for i := range 20 {
		planted = append(planted, fmt.Sprintf("Zephyrine-Quagmire-%02d-Testpatient", i))
	}
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		for round := range 3 {
			do(t, d, 1, func(tx *db.Tx) error {
				for i, name := range planted {
					id := int64(round*100 + i)
					sealed := tx.Keys().Seal(nil, []byte(name), fmt.Appendf(nil, "1|note|%d", id))
					text := fmt.Sprint("plain ", id)
					if tx.Engine() == db.SQLite { // its pages are encrypted too
						text = name + fmt.Sprint(round)
					}
					tx.InsertMany(notes, [][]any{{1, id, text, sealed, nil, 0}})
				}
				return nil
			})
		}
		find := func(stage string) {
			t.Helper()
			scanned := 0
			for _, root := range []string{d.Dir, d.Dir + ".keys", dataFolder(t, d)} {
				if root == "" {
					continue
				}
				err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
					if errors.Is(err, os.ErrNotExist) {
						return nil
					}
					if err != nil || e.IsDir() {
						return err
					}
					raw, err := os.ReadFile(path)
					if errors.Is(err, os.ErrNotExist) {
						return nil
					}
					scanned += len(raw)
					for _, name := range planted {
						if bytes.Contains(raw, []byte(name)) {
							t.Errorf("%s: %q is in the clear in %s", stage, name, path)
						}
					}
					return err
				})
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			if scanned < 20_000 {
				t.Errorf("%s: only %d bytes were looked at", stage, scanned)
			}
		}
		find("open")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		find("closed")
		d.Reopen(t)
		view(t, d, 1, func(tx *db.Tx) error { // the words are there for who has the key
			var sealed []byte
			if err := tx.QueryRow(ctx, db.SQL(`SELECT sealed FROM note WHERE practice_id = $1 AND id = 5`), 1).Scan(&sealed); err != nil {
				return err
			}
			plain, err := tx.Keys().Open(nil, sealed, []byte("1|note|5"))
			if string(plain) != planted[5] {
				t.Errorf("%q, %v", plain, err)
			}
			return err
		})
	})
}

// dataFolder is where the server keeps the test's database, once it has written everything to it.
func dataFolder(t *testing.T, d *dbtest.DB) string {
	t.Helper()
	if d.Super == "" {
		return ""
	}
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var dir, sub string
	if err := conn.QueryRow(ctx, `SELECT current_setting('data_directory'), pg_relation_filepath('yarrow.note')`).Scan(&dir, &sub); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, filepath.Dir(sub))
}

func TestFilesArePrivate(t *testing.T) {
	d := dbtest.SQLite(t, ours)
	do(t, d, 1, func(tx *db.Tx) error { return add(t.Context(), tx, 1, "x") })
	err := filepath.WalkDir(d.Dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, st.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPracticesOpenAndCloseAsNeeded(t *testing.T) {
	d := dbtest.SQLite(t, ours)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	o := d.Options()
	o.MaxOpen = 3
	few, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer few.Close()
	const practices = 9
	for p := db.PracticeID(1); p <= practices; p++ {
		if err := few.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	failed := make(chan error, practices)
	for p := db.PracticeID(1); p <= practices; p++ {
		go func() {
			failed <- func() error {
				for i := range int64(12) {
					if err := few.Do(t.Context(), d.Scope(p), func(tx *db.Tx) error { return add(t.Context(), tx, i, fmt.Sprint(i)) }); err != nil {
						return err
					}
					if err := few.View(t.Context(), d.Scope(p), func(tx *db.Tx) error {
						var n int64
						if err := tx.QueryRow(t.Context(), countAll).Scan(&n); err != nil || n != i+1 {
							return fmt.Errorf("practice %d: %d rows after %d, %w", p, n, i+1, err)
						}
						return nil
					}); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range practices {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasSuffix(target, "practice.db") && strings.HasPrefix(target, d.Dir) {
			open++
		}
	}
	if open > 3*(1+8) {
		t.Errorf("%d connections are open", open)
	}
}

func TestKeysAreNeverInThePathOrText(t *testing.T) {
	d := dbtest.SQLite(t, ours)
	k, err := d.Keys.Practice(1)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), db.SQL(`INSERT INTO nowhere (practice_id) VALUES ($1)`), 1)
		return err
	})
	for _, text := range []string{fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%x", err)} {
		if strings.Contains(text, fmt.Sprintf("%x", k.FileKey()[:8])) || bytes.Contains([]byte(text), k.FileKey()[:8]) {
			t.Error("a key is in an error text")
		}
	}
}
