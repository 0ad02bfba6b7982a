package fhirpath

import (
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// Plan is an expression prepared for one type of root. Plain paths, which nearly all search parameters
// are, become direct walks over the tree that allocate nothing; the rest is evaluated as usual.
type Plan struct {
	paths []path
	rest  []node
	env   Env
	root  string
}

// For prepares the expression for roots of type rootType. Alternatives of "|" that start at other types
// or lead to elements the type does not have are dropped.
func (e *Expr) For(m Model, rootType string) *Plan {
	p := &Plan{env: Env{Model: m, ManyAs: true}, root: rootType}
	p.add(e.root)
	return p
}

// Empty reports whether the expression can never give anything for this type of root.
func (p *Plan) Empty() bool { return len(p.paths) == 0 && len(p.rest) == 0 }

// Direct reports whether every alternative is a direct walk.
func (p *Plan) Direct() bool { return len(p.rest) == 0 }

// Types calls yield with the type of what each direct alternative gives; "" where only the resource tells
// (a choice not narrowed, or an inner resource).
func (p *Plan) Types(yield func(typ string)) {
	for i := range p.paths {
		if p.paths[i].open {
			yield("")
		} else {
			yield(p.paths[i].typ)
		}
	}
}

// Names calls yield with the first element name of every direct alternative, so that a caller can skip
// plans whose elements a resource lacks.
func (p *Plan) Names(yield func(name string)) {
	for i := range p.paths {
		if len(p.paths[i].steps) > 0 {
			yield(p.paths[i].steps[0].name)
		}
	}
}

// Each calls yield with every element that the expression gives, and its type. Unlike Eval it does not
// drop repeated values of different alternatives, and it passes over primitives without a value. resource
// is what contained references and %resource refer to; it is root itself unless root lies inside it.
func (p *Plan) Each(resource, root *fhirjson.Node, yield func(n *fhirjson.Node, typ string)) error {
	for i := range p.paths {
		p.paths[i].walk(resource, root, p.root, 0, yield)
	}
	if len(p.rest) == 0 {
		return nil
	}
	env := p.env
	env.Resource = resource
	for _, n := range p.rest {
		col, err := (&Expr{root: n}).Eval(&env, root, p.root)
		if err != nil {
			return err
		}
		for _, it := range col {
			if n, typ := it.element(); n != nil {
				yield(n, typ)
			}
		}
	}
	return nil
}

// element returns an item as an element, making one for a system value.
func (it Item) element() (*fhirjson.Node, string) {
	if it.sys == sysNone {
		return it.Node, it.Type
	}
	var n fhirjson.Node
	typ := map[sysKind]string{sysBoolean: "boolean", sysInteger: "integer", sysDecimal: "decimal", sysDate: "date", sysDateTime: "dateTime", sysTime: "time"}[it.sys]
	switch it.sys {
	case sysBoolean:
		n = fhirjson.NewBool(it.flag)
	case sysInteger, sysDecimal:
		n = fhirjson.NewNumber(numberText(it.num))
	default:
		s, ok := it.asText()
		if !ok {
			return nil, ""
		}
		n = fhirjson.NewString(s)
		if typ == "" {
			typ = "string"
		}
	}
	return &n, typ
}

// path is a chain of element names with simple conditions.
type path struct {
	steps []step
	typ   string // static type at the end while building; "" when only the tree tells
	open  bool   // the last step is a choice whose type is not yet chosen
}

type step struct {
	name   string
	typ    string
	choice bool

	index   int    // [index], or -1
	refers  string // where(resolve() is refers)
	key     string // where(key = value)
	value   string
	rawType bool // the element is a resource: its own resourceType says what it is
	only    string
}

func (p *Plan) add(n node) {
	if u, ok := n.(*unionOp); ok {
		p.add(u.l)
		p.add(u.r)
		return
	}
	q, known := p.build(n)
	switch {
	case q != nil:
		p.paths = append(p.paths, *q)
	case !known:
		p.rest = append(p.rest, n)
	}
}

// build makes a path of n. A nil path with known set is one that never gives anything.
func (p *Plan) build(n node) (q *path, known bool) {
	switch n := n.(type) {
	case *dollar:
		if n.name == "this" {
			return &path{typ: p.root}, true
		}
	case *member:
		if n.of == nil && n.isType {
			if n.name == p.root || p.env.Model.IsSubtype(p.root, n.name) {
				return &path{typ: p.root}, true
			}
			return nil, true
		}
		of := &path{typ: p.root}
		if n.of != nil {
			if of, known = p.build(n.of); of == nil {
				return nil, known
			}
		}
		return p.step(of, n.name)
	case *typeTest:
		if n.as {
			return p.cast(n.of, n.typ)
		}
	case *indexer:
		of, known := p.build(n.of)
		l, ok := n.index.(*literal)
		if of == nil || !ok || len(of.steps) != 1 || len(l.value) != 1 || l.value[0].sys != sysInteger {
			// An index counts over all items of its input: only a first step is counted by element.
			return nil, known && of == nil
		}
		i, ok := smallInt(l.value[0].num)
		if !ok || of.steps[0].index >= 0 || i < 0 {
			return nil, false
		}
		of.steps[0].index = i
		return of, true
	case *call:
		switch n.name {
		case "as", "ofType":
			if n.of != nil {
				return p.cast(n.of, n.typ)
			}
		case "where":
			if n.of != nil {
				return p.condition(n)
			}
		}
	}
	return nil, false
}

func (p *Plan) step(of *path, name string) (*path, bool) {
	if of.open || of.typ == "" {
		return nil, false
	}
	typ, choice, ok := p.env.Model.ElementType(of.typ, name)
	if !ok {
		return nil, true
	}
	s := step{name: name, typ: typ, choice: choice, index: -1, rawType: typ == "Resource"}
	q := &path{steps: append(of.steps[:len(of.steps):len(of.steps)], s), typ: typ, open: choice}
	if s.rawType {
		q.typ = ""
	}
	return q, true
}

// cast narrows a choice to one of its types, or checks the static type of anything else.
func (p *Plan) cast(of node, typ typeSpec) (*path, bool) {
	q, known := p.build(of)
	if q == nil {
		return nil, known
	}
	if typ.space == "System" || len(q.steps) == 0 {
		return nil, false
	}
	last := &q.steps[len(q.steps)-1]
	switch {
	case q.open && last.index < 0 && last.key == "":
		last.name += strings.ToUpper(typ.name[:1]) + typ.name[1:]
		last.choice, last.typ, last.only = false, typ.name, ""
		q.typ, q.open = typ.name, false
		return q, true
	case last.rawType:
		last.only, q.typ = typ.name, typ.name
		return q, true
	case q.typ == typ.name:
		return q, true
	}
	return nil, false
}

// condition takes where(resolve() is T) and where(name = 'text').
func (p *Plan) condition(w *call) (*path, bool) {
	q, known := p.build(w.of)
	if q == nil {
		return nil, known
	}
	if len(q.steps) == 0 {
		return nil, false
	}
	last := &q.steps[len(q.steps)-1]
	switch a := w.args[0].(type) {
	case *typeTest:
		r, ok := a.of.(*call)
		if !a.as && ok && r.name == "resolve" && r.of == nil && last.refers == "" && a.typ.space != "System" {
			last.refers = a.typ.name
			return q, true
		}
	case *equalOp:
		m, ok1 := a.l.(*member)
		l, ok2 := a.r.(*literal)
		if ok1 && ok2 && !a.negate && m.of == nil && last.key == "" && len(l.value) == 1 && l.value[0].sys == sysString && !q.open {
			typ, choice, ok := p.env.Model.ElementType(q.typ, m.name)
			if ok && !choice && (typ == "code" || typ == "string" || typ == "uri") {
				last.key, last.value = m.name, l.value[0].text
				return q, true
			}
		}
	}
	return nil, false
}

// walk visits the elements at the end of the path below n.
func (q *path) walk(resource, n *fhirjson.Node, typ string, at int, yield func(*fhirjson.Node, string)) {
	if at == len(q.steps) {
		if n.Kind() != fhirjson.Null {
			yield(n, typ)
		}
		return
	}
	s := &q.steps[at]
	if s.choice {
		ms := n.Members()
		for i := range ms {
			if t := choiceType(ms[i].Name, s.name); t != "" {
				q.pass(resource, &ms[i].Value, t, at, yield)
			}
		}
		return
	}
	v := n.Get(s.name)
	if v == nil {
		return
	}
	if v.Kind() != fhirjson.Array {
		if s.index <= 0 {
			q.pass(resource, v, s.typ, at, yield)
		}
		return
	}
	items := v.Items()
	for i := range items {
		if s.index < 0 || s.index == i {
			q.pass(resource, &items[i], s.typ, at, yield)
		}
	}
}

// pass checks a step's conditions and goes on with the next step.
func (q *path) pass(resource, n *fhirjson.Node, typ string, at int, yield func(*fhirjson.Node, string)) {
	s := &q.steps[at]
	if s.rawType {
		if typ = n.Get("resourceType").Text(); s.only != "" && typ != s.only {
			return
		}
	}
	if s.key != "" && n.Get(s.key).Text() != s.value {
		return
	}
	if s.refers != "" && ReferredType(resource, n) != s.refers {
		return
	}
	q.walk(resource, n, typ, at+1, yield)
}

// ReferredType returns the type of resource that a Reference (or canonical or uri) of resource names: by
// its text, by the contained resource it points to, or by Reference.type; "" when none of these tell.
func ReferredType(resource, ref *fhirjson.Node) string {
	text := ref
	if ref.Kind() == fhirjson.Object {
		text = ref.Get("reference")
	}
	s := text.Text()
	if s != "" && s[0] == '#' {
		if s == "#" {
			return resource.Get("resourceType").Text()
		}
		return Contained(resource, s[1:]).Get("resourceType").Text()
	}
	if t := TypeOfReference(s); t != "" {
		return t
	}
	return ref.Get("type").Text()
}

// Contained returns the contained resource with this id, or nil.
func Contained(resource *fhirjson.Node, id string) *fhirjson.Node {
	kids := resource.Get("contained").Items()
	for i := range kids {
		if kids[i].Get("id").Text() == id {
			return &kids[i]
		}
	}
	return nil
}
