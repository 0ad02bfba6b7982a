package fhir

import (
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhirjson"
)

// Encode writes a generated struct, or a pointer to one, as compact JSON:
// resourceType first, then the elements in their published order. What is
// empty is left out. Errors are *Issue: a Decimal that is no number, text that
// is no UTF-8, a Raw that is no JSON object.
//
// Encode loses what the struct has no field for; to change a stored resource
// use Merge.
func Encode(v any) ([]byte, error) {
	n, err := EncodeNode(v)
	if err != nil {
		return nil, err
	}
	return n.AppendJSON(nil), nil
}

// EncodeNode is Encode to a tree.
func EncodeNode(v any) (*fhirjson.Node, error) { return encode(v, false) }

// encode builds the tree; keepEmpty keeps empty objects, so that indexes and
// presence are those of the struct.
func encode(v any, keepEmpty bool) (*fhirjson.Node, error) {
	value := reflect.ValueOf(v)
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		panic(fmt.Sprintf("fhir: Encode of %T", v))
	}
	e := encoder{keepEmpty}
	typ := resourceTypeOf(value.Type())
	n, issue := e.object(value, planOf(value.Type()), typ)
	if issue != nil {
		if typ == "" {
			typ = value.Type().Name()
		}
		return nil, issue.At(typ + "." + issue.Path)
	}
	return &n, nil
}

// resourceTypeOf returns the name of a generated resource struct, or "".
func resourceTypeOf(t reflect.Type) string {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[Resource]()) {
		return t.Name()
	}
	return ""
}

type encoder struct{ keepEmpty bool }

func (e encoder) object(v reflect.Value, p *plan, resourceType string) (fhirjson.Node, *Issue) {
	filled := 1
	for i := range p.fields {
		if !v.Field(i).IsZero() {
			filled++
		}
	}
	members := make([]fhirjson.Member, 0, filled)
	if resourceType != "" {
		members = append(members, fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString(resourceType)})
	}
	for i := range p.fields {
		f := &p.fields[i]
		field := v.Field(i)
		if field.IsZero() {
			continue
		}
		value, ok, issue := e.field(field, f)
		if issue != nil {
			if issue.Path == "" {
				issue.Path = f.name
			} else if issue.Path[0] == '[' {
				issue.Path = f.name + issue.Path
			} else {
				issue.Path = f.name + "." + issue.Path
			}
			return fhirjson.Node{}, issue
		}
		if ok {
			members = append(members, fhirjson.Member{Name: f.name, Value: value})
		}
	}
	return fhirjson.NewObject(members...), nil
}

// field encodes a field that is not zero; ok is false if nothing is left of it.
func (e encoder) field(v reflect.Value, f *fieldPlan) (n fhirjson.Node, ok bool, issue *Issue) {
	if !f.many {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		n, issue = e.value(v, f)
		return n, e.keep(&n), issue
	}
	items := make([]fhirjson.Node, 0, v.Len())
	for i := range v.Len() {
		item, issue := e.value(v.Index(i), f)
		if issue != nil {
			index := "[" + strconv.Itoa(i) + "]"
			if issue.Path != "" {
				index += "."
			}
			issue.Path = index + issue.Path
			return n, false, issue
		}
		if e.keep(&item) {
			items = append(items, item)
		}
	}
	return fhirjson.NewArray(items...), len(items) > 0, nil
}

func (e encoder) keep(n *fhirjson.Node) bool {
	return e.keepEmpty || n.Kind() != fhirjson.Object || n.Len() > 0
}

func (e encoder) value(v reflect.Value, f *fieldPlan) (fhirjson.Node, *Issue) {
	switch f.kind {
	case decimalField:
		if !fhirjson.ValidNumber(v.String()) {
			return fhirjson.Node{}, Problem("value", "A decimal is not a number.", "Write it like 1.50.")
		}
		return fhirjson.NewNumber(v.String()), nil
	case boolField:
		return fhirjson.NewBool(v.Bool()), nil
	case intField:
		return fhirjson.NewNumber(strconv.FormatInt(v.Int(), 10)), nil
	case objectField:
		return e.object(v, f.plan, "")
	case rawField:
		n, err := fhirjson.Parse(v.Bytes(), fhirjson.Limits{})
		if err != nil {
			return fhirjson.Node{}, SyntaxIssue(err)
		}
		return *n, nil
	}
	text := v.String()
	if text == "" {
		return fhirjson.NewNull(), nil // the place of a value in a list of primitives
	}
	if !utf8.ValidString(text) {
		return fhirjson.Node{}, Problem("value", "A text is not UTF-8.", "Convert it first.")
	}
	return fhirjson.NewString(text), nil
}
