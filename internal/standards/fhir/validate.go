package fhir

import (
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhirjson"
)

// maxIssues bounds the answer about one document; who has this many faults
// needs no complete list.
const maxIssues = 100

// Validate checks the structure of a resource against R4: element names,
// cardinality, the JSON form and format of every value, choices, primitive
// extensions, contained resources, resources inside Bundle and Parameters,
// literal references and their target types, and codes of required bindings
// that R4 lists. It checks no invariants, no profiles and no terminology
// beyond that.
//
// Texts hold no values of the document. A nil result means the structure is
// valid; issues of severity warning may come alone.
func Validate(n *fhirjson.Node) Issues {
	v := validators.Get().(*validator)
	v.shapes = shapes()
	v.resource(n, "")
	issues := v.issues
	v.issues, v.path, v.full = nil, v.path[:0], false
	validators.Put(v)
	return issues
}

var validators = sync.Pool{New: func() any { return &validator{path: make([]step, 0, 64)} }}

// validator walks one document.
type validator struct {
	shapes map[string]*shape
	path   []step
	issues Issues
	full   bool
}

// step is one element on the way to the value being checked.
type step struct {
	name  string
	index int // -1 if the element does not repeat
}

func (v *validator) push(name string, index int) { v.path = append(v.path, step{name, index}) }
func (v *validator) pop()                        { v.path = v.path[:len(v.path)-1] }

// resource checks a whole resource. inside is the element that holds it, or ""
// for the document itself.
func (v *validator) resource(n *fhirjson.Node, inside string) {
	if n.Kind() != fhirjson.Object {
		v.report(n, "structure", "A resource is a JSON object, not "+n.Kind().String()+".", `Send { "resourceType": … }.`)
		return
	}
	rt := n.Get("resourceType")
	name := rt.Text()
	if rt == nil || rt.Kind() != fhirjson.String {
		v.report(n, "structure", "The resourceType is missing.", `Add "resourceType" with the name of the resource type, such as "Patient".`)
		return
	}
	s := v.shapes[name]
	if s == nil || !s.resource || !IsResourceType(name) {
		v.report(rt, "structure", "This resourceType is not a resource type of FHIR R4.", nearestType(name))
		return
	}
	if inside == "" {
		v.push(name, -1)
		defer v.pop()
	}
	if inside == "contained" && n.Get("contained") != nil {
		v.report(n.Get("contained"), "structure", "A contained resource cannot contain resources itself.", "Move them to the contained list of the outermost resource.")
	}
	v.object(n, s, nil)
}

// object checks the members of an object against its shape. in is the slot it
// fills; nil for a resource.
func (v *validator) object(n *fhirjson.Node, s *shape, in *slot) {
	if n.Kind() != fhirjson.Object {
		v.notObject(n, in)
		return
	}
	members := n.Members()
	var present [maxParts / 64]uint64
	content := 0
	for i := range members {
		m := &members[i]
		name := m.Name
		sl := s.slots[name]
		if sl == nil {
			if name == "resourceType" && s.resource {
				continue
			}
			if sl = v.sibling(n, s, m); sl == nil {
				content++ // already reported; not empty as well
				continue
			}
		} else {
			v.value(n, &m.Value, sl)
		}
		if name != "id" {
			content++
		}
		word, bit := sl.part/64, uint64(1)<<(sl.part%64)
		if present[word]&bit != 0 && s.parts[sl.part].choice {
			v.twoChoices(n, s, sl)
		}
		present[word] |= bit
	}
	for _, r := range s.required {
		if present[r/64]&(1<<(r%64)) == 0 {
			v.missing(n, s, r)
		}
	}
	if content == 0 && !s.resource && s.extra != elementExtra {
		v.report(n, "structure", "An element has no content.", "Give it a value, or leave it out.")
	}
	switch s.extra {
	case referenceExtra:
		v.reference(n, in)
	case extensionExtra:
		v.extension(n)
	}
}

// value checks what stands at a slot of the object parent.
func (v *validator) value(parent, n *fhirjson.Node, sl *slot) {
	if sl.many {
		if n.Kind() != fhirjson.Array {
			v.push(sl.name, -1)
			v.notArray(n)
			v.pop()
			return
		}
		v.items(parent, n, sl)
		return
	}
	v.push(sl.name, -1)
	if n.Kind() == fhirjson.Array {
		v.report(n, "structure", "This element does not repeat, but an array stands here.", "Write the one value without [ ].")
	} else {
		v.single(parent, n, sl, -1)
	}
	v.pop()
}

func (v *validator) items(parent, n *fhirjson.Node, sl *slot) {
	items := n.Items()
	v.push(sl.name, -1)
	if len(items) == 0 {
		v.report(n, "structure", "An array is empty.", "Add a value, or leave the element out.")
	}
	v.count(n, sl, len(items))
	for i := range items {
		v.path[len(v.path)-1].index = i
		v.single(parent, &items[i], sl, i)
	}
	v.pop()
}

// count checks cardinality other than 0, 1 and *.
func (v *validator) count(n *fhirjson.Node, sl *slot, count int) {
	switch {
	case sl.max > 1 && count > sl.max:
		v.report(n, "structure", "There are more values than the "+itoa(sl.max)+" allowed.", "Remove some.")
	case sl.min > 1 && count > 0 && count < sl.min:
		v.report(n, "required", "At least "+itoa(sl.min)+" values are required.", "Add the others.")
	}
}

// single checks one value; index is its place in an array, or -1.
func (v *validator) single(parent, n *fhirjson.Node, sl *slot, index int) {
	switch {
	case sl.prim != 0:
		v.primitive(parent, n, sl, index)
	case sl.shape == nil:
		v.resource(n, sl.name)
	default:
		v.object(n, sl.shape, sl)
		if sl.codes != nil {
			v.boundObject(n, sl)
		}
	}
}

func (v *validator) primitive(parent, n *fhirjson.Node, sl *slot, index int) {
	if n.Kind() != sl.prim.json() {
		if n.Kind() == fhirjson.Null {
			v.null(parent, n, sl, index)
			return
		}
		v.wrongKind(n, sl)
		return
	}
	text := n.Text()
	if !sl.prim.valid(text) {
		what := "This is not a valid " + sl.typ + "."
		if text == "" {
			what = "This " + sl.typ + " is empty."
		}
		v.report(n, "value", what, sl.prim.remedy())
		return
	}
	if sl.codes != nil && !sl.codes.has(text) {
		v.wrongCode(n, sl.codes, text)
	}
	if sl.prim == primString && strings.TrimSpace(text) == "" {
		v.warn(n, "value", "This text is only white space.", "Leave the element out, or write text.")
	}
}

// null checks a null among repeated primitives: it holds the place of a value
// that has only extensions.
func (v *validator) null(parent, n *fhirjson.Node, sl *slot, index int) {
	if index >= 0 {
		others := parent.Get("_" + sl.json).Items()
		if index < len(others) && others[index].Kind() == fhirjson.Object {
			return
		}
		v.report(n, "structure", "A null stands here without an extension at the same place of _"+sl.json+".", "Remove the null, or give the reason in _"+sl.json+".")
		return
	}
	v.report(n, "structure", "FHIR JSON does not use null for a missing value.", "Leave the element out.")
}

// sibling checks a member "_name", which holds id and extensions of primitive
// values. It returns the slot of name, or nil after reporting an unknown
// element.
func (v *validator) sibling(parent *fhirjson.Node, s *shape, m *fhirjson.Member) *slot {
	var sl *slot
	if len(m.Name) > 1 && m.Name[0] == '_' {
		sl = s.slots[m.Name[1:]]
	}
	if sl == nil {
		v.unknown(&m.Value, s, m.Name)
		return nil
	}
	v.push(sl.name, -1)
	defer v.pop()
	if sl.prim == 0 {
		v.report(&m.Value, "structure", "Only elements of primitive types have a member with an underscore; this one is of type "+sl.typ+".", `Put "extension" inside the element itself.`)
		return nil
	}
	values := parent.Get(sl.json)
	if !sl.many {
		if m.Value.Kind() != fhirjson.Object {
			v.report(&m.Value, "structure", "_"+sl.json+" holds "+m.Value.Kind().String()+".", `Write an object with "extension" or "id".`)
			return sl
		}
		v.primitiveExtras(&m.Value, values != nil && values.Kind() != fhirjson.Null)
		return sl
	}
	if m.Value.Kind() != fhirjson.Array {
		v.report(&m.Value, "structure", "_"+sl.json+" holds "+m.Value.Kind().String()+".", "The element repeats: write an array, with null where a value has no extension.")
		return sl
	}
	v.siblings(m.Value.Items(), &m.Value, values, sl)
	return sl
}

func (v *validator) siblings(extras []fhirjson.Node, n, values *fhirjson.Node, sl *slot) {
	items := values.Items()
	if values != nil && len(extras) != len(items) {
		// Published guides and HL7's own tests leave trailing nulls out.
		v.warn(n, "structure", sl.json+" and _"+sl.json+" have different lengths.", "Fill up the shorter one with null, so that each extension stands at the place of its value.")
	}
	content := false
	for i := range extras {
		v.path[len(v.path)-1].index = i
		has := i < len(items) && items[i].Kind() != fhirjson.Null
		switch extras[i].Kind() {
		case fhirjson.Object:
			content = true
			v.primitiveExtras(&extras[i], has)
		case fhirjson.Null:
			if !has && values == nil {
				v.report(&extras[i], "structure", "A null stands here without a value at the same place of "+sl.json+".", "Remove the null, or add the value.")
			}
		default:
			v.report(&extras[i], "structure", "_"+sl.json+" holds "+extras[i].Kind().String()+".", `Write an object with "extension" or "id", or null.`)
		}
	}
	v.path[len(v.path)-1].index = -1
	if !content {
		v.report(n, "structure", "_"+sl.json+" has no content.", "Leave it out.")
	}
}

// primitiveExtras checks id and extensions of a primitive. Without a value
// there must be an extension.
func (v *validator) primitiveExtras(n *fhirjson.Node, hasValue bool) {
	v.object(n, v.shapes["Element"], nil)
	if n.Len() == 0 || !hasValue && n.Get("extension") == nil && n.Get("id") != nil {
		v.report(n, "structure", "This has neither a value nor an extension.", "Give it one, or leave it out.")
	}
}
