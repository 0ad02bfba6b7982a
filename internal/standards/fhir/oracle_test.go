package fhir

import (
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
)

// oracleExcluded are validator cases where we and the reference validator
// disagree on purpose. A case that agrees must be taken off the list.
var oracleExcluded = map[string]string{
	"contained-resource.json": "a contained id has 65 characters, which the reference validator lets pass",
}

// TestValidateAgreesWithReference compares Validate with what HL7's reference
// validator says about its own test cases: where it finds no error we find
// none, and what it says about the structure of base R4 we say at the same
// place.
func TestValidateAgreesWithReference(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-validator")
	if dir == "" {
		return
	}
	files := map[string][]byte{}
	corpustest.Untar(t, filepath.Join(dir, "r4-cases.tar.gz"), func(name string, raw []byte) { files[path.Clean(name)] = raw })
	var manifest struct {
		Cases []struct {
			File string
			Java any
		} `json:"test-cases"`
	}
	root := ""
	for name, raw := range files {
		if path.Base(name) == "manifest.subset.json" {
			root = path.Dir(name)
			if err := json.Unmarshal(raw, &manifest); err != nil {
				t.Fatal(err)
			}
		}
	}
	compared, places := 0, 0
	for _, c := range manifest.Cases {
		expected, _ := c.Java.(string)
		doc := files[path.Join(root, c.File)]
		outcome := files[path.Join(root, "outcomes", expected)]
		if path.Ext(c.File) != ".json" || doc == nil || outcome == nil {
			continue
		}
		compared++
		places += agree(t, c.File, doc, outcome)
	}
	if compared < 50 || places < 10 {
		t.Errorf("only %d cases with %d places were compared", compared, places)
	}
	t.Logf("%d cases, %d places", compared, places)
}

var (
	baseMinimum = regexp.MustCompile(`^([A-Za-z.]+)(\[x\])?: minimum required = \d+, but only found \d+ \(from http://hl7.org/fhir/StructureDefinition/(\w+)\|4\.0\.1\)`)
	stranger    = regexp.MustCompile(`^Unrecognized property '(\w+)'`)
	comments    = regexp.MustCompile(`/\*[^*]*\*/|\.ofType\(\w+\)`)
)

// agree compares one case and returns how many places it compared.
func agree(t *testing.T, name string, doc, outcome []byte) int {
	t.Helper()
	var o struct {
		Issue []struct {
			Severity   string
			Details    struct{ Text string }
			Expression []string
		}
	}
	if err := json.Unmarshal(outcome, &o); err != nil {
		t.Fatal(err)
	}
	_, issues := Parse(doc)
	clean, places := true, 0
	for _, i := range o.Issue {
		if i.Severity != "error" && i.Severity != "fatal" {
			continue
		}
		clean = false
		if len(i.Expression) == 0 {
			continue
		}
		want := comments.ReplaceAllString(i.Expression[0], "")
		if m := baseMinimum.FindStringSubmatch(i.Details.Text); m != nil && Definition(m[3]) != nil {
			want += m[1][strings.LastIndexByte(m[1], '.'):]
		} else if m := stranger.FindStringSubmatch(i.Details.Text); m != nil {
			want += "." + m[1]
		} else {
			continue
		}
		places++
		if !slices.ContainsFunc(issues, func(i Issue) bool { return i.Path == want }) {
			t.Errorf("%s: the reference says %q; we say nothing at %s:\n%v", name, i.Details.Text, want, issues)
		}
	}
	wrong := clean && issues.HasErrors()
	switch reason := oracleExcluded[name]; {
	case wrong && reason == "":
		t.Errorf("%s: the reference finds no error:\n%v", name, issues)
	case !wrong && reason != "":
		t.Errorf("%s agrees; take it off the list (%s)", name, reason)
	}
	return places
}
