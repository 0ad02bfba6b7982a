package ucum

import (
	"math/big"
	"strings"
	"testing"
)

// TestGrammar: what the grammar of UCUM allows (The Unified Code for Units of Measure, §§ 2-12), in our own examples.
func TestGrammar(t *testing.T) {
	good := `m s g kg mg ug 1 100 10* 10^ 10*-6 10*3/uL 10^3/uL m2 m+2 m-2 s-1 K-1 m/s m/s2 m.s-2 kg.m/s2 kg.m2.s-3 /m /m/s /{HPF} /[HPF] {RBC} {a.b/c} mg{creat} mg{creat}/dL m/(s.kg) (m/s) ((m)) m/((s)) 2.m 1.5
		cm[H2O] mm[Hg] m[H2O] [in_i] [ft_i] [lb_av] [degF] Cel mCel dB dB[SPL] B[10.nV] har ar Ohm kOhm % %{vol} [ppm] [ppth] [iU] [IU] k[iU] kU/L mol/L mmol/L a mo wk d h min a_j mo_s cal kcal [Cal] cal_[15] [pH] kat nkat
		m[IU]/mL ug/kg/min mL/min/{1.73_m2} g/(24.h) eq meq/L osm mosm/kg [drp] [arb'U] [CFU] Lmb g% mg% Kig bar deg ' '' gon sr [car_Au] [hp'_X] bit By kBy KiBy MiBy [pi] [c] [h] eV u l L dl dL Gy Sv rad{dose} [diop] [p'diop] st t kt Mg`
	for _, code := range strings.Fields(good) {
		if _, err := Parse(code); err != nil {
			t.Errorf("%s is a unit: %v", code, err)
		}
	}
	bad := []string{"", " ", "m s", "m ", " m", "/", "m/", "m.", ".m", "m//s", "m..s", "m^2", "m*2", "m**2", "(m/s)2", "(m", "m)", "()", "{", "m{", "m}", "{a b}", "m{a}{b}", "2m", "m2s", "kkg", "mmin", "k[in_i]", "mcg", "µg", "Ω", "ml/min/1.73m2",
		"mmHg", "KG", "MOL", "cel", "[degf]", "hr", "sec", "yr", "lbs", "10*^3", "10**3", "m+-2", "m2.", "m-", "kiB", "10*-", "--m", "m²", "°C", "mg/dL (calc)"}
	for _, code := range bad {
		if u, err := Parse(code); err == nil {
			t.Errorf("%q is no unit: %s", code, u.Name())
		} else if err.Error() == "" {
			t.Errorf("%q: nothing is said", code)
		}
	}
}

// TestConversions: exact by definition, special scales, and what cannot be converted.
func TestConversions(t *testing.T) {
	for _, c := range []struct{ value, from, to, want string }{
		{"1", "[in_i]", "cm", "2.54"}, {"1", "[ft_i]", "[in_i]", "12"}, {"1", "[mi_i]", "m", "1609.344"}, {"1", "[lb_av]", "g", "453.59237"}, {"16", "[oz_av]", "[lb_av]", "1"},
		{"1", "a", "d", "365.25"}, {"1", "mo", "d", "30.4375"}, {"1", "wk", "d", "7"}, {"1", "d", "s", "86400"}, {"1", "a_j", "a", "1"},
		{"37", "Cel", "[degF]", "98.6"}, {"98.6", "[degF]", "Cel", "37"}, {"0", "Cel", "K", "273.15"}, {"-40", "[degF]", "Cel", "-40"}, {"310.15", "K", "Cel", "37"},
		{"1", "kat", "U", "60000000"}, {"1", "U", "umol/min", "1"}, {"5", "%", "1", "0.05"}, {"1", "[ppm]", "%", "0.0001"}, {"1", "L", "m3", "0.001"}, {"1", "mL", "cm3", "1"}, {"1", "dL", "mL", "100"},
		{"1", "g/dL", "mg/mL", "10"}, {"1", "mmol/L", "umol/mL", "1"}, {"10", "10*3/uL", "10*9/L", "10"}, {"1", "10*6/uL", "10*12/L", "1"}, {"1", "m/s", "km/h", "3.6"}, {"1", "kg.m/s2", "N", "1"}, {"1", "J", "N.m", "1"}, {"1", "W.h", "kJ", "3.6"},
		{"1", "bar", "kPa", "100"}, {"1", "atm", "Pa", "101325"}, {"1", "[Cal]", "kcal", "1"}, {"1", "t", "kg", "1000"}, {"1", "har", "m2", "10000"}, {"2", "m/s2", "cm/s2", "200"}, {"1", "{cells}/uL", "/uL", "1"}, {"3", "mg{creat}", "mg", "3"},
		{"1", "By", "bit", "8"}, {"1", "KiBy", "By", "1024"}, {"180", "deg", "[pi].rad", "1"}, {"1", "l", "L", "1"}, {"7", "[pH]", "[pH]", "7"}, {"1", "k[iU]/L", "m[iU]/mL", "1000"},
	} {
		got, err := Convert(c.value, c.from, c.to)
		if err != nil {
			t.Errorf("%s %s in %s: %v", c.value, c.from, c.to, err)
			continue
		}
		a, ok1 := new(big.Rat).SetString(got)
		b, ok2 := new(big.Rat).SetString(c.want)
		if !ok1 || !ok2 {
			t.Errorf("%s %s in %s: %s", c.value, c.from, c.to, got)
			continue
		}
		diff := new(big.Rat).Sub(a, b)
		if diff.Abs(diff).Cmp(new(big.Rat).SetFrac64(1, 1_000_000_000)) > 0 {
			t.Errorf("%s %s is %s %s, not %s", c.value, c.from, got, c.to, c.want)
		}
	}
	for _, c := range [][2]string{{"m", "s"}, {"mg", "mL"}, {"[iU]", "mg"}, {"[arb'U]", "[iU]"}, {"Cel", "m"}, {"mmol/L", "mg/dL"}, {"nonsense", "m"}, {"m", "nonsense"}} {
		if got, err := Convert("1", c[0], c[1]); err == nil {
			t.Errorf("1 %s is taken for %s %s", c[0], got, c[1])
		}
	}
	for _, v := range []string{"", "x", "1e9999999", "NaN", "1,5"} {
		if got, err := Convert(v, "m", "cm"); err == nil {
			t.Errorf("%q m is taken for %s cm", v, got)
		}
	}
}
