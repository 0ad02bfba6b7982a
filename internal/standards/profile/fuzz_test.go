package profile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// packed makes a package of files given as name and content.
func packed(files ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg})
		w.Write([]byte(files[i+1]))
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

const manifest = `{"name":"test.guide","version":"1.0.0","fhirVersions":["4.0.1"]}`

// TestPackages: what is refused, and with which code.
func TestPackages(t *testing.T) {
	link := func(typ byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		w.WriteHeader(&tar.Header{Name: "package/ValueSet-x.json", Linkname: "/etc/passwd", Typeflag: typ})
		w.Close()
		z.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		raw  []byte
		code string
	}{
		"well":           {packed("package/package.json", manifest, "package/ValueSet-x.json", `{"resourceType":"ValueSet","id":"x"}`, "package/example/Patient-y.json", "not JSON"), ""},
		"not gzip":       {[]byte("PK"), "structure"},
		"no manifest":    {packed("package/ValueSet-x.json", `{"resourceType":"ValueSet"}`), "structure"},
		"cut":            {packed("package/package.json", manifest)[:60], "structure"},
		"not JSON":       {packed("package/package.json", manifest, "package/ValueSet-x.json", "{"), "structure"},
		"R5":             {packed("package/package.json", `{"name":"x","version":"1","fhirVersions":["5.0.0"]}`), "not-supported"},
		"outside":        {packed("package/../../etc/ValueSet-x.json", "{}"), "security"},
		"absolute":       {packed("/package/ValueSet-x.json", "{}"), "security"},
		"symbolic link":  {link(tar.TypeSymlink), "security"},
		"hard link":      {link(tar.TypeLink), "security"},
		"made of zeroes": {packed("package/package.json", manifest, "package/zero.bin", strings.Repeat("\x00", 40<<20)), "too-costly"},
	} {
		p, err := ReadPackage(bytes.NewReader(c.raw))
		var issue *fhir.Issue
		switch {
		case c.code == "" && (err != nil || p.Name != "test.guide" || len(p.Resources) != 1):
			t.Errorf("%s: %v", name, err)
		case c.code != "" && (!errors.As(err, &issue) || issue.Code != c.code || issue.Fix == ""):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadPackage(f *testing.F) {
	f.Add(packed("package/package.json", manifest, "package/StructureDefinition-x.json", `{"resourceType":"StructureDefinition","url":"u:u","type":"Patient","differential":{"element":[{"path":"Patient.name","min":1}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ReadPackage(bytes.NewReader(raw))
		if err != nil {
			var issue *fhir.Issue
			if !errors.As(err, &issue) {
				t.Errorf("not for people: %v", err)
			}
			return
		}
		s := NewSet(Builtin())
		s.AddPackage(p)
		for _, url := range s.URLs() {
			if d := s.Find(url); d != nil {
				s.tree(d)
			}
		}
	})
}

// FuzzValidate: a profile and a resource, both from outside, cause no panic and end.
func FuzzValidate(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"path":"Patient.name","slicing":{"discriminator":[{"type":"value","path":"use"}],"rules":"closed"}},{"path":"Patient.name","sliceName":"a"},{"path":"Patient.name.use","fixedCode":"usual"}`, `{"resourceType":"Patient","name":[{"use":"usual"}]}`},
		{`{"path":"Patient.link.other","type":[{"code":"Reference","targetProfile":["test:p"]}]}`, `{"resourceType":"Patient","id":"a","contained":[{"resourceType":"Patient","id":"b","link":[{"other":{"reference":"#"}}]}],"link":[{"other":{"reference":"#b"}}]}`},
		{`{"path":"Patient","constraint":[{"key":"a","severity":"error","human":"x","expression":"descendants().descendants().count() > 0"}]}`, `{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}}`},
		{`{"path":"Bundle.entry","slicing":{"discriminator":[{"type":"profile","path":"resource"}],"rules":"open"}},{"path":"Bundle.entry","sliceName":"a"},{"path":"Bundle.entry.resource","type":[{"code":"Resource","profile":["test:p"]}]}`, observation},
		{`{"path":"Patient.text","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/narrative-language-control","valueCode":"_resource"},{"url":"http://hl7.org/fhir/StructureDefinition/narrative-source-control","valueCode":"error"}]}`,
			`{"resourceType":"Patient","text":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/textLink","extension":[{"url":"data","valueUri":"#a"},{"url":"selector","valueString":"name.("}]}],"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><div lang=\"de\">x</div></div>"}}`},
		{`{"path":"MeasureReport.group","min":1}`, reportHead + `"group":[{` + scored + `"population":[` + initial + `,` + numerator + `]}]}`},
		{`{"path":"StructureDefinition"}`, `{"resourceType":"StructureDefinition","url":"test:p","type":"Observation","baseDefinition":"test:p","derivation":"constraint","differential":{"element":[{"path":"Observation.value[x]","patternQuantity":{"code":"a"},"slicing":{"discriminator":[{"type":"value","path":"resolve().x"}]},"constraint":[{"expression":"a.("}]}]}}`},
		{`{"path":"ValueSet"}`, `{"resourceType":"ValueSet","compose":{"include":[{"system":"http://snomed.info/sct","filter":[{"property":"concept","op":"is-a","value":"404684003"}]}]}}`},
		{`{"path":"Questionnaire"}`, `{"resourceType":"Questionnaire","item":[{"linkId":"1","enableWhen":[{"question":"1"}],"item":[{"linkId":"1"}]}]}`},
		{`{"path":"Patient.birthDate","minValueQuantity":{"value":1,"code":"a"},"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/regex","valueString":"[0-9]+"}]}`, `{"resourceType":"Patient","birthDate":"1970"}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, elements, resource string) {
		n, err := fhirjson.Parse([]byte(resource), fhirjson.Limits{})
		if err != nil {
			return
		}
		s := NewSet(Builtin())
		typ := n.Get("resourceType").Text()
		if x, err := fhirjson.Parse([]byte(`{"resourceType":"StructureDefinition","url":"test:p","type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint","differential":{"element":[`+elements+`]}}`), fhirjson.Limits{}); err == nil && typ != "" {
			x.Set("type", fhirjson.NewString(typ))
			if d, err := Read(x); err == nil {
				s.Add(d)
			}
		}
		measure, err := fhirjson.Parse([]byte(proportion), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		v := &Validator{Profiles: s, Find: func(string) *fhirjson.Node { return measure }, Displays: func(_, code string) []string { return []string{code} }}
		for _, i := range v.Validate(n, Options{Profiles: []string{"test:p"}, Strict: true, Now: time.Unix(1e9, 0)}) {
			if i.Text == "" || i.Severity == "" {
				t.Errorf("an issue says nothing: %+v", i)
			}
		}
	})
}

// TestWorkIsBounded: documents made to cost much come to an end with an answer that says so.
func TestWorkIsBounded(t *testing.T) {
	var links strings.Builder
	for i := range 20_000 {
		if i > 0 {
			links.WriteByte(',')
		}
		fmt.Fprintf(&links, `{"use":"usual","given":["a%d"],"period":{"start":"2020"}}`, i)
	}
	s := setOf(t, "p", "Patient", `{"path":"Patient.name","slicing":{"discriminator":[{"type":"value","path":"given"}],"rules":"open"}},`+manySlices(60)+`,
		{"path":"Patient","constraint":[{"key":"slow","severity":"error","human":"x","expression":"name.all(name.given.count() >= 0 and %resource.name.count() > 0)"}]}`)
	v := &Validator{Profiles: s}
	n := parse(t, patient+`"name":[`+links.String()+`]}`)
	issues := v.Validate(n, Options{Profiles: []string{"test:p"}})
	found := false
	for _, i := range issues {
		found = found || i.Code == "too-costly"
	}
	if !found {
		t.Errorf("%d issues, none says that it was too costly", len(issues))
	}
	costly := setOf(t, "p", "Patient", `{"path":"Patient.name","constraint":[{"key":"slow","severity":"error","human":"x","expression":"%resource.descendants().count() > 0"}]}`)
	issues = (&Validator{Profiles: costly}).Validate(n, Options{Profiles: []string{"test:p"}})
	if len(issues) > maxIssues+2 {
		t.Errorf("%d issues about a rule that costs much", len(issues))
	}
	deep := strings.Repeat(`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":`, 14) + `{"resourceType":"Patient"}` + strings.Repeat(`}]}`, 14)
	v.Validate(parse(t, deep), Options{})
}

func manySlices(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"path":"Patient.name","sliceName":"s%d"},{"path":"Patient.name.given","min":1,"fixedString":"b%d"}`, i, i))
	}
	return strings.Join(list, ",")
}
