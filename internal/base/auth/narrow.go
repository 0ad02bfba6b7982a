package auth

import "strings"

// Narrowing is one way in which part of a type's resources is reachable: those that match the search parameters,
// with the interactions named. SMART App Launch 2.2 calls it a granular scope (patient/Observation.rs?category=…).
type Narrowing struct {
	Params string // a FHIR query such as "category=vital-signs"; "" matches every resource of the type
	Bits   Bits
}

// ChartRule is what holds for the records of one patient instead of the access's general rule.
type ChartRule struct {
	Closed    bool  // nothing in the patient's compartment exists for the scope
	Forbidden int64 // replaces Access.Forbidden for what lies in the compartment
}

// Allows says whether the scope may do all of the interactions with a type at all. Which resources of the type it
// then reaches, Narrowed, Compartment, Forbidden and Charts decide.
func (a Access) Allows(resourceType string, b Bits) bool {
	if b == 0 {
		return a.All
	}
	if !a.All && a.Types[resourceType]&b != b {
		return false
	}
	ways := a.Narrow[resourceType]
	if len(ways) == 0 {
		return true
	}
	var some Bits
	for _, n := range ways {
		some |= n.Bits
	}
	return some&b == b
}

// Narrowed lists the queries one of which a resource must match for an interaction. With narrowed false no query
// limits the type. An interaction that no query gives reaches nothing: narrowed is true and the list empty.
func (a Access) Narrowed(resourceType string, b Bits) (queries []string, narrowed bool) {
	ways := a.Narrow[resourceType]
	if len(ways) == 0 {
		return nil, false
	}
	for _, n := range ways {
		if n.Bits&b != b {
			continue
		}
		if n.Params == "" {
			return nil, false
		}
		queries = append(queries, n.Params)
	}
	return queries, true
}

// ForbiddenIn is the labels forbidden in the record of a patient, given by the id of the Patient resource ("" for
// what is in nobody's record). closed says that nothing of the patient exists for the scope.
func (a Access) ForbiddenIn(patientID string) (labels int64, closed bool) {
	if r, ok := a.Charts[patientID]; ok && patientID != "" {
		return r.Forbidden, r.Closed
	}
	return a.Forbidden, false
}

// Within is what both accesses allow: a program acting for a person reaches what the person may and what the
// program was granted, never more than either.
func (a Access) Within(b Access) Access {
	if a.Compartment != "" && b.Compartment != "" && a.Compartment != b.Compartment {
		return Access{}
	}
	out := Access{All: a.All && b.All, Compartment: a.Compartment, Forbidden: a.Forbidden | b.Forbidden}
	if out.Compartment == "" {
		out.Compartment = b.Compartment
	}
	switch {
	case out.All:
	case a.All: // shared, as nobody changes the map of an Access: this happens on every request
		out.Types = b.Types
	case b.All:
		out.Types = a.Types
	default:
		out.Types = map[string]Bits{}
		for t, bits := range a.Types {
			if bits &= b.Types[t]; bits != 0 {
				out.Types[t] = bits
			}
		}
	}
	out.Narrow = bothWays(a.Narrow, b.Narrow)
	for _, side := range []Access{a, b} {
		for id := range side.Charts {
			la, ca := a.ForbiddenIn(id)
			lb, cb := b.ForbiddenIn(id)
			if out.Charts == nil {
				out.Charts = map[string]ChartRule{}
			}
			out.Charts[id] = ChartRule{Closed: ca || cb, Forbidden: la | lb}
		}
	}
	return out
}

// bothWays joins two sets of narrowings: a resource is reachable if it matches one of each.
func bothWays(a, b map[string][]Narrowing) map[string][]Narrowing {
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	out := map[string][]Narrowing{}
	for t, ways := range a {
		out[t] = ways
	}
	for t, ways := range b {
		if len(out[t]) == 0 {
			out[t] = ways
			continue
		}
		var both []Narrowing
		for _, x := range out[t] {
			for _, y := range ways {
				if bits := x.Bits & y.Bits; bits != 0 {
					both = append(both, Narrowing{Params: strings.Trim(x.Params+"&"+y.Params, "&"), Bits: bits})
				}
			}
		}
		if both == nil {
			both = []Narrowing{{Params: "_id=none", Bits: 0}} // no interaction is left: an empty list would mean no limit
		}
		out[t] = both
	}
	return out
}
