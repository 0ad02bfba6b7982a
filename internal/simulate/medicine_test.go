package simulate

import (
	"testing"

	"yarrow.health/internal/standards/terminology"
)

// TestMedicinesHaveCodes: what is prescribed can be found in the picker.
func TestMedicinesHaveCodes(t *testing.T) {
	seen := map[string]bool{}
	for i := range medicines {
		m := &medicines[i]
		if seen[m.key] {
			t.Errorf("%s stands twice", m.key)
		}
		seen[m.key] = true
		if c, _ := m.code(); c == "" {
			t.Errorf("%s (%s, %s) is not in the starter set", m.key, m.drug, m.form)
		}
	}
	for _, d := range diseases {
		if _, ok := terminology.Lookup(terminology.ICD10CM, d.icd); !ok {
			t.Errorf("%s: no diagnosis %s", d.key, d.icd)
		}
		for _, s := range d.steps {
			medicineOf(s.med)
		}
	}
}
