package fhirapi

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// narrowed applies _summary and _elements to a resource (R4 search, sections 3.1.1.5.8 and 3.1.1.5.9).
func (x *exchange) narrowed(typ string, resource []byte) ([]byte, error) {
	summary, elements, err := narrowing(typ, x.query.Get("_summary"), x.query.Get("_elements"))
	if err != nil {
		return nil, err
	}
	return subset(typ, resource, summary, elements)
}

// Elements leaves of a resource the elements named, those that must be there, and a mark that it is not whole. A name that the type
// does not have is an Issue.
func Elements(typ string, resource []byte, names []string) ([]byte, error) {
	if _, _, err := narrowing(typ, "", strings.Join(names, ",")); err != nil {
		return nil, err
	}
	return subset(typ, resource, "", names)
}

func narrowing(typ, summary, list string) (string, []string, error) {
	switch summary {
	case "", "true", "text", "data", "false":
	case "count":
		return "", nil, fhir.Problem("value", "_summary=count is for searches.", "Use one of: true, text, data, false.").At("http._summary")
	default:
		return "", nil, fhir.Problem("value", "_summary has a value it does not know.", "Use one of: true, text, data, false.").At("http._summary")
	}
	var elements []string
	if list != "" {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimPrefix(strings.TrimSpace(name), typ+".")
			if issue := fhirsearch.ElementOf(typ, name); issue != nil {
				return "", nil, issue.At("http._elements")
			}
			elements = append(elements, name)
		}
	}
	return summary, elements, nil
}

// subset leaves of a resource what was asked for, and marks it SUBSETTED. Elements that must be there stay.
func subset(typ string, raw []byte, summary string, elements []string) ([]byte, error) {
	if (summary == "" || summary == "false") && len(elements) == 0 {
		return raw, nil
	}
	n, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: len(raw)})
	if err != nil {
		return nil, err
	}
	def := fhir.Definition(typ)
	keep := func(name string) bool {
		switch name {
		case "resourceType", "id", "meta":
			return true
		}
		e := def.Named(name)
		switch {
		case e != nil && e.Min > 0:
			return true
		case len(elements) > 0:
			return slices.Contains(elements, name) || e != nil && strings.HasSuffix(e.Path, "[x]") && slices.Contains(elements, strings.TrimSuffix(e.Path[len(typ)+1:], "[x]")) ||
				e != nil && e.Modifier
		case summary == "text":
			return name == "text"
		case summary == "data":
			return name != "text"
		default:
			return name == "implicitRules" || name == "language" || e != nil && e.Summary
		}
	}
	out := fhirjson.NewObject()
	for _, m := range n.Members() {
		if keep(strings.TrimPrefix(m.Name, "_")) {
			v := m.Value
			if summary == "true" && len(elements) == 0 {
				v = summarised(def, typ, m.Name, v)
			}
			out.Set(m.Name, v)
		}
	}
	markSubset(&out)
	return out.AppendJSON(nil), nil
}

// summarised leaves out what is not in the summary inside a backbone element.
func summarised(def *fhir.Type, typ, path string, v fhirjson.Node) fhirjson.Node {
	switch v.Kind() {
	case fhirjson.Array:
		items := make([]fhirjson.Node, 0, v.Len())
		for i := range v.Items() {
			items = append(items, summarised(def, typ, path, v.Items()[i]))
		}
		return fhirjson.NewArray(items...)
	case fhirjson.Object:
	default:
		return v
	}
	if !hasChildren(def, typ, path) {
		return v
	}
	out := fhirjson.NewObject()
	for _, m := range v.Members() {
		name := path + "." + strings.TrimPrefix(m.Name, "_")
		e := elementBelow(def, path, strings.TrimPrefix(m.Name, "_"))
		if m.Name == "id" || e != nil && (e.Summary || e.Min > 0) {
			out.Set(m.Name, summarised(def, typ, name, m.Value))
		}
	}
	return out
}

func hasChildren(def *fhir.Type, typ, path string) bool {
	prefix := typ + "." + path + "."
	for i := range def.Elements {
		if strings.HasPrefix(def.Elements[i].Path, prefix) {
			return true
		}
	}
	return false
}

func elementBelow(def *fhir.Type, path, name string) *fhir.Element {
	if e := def.Element(path + "." + name); e != nil {
		return e
	}
	for i := range def.Elements {
		rest, ok := strings.CutPrefix(def.Elements[i].Path[len(def.Name)+1:], path+".")
		if stem, choice := strings.CutSuffix(rest, "[x]"); ok && choice && !strings.Contains(stem, ".") && strings.HasPrefix(name, stem) {
			return &def.Elements[i]
		}
	}
	return nil
}

// markSubset adds the SUBSETTED tag, so that nobody stores the rest of a resource over the whole of it.
func markSubset(n *fhirjson.Node) {
	tag := fhirjson.NewObject(
		fhirjson.Member{Name: "system", Value: fhirjson.NewString("http://terminology.hl7.org/CodeSystem/v3-ObservationValue")},
		fhirjson.Member{Name: "code", Value: fhirjson.NewString("SUBSETTED")})
	meta := n.Get("meta")
	if meta.Kind() != fhirjson.Object {
		n.Set("meta", fhirjson.NewObject(fhirjson.Member{Name: "tag", Value: fhirjson.NewArray(tag)}))
		return
	}
	if tags := meta.Get("tag"); tags.Kind() == fhirjson.Array {
		tags.Append(tag)
		return
	}
	meta.Set("tag", fhirjson.NewArray(tag))
}
