package fhirpath

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// both evaluates two operands.
func (c *evaluator) both(l, r node) (a, b Collection, err error) {
	if err = c.spend(0); err != nil {
		return nil, nil, err
	}
	if a, err = c.scoped(l); err != nil {
		return nil, nil, err
	}
	b, err = c.scoped(r)
	return a, b, err
}

// scoped evaluates an operand or argument: the variables it defines end with it (FHIRPath 2.0, section defineVariable).
func (c *evaluator) scoped(n node) (Collection, error) {
	vars := c.vars
	out, err := n.eval(c)
	c.vars = vars
	return out, err
}

type unionOp struct{ l, r node }

func (o *unionOp) eval(c *evaluator) (Collection, error) {
	a, b, err := c.both(o.l, o.r)
	if err != nil {
		return nil, err
	}
	return c.distinct(a, b)
}

// logicOp is and, or, xor, implies with three-valued logic.
type logicOp struct {
	op   string
	l, r node
}

func (o *logicOp) eval(c *evaluator) (Collection, error) {
	if err := c.spend(0); err != nil {
		return nil, err
	}
	lc, err := c.scoped(o.l)
	if err != nil {
		return nil, err
	}
	a, err := truth(lc)
	if err != nil {
		return nil, err
	}
	switch {
	case o.op == "and" && a == isFalse:
		return boolCol(false), nil
	case o.op == "or" && a == isTrue, o.op == "implies" && a == isFalse:
		return boolCol(true), nil
	}
	rc, err := c.scoped(o.r)
	if err != nil {
		return nil, err
	}
	b, err := truth(rc)
	if err != nil {
		return nil, err
	}
	r := unknown
	switch o.op {
	case "and":
		if b == isFalse {
			r = isFalse
		} else if a == isTrue && b == isTrue {
			r = isTrue
		}
	case "or":
		if b == isTrue {
			r = isTrue
		} else if a == isFalse && b == isFalse {
			r = isFalse
		}
	case "xor":
		if a != unknown && b != unknown {
			r = triOf(a != b)
		}
	case "implies":
		if b == isTrue {
			r = isTrue
		} else if a == isTrue {
			r = b
		}
	}
	if r == unknown {
		return nil, nil
	}
	return boolCol(r == isTrue), nil
}

type equalOp struct {
	l, r   node
	negate bool
}

func (o *equalOp) eval(c *evaluator) (Collection, error) {
	a, b, err := c.both(o.l, o.r)
	if err != nil || len(a) == 0 || len(b) == 0 {
		return nil, err
	}
	t, err := c.equalAll(a, b)
	if err != nil || t == unknown {
		return nil, err
	}
	return boolCol((t == isTrue) != o.negate), nil
}

type equivalentOp struct {
	l, r   node
	negate bool
}

func (o *equivalentOp) eval(c *evaluator) (Collection, error) {
	a, b, err := c.both(o.l, o.r)
	if err != nil {
		return nil, err
	}
	same, err := c.equivalentAll(a, b)
	if err != nil {
		return nil, err
	}
	return boolCol(same != o.negate), nil
}

// memberOp is "item in list" (and "list contains item" turned around).
type memberOp struct{ item, list node }

func (o *memberOp) eval(c *evaluator) (Collection, error) {
	a, b, err := c.both(o.item, o.list)
	if err != nil || len(a) == 0 {
		return nil, err
	}
	if len(a) > 1 {
		return nil, fmt.Errorf("in and contains need one item, not %d", len(a))
	}
	found, err := c.contains(b, a[0])
	return boolCol(found), err
}

type compareOp struct {
	op   string
	l, r node
}

func (o *compareOp) eval(c *evaluator) (Collection, error) {
	a, b, err := c.both(o.l, o.r)
	if err != nil {
		return nil, err
	}
	x, ok, err := one(a)
	if err != nil || !ok {
		return nil, err
	}
	y, ok, err := one(b)
	if err != nil || !ok {
		return nil, err
	}
	cmp, ok, err := compare(x, y)
	if err != nil || !ok {
		return nil, err
	}
	switch o.op {
	case "<":
		return boolCol(cmp < 0), nil
	case ">":
		return boolCol(cmp > 0), nil
	case "<=":
		return boolCol(cmp <= 0), nil
	}
	return boolCol(cmp >= 0), nil
}

// compare orders two system values; ok is false when the order is not known.
func compare(x, y Item) (cmp int, ok bool, err error) {
	x, y = alignTemporal(x, y)
	switch {
	case x.sys == sysString && y.sys == sysString:
		return strings.Compare(x.text, y.text), true, nil
	case x.isNumber() && y.isNumber():
		return x.num.Cmp(y.num), true, nil
	case x.when != nil && y.when != nil && (x.sys == sysTime) == (y.sys == sysTime):
		cmp, ok = compareTemporal(x.when, y.when)
		return cmp, ok, nil
	case x.isAmount() && y.isAmount():
		a, b, ok := sameUnit(x, y)
		if !ok {
			return 0, false, nil
		}
		return a.Cmp(b), true, nil
	}
	return 0, false, fmt.Errorf("cannot compare %s with %s", describe(x), describe(y))
}

func describe(it Item) string {
	if it.Type == "" {
		return "an element"
	}
	return it.Type
}

// alignTemporal reads a text as a date where the other side is one: elements whose type is not known
// come as texts.
func alignTemporal(x, y Item) (Item, Item) {
	read := func(it Item, k sysKind) Item {
		if k == sysDate && strings.Contains(it.text, "T") {
			k = sysDateTime
		}
		if t, ok := parseTemporal(it.text, k); ok {
			return timeItem(t)
		}
		return it
	}
	if x.when != nil && y.sys == sysString {
		y = read(y, x.sys)
	} else if y.when != nil && x.sys == sysString {
		x = read(x, y.sys)
	}
	return x, y
}

func (it Item) isNumber() bool { return it.sys == sysInteger || it.sys == sysDecimal }

// isAmount reports whether it is a quantity or can stand for one with unit 1.
func (it Item) isAmount() bool { return it.sys == sysQuantity || it.isNumber() }

type signOp struct {
	of     node
	negate bool
}

func (o *signOp) eval(c *evaluator) (Collection, error) {
	col, err := o.of.eval(c)
	if err != nil {
		return nil, err
	}
	it, ok, err := one(col)
	if err != nil || !ok {
		return nil, err
	}
	if !it.isAmount() {
		return nil, fmt.Errorf("a sign needs a number, not %s", describe(it))
	}
	if o.negate {
		it.num = new(apd.Decimal).Neg(it.num)
	}
	return single(it), nil
}
