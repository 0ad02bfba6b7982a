package ucum

import (
	"fmt"
	"math/big"

	"github.com/cockroachdb/apd/v3"
)

// decimals is the arithmetic of amounts.
var decimals = apd.Context{
	Precision: 40, MaxExponent: 6000, MinExponent: -6000, Rounding: apd.RoundHalfUp,
	Traps: apd.InvalidOperation | apd.DivisionByZero | apd.Overflow | apd.DivisionUndefined,
}

const (
	kept       = 34 // digits of an exact result that does not end
	shown      = 24 // digits of a converted whole number
	mostDigits = 200
)

// amount reads a decimal as FHIR writes it.
func amount(s string) (*apd.Decimal, error) {
	if len(s) == 0 || len(s) > mostDigits {
		return nil, fmt.Errorf("%q is not an amount", s[:min(len(s), 40)])
	}
	d, _, err := apd.NewFromString(s)
	if err != nil || d.Form != apd.Finite || d.Exponent > 1000 || d.Exponent < -1000 {
		return nil, fmt.Errorf("%q is not an amount", s[:min(len(s), 40)])
	}
	return d, nil
}

// precise is the number of digits an amount was given with: 6.30 has three. A whole number is a count and counts as
// exact (0).
func precise(d *apd.Decimal) int {
	if d.Exponent >= 0 {
		return 0
	}
	if d.IsZero() {
		return 1
	}
	return int(d.NumDigits())
}

// exactly turns a decimal into a fraction.
func exactly(d *apd.Decimal) *big.Rat {
	n := d.Coeff.MathBigInt()
	if d.Negative {
		n = new(big.Int).Neg(n)
	}
	r := new(big.Rat).SetInt(n)
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.Exponent, -d.Exponent))), nil)
	if d.Exponent >= 0 {
		return r.Mul(r, new(big.Rat).SetInt(ten))
	}
	return r.Quo(r, new(big.Rat).SetInt(ten))
}

// decimal turns a fraction into a decimal of at most digits digits.
func decimal(r *big.Rat, digits int) *apd.Decimal {
	c := decimals
	c.Precision = uint32(digits)
	n := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(r.Num()), 0)
	d := apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(r.Denom()), 0)
	q := new(apd.Decimal)
	if _, err := c.Quo(q, n, d); err != nil {
		return nil
	}
	return q
}

// toBase brings an amount of u to base units.
func (u Unit) toBase(v *apd.Decimal) (*big.Rat, error) {
	if u.mixed {
		return nil, fmt.Errorf("%s combines a scale with other units and cannot be converted", u.Code())
	}
	r := product(exactly(v), u.ratio())
	if u.scale == nil {
		return r, nil
	}
	x, err := u.scale.linear(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", v.Text('G'), u.Code(), err)
	}
	return product(x, u.inside), nil
}

// fromBase is the other way.
func (u Unit) fromBase(r *big.Rat) (*big.Rat, error) {
	if u.mixed {
		return nil, fmt.Errorf("%s combines a scale with other units and cannot be converted", u.Code())
	}
	if u.scale != nil {
		x, err := u.scale.special(new(big.Rat).Quo(r, u.inside))
		if err != nil {
			return nil, fmt.Errorf("cannot be given in %s: %w", u.Code(), err)
		}
		r = x
	}
	return new(big.Rat).Quo(r, u.ratio()), nil
}

// Convert gives an amount in another unit. An amount with decimals keeps its number of significant digits ("6.30" [in_i] is
// "0.160" m); a whole number counts as exact and gives up to 24 digits. Refused are texts that are no units (*Error), units
// of different kinds, and amounts off their scale.
func Convert(value, from, to string) (string, error) {
	d, err := amount(value)
	if err != nil {
		return "", err
	}
	r, err := convert(d, from, to)
	if err != nil {
		return "", err
	}
	return write(r, precise(d)), nil
}

// ConvertExact is Convert without rounding to the digits given: up to 34 digits.
func ConvertExact(value, from, to string) (string, error) {
	d, err := amount(value)
	if err != nil {
		return "", err
	}
	r, err := convert(d, from, to)
	if err != nil {
		return "", err
	}
	return plain(decimal(r, kept)), nil
}

func convert(d *apd.Decimal, from, to string) (*big.Rat, error) {
	u, err := Parse(from)
	if err != nil {
		return nil, err
	}
	v, err := Parse(to)
	if err != nil {
		return nil, err
	}
	if !u.ComparableTo(v) {
		return nil, fmt.Errorf("%s cannot be converted to %s: one measures %s, the other %s", from, to, u.Dimension(), v.Dimension())
	}
	r, err := u.toBase(d)
	if err != nil {
		return nil, err
	}
	return v.fromBase(r)
}

// Canonical brings an amount to base units, so that amounts of one kind can be compared: the value with up to 34 digits and
// without trailing zeros, and Unit.Dimension. The value is not rounded to the digits given: a range around it is the
// caller's business and is converted the same way.
func Canonical(value, unit string) (canonical, dimension string, err error) {
	d, err := amount(value)
	if err != nil {
		return "", "", err
	}
	u, err := Parse(unit)
	if err != nil {
		return "", "", err
	}
	r, err := u.toBase(d)
	if err != nil {
		return "", "", err
	}
	return plain(decimal(r, kept)), u.Dimension(), nil
}

// Multiply gives the product of two amounts in base units.
func Multiply(value1, unit1, value2, unit2 string) (value, unit string, err error) {
	return combine(value1, unit1, value2, unit2, 1)
}

// Divide gives the quotient of two amounts in base units; units of the same kind cancel to "1".
func Divide(value1, unit1, value2, unit2 string) (value, unit string, err error) {
	return combine(value1, unit1, value2, unit2, -1)
}

func combine(value1, unit1, value2, unit2 string, sign int) (string, string, error) {
	a, err := amount(value1)
	if err != nil {
		return "", "", err
	}
	b, err := amount(value2)
	if err != nil {
		return "", "", err
	}
	u, err := Parse(unit1)
	if err != nil {
		return "", "", err
	}
	v, err := Parse(unit2)
	if err != nil {
		return "", "", err
	}
	if u.Special() || v.Special() {
		return "", "", fmt.Errorf("amounts on a scale (%s, %s) cannot be multiplied or divided", unit1, unit2)
	}
	if sign < 0 && b.IsZero() {
		return "", "", fmt.Errorf("division by zero")
	}
	x, y := product(exactly(a), u.ratio()), product(exactly(b), v.ratio())
	if sign < 0 {
		y.Inv(y)
		v.factor = v.ratio()
		v = v.raise(-1)
	}
	u.factor, v.factor = u.ratio(), v.ratio()
	digits := precise(a)
	if p := precise(b); digits == 0 || p > 0 && p < digits {
		digits = p
	}
	return write(product(x, y), digits), u.times(v).Dimension(), nil
}

// write gives a fraction with a number of significant digits; 0 means as exact as is useful.
func write(r *big.Rat, digits int) string {
	if digits == 0 {
		return plain(decimal(r, shown))
	}
	d := decimal(r, kept)
	c := decimals
	c.Precision = uint32(digits)
	q := new(apd.Decimal)
	if _, err := c.Round(q, d); err != nil {
		return plain(d)
	}
	if n := int(q.NumDigits()); n < digits && !q.IsZero() { // 0.16 with three digits is 0.160
		wide := new(apd.Decimal)
		if _, err := decimals.Quantize(wide, q, q.Exponent-int32(digits-n)); err == nil {
			q = wide
		}
	}
	return text(q)
}

// plain drops trailing zeros.
func plain(d *apd.Decimal) string {
	if d.IsZero() {
		return "0"
	}
	r := new(apd.Decimal)
	r.Reduce(d)
	return text(r)
}

// text writes numbers of usual size without an exponent.
func text(d *apd.Decimal) string {
	if e := int(d.Exponent) + int(d.NumDigits()); d.Exponent > 0 && e <= 25 || d.Exponent <= 0 && e > -8 {
		return d.Text('f')
	}
	return d.Text('E')
}
