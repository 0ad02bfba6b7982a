package graphql

import (
	"slices"
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhir"
)

// field is an element of a type under its name in JSON, such as valueQuantity.
type field struct {
	name    string
	typ     string // HumanName, Patient.contact, string; Resource for one of any type
	list    bool
	leaf    bool     // a primitive: it has no fields of its own
	targets []string // of a Reference: the types it may name; nil for any
}

// shape is what a type can be asked for.
type shape struct {
	fields []field
	byName map[string]*field
}

var shapes sync.Map // by type

// shapeOf gives the fields of a resource type, a datatype, or the path of a nested element; none for what is not there.
func shapeOf(typ string) *shape {
	if s, ok := shapes.Load(typ); ok {
		return s.(*shape)
	}
	s := &shape{byName: map[string]*field{}}
	root, _, _ := strings.Cut(typ, ".")
	def := fhir.Definition(root)
	if def == nil {
		return s // not kept: names come from outside
	}
	if typ == root && def.Kind == "resource" {
		s.fields = append(s.fields, field{name: "resourceType", typ: "code", leaf: true})
	}
	for i := range def.Elements {
		e := &def.Elements[i]
		name, inside := strings.CutPrefix(e.Path, typ+".")
		if !inside || strings.Contains(name, ".") {
			continue
		}
		switch stem, choice := strings.CutSuffix(name, "[x]"); {
		case choice:
			for _, t := range e.Types {
				s.add(field{name: stem + strings.ToUpper(t[:1]) + t[1:], typ: t, list: e.Max != 1, targets: e.Targets})
			}
		case e.ContentRef != "":
			s.add(field{name: name, typ: e.ContentRef, list: e.Max != 1})
		case len(e.Types) > 0 && (e.Types[0] == "BackboneElement" || e.Types[0] == "Element") && nested(def, e.Path):
			s.add(field{name: name, typ: e.Path, list: e.Max != 1})
		case len(e.Types) > 0:
			s.add(field{name: name, typ: e.Types[0], list: e.Max != 1, targets: e.Targets})
		}
	}
	for i := range s.fields {
		s.byName[s.fields[i].name] = &s.fields[i]
	}
	shapes.Store(typ, s)
	return s
}

// add adds a field, and for a primitive the one that holds its id and extensions.
func (s *shape) add(f field) {
	f.leaf = isLeaf(f.typ)
	s.fields = append(s.fields, f)
	if f.leaf && f.typ != "xhtml" {
		s.fields = append(s.fields, field{name: "_" + f.name, typ: "Element", list: f.list})
	}
}

func isLeaf(typ string) bool {
	d := fhir.Definition(typ)
	return typ == "xhtml" || d != nil && d.Kind == "primitive-type"
}

func nested(def *fhir.Type, path string) bool {
	return slices.ContainsFunc(def.Elements, func(e fhir.Element) bool { return strings.HasPrefix(e.Path, path+".") })
}

// nameOf is the name of a type in GraphQL: PatientContact for the element Patient.contact.
func nameOf(typ string) string {
	root, rest, _ := strings.Cut(typ, ".")
	for part := range strings.SplitSeq(rest, ".") {
		if part != "" {
			root += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return root
}

// typeNamed is the type that a name in GraphQL stands for; "" for none.
func typeNamed(name string) string { return typesByName()[name] }

var typesByName = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for name := range fhir.TypeNames() {
		if isLeaf(name) {
			continue
		}
		all[name] = name
		def := fhir.Definition(name)
		for i := range def.Elements {
			if path := def.Elements[i].Path; nested(def, path) {
				all[nameOf(path)] = path
			}
		}
	}
	return all
})

// scalars of GraphQL that stand for primitives; every other primitive is a String.
var scalars = map[string]string{"boolean": "Boolean", "integer": "Int", "positiveInt": "Int", "unsignedInt": "Int", "decimal": "Float", "id": "ID"}

func scalarOf(typ string) string {
	if s := scalars[typ]; s != "" {
		return s
	}
	return "String"
}

// searching takes the name of a search apart: PatientList, PatientConnection.
func searching(name string) (typ string, connection, ok bool) {
	if typ, ok = strings.CutSuffix(name, "List"); ok && fhir.IsResourceType(typ) {
		return typ, false, true
	}
	if typ, ok = strings.CutSuffix(name, "Connection"); ok && fhir.IsResourceType(typ) {
		return typ, true, true
	}
	return "", false, false
}
