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
