package fhirpatch

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirxml"
)

func parse(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, s)
	}
	return n
}

func TestJSONPatch(t *testing.T) {
	for name, c := range map[string]struct{ doc, patch, want, err string }{
		"replace keeps other texts": {`{"a":1.50,"b":"x"}`, `[{"op":"replace","path":"/b","value":"y"}]`, `{"a":1.50,"b":"y"}`, ""},
		"value keeps its text":      {`{"a":1}`, `[{"op":"add","path":"/a","value":2.00}]`, `{"a":2.00}`, ""},
		"test by value of numbers":  {`{"a":1.50}`, `[{"op":"test","path":"/a","value":15e-1}]`, `{"a":1.50}`, ""},
		"test fails":                {`{"a":1}`, `[{"op":"test","path":"/a","value":2}]`, "", "another one"},
		"add into array":            {`{"a":[1,2]}`, `[{"op":"add","path":"/a/1","value":9}]`, `{"a":[1,9,2]}`, ""},
		"add at end":                {`{"a":[1]}`, `[{"op":"add","path":"/a/-","value":2}]`, `{"a":[1,2]}`, ""},
		"beyond the end":            {`{"a":[1]}`, `[{"op":"add","path":"/a/2","value":2}]`, "", "does not have"},
		"index with a zero":         {`{"a":[1,2]}`, `[{"op":"remove","path":"/a/01"}]`, "", "does not have"},
		"remove":                    {`{"a":[1,2],"b":1}`, `[{"op":"remove","path":"/a/0"},{"op":"remove","path":"/b"}]`, `{"a":[2]}`, ""},
		"remove what is not there":  {`{}`, `[{"op":"remove","path":"/a"}]`, "", "does not have"},
		"move":                      {`{"a":{"b":1},"c":{}}`, `[{"op":"move","from":"/a/b","path":"/c/d"}]`, `{"a":{},"c":{"d":1}}`, ""},
		"move into itself":          {`{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":"/a/b"}]`, "", "into itself"},
		"copy":                      {`{"a":{"b":1}}`, `[{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/c/b","value":2}]`, `{"a":{"b":1},"c":{"b":2}}`, ""},
		"escapes":                   {`{"a/b":{"~":1}}`, `[{"op":"replace","path":"/a~1b/~0","value":2}]`, `{"a/b":{"~":2}}`, ""},
		"bad escape":                {`{}`, `[{"op":"add","path":"/~2","value":1}]`, "", "JSON Pointer"},
		"no slash":                  {`{}`, `[{"op":"add","path":"a","value":1}]`, "", "JSON Pointer"},
		"no path":                   {`{}`, `[{"op":"add","value":1}]`, "", "no path"},
		"no value":                  {`{}`, `[{"op":"add","path":"/a"}]`, "", "no value"},
		"null is a value":           {`{}`, `[{"op":"add","path":"/a","value":null}]`, `{"a":null}`, ""},
		"unknown":                   {`{}`, `[{"op":"spam","path":"/a"}]`, "", "does not exist"},
		"not an array":              {`{}`, `{"op":"add"}`, "", "array of operations"},
		"half of it fails":          {`{"a":1}`, `[{"op":"remove","path":"/a"},{"op":"remove","path":"/b"}]`, "", "does not have"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, c.doc)
			got, err := JSON(doc, parse(t, c.patch))
			check(t, got, err, c.want, c.err)
			if doc.String() != parse(t, c.doc).String() {
				t.Errorf("the document was changed: %s", doc)
			}
		})
	}
}

// TestFHIRPathPatchEdges: what R4's FHIRPath Patch says beyond the plain cases.
func TestFHIRPathPatchEdges(t *testing.T) {
	const p = `{"resourceType":"Patient","id":"a","name":[{"family":"A"},{"family":"B"}],"active":true}`
	at := func(index string) string {
		return `{"name":"index","valueInteger":` + index + `},{"name":"value","valueHumanName":{"family":"C"}}`
	}
	for name, c := range map[string]struct{ doc, ops, want, err string }{
		"insert at the end":           {p, op("insert", "Patient.name", at("2")), strings.Replace(p, `{"family":"B"}`, `{"family":"B"},{"family":"C"}`, 1), ""},
		"insert beyond the end":       {p, op("insert", "Patient.name", at("3")), "", "outside"},
		"insert before all":           {p, op("insert", "Patient.name", at("0")), strings.Replace(p, `{"family":"A"}`, `{"family":"C"},{"family":"A"}`, 1), ""},
		"negative index":              {p, op("insert", "Patient.name", at("-1")), "", "not a whole number from 0"},
		"add to a list":               {p, op("add", "Patient", `{"name":"name","valueString":"name"},{"name":"value","valueHumanName":{"family":"C"}}`), strings.Replace(p, `{"family":"B"}`, `{"family":"B"},{"family":"C"}`, 1), ""},
		"add an extension":            {p, op("add", "Patient.name[0]", `{"name":"name","valueString":"extension"},{"name":"value","valueExtension":{"url":"http://x.org","valueCode":"c"}}`), strings.Replace(p, `{"family":"A"}`, `{"family":"A","extension":[{"url":"http://x.org","valueCode":"c"}]}`, 1), ""},
		"add of the wrong place":      {p, op("add", "Patient.name", `{"name":"name","valueString":"family"},{"name":"value","valueString":"C"}`), "", "more than one"},
		"add without a name":          {p, op("add", "Patient", `{"name":"value","valueBoolean":true}`), "", "no part named name"},
		"delete the last of a list":   {`{"resourceType":"Patient","name":[{"family":"A"}]}`, op("delete", "Patient.name[0]", ""), `{"resourceType":"Patient"}`, ""},
		"delete the last in a part":   {`{"resourceType":"Patient","name":[{"family":"A"}],"active":true}`, op("delete", "Patient.name.family", ""), `{"resourceType":"Patient","active":true}`, ""},
		"delete by a condition":       {p, op("delete", "Patient.name.where(family = 'B')", ""), strings.Replace(p, `,{"family":"B"}`, "", 1), ""},
		"replace with another type":   {p, op("replace", "Patient.active", `{"name":"value","valueBoolean":false}`), strings.Replace(p, "true", "false", 1), ""},
		"replace a whole part":        {p, op("replace", "Patient.name[1]", `{"name":"value","valueHumanName":{"text":"Z"}}`), strings.Replace(p, `{"family":"B"}`, `{"text":"Z"}`, 1), ""},
		"move to the front":           {p, op("move", "Patient.name", `{"name":"source","valueInteger":1},{"name":"destination","valueInteger":0}`), strings.Replace(p, `{"family":"A"},{"family":"B"}`, `{"family":"B"},{"family":"A"}`, 1), ""},
		"move to where it is":         {p, op("move", "Patient.name", `{"name":"source","valueInteger":1},{"name":"destination","valueInteger":1}`), p, ""},
		"one after the other":         {p, op("delete", "Patient.name[0]", "") + "," + op("replace", "Patient.name[0].family", `{"name":"value","valueString":"Z"}`), strings.Replace(p, `{"family":"A"},{"family":"B"}`, `{"family":"Z"}`, 1), ""},
		"all or nothing":              {p, op("delete", "Patient.name[0]", "") + "," + op("replace", "Patient.gender", `{"name":"value","valueCode":"male"}`), "", "leads to nothing"},
		"no operations":               {p, "", p, ""},
		"a parameter of another name": {p, `{"name":"change"}`, "", "not an operation"},
		"the same part twice":         {p, op("delete", "Patient.active", `{"name":"path","valueString":"Patient.name"}`), "", "two parts named path"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := FHIRPath(parse(t, c.doc), parse(t, `{"resourceType":"Parameters","parameter":[`+c.ops+`]}`))
			check(t, got, err, c.want, c.err)
		})
	}
}

// TestRemovalsLeaveNothingEmpty: a resource has no empty elements (R4 json.html), and a patch that only removes makes none.
func TestRemovalsLeaveNothingEmpty(t *testing.T) {
	for name, c := range map[string]struct{ doc, patch, want string }{
		"last of a list":    {`{"id":"a","name":[{"family":"A"}]}`, `[{"op":"remove","path":"/name/0"}]`, `{"id":"a"}`},
		"last in an object": {`{"id":"a","name":[{"family":"A"}]}`, `[{"op":"remove","path":"/name/0/family"}]`, `{"id":"a"}`},
		"one of two":        {`{"name":[{"family":"A"},{"family":"B"}]}`, `[{"op":"remove","path":"/name/0"}]`, `{"name":[{"family":"B"}]}`},
		"moved away":        {`{"a":{"b":1},"c":{"e":1}}`, `[{"op":"move","from":"/a/b","path":"/c/d"}]`, `{"c":{"e":1,"d":1}}`},
		"beside":            {`{"given":["y","x"],"_given":[{"id":"a"},null]}`, `[{"op":"remove","path":"/_given/0/id"}]`, `{"given":["y","x"]}`},
		"places are kept":   {`{"given":["y","x"],"_given":[{"id":"a"},{"id":"b"}]}`, `[{"op":"remove","path":"/_given/0/id"}]`, `{"given":["y","x"],"_given":[null,{"id":"b"}]}`},
		"brought empty":     {`{"a":[1]}`, `[{"op":"remove","path":"/a/0"},{"op":"add","path":"/b","value":[]}]`, `{"a":[],"b":[]}`},
		"emptied, filled":   {`{"a":[1]}`, `[{"op":"remove","path":"/a/0"},{"op":"add","path":"/a/-","value":2}]`, `{"a":[2]}`},
	} {
		got, err := Resource(parse(t, c.doc), parse(t, c.patch))
		if err != nil || !fhirjson.Equal(got, parse(t, c.want)) {
			t.Errorf("%s: %v %v, want %s", name, got, err, c.want)
		}
	}
}

// TestPatchesOfTheRFC: what RFC 6902 and 6901 say beyond the plain cases, in our own words.
func TestPatchesOfTheRFC(t *testing.T) {
	for name, c := range map[string]struct{ doc, patch, want, err string }{
		"members it does not know are ignored": {`{"a":1}`, `[{"op":"remove","path":"/a","zz":1}]`, `{}`, ""},
		"add replaces a member":                {`{"a":1}`, `[{"op":"add","path":"/a","value":[2]}]`, `{"a":[2]}`, ""},
		"add of the whole":                     {`{"a":1}`, `[{"op":"add","path":"","value":{"b":2}}]`, `{"b":2}`, ""},
		"add below nothing":                    {`{"a":1}`, `[{"op":"add","path":"/b/c","value":2}]`, "", "does not have"},
		"add below a number":                   {`{"a":1}`, `[{"op":"add","path":"/a/b","value":2}]`, "", "does not have"},
		"add before the first":                 {`{"a":[1]}`, `[{"op":"add","path":"/a/0","value":0}]`, `{"a":[0,1]}`, ""},
		"add as the last by number":            {`{"a":[1]}`, `[{"op":"add","path":"/a/1","value":2}]`, `{"a":[1,2]}`, ""},
		"array of arrays":                      {`{"a":[[1]]}`, `[{"op":"add","path":"/a/0/-","value":2}]`, `{"a":[[1,2]]}`, ""},
		"no name in an array":                  {`{"a":[1]}`, `[{"op":"add","path":"/a/x","value":2}]`, "", "does not have"},
		"no negative index":                    {`{"a":[1]}`, `[{"op":"remove","path":"/a/-1"}]`, "", "does not have"},
		"no plus sign":                         {`{"a":[1]}`, `[{"op":"remove","path":"/a/+0"}]`, "", "does not have"},
		"nothing at the end to remove":         {`{"a":[1]}`, `[{"op":"remove","path":"/a/-"}]`, "", "does not have"},
		"nothing at the end to test":           {`{"a":[1]}`, `[{"op":"test","path":"/a/-","value":1}]`, "", "does not have"},
		"a name that is a number":              {`{"0":1}`, `[{"op":"replace","path":"/0","value":2}]`, `{"0":2}`, ""},
		"an empty name":                        {`{"":1}`, `[{"op":"replace","path":"/","value":2}]`, `{"":2}`, ""},
		"escapes are undone once":              {`{"~1":1}`, `[{"op":"replace","path":"/~01","value":2}]`, `{"~1":2}`, ""},
		"replace what is not there":            {`{}`, `[{"op":"replace","path":"/a","value":1}]`, "", "does not have"},
		"replace the whole":                    {`{"a":1}`, `[{"op":"replace","path":"","value":{"b":1}}]`, `{"b":1}`, ""},
		"move within an array":                 {`{"a":[1,2,3]}`, `[{"op":"move","from":"/a/0","path":"/a/2"}]`, `{"a":[2,3,1]}`, ""},
		"move to itself":                       {`{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":1}`, ""},
		"move over another":                    {`{"a":1,"b":2}`, `[{"op":"move","from":"/a","path":"/b"}]`, `{"b":1}`, ""},
		"move to a longer name":                {`{"a":1}`, `[{"op":"move","from":"/a","path":"/ab"}]`, `{"ab":1}`, ""},
		"move what is not there":               {`{}`, `[{"op":"move","from":"/a","path":"/b"}]`, "", "does not have"},
		"move without from":                    {`{}`, `[{"op":"move","path":"/b"}]`, "", "no from"},
		"copy into itself":                     {`{"a":{"b":1}}`, `[{"op":"copy","from":"/a","path":"/a/c"}]`, `{"a":{"b":1,"c":{"b":1}}}`, ""},
		"copy the whole":                       {`{"a":1}`, `[{"op":"copy","from":"","path":"/b"}]`, `{"a":1,"b":{"a":1}}`, ""},
		"test of objects in any order":         {`{"a":{"b":1,"c":2}}`, `[{"op":"test","path":"/a","value":{"c":2,"b":1}}]`, `{"a":{"b":1,"c":2}}`, ""},
		"test of arrays in order":              {`{"a":[1,2]}`, `[{"op":"test","path":"/a","value":[2,1]}]`, "", "another one"},
		"test of the type":                     {`{"a":"10"}`, `[{"op":"test","path":"/a","value":10}]`, "", "another one"},
		"test of null":                         {`{"a":null}`, `[{"op":"test","path":"/a","value":null}]`, `{"a":null}`, ""},
		"test of what is not there":            {`{}`, `[{"op":"test","path":"/a","value":null}]`, "", "does not have"},
		"test of text by its characters":       {`{"a":"\u0041"}`, `[{"op":"test","path":"/a","value":"A"}]`, `{"a":"A"}`, ""},
		"one after the other":                  {`{"a":[]}`, `[{"op":"add","path":"/a/-","value":1},{"op":"add","path":"/a/-","value":2},{"op":"remove","path":"/a/0"}]`, `{"a":[2]}`, ""},
		"an empty patch":                       {`{"a":1}`, `[]`, `{"a":1}`, ""},
		"an operation that is none":            {`{}`, `["add"]`, "", "not an object"},
		"no op":                                {`{}`, `[{"path":"/a"}]`, "", "no op"},
		"op in capitals":                       {`{}`, `[{"op":"Add","path":"/a","value":1}]`, "", "does not exist"},
		"path is no text":                      {`{}`, `[{"op":"add","path":1,"value":1}]`, "", "no path"},
	} {
		got, err := JSON(parse(t, c.doc), parse(t, c.patch))
		t.Run(name, func(t *testing.T) { check(t, got, err, c.want, c.err) })
	}
}

func check(t *testing.T, got *fhirjson.Node, err error, want, wantErr string) {
	t.Helper()
	if wantErr != "" {
		var i *fhir.Issue
		if !errors.As(err, &i) || !strings.Contains(i.Text, wantErr) || i.Fix == "" || i.Path == "" && i.Code == "processing" {
			t.Errorf("error %v, not about %q; result %s", err, wantErr, got)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !fhirjson.Equal(got, parse(t, want)) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func op(kind, path, rest string) string {
	if rest != "" {
		rest = "," + rest
	}
	return `{"name":"operation","part":[{"name":"type","valueCode":"` + kind + `"},{"name":"path","valueString":"` + path + `"}` + rest + `]}`
}

func TestFHIRPathPatch(t *testing.T) {
	const patient = `{"resourceType":"Patient","name":[{"family":"A","given":["x","y",null],"_given":[null,null,{"id":"g"}]}],"birthDate":"1970","_birthDate":{"id":"b"}}`
	for name, c := range map[string]struct{ doc, ops, want, err string }{
		"delete takes what stands beside":    {patient, op("delete", "Patient.birthDate", ""), `{"resourceType":"Patient","name":[{"family":"A","given":["x","y",null],"_given":[null,null,{"id":"g"}]}]}`, ""},
		"delete in a list of primitives":     {patient, op("delete", "Patient.name[0].given[1]", ""), `{"resourceType":"Patient","name":[{"family":"A","given":["x",null],"_given":[null,{"id":"g"}]}],"birthDate":"1970","_birthDate":{"id":"b"}}`, ""},
		"move keeps both lists together":     {patient, op("move", "Patient.name[0].given", `{"name":"source","valueInteger":2},{"name":"destination","valueInteger":0}`), `{"resourceType":"Patient","name":[{"family":"A","given":[null,"x","y"],"_given":[{"id":"g"},null,null]}],"birthDate":"1970","_birthDate":{"id":"b"}}`, ""},
		"insert keeps both lists together":   {patient, op("insert", "Patient.name[0].given", `{"name":"index","valueInteger":0},{"name":"value","valueString":"z"}`), `{"resourceType":"Patient","name":[{"family":"A","given":["z","x","y",null],"_given":[null,null,null,{"id":"g"}]}],"birthDate":"1970","_birthDate":{"id":"b"}}`, ""},
		"delete what is not there":           {`{"resourceType":"Patient"}`, op("delete", "Patient.birthDate", ""), `{"resourceType":"Patient"}`, ""},
		"replace a choice by another type":   {`{"resourceType":"Observation","valueString":"x"}`, op("replace", "Observation.value", `{"name":"value","valueQuantity":{"value":1.0}}`), `{"resourceType":"Observation","valueQuantity":{"value":1.0}}`, ""},
		"add a choice":                       {`{"resourceType":"Observation"}`, op("add", "Observation", `{"name":"name","valueString":"value"},{"name":"value","valueQuantity":{"value":1.50}}`), `{"resourceType":"Observation","valueQuantity":{"value":1.50}}`, ""},
		"add what is there":                  {patient, op("add", "Patient", `{"name":"name","valueString":"birthDate"},{"name":"value","valueDate":"1980"}`), "", "already"},
		"add what does not exist":            {patient, op("add", "Patient", `{"name":"name","valueString":"nome"},{"name":"value","valueDate":"1980"}`), "", "no element"},
		"replace nothing":                    {`{"resourceType":"Patient"}`, op("replace", "Patient.birthDate", `{"name":"value","valueDate":"1980"}`), "", "leads to nothing"},
		"more than one":                      {patient, op("delete", "Patient.name.given", ""), "", "more than one"},
		"computed":                           {patient, op("delete", "Patient.name.count()", ""), "", "computed"},
		"the resource":                       {patient, op("delete", "Patient", ""), "", "resource itself"},
		"not a path":                         {patient, op("delete", "Patient..name", ""), "", "not FHIRPath"},
		"no such operation":                  {patient, op("upsert", "Patient.name", ""), "", "does not exist"},
		"lacks a part":                       {patient, op("move", "Patient.name", ""), "", "no part named"},
		"outside":                            {patient, op("move", "Patient.name", `{"name":"source","valueInteger":0},{"name":"destination","valueInteger":1}`), "", "outside"},
		"with where":                         {patient, op("replace", "Patient.name.where(family = 'A').family", `{"name":"value","valueString":"B"}`), strings.Replace(patient, `"A"`, `"B"`, 1), ""},
		"nested parts with a repeating part": {`{"resourceType":"Patient"}`, op("add", "Patient", `{"name":"name","valueString":"contact"},{"name":"value","part":[{"name":"telecom","valueContactPoint":{"value":"1"}},{"name":"gender","valueCode":"male"}]}`), `{"resourceType":"Patient","contact":[{"telecom":[{"value":"1"}],"gender":"male"}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := FHIRPath(parse(t, c.doc), parse(t, `{"resourceType":"Parameters","parameter":[`+c.ops+`]}`))
			check(t, got, err, c.want, c.err)
		})
	}
}

// TestOfficialFHIRPathPatches runs the cases of HL7, which are written in XML.
func TestOfficialFHIRPathPatches(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	raw, err := os.ReadFile(filepath.Join(dir, "test-cases/r4/patch/fhir-patch-tests.xml"))
	if err != nil {
		t.Fatal(err)
	}
	type inner struct {
		XML string `xml:",innerxml"`
	}
	var suite struct {
		Cases []struct {
			Name   string `xml:"name,attr"`
			Input  inner  `xml:"input"`
			Diff   inner  `xml:"diff"`
			Output *inner `xml:"output"`
			Error  *inner `xml:"error"`
		} `xml:"case"`
	}
	if err := xml.Unmarshal(raw, &suite); err != nil {
		t.Fatal(err)
	}
	if len(suite.Cases) < 30 {
		t.Fatalf("%d cases", len(suite.Cases))
	}
	read := func(t *testing.T, s string) *fhirjson.Node {
		n, err := fhirxml.Decode([]byte(s), fhirxml.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range suite.Cases {
		t.Run(c.Name, func(t *testing.T) {
			got, err := FHIRPath(read(t, c.Input.XML), read(t, c.Diff.XML))
			if c.Error != nil {
				if err == nil {
					t.Errorf("no error; %s", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := read(t, c.Output.XML)
			if div := want.At("text", "div"); div != nil { // the same characters, some of them written as entities
				*div = fhirjson.NewString(strings.NewReplacer("&quot;", `"`, "\r", "").Replace(div.Text()))
			}
			if !fhirjson.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestOfficialJSONPatches runs the cases of RFC 6902's appendix as HL7 carries them.
func TestOfficialJSONPatches(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	raw, err := os.ReadFile(filepath.Join(dir, "test-cases/r4/patch/json-patch-tests.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Comment              string
		Doc, Patch, Expected json.RawMessage
		Error                string
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Comment, func(t *testing.T) {
			got, err := JSON(parse(t, string(c.Doc)), parse(t, string(c.Patch)))
			switch {
			case c.Error != "" && err == nil:
				t.Errorf("no error; %s", got)
			case c.Error == "" && err != nil:
				t.Error(err)
			case c.Error == "" && len(c.Expected) > 0 && !fhirjson.Equal(got, parse(t, string(c.Expected))):
				t.Errorf("got %s, want %s", got, c.Expected)
			}
		})
	}
}

func TestCopiesOfCopiesEnd(t *testing.T) {
	ops := make([]string, 60)
	for i := range ops {
		ops[i] = `{"op":"copy","from":"","path":"/a"}`
	}
	doc := `{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `,"b":[1,2,3]}`
	if _, err := JSON(parse(t, doc), parse(t, "["+strings.Join(ops, ",")+"]")); err != nil && !strings.Contains(err.Error(), "can hold") {
		t.Error(err)
	}
	doubling := `[{"op":"add","path":"/x","value":[1]}` + strings.Repeat(`,{"op":"copy","from":"/x","path":"/x/0"}`, 60) + `]`
	if _, err := JSON(parse(t, doc), parse(t, doubling)); err == nil {
		t.Error("2 to the 60th nodes were made")
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a":[1,{"b":2}]}`, `[{"op":"move","from":"/a/1","path":"/c"},{"op":"test","path":"/c/b","value":2.0}]`)
	f.Fuzz(func(t *testing.T, doc, patch string) {
		d, err := fhirjson.Parse([]byte(doc), fhirjson.Limits{Bytes: 1 << 16})
		if err != nil {
			return
		}
		p, err := fhirjson.Parse([]byte(patch), fhirjson.Limits{Bytes: 1 << 16})
		if err != nil {
			return
		}
		before := d.String()
		got, err := JSON(d, p)
		if whole, err := Resource(d, p); err == nil && hollow(whole) && !hollow(d) && !strings.Contains(patch, "[]") && !strings.Contains(patch, "{}") && !strings.ContainsAny(patch, " \t\n\r") && whole.Len() > 0 {
			t.Fatalf("something empty is left: %s", whole)
		}
		if d.String() != before {
			t.Fatal("the document was changed")
		}
		if err == nil {
			if _, err := fhirjson.Parse(got.AppendJSON(nil), fhirjson.Limits{Bytes: 1 << 30, Depth: 1 << 20}); err != nil && !strings.Contains(err.Error(), "twice") {
				t.Fatalf("%v\n%s", err, got)
			}
		}
	})
}

func FuzzFHIRPath(f *testing.F) {
	f.Add(`{"resourceType":"Patient","name":[{"given":["a"]}]}`, "Patient.name[0].given", "insert", "given", 0)
	f.Add(`{"resourceType":"Patient","birthDate":"1970"}`, "Patient.birthDate", "delete", "", 0)
	f.Fuzz(func(t *testing.T, doc, path, kind, name string, i int) {
		d, err := fhirjson.Parse([]byte(doc), fhirjson.Limits{Bytes: 1 << 14})
		if err != nil || d.Kind() != fhirjson.Object {
			return
		}
		q, _ := json.Marshal(path)
		k, _ := json.Marshal(kind)
		nm, _ := json.Marshal(name)
		n, _ := json.Marshal(i)
		p, err := fhirjson.Parse([]byte(`{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":`+string(k)+`},{"name":"path","valueString":`+string(q)+
			`},{"name":"name","valueString":`+string(nm)+`},{"name":"index","valueInteger":`+string(n)+`},{"name":"source","valueInteger":`+string(n)+`},{"name":"destination","valueInteger":0},{"name":"value","valueString":"v"}]}]}`), fhirjson.Limits{})
		if err != nil {
			return
		}
		before := d.String()
		if _, err := FHIRPath(d, p); err != nil {
			var issue *fhir.Issue
			if !errors.As(err, &issue) {
				t.Fatalf("%T", err)
			}
		}
		if d.String() != before {
			t.Fatal("the document was changed")
		}
	})
}
