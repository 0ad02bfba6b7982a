package fhir

import (
	"fmt"
	"reflect"
	"strconv"

	"yarrow.health/internal/standards/fhirjson"
)

// Decode reads JSON into a generated struct, replacing what it holds. Member
// names are compared exactly. Members without a field (extensions of
// primitives, members that R4 does not have) are skipped; Merge keeps them.
//
// Decode checks only what it must to fill the fields: the resourceType and the
// JSON kind of values. Errors are *Issue. It panics if into is not a pointer
// to a struct.
func Decode(raw []byte, into any) error {
	n, err := fhirjson.Parse(raw, fhirjson.Limits{})
	if err != nil {
		return SyntaxIssue(err)
	}
	return DecodeNode(n, into)
}

// DecodeNode is Decode from a tree. Strings share the tree's memory.
func DecodeNode(n *fhirjson.Node, into any) error {
	p := reflect.ValueOf(into)
	if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("fhir: Decode into %T", into))
	}
	name := p.Elem().Type().Name()
	if r, ok := into.(Resource); ok {
		name = r.ResourceType()
		if got := n.Get("resourceType").Text(); got != name {
			if !IsResourceType(got) {
				got = "no known type"
			}
			return Problem("structure", "This is a resource of "+got+", not of "+name+".", "Read it as what it is.")
		}
	}
	v := p.Elem()
	v.SetZero()
	if issue := decodeObject(n, v, planOf(v.Type())); issue != nil {
		if issue.Path != "" {
			name += "." + issue.Path
		}
		return issue.At(name)
	}
	return nil
}

// wrong starts an error whose path grows on the way up.
func wrong(n *fhirjson.Node, want string) *Issue {
	return &Issue{Severity: "error", Code: "structure", Text: want + " belongs here, not " + n.Kind().String() + ".",
		Fix: "Validate the resource before reading it.", offset: n.Offset()}
}

func decodeObject(n *fhirjson.Node, v reflect.Value, p *plan) *Issue {
	if n.Kind() != fhirjson.Object {
		return wrong(n, "An object")
	}
	members := n.Members()
	for i := range members {
		at, ok := p.index[members[i].Name]
		if !ok {
			continue
		}
		f := &p.fields[at]
		if issue := decodeField(&members[i].Value, v.Field(at), f); issue != nil {
			switch {
			case issue.Path == "":
				issue.Path = f.name
			case issue.Path[0] == '[':
				issue.Path = f.name + issue.Path
			default:
				issue.Path = f.name + "." + issue.Path
			}
			return issue
		}
	}
	return nil
}

func decodeField(n *fhirjson.Node, v reflect.Value, f *fieldPlan) *Issue {
	if !f.many {
		if n.Kind() == fhirjson.Null {
			return nil
		}
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(f.elem))
			v = v.Elem()
		}
		return decodeValue(n, v, f)
	}
	if n.Kind() != fhirjson.Array {
		return wrong(n, "An array")
	}
	items := n.Items()
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i := range items {
		if items[i].Kind() == fhirjson.Null && f.kind == textField {
			continue
		}
		if issue := decodeValue(&items[i], v.Index(i), f); issue != nil {
			index := "[" + strconv.Itoa(i) + "]"
			if issue.Path != "" {
				index += "."
			}
			issue.Path = index + issue.Path
			return issue
		}
	}
	return nil
}

func decodeValue(n *fhirjson.Node, v reflect.Value, f *fieldPlan) *Issue {
	switch f.kind {
	case textField:
		if n.Kind() != fhirjson.String {
			return wrong(n, "A string")
		}
		v.SetString(n.Text())
	case decimalField:
		if n.Kind() != fhirjson.Number {
			return wrong(n, "A number")
		}
		v.SetString(n.Text())
	case boolField:
		if n.Kind() != fhirjson.Bool {
			return wrong(n, "A boolean")
		}
		v.SetBool(n.Text() == "true")
	case intField:
		whole, err := strconv.Atoi(n.Text())
		if n.Kind() != fhirjson.Number || err != nil {
			return wrong(n, "A whole number")
		}
		v.SetInt(int64(whole))
	case objectField:
		return decodeObject(n, v, f.plan)
	case rawField:
		if n.Kind() != fhirjson.Object {
			return wrong(n, "A resource")
		}
		v.SetBytes(n.AppendJSON(nil))
	}
	return nil
}
