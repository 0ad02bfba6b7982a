package fhirpath

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Error is a fault in an expression: where it is and what is wrong.
type Error struct {
	Source string
	Offset int // bytes from the start of Source
	Msg    string
}

func (e *Error) Error() string {
	line, col := 1, 1
	for i, r := range e.Source {
		if i >= e.Offset {
			break
		}
		if r == '\n' {
			line, col = line+1, 1
		} else {
			col++
		}
	}
	return fmt.Sprintf("FHIRPath %d:%d: %s", line, col, e.Msg)
}

type tokenKind uint8

const (
	tEnd    tokenKind = iota
	tName             // identifier or keyword; text decoded; quoted when written in back-quotes
	tString           // text decoded
	tNumber           // text as written
	tDate             // @2015-02, text without @
	tDateTime
	tTime
	tSymbol // operator or punctuation
	tDollar // $this, $index, $total; text without $
	tPercent
)

type token struct {
	kind   tokenKind
	quoted bool
	pos    int
	text   string
}

// maxSource bounds an expression's size, as the official ones stay below 4 kB.
const maxSource = 64 << 10

// lex splits src into tokens, the last of which is tEnd.
func lex(src string) ([]token, error) {
	if len(src) > maxSource {
		return nil, &Error{src[:0], 0, fmt.Sprintf("expression of %d bytes is longer than the %d allowed", len(src), maxSource)}
	}
	l := lexer{src: src}
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		l.out = append(l.out, t)
		if t.kind == tEnd {
			return l.out, nil
		}
	}
}

type lexer struct {
	src string
	pos int
	out []token
}

func (l *lexer) fail(pos int, format string, args ...any) (token, error) {
	return token{}, &Error{l.src, pos, fmt.Sprintf(format, args...)}
}

// skip passes white space and comments; it fails on an unclosed comment.
func (l *lexer) skip() error {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n' || rest[0] == '\r':
			l.pos++
		case strings.HasPrefix(rest, "//"):
			if i := strings.IndexAny(rest, "\r\n"); i >= 0 {
				l.pos += i
			} else {
				l.pos = len(l.src)
			}
		case strings.HasPrefix(rest, "/*"):
			i := strings.Index(rest[2:], "*/")
			if i < 0 {
				return &Error{l.src, l.pos, "comment is not closed with */"}
			}
			l.pos += i + 4
		case strings.HasPrefix(rest, "\u00a0"): // no-break space, seen in published expressions
			l.pos += 2
		default:
			return nil
		}
	}
	return nil
}

func isAlpha(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (l *lexer) word(from int) int {
	i := from
	for i < len(l.src) && (isAlpha(l.src[i]) || isDigit(l.src[i])) {
		i++
	}
	return i
}

func (l *lexer) next() (token, error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	start := l.pos
	if start >= len(l.src) {
		return token{kind: tEnd, pos: start}, nil
	}
	c := l.src[start]
	switch {
	case isAlpha(c):
		l.pos = l.word(start)
		return token{kind: tName, pos: start, text: l.src[start:l.pos]}, nil
	case isDigit(c):
		return l.number()
	case c == '\'' || c == '`' || c == '"':
		text, err := l.quoted(c)
		if err != nil {
			return token{}, err
		}
		k := tName
		if c == '\'' {
			k = tString
		}
		// Drafts of FHIRPath wrote delimited identifiers with double quotes; R4 still accepts them.
		return token{kind: k, quoted: true, pos: start, text: text}, nil
	case c == '@':
		return l.temporal()
	case c == '$':
		l.pos = l.word(start + 1)
		return token{kind: tDollar, pos: start, text: l.src[start+1 : l.pos]}, nil
	case c == '%':
		return l.percent()
	}
	for _, s := range [...]string{"!=", "!~", "<=", ">="} {
		if strings.HasPrefix(l.src[start:], s) {
			l.pos += 2
			return token{kind: tSymbol, pos: start, text: s}, nil
		}
	}
	if strings.IndexByte("+-*/&|=~<>()[]{}.,", c) >= 0 {
		l.pos++
		return token{kind: tSymbol, pos: start, text: l.src[start:l.pos]}, nil
	}
	r, _ := utf8.DecodeRuneInString(l.src[start:])
	return l.fail(start, "unexpected character %q", r)
}

func (l *lexer) number() (token, error) {
	start := l.pos
	i := start
	for i < len(l.src) && isDigit(l.src[i]) {
		i++
	}
	if i+1 < len(l.src) && l.src[i] == '.' && isDigit(l.src[i+1]) {
		i++
		for i < len(l.src) && isDigit(l.src[i]) {
			i++
		}
	}
	l.pos = i
	return token{kind: tNumber, pos: start, text: l.src[start:i]}, nil
}

func (l *lexer) percent() (token, error) {
	start := l.pos
	l.pos++
	if l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == '`' || c == '\'' || c == '"':
			text, err := l.quoted(c)
			return token{kind: tPercent, quoted: true, pos: start, text: text}, err
		case isAlpha(c):
			l.pos = l.word(l.pos)
			// %vs-name and %ext-name were written without quotes before N1.
			if t := l.src[start+1 : l.pos]; (t == "vs" || t == "ext") && l.pos < len(l.src) && l.src[l.pos] == '-' {
				for l.pos < len(l.src) && (l.src[l.pos] == '-' || isAlpha(l.src[l.pos]) || isDigit(l.src[l.pos])) {
					l.pos++
				}
			}
			return token{kind: tPercent, pos: start, text: l.src[start+1 : l.pos]}, nil
		}
	}
	return l.fail(start, "%% must be followed by a variable name")
}

// temporal reads @2015, @2015-02-04T14:34:28.123+10:00, @T14:30. Ranges are checked by the parser.
func (l *lexer) temporal() (token, error) {
	start := l.pos
	i := start + 1
	run := func(ok func(byte) bool) {
		for i < len(l.src) && ok(l.src[i]) {
			i++
		}
	}
	kind := tDate
	if i < len(l.src) && l.src[i] == 'T' {
		kind = tTime
	} else {
		// A '-' belongs to the literal only before a digit: @2015-02-01, but not @2015 - 1 day.
		for i < len(l.src) && (isDigit(l.src[i]) || l.src[i] == '-' && i+1 < len(l.src) && isDigit(l.src[i+1])) {
			i++
		}
	}
	if i < len(l.src) && l.src[i] == 'T' {
		if kind == tDate {
			kind = tDateTime
		}
		i++
		run(func(c byte) bool { return isDigit(c) || c == ':' })
		if i+1 < len(l.src) && l.src[i] == '.' && isDigit(l.src[i+1]) {
			i++
			run(isDigit)
		}
		if i < len(l.src) && l.src[i] == 'Z' {
			i++
		} else if i+5 < len(l.src) && (l.src[i] == '+' || l.src[i] == '-') && isDigit(l.src[i+1]) && isDigit(l.src[i+2]) && l.src[i+3] == ':' && isDigit(l.src[i+4]) && isDigit(l.src[i+5]) {
			i += 6
		}
	}
	l.pos = i
	text := l.src[start+1 : i]
	if kind == tTime {
		text = text[1:]
	}
	if text == "" {
		return l.fail(start, "@ must be followed by a date or time")
	}
	return token{kind: kind, pos: start, text: text}, nil
}

// quoted reads a text between two of q and decodes its escapes.
func (l *lexer) quoted(q byte) (string, error) {
	start := l.pos
	l.pos++
	rest := l.src[l.pos:]
	if i := strings.IndexByte(rest, q); i >= 0 && strings.IndexByte(rest[:i], '\\') < 0 {
		l.pos += i + 1
		return rest[:i], nil
	}
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		l.pos++
		if c == q {
			return b.String(), nil
		}
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if l.pos >= len(l.src) {
			break
		}
		c = l.src[l.pos]
		l.pos++
		switch c {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'f':
			b.WriteByte('\f')
		case '\\', '/', '\'', '"', '`':
			b.WriteByte(c)
		case 'u':
			r, ok := hex4(l.src[l.pos:])
			if !ok {
				b.WriteByte(c)
				continue
			}
			l.pos += 4
			if low, ok := lowSurrogate(l.src[l.pos:]); ok && utf16.IsSurrogate(r) {
				r, l.pos = utf16.DecodeRune(r, low), l.pos+6
			}
			b.WriteRune(r)
		default: // a backslash before anything else is passed over (N1, section String)
			b.WriteByte(c)
		}
	}
	return "", &Error{l.src, start, fmt.Sprintf("text is not closed with %c", q)}
}

// lowSurrogate reads the escape of the second half of a character beyond the first 65,536.
func lowSurrogate(s string) (rune, bool) {
	rest, ok := strings.CutPrefix(s, `\u`)
	if !ok {
		return 0, false
	}
	r, ok := hex4(rest)
	return r, ok && r >= 0xDC00 && r <= 0xDFFF
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
