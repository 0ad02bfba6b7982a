package fhirpatch

import (
	"fmt"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// FHIRPath applies a Parameters resource that is a FHIRPath Patch to a tree and returns the changed copy. Errors are *fhir.Issue.
func FHIRPath(doc, patch *fhirjson.Node) (*fhirjson.Node, error) {
	if patch.Get("resourceType").Text() != "Parameters" {
		return nil, fhir.Problem("structure", "A FHIRPath Patch is a Parameters resource.", "Send resourceType Parameters with a parameter named operation for each change.").At("resourceType")
	}
	list := patch.Get("parameter").Items()
	if len(list) > maxOperations {
		return nil, fhir.Problem("too-costly", fmt.Sprintf("The patch has more than %d operations.", maxOperations), "Send the whole resource instead.")
	}
	root := doc.Clone()
	t := &tree{root: &root, typ: doc.Get("resourceType").Text()}
	for i := range list {
		at := "Parameters.parameter[" + strconv.Itoa(i) + "]"
		if list[i].Get("name").Text() != "operation" {
			return nil, fhir.Problem("structure", "A parameter of the patch is not an operation.", "Name each parameter operation.").At(at + ".name")
		}
		if issue := t.operation(list[i].Get("part").Items()); issue != nil {
			if issue.Path == "" {
				issue.Path = at
			}
			return nil, issue
		}
	}
	return t.root, nil
}

// tree is the resource being changed.
type tree struct {
	root  *fhirjson.Node
	typ   string
	nodes int
}

// parts of an operation.
type parts struct {
	kind, path, name           string
	index, source, destination int
	has                        map[string]bool
	value                      *fhirjson.Node // the part named value
}

func readParts(list []fhirjson.Node) (p parts, issue *fhir.Issue) {
	p.has = map[string]bool{}
	for i := range list {
		name := list[i].Get("name").Text()
		if p.has[name] {
			return p, fhir.Problem("structure", "The operation has two parts named "+short(name)+".", "Keep one of them.")
		}
		p.has[name] = true
		_, v := valueOf(&list[i])
		number := func(into *int) {
			n, err := strconv.Atoi(v.Text())
			if err != nil || n < 0 {
				issue = fhir.Problem("value", "The part "+name+" is not a whole number from 0.", "Send it as valueInteger.")
			}
			*into = n
		}
		switch name {
		case "type":
			p.kind = v.Text()
		case "path":
			p.path = v.Text()
		case "name":
			p.name = v.Text()
		case "index":
			number(&p.index)
		case "source":
			number(&p.source)
		case "destination":
			number(&p.destination)
		case "value":
			p.value = &list[i]
		default:
			return p, fhir.Problem("structure", "The operation has a part that means nothing: "+short(name)+".", "Parts are type, path, name, value, index, source and destination.")
		}
	}
	return p, issue
}

func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// valueOf is the value[x] of a parameter and the name of its type, with a capital.
func valueOf(p *fhirjson.Node) (typ string, v *fhirjson.Node) {
	for i := range p.Members() {
		m := &p.Members()[i]
		if t, ok := strings.CutPrefix(m.Name, "value"); ok && t != "" {
			return t, &m.Value
		}
	}
	return "", nil
}

func (t *tree) operation(list []fhirjson.Node) *fhir.Issue {
	p, issue := readParts(list)
	if issue != nil {
		return issue
	}
	need := map[string][]string{"add": {"name", "value"}, "insert": {"index", "value"}, "delete": {}, "replace": {"value"}, "move": {"source", "destination"}}
	want, ok := need[p.kind]
	if !ok {
		return fhir.Problem("value", "The patch has an operation that does not exist.", "Use add, insert, delete, replace or move as its type.")
	}
	for _, name := range append([]string{"path"}, want...) {
		if !p.has[name] {
			return fhir.Problem("required", "The operation "+p.kind+" has no part named "+name+".", "Add it.")
		}
	}
	if p.value != nil {
		if t.nodes += count(p.value); t.nodes > maxNodes {
			return fhir.Problem("too-costly", "The patch adds more than a resource can hold.", "Send the whole resource instead.")
		}
	}
	found, issue := t.eval(p.path)
	if issue != nil {
		return issue
	}
	switch p.kind {
	case "add":
		return t.add(found, p)
	case "insert":
		return t.insert(found, p)
	case "delete":
		return t.remove(found)
	case "replace":
		return t.replace(found, p)
	}
	return t.move(found, p)
}

// eval finds the elements that a path leads to.
func (t *tree) eval(path string) (fhirpath.Collection, *fhir.Issue) {
	e, err := fhirpath.Compile(path)
	if err != nil {
		return nil, fhir.Problem("value", "The path of the patch is not FHIRPath: "+short(err.Error())+".", "Write it as in Patient.name[0].given.").Because(err)
	}
	env := &fhirpath.Env{Model: &fhir.Model{}, Resource: t.root, RootResource: t.root, Context: t.root}
	found, err := e.Eval(env, t.root, t.typ)
	if err != nil {
		return nil, fhir.Problem("processing", "The path of the patch cannot be followed.", "Use a simple path, with indexes or where().").Because(err)
	}
	return found, nil
}

func one(found fhirpath.Collection) (fhirpath.Item, *fhir.Issue) {
	switch {
	case len(found) == 0:
		return fhirpath.Item{}, fhir.Problem("processing", "The path of the patch leads to nothing.", "Read the resource again and make the patch anew.")
	case len(found) > 1:
		return fhirpath.Item{}, fhir.Problem("processing", "The path of the patch leads to more than one element.", "Make it precise with an index or where().")
	}
	return found[0], nil
}

func (t *tree) add(found fhirpath.Collection, p parts) *fhir.Issue {
	it, issue := one(found)
	if issue != nil {
		return issue
	}
	into, typ := it.Node, it.Type
	if into == t.root && typ == "" {
		typ = t.typ
	}
	if into.Kind() != fhirjson.Object || !t.holds(into) {
		// A primitive takes extensions beside it.
		return fhir.Problem("processing", "The path of an add does not lead to an element that has parts.", "Lead it to the element that the new one stands in.")
	}
	return put(into, typ, p.name, p.value, false)
}

// put adds a named element to an object of a type.
func put(into *fhirjson.Node, typ, name string, from *fhirjson.Node, fresh bool) *fhir.Issue {
	kind, _ := valueOf(from)
	member, inner, many, ok := placeOf(typ, name, kind)
	if !ok {
		return fhir.Problem("processing", fmt.Sprintf("%s has no element %q that could hold this value.", typ, short(name)), "Check the name and the type of the value.")
	}
	v, extra, issue := build(inner, from)
	if issue != nil {
		return issue
	}
	if !many {
		if into.Get(member) != nil || into.Get("_"+member) != nil {
			return fhir.Problem("processing", fmt.Sprintf("There is already an element %q.", short(name)), "Use replace.")
		}
		if v != nil {
			into.Set(member, *v)
		}
		if extra != nil {
			into.Set("_"+member, *extra)
		}
		return nil
	}
	old := max(into.Get(member).Len(), into.Get("_"+member).Len())
	push(into, member, old, v)
	push(into, "_"+member, old, extra)
	return nil
}

// push appends to an array that may not be there, filling up with nulls.
func push(into *fhirjson.Node, member string, at int, v *fhirjson.Node) {
	list := into.Get(member)
	if v == nil && list == nil {
		return
	}
	if list.Kind() != fhirjson.Array {
		into.Set(member, fhirjson.NewArray())
		list = into.Get(member)
	}
	for list.Len() < at {
		list.Append(fhirjson.NewNull())
	}
	if v == nil {
		list.Append(fhirjson.NewNull())
		return
	}
	list.Append(*v)
}

// placeOf finds under which name an element stands in JSON, what type it has and whether it repeats.
func placeOf(typ, name, kind string) (member, inner string, many, ok bool) {
	root, _, _ := strings.Cut(typ, ".")
	def := fhir.Definition(root)
	if def == nil {
		return "", "", false, false
	}
	model := &fhir.Model{}
	for i := range def.Elements {
		e := &def.Elements[i]
		rest, below := strings.CutPrefix(e.Path, typ+".")
		if !below || strings.Contains(rest, ".") {
			continue
		}
		stem, choice := strings.CutSuffix(rest, "[x]")
		if !choice {
			if rest == name {
				inner, _, _ = model.ElementType(typ, name)
				return name, inner, e.Max != 1, true
			}
			continue
		}
		for _, t := range e.Types {
			full := stem + strings.ToUpper(t[:1]) + t[1:]
			if name == full || name == stem && strings.EqualFold(kind, t) {
				return full, t, e.Max != 1, true
			}
		}
	}
	return "", "", false, false
}

// build makes the value that a part describes: a value[x], a resource, or an object of parts.
func build(typ string, from *fhirjson.Node) (v, extra *fhirjson.Node, issue *fhir.Issue) {
	for i := range from.Members() {
		m := &from.Members()[i]
		switch {
		case m.Name == "resource", strings.HasPrefix(m.Name, "value") && len(m.Name) > len("value"):
			if v != nil {
				return nil, nil, fhir.Problem("structure", "A part has two values.", "Keep one of them.")
			}
			c := m.Value.Clone()
			v = &c
		case strings.HasPrefix(m.Name, "_value"):
			c := m.Value.Clone()
			extra = &c
		case m.Name == "part":
			if v != nil {
				return nil, nil, fhir.Problem("structure", "A part has two values.", "Keep one of them.")
			}
			n := fhirjson.NewObject()
			for j := range m.Value.Items() {
				inner := &m.Value.Items()[j]
				if issue := put(&n, typ, inner.Get("name").Text(), inner, true); issue != nil {
					return nil, nil, issue
				}
			}
			v = &n
		}
	}
	if v == nil && extra == nil {
		return nil, nil, fhir.Problem("required", "The value of the operation is empty.", "Send it as value[x], or as parts.")
	}
	return v, extra, nil
}
