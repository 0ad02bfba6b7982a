package fhirsearch

import (
	"fmt"
	"hash/maphash"
	"slices"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// Extract returns what the resource can be found by: the values of every search parameter of its type,
// aliases left out (see Alias), each value once. _id and _lastUpdated are left out too, since a store
// keeps them beside the resource. An unknown type is an error; elements that do not parse (a date that
// is none) give no value.
func Extract(resourceType string, n *fhirjson.Node) ([]Value, error) {
	t := paramsOf(resourceType)
	if t.err != nil {
		return nil, t.err
	}
	x := extractor{resource: n, out: make([]Value, 0, 48)}
	for _, p := range t.extract {
		if err := x.param(p); err != nil {
			return nil, err
		}
	}
	return x.out, nil
}

// Values returns what Extract gives for one parameter, by its canonical code; nil for one that does not exist.
func Values(resourceType, param string, n *fhirjson.Node) []Value {
	p := Lookup(resourceType, param)
	if p == nil {
		return nil
	}
	return extractParam(p, n)
}

// extractParam returns the values of one parameter only.
func extractParam(p *Param, n *fhirjson.Node) []Value {
	x := extractor{resource: n}
	if p.plan == nil || x.param(p) != nil {
		return nil
	}
	return x.out
}

// extractor collects the values of one resource.
type extractor struct {
	resource *fhirjson.Node
	out      []Value
	from     int            // where the values of the current parameter or component begin
	seen     map[uint64]int // where in out a value is, by its hash, once the parameter that begins at seenFrom has many
	seenFrom int
	targets  []string
	lastKey  [4]string
	lastBase Canonical
	value    Value // what every value of the current parameter shares: Param, Part, Group
}

func (x *extractor) param(p *Param) error {
	x.from = len(x.out)
	x.value = Value{Param: p.Code}
	x.targets = p.Targets
	if p.Type != "composite" {
		return x.plan(p.plan, x.resource, p.Type)
	}
	var fault error
	group := 0
	err := p.plan.Each(x.resource, x.resource, func(n *fhirjson.Node, typ string) {
		group++
		start := len(x.out)
		for _, c := range p.Components {
			q := c.parts[typ]
			x.from = len(x.out)
			x.value = Value{Param: p.Code, Part: c.Code, Group: group}
			if q != nil && fault == nil {
				fault = x.plan(q, n, c.Type)
			}
			if len(x.out) == x.from { // a composite without one of its parts matches nothing
				x.out = x.out[:start]
				return
			}
		}
	})
	if err == nil {
		err = fault
	}
	return err
}

func (x *extractor) plan(p *fhirpath.Plan, root *fhirjson.Node, paramType string) error {
	err := p.Each(x.resource, root, func(n *fhirjson.Node, typ string) { x.convert(paramType, n, typ) })
	if err != nil {
		return fmt.Errorf("search parameter %s: %w", x.value.Param, err)
	}
	return nil
}

// add files one value unless the parameter has it already.
func (x *extractor) add(v *Value) {
	v.Param, v.Part, v.Group = x.value.Param, x.value.Part, x.value.Group
	if len(x.out)-x.from < fewValues {
		if !slices.Contains(x.out[x.from:], *v) {
			x.out = append(x.out, *v)
		}
		return
	}
	if x.seenFrom != x.from || len(x.seen) == 0 {
		x.seen, x.seenFrom = make(map[uint64]int, 4*fewValues), x.from
		for i := x.from; i < len(x.out); i++ {
			x.seen[maphash.Comparable(valueSeed, x.out[i])] = i
		}
	}
	h := maphash.Comparable(valueSeed, *v)
	if at, ok := x.seen[h]; ok && (x.out[at] == *v || slices.Contains(x.out[x.from:], *v)) {
		return
	}
	x.seen[h] = len(x.out)
	x.out = append(x.out, *v)
}

// fewValues are looked through one by one; more of one parameter are told apart by their hashes.
const fewValues = 32

var valueSeed = maphash.MakeSeed()
