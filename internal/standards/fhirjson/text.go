package fhirjson

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// str reads the string at p.i. Without escapes it is a part of the document's
// own copy and costs nothing.
func (p *parser) str() (string, *SyntaxError) {
	s, start := p.src, p.i+1
	i := start
	for i < len(s) && plain[s[i]] {
		i++
	}
	if i < len(s) && s[i] == '"' {
		p.i = i + 1
		return s[start:i], nil
	}
	buf := append(p.scratch[:0], s[start:i]...)
	for {
		if i >= len(s) {
			return "", p.fault(p.i, "A string that starts here has no end.", `Close it with a double quote (").`)
		}
		switch c := s[i]; {
		case c == '"':
			p.scratch = buf
			p.i = i + 1
			return string(buf), nil
		case c == '\\':
			var err *SyntaxError
			if buf, i, err = p.escape(buf, i); err != nil {
				return "", err
			}
		case c == 0:
			return "", p.fault(i, "A string contains the character NUL.", "Remove it.")
		case c < 0x20:
			return "", p.fault(i, fmt.Sprintf("A string contains the control character U+%04X as it is.", c), `Escape it: \n for a line feed, \t for a tab.`)
		default:
			run := i
			for i < len(s) && plain[s[i]] {
				i++
			}
			buf = append(buf, s[run:i]...)
		}
	}
}

// escape decodes the escape at src[i] and returns where the text goes on.
func (p *parser) escape(buf []byte, i int) ([]byte, int, *SyntaxError) {
	s := p.src
	if i+1 >= len(s) {
		return nil, 0, p.ended()
	}
	switch c := s[i+1]; c {
	case '"', '\\', '/':
		return append(buf, c), i + 2, nil
	case 'n':
		return append(buf, '\n'), i + 2, nil
	case 't':
		return append(buf, '\t'), i + 2, nil
	case 'r':
		return append(buf, '\r'), i + 2, nil
	case 'b':
		return append(buf, '\b'), i + 2, nil
	case 'f':
		return append(buf, '\f'), i + 2, nil
	case 'u':
		return p.unicodeEscape(buf, i)
	}
	return nil, 0, p.fault(i, "A backslash is followed by a character that JSON does not escape.", `Write \\ for a backslash itself.`)
}

func (p *parser) unicodeEscape(buf []byte, i int) ([]byte, int, *SyntaxError) {
	r, ok := hex4(p.src, i+2)
	if !ok {
		return nil, 0, p.fault(i, `\u is not followed by four hexadecimal digits.`, `Write it like \u00e9.`)
	}
	if r == 0 {
		return nil, 0, p.fault(i, `A string contains the character NUL (\u0000).`, "Remove it.")
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(buf, r), i + 6, nil
	}
	s := p.src
	if i+7 < len(s) && s[i+6] == '\\' && s[i+7] == 'u' {
		if low, ok := hex4(s, i+8); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return utf8.AppendRune(buf, pair), i + 12, nil
			}
		}
	}
	return nil, 0, p.fault(i, fmt.Sprintf(`\u%04x is half of a surrogate pair without its other half.`, r), `Write both halves (\ud83d\ude00) or the character itself.`)
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
