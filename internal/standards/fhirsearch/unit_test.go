package fhirsearch

import (
	"fmt"
	"testing"
)

func TestQuantitiesInAnyUnit(t *testing.T) {
	u := "|http://unitsofmeasure.org|"
	for _, c := range []struct {
		value, unit, more, asked string
		want                     bool
	}{
		{"1", "g", "", "1000" + u + "mg", true}, {"1000", "mg", "", "1" + u + "g", true}, {"1000", "mg", "", "1" + u + "kg", false},
		{"0.07", "kg", "", "70.0" + u + "g", true}, {"0.07", "kg", "", "le70" + u + "g", true}, {"0.07", "kg", "", "lt70" + u + "g", false}, {"0.07", "kg", "", "ge70" + u + "g", true},
		{"98.6", "[degF]", "", "37.0" + u + "Cel", true}, {"98.6", "[degF]", "", "gt37" + u + "Cel", false}, {"99", "[degF]", "", "gt37" + u + "Cel", true},
		{"72", "/min", "", "1.2" + u + "Hz", true}, {"5", "mmol/L", "", "5" + u + "mg/dL", false}, {"5", "mmol/L", "", "5.0e-3" + u + "mol/L", true},
		{"5", "[iU]/L", "", "5" + u + "[iU]/L", true}, {"5", "[iU]/L", "", "0.005" + u + "[iU]/mL", true}, {"5", "[iU]/L", "", "5" + u + "U/L", false},
		{"7.4", "[pH]", "", "gt7" + u + "[pH]", true}, {"7.4", "[pH]", "", "lt7" + u + "[pH]", false}, {"7.4", "[pH]", "", "7.4" + u + "[pH]", true},
		{"3", "no-unit", "", "3" + u + "no-unit", true}, {"3", "no-unit", "", "3" + u + "mg", false},
		{"1", "g", "", "1", true}, {"1", "g", "", "1000", false}, {"1", "g", "", "1||g", true}, {"1", "g", "", "1000||mg", false},
		{"1", "g", `,"comparator":"<"`, "lt500" + u + "mg", true}, {"1", "g", `,"comparator":">"`, "lt500" + u + "mg", false}, {"1", "g", `,"comparator":">"`, "gt1000000" + u + "mg", true},
		{"1", "g", "", "ap1080" + u + "mg", true}, {"1", "g", "", "ap1200" + u + "mg", false}, {"1", "g", "", "ne1000" + u + "mg", false},
	} {
		raw := fmt.Sprintf(`{"resourceType":"Observation","valueQuantity":{"value":%s,"system":"http://unitsofmeasure.org","code":%q%s},"code":{"coding":[{"code":"c"}]}}`, c.value, c.unit, c.more)
		if got := Match(mustParse(t, raw), one(t, "Observation", "value-quantity="+c.asked)); got != c.want {
			t.Errorf("%s %s%s asked for %s: %v", c.value, c.unit, c.more, c.asked, got)
		}
		if got := Match(mustParse(t, raw), one(t, "Observation", "code-value-quantity=c$"+c.asked)); got != c.want {
			t.Errorf("in a composite: %s %s%s asked for %s: %v", c.value, c.unit, c.more, c.asked, got)
		}
	}
}
