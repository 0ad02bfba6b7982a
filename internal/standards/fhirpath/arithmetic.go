package fhirpath

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/apd/v3"
)

// arithmeticOp is + - * / div mod &.
type arithmeticOp struct {
	op   string
	l, r node
}

// maxText bounds texts made by & and +.
const maxText = 4 << 20

func (o *arithmeticOp) eval(c *evaluator) (Collection, error) {
	a, b, err := c.both(o.l, o.r)
	if err != nil {
		return nil, err
	}
	x, okX, err := one(a)
	if err != nil {
		return nil, err
	}
	y, okY, err := one(b)
	if err != nil {
		return nil, err
	}
	if o.op == "&" {
		if okX && x.sys != sysString || okY && y.sys != sysString {
			return nil, errors.New("& joins texts only")
		}
		return c.joined(x.text, y.text)
	}
	if !okX || !okY {
		return nil, nil
	}
	switch {
	case o.op == "+" && x.sys == sysString && y.sys == sysString:
		return c.joined(x.text, y.text)
	case x.isNumber() && y.isNumber():
		return arithmetic(o.op, x, y)
	case x.when != nil && y.sys == sysQuantity && (o.op == "+" || o.op == "-"):
		return shift(x, y, o.op == "-")
	case x.isAmount() && y.isAmount():
		return amounts(o.op, x, y)
	}
	return nil, fmt.Errorf("%s does not work on %s and %s", o.op, describe(x), describe(y))
}

func (c *evaluator) joined(a, b string) (Collection, error) {
	if len(a)+len(b) > maxText {
		return nil, ErrTooMuchWork
	}
	if err := c.spend((len(a) + len(b)) / 64); err != nil {
		return nil, err
	}
	return single(stringItem(a + b)), nil
}

func arithmetic(op string, x, y Item) (Collection, error) {
	r := new(apd.Decimal)
	var err error
	integer := x.sys == sysInteger && y.sys == sysInteger
	switch op {
	case "+":
		_, err = decimals.Add(r, x.num, y.num)
	case "-":
		_, err = decimals.Sub(r, x.num, y.num)
	case "*":
		_, err = decimals.Mul(r, x.num, y.num)
	case "/":
		if y.num.IsZero() {
			return nil, nil
		}
		_, err = decimals.Quo(r, x.num, y.num)
		integer = false
		if err == nil {
			r.Reduce(r)
		}
	case "div":
		if y.num.IsZero() {
			return nil, nil
		}
		_, err = decimals.QuoInteger(r, x.num, y.num)
		integer = true
	case "mod":
		if y.num.IsZero() {
			return nil, nil
		}
		_, err = decimals.Rem(r, x.num, y.num)
		r.Negative = r.Negative && !r.IsZero() // there is one zero
	}
	if err != nil {
		return nil, nil // overflow is empty by the specification
	}
	if integer {
		return integerResult(r), nil
	}
	return single(decimalItem(r)), nil
}

// integerResult is empty where the number leaves the 32 bits of an Integer (N1, sections Integer and Math).
func integerResult(d *apd.Decimal) Collection {
	n, err := d.Int64()
	if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
		return nil
	}
	return single(intItem(n))
}

// amounts does + - * / on quantities.
func amounts(op string, x, y Item) (Collection, error) {
	r := new(apd.Decimal)
	switch op {
	case "+", "-":
		a, b, unit, ok := sharedUnit(x, y)
		if !ok {
			return nil, nil
		}
		if unitKey(x.text) == unitKey(y.text) {
			unit = x.text
		}
		if op == "-" {
			b = new(apd.Decimal).Neg(b)
		}
		if _, err := decimals.Add(r, a, b); err != nil {
			return nil, nil
		}
		return single(quantityItem(r, unit)), nil
	case "*", "/":
		if unitKey(x.text) != unitKey(y.text) && x.isQuantity() && y.isQuantity() {
			if a, b, base, ok := sharedUnit(x, y); ok { // cm and m: both in the unit of their dimension
				x, y = quantityItem(a, base), quantityItem(b, base)
			}
		}
		unit := combineUnits(x, y, op)
		if op == "*" {
			if _, err := decimals.Mul(r, x.num, y.num); err != nil {
				return nil, nil
			}
			return single(quantityItem(r, unit)), nil
		}
		if y.num.IsZero() {
			return nil, nil
		}
		if _, err := decimals.Quo(r, x.num, y.num); err != nil {
			return nil, nil
		}
		r.Reduce(r)
		return single(quantityItem(r, unit)), nil
	}
	return nil, fmt.Errorf("%s does not work on quantities", op)
}

// combineUnits names the unit of a product or quotient in the simple cases.
func combineUnits(x, y Item, op string) string {
	a, b := unitKey(x.text), unitKey(y.text)
	if !x.isQuantity() {
		a = "1"
	}
	if !y.isQuantity() {
		b = "1"
	}
	switch {
	case b == "1":
		return a
	case op == "*" && a == "1":
		return b
	case op == "*" && a == b:
		return a + "2"
	case op == "*":
		return a + "." + b
	case a == b:
		return "1"
	}
	return a + "/" + b
}

func (it Item) isQuantity() bool { return it.sys == sysQuantity }

// shift moves a date or time by a quantity of time. Calendar words and the UCUM units up to weeks work;
// UCUM years and months have no fixed place in the calendar, so they are refused.
func shift(x, q Item, back bool) (Collection, error) {
	u := calendarUnit(q.text)
	if u == "" {
		u = map[string]string{"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}[q.text]
	}
	if u == "" {
		return nil, fmt.Errorf("cannot move a date by %q; use years, months, weeks, days, hours, minutes, seconds or milliseconds", q.text)
	}
	d := q.num
	// The fraction counts for calendar seconds only; the official tests drop it for the UCUM second.
	if u == "second" && q.text != "s" {
		r := new(apd.Decimal)
		if _, err := decimals.Mul(r, d, apd.New(1000, 0)); err != nil {
			return nil, nil
		}
		d, u = r, "millisecond"
	}
	n, err := whole(d).Int64()
	if err != nil {
		return nil, nil
	}
	if back {
		n = -n
	}
	t, ok := x.when.add(n, u)
	if !ok {
		return nil, nil
	}
	return single(timeItem(t)), nil
}
