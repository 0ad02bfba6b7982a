package graphql

import (
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// introspection lists the fields of the types that describe the schema, with the type of each; "" for a plain value.
var introspection = map[string]map[string]string{
	"__Schema": {"description": "", "types": "__Type", "queryType": "__Type", "mutationType": "__Type", "subscriptionType": "__Type", "directives": "__Directive"},
	"__Type": {"kind": "", "name": "", "description": "", "specifiedByURL": "", "isOneOf": "", "fields": "__Field", "interfaces": "__Type", "possibleTypes": "__Type",
		"enumValues": "__EnumValue", "inputFields": "__InputValue", "ofType": "__Type"},
	"__Field":      {"name": "", "description": "", "args": "__InputValue", "type": "__Type", "isDeprecated": "", "deprecationReason": ""},
	"__InputValue": {"name": "", "description": "", "type": "__Type", "defaultValue": "", "isDeprecated": "", "deprecationReason": ""},
	"__EnumValue":  {"name": "", "description": "", "isDeprecated": "", "deprecationReason": ""},
	"__Directive":  {"name": "", "description": "", "locations": "", "args": "__InputValue", "isRepeatable": ""},
}

// typeRef is a type of the schema: a name, a list of another, or one that is never null.
type typeRef struct {
	kind, name string
	of         *typeRef
}

// member is a field, an argument or a directive of the schema.
type member struct {
	name, doc string
	typ       typeRef
	args      []member
	places    []string // of a directive
}

func named(typ string) typeRef {
	switch {
	case isLeaf(typ):
		return typeRef{kind: "SCALAR", name: scalarOf(typ)}
	case typ == "Resource":
		return typeRef{kind: "INTERFACE", name: typ}
	}
	return typeRef{kind: "OBJECT", name: nameOf(typ)}
}

func listOf(t typeRef) typeRef     { return typeRef{kind: "LIST", of: &t} }
func always(t typeRef) typeRef     { return typeRef{kind: "NON_NULL", of: &t} }
func scalar(name string) typeRef   { return typeRef{kind: "SCALAR", name: name} }
func object(name string) typeRef   { return typeRef{kind: "OBJECT", name: name} }
func text(name, doc string) member { return member{name: name, doc: doc, typ: scalar("String")} }

// sees says whether the caller may meet a resource type at all.
func (r *run) sees(typ string) bool { return r.access.Allows(typ, auth.CanRead) }

func (r *run) finds(typ string) bool { return r.sees(typ) && r.access.Allows(typ, auth.CanSearch) }

// schema answers __schema and __type with what the caller may ask for.
func (r *run) schema(p pick) (fhirjson.Node, error) {
	r.describing = true
	if p.field.Name == "__schema" {
		return r.describe(p, "__Schema", nil)
	}
	name, err := r.one(p.field.Arguments, "name")
	if err != nil {
		return none, err
	}
	for _, t := range r.types() {
		if t.name == name {
			return r.describe(p, "__Type", t)
		}
	}
	return none, nil
}

// types are all named types of the schema, sorted.
func (r *run) types() []typeRef {
	out := []typeRef{object("Query"), named("Resource")}
	for _, s := range []string{"Boolean", "Float", "ID", "Int", "String"} {
		out = append(out, scalar(s))
	}
	for name, typ := range typesByName() {
		root, _, _ := strings.Cut(typ, ".")
		def := fhir.Definition(root)
		switch {
		case def.Kind == "resource" && !r.sees(root):
			continue
		case def.Abstract && root != "Element": // Element stands for the extensions of primitives
			continue
		}
		out = append(out, object(name))
		if fhir.IsResourceType(typ) && r.finds(typ) {
			out = append(out, object(name+"Connection"), object(name+"Edge"))
		}
	}
	for name := range introspection {
		out = append(out, object(name))
	}
	slices.SortFunc(out, func(a, b typeRef) int { return strings.Compare(a.name, b.name) })
	return out
}

// fields of an object type.
func (r *run) fields(name string) (out []member) {
	if of := introspection[name]; of != nil {
		for f, typ := range of {
			t := scalar("String")
			if typ != "" {
				t = object(typ)
			}
			out = append(out, member{name: f, typ: t})
		}
		slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.name, b.name) })
		return out
	}
	if typ, ok := strings.CutSuffix(name, "Edge"); ok && fhir.IsResourceType(typ) {
		return []member{text("mode", "match, for what the search found."), {name: "score", typ: scalar("Float")}, {name: "resource", typ: named(typ)}}
	}
	if typ, ok := strings.CutSuffix(name, "Connection"); ok && fhir.IsResourceType(typ) {
		out = []member{{name: "count", doc: "How many there are.", typ: scalar("Int")}, {name: "offset", typ: scalar("Int")}, {name: "pagesize", typ: scalar("Int")}}
		for _, c := range []string{"first", "previous", "next", "last"} {
			out = append(out, text(c, "A cursor, or null."))
		}
		return append(out, member{name: "edges", typ: listOf(object(typ + "Edge"))})
	}
	if name == "Query" {
		for _, typ := range fhir.ResourceTypes() {
			if r.sees(typ) {
				out = append(out, member{name: typ, typ: named(typ), args: []member{{name: "id", typ: always(scalar("ID"))}}})
			}
		}
		return append(out, r.offers("")...)
	}
	typ := typeNamed(name)
	for _, f := range shapeOf(typ).fields {
		if f.typ == "Resource" && !f.list && typ == "Resource" {
			continue
		}
		m := member{name: f.name, typ: named(f.typ)}
		if f.list {
			m.typ = listOf(m.typ)
		}
		if f.list && !f.leaf {
			m.args = elementArguments(f.typ)
		}
		out = append(out, m)
	}
	if typ == "Reference" {
		out = append(out, member{name: "resource", doc: "What the reference leads to.", typ: named("Resource"), args: []member{
			text("type", "Only a resource of this type."), {name: "optional", doc: "Null instead of an error when it leads nowhere.", typ: scalar("Boolean")}}})
	}
	if fhir.IsResourceType(typ) {
		out = append(out, r.offers(typ)...)
	}
	return out
}

func elementArguments(typ string) []member {
	out := []member{text("fhirpath", "A condition that elements must meet."), {name: "_offset", typ: scalar("Int")}, {name: "_count", typ: scalar("Int")}}
	for _, f := range shapeOf(typ).fields {
		if f.leaf && (typ != "Extension" || f.name == "url") {
			out = append(out, text(f.name, ""))
		}
	}
	return out
}

// offers are the lists and connections that the caller may ask for at the root, or within a resource of the type around: those that
// may refer to it. Only within the types that most questions begin with are all search parameters listed, or the schema would be
// many megabytes of them; they are understood everywhere.
func (r *run) offers(around string) (out []member) {
	whole := around == "" || around == "Patient" || around == "Encounter"
	for _, typ := range fhir.ResourceTypes() {
		if !r.finds(typ) || around != "" && !refers(typ, around) {
			continue
		}
		for _, connection := range []bool{false, true} {
			m := member{name: typ + "List", typ: listOf(named(typ))}
			if connection {
				m = member{name: typ + "Connection", typ: object(typ + "Connection")}
			}
			for _, a := range argumentsOf(typ, connection, around != "") {
				switch p := fhirsearch.Lookup(typ, parameter(typ, a)); {
				case a == "_count" || a == "_offset":
					m.args = append(m.args, member{name: a, typ: scalar("Int")})
				case a == "_reference":
					m.args = append(m.args, member{name: a, doc: "The search parameter that leads here.", typ: always(scalar("String"))})
				case p != nil && !whole:
				case p != nil:
					m.args = append(m.args, member{name: a, doc: p.Type, typ: listOf(scalar("String"))})
				default:
					m.args = append(m.args, text(a, ""))
				}
			}
			out = append(out, m)
		}
	}
	return out
}

// refers says whether resources of a type can be searched by a reference to another.
func refers(typ, to string) bool {
	return slices.ContainsFunc(fhirsearch.Params(typ), func(p *fhirsearch.Param) bool {
		return p.Type == "reference" && p.Searchable() && slices.Contains(p.Targets, to) && len(p.Targets) < 40
	})
}

// directivesOf are the directives of the schema.
func directivesOf() []member {
	fields := []string{"FIELD"}
	both := []string{"FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"}
	yes := []member{{name: "if", typ: always(scalar("Boolean"))}}
	return []member{
		{name: "skip", places: both, args: yes}, {name: "include", places: both, args: yes},
		{name: "flatten", doc: "The fields of the element take its place.", places: fields}, {name: "first", doc: "Only the first.", places: fields},
		{name: "singleton", doc: "One value instead of a list.", places: fields},
		{name: "slice", doc: "Each element under a name of its own.", places: fields, args: []member{{name: "path", doc: "A FHIRPath, or $index.", typ: always(scalar("String"))}}},
	}
}

// describe writes a thing of the schema: a typeRef, a member, or nil for the schema itself.
func (r *run) describe(p pick, as string, v any) (fhirjson.Node, error) {
	return r.fixed(p.sets, as, func(p pick) (fhirjson.Node, error) {
		name := p.field.Name
		switch v := v.(type) {
		case nil:
			switch name {
			case "queryType":
				return r.describe(p, "__Type", object("Query"))
			case "types":
				return many(r, p, "__Type", r.types())
			case "directives":
				return many(r, p, "__Directive", directivesOf())
			}
		case typeRef:
			return r.describeType(p, v)
		case member:
			switch name {
			case "name":
				return fhirjson.NewString(v.name), nil
			case "description":
				if v.doc != "" {
					return fhirjson.NewString(v.doc), nil
				}
			case "isDeprecated", "isRepeatable":
				return fhirjson.NewBool(false), nil
			case "type":
				return r.describe(p, "__Type", v.typ)
			case "args":
				return many(r, p, "__InputValue", v.args)
			case "locations":
				out := fhirjson.NewArray()
				for _, l := range v.places {
					out.Append(fhirjson.NewString(l))
				}
				return out, nil
			}
		}
		return none, nil
	})
}

func (r *run) describeType(p pick, t typeRef) (fhirjson.Node, error) {
	open := t.kind == "OBJECT" || t.kind == "INTERFACE"
	switch p.field.Name {
	case "kind":
		return fhirjson.NewString(t.kind), nil
	case "name":
		if t.name != "" {
			return fhirjson.NewString(t.name), nil
		}
	case "ofType":
		if t.of != nil {
			return r.describe(p, "__Type", *t.of)
		}
	case "fields":
		if open {
			return many(r, p, "__Field", r.fields(t.name))
		}
	case "interfaces":
		if t.kind == "OBJECT" {
			var list []typeRef
			if fhir.IsResourceType(t.name) {
				list = append(list, named("Resource"))
			}
			return many(r, p, "__Type", list)
		}
	case "possibleTypes":
		if t.kind == "INTERFACE" {
			var list []typeRef
			for _, typ := range fhir.ResourceTypes() {
				if r.sees(typ) {
					list = append(list, named(typ))
				}
			}
			return many(r, p, "__Type", list)
		}
	}
	return none, nil
}

func many[T any](r *run, p pick, as string, list []T) (fhirjson.Node, error) {
	out := fhirjson.NewArray()
	for _, v := range list {
		n, err := r.describe(p, as, v)
		if err != nil {
			return none, err
		}
		out.Append(n)
	}
	return out, nil
}
