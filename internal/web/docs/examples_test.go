package docs

import (
	"os"
	"strings"
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

// TestTheProgrammersPage holds the quick start of docs/api.md against the one on screen.
func TestTheProgrammersPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := (&Pages{}).script("demo", true); !strings.Contains(string(page), "```sh\n"+want+"```") {
		t.Errorf("docs/api.md lacks:\n%s", want)
	}
}
