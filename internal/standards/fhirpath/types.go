package fhirpath

import "fmt"

// typeSpec is a type specifier: FHIR.Patient, System.String, or a bare name looked up in FHIR first.
type typeSpec struct{ space, name string }

// matches reports whether it is of the type. Subtypes count for "is"; "as" and ofType take subtypes of
// complex types only, since code.ofType(string) is empty in R4.
func (s typeSpec) matches(c *evaluator, it Item, isTest bool) bool {
	if it.sys != sysNone {
		return s.space != "FHIR" && it.sys != sysType && sysNames[it.sys] == s.name
	}
	if s.space == "System" {
		return false
	}
	typ := it.Type
	if typ == "" {
		typ = guessType(it.Node)
	}
	if typ == s.name {
		return true
	}
	if !isTest && it.isPrimitive() && s.name != "Element" {
		return false
	}
	return c.subtype(typ, s.name)
}

// known refuses type names that neither the model nor the language has.
func (s typeSpec) known(c *evaluator) error {
	if s.space != "FHIR" {
		for _, n := range sysNames[1:] {
			if n == s.name {
				return nil
			}
		}
	}
	if c.model == nil || c.model.IsSubtype(s.name, "Element") || c.model.IsSubtype(s.name, "Resource") {
		return nil
	}
	return fmt.Errorf("unknown type %s; type names are case-sensitive", s.name)
}

// typeTest is "x is T" or "x as T".
type typeTest struct {
	of  node
	typ typeSpec
	as  bool
}

func (t *typeTest) eval(c *evaluator) (Collection, error) {
	col, err := t.of.eval(c)
	if err != nil {
		return nil, err
	}
	if t.as {
		return c.asType(col, t.typ)
	}
	return c.isType(col, t.typ)
}

// asType is "x as T" and x.as(T): of one item only, unless Env.ManyAs allows more.
func (c *evaluator) asType(col Collection, typ typeSpec) (Collection, error) {
	if len(col) > 1 && !c.env.ManyAs {
		return nil, fmt.Errorf("as needs one value, not %d; ofType(%s) takes several", len(col), typ.name)
	}
	return c.ofType(col, typ)
}

func (c *evaluator) isType(col Collection, typ typeSpec) (Collection, error) {
	if err := typ.known(c); err != nil {
		return nil, err
	}
	switch len(col) {
	case 0:
		return nil, nil
	case 1:
		return boolCol(typ.matches(c, col[0], true)), nil
	}
	return nil, fmt.Errorf("is needs one value, not %d", len(col))
}

// ofType filters.
func (c *evaluator) ofType(col Collection, typ typeSpec) (Collection, error) {
	if err := typ.known(c); err != nil {
		return nil, err
	}
	var out Collection
	for _, it := range col {
		if err := c.spend(0); err != nil {
			return nil, err
		}
		if typ.matches(c, it, false) {
			out = append(out, it)
		}
	}
	return out, nil
}
