package conformance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yarrow.health/internal/standards/corpustest"
)

// guides are the versions of US Core that are asked about; 6.1.0 is built in.
var guides = []string{"6.1.0", "7.0.0", "8.0.0"}

// other are examples that another version does not allow under the profile they name.
var other = map[string]map[string]bool{
	"6.1.0": {"Observation/some-day-smoker": true},                                        // a period
	"8.0.0": {"Patient/example-targeted-provenance": true, "Patient/child-example": true}, // sex as a code
}

// records takes in what the practice has: the published examples of a version of US Core, those of other versions that these lack,
// Synthea patients, and the harness's own records.
func (p *place) records(version string, synthea int) {
	t := p.t
	t.Helper()
	in := filepath.Join(p.dir, "in")
	if err := os.MkdirAll(in, 0o700); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	own := []string{"testdata/records.json"}
	if version != guides[0] {
		own = append(own, "testdata/records-"+version+".json")
		raw, err := os.ReadFile(own[1])
		var b resource
		if err == nil {
			err = json.Unmarshal(raw, &b)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list(b["entry"]) { // one of ours goes before an example of the same name
			r, _ := e["resource"].(resource)
			have[key(r)] = true
		}
	}
	root := corpustest.Folder(t, "us-core")
	for _, v := range append([]string{version}, slices.DeleteFunc(slices.Clone(guides), func(v string) bool { return v == version })...) {
		corpustest.Untar(t, filepath.Join(root, v, "examples.tar.gz"), func(name string, raw []byte) {
			var r resource
			if !strings.HasSuffix(name, ".json") || json.Unmarshal(raw, &r) != nil || have[key(r)] || r["resourceType"] == "Bundle" || v != version && other[version][key(r)] {
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
	if synthea == 0 {
		return
	}
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
