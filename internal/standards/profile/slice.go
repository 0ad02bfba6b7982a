package profile

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// slices tells the values of an element (or of a slice, for slices of slices) apart and judges each slice.
func (r *run) slices(parent value, c *node, values []value, repeats bool) {
	s := c.slicing
	if s == nil {
		s = &Slicing{Rules: "open"}
	}
	counts := make([]int, len(c.slices))
	members := make([][]value, len(c.slices))
	last, other := -1, false
	for i, v := range values {
		if repeats {
			r.path[len(r.path)-1].index = r.index(parent, c, v, i)
		}
		found := -1
		for j, x := range c.slices {
			if r.belongs(v, x, s) {
				found = j
				break
			}
		}
		if found < 0 {
			other = true
			if s.Rules == "closed" && !onlyDefault(c) {
				r.fail("structure", v.any(), "This value belongs to none of the slices that "+r.who(c)+" allows here.", "Use one of "+orList(sliceNames(c))+".")
			}
			continue
		}
		if s.Rules == "openAtEnd" && other {
			r.fail("structure", v.any(), "A value of the slice \""+c.slices[found].slice+"\" stands after values of no slice.", "Put values that belong to no slice at the end, as "+r.who(c)+" asks.")
		}
		if s.Ordered && found < last {
			r.fail("structure", v.any(), "The slices are not in the order that "+r.who(c)+" asks for.", "Put \""+c.slices[found].slice+"\" before \""+c.slices[last].slice+"\".")
		}
		last = max(last, found)
		counts[found]++
		x := c.slices[found]
		r.check(v, x)
		if len(x.slices) > 0 {
			members[found] = append(members[found], v)
		}
	}
	r.path[len(r.path)-1].index = -1
	for j, x := range c.slices {
		r.count(parent.any(), x, counts[j], x.slice)
		if len(x.slices) > 0 && counts[j] > 0 {
			r.slices(parent, x, members[j], repeats)
		}
	}
}

// index is a value's place among all values of the element: for slices of slices it is not its place among values.
func (r *run) index(parent value, c *node, v value, i int) int {
	if c.slice == "" || v.node == nil {
		return i
	}
	items := parent.node.Get(c.name).Items()
	for j := range items {
		if &items[j] == v.node {
			return j
		}
	}
	return i
}

func onlyDefault(c *node) bool { return len(c.slices) == 1 && c.slices[0].slice == "@default" }

func sliceNames(c *node) []string {
	var out []string
	for _, x := range c.slices {
		out = append(out, x.slice)
	}
	return out
}

// sliceHint tells how a value comes to belong to a slice, where that is a fixed value.
func sliceHint(c *node) string {
	if c.pattern != nil {
		return ", that is, one with " + written(c.pattern)
	}
	for _, t := range c.types {
		if t.Code == "Extension" && len(t.Profiles) > 0 {
			return `, an extension with the url "` + shown(t.Profiles[0]) + `"`
		}
	}
	for _, k := range c.kids {
		if k.pattern != nil {
			return ", that is, with " + k.name + " " + written(k.pattern)
		}
		if k.fixed != nil {
			return ", that is, with " + k.name + " " + written(k.fixed)
		}
	}
	return ""
}

// belongs reports whether a value is of a slice: whether every discriminator says so.
func (r *run) belongs(v value, x *node, s *Slicing) bool {
	if x.slice == "@default" {
		return true
	}
	if len(s.By) == 0 {
		return r.quiet(func() { r.check(v, x) })
	}
	said := false
	for _, d := range s.By {
		if !r.spend() {
			return false
		}
		switch r.discriminated(v, x, d) {
		case no:
			return false
		case yes:
			said = true
		}
	}
	return said
}

// discriminated reports whether a value agrees with a slice by one discriminator; ask means that the slice says nothing
// about it.
func (r *run) discriminated(v value, x *node, d Discriminator) answer {
	if d.Path == "url" && (d.Kind == "value" || d.Kind == "pattern") && v.typ == "Extension" {
		if want := r.extensionURL(x); want != "" {
			return when(v.node.Get("url").Text() == want)
		}
	}
	steps := discriminatorSteps(d.Path)
	values := r.stepValues([]value{v}, steps)
	defs := r.stepNodes([]*node{x}, steps, v.typ)
	switch d.Kind {
	case "exists":
		for _, n := range defs {
			if n.max == 0 {
				return when(len(values) == 0)
			}
			if n.min > 0 {
				return when(len(values) > 0)
			}
		}
		return ask
	case "type":
		return when(r.byType(values, defs, x))
	case "profile":
		return r.byProfile(values, defs, x)
	}
	return r.byValue(values, defs)
}

// byValue: some value satisfies what the slice says at the discriminator's place.
func (r *run) byValue(values []value, defs []*node) answer {
	said := ask
	for _, n := range defs {
		if !n.discriminates() {
			continue
		}
		said = yes
		if len(values) == 0 && n.max == 0 {
			continue
		}
		if !slices.ContainsFunc(values, func(v value) bool {
			return r.quiet(func() {
				r.content(v, n)
				r.below(v, n)
			})
		}) {
			return no
		}
	}
	return said
}

// discriminates reports whether a node says anything that a value may or may not fit.
func (n *node) discriminates() bool {
	if n.fixed != nil || n.pattern != nil || n.max == 0 {
		return true
	}
	for _, b := range n.bindings {
		if b.Strength == "required" {
			return true
		}
	}
	return slices.ContainsFunc(n.kids, (*node).discriminates)
}

// byType: the value (or what it refers to) is of a type the slice allows.
func (r *run) byType(values []value, defs []*node, x *node) bool {
	types := x.types
	for _, n := range defs {
		if len(n.types) > 0 {
			types = n.types
		}
	}
	return slices.ContainsFunc(values, func(v value) bool {
		return slices.ContainsFunc(types, func(t Type) bool {
			if t.Code == v.typ || v.typ != "" && t.Code != "" && t.Code[0] >= 'A' && model.IsSubtype(v.typ, t.Code) && t.Code != "Resource" {
				return true
			}
			// After resolve() the types of the reference's targets count.
			return slices.ContainsFunc(t.Targets, func(p string) bool { return r.profileType(p) == v.typ })
		})
	})
}

// profileType is the type a profile is for.
func (r *run) profileType(canonical string) string {
	if d := r.set.Find(canonical); d != nil {
		return d.Type
	}
	if name, ok := strings.CutPrefix(bare(canonical), structureBase); ok && fhir.Definition(name) != nil {
		return name
	}
	return ""
}

// byProfile: the value conforms to a profile of the slice.
func (r *run) byProfile(values []value, defs []*node, x *node) answer {
	var profiles []string
	required := false
	for _, n := range append(slices.Clone(defs), x) {
		required = required || n != x && n.min > 0
		for _, t := range n.types {
			profiles = append(profiles, t.Profiles...)
			profiles = append(profiles, t.Targets...)
		}
		if len(profiles) > 0 {
			break
		}
	}
	switch {
	case len(profiles) == 0:
		return ask
	case len(values) == 0:
		return when(!required)
	}
	return when(slices.ContainsFunc(values, func(v value) bool {
		return v.node != nil && slices.ContainsFunc(profiles, func(p string) bool {
			d := r.set.Find(p)
			if d == nil {
				return r.profileType(p) == v.typ && v.typ != ""
			}
			return r.conforms(v, d)
		})
	}))
}

// discriminatorSteps splits a restricted FHIRPath: $this, names, extension('url'), resolve(), ofType(X).
func discriminatorSteps(path string) []string {
	var steps []string
	depth, start := 0, 0
	cut := func(end int) {
		if s := path[start:end]; s != "" && s != "$this" {
			steps = append(steps, s)
		}
		start = end + 1
	}
	quoted := false
	for i := range len(path) {
		switch c := path[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '.' && depth == 0:
			cut(i)
		}
	}
	cut(len(path))
	return steps
}

// argument is what stands in the parentheses of a step.
func argument(step, function string) (string, bool) {
	rest, ok := strings.CutPrefix(step, function+"(")
	if !ok {
		return "", false
	}
	return strings.Trim(strings.TrimSuffix(rest, ")"), "'\""), true
}

// stepValues follows a discriminator's path in the document.
func (r *run) stepValues(from []value, steps []string) []value {
	for _, s := range steps {
		var next []value
		for _, v := range from {
			switch url, isExt := argument(s, "extension"); {
			case isExt:
				for _, x := range v.get("extension", nil) {
					if x.node.Get("url").Text() == url {
						next = append(next, x)
					}
				}
			case s == "resolve()":
				if n, typ := r.follow(v.node.Get("reference").Text()); n != nil || typ != "" {
					next = append(next, value{node: n, typ: typ})
				} else if typ := v.node.Get("type").Text(); typ != "" {
					next = append(next, value{typ: typ})
				}
			default:
				if typ, ok := argument(s, "ofType"); ok {
					if v.typ == typ {
						next = append(next, v)
					}
					continue
				}
				next = v.get(strings.TrimSuffix(s, "[x]"), next)
			}
		}
		from = next
	}
	return from
}

// stepNodes follows a discriminator's path in what the slice says. Where the slice itself says nothing on the way,
// the profiles of its types are asked.
func (r *run) stepNodes(from []*node, steps []string, typ string) []*node {
	for _, s := range steps {
		var next []*node
		for _, n := range from {
			switch url, isExt := argument(s, "extension"); {
			case isExt:
				for _, k := range n.kids {
					if k.name == "extension" {
						for _, x := range k.slices {
							if r.extensionURL(x) == url {
								next = append(next, x)
							}
						}
					}
				}
			case s == "resolve()":
				next = append(next, n)
				for _, t := range n.types {
					for _, p := range t.Targets {
						if d := r.set.Find(p); d != nil && len(t.Targets) == 1 {
							next = append(next, r.set.tree(d).root)
						}
					}
				}
			default:
				if typ, ok := argument(s, "ofType"); ok {
					next = append(next, n.ofType(typ)...)
					continue
				}
				next = append(next, r.nodesBelow(n, strings.TrimSuffix(s, "[x]"))...)
			}
		}
		from = next
	}
	// A place that only names a profile says what the profile says there.
	for _, n := range slices.Clone(from) {
		if len(n.types) == 1 && len(n.types[0].Profiles) == 1 && !n.discriminates() {
			if part := r.part(n.types[0].Profiles[0]); part != nil {
				from = append(from, part)
			}
		}
	}
	return from
}

func (n *node) ofType(typ string) []*node {
	out := []*node{n}
	for _, s := range n.slices {
		if s.typ == typ {
			out = append(out, s)
		}
	}
	return out
}

// nodesBelow finds the nodes of an element under n and under the profiles of its types.
func (r *run) nodesBelow(n *node, name string) []*node {
	var out []*node
	for _, k := range n.kids {
		if k.name == name {
			out = append(out, k)
			if len(k.slices) > 0 && !k.discriminates() {
				for _, s := range k.slices {
					if s.min > 0 {
						out = append(out, s)
					}
				}
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, t := range n.types {
		for _, p := range t.Profiles {
			if part := r.part(p); part != nil && len(t.Profiles) == 1 {
				out = append(out, r.nodesBelow(part, name)...)
			}
		}
	}
	return out
}

// extensionURL is the url of the extensions that belong to a slice.
func (r *run) extensionURL(x *node) string {
	for _, k := range x.kids {
		if k.name == "url" && k.fixed != nil {
			return k.fixed.Node.Text()
		}
	}
	for _, t := range x.types {
		if t.Code == "Extension" && len(t.Profiles) == 1 {
			return bare(t.Profiles[0])
		}
	}
	return ""
}

var _ = fhirjson.Null
