package fhirstore

import (
	"fmt"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// inside narrows candidates to a compartment, "Patient/x" or that of an Encounter, Practitioner, RelatedPerson or Device: those
// that one of the compartment's reference parameters leads to it.
func (x *compiler) inside(c *candidates, of string) error {
	name, id, _ := strings.Cut(of, "/")
	codes := fhir.Compartment(name, c.typ)
	if len(codes) == 0 {
		return fhir.Problem("not-supported", fmt.Sprintf("A %s is never part of the compartment of a %s.", c.typ, name),
			"Search "+c.typ+" by itself, with a reference parameter if it has one.")
	}
	if name == "Patient" && c.typ != "Patient" {
		c.hashes = append(c.hashes, hashSet{[]int64{x.a.k.patient(c.typ, id)}, rankPatient})
		return nil
	}
	p, n := planOf(c.typ), &narrowing{}
	keyed := true
	var keys []int64
	for _, code := range codes {
		if code == "{def}" {
			n.ways = append(n.ways, []fhirsearch.Clause{{Param: "_id", Type: "token", Values: []fhirsearch.ValueTerm{{Raw: id, Code: id}}}})
			keyed = false
			continue
		}
		canonical, only := fhirsearch.Alias(c.typ, code)
		cl := fhirsearch.Clause{Param: canonical, Type: "reference", OnlyType: only, Values: []fhirsearch.ValueTerm{{Raw: of, RefType: name, RefID: id}}}
		n.ways = append(n.ways, []fhirsearch.Clause{cl})
		pp, known := p.params[canonical]
		var more []int64
		if known {
			more, _ = x.referenceKeys(p, pp, &cl, name, id)
		}
		keyed = keyed && more != nil
		keys = append(keys, more...)
	}
	c.checks = append(c.checks, check{within: n})
	if keyed {
		c.hashes = append(c.hashes, hashSet{keys, rankReference})
	} else if c.typ == name {
		own := x.a.k.id(name, id)
		if len(codes) == 1 {
			c.ids = &[]int64{own}
		}
	}
	return nil
}
