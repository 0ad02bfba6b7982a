package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportGuide: a package is taken in, listed, and named in the report; what is no package is refused in plain words.
func TestImportGuide(t *testing.T) {
	dir := t.TempDir()
	at := place{Data: filepath.Join(dir, "data")}
	quiet := &output{text: io.Discard, errs: io.Discard, log: slog.New(slog.DiscardHandler)}
	g, err := at.open(t.Context(), quiet, who{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.auth.AddPractice(t.Context(), "willow", "Willow")
	g.close()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{
		"package/package.json":       `{"name":"test.guide","version":"1.0.0","fhirVersions":["4.0.1"]}`,
		"package/CodeSystem-a.json":  `{"resourceType":"CodeSystem","id":"a","url":"https://guide.example.org/a","status":"active","content":"complete","concept":[{"code":"a"}]}`,
		"package/example/Basic.json": "not JSON",
	} {
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg})
		w.Write([]byte(text))
	}
	w.Close()
	z.Close()
	file, other := filepath.Join(dir, "package.tgz"), filepath.Join(dir, "other.tgz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cmd       importGuide
		says, err string
	}{
		{importGuide{Packages: []string{file}}, "test.guide 1.0.0: 1 definitions", ""},
		{importGuide{List: true}, "test.guide 1.0.0: 1 definitions, imported", ""},
		{importGuide{Policy: "warn"}, "taken with a warning", ""},
		{importGuide{Refs: "reject"}, "not there: refused", ""},
		{importGuide{Packages: []string{other}}, "", "not a package"},
		{importGuide{Packages: []string{file + "x"}}, "", "There is no file"},
		{importGuide{}, "", "No package is named"},
	} {
		var said bytes.Buffer
		c.cmd.place, c.cmd.Practice = at, "willow"
		err := c.cmd.Run(t.Context(), &output{text: &said, errs: io.Discard, log: quiet.log})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || !strings.Contains(said.String(), c.says) {
			t.Errorf("%+v: %v, says %q", c.cmd, err, said.String())
		}
	}
}
