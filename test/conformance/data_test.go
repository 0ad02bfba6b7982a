package conformance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"yarrow.health/internal/standards/corpustest"
)

// later are examples of later versions of US Core that 6.1.0 does not allow under the profile they name.
var later = map[string]bool{"Observation/some-day-smoker": true} // a period

// records takes in what the practice has: the published examples of US Core 6.1.0, those of later versions that these lack, a Synthea
// patient or more, and the harness's own records.
func (p *place) records(synthea int) {
	t := p.t
	t.Helper()
	in := filepath.Join(p.dir, "in")
	if err := os.MkdirAll(in, 0o700); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	own, err := filepath.Glob("testdata/*.json")
	if err != nil || len(own) == 0 {
		t.Fatalf("the harness's records are missing: %v", err)
	}
	root := corpustest.Folder(t, "us-core")
	for _, version := range []string{"6.1.0", "7.0.0", "8.0.0"} {
		corpustest.Untar(t, filepath.Join(root, version, "examples.tar.gz"), func(name string, raw []byte) {
			var r resource
			if !strings.HasSuffix(name, ".json") || json.Unmarshal(raw, &r) != nil || have[key(r)] || r["resourceType"] == "Bundle" || later[key(r)] {
				return
			}
			have[key(r)] = true
			if err := os.WriteFile(filepath.Join(in, strings.ReplaceAll(key(r), "/", "-")+".json"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	p.run("import", "fhir", "--practice", "willow", in)
	p.run(append([]string{"import", "fhir", "--practice", "willow"}, own...)...)
	var bundles []string
	for _, pattern := range []string{"2024-10-uscore6-transaction-bundles/*.json.gz", "2025-02-uscore6-transaction-bundles/*.json.gz"} {
		some, err := filepath.Glob(filepath.Join(corpustest.Folder(t, "synthea"), pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(some) < 3 {
			t.Fatalf("%s: %d bundles", pattern, len(some))
		}
		bundles = append(bundles, some[:2]...) // the hospitals and practitioners
		bundles = append(bundles, some[2:min(len(some), 2+synthea)]...)
	}
	p.run(append([]string{"import", "fhir", "--practice", "willow"}, bundles...)...)
}
