package terminology

import (
	"fmt"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// mostConcepts bounds the concepts of one CodeSystem resource and the codes named in one ValueSet resource. Larger systems come in
// as releases.
const mostConcepts = 200_000

// FromResource makes a code system of a CodeSystem resource. Faults are Issues with the path of the element.
func FromResource(n *fhirjson.Node) (*CodeSystem, error) {
	url := n.Get("url").Text()
	if url == "" {
		return nil, fhir.Problem("required", "The CodeSystem has no url.", "Give it the address its codes are known under.").At("CodeSystem.url")
	}
	h := Head{
		URL: url, Version: n.Get("version").Text(), Name: first(n.Get("title").Text(), n.Get("name").Text(), url), CaseSensitive: n.Get("caseSensitive").Text() != "false",
		Content: first(n.Get("content").Text(), "complete"), Hierarchy: n.Get("hierarchyMeaning").Text(), Licence: n.Get("copyright").Text(),
	}
	kinds := map[string]string{}
	for _, p := range n.Get("property").Items() {
		kinds[p.Get("code").Text()] = p.Get("type").Text()
	}
	var entries []Entry
	at := map[string]int{}
	type upward struct{ child, parent string }
	var extra []upward
	var walk func(list *fhirjson.Node, parent, path string, depth int) error
	walk = func(list *fhirjson.Node, parent, path string, depth int) error {
		items := list.Items()
		for i := range items {
			c := &items[i]
			here := fmt.Sprintf("%s.concept[%d]", path, i)
			code := c.Get("code").Text()
			if code == "" {
				return fhir.Problem("required", "A concept has no code.", "Give every concept its code.").At(here)
			}
			if len(entries) >= mostConcepts {
				return fhir.Problem("too-costly", fmt.Sprintf("The CodeSystem has more than %d concepts.", mostConcepts), "Import it as a release: yarrow import terminology.").At(here)
			}
			e := Entry{Code: code, Display: c.Get("display").Text(), Definition: c.Get("definition").Text()}
			if parent != "" {
				e.Parents = []string{parent}
			}
			for _, d := range c.Get("designation").Items() {
				e.Designations = append(e.Designations, Designation{d.Get("language").Text(), d.At("use", "system").Text(), d.At("use", "code").Text(), d.Get("value").Text()})
			}
			for _, p := range c.Get("property").Items() {
				name := p.Get("code").Text()
				kind, value := valueOf(&p)
				e.Properties = append(e.Properties, Property{name, first(kinds[name], kind), value})
				switch name {
				case "inactive":
					e.Inactive = e.Inactive || value == "true"
				case "status":
					e.Inactive = e.Inactive || value == "retired" || value == "inactive"
				case "notSelectable", "abstract":
					e.Abstract = e.Abstract || value == "true"
				case "parent":
					extra = append(extra, upward{code, value})
				case "child":
					extra = append(extra, upward{value, code})
				}
			}
			if _, twice := at[code]; twice {
				return fhir.Problem("duplicate", fmt.Sprintf("The code %s stands twice.", code), "Keep one; give further parents as the property parent.").At(here)
			}
			at[code] = len(entries)
			entries = append(entries, e)
			if err := walk(c.Get("concept"), code, here, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(n.Get("concept"), "", "CodeSystem", 0); err != nil {
		return nil, err
	}
	for _, u := range extra {
		i, ok := at[u.child]
		_, known := at[u.parent]
		if ok && known && u.child != u.parent {
			entries[i].Parents = appendNew(entries[i].Parents, u.parent)
		}
	}
	if n.Get("content").Text() == "not-present" && len(entries) == 0 {
		h.Content = "not-present"
	}
	s, err := NewCodeSystem(h, entries)
	if err != nil {
		return nil, fhir.Problem("value", "The CodeSystem "+url+" does not hold together: "+err.Error()+".", "Mend it and store it again.").At("CodeSystem.concept")
	}
	return s, nil
}

// Supplemented gives a CodeSystem resource with the designations and properties that supplements add to its concepts (R4 CodeSystem,
// content supplement). Supplements of another version, and codes that the system lacks, add nothing: a supplement makes no codes.
func Supplemented(n *fhirjson.Node, supplements ...*fhirjson.Node) *fhirjson.Node {
	out := n.Clone()
	at := map[string]*fhirjson.Node{}
	var index func(list *fhirjson.Node)
	index = func(list *fhirjson.Node) {
		for i := range list.Items() {
			c := &list.Items()[i]
			at[c.Get("code").Text()] = c
			index(c.Get("concept"))
		}
	}
	index(out.Get("concept"))
	var add func(list *fhirjson.Node)
	add = func(list *fhirjson.Node) {
		for i := range list.Items() {
			from := &list.Items()[i]
			if to := at[from.Get("code").Text()]; to != nil {
				for _, name := range []string{"designation", "property"} {
					if more := from.Get(name).Items(); len(more) > 0 {
						all := append(append([]fhirjson.Node{}, to.Get(name).Items()...), more...)
						to.Set(name, fhirjson.NewArray(all...))
					}
				}
			}
			add(from.Get("concept"))
		}
	}
	for _, s := range supplements {
		url, version, _ := strings.Cut(s.Get("supplements").Text(), "|")
		if url == n.Get("url").Text() && (version == "" || version == n.Get("version").Text()) {
			add(s.Get("concept"))
		}
	}
	return &out
}

// valueOf takes value[x] of a property: its type and its text; of a Coding the code.
func valueOf(p *fhirjson.Node) (kind, value string) {
	for _, m := range p.Members() {
		if len(m.Name) > 5 && m.Name[:5] == "value" {
			kind = m.Name[5:]
			if kind == "Coding" {
				return kind, m.Value.Get("code").Text()
			}
			return string(kind[0]|0x20) + kind[1:], m.Value.Text()
		}
	}
	return "", ""
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

// ValueSet is the definition of a value set: what it includes and excludes.
type ValueSet struct {
	URL, Version, Name string
	Inactive           *bool // compose.inactive: whether retired concepts belong to it
	Include, Exclude   []Include
	// Fixed is the stored expansion of a value set without a definition.
	Fixed []FixedCode
	// Missing names code systems whose codes the definition lists but that may not be carried here; membership in them is unknown.
	Missing []string
}

// Include is one include or exclude.
type Include struct {
	System, Version string
	Codes           []ListedCode
	Filters         []Filter
	ValueSets       []string // canonical addresses, perhaps with |version
}

// ListedCode is a code named by a value set, with the name it gives.
type ListedCode struct {
	Code, Display string
	Designations  []Designation
}

// Filter chooses concepts by a property.
type Filter struct{ Property, Op, Value string }

// FixedCode is one code of a stored expansion.
type FixedCode struct {
	System, Version, Code, Display string
	Abstract, Inactive             bool
}

// ValueSetOf reads a ValueSet resource. Faults are Issues with the path of the element.
func ValueSetOf(n *fhirjson.Node) (*ValueSet, error) {
	v := &ValueSet{URL: n.Get("url").Text(), Version: n.Get("version").Text(), Name: first(n.Get("title").Text(), n.Get("name").Text(), n.Get("url").Text(), "the value set")}
	compose := n.Get("compose")
	if b := compose.Get("inactive"); b != nil {
		yes := b.Text() == "true"
		v.Inactive = &yes
	}
	count := 0
	for _, part := range []struct {
		name string
		into *[]Include
	}{{"include", &v.Include}, {"exclude", &v.Exclude}} {
		items := compose.Get(part.name).Items()
		for i := range items {
			path := fmt.Sprintf("ValueSet.compose.%s[%d]", part.name, i)
			in := Include{System: items[i].Get("system").Text(), Version: items[i].Get("version").Text()}
			for _, u := range items[i].Get("valueSet").Items() {
				in.ValueSets = append(in.ValueSets, u.Text())
			}
			for _, c := range items[i].Get("concept").Items() {
				l := ListedCode{Code: c.Get("code").Text(), Display: c.Get("display").Text()}
				for _, d := range c.Get("designation").Items() {
					l.Designations = append(l.Designations, Designation{d.Get("language").Text(), d.At("use", "system").Text(), d.At("use", "code").Text(), d.Get("value").Text()})
				}
				in.Codes = append(in.Codes, l)
				if count++; count > mostConcepts {
					return nil, fhir.Problem("too-costly", fmt.Sprintf("The ValueSet names more than %d codes.", mostConcepts), "Describe them by a filter.").At(path)
				}
			}
			for _, f := range items[i].Get("filter").Items() {
				in.Filters = append(in.Filters, Filter{f.Get("property").Text(), f.Get("op").Text(), f.Get("value").Text()})
			}
			if in.System == "" && len(in.ValueSets) == 0 {
				return nil, fhir.Problem("required", "An include names neither a system nor a value set.", "Give it a system or a valueSet.").At(path)
			}
			if in.System == "" && (len(in.Codes) > 0 || len(in.Filters) > 0) {
				return nil, fhir.Problem("required", "Codes or filters stand without their system.", "Name the system.").At(path)
			}
			if len(in.Codes) > 0 && len(in.Filters) > 0 {
				return nil, fhir.Problem("structure", "An include has both codes and filters.", "Split it in two.").At(path)
			}
			*part.into = append(*part.into, in)
		}
	}
	if len(v.Include) == 0 {
		var walk func(list *fhirjson.Node)
		walk = func(list *fhirjson.Node) {
			for _, c := range list.Items() {
				if code := c.Get("code").Text(); code != "" && len(v.Fixed) < mostConcepts {
					v.Fixed = append(v.Fixed, FixedCode{c.Get("system").Text(), c.Get("version").Text(), code, c.Get("display").Text(), c.Get("abstract").Text() == "true", c.Get("inactive").Text() == "true"})
				}
				walk(c.Get("contains"))
			}
		}
		walk(n.At("expansion", "contains"))
	}
	return v, nil
}
