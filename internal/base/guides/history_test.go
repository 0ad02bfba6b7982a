package guides

import (
	"path/filepath"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
)

// TestHistoryIsTaken: nothing that Synthea wrote is kept out of an import, whatever profiles it breaks.
func TestHistoryIsTaken(t *testing.T) {
	dir := corpustest.Folder(t, "synthea")
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		check, err := g.Checker(t.Context(), auth.SystemScope(1, "import"), true)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for i := 0; i < len(files); i += 12 {
			n, err := fhirjson.Parse(corpustest.Gunzip(t, files[i]), fhirjson.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range n.Get("entry").Items() {
				count++
				if issues := check(e.Get("resource")); issues.HasErrors() {
					t.Errorf("%s: %v", filepath.Base(files[i]), issues.Err())
				}
			}
		}
		t.Logf("%d resources", count)
	})
}
