package fhirpath

import (
	"fmt"
	"strings"
)

// maxNesting bounds the depth of an expression's tree.
const maxNesting = 200

// parse builds the tree of an expression. Operator precedence is that of the N1 grammar, loosest first:
// implies; or xor; and; in contains; = ~ != !~; < > <= >=; |; is as; + - &; * / div mod; unary + -; then
// paths and indexers.
func parse(src string) (node, error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := parser{src: src, toks: toks}
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tEnd {
		return nil, p.fail(t, "unexpected %s after the end of the expression", t)
	}
	return n, nil
}

type parser struct {
	src   string
	toks  []token
	at    int
	depth int
}

func (t token) String() string {
	switch t.kind {
	case tEnd:
		return "end"
	case tString:
		return fmt.Sprintf("text '%s'", t.text)
	}
	return fmt.Sprintf("%q", t.text)
}

func (p *parser) peek() token { return p.toks[p.at] }
func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tEnd {
		p.at++
	}
	return t
}

func (p *parser) fail(t token, format string, args ...any) error {
	return &Error{p.src, t.pos, fmt.Sprintf(format, args...)}
}

func (p *parser) symbol(s string) bool {
	if t := p.peek(); t.kind == tSymbol && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(s string) error {
	if !p.symbol(s) {
		return p.fail(p.peek(), "expected %q but found %s", s, p.peek())
	}
	return nil
}

// precedence of binary operators; 0 for everything else.
func precedence(t token) int {
	if t.quoted || t.kind != tSymbol && t.kind != tName {
		return 0
	}
	switch t.text {
	case "implies":
		return 1
	case "or", "xor":
		return 2
	case "and":
		return 3
	case "in", "contains":
		return 4
	case "=", "~", "!=", "!~":
		return 5
	case "<", ">", "<=", ">=":
		return 6
	case "|":
		return 7
	case "is", "as":
		return 8
	case "+", "-", "&":
		return 9
	case "*", "/", "div", "mod":
		return 10
	}
	return 0
}

func (p *parser) expression(min int) (node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, p.fail(p.peek(), "expression is nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	for length := 0; ; length++ {
		op := p.peek()
		prec := precedence(op)
		if prec == 0 || prec <= min {
			return left, nil
		}
		if length > 5000 {
			return nil, p.fail(op, "expression has too many operators")
		}
		p.at++
		if prec == 8 {
			typ, err := p.typeName()
			if err != nil {
				return nil, err
			}
			left = &typeTest{of: left, typ: typ, as: op.text == "as"}
			continue
		}
		right, err := p.expression(prec)
		if err != nil {
			return nil, err
		}
		left = p.binary(op, left, right)
	}
}

func (p *parser) binary(op token, l, r node) node {
	switch op.text {
	case "|":
		return &unionOp{l, r}
	case "and", "or", "xor", "implies":
		return &logicOp{op.text, l, r}
	case "=", "!=":
		return &equalOp{l, r, op.text == "!="}
	case "~", "!~":
		return &equivalentOp{l, r, op.text == "!~"}
	case "in":
		return &memberOp{l, r}
	case "contains":
		return &memberOp{r, l}
	case "<", ">", "<=", ">=":
		return &compareOp{op.text, l, r}
	}
	return &arithmeticOp{op.text, l, r}
}

func (p *parser) unary() (node, error) {
	if t := p.peek(); t.kind == tSymbol && (t.text == "-" || t.text == "+") {
		if p.depth++; p.depth > maxNesting {
			return nil, p.fail(t, "expression is nested more than %d deep", maxNesting)
		}
		defer func() { p.depth-- }()
		p.at++
		of, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &signOp{of, t.text == "-"}, nil
	}
	return p.path()
}

func (p *parser) path() (node, error) {
	n, err := p.term()
	if err != nil {
		return nil, err
	}
	for length := 0; ; length++ {
		if length > 5000 {
			return nil, p.fail(p.peek(), "path is too long")
		}
		switch {
		case p.symbol("."):
			if n, err = p.invocation(n); err != nil {
				return nil, err
			}
		case p.symbol("["):
			i, err := p.expression(0)
			if err != nil {
				return nil, err
			}
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			n = &indexer{n, i}
		default:
			return n, nil
		}
	}
}

// invocation reads what follows a dot, or starts a path when of is nil: a member, a function or $this.
func (p *parser) invocation(of node) (node, error) {
	t := p.next()
	if t.kind == tDollar {
		switch t.text {
		case "this", "index", "total":
			return &dollar{t.text}, nil
		}
		return nil, p.fail(t, "$%s is not $this, $index or $total", t.text)
	}
	if t.kind != tName {
		return nil, p.fail(t, "expected a name but found %s", t)
	}
	if !t.quoted && of == nil { // after a dot nothing else can be meant (Narrative.div)
		switch t.text {
		case "and", "or", "xor", "implies", "div", "mod", "true", "false":
			return nil, p.fail(t, "%q cannot be a name here; write `%s`", t.text, t.text)
		}
	}
	if !p.symbol("(") {
		return newMember(of, t.text), nil
	}
	return p.call(of, t)
}

func (p *parser) call(of node, name token) (node, error) {
	f := functions[name.text]
	if f == nil {
		return nil, p.fail(name, "unknown function %s()%s", name.text, nearestFunction(name.text))
	}
	c := &call{of: of, f: f, name: name.text}
	if f.typeArg && !p.peekIs(")") {
		typ, err := p.typeName()
		if err != nil {
			return nil, err
		}
		c.typ = typ
		return c, p.expect(")")
	}
	for !p.symbol(")") {
		if len(c.args) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		a, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if name.text == "sort" {
			a = p.direction(a)
		}
		c.args = append(c.args, a)
	}
	if n := len(c.args); n < f.min || n > f.max || f.typeArg && name.text != "getReferenceKey" {
		want := fmt.Sprint(f.min)
		if f.max != f.min {
			want = fmt.Sprintf("%d to %d", f.min, f.max)
		}
		return nil, p.fail(name, "%s() takes %s arguments, not %d", name.text, want, n)
	}
	if err := c.prepare(); err != nil {
		return nil, p.fail(name, "%s(): %v", name.text, err)
	}
	return c, nil
}

// direction reads asc or desc after a key of sort(); desc is what a leading minus says too.
func (p *parser) direction(key node) node {
	t := p.peek()
	if t.kind != tName || t.quoted || t.text != "asc" && t.text != "desc" {
		return key
	}
	p.at++
	if t.text == "asc" {
		return key
	}
	if s, ok := key.(*signOp); ok && s.negate {
		return s.of
	}
	return &signOp{key, true}
}

func (p *parser) peekIs(s string) bool {
	t := p.peek()
	return t.kind == tSymbol && t.text == s
}

// typeName reads a type specifier: Patient, FHIR.Patient, System.`String`.
func (p *parser) typeName() (typeSpec, error) {
	t := p.next()
	if t.kind != tName {
		return typeSpec{}, p.fail(t, "expected a type name but found %s", t)
	}
	spec := typeSpec{name: t.text}
	if p.symbol(".") {
		u := p.next()
		if u.kind != tName {
			return typeSpec{}, p.fail(u, "expected a type name but found %s", u)
		}
		spec = typeSpec{space: t.text, name: u.text}
		if spec.space != "FHIR" && spec.space != "System" {
			return typeSpec{}, p.fail(t, "type namespace %q is neither FHIR nor System", t.text)
		}
	}
	return spec, nil
}

func (p *parser) term() (node, error) {
	t := p.peek()
	switch t.kind {
	case tString:
		p.at++
		return &literal{single(stringItem(t.text))}, nil
	case tNumber:
		return p.number()
	case tDate, tDateTime, tTime:
		p.at++
		k := map[tokenKind]sysKind{tDate: sysDate, tDateTime: sysDateTime, tTime: sysTime}[t.kind]
		v, ok := parseTemporal(t.text, k)
		if !ok || k == sysTime && v.zoned {
			return nil, p.fail(t, "@%s is not a valid %s", t.text, strings.ToLower(sysNames[k]))
		}
		return &literal{single(timeItem(v))}, nil
	case tPercent:
		p.at++
		return &variable{t.text}, nil
	case tSymbol:
		switch t.text {
		case "(":
			p.at++
			n, err := p.expression(0)
			if err != nil {
				return nil, err
			}
			return n, p.expect(")")
		case "{":
			p.at++
			return &literal{}, p.expect("}")
		}
	case tName:
		if !t.quoted && (t.text == "true" || t.text == "false") {
			p.at++
			return &literal{boolCol(t.text == "true")}, nil
		}
		return p.invocation(nil)
	case tDollar:
		return p.invocation(nil)
	}
	return nil, p.fail(t, "expected an expression but found %s", t)
}

// number reads a number or, when a unit follows, a quantity: 4 days, 10 'mg'.
func (p *parser) number() (node, error) {
	t := p.next()
	d, ok := parseDecimal(t.text)
	if !ok {
		return nil, p.fail(t, "number %s has too many digits", t.text)
	}
	switch u := p.peek(); {
	case u.kind == tString:
		p.at++
		return &literal{single(quantityItem(d, u.text))}, nil
	case u.kind == tName && !u.quoted && calendarUnit(u.text) != "":
		p.at++
		return &literal{single(quantityItem(d, u.text))}, nil
	}
	if strings.Contains(t.text, ".") {
		return &literal{single(decimalItem(d))}, nil
	}
	it := decimalItem(d)
	it.Type, it.sys = "System.Integer", sysInteger
	return &literal{single(it)}, nil
}

// nearestFunction suggests the function that was probably meant.
func nearestFunction(name string) string {
	for known := range functions {
		if strings.EqualFold(known, name) {
			return fmt.Sprintf("; did you mean %s()?", known)
		}
	}
	return ""
}
