package fhirpatch

import (
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Diff returns the FHIRPath Patch, a Parameters resource, that turns one resource into another of its type: FHIRPath(from, patch)
// equals to. Within lists items are compared by their place. Errors are *fhir.Issue: the two are of different types, or hold what
// a FHIRPath Patch cannot say.
func Diff(from, to *fhirjson.Node) (*fhirjson.Node, error) {
	typ := from.Get("resourceType").Text()
	if typ == "" || typ != to.Get("resourceType").Text() {
		return nil, fhir.Problem("value", "Two resources of different types have no differences that a patch could say.", "Compare two of one type.")
	}
	d := differ{}
	if err := d.object(typ, typ, from, to); err != nil {
		return nil, err
	}
	out := fhir.Object("resourceType", "Parameters")
	if len(d.operations) > 0 {
		out.Set("parameter", fhirjson.NewArray(d.operations...))
	}
	return &out, nil
}

type differ struct{ operations []fhirjson.Node }

func part(name, value string, v fhirjson.Node) fhirjson.Node {
	return fhirjson.NewObject(fhirjson.Member{Name: "name", Value: fhirjson.NewString(name)}, fhirjson.Member{Name: value, Value: v})
}

// operation adds one; name is that of an added element, value the part that holds what is added or put in its place.
func (d *differ) operation(kind, path, name string, value *fhirjson.Node) {
	parts := []fhirjson.Node{part("type", "valueCode", fhirjson.NewString(kind)), part("path", "valueString", fhirjson.NewString(path))}
	if name != "" {
		parts = append(parts, part("name", "valueString", fhirjson.NewString(name)))
	}
	if value != nil {
		parts = append(parts, *value)
	}
	d.operations = append(d.operations, fhirjson.NewObject(fhirjson.Member{Name: "name", Value: fhirjson.NewString("operation")},
		fhirjson.Member{Name: "part", Value: fhirjson.NewArray(parts...)}))
}

// object compares two objects of a type at a path: what is gone first, so that a choice can change its type.
func (d *differ) object(path, typ string, from, to *fhirjson.Node) error {
	members := elementsOf(from, to)
	for _, m := range members {
		if has(from, m) && !has(to, m) {
			d.gone(typ, path, m, from)
		}
	}
	for _, m := range members {
		if !has(to, m) || sameElement(from, to, m) {
			continue
		}
		var err error
		if !has(from, m) {
			err = d.added(typ, path, m, to, 0)
		} else {
			err = d.changed(typ, path, m, from, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elementsOf are the names of the elements of two objects, without underscores.
func elementsOf(nodes ...*fhirjson.Node) (out []string) {
	seen := map[string]bool{"resourceType": true}
	for _, n := range nodes {
		for _, m := range n.Members() {
			if name := strings.TrimPrefix(m.Name, "_"); !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

func has(n *fhirjson.Node, m string) bool { return n.Get(m) != nil || n.Get("_"+m) != nil }

func sameNode(a, b *fhirjson.Node) bool {
	return a == nil && b == nil || a != nil && b != nil && fhirjson.Equal(a, b)
}

func sameElement(a, b *fhirjson.Node, m string) bool {
	return sameNode(a.Get(m), b.Get(m)) && sameNode(a.Get("_"+m), b.Get("_"+m))
}

// pathOf is the FHIRPath of a member: a choice without its type.
func pathOf(typ, path, member string) string {
	if _, inner, _, ok := placeOf(typ, member, ""); ok {
		if stem, choice := stemOf(member, inner); choice {
			if _, isChoice, _ := (&fhir.Model{}).ElementType(typ, stem); isChoice {
				member = stem
			}
		}
	}
	return path + "." + member
}

func lengthOf(n *fhirjson.Node, m string) int {
	return max(n.Get(m).Len(), n.Get("_"+m).Len())
}

func isList(n *fhirjson.Node, m string) bool {
	return n.Get(m).Kind() == fhirjson.Array && n.Get(m) != nil || n.Get("_"+m).Kind() == fhirjson.Array && n.Get("_"+m) != nil
}

func (d *differ) gone(typ, path, m string, from *fhirjson.Node) {
	at := pathOf(typ, path, m)
	if !isList(from, m) {
		d.operation("delete", at, "", nil)
		return
	}
	for i := lengthOf(from, m) - 1; i >= 0; i-- {
		d.operation("delete", at+"["+strconv.Itoa(i)+"]", "", nil)
	}
}

// added adds an element, of a list the items from an index on.
func (d *differ) added(typ, path, m string, to *fhirjson.Node, start int) error {
	_, inner, _, ok := placeOf(typ, m, "")
	if !ok {
		return fhir.Problem("not-supported", "The resources hold an element that R4 does not define.", "Read both versions and compare them.").At(path + "." + short(m))
	}
	if !isList(to, m) {
		v, err := valuePart("value", inner, to.Get(m), to.Get("_"+m))
		if err == nil {
			d.operation("add", path, m, v)
		}
		return err
	}
	for i := start; i < lengthOf(to, m); i++ {
		v, err := valuePart("value", inner, itemAt(to.Get(m), i), itemAt(to.Get("_"+m), i))
		if err != nil {
			return err
		}
		d.operation("add", path, m, v)
	}
	return nil
}

func itemAt(list *fhirjson.Node, i int) *fhirjson.Node {
	items := list.Items()
	if i >= len(items) || items[i].Kind() == fhirjson.Null {
		return nil
	}
	return &items[i]
}

func (d *differ) changed(typ, path, m string, from, to *fhirjson.Node) error {
	_, inner, _, ok := placeOf(typ, m, "")
	if !ok {
		return d.added(typ, path, m, to, 0) // which says what is wrong
	}
	at := pathOf(typ, path, m)
	if !isList(from, m) || !isList(to, m) {
		return d.item(at, inner, from.Get(m), from.Get("_"+m), to.Get(m), to.Get("_"+m))
	}
	was, is := lengthOf(from, m), lengthOf(to, m)
	for i := was - 1; i >= is; i-- {
		d.operation("delete", at+"["+strconv.Itoa(i)+"]", "", nil)
	}
	for i := range min(was, is) {
		a, ax, b, bx := itemAt(from.Get(m), i), itemAt(from.Get("_"+m), i), itemAt(to.Get(m), i), itemAt(to.Get("_"+m), i)
		if sameNode(a, b) && sameNode(ax, bx) {
			continue
		}
		if err := d.item(at+"["+strconv.Itoa(i)+"]", inner, a, ax, b, bx); err != nil {
			return err
		}
	}
	return d.added(typ, path, m, to, was)
}

// item compares two values of a type at a path: objects part by part, everything else as a whole.
func (d *differ) item(at, typ string, a, ax, b, bx *fhirjson.Node) error {
	if a != nil && b != nil && ax == nil && bx == nil && a.Kind() == fhirjson.Object && b.Kind() == fhirjson.Object && b.Len() > 0 && shareElement(a, b) &&
		a.Get("resourceType") == nil && b.Get("resourceType") == nil {
		return d.object(at, typ, a, b)
	}
	v, err := valuePart("value", typ, b, bx)
	if err == nil {
		d.operation("replace", at, "", v)
	}
	return err
}

// shareElement says whether two objects have an element in common: otherwise deletions would leave nothing to add to.
func shareElement(a, b *fhirjson.Node) bool {
	for _, m := range a.Members() {
		if b.Get(m.Name) != nil {
			return true
		}
	}
	return false
}

// inParameters are the complex types that Parameters.value[x] can hold.
var inParameters = func() map[string]bool {
	out := map[string]bool{}
	for t := range strings.FieldsSeq("Address Age Annotation Attachment CodeableConcept Coding ContactPoint Count Distance Duration HumanName Identifier Money Period Quantity Range Ratio " +
		"Reference SampledData Signature Timing ContactDetail Contributor DataRequirement Expression ParameterDefinition RelatedArtifact TriggerDefinition UsageContext Dosage Meta") {
		out[t] = true
	}
	return out
}()

// valuePart describes a value as a part: a value[x], a resource, or parts of parts.
func valuePart(name, typ string, v, extra *fhirjson.Node) (*fhirjson.Node, error) {
	out := fhirjson.NewObject(fhirjson.Member{Name: "name", Value: fhirjson.NewString(name)})
	set := func(member string, n *fhirjson.Node) {
		if n != nil {
			out.Set(member, n.Clone())
		}
	}
	switch {
	case v.Kind() == fhirjson.Object && v.Get("resourceType") != nil:
		set("resource", v)
	case v.Kind() == fhirjson.Object && v != nil && !inParameters[typ]:
		var parts []fhirjson.Node
		for _, m := range elementsOf(v) {
			_, inner, _, ok := placeOf(typ, m, "")
			if !ok {
				return nil, fhir.Problem("not-supported", "The resources hold an element that R4 does not define.", "Read both versions and compare them.").At(short(typ + "." + m))
			}
			n, x := v.Get(m), v.Get("_"+m)
			if !isList(v, m) {
				p, err := valuePart(m, inner, n, x)
				if err != nil {
					return nil, err
				}
				parts = append(parts, *p)
				continue
			}
			for i := range lengthOf(v, m) {
				p, err := valuePart(m, inner, itemAt(n, i), itemAt(x, i))
				if err != nil {
					return nil, err
				}
				parts = append(parts, *p)
			}
		}
		out.Set("part", fhirjson.NewArray(parts...))
	default:
		kind := typ[strings.LastIndexAny(typ, "./")+1:]
		switch kind {
		case "xhtml", "String":
			kind = "string"
		}
		kind = strings.ToUpper(kind[:1]) + kind[1:]
		set("value"+kind, v)
		set("_value"+kind, extra)
	}
	return &out, nil
}
