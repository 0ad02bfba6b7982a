package profile

import (
	"maps"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirpath"
)

// tree is a profile ready for use: only what it and the profiles under it add to R4, so that a resource is visited
// only where a profile speaks.
type tree struct {
	def  *Definition
	root *node
	lost []string // URLs of bases that are not known
}

// node is what a profile says about an element (of all its values) or about one slice of them.
type node struct {
	name  string // element name without [x]; for the root the type
	slice string // slice name, "" for the element itself
	whole bool   // the root of a profile of a resource
	typ   string // model type of its values if there is one, "" for a choice or any resource
	path  string // for messages: Observation.component:systolic

	min, max  int // Unset or a number; of a slice, of the values that belong to it
	types     []Type
	fixed     *Value
	pattern   *Value
	low, high *Value
	maxLength int
	bindings  []Binding
	rules     []*rule
	must      bool
	modifier  bool
	content   string // path of the element whose content this repeats
	narrative *Narrative
	bounds    *Bounds

	slicing *Slicing
	slices  []*node
	kids    []*node

	source string // URL of the profile that spoke last, for messages
}

// compile merges a definition with those it derives from. above guards against circles of bases.
func (s *Set) compile(d *Definition, above []string) *tree {
	t := &tree{def: d}
	var base *tree
	if !d.Whole && !d.Specialization && !slices.Contains(above, d.URL) {
		switch b := s.Find(d.Base); {
		case b != nil:
			base = s.compile(b, append(above, d.URL))
		case d.Base != "" && fhir.Definition(strings.TrimPrefix(bare(d.Base), structureBase)) == nil:
			t.lost = append(t.lost, d.Base)
		}
	}
	if base != nil {
		t.root, t.lost = base.root, append(t.lost, base.lost...)
	} else {
		t.root = &node{name: d.Type, typ: d.Type, path: d.Type, min: Unset, max: Unset, source: d.URL}
	}
	for i := range d.Elements {
		t.add(&d.Elements[i])
	}
	t.root.link(t.root)
	if k := kinds()[t.root.typ]; k != nil {
		t.root.whole = k.resource
	}
	return t
}

// add applies one element of the definition.
func (t *tree) add(e *Element) {
	at := t.root
	steps := splitID(e.ID)
	for _, s := range steps[1:] {
		if at = at.kid(s.name, s.slice); at == nil {
			return
		}
	}
	at.source = t.def.URL
	at.apply(e, t.def)
}

// apply lays an element's constraints over those that are there.
func (n *node) apply(e *Element, d *Definition) {
	if e.Min != Unset {
		n.min = e.Min
	}
	if e.Max != Unset {
		n.max = e.Max
	}
	if len(e.Types) > 0 {
		n.types = e.Types
		if n.typ == "" && len(e.Types) == 1 && e.Types[0].Code != "Resource" {
			n.typ = e.Types[0].Code
		}
	}
	if e.Bounds != nil {
		n.bounds = e.Bounds
	}
	if e.Narrative != nil {
		n.narrative = e.Narrative
	}
	if e.Content != "" {
		n.content = e.Content
	}
	for _, v := range []struct {
		from *Value
		to   **Value
	}{{e.Fixed, &n.fixed}, {e.Pattern, &n.pattern}, {e.MinValue, &n.low}, {e.MaxValue, &n.high}} {
		if v.from != nil {
			*v.to = v.from
		}
	}
	if e.MaxLength > 0 {
		n.maxLength = e.MaxLength
	}
	if len(e.Bindings) > 0 {
		n.bindings = e.Bindings
	}
	n.must = n.must || e.Must
	n.modifier = n.modifier || e.Modifier
	if e.Slicing != nil && (n.slicing == nil || len(e.Slicing.By) > 0 || e.Slicing.Rules != "") {
		merged := *e.Slicing
		if n.slicing != nil && len(merged.By) == 0 {
			merged.By = n.slicing.By
		}
		if merged.Rules == "" {
			merged.Rules = "open"
		}
		n.slicing = &merged
	}
	for _, r := range e.Rules {
		n.rule(r, d)
	}
}

// rule adds an invariant unless R4 or an earlier profile has it already.
func (n *node) rule(r Rule, d *Definition) {
	if skipped[r.Key] || n.typ != "" && baseRule(n.typ, r.Key) {
		return
	}
	c := &rule{Rule: r, source: d.URL}
	c.expr, _ = fhirpath.Compile(r.FHIRPath)
	for i, old := range n.rules {
		if old.Key == r.Key {
			n.rules[i] = c
			return
		}
	}
	n.rules = append(n.rules, c)
}

// baseRule reports whether R4 itself has an invariant of this key for a type.
func baseRule(typ, key string) bool {
	k := kinds()[typ]
	return k != nil && slices.ContainsFunc(k.rules, func(r *rule) bool { return r.Key == key })
}

// kid returns the node of an element below n, or of one of its slices, and makes it if it is not there.
func (n *node) kid(name, slice string) *node {
	name, types, slice := n.resolveName(name, slice)
	if n.lacks(name) {
		return nil
	}
	i := slices.IndexFunc(n.kids, func(k *node) bool { return k.name == name })
	if i < 0 {
		k := &node{name: name, typ: n.typeOf(name), path: n.path + "." + name, min: Unset, max: Unset, source: n.source}
		n.kids = append(n.kids, k)
		i = len(n.kids) - 1
	}
	k := n.kids[i]
	if slice == "" {
		return k
	}
	at := k
	for end := 0; end < len(slice); {
		next := strings.IndexByte(slice[end:], '/')
		if next < 0 {
			end = len(slice)
		} else {
			end += next
		}
		at = at.sliceNamed(slice[:end])
		end++
	}
	if types != nil && at.types == nil {
		at.types = types
		at.typ = types[0].Code
		if k.slicing == nil {
			k.slicing = &Slicing{By: []Discriminator{{"type", "$this"}}, Rules: "closed"}
		}
	}
	return at
}

// lacks reports whether R4 has no such element: what a profile says about it can never matter.
func (n *node) lacks(name string) bool {
	if kinds()[n.typ] == nil {
		return false
	}
	_, _, ok := model.ElementType(n.typ, name)
	return !ok
}

func (n *node) sliceNamed(name string) *node {
	for _, s := range n.slices {
		if s.slice == name {
			return s
		}
	}
	s := &node{name: n.name, slice: name, typ: n.typ, path: n.path + ":" + name, min: Unset, max: Unset, source: n.source}
	if colon := strings.LastIndexByte(n.path, ':'); n.slice != "" && colon > 0 {
		s.path = n.path[:colon] + ":" + name
	}
	n.slices = append(n.slices, s)
	return s
}

// resolveName turns value[x] into value, and the shortcut valueQuantity into value with its type slice.
func (n *node) resolveName(name, slice string) (string, []Type, string) {
	if name, ok := strings.CutSuffix(name, "[x]"); ok {
		if typ, ok := strings.CutPrefix(slice, name); ok && typ != "" && fhir.Definition(typeOfSuffix(typ)) != nil {
			return name, []Type{{Code: typeOfSuffix(typ)}}, slice
		}
		return name, nil, slice
	}
	if n.typ == "" {
		return name, nil, slice
	}
	if _, choice, ok := model.ElementType(n.typ, name); ok && !choice {
		return name, nil, slice
	}
	if k := kinds()[n.typ]; k != nil {
		if f := k.fields[name]; f != nil && f.choice {
			if slice == "" {
				slice = name
			}
			return f.name, []Type{{Code: f.typ}}, slice
		}
	}
	return name, nil, slice
}

// typeOf is the model type of an element below n, or "".
func (n *node) typeOf(name string) string {
	if n.typ == "" {
		return ""
	}
	typ, choice, ok := model.ElementType(n.typ, name)
	if !ok || choice || typ == "Resource" {
		return ""
	}
	return typ
}

// link lets elements that repeat another's content share its constraints, and prepares the discriminators.
func (n *node) link(root *node) {
	for _, k := range n.kids {
		k.link(root)
		if len(k.kids) == 0 {
			if target := root.repeated(k); target != nil && target != k {
				k.kids = target.kids
			}
		}
	}
	for _, s := range n.slices {
		s.link(root)
	}
}

// repeated finds the node whose content k repeats: Questionnaire.item for Questionnaire.item.item.
func (n *node) repeated(k *node) *node {
	path := k.content
	if i := strings.IndexByte(path, '#'); i >= 0 {
		path = path[i+1:]
	}
	if path == "" && strings.HasPrefix(k.typ, n.name+".") && k.path != k.typ {
		path = k.typ // the model says so: the type of a repeated element is the path of the other
	}
	if path == "" {
		return nil
	}
	at := n
	names := strings.Split(path, ".")
	for _, name := range names[1:] {
		i := slices.IndexFunc(at.kids, func(x *node) bool { return x.name == strings.TrimSuffix(name, "[x]") })
		if i < 0 {
			return nil
		}
		at = at.kids[i]
	}
	return at
}

// named finds the node of an element id below the root, or nil.
func (n *node) named(id string) *node {
	at := n
	for _, s := range splitID(id)[1:] {
		i := slices.IndexFunc(at.kids, func(k *node) bool { return k.name == strings.TrimSuffix(s.name, "[x]") })
		if i < 0 {
			return nil
		}
		at = at.kids[i]
		if s.slice == "" {
			continue
		}
		if i = slices.IndexFunc(at.slices, func(k *node) bool { return k.slice == s.slice }); i < 0 {
			return nil
		}
		at = at.slices[i]
	}
	return at
}

// part finds what a profile address says: of the whole, or of the one element after "#". nil if it is not known.
func (r *run) part(p string) *node {
	url, id, _ := strings.Cut(p, "#")
	d := r.set.Find(url)
	if d == nil {
		return nil
	}
	root := r.set.tree(d).root
	if id == "" {
		return root
	}
	return root.named(id)
}

var model = &fhir.Model{}

// typesOf returns the type names that a list of types allows.
func typesOf(types []Type) []string {
	m := map[string]bool{}
	for _, t := range types {
		m[t.Code] = true
	}
	return slices.Sorted(maps.Keys(m))
}
