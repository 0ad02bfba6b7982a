// Package scenario_test tells Yarrow's stories from outside: it runs the program itself, speaks to it through the
// command line and HTTP as a person or a script does, on both engines, and looks at nothing else. It never reaches into
// the code to make a story work.
package scenario_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// home is one installation of Yarrow, as an operator has it: where its data is, and its keys.
type home struct {
	t    *testing.T
	dir  string // everything of this installation
	data string // the data folder; "" on PostgreSQL
	pg   dbtest.URLs
}

// each tells a story once for every engine.
func each(t *testing.T, story func(t *testing.T, h *home)) {
	t.Run("SQLite", func(t *testing.T) { story(t, onSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { story(t, onPostgreSQL(t)) })
}

func onSQLite(t *testing.T) *home {
	dir := t.TempDir()
	return &home{t: t, dir: dir, data: filepath.Join(dir, "data")}
}

func onPostgreSQL(t *testing.T) *home {
	return &home{t: t, dir: t.TempDir(), pg: dbtest.Migrated(t, nil)}
}

// another is an installation of the same engine with nothing in it, not even keys.
func (h *home) another() *home {
	if h.data != "" {
		return onSQLite(h.t)
	}
	return onPostgreSQL(h.t)
}

// in is the same installation for a test within the test.
func (h *home) in(t *testing.T) *home {
	same := *h
	same.t = t
	return &same
}

// place are the flags that name the installation.
func (h *home) place() []string {
	if h.data != "" {
		return []string{"--data", h.data}
	}
	return []string{"--database", h.pg.App, "--master-key", filepath.Join(h.dir, "master.key"), "--keystore", filepath.Join(h.dir, "keys")}
}

// said is how a command ended.
type said struct {
	code      int
	out, errs string
}

// yarrow runs a command with exactly these arguments.
func yarrow(t *testing.T, args ...string) said {
	t.Helper()
	return finish(t, command(t, args...))
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "YARROW_") })
	return cmd
}

func finish(t *testing.T, cmd *exec.Cmd) said {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args[1:], err)
	}
	return said{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// run runs a command on the installation.
func (h *home) run(args ...string) said {
	h.t.Helper()
	return yarrow(h.t, append(args, h.place()...)...)
}

// must is run for commands that have to succeed.
func (h *home) must(args ...string) said {
	h.t.Helper()
	s := h.run(args...)
	if s.code != 0 {
		h.t.Fatalf("yarrow %v ended with %d\n%s%s", args, s.code, s.out, s.errs)
	}
	return s
}

// refused checks that a command ended with a code and words, and that it told what to do.
func (s said) refused(t *testing.T, code int, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(s.out+s.errs, w) {
			t.Errorf("%q is not said", w)
		}
	}
	if s.code != code || strings.Contains(s.out+s.errs, "goroutine ") {
		t.Errorf("exit code %d, not %d", s.code, code)
	}
	if t.Failed() {
		t.Logf("%s%s", s.out, s.errs)
	}
}

func decode[T any](t *testing.T, s said) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(s.out), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s%s", err, s.out, s.errs)
	}
	return v
}

// report is what `yarrow import fhir --json` prints.
type report struct {
	Files, SkippedFiles, FailedFiles            int
	Created, Updated, Same, Refused, MoreIssues int64
	DanglingReferences                          int64
	Seconds                                     float64
	ByType                                      map[string]int64
	Issues                                      []struct {
		File, Severity, Code, Path, Text, Fix string
		Line                                  int
		Entry                                 *int
	}
}

// imports takes files in and gives the report, whatever the exit code was.
func (h *home) imports(practice string, files ...string) (report, said) {
	h.t.Helper()
	s := h.run(append([]string{"import", "fhir", "--json", "--practice", practice}, files...)...)
	if s.code != 0 && s.code != 3 {
		h.t.Fatalf("the import ended with %d\n%s%s", s.code, s.out, s.errs)
	}
	return decode[report](h.t, s), s
}

// health is what `yarrow doctor --json` says about one practice.
type health struct {
	Practice                 string
	Number                   int64
	Sound                    bool
	Resources, OlderVersions int
	Damaged                  []struct {
		Type         string
		Row, Version int64
	}
	WrongIndex, Problems                   []string
	StrayIndexRows, Repaired, AuditEntries int
	Remedy                                 string
}

// doctor gives the findings about practice, which must be the only one or named.
func (h *home) doctor(args ...string) (health, said) {
	h.t.Helper()
	s := h.run(append([]string{"doctor", "--json"}, args...)...)
	all := decode[[]health](h.t, s)
	if len(all) != 1 {
		h.t.Fatalf("%d practices", len(all))
	}
	return all[0], s
}

// sound is doctor where all must be well.
func (h *home) sound(args ...string) health {
	h.t.Helper()
	f, s := h.doctor(args...)
	if s.code != 0 || !f.Sound {
		h.t.Fatalf("doctor: %d\n%s%s", s.code, s.out, s.errs)
	}
	return f
}

// copyOf is what a backup holds, as `yarrow backup --json` says.
type copyOf struct {
	Rows   int64
	Stores []struct {
		Practice int64
		Tables   []struct {
			Name, SHA256 string
			Rows         int64
		}
	}
}

// rows counts the rows of the tables of a practice.
func (c copyOf) rows(practice int64) map[string]int64 {
	m := map[string]int64{}
	for _, s := range c.Stores {
		if s.Practice == practice {
			for _, t := range s.Tables {
				m[t.Name] = t.Rows
			}
		}
	}
	return m
}

// owner is somebody who can open backups.
func (h *home) owner() (identity, recipient string) {
	h.t.Helper()
	identity = filepath.Join(h.t.TempDir(), "identity.txt")
	s := yarrow(h.t, "keys", "identity", "--out", identity)
	if s.code != 0 {
		h.t.Fatalf("%s%s", s.out, s.errs)
	}
	return identity, strings.TrimSpace(s.out)
}

// backup writes a copy to a new file.
func (h *home) backup(recipient string, args ...string) (string, copyOf) {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "copy.yarrow")
	s := h.must(append([]string{"backup", "--json", "--out", file, "--recipient", recipient}, args...)...)
	return file, decode[copyOf](h.t, s)
}
