package fhirpatch

import (
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// place is where an element stands: member of an object, or item of the array that is that member.
type place struct {
	parent *fhirjson.Node // the object
	member string         // without an underscore
	index  int            // -1: not in an array
	above  []*fhirjson.Node
}

// holds says whether a node belongs to the tree and was not computed.
func (t *tree) holds(n *fhirjson.Node) bool {
	if n == t.root {
		return true
	}
	_, ok := t.locate(n)
	return ok
}

// locate finds the place of an element, given its value or what stands beside it.
func (t *tree) locate(n *fhirjson.Node) (place, bool) { return locate(t.root, n, nil) }

func locate(at, n *fhirjson.Node, above []*fhirjson.Node) (place, bool) {
	above = append(above[:len(above):len(above)], at)
	for i := range at.Members() {
		m := &at.Members()[i]
		member := strings.TrimPrefix(m.Name, "_")
		if &m.Value == n {
			return place{at, member, -1, above}, true
		}
		switch m.Value.Kind() {
		case fhirjson.Object:
			if p, ok := locate(&m.Value, n, above); ok {
				return p, true
			}
		case fhirjson.Array:
			items := m.Value.Items()
			for j := range items {
				if &items[j] == n {
					return place{at, member, j, above}, true
				}
				if items[j].Kind() == fhirjson.Object {
					if p, ok := locate(&items[j], n, above); ok {
						return p, true
					}
				}
			}
		}
	}
	return place{}, false
}

// of finds the place of what a path led to.
func (t *tree) of(it fhirpath.Item) (place, *fhir.Issue) {
	for _, n := range []*fhirjson.Node{it.Node, it.Extra} {
		if n == nil {
			continue
		}
		if n == t.root {
			return place{}, fhir.Problem("processing", "The path of the patch leads to the resource itself.", "Lead it to an element of the resource.")
		}
		if p, ok := t.locate(n); ok {
			return p, nil
		}
	}
	return place{}, fhir.Problem("processing", "The path of the patch leads to something computed, not to an element.", "End it with the name of an element.")
}

// both calls fn for the value's array and for the one of what stands beside it.
func (p place) both(fn func(list *fhirjson.Node)) {
	for _, name := range []string{p.member, "_" + p.member} {
		if list := p.parent.Get(name); list.Kind() == fhirjson.Array {
			fn(list)
		}
	}
}

func (t *tree) remove(found fhirpath.Collection) *fhir.Issue {
	if len(found) == 0 {
		return nil // what is not there is deleted already
	}
	it, issue := one(found)
	if issue != nil {
		return issue
	}
	p, issue := t.of(it)
	if issue != nil {
		return issue
	}
	if p.index < 0 {
		p.parent.Delete(p.member)
		p.parent.Delete("_" + p.member)
	} else {
		p.both(func(list *fhirjson.Node) {
			if p.index < list.Len() {
				take(list, p.index)
			}
		})
		p.tidy()
	}
	prune(t.root, p.above)
	return nil
}

// tidy removes arrays without content: empty ones, and those of nulls only beside values.
func (p place) tidy() {
	for _, name := range []string{p.member, "_" + p.member} {
		list := p.parent.Get(name)
		if list.Kind() != fhirjson.Array {
			continue
		}
		empty := true
		for i := range list.Items() {
			empty = empty && list.Items()[i].Kind() == fhirjson.Null
		}
		if empty {
			p.parent.Delete(name)
		}
	}
}

// prune removes the objects that a deletion left empty, from the inside out: FHIR has no empty elements.
func prune(root *fhirjson.Node, above []*fhirjson.Node) {
	for i := len(above) - 1; i > 0 && above[i].Len() == 0; i-- {
		p, ok := locate(root, above[i], nil)
		if !ok {
			return
		}
		if p.index < 0 {
			p.parent.Delete(p.member)
			continue
		}
		if list := p.parent.Get(p.member); list != nil {
			take(list, p.index)
			p.tidy()
		}
	}
}

func (t *tree) replace(found fhirpath.Collection, p parts) *fhir.Issue {
	it, issue := one(found)
	if issue != nil {
		return issue
	}
	at, issue := t.of(it)
	if issue != nil {
		return issue
	}
	v, extra, issue := build(it.Type, p.value)
	if issue != nil {
		return issue
	}
	if at.index < 0 {
		if kind, _ := valueOf(p.value); kind != "" && it.Type != "" {
			// value[x] may change its type, and its name with it.
			if stem, ok := stemOf(at.member, it.Type); ok {
				at.parent.Delete("_" + at.member)
				if rename := stem + kind; rename != at.member && hasChoice(at, stem, t) {
					at.parent.Delete(at.member)
					at.member = rename
				}
			}
		}
		at.parent.Delete("_" + at.member)
		if v != nil {
			at.parent.Set(at.member, *v)
		} else {
			at.parent.Delete(at.member)
		}
		if extra != nil {
			at.parent.Set("_"+at.member, *extra)
		}
		return nil
	}
	set := func(name string, v *fhirjson.Node) {
		list := at.parent.Get(name)
		if list == nil && v == nil {
			return
		}
		if list.Kind() != fhirjson.Array {
			at.parent.Set(name, fhirjson.NewArray())
			list = at.parent.Get(name)
		}
		for list.Len() <= at.index {
			list.Append(fhirjson.NewNull())
		}
		list.Items()[at.index] = fhirjson.NewNull()
		if v != nil {
			list.Items()[at.index] = *v
		}
	}
	set(at.member, v)
	set("_"+at.member, extra)
	at.tidy()
	return nil
}

// stemOf is the name of a choice without its type: "value" of valueQuantity.
func stemOf(member, typ string) (string, bool) {
	return strings.CutSuffix(member, strings.ToUpper(typ[:1])+typ[1:])
}

// hasChoice says whether stem[x] is an element of the object at a place.
func hasChoice(p place, stem string, t *tree) bool {
	typ, ok := typeAt(t.root, t.typ, p.parent)
	if !ok {
		return false
	}
	_, choice, _ := (&fhir.Model{}).ElementType(typ, stem)
	return choice
}

// typeAt is the type of an object in a tree.
func typeAt(at *fhirjson.Node, typ string, n *fhirjson.Node) (string, bool) {
	if at == n {
		return typ, true
	}
	if r := at.Get("resourceType").Text(); r != "" {
		typ = r
	}
	for i := range at.Members() {
		m := &at.Members()[i]
		_, inner, _, ok := placeOf(typ, m.Name, "")
		if !ok {
			continue
		}
		switch m.Value.Kind() {
		case fhirjson.Object:
			if s, ok := typeAt(&m.Value, inner, n); ok {
				return s, true
			}
		case fhirjson.Array:
			for j := range m.Value.Items() {
				if v := &m.Value.Items()[j]; v.Kind() == fhirjson.Object {
					if s, ok := typeAt(v, inner, n); ok {
						return s, true
					}
				}
			}
		}
	}
	return "", false
}

// list finds the one array whose items a path led to.
func (t *tree) list(found fhirpath.Collection) (place, int, *fhir.Issue) {
	if len(found) == 0 {
		return place{}, 0, fhir.Problem("processing", "The path of the patch leads to no list.", "Use add for the first item of a list.")
	}
	p, issue := t.of(found[0])
	if issue != nil {
		return p, 0, issue
	}
	if p.index < 0 {
		return p, 0, fhir.Problem("processing", "The path of the patch does not lead to a list.", "Lead it to an element that repeats, without an index.")
	}
	n := max(p.parent.Get(p.member).Len(), p.parent.Get("_"+p.member).Len())
	if n != len(found) {
		return p, 0, fhir.Problem("processing", "The path of the patch leads to a part of a list only.", "Lead it to the whole list, without an index or where().")
	}
	return p, n, nil
}

func outside() *fhir.Issue {
	return fhir.Problem("processing", "An index of the patch lies outside the list.", "Indexes count from 0.")
}

func (t *tree) insert(found fhirpath.Collection, p parts) *fhir.Issue {
	at, n, issue := t.list(found)
	if issue != nil {
		return issue
	}
	if p.index > n {
		return outside()
	}
	v, extra, issue := build(found[0].Type, p.value)
	if issue != nil {
		return issue
	}
	in := func(name string, v *fhirjson.Node) {
		list := at.parent.Get(name)
		if list == nil && v == nil {
			return
		}
		if list.Kind() != fhirjson.Array {
			at.parent.Set(name, fhirjson.NewArray())
			list = at.parent.Get(name)
		}
		for list.Len() < n {
			list.Append(fhirjson.NewNull())
		}
		if v == nil {
			insert(list, p.index, fhirjson.NewNull())
			return
		}
		insert(list, p.index, *v)
	}
	in(at.member, v)
	in("_"+at.member, extra)
	return nil
}

func (t *tree) move(found fhirpath.Collection, p parts) *fhir.Issue {
	at, n, issue := t.list(found)
	if issue != nil {
		return issue
	}
	if p.source >= n || p.destination >= n {
		return outside()
	}
	at.both(func(list *fhirjson.Node) {
		for list.Len() < n {
			list.Append(fhirjson.NewNull())
		}
		v := list.Items()[p.source]
		take(list, p.source)
		insert(list, p.destination, v)
	})
	return nil
}
