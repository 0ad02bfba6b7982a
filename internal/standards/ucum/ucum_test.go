package ucum

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEveryUnitResolves(t *testing.T) {
	for _, code := range load().codes {
		u, err := load().atoms[code].resolve()
		if err != nil {
			t.Errorf("%s: %v", code, err)
		} else if u.factor == nil || u.factor.Sign() <= 0 {
			t.Errorf("%s has no factor", code)
		}
		if _, err := Parse(code); err != nil {
			t.Errorf("%s does not read itself: %v", code, err)
		}
	}
	if n := len(load().codes); n < 300 || len(load().prefixes) != 24 {
		t.Errorf("the table has %d units and %d prefixes", n, len(load().prefixes))
	}
}

func TestConvert(t *testing.T) {
	for _, c := range []struct{ value, from, to, want string }{
		{"98.6", "[degF]", "Cel", "37.0"},
		{"37.0", "Cel", "[degF]", "98.6"},
		{"0", "Cel", "K", "273.15"},
		{"-40", "Cel", "[degF]", "-40"},
		{"80", "[degRe]", "Cel", "100"},
		{"70", "kg", "[lb_av]", "154.323583529414306506082"},
		{"70.0", "kg", "[lb_av]", "154"},
		{"150.25", "[lb_av]", "kg", "68.152"},
		{"5.4", "mmol/L", "umol/dL", "540"},
		{"120", "mm[Hg]", "kPa", "15.99864"},
		{"7.40", "[pH]", "nmol/L", "39.8"},
		{"100", "nmol/L", "[pH]", "7"},
		{"3", "dB", "B", "0.3"},
		{"20", "dB[V]", "V", "10"},
		{"94", "dB[SPL]", "dB[SPL]", "94"},
		{"8", "bit_s", "1", "256"},
		{"100", "[p'diop]", "deg", "45"},
		{"45", "deg", "%[slope]", "100"},
		{"3", "[m/s2/Hz^(1/2)]", "m2/s4/Hz", "9"},
		{"1000", "m[IU]/L", "[iU]/L", "1"},
		{"2", "10*3/uL", "10*9/L", "2"},
		{"2", "{cells}/uL", "/mm3", "2"},
		{"2", "Ki.By", "By", ""},
		{"2", "KiBy", "By", "2048"},
		{"1", "a", "d", "365.25"},
		{"1.0", "d", "h", "24"},
		{"50", "%", "1", "0.5"},
		{"0.0", "mg", "g", "0"},
	} {
		got, err := Convert(c.value, c.from, c.to)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s %s in %s = %s, must be refused", c.value, c.from, c.to, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s in %s: %v", c.value, c.from, c.to, err)
		} else if !same(got, c.want, c.from+c.to) {
			t.Errorf("%s %s in %s = %s, want %s", c.value, c.from, c.to, got, c.want)
		}
	}
}

// same compares texts, or, where a tangent was taken, numbers.
func same(got, want, units string) bool {
	if strings.Contains(units, "slope") || strings.Contains(units, "diop") {
		g, _ := new(big.Float).SetString(got)
		w, _ := new(big.Float).SetString(want)
		if g == nil || w == nil {
			return false
		}
		d, _ := new(big.Float).Sub(g, w).Float64()
		return d < 1e-9 && d > -1e-9
	}
	return got == want
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"mg", "mL"}, {"[iU]", "[arb'U]"}, {"[iU]", "mg"}, {"[iU]/L", "[arb'U]/L"}, {"Cel/min", "K/min"}, {"mo", "m"},
	} {
		if got, err := Convert("1", c.from, c.to); err == nil {
			t.Errorf("1 %s in %s = %s, must be refused", c.from, c.to, got)
		}
	}
	for _, v := range []string{"", "x", "NaN", "Infinity", "1e99999", strings.Repeat("9", 300)} {
		if _, err := Convert(v, "mg", "g"); err == nil {
			t.Errorf("the amount %.20q must be refused", v)
		}
	}
	for _, c := range []struct{ v, from, to string }{{"0", "mol/L", "[pH]"}, {"-1", "1", "B"}, {"1000000", "B", "1"}} {
		if got, err := Convert(c.v, c.from, c.to); err == nil {
			t.Errorf("%s %s in %s = %s, must be refused", c.v, c.from, c.to, got)
		}
	}
}

func TestFaultsNameTheRemedy(t *testing.T) {
	for code, fix := range map[string]string{
		"mcg": "ug", "12h": "12.h", "mg/12h": "mg/12.h", "iU": "[IU]", "mmHg": "mm[Hg]", "mg/DL": "mg/dL", "IU/L": "[IU]/L", "lbs": "[lb_av]", "bpm": "/min",
		"tablet": "{tbl}", "": "1", "wombats": "{wombats}",
	} {
		_, err := Parse(code)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q is taken for a unit", code)
			continue
		}
		if !strings.Contains(e.Fix, fix) {
			t.Errorf("%q: %s; want the remedy %s", code, e, fix)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ value, unit, want, dimension string }{
		{"5.40", "mg/dL", "54", "g.m-3"}, {"1", "kg", "1000", "g"}, {"37", "Cel", "310.15", "K"}, {"98.6", "[degF]", "310.15", "K"},
		{"3", "[iU]/mL", "3000000", "m-3.[iU]"}, {"4", "{score}", "4", "1"}, {"2", "h", "7200", "s"}, {"1", "J", "1000", "g.m2.s-2"},
		{"0.000", "m", "0", "m"},
	} {
		v, d, err := Canonical(c.value, c.unit)
		if err != nil || v != c.want || d != c.dimension {
			t.Errorf("%s %s = %s %s (%v), want %s %s", c.value, c.unit, v, d, err, c.want, c.dimension)
		}
	}
}

func TestBounded(t *testing.T) {
	for _, code := range []string{
		strings.Repeat("(", 200) + "m" + strings.Repeat(")", 100), strings.Repeat("m.", 190) + "m", strings.Repeat("[pi]200.", 40) + "m", "[pi]9999", "m999999999999999999",
		strings.Repeat("x", 10000), strings.Repeat("9", 399), strings.Repeat("(", 31) + "10*200" + strings.Repeat(")", 31) + ".[c]200",
	} {
		Parse(code) // must end at once and without panic; most are refused
	}
	for _, code := range []string{"[pi]200.[pi]200.[pi]200", "m201", "m\x00", "m g", "m..g", "/", ".m", "m.", "m/", "(m", "m)", "m{", "m}", "{{}}", "m[", "0.m", "()", "m2m", "mg{a}{b}"} {
		if _, err := Parse(code); err == nil {
			t.Errorf("%q is taken for a unit", code)
		}
	}
}

func TestThereAndBack(t *testing.T) {
	groups := [][]string{
		{"kg", "g", "mg", "[lb_av]", "[oz_av]", "[stone_av]"}, {"m", "cm", "[in_i]", "[ft_i]", "[mi_i]"}, {"Cel", "[degF]", "K", "[degRe]"},
		{"mm[Hg]", "kPa", "cm[H2O]", "[psi]", "bar"}, {"mmol/L", "umol/dL", "mol/m3"}, {"s", "min", "h", "d", "wk", "a"},
	}
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.SampledFrom(groups).Draw(t, "kind")
		a, b := rapid.SampledFrom(g).Draw(t, "from"), rapid.SampledFrom(g).Draw(t, "to")
		v := rapid.StringMatching(`-?[1-9][0-9]{0,4}(\.[0-9]{1,4})?`).Draw(t, "value")
		there, err := ConvertExact(v, a, b)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ConvertExact(there, b, a)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := new(big.Rat).SetString(v)
		y, _ := new(big.Rat).SetString(back)
		d := new(big.Rat).Sub(x, y)
		if d.Abs(d).Cmp(big.NewRat(1, 1e15)) > 0 {
			t.Fatalf("%s %s → %s %s → %s", v, a, there, b, back)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"mg/dL", "10*3/uL", "m[H2O]", "dB[10.nV]", "{a}.rad2{b}", "4.[pi].10*-7.N/A2", "((m))/((s))", "[m/s2/Hz^(1/2)]", "Cel", "12h"} {
		f.Add(s, "1.50")
	}
	f.Fuzz(func(t *testing.T, code, value string) {
		u, err := Parse(code)
		if err != nil {
			if u.Code() != "1" {
				t.Fatal("a refused text gives a unit")
			}
			return
		}
		if u.factor == nil || u.factor.Sign() <= 0 {
			t.Fatalf("%q has the factor %v", code, u.factor)
		}
		v, dimension, err := Canonical(value, code)
		if err == nil && (v == "" || dimension != u.Dimension()) {
			t.Fatalf("%s %s: %q %q", value, code, v, dimension)
		}
		if got, err := Convert(value, code, code); err == nil && u.scale == nil {
			a, _ := amount(value)
			b, err := amount(got)
			if err != nil {
				t.Fatalf("%s %s = %s", value, code, got)
			}
			if precise(a) > 0 && precise(a) < kept && a.Cmp(b) != 0 {
				t.Fatalf("%s %s = %s", value, code, got)
			}
		}
	})
}
