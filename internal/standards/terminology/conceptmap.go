package terminology

import (
	"fmt"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// ConceptMap is a map between code systems, ready for use.
type ConceptMap struct {
	URL, Version, Source, Target string
	groups                       []mapGroup
}

type mapGroup struct {
	source, sourceVersion, target, targetVersion string
	elements                                     map[string][]mapTarget
	back                                         map[string][]mapTarget // target code → source codes
	unmapped                                     struct{ mode, code, display, url string }
}

type mapTarget struct {
	code, display, equivalence, comment string
	dependsOn, product                  []fhirjson.Node
}

// Match is one translation.
type Match struct {
	Equivalence, Comment string
	Concept              Coding
	Source               string // canonical address of the map
	Product              []fhirjson.Node
}

// ConceptMapOf reads a ConceptMap resource.
func ConceptMapOf(n *fhirjson.Node) (*ConceptMap, error) {
	m := &ConceptMap{URL: n.Get("url").Text(), Version: n.Get("version").Text(),
		Source: first(n.Get("sourceUri").Text(), n.Get("sourceCanonical").Text()), Target: first(n.Get("targetUri").Text(), n.Get("targetCanonical").Text())}
	count := 0
	for gi, g := range n.Get("group").Items() {
		group := mapGroup{source: g.Get("source").Text(), sourceVersion: g.Get("sourceVersion").Text(), target: g.Get("target").Text(), targetVersion: g.Get("targetVersion").Text(),
			elements: map[string][]mapTarget{}, back: map[string][]mapTarget{}}
		u := g.Get("unmapped")
		group.unmapped.mode, group.unmapped.code, group.unmapped.display, group.unmapped.url = u.Get("mode").Text(), u.Get("code").Text(), u.Get("display").Text(), u.Get("url").Text()
		for ei, e := range g.Get("element").Items() {
			code := e.Get("code").Text()
			if code == "" {
				return nil, fhir.Problem("required", "An element of the map has no code.", "Give it the code it maps.").At(fmt.Sprintf("ConceptMap.group[%d].element[%d].code", gi, ei))
			}
			if count++; count > mostConcepts {
				return nil, fhir.Problem("too-costly", fmt.Sprintf("The ConceptMap has more than %d elements.", mostConcepts), "Split it.")
			}
			targets := group.elements[code]
			for _, t := range e.Get("target").Items() {
				to := mapTarget{code: t.Get("code").Text(), display: t.Get("display").Text(), equivalence: first(t.Get("equivalence").Text(), "equivalent"), comment: t.Get("comment").Text(),
					dependsOn: t.Get("dependsOn").Items(), product: t.Get("product").Items()}
				targets = append(targets, to)
				if to.code != "" {
					group.back[to.code] = append(group.back[to.code], mapTarget{code: code, display: e.Get("display").Text(), equivalence: reversed(to.equivalence), comment: to.comment, dependsOn: to.dependsOn})
				}
			}
			group.elements[code] = targets
		}
		m.groups = append(m.groups, group)
	}
	return m, nil
}

// reversed is the equivalence seen from the other side.
func reversed(equivalence string) string {
	switch equivalence {
	case "wider":
		return "narrower"
	case "narrower":
		return "wider"
	case "subsumes":
		return "specializes"
	case "specializes":
		return "subsumes"
	}
	return equivalence
}

// Translation says what is wanted of $translate.
type Translation struct {
	Coding       Coding
	TargetSystem string
	Reverse      bool
	Dependencies map[string]string // element → code
}

// Translate gives the matches of one code. ok is false when none is a match (unmatched and disjoint do not count).
func (sh *Shelf) Translate(m *ConceptMap, t Translation) (matches []Match, ok bool, err error) {
	return sh.translate(m, t, 0)
}

func (sh *Shelf) translate(m *ConceptMap, t Translation, depth int) (matches []Match, ok bool, err error) {
	for _, g := range m.groups {
		from, to, toVersion, table := g.source, g.target, g.targetVersion, g.elements
		if t.Reverse {
			from, to, toVersion, table = g.target, g.source, g.sourceVersion, g.back
		}
		if t.Coding.System != "" && from != "" && from != t.Coding.System || t.TargetSystem != "" && to != t.TargetSystem {
			continue
		}
		targets, mapped := table[t.Coding.Code]
		for _, x := range targets {
			if !depends(x.dependsOn, t.Dependencies) {
				continue
			}
			c := Coding{System: to, Version: toVersion, Code: x.code, Display: x.display}
			if c.Display == "" && c.Code != "" {
				if s, err := sh.system(to, toVersion); err == nil && s != nil {
					if i, found := s.Find(c.Code); found {
						c.Display = s.Display(i)
					}
				}
			}
			matches = append(matches, Match{Equivalence: x.equivalence, Comment: x.comment, Concept: c, Source: m.URL, Product: x.product})
			ok = ok || x.equivalence != "unmatched" && x.equivalence != "disjoint"
		}
		if mapped || t.Reverse {
			continue
		}
		switch g.unmapped.mode {
		case "provided":
			matches, ok = append(matches, Match{Equivalence: "equivalent", Concept: Coding{System: to, Version: toVersion, Code: t.Coding.Code, Display: t.Coding.Display}, Source: m.URL}), true
		case "fixed":
			matches, ok = append(matches, Match{Equivalence: "inexact", Concept: Coding{System: to, Version: toVersion, Code: g.unmapped.code, Display: g.unmapped.display}, Source: m.URL}), true
		case "other-map":
			if depth >= 5 {
				return nil, false, fhir.Problem("processing", "The maps lead to each other without end.", "Mend the unmapped part of "+m.URL+".")
			}
			url, version, _ := strings.Cut(g.unmapped.url, "|")
			other, err := sh.ConceptMap(url, version)
			if err != nil {
				return nil, false, err
			}
			if other == nil {
				return nil, false, fhir.Problem("not-found", "The map "+g.unmapped.url+" for unmapped codes is not here.", "Store it.")
			}
			more, found, err := sh.translate(other, t, depth+1)
			if err != nil {
				return nil, false, err
			}
			matches, ok = append(matches, more...), ok || found
		}
	}
	return matches, ok, nil
}

// depends reports whether what a target depends on was given.
func depends(on []fhirjson.Node, given map[string]string) bool {
	for i := range on {
		if given[on[i].Get("property").Text()] != on[i].Get("value").Text() {
			return false
		}
	}
	return true
}

// Closure is a client's growing table of subsumption (http://hl7.org/fhir/R4/conceptmap-operation-closure.html). Version n is the
// state after n additions.
type Closure struct {
	Version  int             `json:"version"`
	Concepts []Coding        `json:"concepts"`
	Pairs    []ClosurePair   `json:"pairs"`
	seen     map[string]bool // system|code
}

// ClosurePair says that the concept Below lies under the concept Above (by number in Concepts), found at a version.
type ClosurePair struct {
	Below   int `json:"b"`
	Above   int `json:"a"`
	Version int `json:"v"`
}

// MostInClosure bounds a client's table.
const MostInClosure = 10_000

// Add puts concepts in and gives what is new. A code that is not known is an Issue and nothing is added.
func (c *Closure) Add(sh *Shelf, codings []Coding) ([]ClosurePair, error) {
	c.seen = map[string]bool{}
	for _, have := range c.Concepts {
		c.seen[sayCode(have)] = true
	}
	type placed struct {
		s *CodeSystem
		i Ref
	}
	place := func(x Coding) (placed, error) {
		s, err := sh.system(x.System, x.Version)
		if err != nil {
			return placed{}, err
		}
		if s == nil {
			return placed{}, noSystem(x)
		}
		i, ok := s.Find(x.Code)
		if !ok {
			return placed{}, fhir.Problem("not-found", fmt.Sprintf("The code %s is not in %s.", x.Code, s.said()), "Check the code.")
		}
		return placed{s, i}, nil
	}
	var at []placed
	for _, have := range c.Concepts {
		p, err := place(have)
		if err != nil {
			return nil, err
		}
		at = append(at, p)
	}
	concepts, version := c.Concepts, c.Version+1
	var fresh []ClosurePair
	for _, x := range codings {
		if c.seen[sayCode(x)] {
			continue
		}
		if len(concepts) >= MostInClosure {
			return nil, fhir.Problem("too-costly", fmt.Sprintf("The closure table has %d concepts already.", len(concepts)), "Start another table.")
		}
		p, err := place(x)
		if err != nil {
			return nil, err
		}
		c.seen[sayCode(x)] = true
		me := len(concepts)
		concepts, at = append(concepts, Coding{System: x.System, Version: x.Version, Code: x.Code}), append(at, p)
		up, down := newBits(p.s.Len()), newBits(p.s.Len())
		p.s.above(p.i, up)
		p.s.below(p.i, down)
		for k, o := range at[:me] {
			if o.s != p.s {
				continue
			}
			switch {
			case up.has(o.i):
				fresh = append(fresh, ClosurePair{me, k, version})
			case down.has(o.i):
				fresh = append(fresh, ClosurePair{k, me, version})
			}
		}
	}
	if len(concepts) > len(c.Concepts) {
		c.Concepts, c.Version = concepts, version
		c.Pairs = append(c.Pairs, fresh...)
	}
	return fresh, nil
}

// Since gives what was found after a version.
func (c *Closure) Since(version int) (out []ClosurePair) {
	for _, p := range c.Pairs {
		if p.Version > version {
			out = append(out, p)
		}
	}
	return out
}

// Map writes pairs as the ConceptMap that $closure answers.
func (c *Closure) Map(name string, pairs []ClosurePair, id, at string) fhirjson.Node {
	type key struct{ from, to string }
	groups := map[key]map[int][]int{}
	var order []key
	elements := map[key][]int{}
	for _, p := range pairs {
		k := key{c.Concepts[p.Below].System, c.Concepts[p.Above].System}
		if groups[k] == nil {
			groups[k] = map[int][]int{}
			order = append(order, k)
		}
		if groups[k][p.Below] == nil {
			elements[k] = append(elements[k], p.Below)
		}
		groups[k][p.Below] = append(groups[k][p.Below], p.Above)
	}
	var list []fhirjson.Node
	for _, k := range order {
		var es []fhirjson.Node
		for _, below := range elements[k] {
			var targets []fhirjson.Node
			for _, above := range groups[k][below] {
				targets = append(targets, fhir.Object("code", c.Concepts[above].Code, "equivalence", "subsumes"))
			}
			es = append(es, fhir.Object("code", c.Concepts[below].Code, "target", targets))
		}
		list = append(list, fhir.Object("source", k.from, "target", k.to, "element", es))
	}
	return fhir.Object("resourceType", "ConceptMap", "id", id, "version", fmt.Sprint(c.Version), "name", name, "status", "active", "experimental", true, "date", at, "group", list)
}
