package fhirsearch

import (
	"math"
	"strconv"
	"strings"
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
