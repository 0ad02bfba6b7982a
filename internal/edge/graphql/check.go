package graphql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// What a query may be, before anything is read for it.
const (
	maxTokens  = 10_000
	maxFields  = 5_000 // with those of fragments counted wherever they are used
	maxDepth   = 10    // fields within fields
	introDepth = 20    // the same in what asks for the schema, where lists of lists of types take a level each
)

// checker goes through a query and refuses what the types do not have, so that a mistake is told whatever the data are.
type checker struct {
	doc  *ast.QueryDocument
	left int
}

// at is where the checker stands.
type at struct {
	typ     string   // "" the root of the system, "__Schema" and the like for the schema
	targets []string // of typ Resource: the types it may be, nil for any
	root    bool     // fields of the query itself
	anchor  bool     // a resource that others refer to: reverse references can be asked for
	depth   int
}

func (c *checker) selection(p at, set ast.SelectionSet) error {
	for _, s := range set {
		if c.left--; c.left < 0 {
			return fhir.Problem("too-costly", fmt.Sprintf("The query has more than %d fields.", maxFields), "Ask for less at a time.")
		}
		var err error
		switch s := s.(type) {
		case *ast.Field:
			err = c.field(p, s)
		case *ast.InlineFragment:
			if err = c.directives(s.Directives); err == nil {
				err = c.fragment(p, s.TypeCondition, s.SelectionSet, s.Position)
			}
		case *ast.FragmentSpread:
			f := c.doc.Fragments.ForName(s.Name)
			switch {
			case f == nil:
				err = wrong("structure", fmt.Sprintf("There is no fragment %s.", short(s.Name)), "Add it to the query.", s.Position)
			case c.directives(s.Directives) != nil:
				err = c.directives(s.Directives)
			default:
				// A fragment that leads to itself goes deeper without end.
				p := p
				p.depth++
				err = c.fragment(p, f.TypeCondition, f.SelectionSet, s.Position)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) fragment(p at, on string, set ast.SelectionSet, pos *ast.Position) error {
	if err := c.deep(p, pos); err != nil {
		return err
	}
	switch {
	case on == "", on == "Query" && p.typ == "", on == nameOf(p.typ) && p.typ != "", on == p.typ:
	case p.typ == "Resource" && fhir.IsResourceType(on):
		p.typ, p.targets = on, nil
	case on == "Resource" && fhir.IsResourceType(p.typ), on == "Query" && p.root:
	default:
		return wrong("value", fmt.Sprintf("A fragment is on %s, which does not occur there.", short(on)), "Use the name of the type the fields belong to.", pos)
	}
	return c.selection(p, set)
}

func (c *checker) deep(p at, pos *ast.Position) error {
	limit := maxDepth
	if strings.HasPrefix(p.typ, "__") {
		limit = introDepth
	}
	if p.depth > limit {
		return wrong("too-costly", fmt.Sprintf("The query goes more than %d levels deep.", limit), "Ask for what lies deeper with another query.", pos)
	}
	return nil
}

func (c *checker) field(p at, f *ast.Field) error {
	p.depth++
	if err := c.deep(p, f.Position); err != nil {
		return err
	}
	if err := c.directives(f.Directives); err != nil {
		return err
	}
	for i, a := range f.Arguments {
		if f.Arguments.ForName(a.Name) != f.Arguments[i] {
			return wrong("structure", fmt.Sprintf("The argument %s is there twice.", short(a.Name)), "Send it once, with a list of values if any of them will do.", a.Position)
		}
	}
	if f.Name == "__typename" {
		return c.leaf(f)
	}
	if strings.HasPrefix(p.typ, "__") {
		child, ok := introspection[p.typ][f.Name]
		switch {
		case !ok:
			return c.noField(p.typ, f, nil)
		case child == "":
			return c.leafButArguments(f)
		}
		return c.inner(at{typ: child, depth: p.depth}, f)
	}
	if p.root && (f.Name == "__schema" || f.Name == "__type") {
		return c.inner(at{typ: map[string]string{"__schema": "__Schema", "__type": "__Type"}[f.Name], depth: p.depth}, f)
	}
	if typ, connection, ok := searching(f.Name); ok && (p.typ == "" || p.anchor) {
		return c.search(p, f, typ, connection)
	}
	if p.typ == "" {
		if fhir.IsResourceType(f.Name) {
			if err := c.arguments(f, "id"); err != nil {
				return err
			}
			if f.Arguments.ForName("id") == nil {
				return wrong("required", f.Name+" needs an id.", "Write "+f.Name+`(id: "…"), or use `+f.Name+"List.", f.Position)
			}
			return c.inner(at{typ: f.Name, anchor: true, depth: p.depth}, f)
		}
		name := strings.TrimSuffix(strings.TrimSuffix(f.Name, "List"), "Connection")
		return wrong("not-supported", fmt.Sprintf("There is no query %q.", short(f.Name)), "Begin with a resource type, or with one and List or Connection. "+fhirsearch.NearestType(short(name)), f.Position)
	}
	if edges, ok := strings.CutSuffix(p.typ, ":Connection"); ok {
		switch f.Name {
		case "count", "offset", "pagesize", "first", "previous", "next", "last":
			return c.leaf(f)
		case "edges":
			return c.inner(at{typ: edges + ":Edge", depth: p.depth}, f)
		}
		return c.noField(edges+"Connection", f, []string{"count", "offset", "pagesize", "first", "previous", "next", "last", "edges"})
	}
	if typ, ok := strings.CutSuffix(p.typ, ":Edge"); ok {
		switch f.Name {
		case "mode", "score":
			return c.leaf(f)
		case "resource":
			return c.inner(at{typ: typ, anchor: true, depth: p.depth}, f)
		}
		return c.noField(typ+"Edge", f, []string{"mode", "score", "resource"})
	}
	return c.element(p, f)
}

// element checks a field of a resource or datatype.
func (c *checker) element(p at, f *ast.Field) error {
	def := shapeOf(p.typ).byName[f.Name]
	if p.typ == "Reference" && f.Name == "resource" {
		return c.resource(p, f)
	}
	if def == nil && p.typ == "Resource" {
		return c.ofSome(p, f)
	}
	if def == nil {
		var names []string
		for _, d := range shapeOf(p.typ).fields {
			names = append(names, d.name)
		}
		return c.noField(nameOf(p.typ), f, names)
	}
	if def.leaf {
		return c.leaf(f)
	}
	for _, a := range f.Arguments {
		switch a.Name {
		case "fhirpath", "_offset", "_count":
			continue
		}
		if sub := shapeOf(def.typ).byName[a.Name]; sub == nil || !sub.leaf {
			return wrong("not-supported", fmt.Sprintf("%s cannot be narrowed by %q.", f.Name, short(a.Name)), "Use fhirpath, _offset, _count, or an element of it that is a plain value.", a.Position)
		}
	}
	in := at{typ: def.typ, targets: def.targets, depth: p.depth}
	if def.typ == "Resource" {
		in.targets = nil
	}
	return c.inner(in, f)
}

// resource checks what is asked of what a reference leads to.
func (c *checker) resource(p at, f *ast.Field) error {
	if err := c.arguments(f, "type", "optional"); err != nil {
		return err
	}
	in := at{typ: "Resource", targets: p.targets, anchor: true, depth: p.depth}
	if a := f.Arguments.ForName("type"); a != nil && a.Value.Kind != ast.Variable {
		if !fhir.IsResourceType(a.Value.Raw) {
			return wrong("value", fmt.Sprintf("%q is not a resource type of FHIR R4.", short(a.Value.Raw)), fhirsearch.NearestType(short(a.Value.Raw)), a.Position)
		}
		in.typ, in.targets = a.Value.Raw, nil
	}
	return c.inner(in, f)
}

// ofSome checks a field of a resource whose type is known only when it is read: one of those it may be must have it.
func (c *checker) ofSome(p at, f *ast.Field) error {
	types := p.targets
	if len(types) == 0 || slices.Contains(types, "Resource") {
		types = fhir.ResourceTypes()
	}
	var first error
	tried := map[string]bool{}
	for _, typ := range types {
		def := shapeOf(typ).byName[f.Name]
		if def == nil || tried[def.typ] {
			continue
		}
		tried[def.typ] = true
		p.typ = typ
		p.depth--
		err := c.field(p, f)
		p.depth++
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = c.noField("Resource", f, nil)
	}
	return first
}

// search checks a list or connection.
func (c *checker) search(p at, f *ast.Field, typ string, connection bool) error {
	known := argumentsOf(typ, connection, p.anchor)
	for _, a := range f.Arguments {
		if !slices.Contains(known, a.Name) {
			return wrong("not-supported", fmt.Sprintf("%s has no argument %q.", f.Name, short(a.Name)), nearest(a.Name, known), a.Position)
		}
	}
	if p.anchor && f.Arguments.ForName("_reference") == nil {
		return wrong("required", f.Name+" within a resource needs _reference.", "Name the search parameter of "+typ+" that leads here, such as _reference: patient.", f.Position)
	}
	if connection {
		return c.inner(at{typ: typ + ":Connection", depth: p.depth}, f)
	}
	return c.inner(at{typ: typ, anchor: true, depth: p.depth}, f)
}

func (c *checker) inner(p at, f *ast.Field) error {
	if len(f.SelectionSet) == 0 {
		return wrong("structure", f.Name+" is no plain value.", "Say which of its fields are wanted: "+f.Name+" { … }.", f.Position)
	}
	return c.selection(p, f.SelectionSet)
}

func (c *checker) leaf(f *ast.Field) error {
	if len(f.Arguments) > 0 {
		return wrong("not-supported", f.Name+" takes no arguments.", "Leave them out.", f.Position)
	}
	return c.leafButArguments(f)
}

func (c *checker) leafButArguments(f *ast.Field) error {
	if len(f.SelectionSet) > 0 {
		return wrong("structure", f.Name+" is a plain value without fields.", "Leave out what follows it in { }.", f.Position)
	}
	return nil
}

func (c *checker) arguments(f *ast.Field, known ...string) error {
	for _, a := range f.Arguments {
		if !slices.Contains(known, a.Name) {
			return wrong("not-supported", fmt.Sprintf("%s has no argument %q.", f.Name, short(a.Name)), "It takes: "+strings.Join(known, ", ")+".", a.Position)
		}
	}
	return nil
}

// directives of FHIR and GraphQL with their arguments.
var directives = map[string]string{"skip": "if", "include": "if", "flatten": "", "first": "", "singleton": "", "slice": "path"}

func (c *checker) directives(list ast.DirectiveList) error {
	for _, d := range list {
		takes, ok := directives[d.Name]
		if !ok {
			return wrong("not-supported", fmt.Sprintf("There is no directive @%s.", short(d.Name)), "There are @skip, @include, @flatten, @first, @singleton and @slice.", d.Position)
		}
		for _, a := range d.Arguments {
			if a.Name != takes && !(d.Name == "slice" && a.Name == "fhirpath") {
				return wrong("not-supported", fmt.Sprintf("@%s has no argument %q.", d.Name, short(a.Name)), "Leave it out.", d.Position)
			}
		}
		if takes != "" && len(d.Arguments) != 1 {
			return wrong("required", fmt.Sprintf("@%s needs one argument.", d.Name), "Write @"+d.Name+"("+takes+": …).", d.Position)
		}
	}
	return nil
}

func (c *checker) noField(of string, f *ast.Field, names []string) error {
	return wrong("not-supported", fmt.Sprintf("%s has no field %q.", of, short(f.Name)), nearest(f.Name, names), f.Position)
}

// nearest says which of the names somebody may have meant.
func nearest(s string, names []string) string {
	var near []string
	for _, n := range names {
		if !strings.HasPrefix(n, "_") || strings.HasPrefix(s, "_") {
			if d := fhir.Edits(strings.ToLower(short(s)), strings.ToLower(n), 2); d <= max(1, min(2, len(s)/3)) {
				near = append(near, n)
			}
		}
	}
	switch {
	case len(near) > 0:
		return "Did you mean " + strings.Join(near[:min(3, len(near))], " or ") + "?"
	case len(names) > 0 && len(names) <= 60:
		return "There are: " + strings.Join(names, ", ") + "."
	}
	return "Ask for the schema to see what there is, or look at the API pages."
}
