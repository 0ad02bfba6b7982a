package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// officialCase is a case of HL7's validator suite (manifest.subset.json).
type officialCase struct {
	Name, File, Module   string
	Supporting, Profiles []string
	Packages             []string
	Java                 json.RawMessage
	Examples             *bool
	Profile              *struct {
		Source     string
		Supporting []string
		Java       json.RawMessage
	}
	Extensions []string                       `json:"allowed-extension-domain-list"`
	Allowed    string                         `json:"allowed-extension-domain"`
	Security   bool                           `json:"security-checks"`
	NoHTML     bool                           `json:"noHtmlInMarkdown"`
	Entry      struct{ Rule, Profile string } `json:"bundle-param"`
	References string                         `json:"validateReference"`
}

type caseFiles map[string][]byte

func readCases(t testing.TB) (caseFiles, []officialCase) {
	dir := corpustest.Folder(t, "fhir-validator")
	if dir == "" {
		return nil, nil
	}
	files := caseFiles{}
	corpustest.Untar(t, filepath.Join(dir, "r4-cases.tar.gz"), func(name string, raw []byte) {
		files[strings.TrimPrefix(strings.TrimPrefix(name, "./"), "validator/")] = raw
	})
	var m struct {
		Cases []officialCase `json:"test-cases"`
	}
	if err := json.Unmarshal(files["manifest.subset.json"], &m); err != nil {
		t.Fatal(err)
	}
	return files, m.Cases
}

// wanted reports whether the suite expects an error; ok is false if it does not say.
func (f caseFiles) wanted(ref json.RawMessage) (bad, ok bool) {
	var outcome struct {
		Issue []struct{ Severity string }
	}
	raw := []byte(ref)
	var name string
	var inline struct {
		Outcome json.RawMessage
		Errors  *int `json:"errorCount"`
	}
	if json.Unmarshal(raw, &inline) == nil && inline.Errors != nil && inline.Outcome == nil {
		return *inline.Errors > 0, true
	}
	if json.Unmarshal(raw, &name) != nil && json.Unmarshal(raw, &inline) == nil && inline.Outcome != nil {
		raw = inline.Outcome
		name = ""
		json.Unmarshal(raw, &name)
	}
	if strings.HasPrefix(name, "java/R5.") {
		return false, false // what the validator of another release says
	}
	if name != "" {
		raw = f["outcomes/"+name]
		if raw == nil {
			raw = f["outcomes/"+name+".json"]
		}
	}
	if len(raw) == 0 || json.Unmarshal(raw, &outcome) != nil {
		return false, false
	}
	for _, i := range outcome.Issue {
		bad = bad || i.Severity == "error" || i.Severity == "fatal"
	}
	return bad, true
}

// parse reads a document of the suite, JSON or XML.
func (f caseFiles) parse(name string) (*fhirjson.Node, error) {
	raw, ok := f[path.Clean(name)]
	if !ok {
		return nil, fmt.Errorf("no file %s", name)
	}
	if strings.HasSuffix(name, ".xml") {
		return fromXML(raw)
	}
	return fhirjson.Parse(raw, fhirjson.Limits{})
}

// TestOfficialCases compares what we say of the suite's documents with what HL7's own validator says: valid or not.
// A case in disagreed must disagree.
func TestOfficialCases(t *testing.T) {
	files, cases := readCases(t)
	if files == nil {
		return
	}
	core := corpusTerms(t)
	total, agreed := 0, 0
	for _, c := range cases {
		for _, which := range []string{"base", "profile"} {
			ref := c.Java
			if which == "profile" {
				if c.Profile == nil {
					continue
				}
				ref = c.Profile.Java
			}
			bad, ok := files.wanted(ref)
			if !ok {
				continue
			}
			total++
			issues := files.judge(t, c, which == "profile", core)
			key := c.Name + " " + which
			reason, listed := disagreed[key]
			switch same := issues.HasErrors() == bad; {
			case same && listed:
				t.Errorf("%s agrees now; take it off the list (%s)", key, reason)
			case same:
				agreed++
			case !listed:
				t.Errorf("%s: want bad=%v, got\n%v", key, bad, issues)
			}
		}
	}
	if agreed*100 < total*95 {
		t.Errorf("only %d of %d judgements agree", agreed, total)
	}
	t.Logf("%d of %d judgements agree (%.1f %%)", agreed, total, 100*float64(agreed)/float64(max(total, 1)))
}

// judge validates a case's document.
func (f caseFiles) judge(t *testing.T, c officialCase, withProfile bool, core *terms) fhir.Issues {
	set := NewSet(Builtin())
	words := newTerms(core)
	stored := map[string]*fhirjson.Node{}
	load := func(n *fhirjson.Node) {
		url := n.Get("url").Text()
		stored[url] = n
		stored[url+"|"+n.Get("version").Text()] = n
		switch n.Get("resourceType").Text() {
		case "StructureDefinition":
			if d, err := Read(n); err == nil {
				set.Add(d)
			}
		case "ValueSet", "CodeSystem":
			words.add(n.AppendJSON(nil))
		}
	}
	names := append(append([]string{}, c.Supporting...), c.Profiles...)
	if c.Profile != nil {
		names = append(names, c.Profile.Supporting...)
	}
	for _, name := range names {
		n, err := f.parse(name)
		if err != nil {
			t.Logf("%s: %s: %v", c.Name, name, err)
			continue
		}
		load(n)
	}
	missing := []string{}
	for _, p := range c.Packages {
		if !f.loadPackage(t, p, load) {
			// A guide of HL7 that is not to be had here defines the extensions under its own address.
			name, _, _ := strings.Cut(strings.TrimPrefix(p, "hl7.fhir."), "#")
			missing = append(missing, "http://hl7.org/fhir/"+strings.ReplaceAll(name, ".", "/")+"/")
		}
	}
	o := Options{Strict: true, UnknownExtensions: Refuse, UnknownProfiles: Warn, Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	if c.Security || c.NoHTML {
		o.Markup = Refuse
	}
	o.Examples = c.Examples == nil || *c.Examples
	// Extensions of later releases of HL7's extension pack, which is not in R4, and of examples.
	o.ExtensionDomains = append(missing, structureBase, "http://example.org/", "http://hl7.org/fhir/tools/")
	if c.Allowed != "" {
		o.ExtensionDomains = append(o.ExtensionDomains, c.Allowed)
	}
	if typ, index, ok := strings.Cut(c.Entry.Rule, ":"); ok {
		if i, err := strconv.Atoi(index); err == nil {
			o.Entries = []Entry{{typ, i, c.Entry.Profile}}
		}
	}
	if withProfile {
		if n, err := f.parse(c.Profile.Source); err == nil {
			load(n)
			o.Profiles = []string{n.Get("url").Text()}
		} else {
			o.Profiles = []string{c.Profile.Source}
		}
	}
	n, err := f.parse(c.File)
	if err != nil {
		return fhir.Issues{{Severity: "fatal", Code: "structure", Text: err.Error()}}
	}
	v := &Validator{Profiles: set, Codes: words.Codes, Displays: words.Displays, Find: func(url string) *fhirjson.Node { return stored[url] }}
	if c.References == "CHECK_VALID" {
		v.Resolve = func(ref string) *fhirjson.Node {
			n, _ := f.parse(ref[strings.LastIndexByte(ref, '/')+1:] + ".xml")
			return n
		}
	}
	return v.Validate(n, o)
}

// loadPackage loads the packages that lie beside the cases; others are not to be had.
func (f caseFiles) loadPackage(t *testing.T, name string, load func(*fhirjson.Node)) bool {
	raw := f[name]
	if raw == nil {
		return false
	}
	p, err := ReadPackage(bytes.NewReader(raw))
	if err != nil {
		t.Logf("%s: %v", name, err)
		return false
	}
	for _, x := range p.Resources {
		if n, err := fhirjson.Parse(x.Raw, fhirjson.Limits{}); err == nil {
			load(n)
		}
	}
	return true
}

// disagreed names judgements that differ from HL7's validator, with the reason.
var disagreed = map[string]string{
	"patient-circle1-bad-source1 profile":   "the file the reference leads to is not in this half of the suite",
	"patient-circle2-bad-source1 profile":   "the file the reference leads to is not in this half of the suite",
	"type-ref-unchecked profile":            "we take the type a relative reference states at its word",
	"mr-covid-m2 base":                      "a wrong display of a SNOMED CT code",
	"list-bad-reference base":               "the reference has no form that R4 knows; that validator was told to assume it is right",
	"sdoh-type-slice base":                  "a wrong display of a LOINC code",
	"sdoh-type-slice profile":               "a wrong display of a LOINC code",
	"uk-msg base":                           "wrong displays and codes of SNOMED CT",
	"contained-resource-bad-id-ignore base": "that validator was told to pass over contained resources",
	"questionnaireresponse-hai-ltcf-questionnaireresponse-mdro-cdi-event base": "value sets of SNOMED CT codes that are not to be had here",
	"ips-nz-pj base": "wrong displays of LOINC and SNOMED CT codes",
	"extension-version-restriction-range-ctxt-r4 base": "the extension is defined in R5 only",
}
