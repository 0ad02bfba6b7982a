package docs

import (
	"testing"

	"yarrow.health/internal/standards/fhir"
)

func TestExamplesAreSound(t *testing.T) {
	all := examples()
	for _, typ := range []string{"Patient", "Practitioner", "Appointment", "Encounter", "Condition", "Observation", "MedicationRequest", "AllergyIntolerance", "Immunization"} {
		if all[typ] == "" {
			t.Errorf("no example of %s", typ)
		}
	}
	for typ, text := range all {
		n, issues := fhir.Parse([]byte(text))
		if issues.HasErrors() || n.Get("resourceType").Text() != typ {
			t.Errorf("%s: %v", typ, issues)
		}
	}
}
