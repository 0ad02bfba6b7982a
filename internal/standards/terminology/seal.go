package terminology

import (
	"encoding/binary"
	"errors"
	"strings"
)

// The packed form of a code system: a magic word, the head, then columns. Numbers are uvarints, texts carry their length. A
// changed or cut file is refused; it never makes the reader allocate more than a small multiple of its size.

const magic = "yarrow-codes-1\n"

var errDamaged = errors.New("the packed code system is damaged")

func putText(b *strings.Builder, s string) {
	var n [binary.MaxVarintLen64]byte
	b.Write(n[:binary.PutUvarint(n[:], uint64(len(s)))])
	b.WriteString(s)
}

func packMore(b *strings.Builder, e *Entry) {
	if e.Definition == "" && len(e.Designations) == 0 && len(e.Properties) == 0 {
		return
	}
	putText(b, e.Definition)
	b.WriteByte(byte(min(len(e.Designations), 255)))
	for i, d := range e.Designations {
		if i == 255 {
			break
		}
		putText(b, d.Language)
		putText(b, d.UseSystem)
		putText(b, d.Use)
		putText(b, d.Value)
	}
	for _, p := range e.Properties {
		putText(b, p.Code)
		putText(b, p.Type)
		putText(b, p.Value)
	}
}

// reader takes values off a packed text; after a fault it gives zero values.
type reader struct {
	s   string
	bad bool
}

func (r *reader) number() uint64 {
	var v uint64
	for i := 0; i < len(r.s) && i < binary.MaxVarintLen64; i++ {
		c := r.s[i]
		if c < 0x80 {
			r.s = r.s[i+1:]
			return v | uint64(c)<<(7*i)
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	r.bad, r.s = true, ""
	return 0
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.s)) {
		r.bad, r.s = true, ""
		return ""
	}
	out := r.s[:n]
	r.s = r.s[n:]
	return out
}

func unpackMore(s string, e *Entry) bool {
	if s == "" {
		return true
	}
	r := reader{s: s}
	e.Definition = r.text()
	if r.s == "" {
		return false
	}
	n := int(r.s[0])
	r.s = r.s[1:]
	for ; n > 0 && !r.bad; n-- {
		e.Designations = append(e.Designations, Designation{r.text(), r.text(), r.text(), r.text()})
	}
	for r.s != "" && !r.bad {
		e.Properties = append(e.Properties, Property{r.text(), r.text(), r.text()})
	}
	return !r.bad
}

// Pack writes the code system as bytes for Unpack. Grammars cannot be packed.
func (s *CodeSystem) Pack() []byte {
	var b strings.Builder
	b.Grow(len(s.text) + len(s.more) + 8*s.Len() + 1024)
	num := func(v uint64) {
		var n [binary.MaxVarintLen64]byte
		b.Write(n[:binary.PutUvarint(n[:], v)])
	}
	column := func(ends []uint32) {
		last := uint32(0)
		for _, e := range ends {
			num(uint64(e - last))
			last = e
		}
	}
	b.WriteString(magic)
	sensitive := "0"
	if s.CaseSensitive {
		sensitive = "1"
	}
	for _, h := range []string{s.URL, s.Version, s.Name, sensitive, s.Content, s.Hierarchy, s.Licence} {
		putText(&b, h)
	}
	n := s.Len()
	num(uint64(n))
	putText(&b, s.text)
	for i := range Ref(n) {
		num(uint64(len(s.Code(i))))
		num(uint64(len(s.Display(i))))
	}
	b.Write(s.flags)
	column(s.upEnd)
	for _, p := range s.up {
		num(uint64(p))
	}
	column(s.moreEnd)
	putText(&b, s.more)
	if s.everyday == nil {
		num(0)
	} else {
		num(1)
		for _, w := range s.everyday {
			putText(&b, w)
		}
	}
	for _, i := range s.byCode {
		num(uint64(i))
	}
	return []byte(b.String())
}

// Unpack reads what Pack wrote. The bytes must not change afterwards.
func Unpack(packed []byte) (*CodeSystem, error) {
	body, ok := strings.CutPrefix(string(packed), magic)
	if !ok {
		return nil, errDamaged
	}
	r := reader{s: body}
	s := &CodeSystem{}
	s.URL, s.Version, s.Name, s.CaseSensitive, s.Content, s.Hierarchy, s.Licence = r.text(), r.text(), r.text(), r.text() == "1", r.text(), r.text(), r.text()
	count := r.number()
	s.text = r.text()
	if r.bad || count > uint64(len(r.s)) { // every concept takes more than a byte
		return nil, errDamaged
	}
	n := int(count)
	s.codeEnd, s.dispEnd = make([]uint32, n), make([]uint32, n)
	at := uint64(0)
	for i := range n {
		c, d := r.number(), r.number()
		if r.bad || c == 0 || c > uint64(len(s.text)) || d > uint64(len(s.text)) || at+c+d > uint64(len(s.text)) {
			return nil, errDamaged
		}
		s.codeEnd[i] = uint32(at + c)
		at += c + d
		s.dispEnd[i] = uint32(at)
	}
	if at != uint64(len(s.text)) || len(r.s) < n {
		return nil, errDamaged
	}
	s.flags = []byte(r.s[:n])
	r.s = r.s[n:]
	column := func() ([]uint32, bool) {
		out, sum := make([]uint32, n), uint64(0)
		for i := range n {
			v := r.number()
			if sum += v; r.bad || v > 1<<31 || sum > 1<<31 {
				return nil, false
			}
			out[i] = uint32(sum)
		}
		return out, true
	}
	list := func(count int) ([]uint32, bool) {
		if count > len(r.s) {
			return nil, false
		}
		out := make([]uint32, count)
		for i := range out {
			v := r.number()
			if r.bad || v >= uint64(n) {
				return nil, false
			}
			out[i] = uint32(v)
		}
		return out, true
	}
	if s.upEnd, ok = column(); !ok {
		return nil, errDamaged
	}
	ups := 0
	if n > 0 {
		ups = int(s.upEnd[n-1])
	}
	if s.up, ok = list(ups); !ok {
		return nil, errDamaged
	}
	if s.moreEnd, ok = column(); !ok {
		return nil, errDamaged
	}
	s.more = r.text()
	if r.bad || n > 0 && int(s.moreEnd[n-1]) != len(s.more) {
		return nil, errDamaged
	}
	if r.number() == 1 {
		s.everyday = make([]string, n)
		for i := range s.everyday {
			s.everyday[i] = r.text()
		}
	}
	if s.byCode, ok = list(n); !ok || r.bad || r.s != "" {
		return nil, errDamaged
	}
	for i := 1; i < n; i++ {
		if s.key(s.Code(Ref(s.byCode[i-1]))) >= s.key(s.Code(Ref(s.byCode[i]))) {
			return nil, errDamaged
		}
	}
	for i := range Ref(n) {
		from, to := span(s.moreEnd, i)
		var e Entry
		if !unpackMore(s.more[from:to], &e) {
			return nil, errDamaged
		}
	}
	s.ready()
	return s, nil
}
