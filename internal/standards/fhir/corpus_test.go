package fhir

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
)

// document is one JSON file of a corpus.
type document struct {
	name string
	raw  []byte
}

// examples yields the official R4 examples.
func examples(t testing.TB, yield func(document)) {
	t.Helper()
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	corpustest.Untar(t, filepath.Join(dir, "examples.tar.gz"), func(name string, raw []byte) {
		if strings.HasSuffix(name, ".json") && filepath.Base(name) != "package.json" {
			yield(document{filepath.Base(name), raw})
		}
	})
}

// synthea yields the Synthea bundles and NDJSON lines.
func synthea(t testing.TB, yield func(document)) {
	t.Helper()
	dir := corpustest.Folder(t, "synthea")
	if dir == "" {
		return
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".gz") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		name := filepath.Base(path)
		switch {
		case name == "log.ndjson.gz":
		case strings.HasSuffix(name, ".ndjson.gz"):
			lines := bufio.NewScanner(z)
			lines.Buffer(nil, 16<<20)
			for lines.Scan() {
				yield(document{name, lines.Bytes()})
			}
			return lines.Err()
		case strings.HasSuffix(name, ".json.gz"):
			raw, err := io.ReadAll(z)
			if err != nil {
				return err
			}
			yield(document{name, raw})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// excluded are official examples that are not valid R4, with the reason.
// A file that passes must be taken off the list.
var excluded = map[string]string{
	"DeviceMetric-example.json":        "DeviceMetric.parent refers to a DeviceDefinition; R4 allows Device",
	"Observation-clinical-gender.json": "Observation.performer refers to an Encounter",
	"Questionnaire-qs1.json":           "items lack the required linkId",
}

func TestExamplesAreValid(t *testing.T) {
	failing := map[string]bool{}
	count := 0
	examples(t, func(d document) {
		count++
		n, issues := Parse(d.raw)
		if n == nil || issues.HasErrors() {
			failing[d.name] = true
			if excluded[d.name] == "" {
				t.Errorf("%s: %v", d.name, issues)
			}
			return
		}
		roundTrip(t, d, n)
	})
	for name, reason := range excluded {
		if count > 0 && !failing[name] {
			t.Errorf("%s passes; take it off the list (%s)", name, reason)
		}
	}
	t.Logf("%d examples", count)
}

func TestSyntheaIsValid(t *testing.T) {
	count := 0
	synthea(t, func(d document) {
		count++
		n, issues := Parse(d.raw)
		if issues.HasErrors() {
			t.Errorf("%s: %v", d.name, issues)
			return
		}
		roundTrip(t, d, n)
	})
	t.Logf("%d documents", count)
}

// TestUSCoreIsValid reads the guides: profiles, value sets and examples.
func TestUSCoreIsValid(t *testing.T) {
	dir := corpustest.Folder(t, "us-core")
	if dir == "" {
		return
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.tar.gz"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d packages (%v)", len(paths), err)
	}
	count := 0
	for _, path := range paths {
		corpustest.Untar(t, path, func(name string, raw []byte) {
			if !strings.HasSuffix(name, ".json") || strings.HasPrefix(filepath.Base(name), ".") || !bytes.Contains(raw, []byte(`"resourceType"`)) {
				return
			}
			count++
			n, issues := Parse(raw)
			if issues.HasErrors() {
				t.Errorf("%s: %v", name, issues)
				return
			}
			roundTrip(t, document{name, raw}, n)
		})
	}
	t.Logf("%d resources", count)
}

// roundTrip checks that writing the tree gives the document's own bytes, apart
// from white space between values and the way strings are escaped.
func roundTrip(t *testing.T, d document, n *fhirjson.Node) {
	t.Helper()
	out := n.AppendJSON(nil)
	var compact bytes.Buffer
	if err := json.Compact(&compact, d.raw); err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	if !bytes.Equal(out, compact.Bytes()) && !bytes.Equal(tokens(out), tokens(d.raw)) {
		t.Errorf("%s is not the same after a round trip", d.name)
	}
}
