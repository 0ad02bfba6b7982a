package profile

import (
	"encoding/xml"
	"errors"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// xmlElement is an element of a FHIR XML document.
type xmlElement struct {
	XMLName xml.Name
	Attrs   []xml.Attr   `xml:",any,attr"`
	Kids    []xmlElement `xml:",any"`
	Inner   string       `xml:",innerxml"`
	Text    string       `xml:",chardata"`
}

var errXML = errors.New("not FHIR XML")

// fromXML reads a document of the suite, many of which are XML, into the JSON form; unknown elements are an error.
func fromXML(data []byte) (*fhirjson.Node, error) {
	var root xmlElement
	if err := xml.Unmarshal(data, &root); err != nil {
		return nil, err
	}
	if !fhir.IsResourceType(root.XMLName.Local) {
		return nil, errXML
	}
	n, err := root.object(root.XMLName.Local)
	if err != nil {
		return nil, err
	}
	return &n, nil
}

func (x xmlElement) object(typ string) (fhirjson.Node, error) {
	obj := fhirjson.NewObject()
	if fhir.IsResourceType(typ) {
		obj.Set("resourceType", fhirjson.NewString(typ))
	}
	if strings.TrimSpace(x.Text) != "" {
		return obj, errXML
	}
	for _, a := range x.Attrs {
		switch {
		case a.Name.Local == "xmlns" || a.Name.Space != "":
		case a.Name.Local == "id" || a.Name.Local == "url" && typ == "Extension":
			obj.Set(a.Name.Local, fhirjson.NewString(a.Value))
		default:
			return obj, errXML
		}
	}
	k := kinds()[typ]
	if k == nil {
		return obj, errXML
	}
	type list struct{ values, extras []fhirjson.Node }
	lists := map[string]*list{}
	var order []string
	for _, kid := range x.Kids {
		name := kid.XMLName.Local
		f := k.fields[name]
		if f == nil {
			return obj, errXML
		}
		if lists[name] == nil {
			lists[name] = &list{}
			order = append(order, name)
		}
		v, e, err := kid.value(f)
		if err != nil {
			return obj, err
		}
		lists[name].values = append(lists[name].values, v)
		lists[name].extras = append(lists[name].extras, e)
	}
	for _, name := range order {
		put(&obj, name, lists[name].values, k.fields[name].many)
		put(&obj, "_"+name, lists[name].extras, k.fields[name].many)
	}
	return obj, nil
}

func (x xmlElement) value(f *field) (v, extra fhirjson.Node, err error) {
	switch {
	case f.typ == "xhtml":
		var b strings.Builder
		b.WriteString(`<div xmlns="http://www.w3.org/1999/xhtml"`)
		for _, a := range x.Attrs {
			if a.Name.Local != "xmlns" {
				name := a.Name.Local
				if strings.HasSuffix(a.Name.Space, "/namespace") {
					name = "xml:" + name
				}
				b.WriteString(" " + name + `="` + a.Value + `"`)
			}
		}
		return fhirjson.NewString(b.String() + ">" + x.Inner + "</div>"), extra, nil
	case f.typ == "Resource":
		if len(x.Kids) != 1 {
			return v, extra, errXML
		}
		v, err = x.Kids[0].object(x.Kids[0].XMLName.Local)
		return v, extra, err
	case !f.prim:
		v, err = x.object(f.typ)
		return v, extra, err
	}
	obj := fhirjson.NewObject()
	var exts []fhirjson.Node
	for _, a := range x.Attrs {
		switch {
		case a.Name.Local == "value":
			v = primitive(f.typ, a.Value)
		case a.Name.Local == "id":
			obj.Set("id", fhirjson.NewString(a.Value))
		case a.Name.Space == "":
			return v, extra, errXML
		}
	}
	for _, kid := range x.Kids {
		if kid.XMLName.Local != "extension" {
			return v, extra, errXML
		}
		e, err := kid.object("Extension")
		if err != nil {
			return v, extra, err
		}
		exts = append(exts, e)
	}
	if len(exts) > 0 {
		obj.Set("extension", fhirjson.NewArray(exts...))
	}
	if obj.Len() > 0 {
		extra = obj
	}
	if v.Kind() == fhirjson.Null && extra.Kind() == fhirjson.Null {
		v = fhirjson.NewString("")
	}
	return v, extra, nil
}

func put(obj *fhirjson.Node, name string, values []fhirjson.Node, many bool) {
	if !slices.ContainsFunc(values, func(n fhirjson.Node) bool { return n.Kind() != fhirjson.Null }) {
		return
	}
	if many || len(values) > 1 {
		obj.Set(name, fhirjson.NewArray(values...))
	} else {
		obj.Set(name, values[0])
	}
}

func primitive(typ, text string) fhirjson.Node {
	switch typ {
	case "boolean":
		if text == "true" || text == "false" {
			return fhirjson.NewBool(text == "true")
		}
	case "integer", "decimal", "positiveInt", "unsignedInt":
		if fhirjson.ValidNumber(text) {
			return fhirjson.NewNumber(text)
		}
	}
	return fhirjson.NewString(text)
}
