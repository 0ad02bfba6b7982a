package fhir

import (
	"fmt"
	"reflect"

	"yarrow.health/internal/standards/fhirjson"
)

// Merge applies to raw what changed between before and after, two structs of
// one generated type, where before was decoded from raw or from an earlier
// version of it. Everything else of raw survives byte for byte but for white
// space: members no struct has a field for, extensions of primitives, the text
// of decimals, and the extensions of list items that were moved or kept.
//
// A primitive that is removed takes its "_" sibling along; one that gets its
// first value loses the sibling's data-absent-reason. If raw and after changed
// the same element differently since before, Merge fails with an *Issue of
// code conflict that names the element.
func Merge(raw []byte, before, after any) ([]byte, error) {
	n, err := fhirjson.Parse(raw, fhirjson.Limits{})
	if err != nil {
		return nil, SyntaxIssue(err)
	}
	if err := MergeNode(n, before, after); err != nil {
		return nil, err
	}
	return n.AppendJSON(nil), nil
}

// MergeNode is Merge onto a tree, which it changes. After an error the tree is
// not to be used.
func MergeNode(raw *fhirjson.Node, before, after any) error {
	t := reflect.TypeOf(before)
	if t != reflect.TypeOf(after) || t.Kind() != reflect.Pointer {
		panic(fmt.Sprintf("fhir: Merge of %T and %T, which must be pointers to one type", before, after))
	}
	current := reflect.New(t.Elem()).Interface()
	if err := DecodeNode(raw, current); err != nil {
		return err
	}
	var trees [3]*fhirjson.Node
	for i, v := range []any{current, before, after} {
		n, err := encode(v, true)
		if err != nil {
			return err
		}
		trees[i] = n
	}
	name := t.Elem().Name()
	if issue := merge(raw, trees[0], trees[1], trees[2], name); issue != nil {
		return issue
	}
	return nil
}

// merge brings the changes from before to after into raw. current is raw as
// the struct sees it: where it equals before, nobody else changed it.
func merge(raw, current, before, after *fhirjson.Node, path string) *Issue {
	for _, name := range bothNames(before, after) {
		b, a, c := before.Get(name), after.Get(name), current.Get(name)
		switch {
		case same(b, a), same(c, a):
		case same(c, b):
			apply(raw, name, b, a)
		case b.Kind() == fhirjson.Object && a.Kind() == fhirjson.Object && c.Kind() == fhirjson.Object:
			if issue := merge(raw.Get(name), c, b, a, path+"."+name); issue != nil {
				return issue
			}
		default:
			return Problem("conflict", "Somebody else changed this element in the meantime.", "Look at the current version, then make the change again.").At(path + "." + name)
		}
	}
	return nil
}

func bothNames(before, after *fhirjson.Node) []string {
	names := make([]string, 0, before.Len()+2)
	for i := range before.Members() {
		names = append(names, before.Members()[i].Name)
	}
	for i := range after.Members() {
		if name := after.Members()[i].Name; before.Get(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// same is fhirjson.Equal that tells a missing value from null.
func same(a, b *fhirjson.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return fhirjson.Equal(a, b)
}

// apply changes the member name of raw, which holds what before says and maybe
// more, to what after says.
func apply(raw *fhirjson.Node, name string, before, after *fhirjson.Node) {
	r := raw.Get(name)
	switch {
	case after == nil:
		raw.Delete(name)
		raw.Delete("_" + name) // only primitives have one
		return
	case r == nil || before == nil || r.Kind() != after.Kind():
		set(raw, name, after)
		return
	case after.Kind() == fhirjson.Object:
		applyObject(r, before, after)
	case after.Kind() == fhirjson.Array:
		applyArray(raw, name, r, before, after)
	default:
		*r = after.Clone()
	}
	if isContainer(r) && r.Len() == 0 {
		raw.Delete(name)
	}
}

func isContainer(n *fhirjson.Node) bool {
	return n.Kind() == fhirjson.Object || n.Kind() == fhirjson.Array
}

// set gives raw a value it did not have. An existing "_" sibling said why the
// value was absent, which is over.
func set(raw *fhirjson.Node, name string, after *fhirjson.Node) {
	if isContainer(after) && after.Len() == 0 {
		return
	}
	raw.Set(name, after.Clone())
	sibling := raw.Get("_" + name)
	switch sibling.Kind() {
	case fhirjson.Object:
		if dropAbsentReason(sibling); sibling.Kind() == fhirjson.Null {
			raw.Delete("_" + name)
		}
	case fhirjson.Array:
		from := make([]int, after.Len())
		for i := range from {
			from[i] = i
			if i < sibling.Len() {
				dropAbsentReason(&sibling.Items()[i])
			}
		}
		moveSiblings(raw, name, from)
	}
}

const absentReason = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

func dropAbsentReason(sibling *fhirjson.Node) {
	ext := sibling.Get("extension")
	var kept []fhirjson.Node
	for _, e := range ext.Items() {
		if e.Get("url").Text() != absentReason {
			kept = append(kept, e)
		}
	}
	switch {
	case ext == nil || len(kept) > 0:
		ext.SetItems(kept)
	case sibling.Len() == 1:
		*sibling = fhirjson.NewNull()
	default:
		sibling.Delete("extension")
	}
}

func applyObject(raw, before, after *fhirjson.Node) {
	for _, name := range bothNames(before, after) {
		if b, a := before.Get(name), after.Get(name); !same(b, a) {
			apply(raw, name, b, a)
		}
	}
}

// applyArray changes a list. Each item of after is found again among the items
// of before, so that the item of raw at that place keeps what the struct does
// not show; the "_" sibling of a list of primitives moves along.
func applyArray(parent *fhirjson.Node, name string, raw, before, after *fhirjson.Node) {
	old, b, a := raw.Items(), before.Items(), after.Items()
	if len(old) != len(b) {
		*raw = after.Clone() // raw is not what before shows; callers exclude this
		return
	}
	from := align(b, a)
	items := make([]fhirjson.Node, len(a))
	for i := range a {
		switch j := from[i]; {
		case j < 0:
			items[i] = a[i].Clone()
		case same(&b[j], &a[i]):
			items[i] = old[j]
		case a[i].Kind() == fhirjson.Object && old[j].Kind() == fhirjson.Object:
			items[i] = old[j]
			applyObject(&items[i], &b[j], &a[i])
		default:
			items[i] = a[i].Clone()
		}
	}
	raw.SetItems(items)
	moveSiblings(parent, name, from)
}

// moveSiblings rearranges the "_" sibling of a list of primitives.
func moveSiblings(parent *fhirjson.Node, name string, from []int) {
	sibling := parent.Get("_" + name)
	if sibling.Kind() != fhirjson.Array {
		return
	}
	old := sibling.Items()
	items := make([]fhirjson.Node, len(from))
	content := false
	for i, j := range from {
		if j >= 0 && j < len(old) {
			items[i] = old[j]
			content = content || old[j].Kind() != fhirjson.Null
		}
	}
	if !content {
		parent.Delete("_" + name)
		return
	}
	sibling.SetItems(items)
}
