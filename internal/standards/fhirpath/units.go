package fhirpath

import (
	"strings"

	"github.com/cockroachdb/apd/v3"
	"yarrow.health/internal/standards/ucum"
)

// calendarUnit returns the singular of a calendar keyword (years → year), "" for other words.
func calendarUnit(s string) string {
	switch s {
	case "year", "month", "week", "day", "hour", "minute", "second", "millisecond":
		return s
	case "years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds":
		return s[:len(s)-1]
	}
	return ""
}

// unit is a factor to the base of its dimension. The units most common in records stand here, so that they keep a base
// people use (litres); package ucum knows all others. Texts that are no units are compared as text.
type unit struct {
	dimension string
	factor    string
}

var units = map[string]unit{
	"kg": {"g", "1000"}, "g": {"g", "1"}, "mg": {"g", "0.001"}, "ug": {"g", "0.000001"}, "ng": {"g", "0.000000001"},
	"[lb_av]": {"g", "453.59237"}, "[oz_av]": {"g", "28.349523125"},
	"km": {"m", "1000"}, "m": {"m", "1"}, "dm": {"m", "0.1"}, "cm": {"m", "0.01"}, "mm": {"m", "0.001"}, "um": {"m", "0.000001"},
	"nm": {"m", "0.000000001"}, "[in_i]": {"m", "0.0254"}, "[ft_i]": {"m", "0.3048"},
	"m2": {"m2", "1"}, "cm2": {"m2", "0.0001"},
	"L": {"L", "1"}, "l": {"L", "1"}, "dL": {"L", "0.1"}, "mL": {"L", "0.001"}, "ml": {"L", "0.001"}, "uL": {"L", "0.000001"},
	"mol": {"mol", "1"}, "mmol": {"mol", "0.001"}, "umol": {"mol", "0.000001"},
	"wk": {"s", "604800"}, "d": {"s", "86400"}, "h": {"s", "3600"}, "min": {"s", "60"}, "s": {"s", "1"}, "ms": {"s", "0.001"},
	"week": {"s", "604800"}, "day": {"s", "86400"}, "hour": {"s", "3600"}, "minute": {"s", "60"}, "second": {"s", "1"},
	"millisecond": {"s", "0.001"},
	"a":           {"a", "1"}, "mo": {"mo", "1"}, "year": {"year", "12"}, "month": {"year", "1"},
	"mg/dL": {"g/L", "0.01"}, "g/L": {"g/L", "1"}, "g/dL": {"g/L", "10"}, "mg/L": {"g/L", "0.001"}, "ug/mL": {"g/L", "0.001"}, "ng/mL": {"g/L", "0.000001"},
	"mmol/L": {"mol/L", "0.001"}, "umol/L": {"mol/L", "0.000001"}, "mol/L": {"mol/L", "1"},
	"1": {"1", "1"}, "%": {"1", "0.01"},
}

// unitKey is the name under which a unit is looked up: calendar words in the singular, codes as they are.
func unitKey(s string) string {
	if c := calendarUnit(s); c != "" {
		return c
	}
	if s == "" {
		return "1"
	}
	return s
}

// knownUnit reports whether the unit of a quantity means something.
func knownUnit(it Item) bool {
	k := unitKey(it.text)
	if _, ok := units[k]; ok {
		return true
	}
	_, err := ucum.Parse(k)
	return err == nil
}

// sameUnit brings two quantities to one unit. ok is false when they cannot be compared.
func sameUnit(a, b Item) (x, y *apd.Decimal, ok bool) {
	x, y, _, ok = sharedUnit(a, b)
	return x, y, ok
}

// sharedUnit is sameUnit and tells the unit.
func sharedUnit(a, b Item) (x, y *apd.Decimal, unit string, ok bool) {
	ka, kb := unitKey(a.text), unitKey(b.text)
	if ka == kb {
		return a.num, b.num, ka, true
	}
	ua, oka := units[ka]
	ub, okb := units[kb]
	if !oka || !okb || ua.dimension != ub.dimension {
		return canonicalUnit(a, b)
	}
	scale := func(d *apd.Decimal, factor string) *apd.Decimal {
		f, _ := parseDecimal(factor)
		r := new(apd.Decimal)
		if _, err := decimals.Mul(r, d, f); err != nil {
			return nil
		}
		return r
	}
	x, y = scale(a.num, ua.factor), scale(b.num, ub.factor)
	return x, y, ua.dimension, x != nil && y != nil
}

// inCode gives the UCUM code of the calendar words that have one. A calendar year is no UCUM year.
var inCode = map[string]string{"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}

// canonicalUnit brings two quantities to the base units of UCUM.
func canonicalUnit(a, b Item) (x, y *apd.Decimal, unit string, ok bool) {
	base := func(it Item) (*apd.Decimal, string, bool) {
		k := unitKey(it.text)
		if c := calendarUnit(k); c != "" {
			if k, ok = inCode[c]; !ok {
				return nil, "", false
			}
		}
		v, dimension, err := ucum.Canonical(it.num.Text('G'), k)
		if err != nil {
			return nil, "", false
		}
		d, ok := parseDecimal(v)
		return d, dimension, ok
	}
	x, du, ok := base(a)
	if !ok {
		return nil, nil, "", false
	}
	y, dv, ok := base(b)
	return x, y, du, ok && du == dv
}

// alikeUnit is sameUnit for equivalence, where a calendar year is a UCUM year.
func alikeUnit(a, b Item) (x, y *apd.Decimal, ok bool) {
	loose := func(it Item) Item {
		switch unitKey(it.text) {
		case "a":
			it.text = "year"
		case "mo":
			it.text = "month"
		}
		return it
	}
	return sameUnit(loose(a), loose(b))
}

// calendarMillis is what a calendar word stands for when it is converted (N1, section Time-valued Quantities): a year is
// 365 days and a month 30 days there, but a year is 12 months.
var calendarMillis = map[string]int64{"year": 365 * 86400_000, "month": 30 * 86400_000, "week": 7 * 86400_000, "day": 86400_000,
	"hour": 3600_000, "minute": 60_000, "second": 1000, "millisecond": 1}

// inUnit converts a quantity to a unit, a UCUM code or a calendar word.
func inUnit(it Item, unit string) (Item, bool) {
	if unit = strings.Trim(unit, "'"); unit == "" {
		return it, false
	}
	from, to := unitKey(it.text), unitKey(unit)
	if from == to {
		return quantityItem(it.num, unit), true
	}
	if a, ok := calendarMillis[from]; ok {
		if b, ok := calendarMillis[to]; ok {
			switch {
			case from == "year" && to == "month":
				a, b = 12, 1
			case from == "month" && to == "year":
				a, b = 1, 12
			}
			r := new(apd.Decimal)
			if _, err := decimals.Mul(r, it.num, apd.New(a, 0)); err != nil {
				return it, false
			}
			if _, err := decimals.Quo(r, r, apd.New(b, 0)); err != nil {
				return it, false
			}
			return quantityItem(reduced(r), unit), true
		}
	}
	if code, ok := inCode[calendarUnit(from)]; ok {
		from = code
	}
	if code, ok := inCode[calendarUnit(to)]; ok {
		to = code
	}
	v, err := ucum.Convert(it.num.Text('G'), from, to)
	if err != nil {
		return it, false
	}
	d, ok := parseDecimal(v)
	return quantityItem(d, unit), ok
}

// reduced drops trailing zeros without an exponent above 0.
func reduced(d *apd.Decimal) *apd.Decimal {
	d.Reduce(d)
	if d.Exponent > 0 {
		if q, ok := quantize(d, 0, apd.RoundHalfUp); ok {
			return q
		}
	}
	return d
}
