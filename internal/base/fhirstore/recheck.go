package fhirstore

import (
	"bytes"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

const canSearch = auth.CanSearch

// check decides a clause on a candidate that the index let through. fhirsearch.Match decides; most candidates
// are proved right before, by the bytes of one element or by the columns of the row, at a tenth of the cost.
type check struct {
	within  *narrowing  // what the scope reaches of the type, instead of a clause
	filter  *filterNode // or _filter
	clause  *fhirsearch.Clause
	plan    *plan
	targets map[string]bool // of a chain: the references that count
	element string          // the top-level element that the parameter reads whole, "" when it is not that simple
	proofs  [][]byte        // one of these within the element is a match
	coded   [][2][]byte     // or both of a pair within one object of the element
	whole   [][]byte        // or the element is one of these
	names   []string        // or a family or given name in it begins with one of these, in lower case
	not     bool            // … and what is proved is that the clause does not hold (:not)
	byDate  bool            // the columns date and span decide
}

func newCheck(p *plan, cl *fhirsearch.Clause) check {
	c := check{clause: cl, plan: p}
	if cl.Modifier == "not" && cl.Type == "token" {
		c.not = true
	} else if cl.Modifier != "" {
		return c
	}
	if cl.Type == "date" {
		c.byDate = p.date != "" && cl.Param == p.date
		return c
	}
	var only string
	if c.element, only = elementOf(p.typ, cl.Param); c.element == "" {
		return c
	}
	for i := range cl.Values {
		v := &cl.Values[i]
		switch cl.Type {
		case "token":
			c.token(v)
		case "string":
			if humanNames[p.typ] && cl.Param == "name" && letters(v.Text) {
				c.names = append(c.names, strings.ToLower(v.Text))
			}
		case "reference":
			typ := v.RefType
			if typ == "" {
				typ = cl.OnlyType
			}
			if typ != "" && v.RefID != "" && (cl.OnlyType == "" || cl.OnlyType == typ) && (only == "" || only == typ) {
				c.proofs = append(c.proofs, []byte(`"reference":"`+typ+`/`+v.RefID+`"`))
			}
		}
	}
	return c
}

func (c *check) token(v *fhirsearch.ValueTerm) {
	if !plainText(v.Code) || v.HasSystem && !plainText(v.System) {
		return
	}
	name := "code"
	if c.clause.Param == "identifier" {
		name = "value"
	}
	if v.HasSystem {
		c.coded = append(c.coded, [2][]byte{[]byte(`"system":"` + v.System + `"`), []byte(`"` + name + `":"` + v.Code + `"`)})
		return
	}
	c.proofs = append(c.proofs, []byte(`"`+name+`":"`+v.Code+`"`))
	c.whole = append(c.whole, []byte(`"`+v.Code+`"`), []byte(v.Code))
}

// elementOf returns the element that a parameter's expression names, if it is nothing but Type.element, or a reference narrowed to
// one type: Type.element.where(resolve() is Only).
func elementOf(typ, param string) (element, only string) {
	odd := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
	}
	for _, sp := range fhir.SearchParams(typ) {
		if sp.Code != param {
			continue
		}
		for part := range strings.SplitSeq(sp.Expression, "|") {
			path, ok := strings.CutPrefix(strings.TrimSpace(part), typ+".")
			if !ok {
				continue
			}
			path, one, narrowed := strings.Cut(path, ".where(resolve() is ")
			if narrowed {
				one = strings.TrimSuffix(one, ")")
			}
			if element != "" || odd(path) || odd(one) {
				return "", ""
			}
			element, only = path, one
		}
	}
	return element, only
}

// plainText says that a text stands in JSON as it is.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != ""
}

// holds says whether the resource answers the clause.
func (c *check) holds(r *Resource, row *row) bool {
	if c.within != nil {
		return c.within.opens(r.Node())
	}
	if c.filter != nil {
		return c.filter.holds(r, row)
	}
	if c.targets != nil {
		for _, ref := range r.references(c.clause.Param) {
			if c.targets[ref.RefType+"/"+ref.RefID] {
				return true
			}
		}
		return false
	}
	if c.byDate && row.span >= 0 {
		for i := range c.clause.Values {
			if dateHolds(row.date, row.date+row.span, &c.clause.Values[i]) {
				return true
			}
		}
		return false
	}
	if len(c.proofs)+len(c.coded) > 0 && c.proved(r.body.member(c.element)) {
		return !c.not
	}
	if len(c.names) > 0 {
		element := r.body.member(c.element)
		if c.named(element) {
			return true
		}
		if len(c.names) == len(c.clause.Values) && c.unnamed(element) {
			return false
		}
	}
	return fhirsearch.Match(r.Node(), *c.clause)
}

// humanNames are the types whose element name is a HumanName.
var humanNames = map[string]bool{"Patient": true, "Practitioner": true, "Person": true, "RelatedPerson": true}

// letters says that a text is of the letters A to Z alone, which folding at most makes small.
func letters(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
}

var familyKey, givenKey = []byte(`"family":"`), []byte(`"given":[`)

// named looks for a family or given name that begins with what is searched. As in proved, nothing is proved where there are
// extensions; nor where a given name has an escape.
func (c *check) named(element []byte) bool {
	if len(element) == 0 || bytes.Contains(element, []byte(`"extension"`)) {
		return false
	}
	for rest := element; ; {
		_, after, ok := bytes.Cut(rest, familyKey)
		if !ok {
			break
		}
		if c.begins(after) {
			return true
		}
		rest = after
	}
	for rest := element; ; {
		_, after, ok := bytes.Cut(rest, givenKey)
		if !ok {
			return false
		}
		list := after[:max(bytes.IndexByte(after, ']'), 0)]
		if bytes.IndexByte(list, '\\') >= 0 {
			return false
		}
		for {
			_, text, ok := bytes.Cut(list, []byte{'"'})
			if !ok {
				break
			}
			if c.begins(text) {
				return true
			}
			_, list, _ = bytes.Cut(text, []byte{'"'})
		}
		rest = after
	}
}

// unnamed says that no text of the element can begin with what is searched: its letters, one after another, do not hold it. It says
// nothing of letters beyond A to Z, which folding changes, and of long elements.
func (c *check) unnamed(element []byte) bool {
	var room [512]byte
	plain := room[:0]
	for _, b := range element {
		switch {
		case b >= 0x80 || b == '\\' || len(plain) == len(room):
			return false
		case 'A' <= b && b <= 'Z':
			plain = append(plain, b+'a'-'A')
		case 'a' <= b && b <= 'z':
			plain = append(plain, b)
		}
	}
	for _, n := range c.names {
		if bytes.Contains(plain, []byte(n)) {
			return false
		}
	}
	return true
}

// begins compares the beginning of a text in JSON with the names, without regard to case.
func (c *check) begins(text []byte) bool {
	for _, n := range c.names {
		if len(text) >= len(n) && strings.EqualFold(n, string(text[:len(n)])) {
			return true
		}
	}
	return false
}

// proved looks for a value in the bytes of the element. Where there are extensions, which may hold the like
// without meaning it, nothing is proved.
func (c *check) proved(element []byte) bool {
	if len(element) == 0 || bytes.Contains(element, []byte(`"extension"`)) {
		return false
	}
	for _, p := range c.proofs {
		if bytes.Contains(element, p) {
			return true
		}
	}
	for _, w := range c.whole {
		if bytes.Equal(element, w) {
			return true
		}
	}
	for _, pair := range c.coded {
		if inOneObject(element, pair, c.clause.Param != "identifier") {
			return true
		}
	}
	return false
}

// inOneObject looks for an object with both members, in whatever order it has them; without inner only among those that lie in no other.
// Deeper than the objects of R4's types nothing is found.
func inOneObject(b []byte, members [2][]byte, inner bool) bool {
	var has [8]byte // of the object open at each depth, a bit for each member
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{':
			if depth++; depth == len(has) {
				return false
			}
			has[depth] = 0
		case '}':
			depth = max(depth-1, 0)
		case '"':
			for bit, m := range members {
				if (inner || depth == 1) && bytes.HasPrefix(b[i:], m) {
					if has[depth] |= 1 << bit; has[depth] == 3 {
						return true
					}
				}
			}
			i += skipValue(b[i:]) - 1
		}
	}
	return false
}

// dateHolds compares one stored date with a term as fhirsearch.Match does. Open ends are not stored as such
// and never come here.
func dateHolds(low, high int64, t *fhirsearch.ValueTerm) bool {
	inside := t.Low <= low && high <= t.High
	switch t.Prefix {
	case "ne":
		return !inside
	case "gt":
		return high > t.High
	case "lt":
		return low < t.Low
	case "ge":
		return inside || high > t.High
	case "le":
		return inside || low < t.Low
	case "sa":
		return low >= t.High
	case "eb":
		return high <= t.Low
	case "ap":
		return low < t.High && t.Low < high
	}
	return inside
}

// member returns the JSON of a top-level member of the body, nil when it has none. The body is compact, as
// packed. Where members begin is found out once for each body.
func (d *decoded) member(name string) []byte {
	starts := d.starts.Load()
	if starts == nil {
		found := memberStarts(d.content[d.meta:])
		starts = &found
		d.starts.Store(starts)
	}
	return memberAt(d.content[d.meta:], *starts, name)
}

// memberStarts lists where the members of an object begin, each with the comma or brace before it, and where the last one ends.
func memberStarts(b []byte) []uint32 {
	starts := make([]uint32, 1, 16)
	for at := 0; at+1 < len(b); {
		at++ // the comma
		at += skipValue(b[at:])
		at = min(at+1, len(b)) // the colon
		at += skipValue(b[at:])
		starts = append(starts, uint32(at))
	}
	return starts
}

func memberAt(b []byte, starts []uint32, name string) []byte {
	for i := range len(starts) - 1 {
		m := b[starts[i]:starts[i+1]]
		if n := len(name); len(m) >= n+4 && m[n+2] == '"' && m[n+3] == ':' && string(m[2:n+2]) == name {
			return m[n+4:]
		}
	}
	return nil
}

// Member returns the JSON of a top-level member as it is stored, without spaces; nil when there is none. It must not be changed.
func (r *Resource) Member(name string) []byte {
	if r.body != nil {
		return r.body.member(name)
	}
	open := bytes.TrimSuffix(r.Raw, []byte{'}'})
	return memberAt(open, memberStarts(open), name)
}

// skipValue returns the length of the JSON value that b starts with.
func skipValue(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(b))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1
			}
		case ',', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}
