// Package corpustest finds real inputs for tests: official examples, suites and synthetic records that are too large for the tree.
// They lie in the folder that YARROW_CORPUS names. It owns no inputs and reads nothing by itself.
package corpustest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Folder gives the folder of one corpus, such as "fhir-r4". Without YARROW_CORPUS it gives "" and logs that this did not run; when
// the variable is set, a corpus that is missing fails the test.
func Folder(t testing.TB, part string) string {
	t.Helper()
	root := os.Getenv("YARROW_CORPUS")
	if root == "" {
		t.Logf("YARROW_CORPUS is not set: %s did not run", part)
		return ""
	}
	dir := filepath.Join(root, part)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("YARROW_CORPUS is set but %v", err)
	}
	return dir
}

// Gunzip gives the content of a .gz file.
func Gunzip(t testing.TB, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Untar gives each file of a .tar.gz to yield, in order.
func Untar(t testing.TB, file string, yield func(name string, raw []byte)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		yield(h.Name, raw)
	}
}
