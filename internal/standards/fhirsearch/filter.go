package fhirsearch

import (
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Filter is the expression of _filter (R4 search_filter.html) as a tree.
type Filter struct {
	Op     string    // "and", "or", "not"; "" for a leaf
	Args   []*Filter // two or more for "and" and "or", one for "not"
	Clause *Clause   // of a leaf
}

// Modifiers that only a filter gives to a clause.
const (
	equalText  = "filter-eq" // a string is the text, folded
	endsText   = "filter-ew" // a string ends with the text, folded
	otherValue = "filter-ne" // some value is not the one given
)

// maxFilter bounds the conditions and the nesting of a filter.
const (
	maxFilter      = 200
	maxFilterDepth = 30
)

// filterParser reads one filter.
type filterParser struct {
	q      *queryParser
	typ    string
	depth  int // of the search
	src    string
	at     int
	nested int
	count  int
}

func (p *queryParser) filter(typ, value string, depth int) (Clause, *fhir.Issue) {
	f := &filterParser{q: p, typ: typ, depth: depth, src: value}
	tree, issue := f.whole()
	if issue != nil {
		return Clause{}, issue
	}
	return Clause{Param: "_filter", Type: "special", Filter: tree}, nil
}

// whole reads all of the text.
func (f *filterParser) whole() (*Filter, *fhir.Issue) {
	tree, issue := f.expression()
	if issue == nil && f.word() != "" {
		issue = f.wrong("something is left over")
	}
	return tree, issue
}

func (f *filterParser) wrong(what string) *fhir.Issue {
	return fhir.Problem("value", fmt.Sprintf("The _filter cannot be read at character %d: %s.", f.at+1, what),
		`Write conditions such as name co "ash" and birthdate gt 1980, joined by and, or, not (…) and parentheses.`)
}

func (f *filterParser) space() {
	for f.at < len(f.src) && (f.src[f.at] == ' ' || f.src[f.at] == '\t' || f.src[f.at] == '\n' || f.src[f.at] == '\r') {
		f.at++
	}
}

// word returns what stands next, up to a space or parenthesis, without taking it.
func (f *filterParser) word() string {
	f.space()
	end := f.at
	for end < len(f.src) && !strings.ContainsRune(" \t\r\n()", rune(f.src[end])) {
		end++
	}
	if end == f.at && end < len(f.src) {
		end++
	}
	return f.src[f.at:end]
}

func (f *filterParser) take() string {
	w := f.word()
	f.at += len(w)
	return w
}

// expression reads terms joined by and and or, which bind equally, from left to right.
func (f *filterParser) expression() (*Filter, *fhir.Issue) {
	if f.nested++; f.nested > maxFilterDepth {
		return nil, fhir.Problem("too-costly", "The _filter has too many parentheses within each other.", "Write it flatter.")
	}
	defer func() { f.nested-- }()
	left, issue := f.term()
	for issue == nil {
		op := f.word()
		if op != "and" && op != "or" {
			return left, nil
		}
		f.take()
		var right *Filter
		if right, issue = f.term(); issue != nil {
			break
		}
		if left.Op == op {
			left.Args = append(left.Args, right)
		} else {
			left = &Filter{Op: op, Args: []*Filter{left, right}}
		}
	}
	return nil, issue
}

func (f *filterParser) term() (*Filter, *fhir.Issue) {
	switch f.word() {
	case "":
		return nil, f.wrong("a condition is missing")
	case "(":
		return f.parenthesis()
	case "not":
		f.take()
		if f.word() != "(" {
			return nil, f.wrong("after not stands a parenthesis")
		}
		inner, issue := f.parenthesis()
		if issue != nil {
			return nil, issue
		}
		return &Filter{Op: "not", Args: []*Filter{inner}}, nil
	}
	return f.condition()
}

func (f *filterParser) parenthesis() (*Filter, *fhir.Issue) {
	f.take()
	inner, issue := f.expression()
	if issue != nil {
		return nil, issue
	}
	if f.take() != ")" {
		return nil, f.wrong("a parenthesis is not closed")
	}
	return inner, nil
}

// condition reads path, operator and value.
func (f *filterParser) condition() (*Filter, *fhir.Issue) {
	if f.count++; f.count > maxFilter {
		return nil, fhir.Problem("too-costly", "The _filter has too many conditions.", fmt.Sprintf("Send at most %d.", maxFilter))
	}
	path, issue := f.path()
	if issue != nil {
		return nil, issue
	}
	op := f.take()
	value, issue := f.value()
	if issue != nil {
		return nil, issue
	}
	modifier, prefix, not, known := filterOperator(op)
	if !known {
		return nil, fhir.Problem("value", fmt.Sprintf("%q is not an operator of _filter.", op[:min(len(op), 20)]),
			"Use eq, ne, co, sw, ew, gt, lt, ge, le, sa, eb, ap, po, pr, ss, sb, in or re.")
	}
	return f.along(f.typ, path, f.depth, func(typ, code string) (*Filter, *fhir.Issue) {
		c, issue := f.q.filterClause(typ, code, op, modifier, prefix, value)
		if issue != nil {
			return nil, issue
		}
		leaf := &Filter{Clause: &c}
		if not {
			return &Filter{Op: "not", Args: []*Filter{leaf}}, nil
		}
		return leaf, nil
	})
}

// filterLink is one part of a path: a parameter and what stands in brackets behind it.
type filterLink struct {
	param, where string
	narrowed     bool
}

// path reads a path: parameters with dots between them, each but the last perhaps with a filter in brackets, for what it refers to.
func (f *filterParser) path() (path []filterLink, issue *fhir.Issue) {
	f.space()
	for {
		end := f.at
		for end < len(f.src) && !strings.ContainsRune(" \t\r\n()[].\"", rune(f.src[end])) {
			end++
		}
		l := filterLink{param: f.src[f.at:end]}
		f.at = end
		if l.param == "" {
			return nil, f.wrong("a parameter is missing")
		}
		if f.at < len(f.src) && f.src[f.at] == '[' {
			if end = closing(f.src, f.at); end < 0 {
				return nil, f.wrong("a bracket is not closed")
			}
			l.where, l.narrowed = f.src[f.at+1:end], true
			if f.at = end + 1; f.at == len(f.src) || f.src[f.at] != '.' {
				return nil, f.wrong("after a bracket stands a point and a parameter of what is referred to")
			}
		}
		path = append(path, l)
		if f.at == len(f.src) || f.src[f.at] != '.' {
			if f.at < len(f.src) && strings.ContainsRune("]\"", rune(f.src[f.at])) {
				return nil, f.wrong("this character does not belong there")
			}
			return path, nil
		}
		f.at++
	}
}

// closing finds the bracket that closes the one at a place, passing over quoted text; -1 when there is none.
func closing(s string, at int) int {
	depth, quoted := 0, false
	for ; at < len(s); at++ {
		switch c := s[at]; {
		case quoted && c == '\\':
			at++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			depth++
		case c == ']':
			if depth--; depth == 0 {
				return at
			}
		}
	}
	return -1
}

// along makes the condition at the end of a path. Each link before is a chain, and one resource at its other end answers both what
// stands in brackets and the rest of the path.
func (f *filterParser) along(typ string, path []filterLink, depth int, last func(typ, code string) (*Filter, *fhir.Issue)) (*Filter, *fhir.Issue) {
	if depth > maxDepth {
		return nil, fhir.Problem("too-costly", "The chain of references is too long.", fmt.Sprintf("Use at most %d links.", maxDepth))
	}
	head := path[0]
	if len(path) == 1 {
		return last(typ, head.param)
	}
	c, param, issue := filterParam(typ, head.param)
	if issue != nil {
		return nil, issue
	}
	if head.narrowed && param.Type != "reference" {
		return nil, fhir.Problem("not-supported", "In _filter, brackets follow a parameter that refers to another resource.", "Use a composite search parameter.")
	}
	var rest []string
	for _, l := range path[1:] {
		rest = append(rest, l.param)
	}
	c, issue = f.q.links(c, param, strings.Join(rest, "."), func(target string) (Clause, *fhir.Issue) {
		tree, issue := f.along(target, path[1:], depth+1, last)
		if issue == nil && head.narrowed {
			var where *Filter
			inner := &filterParser{q: f.q, typ: target, depth: depth + 1, src: head.where, nested: f.nested, count: f.count}
			if where, issue = inner.whole(); issue == nil {
				tree = &Filter{Op: "and", Args: []*Filter{where, tree}}
			}
			f.count = inner.count
		}
		switch {
		case issue != nil:
			return Clause{}, issue
		case tree.Clause != nil:
			return *tree.Clause, nil
		}
		return Clause{Param: "_filter", Type: "special", Filter: tree}, nil
	})
	return &Filter{Clause: &c}, issue
}

// value reads a quoted text or everything up to the next space or parenthesis.
func (f *filterParser) value() (string, *fhir.Issue) {
	f.space()
	if f.at >= len(f.src) {
		return "", f.wrong("a value is missing")
	}
	if f.src[f.at] != '"' {
		if w := f.word(); w != "(" && w != ")" {
			return f.take(), nil
		}
		return "", f.wrong("a value is missing")
	}
	var b strings.Builder
	for i := f.at + 1; i < len(f.src); i++ {
		switch c := f.src[i]; {
		case c == '"':
			f.at = i + 1
			return b.String(), nil
		case c == '\\' && i+1 < len(f.src):
			i++
			b.WriteByte(f.src[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", f.wrong("a quote is not closed")
}

// filterOperator says how an operator is asked as a search parameter.
func filterOperator(op string) (modifier, prefix string, not, known bool) {
	switch op {
	case "eq", "re":
		return "", "eq", false, true
	case "ne":
		return otherValue, "ne", false, true
	case "co":
		return "contains", "", false, true
	case "sw":
		return "", "", false, true
	case "ew":
		return endsText, "", false, true
	case "gt", "lt", "ge", "le", "sa", "eb", "ap", "po":
		return "", op, false, true
	case "pr":
		return "missing", "", true, true
	case "ss":
		return "above", "", false, true
	case "sb":
		return "below", "", false, true
	case "in":
		return "in", "", false, true
	}
	return "", "", false, false
}

// filterParam finds a parameter in a path, written as code or code:Type.
func filterParam(typ, name string) (Clause, *Param, *fhir.Issue) {
	code, only, _ := strings.Cut(name, ":")
	param := Lookup(typ, code)
	if param == nil || param.plan == nil {
		return Clause{}, nil, unknownParam(typ, code)
	}
	c := Clause{Param: param.Canonical, Type: param.Type, OnlyType: param.OnlyType}
	if only != "" {
		if param.Type != "reference" || !fhir.IsResourceType(only) || c.OnlyType != "" && c.OnlyType != only {
			return Clause{}, nil, fhir.Problem("value", fmt.Sprintf("%q cannot follow %s in _filter.", ":"+only[:min(len(only), 64)], code), "Only the type of a reference can.")
		}
		c.OnlyType = only
	}
	return c, param, nil
}

// filterClause makes the clause of one condition.
func (p *queryParser) filterClause(typ, name, op, modifier, prefix, value string) (Clause, *fhir.Issue) {
	c, param, issue := filterParam(typ, name)
	if issue != nil {
		return Clause{}, issue
	}
	code, _, _ := strings.Cut(name, ":")
	unfit := fhir.Problem("not-supported", fmt.Sprintf("%s does not work on %s, a %s parameter.", op, code, param.Type), "Use an operator that fits its type, such as eq.")
	ordered := param.Type == "date" || param.Type == "number" || param.Type == "quantity"
	switch op {
	case "gt", "lt", "ge", "le", "sa", "eb", "ap", "po":
		if !ordered || op == "po" && param.Type != "date" {
			return Clause{}, unfit
		}
	case "co", "sw", "ew":
		if param.Type != "string" {
			return Clause{}, unfit
		}
	case "ss", "sb", "in":
		if param.Type != "token" {
			return Clause{}, unfit
		}
	case "re":
		if param.Type != "reference" {
			return Clause{}, unfit
		}
	case "pr":
		if value != "true" && value != "false" {
			return Clause{}, fhir.Problem("value", code+" pr takes true or false.", "Write "+code+" pr true.")
		}
	}
	if param.Type == "composite" || param.Type == "special" {
		return Clause{}, unfit
	}
	c.Modifier = modifier
	if op == "eq" && param.Type == "string" {
		c.Modifier = equalText
	}
	if ordered && op != "pr" {
		if c.Modifier = ""; prefix == "po" {
			prefix = "ap"
		}
		value = prefix + value
	} else if param.Type == "reference" || param.Type == "string" || param.Type == "uri" {
		value = escapeFor(param.Type, value)
	}
	term, issue := parseTerm(param, c, value)
	if issue != nil {
		return Clause{}, issue
	}
	if op == "po" { // overlapping, not about
		_, rest := splitPrefix(value)
		term.Low, term.High, _ = moment(rest)
	}
	c.Values = []ValueTerm{term}
	return c, nil
}

// escapeFor keeps the characters that separate values in a query from separating here.
func escapeFor(typ, s string) string {
	if typ == "reference" {
		return s
	}
	return Escape(s)
}

// holds evaluates the tree on one resource.
func (f *Filter) holds(n *fhirjson.Node) bool {
	switch f.Op {
	case "and":
		return !slices.ContainsFunc(f.Args, func(a *Filter) bool { return !a.holds(n) })
	case "or":
		return slices.ContainsFunc(f.Args, func(a *Filter) bool { return a.holds(n) })
	case "not":
		return !f.Args[0].holds(n)
	}
	return Match(n, *f.Clause)
}

// Leaves calls fn for every clause of the tree.
func (f *Filter) Leaves(fn func(c *Clause)) {
	if f.Clause != nil {
		fn(f.Clause)
	}
	for _, a := range f.Args {
		a.Leaves(fn)
	}
}
