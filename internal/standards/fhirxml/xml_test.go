package fhirxml

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

func parse(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBothWays(t *testing.T) {
	for name, c := range map[string]struct{ json, xml string }{
		"primitives keep their text": {
			`{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50,"unit":"kg"}}`,
			`<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code><valueQuantity><value value="1.50"/><unit value="kg"/></valueQuantity></Observation>`},
		"extensions of primitives": {
			`{"resourceType":"Patient","_birthDate":{"id":"b1","extension":[{"url":"http://x","valueString":"a"}]},"name":[{"given":["Ann",null],"_given":[null,{"extension":[{"url":"http://y","valueBoolean":true}]}]}]}`,
			`<Patient xmlns="http://hl7.org/fhir"><name><given value="Ann"/><given><extension url="http://y"><valueBoolean value="true"/></extension></given></name><birthDate id="b1"><extension url="http://x"><valueString value="a"/></extension></birthDate></Patient>`},
		"characters": {
			`{"resourceType":"Patient","name":[{"text":"<\"A\" & B>\ttab\nline"}]}`,
			`<Patient xmlns="http://hl7.org/fhir"><name><text value="&lt;&quot;A&quot; &amp; B&gt;&#x9;tab&#xA;line"/></name></Patient>`},
		"contained, narrative": {
			`{"resourceType":"Patient","id":"p","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><b>Ann</b>  &amp; &#160;<br/></div>"},"contained":[{"resourceType":"Organization","id":"o","name":"O"}]}`,
			`<Patient xmlns="http://hl7.org/fhir"><id value="p"/><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><b>Ann</b>  &amp; &#160;<br/></div></text><contained><Organization><id value="o"/><name value="O"/></Organization></contained></Patient>`},
		"content of another element": {
			`{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"1.1","type":"string"}]}]}`,
			`<Questionnaire xmlns="http://hl7.org/fhir"><status value="draft"/><item><linkId value="1"/><type value="group"/><item><linkId value="1.1"/><type value="string"/></item></item></Questionnaire>`},
	} {
		t.Run(name, func(t *testing.T) {
			want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + c.xml
			got, err := Encode(parse(t, c.json))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("XML\n%s\nnot\n%s", got, want)
			}
			back, err := Decode(got, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !fhirjson.Equal(back, parse(t, c.json)) {
				t.Errorf("JSON\n%s\nnot\n%s", back, c.json)
			}
			pretty, err := EncodeIndent(parse(t, c.json))
			if err != nil {
				t.Fatal(err)
			}
			if back, err := Decode(pretty, Limits{}); err != nil || !fhirjson.Equal(back, parse(t, c.json)) {
				t.Errorf("from the indented form: %v\n%s", err, pretty)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	in := func(s string) string { return `<Patient xmlns="http://hl7.org/fhir">` + s + `</Patient>` }
	for name, c := range map[string]struct{ doc, text string }{
		"doctype":            {`<!DOCTYPE Patient [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + in(""), "DOCTYPE"},
		"entity":             {in(`<id value="&x;"/>`), "well-formed"},
		"instruction":        {in(`<?php x?>`), "Processing"},
		"no namespace":       {`<Patient><id value="x"/></Patient>`, "namespace"},
		"other namespace":    {in(`<id xmlns="http://x" value="x"/>`), "namespace"},
		"unknown element":    {in(`<nome value="x"/>`), `no element "nome"`},
		"unknown attribute":  {in(`<id value="x" lang="en"/>`), `"lang"`},
		"attribute twice":    {in(`<active value="true" value="false"/>`), "twice on one element"},
		"twice in a div":     {in(`<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p class="a" class="b">x</p></div></text>`), "twice on one element"},
		"attribute of type":  {in(`<name use="x"/>`), `no attribute "use"`},
		"twice":              {in(`<gender value="male"/><gender value="female"/>`), "twice"},
		"text":               {in(`<id>x</id>`), "text between"},
		"not a number":       {in(`<multipleBirthInteger value="+1"/>`), "not a integer"},
		"not a boolean":      {in(`<active value="yes"/>`), "not a boolean"},
		"nothing in it":      {in(`<gender/>`), "neither"},
		"empty value":        {in(`<gender value=""/>`), "not a code"},
		"two roots":          {in("") + in(""), "after the resource"},
		"unknown type":       {`<Pirate xmlns="http://hl7.org/fhir"/>`, "not a resource type"},
		"cut short":          {`<Patient xmlns="http://hl7.org/fhir"><id value="x"/>`, "well-formed"},
		"empty":              {``, "empty"},
		"resource attribute": {`<Patient xmlns="http://hl7.org/fhir" id="x"/>`, "no attributes"},
		"narrative, script ns": {in(`<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><x xmlns="urn:x"/></div></text>`),
			"not XHTML"},
		"narrative without ns": {in(`<text><status value="generated"/><div>x</div></text>`), "XHTML"},
		"narrative prefixed":   {`<Patient xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text><status value="generated"/><h:div>x</h:div></text></Patient>`, "from outside"},
		"two contained":        {in(`<contained><Organization/><Organization/></contained>`), "more than one"},
		"deep":                 {in(strings.Repeat(`<extension url="u">`, 70) + strings.Repeat(`</extension>`, 70)), "nested more than 64"},
		"latin":                {`<?xml version="1.0" encoding="ISO-8859-1"?>` + in(""), "well-formed"},
		"not utf-8":            {in("<id value=\"\xff\"/>"), "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := Decode([]byte(c.doc), Limits{})
			if err == nil {
				t.Fatalf("was read as %s", n)
			}
			var i *fhir.Issue
			if !errors.As(err, &i) || i.Fix == "" || !strings.Contains(i.Text, c.text) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Decode(make([]byte, 11), Limits{Bytes: 10}); err == nil {
		t.Error("a long document was read")
	}
}

func TestPlace(t *testing.T) {
	_, err := Decode([]byte("<Patient xmlns=\"http://hl7.org/fhir\">\n  <name>\n    <famly value=\"x\"/>\n  </name>\n</Patient>"), Limits{})
	var i *fhir.Issue
	if !errors.As(err, &i) || i.Line != 3 || i.Column != 5 || i.Path != "Patient.name" {
		t.Errorf("%+v", i)
	}
}

func TestBadNarrativeIsNotWritten(t *testing.T) {
	for _, div := range []string{`<div>x</div>`, `<div xmlns=\"http://www.w3.org/1999/xhtml\">x`, `<div xmlns=\"http://www.w3.org/1999/xhtml\"/><x/>`, `<div xmlns=\"http://www.w3.org/1999/xhtml\"/></text><id value=\"evil\"/><text>`, `x`} {
		_, err := Encode(parse(t, `{"resourceType":"Patient","text":{"status":"generated","div":"`+div+`"}}`))
		if !IsNarrative(err) {
			t.Errorf("%s: %v", div, err)
		}
	}
	got, err := Encode(parse(t, `{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a&nbsp;b &lt;</div>"}}`))
	if err != nil || !strings.Contains(string(got), "a\u00a0b &lt;</div>") {
		t.Errorf("%v %s", err, got)
	}
}

// TestOfficialExamples writes every official example as XML and reads it back.
func TestOfficialExamples(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	count, skipped := 0, 0
	corpustest.Untar(t, filepath.Join(dir, "examples.tar.gz"), func(name string, raw []byte) {
		if !strings.HasSuffix(name, ".json") {
			return
		}
		n, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: len(raw)})
		if err != nil || !fhir.IsResourceType(n.Get("resourceType").Text()) || fhir.Validate(n).HasErrors() {
			skipped++
			return
		}
		x, err := Encode(n)
		if IsNarrative(err) {
			skipped++
			return
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		back, err := Decode(x, Limits{Bytes: len(x)})
		if err != nil {
			t.Errorf("%s: back: %v", name, err)
			return
		}
		if !fhirjson.Equal(n, back) && !strings.Contains(string(raw), "&nbsp;") {
			t.Errorf("%s changed on the way", name)
		}
		count++
	})
	t.Logf("%d examples went to XML and back, %d were not valid resources or hold narrative that is not XHTML", count, skipped)
	if count < 350 {
		t.Errorf("only %d examples", count)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`<Patient xmlns="http://hl7.org/fhir"><id value="p"/><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">x</div></text></Patient>`))
	f.Add([]byte(`<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/><entry><resource><Basic><code/></Basic></resource></entry></Bundle>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Decode(data, Limits{Bytes: 1 << 20})
		if err != nil {
			return
		}
		if fhir.Validate(n).HasErrors() {
			return
		}
		x, err := Encode(n)
		if err != nil {
			if IsNarrative(err) {
				return
			}
			t.Fatalf("a resource that was read cannot be written: %v\n%s", err, n)
		}
		back, err := Decode(x, Limits{})
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, x)
		}
		if !fhirjson.Equal(n, back) {
			t.Fatalf("changed on the way:\n%s\n%s", n, back)
		}
	})
}
