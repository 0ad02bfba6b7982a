package fhirsearch

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

func mustParse(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eachResource visits two resources of our own, the official examples and the Synthea records of the corpus, entries of bundles one
// by one. share is the part of the Synthea files that is read: 1 means all, 10 every tenth.
func eachResource(t testing.TB, share int, do func(typ string, n *fhirjson.Node)) {
	t.Helper()
	visit := func(data []byte) {
		n, err := fhirjson.Parse(data, fhirjson.Limits{Bytes: 100 << 20})
		if err != nil || !fhir.IsResourceType(n.Get("resourceType").Text()) {
			return // examples hold some of other versions
		}
		do(n.Get("resourceType").Text(), n)
		entries := n.Get("entry").Items()
		for i := range entries {
			if r := entries[i].Get("resource"); r.Kind() == fhirjson.Object {
				do(r.Get("resourceType").Text(), r)
			}
		}
	}
	visit([]byte(patientJSON))
	visit([]byte(observationJSON))
	if dir := corpustest.Folder(t, "fhir-r4"); dir != "" {
		corpustest.Untar(t, filepath.Join(dir, "examples.tar.gz"), func(name string, data []byte) {
			if strings.HasSuffix(name, ".json") {
				visit(data)
			}
		})
	}
	dir := corpustest.Folder(t, "synthea")
	if dir == "" {
		return
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".gz") {
			return err
		}
		if count++; count%share != 0 {
			return nil
		}
		data := corpustest.Gunzip(t, path)
		if strings.HasSuffix(path, ".ndjson.gz") {
			for _, line := range bytes.Split(data, []byte("\n")) {
				if len(line) > 0 {
					visit(line)
				}
			}
			return nil
		}
		visit(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// micros writes a moment of a Value.
func micros(us int64) string {
	switch us {
	case always:
		return "always"
	case never:
		return "never"
	}
	return time.UnixMicro(us).UTC().Format(time.RFC3339Nano)
}
