package fhir

import (
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhirjson"
)

// TestValidateAcceptsWhatDefinitionsAllow draws resources of every type.
func TestValidateAcceptsWhatDefinitionsAllow(t *testing.T) {
	names := ResourceTypes()
	rapid.Check(t, func(t *rapid.T) {
		n := arbitraryResource(t, rapid.SampledFrom(names).Draw(t, "type"), false)
		raw := n.AppendJSON(nil)
		if _, issues := Parse(raw); issues.HasErrors() {
			t.Fatalf("%s\n%v", raw, issues)
		}
	})
}

// TestValidateNeverAcceptsStrangers renames one member of a valid resource.
func TestValidateNeverAcceptsStrangers(t *testing.T) {
	names := ResourceTypes()
	rapid.Check(t, func(t *rapid.T) {
		n := arbitraryResource(t, rapid.SampledFrom(names).Draw(t, "type"), false)
		n.Set("zzz", fhirjson.NewString("x"))
		if !Validate(&n).HasErrors() {
			t.Fatalf("accepted %s", n.String())
		}
	})
}

// TestValidateNoticesDamage gives one value of a valid resource, anywhere in
// it, another JSON kind.
func TestValidateNoticesDamage(t *testing.T) {
	names := ResourceTypes()
	rapid.Check(t, func(t *rapid.T) {
		n := arbitraryResource(t, rapid.SampledFrom(names).Draw(t, "type"), false)
		var all []*fhirjson.Node
		collect(&n, &all)
		victim := rapid.SampledFrom(all).Draw(t, "victim")
		switch victim.Kind() {
		case fhirjson.String, fhirjson.Bool:
			*victim = fhirjson.NewNumber("1")
		case fhirjson.Array:
			*victim = fhirjson.NewObject(fhirjson.Member{Name: "zz", Value: fhirjson.NewNumber("1")})
		default:
			*victim = fhirjson.NewString("x")
		}
		if !Validate(&n).HasErrors() {
			t.Fatalf("accepted %s", n.String())
		}
	})
}

// collect lists every value of a tree but nulls.
func collect(n *fhirjson.Node, all *[]*fhirjson.Node) {
	if n.Kind() != fhirjson.Null {
		*all = append(*all, n)
	}
	for i := range n.Items() {
		collect(&n.Items()[i], all)
	}
	for i := range n.Members() {
		collect(&n.Members()[i].Value, all)
	}
}

// TestValidateMissesNothingRequired: an empty resource lacks exactly what its
// type requires.
func TestValidateMissesNothingRequired(t *testing.T) {
	for _, name := range ResourceTypes() {
		s := shapes()[name]
		n := fhirjson.NewObject(fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString(name)})
		missing := 0
		for _, i := range Validate(&n) {
			if i.Code == "required" {
				missing++
			}
		}
		if missing != len(s.required) {
			t.Errorf("an empty %s lacks %d elements, %d are required", name, missing, len(s.required))
		}
	}
}
