package fhir

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhirjson"
)

// structTypes are the generated resource structs.
var structTypes = []Resource{
	&Patient{}, &Encounter{}, &Observation{}, &MedicationRequest{}, &Questionnaire{}, &Bundle{}, &Claim{}, &Composition{},
}

func fresh(r Resource) Resource {
	return reflect.New(reflect.TypeOf(r).Elem()).Interface().(Resource)
}

func drawTyped(t *rapid.T, kind Resource) ([]byte, Resource) {
	n := arbitraryResource(t, kind.ResourceType(), true)
	raw := n.AppendJSON(nil)
	v := fresh(kind)
	if err := Decode(raw, v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return raw, v
}

// TestMergeNothing: without a change the bytes stay.
func TestMergeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(structTypes).Draw(t, "kind")
		raw, before := drawTyped(t, kind)
		_, after := raw, fresh(kind)
		if err := Decode(raw, after); err != nil {
			t.Fatal(err)
		}
		got, err := Merge(raw, before, after)
		if err != nil || string(got) != string(raw) {
			t.Fatalf("from %s\n to  %s %v", raw, got, err)
		}
	})
}

// TestMergeAnything: whatever after is, reading the result gives after.
func TestMergeAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(structTypes).Draw(t, "kind")
		raw, before := drawTyped(t, kind)
		_, after := drawTyped(t, kind)
		got, err := Merge(raw, before, after)
		if err != nil {
			t.Fatal(err)
		}
		again := fresh(kind)
		if err := Decode(got, again); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		want, _ := Encode(after)
		have, _ := Encode(again)
		if !fhirjson.Equal(tree(t, want), tree(t, have)) {
			t.Fatalf("raw   %s\nmerge %s\nwant  %s\nhave  %s", raw, got, want, have)
		}
	})
}

func tree(t interface{ Fatal(...any) }, raw []byte) *fhirjson.Node {
	n, err := fhirjson.Parse(raw, fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMergeKeepsTheRest: a change to one member leaves every other member's
// bytes alone, known or not.
func TestMergeKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, v := drawTyped(t, &Patient{})
		before := v.(*Patient)
		after := *before
		after.BirthDate = "1999-09-09"
		after.Telecom = append([]ContactPoint{{System: "phone", Value: "1"}}, before.Telecom...)
		got, err := Merge(raw, before, &after)
		if err != nil {
			t.Fatal(err)
		}
		r, g := tree(t, raw), tree(t, got)
		for i := range r.Members() {
			m := &r.Members()[i]
			switch m.Name {
			case "birthDate", "_birthDate":
				continue
			case "telecom":
				for j := range m.Value.Items() {
					if !fhirjson.Equal(&m.Value.Items()[j], &g.Get("telecom").Items()[j+1]) {
						t.Fatalf("telecom[%d] changed: %s", j, got)
					}
				}
				continue
			}
			if other := g.Get(m.Name); other == nil || other.String() != m.Value.String() {
				t.Fatalf("%s changed\nfrom %s\nto   %s", m.Name, raw, got)
			}
		}
	})
}

func TestMergeByHand(t *testing.T) {
	const raw = `{"resourceType":"Patient","x":1.0,"name":[{"family":"Lee","_family":{"extension":[{"url":"u","valueDecimal":1.50}]},"given":["A","B"],"_given":[null,{"id":"b"}]},{"text":"old","y":[]}],` +
		`"_birthDate":{"extension":[{"url":"` + absentReason + `","valueCode":"unknown"},{"url":"k","valueString":"v"}]},"deceasedBoolean":false,"maritalStatus":{"text":"m","z":2}}`
	tests := []struct {
		name   string
		change func(p *Patient)
		want   string
	}{
		{"scalar in a list item", func(p *Patient) { p.Name[0].Family = "Ley" },
			`{"resourceType":"Patient","x":1.0,"name":[{"family":"Ley","_family":{"extension":[{"url":"u","valueDecimal":1.50}]},"given":["A","B"],"_given":[null,{"id":"b"}]},{"text":"old","y":[]}],` +
				`"_birthDate":{"extension":[{"url":"` + absentReason + `","valueCode":"unknown"},{"url":"k","valueString":"v"}]},"deceasedBoolean":false,"maritalStatus":{"text":"m","z":2}}`},
		{"first value ends the absence", func(p *Patient) { p.BirthDate = "2000" },
			`{"resourceType":"Patient","x":1.0,"name":[{"family":"Lee","_family":{"extension":[{"url":"u","valueDecimal":1.50}]},"given":["A","B"],"_given":[null,{"id":"b"}]},{"text":"old","y":[]}],` +
				`"_birthDate":{"extension":[{"url":"k","valueString":"v"}]},"deceasedBoolean":false,"maritalStatus":{"text":"m","z":2},"birthDate":"2000"}`},
		{"siblings move with their values", func(p *Patient) { p.Name[0].Given = []string{"B", "C"} },
			`{"resourceType":"Patient","x":1.0,"name":[{"family":"Lee","_family":{"extension":[{"url":"u","valueDecimal":1.50}]},"given":["B","C"],"_given":[{"id":"b"},null]},{"text":"old","y":[]}],` +
				`"_birthDate":{"extension":[{"url":"` + absentReason + `","valueCode":"unknown"},{"url":"k","valueString":"v"}]},"deceasedBoolean":false,"maritalStatus":{"text":"m","z":2}}`},
		{"items change places", func(p *Patient) { p.Name[0], p.Name[1] = p.Name[1], p.Name[0] },
			`{"resourceType":"Patient","x":1.0,"name":[{"text":"old","y":[]},{"family":"Lee","_family":{"extension":[{"url":"u","valueDecimal":1.50}]},"given":["A","B"],"_given":[null,{"id":"b"}]}],` +
				`"_birthDate":{"extension":[{"url":"` + absentReason + `","valueCode":"unknown"},{"url":"k","valueString":"v"}]},"deceasedBoolean":false,"maritalStatus":{"text":"m","z":2}}`},
		{"removal takes siblings along; unknown members keep their object", func(p *Patient) {
			p.Name[0].Family, p.Name[0].Given = "", nil
			p.Name = p.Name[:1]
			p.DeceasedBoolean, p.MaritalStatus.Text = nil, ""
			p.Name[0].Text = "x"
		}, `{"resourceType":"Patient","x":1.0,"name":[{"text":"x"}],` +
			`"_birthDate":{"extension":[{"url":"` + absentReason + `","valueCode":"unknown"},{"url":"k","valueString":"v"}]},"maritalStatus":{"z":2}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after Patient
			if err := errors.Join(Decode([]byte(raw), &before), Decode([]byte(raw), &after)); err != nil {
				t.Fatal(err)
			}
			tt.change(&after)
			got, err := Merge([]byte(raw), &before, &after)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestMergeThreeWays(t *testing.T) {
	const old = `{"resourceType":"Patient","gender":"male","maritalStatus":{"text":"a"},"birthDate":"2000"}`
	const now = `{"resourceType":"Patient","gender":"female","maritalStatus":{"text":"a","coding":[{"code":"M"}]},"birthDate":"2001"}`
	var before, after Patient
	if err := errors.Join(Decode([]byte(old), &before), Decode([]byte(old), &after)); err != nil {
		t.Fatal(err)
	}
	after.MaritalStatus.Text = "b"
	after.BirthDate = "2001" // the same change as the other's
	got, err := Merge([]byte(now), &before, &after)
	if want := `{"resourceType":"Patient","gender":"female","maritalStatus":{"text":"b","coding":[{"code":"M"}]},"birthDate":"2001"}`; err != nil || string(got) != want {
		t.Errorf("got %s %v", got, err)
	}
	after.Gender = "other"
	_, err = Merge([]byte(now), &before, &after)
	var issue *Issue
	if !errors.As(err, &issue) || issue.Code != "conflict" || issue.Path != "Patient.gender" {
		t.Errorf("both changed gender: %v", err)
	}
}

func ExampleMerge() {
	raw := []byte(`{"resourceType":"Observation","status":"final","code":{"text":"Weight"},"valueQuantity":{"value":70.50,"unit":"kg"},"note":[{"text":"seen","x":1}]}`)
	var before, after Observation
	if err := errors.Join(Decode(raw, &before), Decode(raw, &after)); err != nil {
		panic(err)
	}
	after.Status = "amended"
	out, err := Merge(raw, &before, &after)
	fmt.Println(string(out), err)
	// Output: {"resourceType":"Observation","status":"amended","code":{"text":"Weight"},"valueQuantity":{"value":70.50,"unit":"kg"},"note":[{"text":"seen","x":1}]} <nil>
}
