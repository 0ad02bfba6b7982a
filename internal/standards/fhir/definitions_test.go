package fhir

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
)

func TestResourceTypes(t *testing.T) {
	names := ResourceTypes()
	if len(names) != 146 || !slices.IsSorted(names) {
		t.Errorf("%d types", len(names))
	}
	for _, n := range []string{"Patient", "Observation", "VisionPrescription"} {
		if !IsResourceType(n) {
			t.Errorf("%s is missing", n)
		}
	}
	for _, n := range []string{"patient", "Resource", "DomainResource", "HumanName", "SubscriptionStatus", "MetadataResource", ""} {
		if IsResourceType(n) {
			t.Errorf("%q counts as a resource type", n)
		}
	}
}

func TestDefinition(t *testing.T) {
	e := Definition("Observation").Element("component.value[x]")
	if e == nil || len(e.Types) != 11 || e.Max != 1 || e.Min != 0 {
		t.Errorf("component.value[x] = %+v", e)
	}
	e = Definition("Observation").Element("subject")
	if !slices.Equal(e.Targets, []string{"Patient", "Group", "Device", "Location"}) {
		t.Errorf("subject targets %v", e.Targets)
	}
	e = Definition("Observation").Element("component.referenceRange")
	if e.ContentRef != "Observation.referenceRange" || e.Max != -1 {
		t.Errorf("referenceRange = %+v", e)
	}
	if Definition("observation") != nil || Definition("Observation").Element("valueQuantity") != nil {
		t.Error("found what is not there")
	}
	if len(Rules("Patient")) != 1 || Rules("Patient")[0].Key != "pat-1" || Rules("Patient")[0].Path != "Patient.contact" {
		t.Errorf("rules of Patient: %+v", Rules("Patient"))
	}
	codes, ok := Codes("http://hl7.org/fhir/ValueSet/administrative-gender")
	if !ok || len(codes) != 4 || codes[0].System != "http://hl7.org/fhir/administrative-gender" {
		t.Errorf("genders %v", codes)
	}
}

// TestDataIsPureR4 compares the data with fingerprints of the official
// definitions, so that nothing of a vendor slips in.
func TestDataIsPureR4(t *testing.T) {
	have := fingerprints(t)
	raw, err := os.ReadFile("testdata/pristine.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		want[f[0]+" "+f[1]] = f[2]
	}
	for key, sum := range have {
		if want[key] != sum {
			t.Errorf("%s differs from R4", key)
		}
	}
	for key := range want {
		// The definition package holds the parameters of the base
		// specification; those on extensions come with their guides.
		if have[key] == "" && !strings.HasPrefix(key, "P ") {
			t.Errorf("%s is missing", key)
		}
	}
	if n := len(SearchParams("Patient")); n != 32 {
		t.Errorf("Patient has %d search parameters", n)
	}
}

// fingerprints hashes the rows of each type, parameter and compartment.
func fingerprints(t *testing.T) map[string]string {
	t.Helper()
	text := map[string]*strings.Builder{}
	var at *strings.Builder
	begin := func(key string) {
		if text[key] == nil {
			text[key] = &strings.Builder{}
		}
		at = text[key]
	}
	for f := range rows(packedTypes) {
		if f[0] == "T" {
			begin("T " + f[1])
			continue
		}
		at.WriteString(strings.Join(f, "\t") + "\n")
	}
	for f := range rows(packedSearch) {
		switch f[0] {
		case "P":
			begin("P " + f[1][strings.LastIndexByte(f[1], '/')+1:])
		case "M":
			begin("M " + f[1])
		}
		at.WriteString(strings.Join(f, "\t") + "\n")
	}
	sums := map[string]string{}
	for key, b := range text {
		sums[key] = fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))[:16]
	}
	return sums
}

// TestDataFollowsPublishedFiles compares elements and parameters with the
// published bundles, read independently of the generator.
func TestDataFollowsPublishedFiles(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	for _, file := range []string{"profiles-resources.json.gz", "profiles-types.json.gz"} {
		for _, r := range bundle(t, filepath.Join(dir, "definitions", file)) {
			if r["resourceType"] == "StructureDefinition" && r["derivation"] != "constraint" {
				compareType(t, r)
			}
		}
	}
	count := 0
	for _, r := range bundle(t, filepath.Join(dir, "definitions", "search-parameters.json.gz")) {
		p := SearchParamByURL(r["url"].(string))
		if p == nil {
			continue // TestDataIsPureR4 knows which are not R4
		}
		count++
		expression, _ := r["expression"].(string)
		if p.Code != r["code"] || p.Type != r["type"] || strings.Join(strings.Fields(expression), " ") != p.Expression {
			t.Errorf("%s is %+v", p.URL, p)
		}
	}
	if count != 1375 {
		t.Errorf("%d search parameters", count)
	}
}

func bundle(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Entry []struct{ Resource map[string]any }
	}
	if err := json.NewDecoder(z).Decode(&b); err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for _, e := range b.Entry {
		out = append(out, e.Resource)
	}
	return out
}

// compareType checks every element that the data has against the published
// definition. Elements that differ are a correction and must be in SOURCE.md.
func compareType(t *testing.T, published map[string]any) {
	t.Helper()
	name := published["name"].(string)
	d := Definition(name)
	if d == nil {
		corrected(t, name)
		return
	}
	if d.Kind == "primitive-type" {
		return
	}
	byPath := map[string]*Element{}
	for i := range d.Elements {
		byPath[d.Elements[i].Path] = &d.Elements[i]
	}
	for _, x := range published["snapshot"].(map[string]any)["element"].([]any) {
		p := x.(map[string]any)
		path := p["path"].(string)
		if path == name {
			continue
		}
		e := byPath[path]
		if e == nil {
			corrected(t, path)
			continue
		}
		max := "*"
		if e.Max >= 0 {
			max = fmt.Sprint(e.Max)
		}
		if int(p["min"].(float64)) != e.Min || p["max"] != max {
			corrected(t, path)
		}
		var types []string
		list, _ := p["type"].([]any)
		for _, one := range list {
			code := one.(map[string]any)["code"].(string)
			if strings.HasPrefix(code, "http://hl7.org/fhirpath/") {
				code = e.Types[0]
			}
			types = append(types, code)
		}
		if !slices.Equal(types, e.Types) {
			corrected(t, path)
		}
	}
}

// corrected fails unless SOURCE.md names the path or one above it.
func corrected(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile("data/SOURCE.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(raw), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })
	for p := path; ; {
		if slices.Contains(words, p) {
			return
		}
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	t.Errorf("%s differs from the published definition", path)
}

func TestDataIsSmall(t *testing.T) {
	if n := len(packedTypes) + len(packedRules) + len(packedCodes) + len(packedSearch); n > 250_000 {
		t.Errorf("%d bytes of embedded data", n)
	}
}

func TestShapesFit(t *testing.T) {
	for name, s := range shapes() {
		if len(s.parts) > maxParts {
			t.Errorf("%s has %d elements", name, len(s.parts))
		}
		if len(s.parts) == 0 && name != "Resource" {
			t.Errorf("%s has no elements", name)
		}
	}
}

func TestCompartments(t *testing.T) {
	if got := Compartment("Patient", "Observation"); !slices.Equal(got, []string{"subject", "performer"}) {
		t.Errorf("Patient/Observation %v", got)
	}
	if got := Compartment("Patient", "Patient"); !slices.Equal(got, []string{"link"}) && !slices.Contains(got, "{def}") {
		t.Errorf("Patient/Patient %v", got)
	}
	if Compartment("Patient", "Organization") != nil || Compartment("X", "Y") != nil {
		t.Error("found a compartment that is not there")
	}
	for _, name := range []string{"Patient", "Practitioner", "Encounter", "RelatedPerson", "Device"} {
		for _, typ := range ResourceTypes() {
			for _, code := range Compartment(name, typ) {
				known := slices.ContainsFunc(SearchParams(typ), func(p SearchParam) bool { return p.Code == code })
				if code != "{def}" && !known {
					t.Errorf("%s compartment of %s names %q, which is no search parameter", name, typ, code)
				}
			}
		}
	}
}

func TestSearchParams(t *testing.T) {
	find := func(typ, code string) *SearchParam {
		for _, p := range SearchParams(typ) {
			if p.Code == code {
				return &p
			}
		}
		t.Errorf("%s has no %s", typ, code)
		return &SearchParam{}
	}
	if p := find("Observation", "component-code-value-quantity"); len(p.Components) != 2 || p.Components[0].Code != "component-code" || p.Components[1].Expression != "value.as(Quantity)" {
		t.Errorf("composite %+v", p)
	}
	if p := find("Patient", "_id"); p.Type != "token" || p.Expression != "Resource.id" {
		t.Errorf("_id %+v", p)
	}
	if p := find("Bundle", "_lastUpdated"); p.Type != "date" {
		t.Errorf("_lastUpdated %+v", p)
	}
	for typ, code := range map[string]string{"CareTeam": "role", "Condition": "asserted-date", "Encounter": "discharge-disposition", "Goal": "description"} {
		if p := find(typ, code); p.Expression == "" || SearchParamByURL(p.URL) == nil {
			t.Errorf("US Core's %s of %s: %+v", code, typ, p)
		}
	}
	if p := find("Condition", "patient"); !slices.Equal(p.Targets, []string{"Patient", "Group"}) {
		t.Errorf("patient %+v", p)
	}
}

func TestModel(t *testing.T) {
	var m Model
	tests := []struct {
		parent, element, typ string
		choice, ok           bool
	}{
		{"Patient", "name", "HumanName", false, true},
		{"Observation", "value", "", true, true},
		{"Observation", "component", "Observation.component", false, true},
		{"Observation.component", "referenceRange", "Observation.referenceRange", false, true},
		{"Questionnaire.item", "item", "Questionnaire.item", false, true},
		{"Timing", "repeat", "Timing.repeat", false, true},
		{"Bundle.entry", "resource", "Resource", false, true},
		{"Patient", "id", "id", false, true},
		{"HumanName", "id", "string", false, true},
		{"Extension", "url", "uri", false, true},
		{"Patient", "valueQuantity", "", false, false},
		{"Nothing", "x", "", false, false},
	}
	for _, tt := range tests {
		typ, choice, ok := m.ElementType(tt.parent, tt.element)
		if typ != tt.typ || choice != tt.choice || ok != tt.ok {
			t.Errorf("%s.%s: %q %v %v", tt.parent, tt.element, typ, choice, ok)
		}
	}
	if c := m.Choices("Patient", "deceased"); !slices.Equal(c, []string{"boolean", "dateTime"}) {
		t.Errorf("choices %v", c)
	}
	subtypes := []struct {
		typ, of string
		want    bool
	}{
		{"Patient", "DomainResource", true}, {"Patient", "Resource", true}, {"Bundle", "Resource", true},
		{"Bundle", "DomainResource", false}, {"Age", "Quantity", true}, {"id", "string", true}, {"code", "Element", true},
		{"Observation.component", "BackboneElement", true}, {"Observation.component", "Element", true},
		{"Timing.repeat", "Element", true}, {"Timing.repeat", "BackboneElement", false}, {"Patient", "Observation", false}, {"", "Element", false},
	}
	for _, tt := range subtypes {
		if got := m.IsSubtype(tt.typ, tt.of); got != tt.want {
			t.Errorf("%s is %s: %v", tt.typ, tt.of, got)
		}
	}
}

// TestDataIsAsGenerated: the committed data is what SOURCE.md describes.
func TestDataIsAsGenerated(t *testing.T) {
	raw, err := os.ReadFile("data/SOURCE.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"types.gz": packedTypes, "rules.gz": packedRules, "codes.gz": packedCodes, "search.gz": packedSearch} {
		if row := fmt.Sprintf("| %s | %d | %x |", name, len(data), sha256.Sum256(data)); !strings.Contains(string(raw), row) {
			t.Errorf("%s differs from SOURCE.md; run go generate", name)
		}
	}
}
