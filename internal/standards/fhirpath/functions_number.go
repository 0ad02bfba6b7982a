package fhirpath

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/apd/v3"
)

// runNumber applies a function of one number; a nil result is empty.
func runNumber(do func(d *apd.Decimal, integer bool) Collection) func(*evaluator, *call, Collection) (Collection, error) {
	return func(c *evaluator, _ *call, in Collection) (Collection, error) {
		it, ok, err := one(in)
		if err != nil || !ok {
			return nil, err
		}
		if !it.isNumber() {
			return nil, fmt.Errorf("needs a number, not %s", describe(it))
		}
		if err := c.spend(20); err != nil {
			return nil, err
		}
		return do(it.num, it.sys == sysInteger), nil
	}
}

func runAbs(_ *evaluator, _ *call, in Collection) (Collection, error) {
	it, ok, err := one(in)
	if err != nil || !ok {
		return nil, err
	}
	if !it.isAmount() {
		return nil, fmt.Errorf("needs a number, not %s", describe(it))
	}
	it.num = new(apd.Decimal).Abs(it.num)
	return single(it), nil
}

func rounded(d *apd.Decimal, how apd.Rounder) Collection {
	r, ok := quantize(d, 0, how)
	if !ok {
		return nil
	}
	return integerResult(r)
}

func numberCeiling(d *apd.Decimal, _ bool) Collection  { return rounded(d, apd.RoundCeiling) }
func numberFloor(d *apd.Decimal, _ bool) Collection    { return rounded(d, apd.RoundFloor) }
func numberTruncate(d *apd.Decimal, _ bool) Collection { return rounded(d, apd.RoundDown) }

// result wraps a computed decimal; a faulty computation (ln of 0, overflow) is empty.
func result(r *apd.Decimal, err error) Collection {
	if err != nil || r.Form != apd.Finite {
		return nil
	}
	return single(decimalItem(reduced(r)))
}

func numberExp(d *apd.Decimal, _ bool) Collection {
	if d.Cmp(apd.New(900, 0)) > 0 {
		return nil
	}
	r := new(apd.Decimal)
	_, err := decimals.Exp(r, d)
	return result(r, err)
}

func numberLn(d *apd.Decimal, _ bool) Collection {
	if d.Sign() <= 0 {
		return nil
	}
	r := new(apd.Decimal)
	_, err := decimals.Ln(r, d)
	return result(r, err)
}

func numberSqrt(d *apd.Decimal, _ bool) Collection {
	if d.Sign() < 0 {
		return nil
	}
	r := new(apd.Decimal)
	_, err := decimals.Sqrt(r, d)
	return result(r, err)
}

// numbers reads the input and the first argument as numbers.
func (c *evaluator) numbers(f *call, in Collection) (x, y Item, ok bool, err error) {
	if x, ok, err = one(in); err != nil || !ok {
		return x, y, false, err
	}
	arg, err := c.argument(f, 0)
	if err != nil {
		return x, y, false, err
	}
	if y, ok, err = one(arg); err != nil || !ok {
		return x, y, false, err
	}
	if !x.isNumber() || !y.isNumber() {
		return x, y, false, errors.New("needs numbers")
	}
	return x, y, true, c.spend(50)
}

func runLog(c *evaluator, f *call, in Collection) (Collection, error) {
	x, y, ok, err := c.numbers(f, in)
	if err != nil || !ok || x.num.Sign() <= 0 || y.num.Sign() <= 0 {
		return nil, err
	}
	a, b, r := new(apd.Decimal), new(apd.Decimal), new(apd.Decimal)
	if _, err := decimals.Ln(a, x.num); err != nil {
		return nil, nil
	}
	if _, err := decimals.Ln(b, y.num); err != nil || b.IsZero() {
		return nil, nil
	}
	if _, err = decimals.Quo(r, a, b); err == nil {
		// The quotient of two rounded logarithms is right to a few digits less than computed.
		narrow := decimals
		narrow.Precision -= 6
		_, err = narrow.Round(r, r)
	}
	return result(r, err), nil
}

func runPower(c *evaluator, f *call, in Collection) (Collection, error) {
	x, y, ok, err := c.numbers(f, in)
	if err != nil || !ok {
		return nil, err
	}
	if y.num.Cmp(apd.New(100_000, 0)) > 0 || y.num.Cmp(apd.New(-100_000, 0)) < 0 {
		return nil, nil
	}
	if x.num.Sign() < 0 && !isWhole(y.num) {
		return nil, nil
	}
	r := apd.New(1, 0)
	if !y.num.IsZero() { // anything to the power of 0 is 1
		if _, err := decimals.Pow(r, x.num, y.num); err != nil {
			return nil, nil
		}
	}
	if x.sys == sysInteger && y.sys == sysInteger && y.num.Sign() >= 0 {
		return integerResult(r), nil
	}
	return result(r, nil), nil
}

func runRound(c *evaluator, f *call, in Collection) (Collection, error) {
	it, ok, err := one(in)
	if err != nil || !ok {
		return nil, err
	}
	n := 0
	if len(f.args) == 1 {
		if n, ok, err = c.intArg(f.args[0]); err != nil || !ok {
			return nil, err
		}
		if n < 0 || n > 400 {
			return nil, errors.New("digits must be 0 or more")
		}
	}
	if !it.isNumber() {
		return nil, fmt.Errorf("needs a number, not %s", describe(it))
	}
	if places(it.num) <= n {
		return single(decimalItem(it.num)), nil
	}
	r, ok := quantize(it.num, n, apd.RoundHalfUp)
	if !ok {
		return nil, nil
	}
	return single(decimalItem(r)), nil
}

// maxPlaces is the finest precision boundaries are given in.
const maxPlaces = 8

// runBoundary gives the least or greatest value that a number, date or time of its precision may stand
// for (FHIRPath 2.0 lowBoundary and highBoundary).
func runBoundary(high bool) func(*evaluator, *call, Collection) (Collection, error) {
	return func(c *evaluator, f *call, in Collection) (Collection, error) {
		it, ok, err := one(in)
		if err != nil || !ok {
			return nil, err
		}
		digits := -1
		if len(f.args) == 1 {
			if digits, ok, err = c.intArg(f.args[0]); err != nil || !ok {
				return nil, err
			}
			if digits < 0 {
				return nil, nil
			}
		}
		switch {
		case it.isAmount():
			if digits < 0 {
				digits = maxPlaces
			}
			if digits > 31 {
				return nil, nil
			}
			r, ok := boundary(it.num, digits, high)
			if !ok {
				return nil, nil
			}
			if it.sys == sysInteger {
				it = decimalItem(r)
			}
			it.num = r
			return single(it), nil
		case it.when != nil:
			t, ok := it.when.boundary(digits, high)
			if !ok {
				return nil, nil
			}
			return single(timeItem(t)), nil
		}
		return nil, fmt.Errorf("needs a number, date or time, not %s", describe(it))
	}
}

// boundary is d ± half a unit of its last digit, rounded outwards to digits.
func boundary(d *apd.Decimal, digits int, high bool) (*apd.Decimal, bool) {
	half := apd.New(5, min(d.Exponent, 0)-1)
	r, wide := new(apd.Decimal), decimals
	wide.Precision = 500
	how := apd.RoundFloor
	var err error
	if high {
		how = apd.RoundCeiling
		_, err = wide.Add(r, d, half)
	} else {
		_, err = wide.Sub(r, d, half)
	}
	if err != nil {
		return nil, false
	}
	return quantize(r, digits, how)
}

// boundary of a date or time: digits is 4 (year), 6, 8, 10, 12, 14 or 17 for dates, 2, 4, 6, 9 for times.
func (t *temporal) boundary(digits int, high bool) (*temporal, bool) {
	r := *t
	want := map[int]int{4: pYear, 6: pMonth, 8: pDay, 10: pHour, 12: pMinute, 14: pSecond, 17: pSecond}
	finest := 17
	switch t.kind {
	case sysDate:
		finest = 8
	case sysTime:
		finest = 9
		want = map[int]int{2: pHour, 4: pMinute, 6: pSecond, 9: pSecond}
	}
	if digits < 0 {
		digits = finest
	}
	prec, ok := want[digits]
	if !ok || t.kind == sysDate && prec > pDay && digits > 17 {
		return nil, false
	}
	if t.kind == sysDate && prec > pDay {
		r.kind = sysDateTime
	}
	if high {
		if r.prec < pMonth {
			r.month = 12
		}
		if r.prec < pDay {
			r.day = daysIn(r.year, r.month)
		}
		if r.prec < pHour {
			r.hour = 23
		}
		if r.prec < pMinute {
			r.minute = 59
		}
		if r.prec < pSecond {
			r.second = 59
		}
		if r.digits == 0 {
			r.nano = 999_000_000
		}
	}
	r.prec = prec
	r.digits = 0
	if digits == 17 || digits == 9 && t.kind == sysTime {
		r.digits = 3
	}
	if r.kind == sysDateTime && prec >= pHour && !r.zoned {
		// Without an offset the earliest instant is that of UTC+14, the latest that of UTC-12.
		r.zoned, r.offset = true, 14*60
		if high {
			r.offset = -12 * 60
		}
	}
	return &r, true
}

func runPrecision(_ *evaluator, _ *call, in Collection) (Collection, error) {
	it, ok, err := one(in)
	if err != nil || !ok {
		return nil, err
	}
	switch {
	case it.isNumber():
		return single(intItem(int64(places(it.num)))), nil
	case it.when != nil:
		t := it.when
		n := map[int]int{pYear: 4, pMonth: 6, pDay: 8, pHour: 10, pMinute: 12, pSecond: 14}[t.prec]
		if t.digits > 0 {
			n = 17
		}
		if t.kind == sysTime {
			n -= 8
		}
		return single(intItem(int64(n))), nil
	}
	return nil, fmt.Errorf("needs a number, date or time, not %s", describe(it))
}

func runComparable(c *evaluator, f *call, in Collection) (Collection, error) {
	x, ok, err := one(in)
	if err != nil || !ok {
		return nil, err
	}
	arg, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	y, ok, err := one(arg)
	if err != nil || !ok {
		return nil, err
	}
	if !x.isAmount() || !y.isAmount() {
		return nil, errors.New("needs quantities")
	}
	_, _, ok = sameUnit(x, y)
	return boolCol(ok), nil
}
