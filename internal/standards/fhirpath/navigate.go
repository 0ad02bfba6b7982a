package fhirpath

import (
	"fmt"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// member is a step into a child element: name, or of.name.
type member struct {
	of     node // nil: from the focus
	name   string
	extra  string // "_name"
	isType bool   // starts with a capital: may name the focus' own type
}

func newMember(of node, name string) *member {
	return &member{of: of, name: name, extra: "_" + name, isType: name != "" && 'A' <= name[0] && name[0] <= 'Z'}
}

func (m *member) eval(c *evaluator) (Collection, error) {
	in := c.focus
	if m.of != nil {
		var err error
		if in, err = m.of.eval(c); err != nil {
			return nil, err
		}
	} else if m.isType && len(in) == 1 && in[0].isElement() {
		if t := in[0].Type; t == m.name || c.subtype(t, m.name) {
			return in, nil
		}
	}
	var out Collection
	for i := range in {
		var err error
		if out, err = c.child(out, in[i], m.name, m.extra); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *evaluator) subtype(typ, ancestor string) bool {
	return typ == ancestor || c.model != nil && typ != "" && c.model.IsSubtype(typ, ancestor)
}

// child appends the children of it called name.
func (c *evaluator) child(out Collection, it Item, name, extra string) (Collection, error) {
	if err := c.spend(1); err != nil {
		return nil, err
	}
	if it.sys != sysNone {
		switch {
		case it.sys == sysType && name == "namespace":
			out = append(out, stringItem(it.Type))
		case it.sys == sysType && name == "name":
			out = append(out, stringItem(it.text))
		case it.sys == sysQuantity && name == "value":
			out = append(out, decimalItem(it.num))
		case it.sys == sysQuantity && (name == "unit" || name == "code"):
			out = append(out, stringItem(it.text))
		}
		return out, nil
	}
	n, typ := it.Node, ""
	choice := c.model == nil || it.Type == "" // without a model anything may be a choice
	if n.Kind() != fhirjson.Object {          // a primitive: its children are in the sibling
		n = it.Extra
		switch name {
		case "extension":
			return c.values(out, n.Get(name), nil, "Extension")
		case "id":
			return c.values(out, n.Get(name), nil, "string")
		}
		return out, nil
	}
	if err := c.spend(n.Len() / 16); err != nil { // members are looked up one after the other
		return nil, err
	}
	if c.model != nil && it.Type != "" {
		var ok bool
		if typ, choice, ok = c.model.ElementType(it.Type, name); !ok && c.env.Strict {
			return nil, fmt.Errorf("%s has no element %q", it.Type, name)
		}
	}
	if choice {
		before := len(out)
		if out = c.choices(out, n, name); len(out) > before || c.model != nil && it.Type != "" {
			return out, nil
		}
	}
	return c.values(out, n.Get(name), n.Get(extra), typ)
}

// values appends an element's values, pairing each primitive with its sibling.
func (c *evaluator) values(out Collection, v, extra *fhirjson.Node, typ string) (Collection, error) {
	if v == nil && extra == nil {
		return out, nil
	}
	if v.Kind() != fhirjson.Array && extra.Kind() != fhirjson.Array {
		return c.value(out, v, extra, typ), nil
	}
	vs, xs := v.Items(), extra.Items()
	n := max(len(vs), len(xs))
	if err := c.spend(n); err != nil {
		return nil, err
	}
	for i := range n {
		var item, x *fhirjson.Node
		if i < len(vs) {
			item = &vs[i]
		}
		if i < len(xs) {
			x = &xs[i]
		}
		out = c.value(out, item, x, typ)
	}
	return out, nil
}

func (c *evaluator) value(out Collection, v, extra *fhirjson.Node, typ string) Collection {
	if v.Kind() == fhirjson.Null {
		v = nil
	}
	if extra.Kind() != fhirjson.Object {
		extra = nil
	}
	if v == nil && extra == nil {
		return out
	}
	if v.Kind() == fhirjson.Object {
		if rt := v.Get("resourceType"); rt.Kind() == fhirjson.String && (typ == "" || typ == "Resource" || typ == "DomainResource") {
			typ = rt.Text()
		}
	}
	return append(out, Item{Node: v, Extra: extra, Type: typ})
}

// choices appends the values of a choice element: members called name followed by a type.
func (c *evaluator) choices(out Collection, n *fhirjson.Node, name string) Collection {
	ms := n.Members()
	for i := range ms {
		m := ms[i].Name
		bare := strings.TrimPrefix(m, "_")
		if typ := choiceType(bare, name); typ != "" {
			switch {
			case m == bare:
				out = c.value(out, &ms[i].Value, n.Get("_"+m), typ)
			case n.Get(bare) == nil:
				out = c.value(out, nil, &ms[i].Value, typ)
			}
		}
	}
	return out
}

// choiceType returns the type in a choice member's name (valueQuantity → Quantity, valueDateTime →
// dateTime), or "" when member is not a choice of name.
func choiceType(member, name string) string {
	if len(member) <= len(name) || member[:len(name)] != name {
		return ""
	}
	suffix := member[len(name):]
	if suffix[0] < 'A' || suffix[0] > 'Z' {
		return ""
	}
	switch suffix {
	case "Boolean", "Integer", "String", "Decimal", "Uri", "Url", "Canonical", "Instant", "Date", "Time", "Code", "Oid", "Id", "Uuid", "Markdown":
		return strings.ToLower(suffix)
	case "Base64Binary", "DateTime", "UnsignedInt", "PositiveInt":
		return strings.ToLower(suffix[:1]) + suffix[1:]
	}
	return suffix
}

// children appends all child elements of it, in document order.
func (c *evaluator) children(out Collection, it Item) (Collection, error) {
	n := it.Node
	if n.Kind() != fhirjson.Object {
		n = it.Extra
	}
	ms := n.Members()
	if err := c.spend(len(ms) * len(ms) / 16); err != nil { // each looks for its sibling
		return nil, err
	}
	for i := range ms {
		name := ms[i].Name
		if name == "resourceType" && it.Node == n {
			continue
		}
		bare := strings.TrimPrefix(name, "_")
		if bare != name && n.Get(bare) != nil {
			continue // paired below
		}
		var v, x *fhirjson.Node
		if bare == name {
			v, x = &ms[i].Value, n.Get("_"+name)
		} else {
			x = &ms[i].Value
		}
		var err error
		if out, err = c.values(out, v, x, c.childType(it.Type, bare)); err != nil {
			return nil, err
		}
		if err := c.spend(1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// childType finds the type of a member as written in JSON, which for a choice includes the type's name.
func (c *evaluator) childType(parent, name string) string {
	if c.model == nil || parent == "" {
		return ""
	}
	if name == "extension" { // primitives have it too
		return "Extension"
	}
	if typ, choice, ok := c.model.ElementType(parent, name); ok && !choice {
		return typ
	}
	for i := 1; i < len(name); i++ {
		if name[i] >= 'A' && name[i] <= 'Z' {
			if _, choice, ok := c.model.ElementType(parent, name[:i]); ok && choice {
				return choiceType(name, name[:i])
			}
		}
	}
	return ""
}

// descendants appends all elements below it, parents before children.
func (c *evaluator) descendants(out Collection, it Item) (Collection, error) {
	kids, err := c.children(nil, it)
	if err != nil {
		return nil, err
	}
	for _, k := range kids {
		if out, err = c.descendants(append(out, k), k); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// indexer is of[i].
type indexer struct{ of, index node }

func (x *indexer) eval(c *evaluator) (Collection, error) {
	col, err := x.of.eval(c)
	if err != nil {
		return nil, err
	}
	i, ok, err := c.intArg(x.index)
	if err != nil || !ok || i < 0 || i >= len(col) {
		return nil, err
	}
	return col[i : i+1 : i+1], nil
}

type literal struct{ value Collection }

func (l *literal) eval(c *evaluator) (Collection, error) { return l.value, c.spend(0) }

// dollar is $this, $index or $total.
type dollar struct{ name string }

func (d *dollar) eval(c *evaluator) (Collection, error) {
	switch d.name {
	case "index":
		if c.inner {
			return single(intItem(int64(c.index))), nil
		}
		return nil, nil
	case "total":
		return c.total, nil
	}
	return c.focus, nil
}

// variable is %name.
type variable struct{ name string }

func (v *variable) eval(c *evaluator) (Collection, error) {
	if col, ok := c.vars[v.name]; ok {
		return col, nil
	}
	if col, ok := c.env.Vars[v.name]; ok {
		return col, nil
	}
	element := func(n *fhirjson.Node) (Collection, error) {
		if n == nil || n == c.root.Node {
			if c.root.Node == nil {
				return nil, nil
			}
			return single(c.root), nil
		}
		return single(Item{Node: n, Type: guessType(n)}), nil
	}
	switch v.name {
	case "resource":
		return element(c.env.Resource)
	case "rootResource":
		if c.env.RootResource == nil {
			return element(c.env.Resource)
		}
		return element(c.env.RootResource)
	case "context":
		return element(c.env.Context)
	case "sct":
		return single(stringItem("http://snomed.info/sct")), nil
	case "loinc":
		return single(stringItem("http://loinc.org")), nil
	case "ucum":
		return single(stringItem("http://unitsofmeasure.org")), nil
	}
	if s, ok := strings.CutPrefix(v.name, "vs-"); ok {
		return single(stringItem("http://hl7.org/fhir/ValueSet/" + s)), nil
	}
	if s, ok := strings.CutPrefix(v.name, "ext-"); ok {
		return single(stringItem("http://hl7.org/fhir/StructureDefinition/" + s)), nil
	}
	return nil, fmt.Errorf("unknown variable %%%s", v.name)
}
