package fhirpath

import (
	"errors"
	"fmt"

	"yarrow.health/internal/standards/fhirjson"
)

// coding is what terminology functions ask about.
type coding struct{ system, code string }

// codings reads a code, Coding, CodeableConcept or text as codings; ok is false for other items.
func (it Item) codings() (out []coding, ok bool) {
	if s := it.system(); s.sys == sysString {
		return []coding{{"", s.text}}, true
	}
	of := func(n *fhirjson.Node) coding { return coding{n.Get("system").Text(), n.Get("code").Text()} }
	switch {
	case it.Node.Kind() != fhirjson.Object:
		return nil, false
	case it.Type == "Coding", it.Type == "" && it.Node.Get("code") != nil:
		return []coding{of(it.Node)}, true
	case it.Type == "CodeableConcept", it.Type == "" && it.Node.Get("coding") != nil:
		list := it.Node.Get("coding").Items()
		for i := range list {
			out = append(out, of(&list[i]))
		}
		return out, true
	}
	return nil, false
}

// runMemberOf is R4's memberOf(valueset): empty when the value set is not known or there is not exactly one item.
func runMemberOf(c *evaluator, f *call, in Collection) (Collection, error) {
	url, ok, err := c.textArg(f.args[0])
	if err != nil || !ok || len(in) != 1 {
		return nil, err
	}
	list, ok := in[0].codings()
	if !ok {
		return nil, fmt.Errorf("needs a code, Coding or CodeableConcept, not %s", describe(in[0]))
	}
	if c.env.Codes == nil {
		return nil, nil
	}
	sure := true
	for _, x := range list {
		if err := c.spend(100); err != nil {
			return nil, err
		}
		ok, known := c.env.Codes(url, x.system, x.code)
		if ok && known {
			return boolCol(true), nil
		}
		sure = sure && known
	}
	if !sure {
		return nil, nil
	}
	return boolCol(false), nil
}

// runSubsumes is R4's subsumes(code), and with turned subsumedBy(code).
func runSubsumes(turned bool) func(*evaluator, *call, Collection) (Collection, error) {
	return func(c *evaluator, f *call, in Collection) (Collection, error) {
		other, err := c.argument(f, 0)
		if err != nil || len(in) == 0 || len(other) == 0 {
			return nil, err
		}
		if len(in) > 1 || len(other) > 1 {
			return nil, errors.New("needs one concept on each side")
		}
		a, ok1 := in[0].codings()
		b, ok2 := other[0].codings()
		if !ok1 || !ok2 {
			return nil, errors.New("needs a Coding or CodeableConcept on each side")
		}
		if turned {
			a, b = b, a
		}
		sure := true
		for _, x := range a {
			for _, y := range b {
				if x == y && x.code != "" {
					return boolCol(true), nil
				}
				if x.system != y.system {
					continue
				}
				if err := c.spend(100); err != nil {
					return nil, err
				}
				ok, known := false, false
				if c.env.Subsumes != nil {
					ok, known = c.env.Subsumes(x.system, x.code, y.code)
				}
				if ok && known {
					return boolCol(true), nil
				}
				sure = sure && known
			}
		}
		if !sure {
			return nil, nil
		}
		return boolCol(false), nil
	}
}

// runCheckModifiers is R4's checkModifiers(url…): the input, unless an item has a modifier extension that is not named.
func runCheckModifiers(c *evaluator, f *call, in Collection) (Collection, error) {
	known := map[string]bool{}
	for _, a := range f.args {
		url, ok, err := c.textArg(a)
		if err != nil {
			return nil, err
		}
		known[url] = ok
	}
	for _, it := range in {
		xs := it.Node.Get("modifierExtension").Items()
		if err := c.spend(1 + len(xs)); err != nil {
			return nil, err
		}
		for i := range xs {
			if !known[xs[i].Get("url").Text()] {
				return nil, errors.New("an element has a modifier extension that is not expected")
			}
		}
	}
	return in, nil
}
