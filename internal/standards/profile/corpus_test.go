package profile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
)

// documents yields the JSON resources of a corpus: *.json and *.ndjson, plain, .gz or in .tar.gz.
func documents(t testing.TB, dir string, yield func(name string, raw []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := filepath.Base(path)
		switch {
		case strings.HasSuffix(name, ".tar.gz"):
			corpustest.Untar(t, path, func(inner string, raw []byte) {
				if strings.HasSuffix(inner, ".json") && bytes.Contains(raw, []byte(`"resourceType"`)) && !strings.HasPrefix(filepath.Base(inner), ".") {
					yield(filepath.Base(inner), raw)
				}
			})
		case name == "log.ndjson.gz":
		case strings.HasSuffix(name, ".gz"):
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, ".ndjson.gz") {
				lines := bufio.NewScanner(z)
				lines.Buffer(nil, 16<<20)
				for lines.Scan() {
					yield(name, lines.Bytes())
				}
				return lines.Err()
			}
			raw, err := io.ReadAll(z)
			if err == nil && strings.HasSuffix(name, ".json.gz") {
				yield(name, raw)
			}
			return err
		case strings.HasSuffix(name, ".json"):
			raw, err := os.ReadFile(path)
			if err == nil && bytes.Contains(raw, []byte(`"resourceType"`)) {
				yield(name, raw)
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fault is an error that documents of a corpus really have.
type fault struct{ file, text, reason string } // file or text may be empty: any

// faultless checks that a validator finds no errors in the documents of a corpus but those on the list. each skips
// documents to save time: 1 takes all.
func faultless(t *testing.T, v *Validator, o Options, dir string, each int, faults []fault) {
	t.Helper()
	seen := make([]int, len(faults))
	count, clean := 0, 0
	documents(t, dir, func(name string, raw []byte) {
		n, err := fhirjson.Parse(raw, fhirjson.Limits{})
		if err != nil || n.Get("resourceType").Kind() != fhirjson.String {
			return
		}
		if count++; count%each != 0 {
			return
		}
		ok := true
	next:
		for _, i := range v.Validate(n, o) {
			if i.Severity != "error" {
				continue
			}
			ok = false
			for f := range faults {
				if strings.Contains(name, faults[f].file) && strings.Contains(i.Text, faults[f].text) {
					seen[f]++
					continue next
				}
			}
			t.Errorf("%s: %v", name, &i)
		}
		if ok {
			clean++
		}
	})
	for f := range faults {
		if seen[f] == 0 {
			t.Errorf("nothing has this fault now; take it off the list: %+v", faults[f])
		}
		t.Logf("%d x %s", seen[f], faults[f].reason)
	}
	t.Logf("%d of %d documents without an error", clean, count/each)
}

func TestExamplesOfR4(t *testing.T) {
	core := corpusTerms(t)
	if core == nil {
		return
	}
	faultless(t, &Validator{Codes: core.Codes}, Options{}, filepath.Join(corpustest.Folder(t, "fhir-r4"), "examples.tar.gz"), 1, []fault{
		{"DeviceMetric-example.json", "DeviceDefinition", "DeviceMetric.parent refers to a DeviceDefinition; R4 allows Device"},
		{"Observation-clinical-gender.json", "Encounter", "Observation.performer refers to an Encounter"},
		{"Questionnaire-qs1.json", "linkId", "items lack the required linkId"},
	})
}

// TestSynthea: the files were written for US Core 3.1 and 4 and are judged by 6.1.0, so some really have faults.
func TestSynthea(t *testing.T) {
	core := corpusTerms(t)
	if core == nil {
		return
	}
	faultless(t, &Validator{Codes: core.Codes}, Options{}, corpustest.Folder(t, "synthea"), 9, []fault{
		{"", `The slice "SocialHistory" of "category" is required`, "smoking status has the category survey; since US Core 4 it is social-history"},
		{"", "What the reference names does not meet the profile that the profile http://hl7.org/fhir/us/core/StructureDefinition/us-core-diagnosticreport-lab",
			"a laboratory report has results of category vital-signs"},
	})
}

// TestUSCoreExamples judges each guide's examples by the guide: 6.1.0 by the facts that are built in and by its own
// package, the later ones by theirs.
func TestUSCoreExamples(t *testing.T) {
	core := corpusTerms(t)
	if core == nil {
		return
	}
	dir := corpustest.Folder(t, "us-core")
	for _, version := range []string{"6.1.0", "7.0.0", "8.0.0"} {
		for _, from := range []string{"built in", "package"} {
			if from == "built in" && version != "6.1.0" {
				continue
			}
			t.Run(version+" "+from, func(t *testing.T) {
				set, codes := NewSet(Builtin()), newTerms(core)
				f, err := os.Open(filepath.Join(dir, version, "definitions.tar.gz"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				p, err := ReadPackage(f)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range p.Resources {
					codes.add(x.Raw)
				}
				if from == "package" {
					set.AddPackage(p)
				}
				faultless(t, &Validator{Profiles: set, Codes: codes.Codes}, Options{}, filepath.Join(dir, version, "examples.tar.gz"), 1, flawedUSCore[version])
			})
		}
	}
}

var flawedUSCore = map[string][]fault{}
