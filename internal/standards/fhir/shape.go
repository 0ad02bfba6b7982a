package fhir

import (
	"strings"
	"sync"
)

// shape is what Validate knows about one kind of JSON object: a resource, a
// datatype, or the inline structure of an element.
type shape struct {
	name     string // Observation, HumanName, Observation.component
	resource bool
	extra    extraCheck
	slots    map[string]*slot // by JSON name; choices appear once per type
	parts    []part           // the elements; slot.part is an index
	required []int            // parts that must be present
}

// part is an element of a shape; the slots of a choice share one.
type part struct {
	name   string // without [x]
	choice bool
	min    int
}

// slot is where a JSON member goes.
type slot struct {
	json     string // member name, valueQuantity
	name     string // element name, value
	typ      string // type name, for messages
	part     int
	many     bool
	min, max int
	prim     primitive // 0 if the value is an object
	shape    *shape    // for objects; nil if any resource
	targets  []string  // of a Reference; nil any
	codes    *codeSet  // of a required binding
	bound    boundType
}

// extraCheck names what a datatype needs beyond its elements.
type extraCheck uint8

const (
	noExtra extraCheck = iota
	referenceExtra
	extensionExtra
	elementExtra // what stands beside a primitive value: an id alone is enough
)

// boundType says where in a value the code of a required binding lies.
type boundType uint8

const (
	boundCode boundType = iota
	boundCoding
	boundConcept
)

// maxParts is the largest number of elements of a shape, checked by a test.
const maxParts = 128

// shapes compiles the definitions once, on first use.
var shapes = sync.OnceValue(func() map[string]*shape {
	all := map[string]*shape{}
	get := func(name string) *shape {
		s := all[name]
		if s == nil {
			s = &shape{name: name, slots: map[string]*slot{}}
			all[name] = s
		}
		return s
	}
	sets := codeSets()
	for _, t := range definitions() {
		if t.Kind == "primitive-type" {
			continue
		}
		s := get(t.Name)
		s.resource = t.Kind == "resource"
		switch t.Name {
		case "Reference":
			s.extra = referenceExtra
		case "Extension":
			s.extra = extensionExtra
		case "Element":
			s.extra = elementExtra
		}
		inline := map[string]bool{}
		for i := range t.Elements {
			inline[t.Elements[i].Path[:strings.LastIndexByte(t.Elements[i].Path, '.')]] = true
		}
		for i := range t.Elements {
			e := &t.Elements[i]
			dot := strings.LastIndexByte(e.Path, '.')
			parent := get(e.Path[:dot])
			parent.add(e, e.Path[dot+1:], inline[e.Path], get, sets)
		}
	}
	return all
})

func (s *shape) add(e *Element, name string, inline bool, get func(string) *shape, sets map[string]*codeSet) {
	name, choice := strings.CutSuffix(name, "[x]")
	index := len(s.parts)
	s.parts = append(s.parts, part{name, choice, e.Min})
	if e.Min > 0 {
		s.required = append(s.required, index)
	}
	base := slot{json: name, name: name, part: index, many: e.Max != 1, min: e.Min, max: e.Max, targets: e.Targets}
	if e.Binding == "required" {
		base.codes = sets[e.ValueSet]
	}
	switch {
	case e.ContentRef != "":
		base.shape, base.typ = get(e.ContentRef), "BackboneElement"
		s.slots[name] = &base
	case inline:
		base.shape, base.typ = get(e.Path), "BackboneElement"
		s.slots[name] = &base
	default:
		for _, typ := range e.Types {
			one := base
			one.typ = typ
			if choice {
				one.json = name + strings.ToUpper(typ[:1]) + typ[1:]
			}
			if one.prim = primitives[typ]; one.prim == 0 && typ != "Resource" {
				one.shape = get(typ)
			}
			switch typ {
			case "CodeableConcept":
				one.bound = boundConcept
			case "Coding":
				one.bound = boundCoding
			case "code":
				one.bound = boundCode
			default:
				one.codes = nil
			}
			s.slots[one.json] = &one
		}
	}
}
