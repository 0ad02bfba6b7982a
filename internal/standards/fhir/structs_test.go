package fhir

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

// TestStructsHoldTheCorpus reads every resource of the corpora that has a
// struct, inside Bundles too: nothing changes when nothing is changed, and
// what Encode writes is valid again.
func TestStructsHoldTheCorpus(t *testing.T) {
	seen := map[string]int{}
	check := func(name string, n *fhirjson.Node) {
		rt := n.Get("resourceType").Text()
		before, after := New(rt), New(rt)
		if before == nil {
			return
		}
		seen[rt]++
		raw := n.AppendJSON(nil)
		if err := errors.Join(DecodeNode(n, before), DecodeNode(n, after)); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got, err := Merge(raw, before, after)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: changing nothing changed it (%v)", name, err)
		}
		encoded, err := Encode(before)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if again := New(rt); Decode(encoded, again) != nil || !reflect.DeepEqual(again, before) {
			t.Errorf("%s: Decode of Encode differs", name)
		}
		if _, issues := Parse(encoded); issues.HasErrors() && !onlyAbsent(issues) {
			t.Errorf("%s: encoded, it is not valid: %v", name, issues)
		}
	}
	examples(t, func(d document) {
		if excluded[d.name] == "" {
			n, _ := Parse(d.raw)
			check(d.name, n)
		}
	})
	files := 0
	synthea(t, func(d document) {
		if files++; files%7 != 0 {
			return // a part is enough here and keeps the test quick
		}
		n, _ := Parse(d.raw)
		if entries := n.Get("entry").Items(); entries != nil {
			for i := range entries {
				check(d.name, entries[i].Get("resource"))
			}
			return
		}
		check(d.name, n)
	})
	t.Logf("%d types", len(seen))
}

// onlyAbsent reports whether all faults come from primitives that have only
// extensions, which a struct cannot hold: the element is then missing, or
// null in a list, or its parent is empty.
func onlyAbsent(issues Issues) bool {
	for _, i := range issues {
		if i.Code != "required" && !strings.Contains(i.Text, "null") {
			return false
		}
	}
	return true
}

func TestNew(t *testing.T) {
	count := 0
	for _, name := range ResourceTypes() {
		r := New(name)
		if r == nil {
			continue
		}
		count++
		if r.ResourceType() != name {
			t.Errorf("New(%s) is a %s", name, r.ResourceType())
		}
	}
	if count < 65 || New("Nothing") != nil {
		t.Errorf("%d types have structs", count)
	}
}

// TestStructsCoverDefinitions: every element of every struct is a field, and
// every field an element.
func TestStructsCoverDefinitions(t *testing.T) {
	for _, name := range ResourceTypes() {
		if r := New(name); r != nil {
			checkFields(t, planOf(reflect.TypeOf(r).Elem()), shapes()[name], map[*plan]bool{})
		}
	}
}

func checkFields(t *testing.T, p *plan, s *shape, done map[*plan]bool) {
	t.Helper()
	if done[p] {
		return
	}
	done[p] = true
	if len(p.fields) != len(s.slots) {
		t.Errorf("%s has %d fields for %d members", p.typ, len(p.fields), len(s.slots))
	}
	for _, f := range p.fields {
		sl := s.slots[f.name]
		if sl == nil {
			t.Errorf("%s.%s is no element", p.typ, f.name)
			continue
		}
		if sl.many != f.many || (sl.shape != nil) != (f.kind == objectField) {
			t.Errorf("%s.%s does not fit its element", p.typ, f.name)
		}
		if f.plan != nil {
			checkFields(t, f.plan, sl.shape, done)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	var p Patient
	err := Decode([]byte(`{"resourceType":"Patient","BirthDate":"2000","birthDate":"1999","NAME":[]}`), &p)
	if err != nil || p.BirthDate != "1999" || p.Name != nil {
		t.Errorf("case: %+v %v", p, err)
	}
	for doc, path := range map[string]string{
		`{"resourceType":"Patient","name":[{"given":["a",5]}]}`:       "Patient.name[0].given[1]",
		`{"resourceType":"Patient","active":"true"}`:                  "Patient.active",
		`{"resourceType":"Patient","multipleBirthInteger":1.5}`:       "Patient.multipleBirthInteger",
		`{"resourceType":"Patient","name":{}}`:                        "Patient.name",
		`{"resourceType":"Patient","contained":["x"]}`:                "Patient.contained[0]",
		`{"resourceType":"Patient","maritalStatus":{"coding":["x"]}}`: "Patient.maritalStatus.coding[0]",
		`{"resourceType":"Observation"}`:                              "",
		`{"resourceType":"Patient","resourceType":"Patient"}`:         "resourceType",
	} {
		err := Decode([]byte(doc), &p)
		var issue *Issue
		if !errors.As(err, &issue) || issue.Path != path || issue.Fix == "" {
			t.Errorf("%s: %v", doc, err)
		}
	}
	var a Address
	if err := Decode([]byte(`{"line":["1 Elm St",null],"city":"X"}`), &a); err != nil || !slices.Equal(a.Line, []string{"1 Elm St", ""}) {
		t.Errorf("datatype: %+v %v", a, err)
	}
}

func TestEncode(t *testing.T) {
	yes, two := true, 2
	p := Patient{Active: &yes, MultipleBirthInteger: &two, Id: "a", Name: []HumanName{{Family: "Lee", Given: []string{"Ann"}}, {}},
		MaritalStatus: &CodeableConcept{}, Contained: []Raw{Raw(`{"resourceType":"Basic"}`)}}
	got, err := Encode(&p)
	want := `{"resourceType":"Patient","id":"a","contained":[{"resourceType":"Basic"}],"active":true,"name":[{"family":"Lee","given":["Ann"]}],"multipleBirthInteger":2}`
	if err != nil || string(got) != want {
		t.Errorf("got %s %v", got, err)
	}
	if byValue, err := Encode(p); err != nil || string(byValue) != want {
		t.Errorf("by value %s %v", byValue, err)
	}
	if got, err := Encode(Quantity{Value: "1.50"}); err != nil || string(got) != `{"value":1.50}` {
		t.Errorf("datatype %s %v", got, err)
	}
	for _, bad := range []any{
		&Observation{ValueQuantity: &Quantity{Value: "1,5"}}, &Patient{Contained: []Raw{Raw(`{`)}}, &Patient{Name: []HumanName{{Given: []string{"a\xff"}}}},
	} {
		var issue *Issue
		if _, err := Encode(bad); !errors.As(err, &issue) || issue.Path == "" || issue.Fix == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// FuzzValidate: no document makes Validate, Decode or Merge fail in a way of
// their own.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(observation))
	f.Add([]byte(`{"resourceType":"Patient","_birthDate":{"extension":[{"url":"u","valueDate":"2000"}]},"name":[{"given":[null],"_given":[{"id":"x"}]}]}`))
	f.Add([]byte(`{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient","contained":[{"resourceType":"Basic"}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, issues := Parse(data)
		for _, i := range issues {
			if i.Text == "" || i.Fix == "" || i.Code == "" || i.Severity == "" {
				t.Fatalf("poor issue %+v", i)
			}
		}
		if _, faults := Parse(Outcome(issues...)); faults.HasErrors() {
			t.Fatalf("the outcome is not valid: %v", faults)
		}
		v := New(n.Get("resourceType").Text())
		if v == nil || issues.HasErrors() {
			return
		}
		if err := DecodeNode(n, v); err != nil {
			t.Fatalf("valid, but not readable: %v", err)
		}
		raw := n.AppendJSON(nil)
		if out, err := Merge(raw, v, v); err != nil || !bytes.Equal(out, raw) {
			t.Fatalf("changing nothing gives %s (%v)", out, err)
		}
	})
}
