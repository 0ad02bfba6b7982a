package scenario_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/keys"
)

// filled is an installation with the practice willow in it.
func (h *home) filled() *home {
	h.t.Helper()
	h.must("practice", "add", "willow", "Willow Street Clinic")
	h.must("import", "fhir", "--practice", "willow", "testdata/town")
	return h
}

// keyFiles are where the installation's keys are.
func (h *home) keyFiles() (master, store string) {
	if h.data != "" {
		return h.data + ".master.key", h.data + ".keys"
	}
	return filepath.Join(h.dir, "master.key"), filepath.Join(h.dir, "keys")
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestKeysThatAreMissingOrWrong(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.filled()
		other := h.another()
		other.must("practice", "add", "willow", "Another Willow")
		master, store := h.keyFiles()
		otherMaster, otherStore := other.keyFiles()
		printed, err := os.ReadFile(master)
		if err != nil {
			t.Fatal(err)
		}

		move(t, master, master+".away")
		h.run("doctor").refused(t, 1, "master key file", "is missing", "yarrow keys recover")
		move(t, otherMaster, master)
		h.run("doctor").refused(t, 1, "wrong master key", "Use the master key file")
		move(t, master, otherMaster)

		// From the paper, as people type it.
		wrong := write(t, filepath.Join(t.TempDir(), "wrong"), "00000"+string(printed[5:]))
		h.run("keys", "recover", "--recovery-file", wrong).refused(t, 1, "mistyped", "Type it again")
		foreign, err := os.ReadFile(otherMaster)
		if err != nil {
			t.Fatal(err)
		}
		h.run("keys", "recover", "--recovery-file", write(t, filepath.Join(t.TempDir(), "foreign"), string(foreign))).refused(t, 1, "wrong master key")
		typed := strings.ToLower(strings.ReplaceAll(string(printed), "-", " "))
		h.must("keys", "recover", "--recovery-file", write(t, filepath.Join(t.TempDir(), "paper"), typed))
		h.sound()

		move(t, store, store+".away")
		h.run("doctor").refused(t, 1, "key store "+store+" is missing", "yarrow keys import")
		if _, err := os.Stat(store); err == nil {
			t.Error("new keys were made for old data")
		}
		// Another installation's keys, both halves: they fit each other and not the data.
		move(t, master, master+".away")
		move(t, otherStore, store)
		move(t, otherMaster, master)
		code, words := 4, "does not open with its key"
		if h.data == "" {
			code, words = 1, "sealed with other keys"
		}
		h.run("doctor").refused(t, code, words, "key store")
		h.run("import", "fhir", "--practice", "willow", "testdata/town").refused(t, 1, words)
		if err := os.RemoveAll(store); err != nil {
			t.Fatal(err)
		}
		move(t, master+".away", master)
		move(t, store+".away", store)
		if f := h.sound(); f.Resources != 11 {
			t.Errorf("%d resources", f.Resources)
		}
	})
}

// TestANewerDatabase: data that a later version has worked on is left alone.
func TestANewerDatabase(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		h := onSQLite(t).filled()
		later := fstest.MapFS{}
		for _, set := range []string{"practice", "system"} {
			names, err := filepath.Glob("../../internal/base/db/migrations/" + set + "/*.sql")
			if err != nil || len(names) == 0 {
				t.Fatal(names, err)
			}
			for _, name := range names {
				raw, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				later[set+"/"+filepath.Base(name)] = &fstest.MapFile{Data: raw}
			}
		}
		later["practice/9000_later.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE later (practice_id BIGINT NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (practice_id, id));\n")}
		ring, _, err := keys.Open(keys.DefaultOptions(h.data))
		if err != nil {
			t.Fatal(err)
		}
		d, err := db.Open(t.Context(), db.Options{DataDir: h.data, Keys: ring, Clock: clock.System(), Migrations: later})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.View(t.Context(), dbtest.ScopeOf(1), func(*db.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		h.run("import", "fhir", "--practice", "willow", "testdata/town").refused(t, 1, "newer than this Yarrow", "9000", "Nothing was changed")
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		h := &home{t: t, dir: t.TempDir(), pg: dbtest.Empty(t)}
		h.run("practice", "add", "willow", "Willow").refused(t, 1, "has not been brought up", "yarrow migrate")
		migrate := func() said { return yarrow(t, "migrate", "--database", h.pg.Owner) }
		if s := migrate(); s.code != 0 {
			t.Fatal(s.errs)
		}
		h.filled()
		if s := migrate(); s.code != 0 { // again changes nothing
			t.Fatal(s.errs)
		}
		h.sound()
		h.super(`INSERT INTO yarrow.schema_version (version_id, is_applied) VALUES (9000, true)`)
		h.run("import", "fhir", "--practice", "willow", "testdata/town").refused(t, 1, "newer than this Yarrow", "9000")
		migrate().refused(t, 1, "newer than this Yarrow")
		h.super(`DELETE FROM yarrow.schema_version WHERE version_id = 9000`)
		h.sound()
		yarrow(t, "migrate", "--database", h.pg.App).refused(t, 1, "may not be the owner")
		yarrow(t, "migrate", "--database", h.pg.App, "--role", "somebody").refused(t, 1, "may not change the schema", "owner")
		yarrow(t, "migrate", "--database", "./data").refused(t, 1, "not the address", "postgres://")
	})
}

// super changes the database behind Yarrow's back.
func (h *home) super(text string) {
	h.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, h.pg.Super)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, text); err != nil {
		h.t.Fatal(err)
	}
}

func TestRolesThatMayTooMuch(t *testing.T) {
	h := onPostgreSQL(t).filled()
	app := h.pg.App
	h.pg.App = h.pg.Super
	h.run("doctor").refused(t, 1, "superuser", "yarrow migrate")
	h.pg.App = h.pg.Owner
	h.run("doctor").refused(t, 1, "owns it")
	h.run("serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0").refused(t, 1, "owns it")
	h.pg.App = app
	h.sound()
}

// TestASecondProcess: a data folder has one process. A second server says who has it, and harms nothing; so does a command when
// the server cannot be spoken to.
func TestASecondProcess(t *testing.T) {
	h := onSQLite(t).filled()
	cmd := command(t, append([]string{"serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0"}, h.place()...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAtLeast(out, make([]byte, 1000), 10); err != nil { // it serves
		t.Fatal(err)
	}
	h.run("serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0").refused(t, 1, fmt.Sprintf("Another Yarrow (process %d) has the data folder", cmd.Process.Pid), "Stop it first")
	if err := os.Remove(filepath.Join(h.data, "control.sock")); err != nil {
		t.Fatal(err)
	}
	_, recipient := h.owner()
	for _, args := range [][]string{
		{"import", "fhir", "--practice", "willow", "testdata/town"}, {"doctor"}, {"practice", "list"},
		{"backup", "--out", filepath.Join(t.TempDir(), "b"), "--recipient", recipient},
	} {
		h.run(args...).refused(t, 1, fmt.Sprintf("Another Yarrow (process %d) has the data folder", cmd.Process.Pid), "Stop it first")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	h.sound()
}

// TestAFullDisk fills the disk in the middle of an import. The message says so, what was acknowledged is kept, and with
// room again the same command goes on to the same end.
func TestAFullDisk(t *testing.T) {
	dir := crowd(t, 12, 120)
	story := func(t *testing.T, h *home, full func(args ...string) said, room func()) {
		s := full("import", "fhir", "--practice", "crowd", dir)
		s.refused(t, 1, "The disk is full", "Free some space", "The import stopped", "run the same command again")
		var kept int
		for line := range strings.Lines(s.errs) {
			if _, rest, ok := strings.Cut(line, "The import stopped. "); ok {
				number, _, _ := strings.Cut(rest, " ")
				if _, err := fmt.Sscan(strings.ReplaceAll(number, ",", ""), &kept); err != nil {
					t.Fatal(err)
				}
			}
		}
		room()
		f := h.sound()
		if f.Resources < kept {
			t.Errorf("%d resources are there, %d were acknowledged", f.Resources, kept)
		}
		t.Logf("the disk was full after %d resources", kept)
		r, _ := h.imports("crowd", dir)
		if f := h.sound(); f.Resources != 2+12+2*12*120 || f.OlderVersions != 0 || r.Refused != 0 {
			t.Errorf("%+v", f)
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		h := onSQLite(t)
		if disk, ok := smallDisk(t, "size=3m"); ok {
			h.dir, h.data = disk, filepath.Join(disk, "data")
			h.must("practice", "add", "crowd", "Crowd")
			story(t, h, h.run, func() { mount(t, "-o", "remount,size=200m", disk) })
			return
		}
		t.Log("no small file system could be mounted: the size of files is limited instead")
		h.must("practice", "add", "crowd", "Crowd")
		story(t, h, func(args ...string) said {
			cmd := command(t, append(args, h.place()...)...)
			cmd.Args = append([]string{"sh", "-c", `ulimit -f 2000; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
			cmd.Path = "/bin/sh"
			return finish(t, cmd)
		}, func() {})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		disk, ok := smallDisk(t, "size=64m")
		if !ok {
			t.Log("no small file system could be mounted: PostgreSQL's disk was not filled")
			return
		}
		h := &home{t: t, dir: t.TempDir(), pg: dbtest.EmptyIn(t, disk)}
		if s := yarrow(t, "migrate", "--database", h.pg.Owner); s.code != 0 {
			t.Fatal(s.errs)
		}
		h.must("practice", "add", "crowd", "Crowd")
		// Whatever the server needs for an empty database, 1 MB is left for the import.
		var left syscall.Statfs_t
		if err := syscall.Statfs(disk, &left); err != nil {
			t.Fatal(err)
		}
		filler := filepath.Join(disk, "filler")
		if err := os.WriteFile(filler, make([]byte, int64(left.Bavail)*left.Bsize-1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		story(t, h, h.run, func() {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// smallDisk is a file system of its own; false where that is not allowed.
func smallDisk(t *testing.T, options string) (dir string, ok bool) {
	t.Helper()
	dir, err := os.MkdirTemp("", "yarrow-disk") // unlike t.TempDir, others may be let in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() != 0 || exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).Run() != nil {
		return "", false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, true
}

func mount(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v\n%s", args, err, out)
	}
}
