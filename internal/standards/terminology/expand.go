package terminology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// MostExpanded is how many codes an expansion without count may have.
const MostExpanded = 10_000

// Expansion says what is wanted of $expand (http://hl7.org/fhir/R4/valueset-operation-expand.html).
type Expansion struct {
	Filter              string
	Offset, Count       int // Count < 0: all
	ActiveOnly          bool
	IncludeDesignations bool
	Designations        []string // uses or languages that are wanted; empty: all
	DisplayLanguage     string
	ExcludeNested       bool
	ExcludeNotForUI     bool
	ExcludeSystems      []string // url or url|version
	Said                []Param  // parameters to be repeated in the answer
}

// Param is a parameter that an expansion repeats.
type Param struct{ Name, Type, Value string }

// Expand lists a set. at is the moment it is done, as a FHIR dateTime, and id names the expansion.
func (s *Set) Expand(o Expansion, id, at string) (fhirjson.Node, error) {
	if url, ok := s.Listable(); !ok {
		return fhirjson.Node{}, fhir.Problem("too-costly", fmt.Sprintf("%s holds all codes of %s, which has a grammar instead of a list.", first(s.Name, "The value set"), url), "Check single codes with $validate-code.")
	}
	if len(s.Unknown) > 0 {
		return fhirjson.Node{}, fhir.Problem("not-found", fmt.Sprintf("%s cannot be listed: the code system %s is not here in full.", first(s.Name, "The value set"), strings.Join(s.Unknown, ", ")), "Import it (yarrow import terminology), or check single codes with $validate-code.")
	}
	if len(s.Unsure) > 0 {
		return fhirjson.Node{}, fhir.Problem("not-found", fmt.Sprintf("%s cannot be listed: it includes %s, which is not here.", first(s.Name, "The value set"), strings.Join(s.Unsure, ", ")), "Store that value set, or import the guide that defines it.")
	}
	wanted := func(m member) bool {
		if o.ActiveOnly && m.ref >= 0 && m.part.system.Inactive(m.ref) || o.ExcludeNotForUI && m.ref >= 0 && m.part.system.Abstract(m.ref) {
			return false
		}
		return !slices.ContainsFunc(o.ExcludeSystems, func(x string) bool { return x == m.part.url || x == m.part.url+"|"+m.part.version })
	}
	total, offset := 0, max(o.Offset, 0)
	var page []member
	put := func(m member) bool {
		if total >= offset && (o.Count < 0 || len(page) < o.Count) {
			page = append(page, m)
		}
		total++
		return o.Count >= 0 || len(page) <= MostExpanded
	}
	if strings.TrimSpace(o.Filter) != "" {
		for _, m := range s.matching(o.Filter, wanted) {
			if !put(m) {
				break
			}
		}
	} else {
		s.walk(func(m member) bool { return !wanted(m) || put(m) })
	}
	if o.Count < 0 && len(page) > MostExpanded {
		return fhirjson.Node{}, fhir.Problem("too-costly", fmt.Sprintf("%s has more than %d codes.", first(s.Name, "The value set"), MostExpanded), "Ask for a part with count and offset, or with a filter.")
	}
	params := make([]fhirjson.Node, 0, len(o.Said)+len(s.parts))
	for _, p := range o.Said {
		v := fhirjson.NewString(p.Value)
		if p.Type == "Integer" {
			v = fhirjson.NewNumber(p.Value)
		}
		if p.Type == "Boolean" {
			v = fhirjson.NewBool(p.Value == "true")
		}
		params = append(params, fhir.Object("name", p.Name, "value"+p.Type, v))
	}
	for _, p := range s.parts {
		if p.system != nil && p.version != "" && p.system.Len() > 0 {
			params = append(params, fhir.Object("name", "version", "valueUri", p.url+"|"+p.version))
		}
	}
	var contains []fhirjson.Node
	if !o.ExcludeNested && o.Filter == "" && offset == 0 && (o.Count < 0 || total <= o.Count) {
		contains = o.nested(page)
	} else {
		for _, m := range page {
			contains = append(contains, o.node(m))
		}
	}
	e := fhir.Object("identifier", id, "timestamp", at, "total", total, "parameter", params, "contains", contains)
	if o.Offset > 0 || o.Count >= 0 {
		e.Set("offset", fhirjson.NewNumber(strconv.Itoa(offset)))
	}
	return e, nil
}

// matching gives the members that a text finds: best first within each code system.
func (s *Set) matching(text string, wanted func(member) bool) (out []member) {
	for _, p := range s.parts {
		if p.in != nil {
			for _, h := range p.system.Search(text, -1, func(i Ref) bool { return p.in.has(i) }) {
				if m := (member{p, h.Ref, p.system.Code(h.Ref)}); wanted(m) {
					out = append(out, m)
				}
			}
		}
		words := split(text)
		var codes []string
		for c, l := range p.loose {
			have := split(l.Display + " " + c)
			if !slices.ContainsFunc(words, func(w string) bool {
				return !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) })
			}) {
				codes = append(codes, c)
			}
		}
		slices.Sort(codes)
		for _, c := range codes {
			if m := (member{p, -1, c}); wanted(m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// node writes one member.
func (o *Expansion) node(m member) fhirjson.Node {
	display := m.display()
	var all []Designation
	abstract, inactive := false, false
	if m.ref >= 0 {
		e := m.part.system.Entry(m.ref)
		all, abstract, inactive = e.Designations, e.Abstract, e.Inactive
		all = append(all, m.part.names[m.ref].Designations...)
		if display != e.Display && e.Display != "" {
			all = append(all, Designation{Value: e.Display})
		}
	} else {
		all = m.part.loose[m.code].Designations
	}
	if o.DisplayLanguage != "" {
		if name, ok := inLanguage(all, o.DisplayLanguage); ok {
			display = name
		}
	}
	n := fhir.Object("system", m.part.url, "version", m.part.version, "code", m.code, "display", display)
	if abstract {
		n.Set("abstract", fhirjson.NewBool(true))
	}
	if inactive {
		n.Set("inactive", fhirjson.NewBool(true))
	}
	if o.IncludeDesignations {
		var list []fhirjson.Node
		for _, d := range all {
			if len(o.Designations) == 0 || slices.ContainsFunc(o.Designations, func(w string) bool {
				return w == d.Language || w == d.Use || w == d.UseSystem+"|"+d.Use || w == "urn:ietf:bcp:47|"+d.Language
			}) {
				list = append(list, d.node())
			}
		}
		if len(list) > 0 {
			n.Set("designation", fhirjson.NewArray(list...))
		}
	}
	return n
}

func (d Designation) node() fhirjson.Node {
	return fhir.Object("language", d.Language, "use", fhir.Object("system", d.UseSystem, "code", d.Use), "value", d.Value)
}

// inLanguage finds the name in a language; "es" finds es-MX and the other way round. Several languages stand with commas, best
// first.
func inLanguage(list []Designation, languages string) (string, bool) {
	for _, want := range strings.Split(languages, ",") {
		want, _, _ = strings.Cut(strings.TrimSpace(want), ";")
		for _, exact := range []bool{true, false} {
			for _, d := range list {
				if strings.EqualFold(d.Language, want) || !exact && d.Language != "" && strings.EqualFold(d.Language[:min(2, len(d.Language))], want[:min(2, len(want))]) {
					return d.Value, true
				}
			}
		}
	}
	return "", false
}

// nested puts members under their nearest ancestor that is a member too.
func (o *Expansion) nested(page []member) []fhirjson.Node {
	type key struct {
		part *part
		ref  Ref
	}
	here := map[key]int{}
	for i, m := range page {
		if m.ref >= 0 {
			here[key{m.part, m.ref}] = i
		}
	}
	kids := make([][]int, len(page))
	var tops []int
	for i, m := range page {
		parent := -1
		if m.ref >= 0 {
			if up := m.part.system.Parents(m.ref); len(up) == 1 { // with several parents a flat list is the truth
				if at, ok := here[key{m.part, up[0]}]; ok && at != i {
					parent = at
				}
			}
		}
		if parent < 0 {
			tops = append(tops, i)
		} else {
			kids[parent] = append(kids[parent], i)
		}
	}
	seen := make([]bool, len(page))
	var build func(list []int) []fhirjson.Node
	build = func(list []int) []fhirjson.Node {
		var out []fhirjson.Node
		for _, i := range list {
			if seen[i] {
				continue
			}
			seen[i] = true
			n := o.node(page[i])
			if below := build(kids[i]); len(below) > 0 {
				n.Set("contains", fhirjson.NewArray(below...))
			}
			out = append(out, n)
		}
		return out
	}
	out := build(tops)
	for i := range page { // a circle of parents has no top
		if !seen[i] {
			out = append(out, o.node(page[i]))
		}
	}
	return out
}

// Codes lists at most limit codes of the set; complete is false when there are more or when not all can be named. It serves
// search with :in and :below.
func (s *Set) Codes(limit int) (codes []fhir.Code, complete bool) {
	if _, ok := s.Listable(); !ok || len(s.Unknown) > 0 || len(s.Unsure) > 0 {
		complete = false
	} else {
		complete = true
	}
	s.walk(func(m member) bool {
		if len(codes) == limit {
			complete = false
			return false
		}
		codes = append(codes, fhir.Code{System: m.part.url, Code: m.code})
		return true
	})
	return codes, complete
}
