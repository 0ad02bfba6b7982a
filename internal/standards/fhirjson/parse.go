package fhirjson

import (
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Limits bounds what Parse accepts. Zero fields mean the defaults.
type Limits struct {
	Bytes int // length of the document; default 20 MB
	Depth int // arrays and objects inside each other; default 64
}

const (
	defaultBytes = 20 << 20
	defaultDepth = 64
	// maxBytes keeps offsets within 32 bits, whatever limit is asked for.
	maxBytes = 1 << 30
)

// Parse reads one JSON document. Any error is a *SyntaxError.
//
// Beyond the JSON grammar (RFC 8259) it refuses a member named twice in one
// object, the character NUL, text that is not UTF-8, surrogates without their
// other half, a byte order mark, and bytes after the document.
// The tree does not alias data.
func Parse(data []byte, lim Limits) (*Node, error) {
	if lim.Bytes <= 0 {
		lim.Bytes = defaultBytes
	}
	if lim.Depth <= 0 {
		lim.Depth = defaultDepth
	}
	lim.Bytes = min(lim.Bytes, maxBytes)
	if len(data) > lim.Bytes {
		return nil, &SyntaxError{Line: 1, Column: 1,
			Msg: fmt.Sprintf("The document has %d bytes; at most %d are accepted.", len(data), lim.Bytes),
			Fix: "Send it in smaller parts, for example several Bundles, or put large attachments into Binary."}
	}
	p := parsers.Get().(*parser)
	p.src = string(data)
	p.depthLeft = lim.Depth
	p.depth = lim.Depth
	n, err := p.document()
	p.release()
	if err != nil {
		err.Line, err.Column = Position(data, err.Offset)
		return nil, err
	}
	return n, nil
}

// parser holds the state of one Parse. Values are collected on two stacks and
// moved to exactly sized parts of a slab when their container closes, so that
// a document costs a handful of allocations.
type parser struct {
	src       string
	i         int
	depth     int
	depthLeft int

	members []Member // stack of members of objects still open
	items   []Node   // stack of items of arrays still open
	highM   int      // how far the stacks were used, to clear them
	highI   int
	slabM   []Member
	slabI   []Node
	slabK   []kids
	chunkM  int
	chunkI  int
	chunkK  int
	scratch []byte
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// release clears what could keep a document alive and returns the parser.
func (p *parser) release() {
	if cap(p.members) > 1<<14 || cap(p.items) > 1<<14 {
		p.members, p.items = nil, nil
		p.highM, p.highI = 0, 0
	}
	p.highM, p.highI = max(p.highM, len(p.members)), max(p.highI, len(p.items))
	clear(p.members[:p.highM])
	clear(p.items[:p.highI])
	*p = parser{members: p.members[:0], items: p.items[:0], scratch: p.scratch[:0]}
	if cap(p.scratch) > 1<<16 {
		p.scratch = nil
	}
	parsers.Put(p)
}

func (p *parser) document() (*Node, *SyntaxError) {
	s := p.src
	if len(s) >= 3 && s[:3] == "\ufeff" {
		return nil, p.fault(0, "The document starts with a byte order mark.", "Save it as UTF-8 without one.")
	}
	if !utf8.ValidString(s) {
		at := 0
		for at < len(s) {
			r, size := utf8.DecodeRuneInString(s[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return nil, p.fault(at, fmt.Sprintf("Byte 0x%02X is not part of a UTF-8 character.", s[at]), "Send the document as UTF-8.")
	}
	p.chunks(len(s))
	p.space()
	if p.i == len(s) {
		return nil, p.fault(p.i, "The document is empty.", "Send a JSON document.")
	}
	root, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i < len(s) {
		return nil, p.fault(p.i, "There is more text after the end of the document.", "Send exactly one JSON value; remove what follows it.")
	}
	return &root, nil
}

func (p *parser) fault(at int, msg, fix string) *SyntaxError {
	return &SyntaxError{Offset: at, Msg: msg, Fix: fix}
}

func (p *parser) space() {
	s, i := p.src, p.i
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t') {
		i++
	}
	p.i = i
}

// value reads one value. It returns it rather than filling a place given by
// the caller, which would have to lie on the heap.
func (p *parser) value() (Node, *SyntaxError) {
	s := p.src
	if p.i >= len(s) {
		return Node{}, p.ended()
	}
	n := Node{pos: uint32(p.i)}
	var err *SyntaxError
	switch c := s[p.i]; c {
	case '"':
		n.kind = String
		n.text, err = p.str()
	case '{':
		n.kind = Object
		n.kids, err = p.object()
	case '[':
		n.kind = Array
		n.kids, err = p.array()
	case 't':
		n.kind, n.text = Bool, "true"
		err = p.word("true")
	case 'f':
		n.kind, n.text = Bool, "false"
		err = p.word("false")
	case 'n':
		err = p.word("null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return Node{}, p.notAValue(c)
		}
		n.kind = Number
		n.text, err = p.number()
	}
	return n, err
}

func (p *parser) notAValue(c byte) *SyntaxError {
	switch c {
	case ',', ']', '}', ':':
		return p.fault(p.i, fmt.Sprintf("A value is missing before %q.", c), "Write a value here, or remove the comma or name before it.")
	case '\'':
		return p.fault(p.i, "Single quotes do not start a JSON string.", `Use double quotes (").`)
	case '/':
		return p.fault(p.i, "JSON has no comments.", "Remove the comment.")
	case '.', '+':
		return p.fault(p.i, fmt.Sprintf("A number cannot start with %q.", c), "Start it with a digit or a minus sign, such as 0.5.")
	case 0:
		return p.fault(p.i, "The document contains the character NUL.", "Remove it.")
	}
	return p.fault(p.i, "This is not the start of a JSON value.", `A value is a string in double quotes, a number, true, false, null, an object { } or an array [ ].`)
}

func (p *parser) ended() *SyntaxError {
	return p.fault(len(p.src), "The document ends too early.", "It was cut off, or a closing bracket is missing; send it whole.")
}

func (p *parser) word(word string) *SyntaxError {
	s := p.src
	if len(s)-p.i < len(word) || s[p.i:p.i+len(word)] != word || p.i+len(word) < len(s) && wordByte(s[p.i+len(word)]) {
		return p.fault(p.i, "This word is not a JSON value.", "Only true, false and null stand without quotes.")
	}
	p.i += len(word)
	return nil
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func (p *parser) number() (string, *SyntaxError) {
	start := p.i
	end, msg := scanNumber(p.src, start)
	if msg == "" && end < len(p.src) && (wordByte(p.src[end]) || p.src[end] == '.' || p.src[end] == '+') {
		msg = "This is not a JSON number."
	}
	if msg != "" {
		return "", p.fault(start, msg, "Write it like 0, -12 or 1.50: no leading zeros or plus sign, digits on both sides of the point.")
	}
	p.i = end
	return p.src[start:end], nil
}

// ValidNumber reports whether s follows the JSON grammar for numbers.
func ValidNumber(s string) bool {
	end, msg := scanNumber(s, 0)
	return msg == "" && end == len(s)
}

// scanNumber returns the end of the number at s[i:], or what is wrong with it.
func scanNumber(s string, i int) (int, string) {
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			return i, "A number starts with a needless zero."
		}
	case i < len(s) && s[i] >= '1' && s[i] <= '9':
		i = digits(s, i)
	default:
		return i, "A minus sign has no digit after it."
	}
	if i < len(s) && s[i] == '.' {
		end := digits(s, i+1)
		if end == i+1 {
			return i, "A decimal point has no digit after it."
		}
		i = end
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		end := digits(s, i)
		if end == i {
			return i, "An exponent has no digits."
		}
		i = end
	}
	return i, ""
}

func digits(s string, i int) int {
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

// enter and leave count the containers around the current place.
func (p *parser) enter() *SyntaxError {
	if p.depthLeft == 0 {
		return p.fault(p.i, "Arrays and objects lie more than "+strconv.Itoa(p.depth)+" levels inside each other.", "Flatten the document; no FHIR resource needs this depth.")
	}
	p.depthLeft--
	return nil
}

func (p *parser) array() (*kids, *SyntaxError) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	base := len(p.items)
	p.i++
	p.space()
	if p.i < len(p.src) && p.src[p.i] == ']' {
		p.i++
	} else {
		for {
			v, err := p.value()
			if err != nil {
				return nil, err.underIndex(len(p.items) - base)
			}
			p.items = append(p.items, v)
			p.space()
			if p.i >= len(p.src) {
				return nil, p.ended()
			}
			if p.src[p.i] == ']' {
				p.i++
				break
			}
			if p.src[p.i] != ',' {
				return nil, p.fault(p.i, "A comma or ] is missing after this item.", "Separate items with commas and close the array with ].")
			}
			p.i++
			p.space()
		}
	}
	p.depthLeft++
	p.highI = max(p.highI, len(p.items))
	k := p.newKids()
	k.items = p.keepItems(p.items[base:])
	p.items = p.items[:base]
	return k, nil
}

func (p *parser) object() (*kids, *SyntaxError) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	base := len(p.members)
	var before seen
	p.i++
	p.space()
	if p.i < len(p.src) && p.src[p.i] == '}' {
		p.i++
	} else {
		for {
			at := p.i
			m, err := p.member()
			if err != nil {
				return nil, err
			}
			if err := p.repeated(&before, base, m.Name, at); err != nil {
				return nil, err
			}
			p.members = append(p.members, m)
			p.space()
			if p.i >= len(p.src) {
				return nil, p.ended()
			}
			if p.src[p.i] == '}' {
				p.i++
				break
			}
			if p.src[p.i] != ',' {
				return nil, p.fault(p.i, "A comma or } is missing after this member.", "Separate members with commas and close the object with }.").under(m.Name)
			}
			p.i++
			p.space()
		}
	}
	p.depthLeft++
	p.highM = max(p.highM, len(p.members))
	k := p.newKids()
	k.members = p.keepMembers(p.members[base:])
	p.members = p.members[:base]
	return k, nil
}

func (p *parser) member() (m Member, err *SyntaxError) {
	if p.i >= len(p.src) {
		return m, p.ended()
	}
	if c := p.src[p.i]; c != '"' {
		if c == '}' {
			return m, p.fault(p.i, "There is a comma before }.", "Remove the comma after the last member.")
		}
		return m, p.fault(p.i, "A member name in double quotes is missing.", `Write members as "name": value.`)
	}
	if m.Name, err = p.str(); err != nil {
		return m, err
	}
	p.space()
	if p.i >= len(p.src) {
		return m, p.ended()
	}
	if p.src[p.i] != ':' {
		return m, p.fault(p.i, "A colon is missing after the member name.", `Write members as "name": value.`).under(m.Name)
	}
	p.i++
	p.space()
	if m.Value, err = p.value(); err != nil {
		return m, err.under(m.Name)
	}
	return m, nil
}

// manyMembers is where comparing each name with all before it costs more than
// a map does.
const manyMembers = 32

// seen finds repeated names in one open object.
type seen struct {
	names map[string]int // name to index, once there are manyMembers
}

// repeated refuses a name that the open object, whose members start at base,
// already has. at is where the name is written.
func (p *parser) repeated(before *seen, base int, name string, at int) *SyntaxError {
	open := p.members[base:]
	first := -1
	if len(open) < manyMembers {
		for i := range open {
			if open[i].Name == name {
				first = i
				break
			}
		}
	} else {
		if before.names == nil {
			before.names = make(map[string]int, 4*manyMembers)
			for i := range open {
				before.names[open[i].Name] = i
			}
		}
		if i, ok := before.names[name]; ok {
			first = i
		} else {
			before.names[name] = len(open)
		}
	}
	if first < 0 {
		return nil
	}
	line, column := Position([]byte(p.src), int(open[first].Value.pos))
	return p.fault(at, fmt.Sprintf("The member %q is written twice in one object; its first value is at line %d, column %d.", clip(name), line, column),
		"Keep one of the two; readers would disagree about which one counts.").under(name)
}

func clip(s string) string {
	if len(s) <= 64 {
		return s
	}
	end := 64
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
