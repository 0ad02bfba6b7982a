package ucum

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds on what a client may send as a unit.
const (
	longest     = 400  // bytes of a unit
	deepest     = 32   // nested parentheses
	mostPower   = 200  // exponent of one symbol
	mostBits    = 8192 // size of the numerator or denominator of a factor
	mostSymbols = 100
)

// Error says why a text is not a unit, and what to write instead.
type Error struct {
	Code string // the whole text
	At   int    // byte offset of the fault
	Text string // what is wrong
	Fix  string // what to do, "" when we do not know
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%q is not a UCUM unit: %s", e.Code, e.Text)
	if e.Fix != "" {
		s += " " + e.Fix
	}
	return s
}

type parser struct {
	src     string
	at      int
	depth   int
	symbols int
	table   *table
}

// Parse reads a unit. The error is an *Error.
func Parse(code string) (Unit, error) {
	if u, ok := recent.get(code); ok {
		return u, nil
	}
	u, err := parse(code)
	if err != nil {
		e := err.(*Error)
		e.Code = code
		if e.Fix == "" {
			e.Fix = remedy(code)
		}
		return Unit{}, e
	}
	u.code = code
	recent.put(code, u)
	return u, nil
}

func parse(code string) (Unit, error) {
	p := parser{src: code, table: load()}
	if code == "" {
		return Unit{}, p.fail(0, "it is empty.", "Write 1 for a number without unit.")
	}
	if len(code) > longest {
		return Unit{}, p.fail(longest, fmt.Sprintf("it is longer than %d characters.", longest), "Write the unit, not a text.")
	}
	for i := 0; i < len(code); i++ {
		if code[i] <= ' ' || code[i] > '~' {
			return Unit{}, p.fail(i, "it holds a space or a character outside ASCII.", "")
		}
	}
	u, err := p.term()
	if err != nil {
		return Unit{}, err
	}
	if p.at < len(p.src) {
		return Unit{}, p.fail(p.at, "there is a closing parenthesis without an opening one.", "")
	}
	return u, nil
}

func (p *parser) fail(at int, text, fix string) *Error {
	return &Error{Code: p.src, At: at, Text: text, Fix: fix}
}

// term = ["/"] component {("." | "/") component}
func (p *parser) term() (Unit, error) {
	if p.depth++; p.depth > deepest {
		return Unit{}, p.fail(p.at, "its parentheses are nested too deeply.", "")
	}
	defer func() { p.depth-- }()
	u, first := one(), true
	for {
		divide := false
		switch {
		case p.at < len(p.src) && p.src[p.at] == '/':
			divide = true
			p.at++
		case p.at < len(p.src) && p.src[p.at] == '.' && !first:
			p.at++
		case first:
		default:
			return u, nil
		}
		c, err := p.component()
		if err != nil {
			return Unit{}, err
		}
		single := first && !divide
		if divide {
			c = c.raise(-1)
		}
		if single {
			u = c
		} else {
			u = u.times(c)
			switch {
			case divide && first:
				u.name = "1 / " + c.name
			case divide:
				u.name += " / " + c.name
			default:
				u.name += " * " + c.name
			}
		}
		if u.size() > mostBits {
			return Unit{}, p.fail(p.at, "its factor is too large.", "")
		}
		first = false
	}
}

// component = annotatable [annotation] | annotation | factor [annotation] | "(" term ")"
func (p *parser) component() (Unit, error) {
	if p.symbols++; p.symbols > mostSymbols {
		return Unit{}, p.fail(p.at, "it has too many parts.", "")
	}
	if p.at >= len(p.src) {
		return Unit{}, p.fail(p.at, "something must follow "+strconv.Quote(p.src[max(0, p.at-1):])+".", "")
	}
	if p.src[p.at] == '(' {
		open := p.at
		p.at++
		u, err := p.term()
		if err != nil {
			return Unit{}, err
		}
		if p.at >= len(p.src) || p.src[p.at] != ')' {
			return Unit{}, p.fail(open, "this parenthesis is not closed.", "")
		}
		p.at++
		u.name = "(" + u.name + ")"
		return u, p.ended()
	}
	from := p.at
	symbol, err := p.symbol()
	if err != nil {
		return Unit{}, err
	}
	u := one()
	if symbol != "" {
		if u, err = p.simple(symbol, from); err != nil {
			return Unit{}, err
		}
	}
	note, err := p.annotation()
	if err != nil {
		return Unit{}, err
	}
	if symbol == "" {
		if note == "" {
			return Unit{}, p.fail(from, fmt.Sprintf("a unit is missing before %q.", p.src[p.at:p.at+1]), "")
		}
		u.name = note
	} else if note != "" {
		u.name += " " + note
	}
	return u, p.ended()
}

// ended checks that a component is followed by an operator, a closing parenthesis or nothing.
func (p *parser) ended() error {
	if p.at >= len(p.src) || strings.IndexByte("./)", p.src[p.at]) >= 0 {
		return nil
	}
	return p.fail(p.at, fmt.Sprintf("%q cannot follow here.", p.src[p.at:]), "Put . or / between two units.")
}

// symbol takes the text up to the next operator; what stands in square brackets belongs to it.
func (p *parser) symbol() (string, error) {
	from := p.at
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case '.', '/', '(', ')', '{', '}':
			return p.src[from:p.at], nil
		case '[':
			end := strings.IndexByte(p.src[p.at:], ']')
			if end < 0 {
				return "", p.fail(p.at, "this square bracket is not closed.", "")
			}
			p.at += end
		}
		p.at++
	}
	return p.src[from:], nil
}

func (p *parser) annotation() (string, error) {
	if p.at >= len(p.src) || p.src[p.at] != '{' {
		return "", nil
	}
	end := strings.IndexByte(p.src[p.at:], '}')
	if end < 0 || strings.IndexByte(p.src[p.at+1:p.at+end], '{') >= 0 {
		return "", p.fail(p.at, "this curly bracket is not closed.", "")
	}
	s := p.src[p.at : p.at+end+1]
	p.at += end + 1
	return s, nil
}

// simple reads one symbol with its prefix and exponent, or a whole number.
func (p *parser) simple(s string, at int) (Unit, error) {
	digits := 0
	for digits < len(s) && s[len(s)-1-digits] >= '0' && s[len(s)-1-digits] <= '9' {
		digits++
	}
	if digits == len(s) {
		u := one()
		u.factor = rational(s)
		u.name = s
		if u.factor.Sign() == 0 {
			return Unit{}, p.fail(at, "the factor is zero.", "")
		}
		return u, nil
	}
	u, name, ok, err := p.atom(s)
	if ok || err != nil {
		u.name = "(" + name + ")"
		return u, err
	}
	body, exponent := s[:len(s)-digits], s[len(s)-digits:]
	if digits > 0 && body[len(body)-1] == '+' || digits > 0 && body[len(body)-1] == '-' {
		exponent = body[len(body)-1:] + exponent
		body = body[:len(body)-1]
	}
	if exponent != "" && body != "" {
		n, e := strconv.Atoi(strings.TrimPrefix(exponent, "+"))
		if e != nil || n > mostPower || n < -mostPower {
			return Unit{}, p.fail(at, fmt.Sprintf("the exponent %s is too large.", exponent), "")
		}
		u, name, ok, err = p.atom(body)
		if err != nil {
			return Unit{}, err
		}
		if ok {
			if u = u.raise(n); u.size() > mostBits {
				return Unit{}, p.fail(at, "its factor is too large.", "")
			}
			u.name = fmt.Sprintf("(%s ^ %d)", name, n)
			return u, nil
		}
	}
	return Unit{}, p.fail(at, fmt.Sprintf("%q is not in the table of units.", s), "")
}

// atom finds a symbol of the table, alone or behind a prefix.
func (p *parser) atom(s string) (u Unit, name string, ok bool, err error) {
	if a := p.table.atoms[s]; a != nil {
		u, err = a.resolve()
		return u, a.name, err == nil, err
	}
	for _, n := range []int{1, 2} {
		if len(s) <= n {
			break
		}
		pre, known := p.table.prefixes[s[:n]]
		a := p.table.atoms[s[n:]]
		if !known || a == nil || !a.metric {
			continue
		}
		if u, err = a.resolve(); err != nil {
			return Unit{}, "", false, err
		}
		u.factor = product(u.factor, pre.value)
		return u, pre.name + a.name, true, nil
	}
	return Unit{}, "", false, nil
}
