// Package mutants breaks the program on purpose, one deliberate fault at a time, and has the test that must notice run: a suite that
// cannot fail is no evidence (R-33 of docs/threats.txt). The faults are in faults.txt. Nothing is written into the tree: the compiler
// is told to read the altered file instead (go build -overlay).
//
// In every run of the tests each fault must still apply, exactly once, and name tests that exist; `make mutants` breaks and runs.
package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fault is one alteration of the program and the test that must notice.
type fault struct {
	name, why  string
	file       string // from the root of the module
	old, bad   string
	pack, test string // folder and a pattern for -run
}

const root = "../.."

// faults reads faults.txt: blocks that begin with "== name", lines "why:", "file:", "test: folder pattern", then what is replaced
// between "<<<" and "===" and by what between "===" and ">>>".
func faults(t *testing.T) []fault {
	t.Helper()
	text, err := os.ReadFile("faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []fault
	for _, block := range strings.Split("\n"+string(text), "\n== ")[1:] {
		head, rest, ok1 := strings.Cut(block, "\n<<<\n")
		old, rest, ok2 := strings.Cut(rest, "\n===\n")
		bad, _, ok3 := strings.Cut("\n"+rest, "\n>>>")
		f := fault{old: old, bad: strings.TrimPrefix(bad, "\n")}
		for i, line := range strings.Split(head, "\n") {
			key, value, _ := strings.Cut(line, ": ")
			switch {
			case i == 0:
				f.name = line
			case key == "why":
				f.why = value
			case key == "file":
				f.file = value
			case key == "test":
				f.pack, f.test, _ = strings.Cut(value, " ")
			default:
				t.Errorf("%s: what is %q?", f.name, line)
			}
		}
		if !ok1 || !ok2 || !ok3 || f.name == "" || f.why == "" || f.file == "" || f.test == "" {
			t.Fatalf("the fault %q is not whole", f.name)
		}
		out = append(out, f)
	}
	return out
}

// apply gives the altered file.
func (f fault) apply() ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(root, f.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(b, []byte(f.old)); n != 1 {
		return nil, fmt.Errorf("what it replaces is in %s %d times: mend faults.txt", f.file, n)
	}
	return bytes.Replace(b, []byte(f.old), []byte(f.bad), 1), nil
}

// top is the name of the test.
func (f fault) top() string {
	name, _, _ := strings.Cut(f.test, "/")
	return strings.Trim(name, "^$")
}

// plant makes a tree that is the module's but for the altered file: links, and folders on the way to it.
func (f fault) plant(base, tree, altered string) error {
	way := strings.Split(f.file, "/")
	for i := range way {
		from, to := filepath.Join(base, filepath.Join(way[:i]...)), filepath.Join(tree, filepath.Join(way[:i]...))
		all, err := os.ReadDir(from)
		if err := errors.Join(err, os.Mkdir(to, 0o700)); err != nil {
			return err
		}
		for _, e := range all {
			if e.Name() == way[i] {
				continue
			}
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Symlink(altered, filepath.Join(tree, f.file))
}

// Twenty faults or more, each of which still applies and names a test that exists.
func TestFaultsApply(t *testing.T) {
	all := faults(t)
	names := map[string]bool{}
	for _, f := range all {
		if names[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		names[f.name] = true
		if _, err := f.apply(); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		files, err := filepath.Glob(filepath.Join(root, f.pack, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found = found || regexp.MustCompile(`(?m)^func `+regexp.QuoteMeta(f.top())+`\(`).Match(b)
		}
		if !found {
			t.Errorf("%s: there is no test %s in %s", f.name, f.top(), f.pack)
		}
	}
	if len(all) < 20 {
		t.Errorf("%d faults", len(all))
	}
}

// Every fault is noticed, and without it the same test passes. With YARROW_MUTANTS=1 all, with a name that one.
func TestFaultsAreNoticed(t *testing.T) {
	which := os.Getenv("YARROW_MUTANTS")
	if which == "" {
		t.Log("not run: `make mutants` breaks the program and runs the tests that must notice")
		return
	}
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults(t) {
		if which != "1" && which != f.name {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			bad, err := f.apply()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			altered, overlay := filepath.Join(dir, filepath.Base(f.file)), filepath.Join(dir, "overlay.json")
			text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(base, f.file): altered}})
			if err := errors.Join(err, os.WriteFile(altered, bad, 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			// Unbroken first: the cache of the build answers when it just ran.
			if out, err := run(t.Context(), base, "go", "test", "-vet=off", "-run", f.test, "./"+f.pack); err != nil || bytes.Contains(out, []byte("no tests to run")) {
				t.Fatalf("%s %s does not pass without the fault: %v\n%.2000s", f.pack, f.test, err, out)
			}
			binary := filepath.Join(dir, "test")
			if out, err := run(t.Context(), base, "go", "test", "-vet=off", "-c", "-overlay", overlay, "-o", binary, "./"+f.pack); err != nil {
				t.Fatalf("with the fault it does not compile, which proves nothing: %v\n%.2000s", err, out)
			}
			at := filepath.Join(base, f.pack)
			if f.pack == "." { // its tests read the sources
				at = filepath.Join(dir, "tree")
				if err := f.plant(base, at, altered); err != nil {
					t.Fatal(err)
				}
			}
			out, err := run(t.Context(), at, binary, "-test.run", f.test, "-test.timeout", "100s")
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: "+f.top())) {
				t.Errorf("SURVIVED: %s, and %s %s does not notice (%v)\n%.1500s", f.why, f.pack, f.test, err, out)
				return
			}
			t.Logf("killed by %s %s after %.1f s", f.pack, f.test, time.Since(began).Seconds())
		})
	}
}

func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}
