package profile

import (
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// definition judges the design of a StructureDefinition beyond its invariants: that it derives from something else and
// from the same type, and that what it says of each element can hold at all (R4 profiling, ElementDefinition).
func (r *run) definition(n *fhirjson.Node) {
	url, base := n.Get("url").Text(), n.Get("baseDefinition")
	typ := strings.TrimPrefix(n.Get("type").Text(), structureBase)
	if base != nil && r.circular(url, bare(base.Text())) {
		r.push("baseDefinition", -1)
		r.fail("business-rule", base, "The definition derives from itself.", "Name the definition it stands on.")
		r.pop()
	}
	// What defines a type of its own, perhaps of another release, has elements of its own.
	if n.Get("kind").Text() == "logical" || n.Get("derivation").Text() == "specialization" || fhir.Definition(typ) == nil {
		return
	}
	if base != nil {
		if bt := r.profileType(base.Text()); bt != "" && bt != typ && !model.IsSubtype(typ, bt) {
			r.push("type", -1)
			r.fail("business-rule", n.Get("type"), "The type is not that of the definition it derives from.", "Write "+bt+".")
			r.pop()
		}
	}
	for _, list := range []string{"snapshot", "differential"} {
		if x := n.Get(list); x != nil {
			r.push(list, -1)
			r.elements(x, typ)
			r.pop()
		}
	}
}

// circular reports whether the chain of bases comes back to url.
func (r *run) circular(url, base string) bool {
	for range 50 {
		if base == url && url != "" {
			return true
		}
		d := r.set.Find(base)
		if d == nil {
			return false
		}
		base = bare(d.Base)
	}
	return false
}

func (r *run) elements(list *fhirjson.Node, typ string) {
	items := list.Get("element").Items()
	seen := map[string]bool{}
	for i := range items {
		if !r.spend() {
			return
		}
		e := &items[i]
		r.push("element", i)
		if given := e.Get("id"); given != nil {
			if seen[given.Text()] {
				r.fail("business-rule", given, "Two elements have this id.", "Give each element an id of its own.")
			}
			seen[given.Text()] = true
		}
		r.elementOf(e, typ)
		r.pop()
	}
}

// elementOf judges one ElementDefinition by itself.
func (r *run) elementOf(e *fhirjson.Node, typ string) {
	path := e.Get("path").Text()
	if root, _, _ := strings.Cut(path, "."); root != typ {
		r.push("path", -1)
		r.fail("business-rule", e.Get("path"), "The path does not begin with the type that is defined.", "Begin it with "+typ+".")
		r.pop()
		return
	}
	if len(typesAt(path)) == 0 && !strings.Contains(path, ":") {
		r.push("path", -1)
		r.fail("business-rule", e.Get("path"), "The path leads to no element of "+typ+".", "Correct it.")
		r.pop()
		return
	}
	types := elementTypes(e, path)
	for i := range e.Members() {
		m := &e.Members()[i]
		for _, prefix := range []string{"fixed", "pattern", "defaultValue"} {
			if suffix, ok := strings.CutPrefix(m.Name, prefix); ok && suffix != "" && len(types) > 0 && !allows(types, typeOfSuffix(suffix)) {
				r.push(prefix, -1)
				r.fail("business-rule", &m.Value, "The value is of a type that the element does not have.", "Use "+orList(types)+".")
				r.pop()
			}
		}
	}
	r.discriminators(e, types)
	for i, c := range e.Get("constraint").Items() {
		if x := c.Get("expression"); x != nil {
			if _, err := fhirpath.Compile(x.Text()); err != nil {
				r.push("constraint", i)
				r.by(r.strict(), "invalid", x, "The expression is not FHIRPath that can be evaluated.", "Correct it: "+shown(err.Error()))
				r.pop()
			}
		}
	}
}

// elementTypes are the types of an element: those it names, or those that R4 gives the path.
func elementTypes(e *fhirjson.Node, path string) []string {
	var out []string
	for _, t := range e.Get("type").Items() {
		code := readType(&t).Code
		if code == "BackboneElement" || code == "Element" { // what stands in it is told by the path
			return typesAt(path)
		}
		out = append(out, code)
	}
	if out != nil {
		return out
	}
	return typesAt(path)
}

// typesAt follows a path below a type of R4; nil when it leads nowhere or to anything.
func typesAt(path string) []string {
	names := strings.Split(path, ".")
	at := []string{names[0]}
	for _, name := range names[1:] {
		at = typesBelow(at, strings.TrimSuffix(name, "[x]"))
	}
	return at
}

// typesBelow are the types of an element of any of the types.
func typesBelow(types []string, name string) []string {
	var out []string
	for _, t := range types {
		k := kinds()[t]
		if def := fhir.Definition(t); k == nil && def != nil && def.Kind == "primitive-type" {
			if typ := map[string]string{"extension": "Extension", "id": "string", "value": t}[name]; typ != "" {
				out = append(out, typ)
			}
			continue
		}
		if k == nil {
			continue
		}
		for _, f := range k.fields {
			if f.name == name || f.json == name {
				out = append(out, f.typ)
			}
		}
	}
	return out
}

func allows(types []string, typ string) bool {
	for _, t := range types {
		if t == typ || model.IsSubtype(typ, t) || model.IsSubtype(t, typ) || kinds()[t] == nil && fhir.Definition(t) == nil {
			return true
		}
	}
	return false
}

// discriminators: each path leads to an element of the values that are told apart.
func (r *run) discriminators(e *fhirjson.Node, types []string) {
	for i, d := range e.At("slicing", "discriminator").Items() {
		at, sure := types, len(types) > 0
		for _, s := range discriminatorSteps(d.Get("path").Text()) {
			switch typ, isType := argument(s, "ofType"); {
			case !sure:
			case s == "resolve()" || strings.HasPrefix(s, "extension("):
				// What is referred to or stands in an extension is for others to say.
				sure = strings.HasPrefix(s, "extension(")
				at = []string{"Extension"}
			case isType:
				at = []string{typ}
			default:
				at = typesBelow(at, strings.TrimSuffix(s, "[x]"))
			}
			if sure && len(at) == 0 {
				r.push("slicing", -1)
				r.push("discriminator", i)
				r.fail("invalid", d.Get("path"), "The discriminator's path leads to no element of what is sliced.", "Name an element of "+orList(types)+", or $this.")
				r.pop()
				r.pop()
				break
			}
			sure = sure && at[0] != "Resource" && at[0] != "Element"
		}
	}
}
