package scenario_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCommandsReachTheServer gives commands the data folder of a running server: they do what they do without it, with the same
// words and codes.
func TestCommandsReachTheServer(t *testing.T) {
	h := onSQLite(t).filled()
	before := h.sound()
	server := append([]string{"serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0"}, h.place()...)
	t.Run("served", func(t *testing.T) {
		h := h.in(t)
		started(t, command(t, server...), "serves 1 practices")
		st, err := os.Stat(filepath.Join(h.data, "control.sock"))
		if err != nil || st.Mode().Type() != fs.ModeSocket || st.Mode().Perm() != 0o600 {
			t.Fatalf("the socket: %v %v", st, err)
		}
		if out := h.must("practice", "list").out; !strings.Contains(out, "willow") {
			t.Errorf("practice list: %s", out)
		}
		if found := h.sound(); found.Resources != before.Resources {
			t.Errorf("the doctor found %d resources through the server, %d before", found.Resources, before.Resources)
		}
		h.must("practice", "add", "elm", "Elm Clinic")
		if out := h.must("user", "add", "--practice", "elm", "--login", "ada", "--name", "Ada Fern", "--role", "clinician", "--role", "administrator").out; !strings.Contains(out, "Invitation") {
			t.Errorf("user add: %s", out)
		}
		if out := h.must("user", "list", "--practice", "elm", "--json").out; !strings.Contains(out, `"administrator"`) {
			t.Errorf("user list: %s", out)
		}
		h.run("user", "list", "--practice", "oak").refused(t, 1, "no practice", "practice list")
		h.run("import", "fhir", "--practice", "elm", filepath.Join(t.TempDir(), "none.json")).refused(t, 1, "There is no file")

		// Files are named as from where the command is typed.
		dir := t.TempDir()
		write(t, filepath.Join(dir, "one.json"), `{"resourceType":"Patient","id":"p1","name":[{"family":"Rowan"}]}`)
		write(t, filepath.Join(dir, "two.json"), `{"resourceType":"Patient","id":"p2","name":"Rowan"}`)
		cmd := command(t, append([]string{"import", "fhir", "--practice", "elm", "--json", "one.json", "two.json"}, h.place()...)...)
		cmd.Dir = dir
		s := finish(t, cmd)
		if r := decode[report](t, s); s.code != 3 || r.Created != 1 || r.Refused != 1 {
			t.Errorf("import: code %d, %+v\n%s", s.code, r, s.errs)
		}
		_, recipient := h.owner()
		cmd = command(t, append([]string{"backup", "--out", "b.age", "--recipient", recipient}, h.place()...)...)
		cmd.Dir = dir
		if s := finish(t, cmd); s.code != 0 || !strings.Contains(s.out, "read back and compared") {
			t.Errorf("backup: %d %s%s", s.code, s.out, s.errs)
		}
		if st, err := os.Stat(filepath.Join(dir, "b.age")); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the backup: %v %v", st, err)
		}
	})
	if _, err := os.Lstat(filepath.Join(h.data, "control.sock")); err == nil {
		t.Error("the server left its socket")
	}
	// A server that was killed leaves its socket behind, which keeps nobody out.
	cmd := command(t, server...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, err := os.Lstat(filepath.Join(h.data, "control.sock")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := os.Lstat(filepath.Join(h.data, "control.sock")); err != nil {
		t.Error("the killed server had no socket")
	}
	if out := h.must("practice", "list").out; !strings.Contains(out, "elm") {
		t.Errorf("practice list: %s", out)
	}
}

// TestAnImportThroughTheServerIsStopped: Ctrl+C at the command stops the work in the server, which goes on serving.
func TestAnImportThroughTheServerIsStopped(t *testing.T) {
	h := onSQLite(t)
	h.must("practice", "add", "willow", "Willow Clinic")
	dir := crowd(t, 240, 120) // some seconds of work on a fast machine
	t.Run("served", func(t *testing.T) {
		h := h.in(t)
		cmd := command(t, append([]string{"serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0"}, h.place()...)...)
		started(t, cmd, "serves 1 practices")
		imp := command(t, append([]string{"import", "fhir", "--practice", "willow", dir}, h.place()...)...)
		var errs syncBuffer
		imp.Stderr = &errs
		if err := imp.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		_ = imp.Process.Signal(os.Interrupt)
		_ = imp.Wait()
		if code := imp.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "The import stopped") || !strings.Contains(errs.String(), "are kept") {
			t.Errorf("code %d: %s", code, errs.String())
		}
		h.must("import", "fhir", "--practice", "willow", dir) // goes on
	})
	h.sound()
}

// syncBuffer is written by a process and read by a test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
