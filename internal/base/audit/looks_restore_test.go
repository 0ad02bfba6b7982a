package audit_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"filippo.io/age"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// node is an embedded data folder with the keys of the test, open or not.
type node struct {
	*testing.T
	o db.Options
	d *db.DB
	l *audit.Log
}

func nodeOf(t *testing.T, d *dbtest.DB) *node {
	n := &node{T: t, o: d.Options()}
	if err := d.DB.Close(); err != nil {
		t.Fatal(err)
	}
	n.o.DataDir = filepath.Join(t.TempDir(), "data")
	n.start()
	if err := n.d.Create(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) start() {
	n.Helper()
	d, err := db.Open(n.Context(), n.o)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { d.Close() })
	n.d, n.l = d, audit.New(d)
}

func (n *node) stop() {
	n.Helper()
	if err := n.d.Close(); err != nil {
		n.Fatal(err)
	}
}

// copy is another data folder with what this one holds now.
func (n *node) copy() *node {
	n.Helper()
	n.stop()
	c := &node{T: n.T, o: n.o}
	c.o.DataDir = filepath.Join(n.TempDir(), "data")
	if err := os.CopyFS(c.o.DataDir, os.DirFS(n.o.DataDir)); err != nil {
		n.Fatal(err)
	}
	n.start()
	return c
}

func (n *node) looks(patients ...string) {
	n.Helper()
	looked(n.T, n.l, 1, patients...)
}

func (n *node) settle() {
	n.Helper()
	if err := n.l.Settle(n.Context(), dbtest.ScopeOf(1)); err != nil {
		n.Fatal(err)
	}
}

// backup is one of practice 1, with what waits.
func (n *node) backup(identity *age.X25519Identity) []byte {
	n.Helper()
	n.settle()
	file := filepath.Join(n.TempDir(), "copy")
	if _, err := backup.Write(n.Context(), file, backup.Options{DB: n.d, Scope: dbtest.ScopeOf, To: []age.Recipient{identity.Recipient()}, Practices: []db.PracticeID{1}}); err != nil {
		n.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		n.Fatal(err)
	}
	return b
}

// restore brings practice 1 back to what a backup holds.
func (n *node) restore(b []byte, identity *age.X25519Identity) {
	n.Helper()
	n.stop()
	if err := os.RemoveAll(filepath.Join(n.o.DataDir, "practices", strconv.Itoa(1))); err != nil {
		n.Fatal(err)
	}
	n.start()
	if _, err := backup.Restore(n.Context(), bytes.NewReader(b), backup.RestoreOptions{DB: n.d, Keys: n.o.Keys, Scope: dbtest.ScopeOf, Practice: 1, Who: []age.Identity{identity}}); err != nil {
		n.Fatal(err)
	}
}

// once checks that the audit has a look at each of these patients and at nobody else, before and after it takes over what
// waits, and at the next start, and that nothing waits then.
func (n *node) once(patients ...string) {
	n.Helper()
	want := map[string]int{}
	for _, p := range patients {
		want["Patient/"+p] = 1
	}
	check := func(when string) {
		n.Helper()
		got := map[string]int{}
		for _, e := range find(n.T, n.l, 1, audit.Filter{}) {
			got[e.Patient]++
		}
		if !maps.Equal(got, want) {
			n.Errorf("%s: %v, want %v", when, got, want)
		}
		if r := verify(n.T, n.l); r.Fault != nil || r.Entries+r.Waiting != int64(len(patients)) {
			n.Errorf("%s: %+v %+v", when, r, r.Fault)
		}
	}
	check("as it is")
	n.stop()
	n.start()
	check("after another start")
	n.settle()
	check("settled")
	n.stop()
	n.start()
	check("settled, after another start")
	n.settle()
	if left := n.l.Unsealed(); len(left) != 0 || n.d.Journal().Held() != 0 {
		n.Errorf("%v and %d bytes still wait", left, n.d.Journal().Held())
	}
}

func someone(t *testing.T) *age.X25519Identity {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// A practice that is brought back alone takes from the journal what it lacks, and nothing that it has.
func TestLooksOfARestoredPracticeAreThereOnce(t *testing.T) {
	t.Parallel()
	n, me := nodeOf(t, dbtest.SQLite(t, nil)), someone(t)
	n.looks("a", "b")
	b := n.backup(me)
	n.looks("c")
	n.settle()
	n.looks("d")
	other := n.copy() // of the node, with a look that waits
	fresh := &node{T: t, o: n.o}
	fresh.o.DataDir = filepath.Join(t.TempDir(), "data")
	fresh.start()

	n.restore(b, me) // what was taken over since is gone with the folder; what was not is not
	n.once("a", "b", "d")
	n.looks("e")
	n.once("a", "b", "d", "e")

	other.start()
	other.once("a", "b", "c", "d")

	fresh.restore(b, me)
	fresh.once("a", "b")
	fresh.looks("f")
	fresh.once("a", "b", "f")
}

// The node is an earlier copy of the one that the backup is from: both number their writes alike, and what is looked at here
// must not pass for what was looked at there.
func TestAPracticeFromALaterCopyOfTheNode(t *testing.T) {
	t.Parallel()
	n, me := nodeOf(t, dbtest.SQLite(t, nil)), someone(t)
	n.looks("a")
	n.settle()
	early := n.copy()
	n.looks("b", "c", "d")
	b := n.backup(me)
	early.start()
	early.restore(b, me)
	early.looks("e")
	early.once("a", "b", "c", "d", "e")
	early.looks("f", "g")
	early.once("a", "b", "c", "d", "e", "f", "g")
}

// The folder of one practice, settled and closed, is carried into an earlier copy of the node.
func TestAFolderFromALaterCopyOfTheNode(t *testing.T) {
	t.Parallel()
	n := nodeOf(t, dbtest.SQLite(t, nil))
	n.looks("a")
	n.settle()
	early := n.copy()
	n.looks("b", "c")
	n.settle()
	n.stop()
	to := filepath.Join(early.o.DataDir, "practices", "1")
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(n.o.DataDir, "practices", "1"))); err != nil {
		t.Fatal(err)
	}
	early.start()
	early.looks("d")
	early.once("a", "b", "c", "d")
}
