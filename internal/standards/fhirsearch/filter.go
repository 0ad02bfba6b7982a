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
	tree, issue := f.expression()
	if issue == nil && f.word() != "" {
		issue = f.wrong("something is left over")
	}
	if issue != nil {
		return Clause{}, issue
	}
	return Clause{Param: "_filter", Type: "special", Filter: tree}, nil
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
	start := f.at
	path := f.take()
	if strings.ContainsAny(path, `[]"`) {
		f.at = start
		return nil, fhir.Problem("not-supported", "Conditions in brackets are not supported in _filter.", "Use a composite search parameter.")
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
	c, issue := f.q.filterClause(f.typ, path, op, modifier, prefix, value, f.depth)
	if issue != nil {
		return nil, issue
	}
	leaf := &Filter{Clause: &c}
	if not {
		return &Filter{Op: "not", Args: []*Filter{leaf}}, nil
	}
	return leaf, nil
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

// filterClause makes the clause of one condition. A path with dots is a chain.
func (p *queryParser) filterClause(typ, path, op, modifier, prefix, value string, depth int) (Clause, *fhir.Issue) {
	if depth > maxDepth {
		return Clause{}, fhir.Problem("too-costly", "The chain of references is too long.", fmt.Sprintf("Use at most %d links.", maxDepth))
	}
	head, rest, chained := strings.Cut(path, ".")
	code, only, _ := strings.Cut(head, ":")
	param := Lookup(typ, code)
	if param == nil || param.plan == nil {
		return Clause{}, unknownParam(typ, code)
	}
	c := Clause{Param: param.Canonical, Type: param.Type, OnlyType: param.OnlyType}
	if only != "" {
		if param.Type != "reference" || !fhir.IsResourceType(only) || c.OnlyType != "" && c.OnlyType != only {
			return Clause{}, fhir.Problem("value", fmt.Sprintf("%q cannot follow %s in _filter.", ":"+only[:min(len(only), 64)], code), "Only the type of a reference can.")
		}
		c.OnlyType = only
	}
	if chained {
		return p.links(c, param, rest, func(target string) (Clause, *fhir.Issue) {
			return p.filterClause(target, rest, op, modifier, prefix, value, depth+1)
		})
	}
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
