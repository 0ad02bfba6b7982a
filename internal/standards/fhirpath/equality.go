package fhirpath

import (
	"sort"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"yarrow.health/internal/standards/fhirjson"
)

// equalAll is = on collections: same items in the same order. unknown when precisions differ.
func (c *evaluator) equalAll(a, b Collection) (tri, error) {
	if len(a) != len(b) {
		return isFalse, nil
	}
	r := isTrue
	for i := range a {
		t, err := c.equal(a[i], b[i])
		if err != nil || t == isFalse {
			return t, err
		}
		if t == unknown {
			r = unknown
		}
	}
	return r, nil
}

// equal compares two items.
func (c *evaluator) equal(x, y Item) (tri, error) {
	if err := c.spend(1); err != nil {
		return unknown, err
	}
	if x.Node != nil && x.Node == y.Node {
		return isTrue, nil
	}
	x, y = alignTemporal(x.system(), y.system())
	switch {
	case x.sys == sysNone && y.sys == sysNone:
		same, err := c.sameTree(x.Node, y.Node)
		if err == nil && same {
			same, err = c.sameTree(x.Extra, y.Extra)
		}
		return triOf(same), err
	case x.isNumber() && y.isNumber():
		return triOf(x.num.Cmp(y.num) == 0), nil
	case x.when != nil && y.when != nil && (x.sys == sysTime) == (y.sys == sysTime):
		cmp, ok := compareTemporal(x.when, y.when)
		if !ok {
			return unknown, nil
		}
		return triOf(cmp == 0), nil
	case x.sys == sysQuantity && y.isAmount() || y.sys == sysQuantity && x.isAmount():
		// A calendar year or month and its UCUM namesake are alike but not comparable.
		a, b, ok := sameUnit(x, y)
		if !ok {
			if _, _, alike := alikeUnit(x, y); alike {
				return unknown, nil
			}
			if !knownUnit(x) || !knownUnit(y) {
				return isFalse, nil
			}
			return unknown, nil
		}
		return triOf(a.Cmp(b) == 0), nil
	case x.sys != y.sys:
		return isFalse, nil
	case x.sys == sysBoolean:
		return triOf(x.flag == y.flag), nil
	}
	return triOf(x.text == y.text && x.Type == y.Type), nil
}

// sameTree compares elements: members in any order, items in order, numbers by value.
func (c *evaluator) sameTree(a, b *fhirjson.Node) (bool, error) {
	if a == b {
		return true, nil
	}
	if err := c.spend(1); err != nil {
		return false, err
	}
	if a.Kind() != b.Kind() {
		return false, nil
	}
	switch a.Kind() {
	case fhirjson.Number:
		x, ok1 := parseDecimal(a.Text())
		y, ok2 := parseDecimal(b.Text())
		return ok1 && ok2 && x.Cmp(y) == 0 || a.Text() == b.Text(), nil
	case fhirjson.Array:
		as, bs := a.Items(), b.Items()
		if len(as) != len(bs) {
			return false, nil
		}
		for i := range as {
			if same, err := c.sameTree(&as[i], &bs[i]); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case fhirjson.Object:
		as := a.Members()
		if len(as) != len(b.Members()) {
			return false, nil
		}
		if err := c.spend(len(as) * len(as) / 16); err != nil {
			return false, err
		}
		for i := range as {
			other := b.Get(as[i].Name)
			if other == nil {
				return false, nil
			}
			if same, err := c.sameTree(&as[i].Value, other); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	}
	return a.Text() == b.Text(), nil
}

// contains reports whether col has an item equal to it.
func (c *evaluator) contains(col Collection, it Item) (bool, error) {
	for i := range col {
		if t, err := c.equal(col[i], it); err != nil || t == isTrue {
			return t == isTrue, err
		}
	}
	return false, nil
}

// equivalentAll is ~ on collections: the same items in any order, never unknown.
func (c *evaluator) equivalentAll(a, b Collection) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	used := make([]bool, len(b))
next:
	for i := range a {
		for j := range b {
			if used[j] {
				continue
			}
			same, err := c.equivalent(a[i], b[j])
			if err != nil {
				return false, err
			}
			if same {
				used[j] = true
				continue next
			}
		}
		return false, nil
	}
	return true, nil
}

func (c *evaluator) equivalent(x, y Item) (bool, error) {
	if err := c.spend(1); err != nil {
		return false, err
	}
	if x.Node != nil && x.Node == y.Node {
		return true, nil
	}
	x, y = alignTemporal(x.system(), y.system())
	switch {
	case x.sys == sysNone && y.sys == sysNone:
		return c.alikeTree(x, y)
	case x.sys == sysString && y.sys == sysString:
		return looseText(x.text) == looseText(y.text), nil
	case x.isNumber() && y.isNumber():
		return alikeNumbers(x.num, y.num), nil
	case x.when != nil && y.when != nil && (x.sys == sysTime) == (y.sys == sysTime):
		cmp, ok := compareTemporal(x.when, y.when)
		return ok && cmp == 0, nil
	case x.sys == sysQuantity && y.isAmount() || y.sys == sysQuantity && x.isAmount():
		a, b, ok := alikeUnit(x, y)
		if !ok || !alikeNumbers(a, b) {
			// Converted values keep the digits of their factors: compare at the coarser unit's precision.
			return ok && alikeConverted(x, y, a, b), nil
		}
		return true, nil
	case x.sys != y.sys:
		return false, nil
	case x.sys == sysBoolean:
		return x.flag == y.flag, nil
	}
	return x.text == y.text, nil
}

// alikeNumbers compares at the precision of the less precise number, trailing zeros not counted.
func alikeNumbers(a, b *apd.Decimal) bool {
	x, y := new(apd.Decimal), new(apd.Decimal)
	x.Reduce(a)
	y.Reduce(b)
	n := min(places(x), places(y))
	x, ok1 := quantize(x, n, apd.RoundHalfUp)
	y, ok2 := quantize(y, n, apd.RoundHalfUp)
	return ok1 && ok2 && x.Cmp(y) == 0
}

// alikeConverted compares two amounts of different units at one unit of the last digit of the coarser.
func alikeConverted(x, y Item, a, b *apd.Decimal) bool {
	step := func(it Item, converted *apd.Decimal) *apd.Decimal {
		r := new(apd.Decimal)
		if it.num.IsZero() {
			return r
		}
		if _, err := decimals.Quo(r, converted, it.num); err != nil { // the unit's factor
			return new(apd.Decimal)
		}
		reduced := new(apd.Decimal)
		reduced.Reduce(it.num)
		_, _ = decimals.Mul(r, r, apd.New(1, min(reduced.Exponent, 0)))
		return r
	}
	sx, sy := step(x, a), step(y, b)
	if sx.Cmp(sy) < 0 {
		sx = sy
	}
	diff := new(apd.Decimal)
	if _, err := decimals.Sub(diff, a, b); err != nil {
		return false
	}
	_, _ = decimals.Mul(diff, diff, apd.New(2, 0))
	return diff.Abs(diff).Cmp(sx) < 0
}

// looseText folds case and white space as equivalence of texts asks.
func looseText(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

func (c *evaluator) alikeTree(x, y Item) (bool, error) {
	a, err := c.children(nil, x)
	if err != nil {
		return false, err
	}
	b, err := c.children(nil, y)
	if err != nil || len(a) != len(b) {
		return false, err
	}
	if !sameNames(x.Node, y.Node) {
		return false, nil
	}
	return c.equivalentAll(a, b)
}

func sameNames(a, b *fhirjson.Node) bool {
	names := func(n *fhirjson.Node) []string {
		var s []string
		for _, m := range n.Members() {
			s = append(s, m.Name)
		}
		sort.Strings(s)
		return s
	}
	return strings.Join(names(a), "\n") == strings.Join(names(b), "\n")
}
