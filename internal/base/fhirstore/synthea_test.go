package fhirstore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
)

// corpus is the folder of Synthea files, "" when YARROW_CORPUS is not set.
func corpus(t testing.TB) string {
	root := os.Getenv("YARROW_CORPUS")
	if root == "" {
		t.Log("YARROW_CORPUS is not set: only our own fixtures were run")
		return ""
	}
	dir := filepath.Join(root, "synthea")
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSyntheaTrial(t *testing.T) {
	dir := corpus(t)
	d := dbtest.SQLite(t, nil)
	b := benchOn(t, d)
	start := time.Now()
	im := Importer{Store: b.Store, Scope: system(1)}
	sub := os.Getenv("SUB")
	r, err := im.Run(t.Context(), filepath.Join(dir, sub))
	if err != nil {
		t.Fatal(err)
	}
	el := time.Since(start)
	n := r.Created + r.Updated + r.Same
	t.Logf("%d resources in %v: %.0f/s; %+v", n, el, float64(n)/el.Seconds(), struct{ F, S, X int }{r.Files, r.Skipped, r.Failed})
	t.Logf("created %d updated %d same %d dangling %d", r.Created, r.Updated, r.Same, r.Dangling)
	d.DB.Close()
	sizes(t, b, n)
	for i, x := range r.Issues {
		if i > 15 {
			break
		}
		t.Logf("%s:%d [%d] %s %v", filepath.Base(x.File), x.Line, x.Entry, x.Severity, x.Issue.Error())
		if x.Cause != nil {
			t.Log(x.Cause)
		}
	}
}

func sizes(t *testing.T, b *bench, n int64) {
	var total int64
	filepath.Walk(b.d.Dir, func(p string, i os.FileInfo, err error) error {
		if err == nil && !i.IsDir() {
			total += i.Size()
			if i.Size() > 1<<20 {
				t.Logf("%s %d", p, i.Size())
			}
		}
		return nil
	})
	t.Logf("%d bytes a resource", total/n)
}
