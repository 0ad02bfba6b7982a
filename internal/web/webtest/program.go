package webtest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the folder of the module, above the folder a test runs in.
var root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			err = errors.New("no go.mod above " + dir)
		}
		dir = above
	}
	return "", err
})

// built is the folder of the program; "" while it is not built.
var built string

// Program is the yarrow binary, built once for the tests of a package. Main removes it.
var Program = sync.OnceValues(func() (string, error) {
	top, err := root()
	if err != nil {
		return "", err
	}
	// A test that builds a program is kept from being taken for unchanged by looking at what it is built from.
	for _, dir := range []string{"cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(top, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, "_test.go") {
				_, err = os.Stat(path)
			}
			return err
		}); err != nil {
			return "", err
		}
	}
	if built, err = os.MkdirTemp("", "yarrow-program-"); err != nil {
		return "", err
	}
	bin := filepath.Join(built, "yarrow")
	if out, err := exec.Command("go", "build", "-o", bin, "yarrow.health/cmd/yarrow").CombinedOutput(); err != nil {
		return "", errors.New("building yarrow: " + string(out))
	}
	return bin, nil
})

// Main runs the tests of a package that uses Program.
func Main(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}
