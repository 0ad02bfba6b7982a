package terminology

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// Shelf finds code systems, value sets and maps by their canonical address. version "" means the current one. A func returns nil
// without error for what is not there.
type Shelf struct {
	CodeSystem func(url, version string) (*CodeSystem, error)
	ValueSet   func(url, version string) (*ValueSet, error)
	ConceptMap func(url, version string) (*ConceptMap, error)
	// ConceptMaps gives the maps between two value sets, perhaps with |version; "" stands for any.
	ConceptMaps func(source, target string) ([]*ConceptMap, error)
	// Versions of systems that a client asked for (system-version, force-system-version), by url.
	Default, Force map[string]string
}

func (sh *Shelf) system(url, version string) (*CodeSystem, error) {
	if v := sh.Force[url]; v != "" {
		version = v
	} else if version == "" {
		version = sh.Default[url]
	}
	return sh.CodeSystem(url, version)
}

// Set is an evaluated value set: which codes belong to it. It is immutable.
type Set struct {
	URL, Version, Name string
	parts              []*part
	// Unknown names the code systems that are not here, so that membership of their codes cannot be told.
	Unknown []string
	// Unsure names included value sets that are not here: what is not found may belong to them.
	Unsure []string
	order  []segment
}

// part is what the set holds of one code system.
type part struct {
	system  *CodeSystem
	url     string
	version string
	in      bits                  // nil when the system is not listed
	all     bool                  // every code of a grammar
	loose   map[string]ListedCode // codes of a system that is not here or cannot be listed
	names   map[Ref]ListedCode    // names that the value set gives
	gone    map[string]bool       // loose codes that were excluded
}

// segment is a run of the set in the order of its definition.
type segment struct {
	part  *part
	refs  []Ref    // listed concepts, or
	in    bits     // all of these, in the system's order, or
	loose []string // codes
}

const deepestNesting = 20

// Evaluate works a value set out. It returns an Issue when the definition is faulty or names a value set that is not here; code
// systems that are not here are named in Set.Unknown.
func (sh *Shelf) Evaluate(v *ValueSet) (*Set, error) { return sh.evaluate(v, nil) }

func (sh *Shelf) evaluate(v *ValueSet, above []string) (*Set, error) {
	if v.URL != "" && slices.Contains(above, v.URL) {
		return nil, fhir.Problem("processing", fmt.Sprintf("The value set %s includes itself (through %s).", v.URL, strings.Join(above, ", ")), "Take one include out.")
	}
	if len(above) > deepestNesting {
		return nil, fhir.Problem("too-costly", "Value sets include each other too deeply.", "Make the definition flatter.")
	}
	above = append(slices.Clone(above), v.URL)
	set := &Set{URL: v.URL, Version: v.Version, Name: v.Name}
	for _, m := range v.Missing {
		set.Unknown = appendNew(set.Unknown, m)
	}
	for _, in := range v.Include {
		one, err := sh.include(in, above)
		if err != nil {
			return nil, err
		}
		set.add(one)
	}
	for _, ex := range v.Exclude {
		one, err := sh.include(ex, above)
		if err != nil {
			return nil, err
		}
		set.remove(one)
	}
	for _, f := range v.Fixed {
		s, err := sh.system(f.System, f.Version)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		set.add(listed(s, f.System, f.Version, []ListedCode{{Code: f.Code, Display: f.Display}}))
	}
	if v.Inactive != nil && !*v.Inactive {
		for _, p := range set.parts {
			for i := range Ref(len(p.in) * 64) {
				if p.in.has(i) && p.system.Inactive(i) {
					p.in.clear(i)
				}
			}
		}
	}
	return set, nil
}

func isMissing(err error) bool {
	var i *fhir.Issue
	return errors.As(err, &i) && i.Code == "not-found"
}

// include evaluates one include: the intersection of its system part and its value sets.
func (sh *Shelf) include(in Include, above []string) (*Set, error) {
	var out *Set
	if in.System != "" {
		s, err := sh.system(in.System, in.Version)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		switch {
		case len(in.Codes) > 0:
			out = listed(s, in.System, in.Version, in.Codes)
		case s == nil:
			out = &Set{Unknown: []string{in.System}}
		case len(in.Filters) > 0:
			if out, err = filtered(s, in.Filters); err != nil {
				return nil, err
			}
		default:
			out = whole1(s)
		}
	}
	for _, canonical := range in.ValueSets {
		url, version, _ := strings.Cut(canonical, "|")
		v, err := sh.ValueSet(url, version)
		if err != nil {
			return nil, err
		}
		if v == nil {
			out = &Set{Unsure: []string{canonical}}
			continue
		}
		nested, err := sh.evaluate(v, above)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = &Set{}
			out.add(nested)
		} else {
			out.intersect(nested)
		}
	}
	return out, nil
}

func whole1(s *CodeSystem) *Set {
	p := &part{system: s, url: s.URL, version: s.Version}
	if s.grammar != nil {
		p.all = true
		return &Set{parts: []*part{p}}
	}
	if s.Content == "not-present" || s.Len() == 0 {
		return &Set{Unknown: []string{s.URL}}
	}
	p.in = newBits(s.Len())
	p.in.fill(s.Len())
	set := &Set{parts: []*part{p}, order: []segment{{part: p, in: p.in}}}
	if s.Content != "complete" {
		set.Unknown = []string{s.URL}
	}
	return set
}

func listed(s *CodeSystem, url, version string, codes []ListedCode) *Set {
	p := &part{system: s, url: url, version: version, loose: map[string]ListedCode{}}
	set := &Set{parts: []*part{p}}
	seg := segment{part: p}
	if s != nil && s.grammar == nil {
		p.in, p.version, p.names = newBits(s.Len()), s.Version, map[Ref]ListedCode{}
	}
	for _, c := range codes {
		if p.in != nil {
			if i, ok := s.Find(c.Code); ok {
				p.in.set(i)
				if c.Display != "" || len(c.Designations) > 0 {
					p.names[i] = c
				}
				if len(seg.loose) > 0 {
					set.order, seg = append(set.order, seg), segment{part: p}
				}
				seg.refs = append(seg.refs, i)
				continue
			}
			if s.Content == "complete" {
				continue // the system does not have it
			}
		}
		p.loose[c.Code] = c
		if len(seg.refs) > 0 {
			set.order, seg = append(set.order, seg), segment{part: p}
		}
		seg.loose = append(seg.loose, c.Code)
	}
	set.order = append(set.order, seg)
	return set
}

// longestPattern bounds regular expressions; Go's run in time linear to the text.
const longestPattern = 1000

func filtered(s *CodeSystem, filters []Filter) (*Set, error) {
	if s.grammar != nil {
		return grammarFiltered(s, filters)
	}
	if s.Len() == 0 {
		return &Set{Unknown: []string{s.URL}}, nil
	}
	p := &part{system: s, url: s.URL, version: s.Version, in: newBits(s.Len())}
	p.in.fill(s.Len())
	for _, f := range filters {
		b, err := s.filter(f)
		if err != nil && !s.Listed() {
			return &Set{Unknown: []string{s.URL}}, nil // the code is in the part that is not here
		}
		if err != nil {
			return nil, err
		}
		p.in.and(b)
	}
	set := &Set{parts: []*part{p}, order: []segment{{part: p, in: p.in}}}
	if s.Content != "complete" {
		set.Unknown = []string{s.URL}
	}
	return set, nil
}

// grammarFiltered knows the one filter that makes sense on UCUM: units comparable with another (property canonical).
func grammarFiltered(s *CodeSystem, filters []Filter) (*Set, error) {
	rule := s.grammar
	for _, f := range filters {
		more, err := grammarFilter(s, f)
		if err != nil {
			return nil, err
		}
		before := rule
		rule = func(code string) bool { return before(code) && more(code) }
	}
	narrow := Grammar(s.Head, rule)
	return &Set{parts: []*part{{system: narrow, url: s.URL, version: s.Version, all: true}}}, nil
}

// filter marks the concepts a filter chooses.
func (s *CodeSystem) filter(f Filter) (bits, error) {
	out := newBits(s.Len())
	problem := func(code, text, fix string) (bits, error) {
		return nil, fhir.Problem(code, fmt.Sprintf("The filter %s %s %q: %s", f.Property, f.Op, f.Value, text), fix)
	}
	find := func(code string) (Ref, error) {
		i, ok := s.Find(code)
		if !ok {
			return 0, fhir.Problem("code-invalid", fmt.Sprintf("The filter %s %s %q names a code that %s does not have.", f.Property, f.Op, f.Value, s.said()), "Use a code of the system.")
		}
		return i, nil
	}
	switch f.Op {
	case "is-a", "descendent-of", "is-not-a", "generalizes", "child-of":
		if f.Property != "concept" && f.Property != "code" && f.Property != "parent" && f.Property != "" {
			return problem("not-supported", "this comparison works on the property concept.", "Use the property concept.")
		}
		i, err := find(f.Value)
		if err != nil {
			return nil, err
		}
		switch f.Op {
		case "generalizes":
			s.above(i, out)
		case "child-of":
			for _, c := range s.Children(i) {
				out.set(c)
			}
		default:
			s.below(i, out)
		}
		if f.Op == "descendent-of" {
			out.clear(i)
		}
		if f.Op == "is-not-a" {
			all := newBits(s.Len())
			all.fill(s.Len())
			all.without(out)
			out = all
		}
		return out, nil
	case "in", "not-in":
		want := map[string]bool{}
		for _, v := range strings.Split(f.Value, ",") {
			want[strings.TrimSpace(v)] = true
		}
		s.mark(f.Property, out, func(v string) bool { return want[v] })
		if f.Op == "not-in" {
			all := newBits(s.Len())
			all.fill(s.Len())
			all.without(out)
			out = all
		}
		return out, nil
	case "=":
		if f.Property == "parent" {
			i, err := find(f.Value)
			if err != nil {
				return nil, err
			}
			for _, c := range s.Children(i) {
				out.set(c)
			}
			return out, nil
		}
		if f.Property == "ancestor" { // R4's page of LOINC names it so
			i, err := find(f.Value)
			if err != nil {
				return nil, err
			}
			s.below(i, out)
			out.clear(i)
			return out, nil
		}
		if f.Property == "child" {
			i, err := find(f.Value)
			if err != nil {
				return nil, err
			}
			for _, c := range s.Parents(i) {
				out.set(c)
			}
			return out, nil
		}
		s.mark(f.Property, out, func(v string) bool { return v == f.Value })
		return out, nil
	case "regex":
		if len(f.Value) > longestPattern {
			return problem("too-long", fmt.Sprintf("the expression is longer than %d characters.", longestPattern), "Shorten it.")
		}
		re, err := regexp.Compile("^(?:" + f.Value + ")$")
		if err != nil {
			return problem("value", "it is not a regular expression that can be run in bounded time.", "Mend it; back-references and look-ahead do not work.")
		}
		s.mark(f.Property, out, re.MatchString)
		return out, nil
	case "exists":
		s.mark(f.Property, out, func(v string) bool { return v != "" })
		if f.Value == "false" {
			all := newBits(s.Len())
			all.fill(s.Len())
			all.without(out)
			out = all
		}
		return out, nil
	}
	return problem("not-supported", "this comparison is not known.", "Use =, is-a, descendent-of, child-of, is-not-a, generalizes, in, not-in, regex or exists.")
}

// mark sets the concepts of which a value of the property passes.
func (s *CodeSystem) mark(property string, out bits, ok func(string) bool) {
	for i := range Ref(s.Len()) {
		switch property {
		case "code", "concept":
			if ok(s.Code(i)) {
				out.set(i)
			}
			continue
		case "display":
			if ok(s.Display(i)) {
				out.set(i)
			}
			continue
		case "inactive":
			if ok(fmt.Sprint(s.Inactive(i))) {
				out.set(i)
			}
			continue
		case "notSelectable", "abstract":
			if ok(fmt.Sprint(s.Abstract(i))) {
				out.set(i)
			}
			continue
		case "parent", "child":
			near := s.Parents(i)
			if property == "child" {
				near = s.Children(i)
			}
			for _, n := range near {
				if ok(s.Code(n)) {
					out.set(i)
				}
			}
			continue
		}
		from, to := span(s.moreEnd, i)
		if from == to {
			continue
		}
		var e Entry
		unpackMore(s.more[from:to], &e)
		if property == "definition" && ok(e.Definition) {
			out.set(i)
		}
		for _, p := range e.Properties {
			if p.Code == property && ok(p.Value) {
				out.set(i)
				break
			}
		}
	}
}

func (s *CodeSystem) said() string {
	if s.Version != "" {
		return s.Name + " " + s.Version
	}
	return s.Name
}
