package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// row writes an element as tab-separated fields: path below the type, min,
// max, types (Reference(A,B)|string), binding strength, value set, content
// reference, flags (m modifier, s summary).
func row(s structure, e element) string {
	path := strings.TrimPrefix(e.Path, s.Name+".")
	var types []string
	for _, t := range e.Type {
		code := t.Code
		if strings.HasPrefix(code, "http://hl7.org/fhirpath/") {
			code = systemType(s, path)
		}
		var targets []string
		for _, p := range t.TargetProfile {
			if last(p) == "Resource" {
				targets = nil
				break
			}
			targets = append(targets, last(p))
		}
		if targets != nil {
			code += "(" + strings.Join(targets, ",") + ")"
		}
		types = append(types, code)
	}
	strength, set := "", ""
	if e.Binding != nil {
		strength = e.Binding.Strength
		set, _, _ = strings.Cut(e.Binding.ValueSet, "|")
	}
	flags := ""
	if e.IsModifier {
		flags += "m"
	}
	if e.IsSummary {
		flags += "s"
	}
	return strings.Join([]string{path, fmt.Sprint(e.Min), e.Max, strings.Join(types, "|"), strength, set, strings.TrimPrefix(e.ContentReference, "#"), flags}, "\t")
}

// systemType names the FHIR type of the elements published with a FHIRPath
// system type: ids and Extension.url.
func systemType(s structure, path string) string {
	switch {
	case s.Kind == "resource" && path == "id":
		return "id"
	case s.Name == "Extension" && path == "url":
		return "uri"
	}
	return "string"
}

// ruleRows writes the invariants that the type itself adds: key, severity,
// path below the type, expression. Inherited ones stand with the base type.
func ruleRows(typ string, e element) []string {
	var out []string
	for _, c := range e.Constraint {
		if c.Expression == "" || slices.Contains(notR4Rules, c.Key) {
			continue
		}
		if c.Source != "" && last(c.Source) != typ {
			continue
		}
		if typ != "Element" && c.Key == "ele-1" || typ != "Extension" && c.Key == "ext-1" {
			continue
		}
		path := strings.TrimPrefix(strings.TrimPrefix(e.Path, typ), ".")
		out = append(out, strings.Join([]string{c.Key, c.Severity, path, oneLine(c.Expression)}, "\t"))
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// typeLines: "T name kind base abstract", then a row per element.
func typeLines(types []pureType) []byte {
	var b bytes.Buffer
	for _, t := range types {
		abstract := ""
		if t.abstract {
			abstract = "abstract"
		}
		fmt.Fprintf(&b, "T\t%s\t%s\t%s\t%s\n", t.name, t.kind, t.base, abstract)
		for _, r := range t.rows {
			fmt.Fprintf(&b, "E\t%s\n", r)
		}
	}
	return b.Bytes()
}

// ruleLines: "T name", then a row per invariant.
func ruleLines(types []pureType) []byte {
	var b bytes.Buffer
	for _, t := range types {
		if len(t.rules) == 0 {
			continue
		}
		fmt.Fprintf(&b, "T\t%s\n", t.name)
		for _, r := range t.rules {
			fmt.Fprintf(&b, "R\t%s\n", r)
		}
	}
	return b.Bytes()
}

// searchLines: "P url code type bases targets expression", "C definition
// expression" per component of a composite, then "M compartment type params".
func searchLines(params []searchParam, compartments []compartment) []byte {
	var b bytes.Buffer
	for _, p := range params {
		fmt.Fprintf(&b, "P\t%s\t%s\t%s\t%s\t%s\t%s\n", p.URL, p.Code, p.Type, strings.Join(p.Base, ","), strings.Join(p.Target, ","), oneLine(p.Expression))
		for _, c := range p.Component {
			fmt.Fprintf(&b, "C\t%s\t%s\n", c.Definition, oneLine(c.Expression))
		}
	}
	for _, c := range compartments {
		for _, r := range c.Resource {
			if len(r.Param) > 0 {
				fmt.Fprintf(&b, "M\t%s\t%s\t%s\n", c.Code, r.Code, strings.Join(r.Param, ","))
			}
		}
	}
	return b.Bytes()
}
