package fhir

import (
	"slices"
	"strings"
	"sync"
)

// Model tells package fhirpath how R4 types are built. The zero Model is
// ready. Type names are those of Definition, and for inline structure the path
// of its element: Observation.component.
type Model struct{}

type modelElement struct {
	typ    string
	choice []string // types of a choice
}

// modelElements maps "Parent.element" to the element's type.
var modelElements = sync.OnceValue(func() map[string]modelElement {
	all := map[string]modelElement{}
	for _, t := range definitions() {
		inline := map[string]bool{}
		for i := range t.Elements {
			inline[t.Elements[i].Path[:strings.LastIndexByte(t.Elements[i].Path, '.')]] = true
		}
		for i := range t.Elements {
			e := &t.Elements[i]
			path, choice := strings.CutSuffix(e.Path, "[x]")
			switch {
			case choice:
				all[path] = modelElement{choice: e.Types}
			case e.ContentRef != "":
				all[path] = modelElement{typ: e.ContentRef}
			case inline[e.Path]:
				all[path] = modelElement{typ: e.Path}
			default:
				all[path] = modelElement{typ: e.Types[0]}
			}
		}
	}
	return all
})

// ElementType returns the type of an element of a type: ("Patient", "name")
// gives HumanName, ("Observation", "component") gives Observation.component.
// For a choice ("Observation", "value"), isChoice is true and typ is empty;
// Choices has its types. ok is false if there is no such element.
func (*Model) ElementType(parentType, element string) (typ string, isChoice, ok bool) {
	e, ok := modelElements()[parentType+"."+element]
	return e.typ, e.choice != nil, ok
}

// Choices returns the types of a choice element. In JSON the member is named
// element + type with a capital: value + Quantity.
func (*Model) Choices(parentType, element string) []string {
	return modelElements()[parentType+"."+element].choice
}

// IsSubtype reports whether typ is ancestor or specialises it, directly or
// not: Age is a Quantity and an Element, Patient a DomainResource and a
// Resource, id a string, Observation.component a BackboneElement.
func (*Model) IsSubtype(typ, ancestor string) bool {
	for typ != "" {
		if typ == ancestor {
			return true
		}
		if t := Definition(typ); t != nil {
			typ = t.Base
			continue
		}
		typ = inlineBase(typ)
	}
	return false
}

// inlineBase returns BackboneElement or Element for the path of an inline
// structure, or "".
func inlineBase(path string) string {
	name, rest, ok := strings.Cut(path, ".")
	if !ok {
		return ""
	}
	e := Definition(name).Element(rest)
	if e == nil || !slices.Contains([]string{"BackboneElement", "Element"}, first(e.Types)) {
		return ""
	}
	return e.Types[0]
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
