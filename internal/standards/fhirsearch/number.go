package fhirsearch

import (
	"math"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// number reads a decimal and half a unit of its last digit: 100 → 0.5, 5.40 → 0.005, 1e2 → 50.
func number(s string) (value, half float64, ok bool) {
	if s == "" || len(s) > 64 || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, 0, false
	}
	value, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		return 0, 0, false
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa = s[:i]
		if exponent, err = strconv.Atoi(s[i+1:]); err != nil {
			return 0, 0, false
		}
	}
	if i := strings.IndexByte(mantissa, '.'); i >= 0 {
		exponent -= len(mantissa) - i - 1
	}
	return value, 0.5 * math.Pow10(exponent), true
}

// interval returns what the digits of a number mean, [low, high): half a unit of the last digit to either
// side. The ends are computed in decimal, so that 5.395 lies within 5.40 ± 0.005.
func interval(s string) (low, high float64, ok bool) {
	if len(s) > 64 { // reading a decimal takes the square of its length
		return 0, 0, false
	}
	d, _, err := apd.NewFromString(s)
	if err != nil || d.Form != apd.Finite || d.Exponent > 400 || d.Exponent < -400 {
		return 0, 0, false
	}
	exact := apd.BaseContext.WithPrecision(1000)
	half := apd.New(5, d.Exponent-1)
	a, b := new(apd.Decimal), new(apd.Decimal)
	if _, err := exact.Sub(a, d, half); err != nil {
		return 0, 0, false
	}
	if _, err := exact.Add(b, d, half); err != nil {
		return 0, 0, false
	}
	low, err = a.Float64()
	if err != nil {
		return 0, 0, false
	}
	high, err = b.Float64()
	return low, high, err == nil
}
