package fhirxml

import (
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhir"
)

// Namespaces of FHIR and of narrative.
const (
	Namespace = "http://hl7.org/fhir"
	xhtml     = "http://www.w3.org/1999/xhtml"
)

// child is one element that may stand inside a type, under its name in documents: choices are spelled out.
type child struct {
	name  string
	typ   string // type name, or the path of an inline structure
	many  bool
	attr  bool // an attribute in XML: id of an element, url of an extension
	plain kind
}

// kind says how a value is written.
type kind uint8

const (
	structured kind = iota
	text            // primitive, a string in JSON
	number          // primitive, a number in JSON
	boolean         // primitive, a boolean in JSON
	resource        // any resource, inside an element of its own
	narrative       // xhtml
)

// table is what may stand inside a type, in the order it must be written.
type table struct {
	order  []*child
	byName map[string]*child
}

// tables holds a *table by type name or inline path. It is filled on first use and never changes after.
var tables sync.Map

// tableOf returns the table of a type or inline path, nil when R4 has none.
func tableOf(parent string) *table {
	if t, ok := tables.Load(parent); ok {
		return t.(*table)
	}
	t := build(parent)
	if t == nil {
		return nil // never kept: such names may come from outside without end
	}
	kept, _ := tables.LoadOrStore(parent, t)
	return kept.(*table)
}

func build(parent string) *table {
	name, inside, _ := strings.Cut(parent, ".")
	def := fhir.Definition(name)
	if def == nil {
		return nil
	}
	model := &fhir.Model{}
	t := &table{byName: map[string]*child{}}
	prefix := parent + "."
	for i := range def.Elements {
		e := &def.Elements[i]
		short, ok := strings.CutPrefix(e.Path, prefix)
		if !ok || strings.Contains(short, ".") {
			continue
		}
		stem, choice := strings.CutSuffix(short, "[x]")
		if choice {
			for _, typ := range e.Types {
				t.add(&child{name: stem + strings.ToUpper(typ[:1]) + typ[1:], typ: typ, many: e.Max != 1, plain: kindOf(typ)})
			}
			continue
		}
		typ, _, ok := model.ElementType(parent, short)
		if !ok {
			continue
		}
		c := &child{name: short, typ: typ, many: e.Max != 1, plain: kindOf(typ)}
		c.attr = short == "id" && (def.Kind != "resource" || inside != "") || name == "Extension" && short == "url"
		t.add(c)
	}
	if len(t.order) == 0 {
		return nil
	}
	return t
}

func (t *table) add(c *child) {
	if t.byName[c.name] == nil {
		t.byName[c.name] = c
		t.order = append(t.order, c)
	}
}

func kindOf(typ string) kind {
	switch typ {
	case "boolean":
		return boolean
	case "decimal", "integer", "positiveInt", "unsignedInt":
		return number
	case "Resource":
		return resource
	case "xhtml":
		return narrative
	}
	if d := fhir.Definition(typ); d != nil {
		switch d.Kind {
		case "primitive-type":
			return text
		case "resource":
			return resource
		}
	}
	return structured
}
