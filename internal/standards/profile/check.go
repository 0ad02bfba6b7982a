package profile

import (
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

func itoa(n int) string { return strconv.Itoa(n) }

// check judges one value against what a profile says about it.
func (r *run) check(it value, c *node) {
	if !r.spend() {
		return
	}
	if it.typ == "Reference" {
		r.targets(it, c)
	}
	r.content(it, c)
	r.below(it, c)
}

// below judges the elements of a value.
func (r *run) below(it value, c *node) {
	var buf [8]value
	for _, k := range c.kids {
		r.group(it, k, buf[:0])
	}
}

// content judges a value itself, without the elements below it.
func (r *run) content(it value, c *node) {
	if len(c.types) > 0 && !r.typed(it, c) {
		return
	}
	if c.fixed != nil && !equals(it, c.fixed) {
		r.fail("value", it.any(), "The value is not the one that "+r.who(c)+" fixes.", "Write "+written(c.fixed)+".")
		return
	}
	if c.pattern != nil && !contains(it.node, c.pattern.Node) {
		r.fail("value", it.any(), "The value does not hold what "+r.who(c)+" asks for.", "It must contain "+written(c.pattern)+".")
	}
	if c.low != nil || c.high != nil {
		r.limits(it, c)
	}
	if c.maxLength > 0 && it.node.Kind() == fhirjson.String && utf8.RuneCountInString(it.node.Text()) > c.maxLength {
		r.fail("too-long", it.node, "The text is longer than the "+itoa(c.maxLength)+" characters that "+r.who(c)+" allows.", "Shorten it.")
	}
	for _, b := range c.bindings {
		r.bound(it, b, r.who(c))
	}
	if c.bounds != nil {
		r.bounded(it, c.bounds, r.who(c))
	}
	if c.narrative != nil && it.typ == "Narrative" {
		r.controlled(it.node, c.narrative, r.who(c))
	}
	if !r.o.Light {
		for _, x := range c.rules {
			r.test(x, it)
		}
	}
}

// who names the profile that a constraint comes from.
func (r *run) who(c *node) string {
	if c.source == "" {
		return "FHIR R4"
	}
	return "the profile " + shown(c.source)
}

// group judges all values of an element below a value: how many there are, each of them, and its slices.
func (r *run) group(parent value, c *node, buf []value) {
	values := parent.get(c.name, buf)
	r.push(c.name, -1)
	r.count(parent.any(), c, len(values), "")
	repeats := len(values) > 1 || isMany(parent, c.name)
	for i, v := range values {
		if repeats {
			r.path[len(r.path)-1].index = i
		}
		if c.name == "resource" {
			// Rules on the element see the resource outside, those below it the resource inside.
			r.content(v, c)
			leave := r.enter(v.node)
			r.below(v, c)
			leave()
		} else {
			r.check(v, c)
		}
	}
	r.path[len(r.path)-1].index = -1
	if len(c.slices) > 0 {
		r.slices(parent, c, values, repeats)
	}
	r.pop()
}

// isMany reports whether an element is an array in JSON.
func isMany(parent value, name string) bool {
	k := kinds()[parent.typ]
	return k != nil && k.fields[name] != nil && k.fields[name].many
}

// count judges how many values there are.
func (r *run) count(n *fhirjson.Node, c *node, count int, slice string) {
	what := `The element "` + c.name + `"`
	if slice != "" {
		what = `The slice "` + slice + `" of "` + c.name + `"`
	}
	switch {
	case c.min > 0 && count < c.min:
		fix := "Add it."
		if slice != "" {
			fix = "Add a value that belongs to it" + sliceHint(c) + "."
		}
		if c.min == 1 {
			r.fail("required", n, what+" is required by "+r.who(c)+".", fix)
		} else {
			r.fail("required", n, what+" is required at least "+itoa(c.min)+" times by "+r.who(c)+", but there are "+itoa(count)+".", "Add the others.")
		}
	case c.max == 0 && count > 0:
		r.fail("structure", n, what+" is not allowed by "+r.who(c)+".", "Remove it.")
	case c.max > 0 && count > c.max:
		r.fail("structure", n, what+" is allowed "+times(c.max)+" by "+r.who(c)+", but there are "+itoa(count)+".", "Remove some.")
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return itoa(n) + " times"
}

// typed judges a value's type, and its conformance to the profiles of the type.
func (r *run) typed(it value, c *node) bool {
	var profiles []string
	matched := false
	for i := range c.types {
		t := &c.types[i]
		if !r.isType(it, t.Code) {
			continue
		}
		matched = true
		if len(t.Profiles) == 0 {
			return true
		}
		profiles = append(profiles, t.Profiles...)
	}
	if !matched {
		if it.typ == "" {
			return true
		}
		r.fail("structure", it.any(), "A value of type "+it.typ+" is not allowed here by "+r.who(c)+".", "Use "+orList(typesOf(c.types))+".")
		return false
	}
	return r.oneOf(it, profiles, c, "the value")
}

func (r *run) isType(it value, code string) bool {
	if it.typ == code || code == "" || code == "Element" || code == "BackboneElement" {
		return true
	}
	return model.IsSubtype(it.typ, code) || strings.Contains(it.typ, ".")
}

// oneOf judges a value against profiles of which one must be met.
func (r *run) oneOf(it value, profiles []string, c *node, what string) bool {
	var known []*Definition
	for _, p := range profiles {
		url, part, _ := strings.Cut(p, "#")
		if d := r.set.Find(url); d != nil && part == "" {
			known = append(known, d)
			continue
		} else if n := r.part(p); n != nil {
			r.check(it, n)
			return true
		}
		if name, ok := strings.CutPrefix(bare(p), structureBase); ok && fhir.Definition(name) != nil {
			if model.IsSubtype(it.typ, name) {
				return true
			}
			continue
		}
		r.by(r.missing(), "not-found", it.any(), "The profile "+shown(p)+", which "+r.who(c)+" asks for here, is not known, so it was not checked.", "Import the guide that defines it (yarrow import guide).")
		return true
	}
	switch {
	case len(known) == 0:
		r.fail("structure", it.any(), "A value of type "+it.typ+" is not allowed here by "+r.who(c)+".", "Use "+orList(profiles)+".")
		return false
	case len(known) == 1 && len(profiles) == 1:
		r.conform(it.node, it.extra, it.typ, known[0])
		return true
	}
	for _, d := range known {
		if r.conforms(it, d) {
			return true
		}
	}
	r.fail("value", it.any(), "Here "+what+" meets none of the profiles that "+r.who(c)+" allows.", "It must conform to "+orList(urls(known))+".")
	return false
}

// missing is how a profile is taken that another profile names and nobody knows.
func (r *run) missing() Policy {
	if r.o.Strict {
		return Refuse
	}
	return r.o.UnknownProfiles
}

// conforms reports whether a value meets a definition.
func (r *run) conforms(it value, d *Definition) bool {
	if !model.IsSubtype(it.typ, d.Type) && it.typ != d.Type {
		return false
	}
	return r.quiet(func() { r.conform(it.node, it.extra, it.typ, d) })
}

// conformsTo answers conformsTo() in invariants.
func (r *run) conformsTo(it fhirpath.Item, url string) (ok, known bool) {
	d := r.set.Find(url)
	if d == nil {
		return false, false
	}
	return r.conforms(value{it.Node, it.Extra, it.Type}, d), true
}

func urls(defs []*Definition) []string {
	var out []string
	for _, d := range defs {
		out = append(out, shown(d.URL))
	}
	return out
}

// equals reports whether a value is exactly the fixed one.
func equals(it value, want *Value) bool {
	return sameValue(it.node, want.Node)
}

// sameValue is equality of trees where numbers and moments are compared as they are written.
func sameValue(a, b *fhirjson.Node) bool { return a != nil && fhirjson.Equal(a, b) }

// contains reports whether a value holds a pattern: every member of the pattern, and for each item of an array of the
// pattern some item of the value (R4 ElementDefinition.pattern).
func contains(n, pattern *fhirjson.Node) bool {
	if n.Kind() != pattern.Kind() {
		return false
	}
	switch pattern.Kind() {
	case fhirjson.Object:
		for i := range pattern.Members() {
			m := &pattern.Members()[i]
			if !contains(n.Get(m.Name), &m.Value) {
				return false
			}
		}
		return true
	case fhirjson.Array:
		for i := range pattern.Items() {
			found := false
			for j := range n.Items() {
				if found = contains(&n.Items()[j], &pattern.Items()[i]); found {
					break
				}
			}
			if !found {
				return false
			}
		}
		return true
	}
	return n.Text() == pattern.Text()
}

// written shows a fixed value or pattern for people, at most a line.
func written(v *Value) string {
	s := string(v.Node.AppendJSON(nil))
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// limits judges minValue and maxValue.
func (r *run) limits(it value, c *node) {
	for _, l := range []struct {
		limit *Value
		sign  int
		word  string
	}{{c.low, -1, "smallest"}, {c.high, 1, "largest"}} {
		if l.limit == nil {
			continue
		}
		sign, known := r.compare(it, l.limit)
		if (l.limit.Type == "Quantity" || l.limit.Type == "Duration") && (it.typ == "date" || it.typ == "dateTime" || it.typ == "instant") {
			sign, known = r.sinceNow(it.node.Text(), l.limit.Node, l.sign)
		}
		if known && sign == l.sign {
			r.fail("value", it.any(), "The value lies beyond the "+l.word+" that "+r.who(c)+" allows.", "The "+l.word+" is "+written(l.limit)+".")
		}
	}
}

// compare returns the sign of value − limit.
func (r *run) compare(it value, limit *Value) (sign int, known bool) {
	a, b := it.node, limit.Node
	switch limit.Type {
	case "decimal", "integer", "positiveInt", "unsignedInt":
		return compareNumbers(a.Text(), b.Text())
	case "Quantity":
		if it.typ != "Quantity" && !model.IsSubtype(it.typ, "Quantity") {
			return 0, false
		}
		if a.Get("code").Text() != b.Get("code").Text() || a.Get("system").Text() != b.Get("system").Text() {
			return compareUnits(a, b)
		}
		return compareNumbers(a.Get("value").Text(), b.Get("value").Text())
	case "date", "dateTime", "instant", "time":
		return compareMoments(a.Text(), b.Text())
	}
	return 0, false
}

// compareNumbers compares decimals exactly.
func compareNumbers(a, b string) (int, bool) {
	if len(a) > 100 || len(b) > 100 || strings.ContainsAny(a+b, "eE") {
		return 0, false
	}
	x, ok1 := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	if !ok1 || !ok2 {
		return 0, false
	}
	return x.Cmp(y), true
}

// compareMoments compares dates and times: as instants where both are such, else by the part both have.
func compareMoments(a, b string) (int, bool) {
	if a == "" || b == "" {
		return 0, false
	}
	if x, err := time.Parse(time.RFC3339, a); err == nil {
		if y, err := time.Parse(time.RFC3339, b); err == nil {
			return x.Compare(y), true
		}
	}
	n := min(len(a), len(b))
	if n > 10 {
		n = min(n, 19)
	} else if len(a) != len(b) {
		n = min(n, 10)
	}
	return strings.Compare(a[:n], b[:n]), true
}

func orList(s []string) string {
	switch len(s) {
	case 0:
		return "another"
	case 1:
		return s[0]
	}
	return strings.Join(s[:len(s)-1], ", ") + " or " + s[len(s)-1]
}
