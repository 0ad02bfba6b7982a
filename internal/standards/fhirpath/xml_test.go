package fhirpath_test

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// xmlElement is an element of a FHIR XML document.
type xmlElement struct {
	XMLName xml.Name
	Attrs   []xml.Attr   `xml:",any,attr"`
	Kids    []xmlElement `xml:",any"`
	Inner   string       `xml:",innerxml"`
}

// fromXML reads an input of the official suite, which are XML, into the JSON form. It needs no more than
// the evaluator does: an element that occurs once is no array.
func fromXML(t testing.TB, data []byte) *fhirjson.Node {
	t.Helper()
	var root xmlElement
	if err := xml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	n, _ := root.node(root.XMLName.Local)
	return &n
}

// node returns the value of an element and, for a primitive, its sibling with id and extensions.
func (x xmlElement) node(typ string) (value, extra fhirjson.Node) {
	if typ == "xhtml" {
		return fhirjson.NewString(`<div xmlns="http://www.w3.org/1999/xhtml">` + x.Inner + "</div>"), extra
	}
	obj := fhirjson.NewObject()
	if fhir.IsResourceType(typ) {
		obj.Set("resourceType", fhirjson.NewString(typ))
	}
	for _, a := range x.Attrs {
		switch {
		case a.Name.Local == "value" && a.Name.Space == "":
			value = primitive(typ, a.Value)
		case a.Name.Local == "id" || a.Name.Local == "url":
			obj.Set(a.Name.Local, fhirjson.NewString(a.Value))
		}
	}
	type list struct{ values, extras []fhirjson.Node }
	kids := map[string]*list{}
	var order []string
	for _, k := range x.Kids {
		name := k.XMLName.Local
		childType := typeOfChild(typ, name)
		if childType == "Resource" && len(k.Kids) == 1 {
			k = k.Kids[0]
			childType = k.XMLName.Local
		}
		if kids[name] == nil {
			kids[name] = &list{}
			order = append(order, name)
		}
		v, e := k.node(childType)
		kids[name].values = append(kids[name].values, v)
		kids[name].extras = append(kids[name].extras, e)
	}
	for _, name := range order {
		put(&obj, name, kids[name].values)
		put(&obj, "_"+name, kids[name].extras)
	}
	if typ != "" && unicode.IsLower(rune(typ[0])) && !strings.Contains(typ, ".") {
		if obj.Len() > 0 {
			extra = obj
		}
		return value, extra
	}
	return obj, extra
}

// put sets a member to one value or an array, unless all are null.
func put(obj *fhirjson.Node, name string, values []fhirjson.Node) {
	some := false
	for i := range values {
		some = some || values[i].Kind() != fhirjson.Null
	}
	switch {
	case !some:
	case len(values) == 1 && name != "extension" && name != "contained":
		obj.Set(name, values[0])
	default:
		obj.Set(name, fhirjson.NewArray(values...))
	}
}

func primitive(typ, text string) fhirjson.Node {
	switch typ {
	case "boolean":
		return fhirjson.NewBool(text == "true")
	case "integer", "decimal", "positiveInt", "unsignedInt":
		return fhirjson.NewNumber(text)
	}
	return fhirjson.NewString(text)
}

// typeOfChild finds the type of an element as written, a choice with its type's name at the end.
func typeOfChild(parent, name string) string {
	if name == "extension" {
		return "Extension"
	}
	if typ, choice, ok := model.ElementType(parent, name); ok && !choice {
		return typ
	}
	for i := len(name) - 1; i > 0; i-- {
		if !unicode.IsUpper(rune(name[i])) {
			continue
		}
		for _, typ := range model.Choices(parent, name[:i]) {
			if strings.EqualFold(typ, name[i:]) {
				return typ
			}
		}
	}
	return fmt.Sprintf("unknown.%s.%s", parent, name)
}
