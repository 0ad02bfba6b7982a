package fhirpath

import (
	"github.com/cockroachdb/apd/v3"
)

// decimals is the arithmetic of the language: wider than the 28 digits N1 asks for, and bounded so that
// a hostile exponent cannot ask for gigabytes.
var decimals = apd.Context{
	Precision:   40,
	MaxExponent: 400,
	MinExponent: -400,
	Rounding:    apd.RoundHalfUp,
	Traps:       apd.InvalidOperation | apd.DivisionByZero | apd.Overflow | apd.DivisionUndefined,
}

// maxDigits bounds the numbers taken from texts and resources.
const maxDigits = 200

// parseDecimal reads a number, keeping trailing zeros.
func parseDecimal(s string) (*apd.Decimal, bool) {
	if len(s) == 0 || len(s) > maxDigits {
		return nil, false
	}
	d, _, err := apd.NewFromString(s)
	if err != nil || d.Form != apd.Finite || d.Exponent > 400 || d.Exponent < -400 {
		return nil, false
	}
	return d, true
}

// numberText writes a decimal without exponent.
func numberText(d *apd.Decimal) string { return d.Text('f') }

// places is the number of digits after the point as written.
func places(d *apd.Decimal) int {
	if d.Exponent >= 0 {
		return 0
	}
	return int(-d.Exponent)
}

// quantize rounds d to n digits after the point.
func quantize(d *apd.Decimal, n int, how apd.Rounder) (*apd.Decimal, bool) {
	c := decimals
	c.Precision = 1000
	c.Rounding = how
	r := new(apd.Decimal)
	if _, err := c.Quantize(r, d, int32(-n)); err != nil {
		return nil, false
	}
	return r, true
}

// whole rounds towards zero to an integer.
func whole(d *apd.Decimal) *apd.Decimal {
	r, _ := quantize(d, 0, apd.RoundDown)
	return r
}

// isWhole reports whether d has no fraction.
func isWhole(d *apd.Decimal) bool {
	w := whole(d)
	return w != nil && w.Cmp(d) == 0
}

// smallInt returns d as an int when it is whole and small enough to be an index or a count.
func smallInt(d *apd.Decimal) (int, bool) {
	if !isWhole(d) {
		return 0, false
	}
	n, err := d.Int64()
	if err != nil || n > 1<<31-1 || n < -1<<31 {
		return 0, false
	}
	return int(n), true
}
