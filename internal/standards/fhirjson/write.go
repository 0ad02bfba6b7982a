package fhirjson

import "unicode/utf8"

// AppendJSON appends the compact JSON of n to dst: members in their order,
// numbers as written, strings with only the escapes JSON requires. Parsing the
// result gives an equal tree.
func (n *Node) AppendJSON(dst []byte) []byte {
	switch n.Kind() {
	case Null:
		return append(dst, "null"...)
	case Bool, Number:
		return append(dst, n.text...)
	case String:
		return AppendString(dst, n.text)
	case Array:
		dst = append(dst, '[')
		for i := range n.kids.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = n.kids.items[i].AppendJSON(dst)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i := range n.kids.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		m := &n.kids.members[i]
		dst = AppendString(dst, m.Name)
		dst = append(dst, ':')
		dst = m.Value.AppendJSON(dst)
	}
	return append(dst, '}')
}

// AppendIndent appends n as JSON for people: two spaces per level.
func (n *Node) AppendIndent(dst []byte) []byte { return n.appendIndent(dst, 0) }

func (n *Node) appendIndent(dst []byte, level int) []byte {
	if n.Len() == 0 {
		return n.AppendJSON(dst)
	}
	opening, closing := byte('['), byte(']')
	if n.kind == Object {
		opening, closing = '{', '}'
	}
	dst = append(dst, opening)
	for i := range n.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = newline(dst, level+1)
		if n.kind == Array {
			dst = n.kids.items[i].appendIndent(dst, level+1)
			continue
		}
		m := &n.kids.members[i]
		dst = AppendString(dst, m.Name)
		dst = append(dst, ": "...)
		dst = m.Value.appendIndent(dst, level+1)
	}
	return append(newline(dst, level), closing)
}

func newline(dst []byte, level int) []byte {
	dst = append(dst, '\n')
	for range level {
		dst = append(dst, "  "...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, so that the result is always JSON.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plain marks the bytes that stand for themselves inside a JSON string;
// multi-byte characters were checked to be UTF-8 beforehand.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()
