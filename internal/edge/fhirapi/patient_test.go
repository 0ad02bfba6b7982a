package fhirapi

import (
	"strings"
	"testing"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// TestWhoseRecord holds the elements that are looked at against the rule of the store: each of its parameters has one, for types that
// R4 leaves out of the compartment too.
func TestWhoseRecord(t *testing.T) {
	for _, typ := range fhir.ResourceTypes() {
		if names, params := patientElements(typ), fhirstore.PatientParams(typ); (len(names) == 0) != (len(params) == 0) {
			t.Errorf("%s: elements %v for parameters %v", typ, names, params)
		}
	}
	for raw, want := range map[string]string{
		`{"resourceType":"Task","for":{"reference":"Patient/a"},"owner":{"reference":"Patient/b"}}`:                  "Patient/a",
		`{"resourceType":"Device","patient":{"reference":"Patient/a"}}`:                                              "Patient/a",
		`{"resourceType":"Observation","performer":[{"reference":"Patient/b"}],"subject":{"reference":"Patient/a"}}`: "Patient/a",
		`{"resourceType":"Coverage","beneficiary":{"reference":"Patient/a"}}`:                                        "Patient/a",
		`{"resourceType":"Location","name":"Patient/a"}`:                                                             "",
		`{"resourceType":"Patient","id":"x","link":[{"other":{"reference":"Patient/a"}}]}`:                           "Patient/x",
	} {
		typ, _, _ := strings.Cut(strings.TrimPrefix(raw, `{"resourceType":"`), `"`)
		if got := patientOf(&fhirstore.Resource{Type: typ, ID: "x", Raw: []byte(raw)}); got != want {
			t.Errorf("%s: %q, not %q", raw, got, want)
		}
	}
}
