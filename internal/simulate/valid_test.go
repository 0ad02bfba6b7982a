package simulate

import (
	"strings"
	"testing"

	"yarrow.health/internal/standards/profile"
	"yarrow.health/internal/standards/terminology"
)

// TestResourcesMeetTheirProfiles: what the simulated practice records is valid R4 and meets the profiles it declares.
func TestResourcesMeetTheirProfiles(t *testing.T) {
	sh := terminology.BuiltIn()
	sets := map[string]*terminology.Set{}
	v := &profile.Validator{Codes: func(valueSet, system, code string) (ok, known bool) {
		if valueSet == "" {
			verdict, err := sh.ValidateIn(terminology.Coding{System: system, Code: code}, terminology.Judging{Abstract: true})
			return verdict.OK, verdict.Known && err == nil
		}
		set, have := sets[valueSet]
		if !have {
			url, _, _ := strings.Cut(valueSet, "|")
			if def, err := sh.ValueSet(url, ""); err == nil && def != nil {
				set, _ = sh.Evaluate(def)
			}
			sets[valueSet] = set
		}
		if set == nil {
			return false, false
		}
		return set.Has(system, "", code)
	}}
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
