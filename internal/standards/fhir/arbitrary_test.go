package fhir

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhirjson"
)

// arbitrary draws resources from the definitions: every element may occur,
// with primitive extensions, nulls in lists and contained resources.
type arbitrary struct {
	t       *rapid.T
	strange bool // with members that R4 does not have
	budget  int  // values still to draw, to keep documents small
}

func arbitraryResource(t *rapid.T, typ string, strange bool) fhirjson.Node {
	a := &arbitrary{t, strange, 60}
	n := a.object(Definition(typ), "", 0)
	n.SetFirst("resourceType", fhirjson.NewString(typ))
	return n
}

func (a *arbitrary) chance(percent int) bool {
	return rapid.IntRange(0, 99).Draw(a.t, "chance") < percent
}

// object draws the inline structure at a path of a type ("" for the type).
func (a *arbitrary) object(t *Type, path string, depth int) fhirjson.Node {
	n := fhirjson.NewObject()
	prefix := t.Name + "."
	if path != "" {
		prefix += path + "."
	}
	for i := range t.Elements {
		e := &t.Elements[i]
		name, ok := strings.CutPrefix(e.Path, prefix)
		if !ok || strings.Contains(name, ".") {
			continue
		}
		if e.Min == 0 && (a.budget <= 0 || depth > 5 || !a.chance(12)) {
			continue
		}
		a.element(&n, t, e, name, depth)
	}
	if t.Name == "Extension" && n.Get("extension") != nil {
		for _, m := range append([]fhirjson.Member(nil), n.Members()...) {
			if strings.HasPrefix(strings.TrimPrefix(m.Name, "_"), "value") {
				n.Delete(m.Name)
			}
		}
	} else if t.Name == "Extension" && !hasValue(&n) {
		n.Set("valueDecimal", a.primitive("decimal"))
	}
	inside := t.Kind != "resource" || path != ""
	if inside && (n.Len() == 0 || n.Len() == 1 && n.Get("id") != nil) {
		n.Set("extension", fhirjson.NewArray(a.extension()))
	}
	if a.strange && a.chance(20) {
		n.Set("zz-unknown", fhirjson.NewNumber("1.500"))
	}
	return n
}

func hasValue(n *fhirjson.Node) bool {
	for _, m := range n.Members() {
		if strings.HasPrefix(strings.TrimPrefix(m.Name, "_"), "value") {
			return true
		}
	}
	return false
}

func (a *arbitrary) extension() fhirjson.Node {
	return fhirjson.NewObject(
		fhirjson.Member{Name: "url", Value: fhirjson.NewString("http://example.org/" + a.word())},
		fhirjson.Member{Name: "valueDecimal", Value: a.primitive("decimal")})
}

func (a *arbitrary) element(n *fhirjson.Node, t *Type, e *Element, name string, depth int) {
	a.budget--
	typ := ""
	if len(e.Types) > 0 {
		typ = rapid.SampledFrom(e.Types).Draw(a.t, "type")
	}
	if base, choice := strings.CutSuffix(name, "[x]"); choice {
		name = base + strings.ToUpper(typ[:1]) + typ[1:]
	}
	_, primitive := primitives[typ]
	count := 1
	if e.Max != 1 {
		count = rapid.IntRange(max(1, e.Min), max(2, e.Min)).Draw(a.t, "count")
	}
	values, siblings := make([]fhirjson.Node, count), make([]fhirjson.Node, count)
	extended := false
	for i := range count {
		values[i] = a.value(t, e, typ, depth)
		if primitive && name != "id" && !(t.Name == "Extension" && name == "url") && a.chance(15) {
			siblings[i] = fhirjson.NewObject(fhirjson.Member{Name: "extension", Value: fhirjson.NewArray(a.extension())})
			extended = true
			if a.chance(30) {
				values[i] = fhirjson.NewNull()
			}
		}
	}
	value, sibling := fhirjson.NewArray(values...), fhirjson.NewArray(siblings...)
	if e.Max == 1 {
		value, sibling = values[0], siblings[0]
	}
	if value.Kind() != fhirjson.Null {
		n.Set(name, value)
	}
	if extended {
		n.Set("_"+name, sibling)
	}
}

func (a *arbitrary) value(t *Type, e *Element, typ string, depth int) fhirjson.Node {
	path := e.Path
	if e.ContentRef != "" {
		path = e.ContentRef
	}
	switch {
	case e.ContentRef != "" || typ == "BackboneElement" || typ == "Element":
		return a.object(t, strings.TrimPrefix(path, t.Name+"."), depth+1)
	case typ == "Resource":
		return fhirjson.NewObject(
			fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString("Basic")},
			fhirjson.Member{Name: "code", Value: fhirjson.NewObject(fhirjson.Member{Name: "text", Value: fhirjson.NewString("x")})})
	case primitives[typ] != 0:
		if codes, ok := Codes(e.ValueSet); ok && e.Binding == "required" {
			return fhirjson.NewString(rapid.SampledFrom(codes).Draw(a.t, "code").Code)
		}
		return a.primitive(typ)
	}
	n := a.object(Definition(typ), "", depth+1)
	a.fit(&n, e, typ)
	return n
}

// fit makes a value fit its binding or its reference targets.
func (a *arbitrary) fit(n *fhirjson.Node, e *Element, typ string) {
	if codes, ok := Codes(e.ValueSet); ok && e.Binding == "required" && (typ == "CodeableConcept" || typ == "Coding") {
		c := rapid.SampledFrom(codes).Draw(a.t, "code")
		coding := n
		if typ == "CodeableConcept" {
			one := fhirjson.NewObject()
			n.Set("coding", fhirjson.NewArray(one))
			n.Delete("_coding")
			coding = &n.Get("coding").Items()[0]
		}
		for _, name := range []string{"system", "code"} {
			coding.Delete("_" + name)
		}
		coding.Set("system", fhirjson.NewString(c.System))
		coding.Set("code", fhirjson.NewString(c.Code))
	}
	if typ == "Reference" {
		target := "Basic"
		if len(e.Targets) > 0 {
			target = rapid.SampledFrom(e.Targets).Draw(a.t, "target")
		}
		if n.Get("reference") != nil {
			n.Set("reference", fhirjson.NewString(target+"/"+a.word()))
		}
	}
}

func (a *arbitrary) word() string { return rapid.StringMatching(`[a-z]{1,6}`).Draw(a.t, "word") }

func (a *arbitrary) primitive(typ string) fhirjson.Node {
	whole := func(low int) fhirjson.Node {
		return fhirjson.NewNumber(fmt.Sprint(rapid.IntRange(low, 1<<31-1).Draw(a.t, "whole")))
	}
	text := fhirjson.NewString
	switch typ {
	case "boolean":
		return fhirjson.NewBool(rapid.Bool().Draw(a.t, "bool"))
	case "integer":
		return whole(-1 << 31)
	case "unsignedInt":
		return whole(0)
	case "positiveInt":
		return whole(1)
	case "decimal":
		return fhirjson.NewNumber(rapid.SampledFrom([]string{"0", "1.50", "-0.00", "1e3", "12345678901234567890.10", "0.058154287164115435"}).Draw(a.t, "decimal"))
	case "date", "dateTime":
		return text(rapid.SampledFrom([]string{"2024", "2024-02", "2024-02-29", "1900-12-31"}).Draw(a.t, "date"))
	case "instant":
		return text("2024-02-29T23:59:60.123456+14:00")
	case "time":
		return text("23:59:00.5")
	case "base64Binary":
		return text("eWFycm93")
	case "oid":
		return text("urn:oid:1.2.840.0")
	case "uuid":
		return text("urn:uuid:c757873d-ec9a-4326-a141-556f43239520")
	case "xhtml":
		return text(`<div xmlns="http://www.w3.org/1999/xhtml">x</div>`)
	case "string", "markdown":
		return text(a.word() + rapid.SampledFrom([]string{"", " ", "é", "\"", "\n", "😀", "\\", "\u2028"}).Draw(a.t, "odd"))
	}
	return text(a.word()) // code, id, uri …
}
