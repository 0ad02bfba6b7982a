package scenario_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// while runs a server, does something through it, and kills it at once: what was looked at waits in the journal.
func (h *home) while(do func()) {
	h.t.Helper()
	socket := filepath.Join(h.data, "control.sock")
	_ = os.Remove(socket) // of one that was killed
	cmd := command(h.t, append([]string{"serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0"}, h.place()...)...)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for range 1000 {
		if _, err := os.Lstat(socket); err == nil {
			do()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.t.Fatal("the server did not come up")
}

// look exports the audit of willow, which is itself on record, and counts how often that was done.
func (h *home) look() (times int) {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "log")
	h.must("audit", "export", "--practice", "willow", "--out", file)
	b, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(b) {
		var e struct {
			ID   string
			Says struct{ Action, Type string }
		}
		if json.Unmarshal(line, &e) != nil || e.Says.Action != "export" || e.Says.Type != "AuditEvent" {
			continue
		}
		if seen[e.ID] {
			h.t.Errorf("entry %s is there twice", e.ID)
		}
		seen[e.ID] = true
	}
	return len(seen)
}

// Looks that wait when a server is killed are there after it, once, whatever is done with the data folder next.
func TestLooksThatWait(t *testing.T) {
	t.Parallel()
	h := onSQLite(t).filled() // number 1
	h.must("practice", "add", "elm", "Elm Avenue")
	want := func(h *home, times int) {
		t.Helper()
		h.sound("--practice", "willow")
		if got := h.look(); got != times {
			t.Errorf("%d looks, want %d", got, times)
		}
		h.must("audit", "verify", "--practice", "willow")
	}
	want(h, 1)
	want(h, 2)
	identity, recipient := h.owner()
	h.while(func() { h.look(); h.look() })
	file, copied := h.backup(recipient, "--practice", "willow") // with the four
	if copied.rows(1)["audit_journal"] != 1 {
		t.Errorf("%v", copied.rows(1))
	}
	want(h, 5)
	h.while(func() { h.look() })

	whole := &home{t: t, dir: t.TempDir()}
	whole.data = filepath.Join(whole.dir, "data")
	_ = os.Remove(filepath.Join(h.data, "control.sock"))
	if err := os.CopyFS(whole.dir, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	want(whole, 7)
	want(whole, 8)

	// Brought back in the same folder: the sixth the journal has still, and the fifth perhaps, which was gone with the practice's file.
	if err := os.RemoveAll(filepath.Join(h.data, "practices", "1")); err != nil {
		t.Fatal(err)
	}
	h.must("restore", "--in", file, "--identity", identity, "--practice", "1")
	now := h.look()
	if now != 6 && now != 7 {
		t.Errorf("%d looks after the restore", now)
	}
	want(h, now+1)

	keys := filepath.Join(t.TempDir(), "keys")
	h.must("keys", "export", "--out", keys, "--recipient", recipient, "--practice", "1")
	other := h.another()
	other.must("keys", "import", "--in", keys, "--identity", identity)
	other.must("restore", "--in", file, "--identity", identity, "--practice", "1")
	want(other, 5)
	other.while(func() { other.look() })
	want(other, 7)

	// The earlier copy of the folder gets the practice of the later.
	file, _ = h.backup(recipient, "--practice", "willow")
	if err := os.RemoveAll(filepath.Join(whole.data, "practices", "1")); err != nil {
		t.Fatal(err)
	}
	whole.must("restore", "--in", file, "--identity", identity, "--practice", "1")
	for n := range 3 {
		want(whole, now+2+n)
	}
}
