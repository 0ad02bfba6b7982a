package profile

import (
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirpath"
)

// kind is what R4 itself says about one sort of object: a resource, a datatype or the inline structure of an element.
type kind struct {
	name     string // Observation, HumanName, Observation.component
	resource bool
	rules    []*rule
	fields   map[string]*field // by JSON name; the choices of an element once per type
}

// field is an element of a kind as it stands in JSON.
type field struct {
	json, name string // valueQuantity, value
	typ        string // model type: Quantity, Observation.component
	kind       *kind  // nil for primitives and for any resource
	prim       bool
	many       bool
	coded      bool // a code of a required binding
	choice     bool
	canonicals []string // resource types a canonical may name
	targets    []string
	bindings   []Binding // those that fhir.Validate does not check itself
	rules      []*rule   // of elements that have no kind of their own
}

// rule is a compiled invariant.
type rule struct {
	Rule
	expr   *fhirpath.Expr // nil if it cannot be compiled: the rule is then reported as not checkable
	source string         // URL of the profile, "" for R4 itself
	holds  shortcut       // may decide without FHIRPath; nil if there is none
}

// skipped are invariants that fhir.Validate or another part of this package checks without FHIRPath.
var skipped = map[string]bool{"ele-1": true, "ext-1": true, "txt-1": true, "txt-2": true, "dom-2": true, "dom-6": true}

// kinds works out R4's kinds once, on first use.
var kinds = sync.OnceValue(func() map[string]*kind {
	b := &kindBuilder{all: map[string]*kind{}, exprs: map[string]*fhirpath.Expr{}}
	for name := range fhir.TypeNames() {
		b.add(fhir.Definition(name))
	}
	for name := range fhir.TypeNames() {
		b.rules(fhir.Definition(name))
	}
	return b.all
})

type kindBuilder struct {
	all   map[string]*kind
	exprs map[string]*fhirpath.Expr
}

func (b *kindBuilder) get(name string) *kind {
	k := b.all[name]
	if k == nil {
		k = &kind{name: name, fields: map[string]*field{}}
		b.all[name] = k
	}
	return k
}

func (b *kindBuilder) add(t *fhir.Type) {
	if t.Kind == "primitive-type" {
		return
	}
	b.get(t.Name).resource = t.Kind == "resource"
	inline := map[string]bool{}
	for i := range t.Elements {
		inline[t.Elements[i].Path[:strings.LastIndexByte(t.Elements[i].Path, '.')]] = true
	}
	for i := range t.Elements {
		e := &t.Elements[i]
		dot := strings.LastIndexByte(e.Path, '.')
		b.element(b.get(e.Path[:dot]), e, e.Path[dot+1:], inline[e.Path])
	}
}

func (b *kindBuilder) element(parent *kind, e *fhir.Element, name string, inline bool) {
	name, choice := strings.CutSuffix(name, "[x]")
	base := field{json: name, name: name, many: e.Max != 1, choice: choice, coded: e.Binding == "required" && len(e.Types) == 1 && e.Types[0] == "code", canonicals: e.Canonicals, targets: e.Targets}
	// CapabilityStatement.format is bound to MIME types, and R4 says in words that it may be json or xml too. Its own examples of
	// TestScript write them so as well.
	short := e.Path == "CapabilityStatement.format" || strings.HasPrefix(e.Path, "TestScript.") && bare(e.ValueSet) == "http://hl7.org/fhir/ValueSet/mimetypes"
	if e.ValueSet != "" && !short && (e.Binding == "required" || e.Binding == "extensible") {
		if _, listed := fhir.Codes(bare(e.ValueSet)); !listed || e.Binding == "extensible" {
			base.bindings = []Binding{{Strength: e.Binding, ValueSet: e.ValueSet}}
		}
	}
	switch {
	case e.ContentRef != "":
		base.typ, base.kind = e.ContentRef, b.get(e.ContentRef)
		parent.fields[name] = &base
	case inline:
		base.typ, base.kind = e.Path, b.get(e.Path)
		parent.fields[name] = &base
	default:
		for _, typ := range e.Types {
			one := base
			one.typ = typ
			if choice {
				one.json = name + strings.ToUpper(typ[:1]) + typ[1:]
			}
			switch def := fhir.Definition(typ); {
			case typ == "Resource" || def == nil:
			case def.Kind == "primitive-type":
				one.prim = true
			default:
				one.kind = b.get(typ)
			}
			parent.fields[one.json] = &one
		}
	}
}

// rules gives each kind and field the invariants that hold for it.
func (b *kindBuilder) rules(t *fhir.Type) {
	k := b.all[t.Name]
	for base := t; base != nil; base = fhir.Definition(base.Base) {
		for _, r := range fhir.Rules(base.Name) {
			if skipped[r.Key] {
				continue
			}
			c := b.compile(r)
			rest, below := strings.CutPrefix(r.Path, base.Name+".")
			switch inner := b.all[r.Path]; {
			case !below:
				if k != nil {
					k.rules = append(k.rules, c)
				}
			case inner != nil:
				if base == t {
					inner.rules = append(inner.rules, c)
				}
			default:
				b.onField(t.Name, rest, c)
			}
		}
	}
}

// onField attaches an invariant to every choice of the element at a path below a type.
func (b *kindBuilder) onField(typ, rest string, c *rule) {
	holder, name := typ, rest
	if dot := strings.LastIndexByte(rest, '.'); dot >= 0 {
		holder, name = typ+"."+rest[:dot], rest[dot+1:]
	}
	name = strings.TrimSuffix(name, "[x]")
	k := b.all[holder]
	if k == nil {
		return
	}
	for _, f := range k.fields {
		if f.name == name {
			f.rules = append(f.rules, c)
		}
	}
}

// amended are invariants whose published expression says something else than their own words, as a later release of FHIR
// acknowledged by correcting it.
var amended = map[string]string{
	// "If there are more than one enableWhen, enableBehavior must be specified": R4 counts > 2, R4B > 1.
	"que-12": "enableWhen.count() > 1 implies enableBehavior.exists()",
}

func (b *kindBuilder) compile(r fhir.Rule) *rule {
	if x, ok := amended[r.Key]; ok {
		r.Expression = x
	}
	e := b.exprs[r.Expression]
	if e == nil {
		e, _ = fhirpath.Compile(r.Expression)
		b.exprs[r.Expression] = e
	}
	return &rule{Rule: Rule{Key: r.Key, Warning: r.Severity == "warning", FHIRPath: r.Expression}, expr: e, holds: shortcuts[r.Key]}
}

// bare cuts the version off a canonical URL.
func bare(canonical string) string {
	url, _, _ := strings.Cut(canonical, "|")
	return url
}
