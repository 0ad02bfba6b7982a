package simulate

import (
	"testing"

	"yarrow.health/internal/standards/profile"
)

// TestResourcesMeetTheirProfiles: what the simulated practice records is valid R4 and meets the profiles it declares.
func TestResourcesMeetTheirProfiles(t *testing.T) {
	v := &profile.Validator{}
	w := Plan(7, morning, 40)
	all := append(w.furniture(), w.appointments(func(*day) bool { return true })...)
	for _, p := range w.patients {
		all = append(append(all, p.demographics()...), p.chart()...)
	}
	seen := map[string]bool{}
	for i := range all {
		for _, issue := range v.Validate(&all[i], profile.Options{}) {
			if key := issue.Code + issue.Text; !seen[key] {
				seen[key] = true
				t.Errorf("%v", &issue)
			}
		}
	}
	t.Logf("%d resources", len(all))
}
