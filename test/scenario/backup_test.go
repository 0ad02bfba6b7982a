package scenario_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestABackupComesBack: from either engine into either, with the keys by their own way.
func TestABackupComesBack(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.filled()
		h.must("user", "add", "--practice", "willow", "--login", "ann", "--name", "Dr. Ann Testfern", "--role", "clinician")
		identity, recipient := h.owner()
		h.must("import", "fhir", "--practice", "willow", write(t, filepath.Join(t.TempDir(), "change.json"),
			`{"resourceType":"Patient","id":"town-l1","name":[{"family":"Testmoss","given":["Benjamin"]}],"birthDate":"1988-11-30"}`))
		before := h.sound()
		if before.OlderVersions != 1 {
			t.Errorf("%+v", before)
		}
		file, copied := h.backup(recipient)
		if s := yarrow(t, "backup", "verify", "--json", "--in", file, "--identity", identity); s.code != 0 || !reflect.DeepEqual(decode[copyOf](t, s), copied) {
			t.Errorf("verify says %s", s.out)
		}
		keyFile := filepath.Join(t.TempDir(), "keys.age")
		h.must("keys", "export", "--out", keyFile, "--recipient", recipient)
		for _, into := range []*home{onSQLite(t), onPostgreSQL(t)} {
			into.run("restore", "--in", file, "--identity", identity).refused(t, 1, "key store", "yarrow keys import")
			into.must("keys", "import", "--in", keyFile, "--identity", identity)
			into.must("restore", "--in", file, "--identity", identity)
			// Rows, versions and their bytes are the same, in every table of every store.
			if _, again := into.backup(recipient); !reflect.DeepEqual(again, copied) {
				t.Errorf("restored %+v\nof %+v", again, copied)
			}
			after := into.sound()
			after.AuditEntries = before.AuditEntries
			if !reflect.DeepEqual(after, before) {
				t.Errorf("after %+v, before %+v", after, before)
			}
			if s := into.must("user", "list", "--practice", "willow", "--json"); !bytes.Contains([]byte(s.out), []byte("Dr. Ann Testfern")) {
				t.Error(s.out)
			}
			into.run("restore", "--in", file, "--identity", identity).refused(t, 1, "holds data already", "empty data folder")
			if r, _ := into.imports("willow", "testdata/town"); r.SkippedFiles != 4 { // what was known to be done still is
				t.Errorf("%+v", r)
			}
		}
	})
}

// TestOnePracticeMoves takes one of two practices to another installation.
func TestOnePracticeMoves(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.must("practice", "add", "elm", "Elm Avenue")
		h.filled() // number 2
		h.must("user", "add", "--practice", "willow", "--login", "ada", "--name", "Ada Fern", "--role", "clinician")
		h.must("user", "add", "--practice", "willow", "--login", "bea", "--name", "Bea Moss", "--role", "frontdesk")
		identity, recipient := h.owner()
		file, copied := h.backup(recipient, "--practice", "willow")
		if len(copied.Stores) != 1 || copied.Stores[0].Practice != 2 {
			t.Fatalf("%+v", copied)
		}
		keyFile := filepath.Join(t.TempDir(), "keys.age")
		h.must("keys", "export", "--out", keyFile, "--recipient", recipient, "--practice", "2")
		into := h.another()
		into.must("keys", "import", "--in", keyFile, "--identity", identity)
		into.must("practice", "add", "yew", "Yew Street")
		into.must("user", "add", "--practice", "yew", "--login", "ADA", "--name", "Ada Other", "--role", "nurse")
		into.run("restore", "--in", file, "--identity", identity, "--practice", "1").refused(t, 1, "does not hold practice 1")
		if s := into.must("restore", "--in", file, "--identity", identity, "--practice", "2"); !strings.Contains(s.out, "2 people came along") || !strings.Contains(s.out, "ada (Ada Fern): there is such a login") || strings.Contains(s.out, "bea") {
			t.Errorf("the report of the restore: %s", s.out)
		}
		members := func(h *home) map[string]string {
			out := map[string]string{}
			for _, p := range decode[[]struct {
				Login, Name string
				Roles       []string
				Active      bool
			}](t, h.must("user", "list", "--practice", "willow", "--json")) {
				out[p.Login] = fmt.Sprint(p.Name, p.Roles, p.Active)
			}
			return out
		}
		if m := members(into); len(m) != 2 || m["ADA"] != "Ada Other[clinician] false" || m["bea"] != "Bea Moss[frontdesk] true" {
			t.Errorf("the people after the move: %v", m)
		}
		into.must("user", "enable", "--practice", "willow", "ada")
		if m := members(into); m["ADA"] != "Ada Other[clinician] true" {
			t.Errorf("enabled: %v", m)
		}
		if f := into.sound("--practice", "willow"); f.Practice != "willow" || f.Number != 2 || f.Resources != 11 {
			t.Errorf("%+v", f)
		}
		_, again := into.backup(recipient, "--practice", "willow")
		if a, b := again.rows(2), copied.rows(2); a["resource"] != b["resource"] || a["hkey"] != b["hkey"] || a["history"] != b["history"] {
			t.Errorf("%v, %v", a, b)
		}
		into.must("practice", "add", "oak", "Oak Lane")
		if f := into.sound("--practice", "oak"); f.Number == 2 {
			t.Error("a number was given twice")
		}
	})
}

// TestBackupsThatAreRefused: wrong identity, a flipped byte anywhere, a cut end. Nothing is restored from them.
func TestBackupsThatAreRefused(t *testing.T) {
	h := onSQLite(t).filled()
	identity, recipient := h.owner()
	stranger, _ := h.owner()
	file, _ := h.backup(recipient)
	h.run("backup", "--out", file, "--recipient", recipient).refused(t, 1, "There is a file", "Name another file")
	yarrow(t, "backup", "verify", "--in", file, "--identity", stranger).refused(t, 1, "encrypted to somebody else", "Use the identity")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "keys.age")
	h.must("keys", "export", "--out", keyFile, "--recipient", recipient)
	into := h.another()
	into.must("keys", "import", "--in", keyFile, "--identity", identity)
	for name, spoil := range map[string]func(b []byte) []byte{
		"a byte of the beginning": func(b []byte) []byte { b[5] ^= 1; return b },
		"a byte of the middle":    func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"a byte of the end":       func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":                     func(b []byte) []byte { return b[:len(b)*3/4] },
		"empty":                   func(b []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.yarrow")
			if err := os.WriteFile(bad, spoil(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			yarrow(t, "backup", "verify", "--in", bad, "--identity", identity).refused(t, 1, "This backup cannot be used", "Use another copy")
			into.in(t).run("restore", "--in", bad, "--identity", identity).refused(t, 1, "This backup cannot be used")
		})
	}
	into.must("restore", "--in", file, "--identity", identity) // the failures left nothing in its way
	if f := into.sound(); f.Resources != 11 {
		t.Errorf("%+v", f)
	}
}

func TestABackupWithAPassphrase(t *testing.T) {
	h := onSQLite(t).filled()
	phrase := write(t, filepath.Join(t.TempDir(), "phrase"), "willow lantern copper orbit\n")
	other := write(t, filepath.Join(t.TempDir(), "other"), "willow lantern copper robot\n")
	short := write(t, filepath.Join(t.TempDir(), "short"), "willow\n")
	file := filepath.Join(t.TempDir(), "copy.yarrow")
	h.run("backup", "--out", file, "--passphrase-file", short).refused(t, 1, "shorter than 12")
	h.must("backup", "--out", file, "--passphrase-file", phrase)
	yarrow(t, "backup", "verify", "--in", file, "--passphrase-file", other).refused(t, 1, "encrypted to somebody else")
	if s := yarrow(t, "backup", "verify", "--in", file, "--passphrase-file", phrase); s.code != 0 {
		t.Error(s.errs)
	}
}
