package terminology

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Head says what a code system is.
type Head struct {
	URL           string
	Version       string
	Name          string // for people: "ICD-10-CM"
	CaseSensitive bool
	// Content as FHIR says it: complete, fragment, example, not-present. Only a complete system says that a code does not exist.
	Content string
	// Hierarchy is the meaning of parents: is-a (the default), part-of, grouped-by, classified-with.
	Hierarchy string
	Licence   string // the notice its owner asks for
}

// Entry is one concept as it is put into a code system.
type Entry struct {
	Code         string
	Display      string
	Definition   string
	Parents      []string
	Inactive     bool // retired: keeps displaying, new records should not use it
	Abstract     bool // a heading that cannot be chosen
	Common       bool // chosen often: stands first among equals
	Heading      bool // a group that is too coarse to record, though its code exists
	Designations []Designation
	Properties   []Property
	// Words are everyday names that the concept is found by but that are not the code system's.
	Words []string
}

// Designation is another name of a concept.
type Designation struct{ Language, UseSystem, Use, Value string }

// Property is a stated fact about a concept. Type is the FHIR value type: code, string, integer, boolean, dateTime, decimal, Coding.
type Property struct{ Code, Type, Value string }

// CodeSystem is a code system ready for use: immutable, compact, shared between goroutines. Concepts are numbered from 0 in the
// owner's order; Ref is such a number.
type CodeSystem struct {
	Head
	text     string   // codes and displays, one after another
	codeEnd  []uint32 // text of concept i: code is [displayEnd[i-1]:codeEnd[i]], display [codeEnd[i]:displayEnd[i]]
	dispEnd  []uint32
	flags    []uint8
	byCode   []uint32 // concepts sorted by (folded) code
	upEnd    []uint32 // parents of concept i: up[upEnd[i-1]:upEnd[i]]
	up       []uint32
	moreEnd  []uint32 // designations, properties and definition, packed
	more     string
	everyday []string // words of entries, by concept, joined; nil when there are none
	grammar  func(code string) bool

	down  func() *tree
	words func() *wordIndex
}

// Ref numbers a concept of one code system.
type Ref = int32

const (
	flagInactive = 1 << iota
	flagAbstract
	flagCommon
	flagHeading
)

type tree struct {
	end  []uint32
	kids []uint32
}

// NewCodeSystem builds a code system. A code that stands twice or a parent that does not exist is an error that names it.
func NewCodeSystem(h Head, entries []Entry) (*CodeSystem, error) {
	if h.Content == "" {
		h.Content = "complete"
	}
	s := &CodeSystem{Head: h}
	var text, more strings.Builder
	size := 0
	for i := range entries {
		size += len(entries[i].Code) + len(entries[i].Display)
	}
	if size > 1<<31 {
		return nil, fmt.Errorf("the code system %s is larger than 2 GB", h.URL)
	}
	text.Grow(size)
	hasWords := false
	for i := range entries {
		e := &entries[i]
		if e.Code == "" {
			return nil, fmt.Errorf("concept %d has no code", i+1)
		}
		text.WriteString(e.Code)
		s.codeEnd = append(s.codeEnd, uint32(text.Len()))
		text.WriteString(e.Display)
		s.dispEnd = append(s.dispEnd, uint32(text.Len()))
		var f uint8
		if e.Inactive {
			f |= flagInactive
		}
		if e.Abstract {
			f |= flagAbstract
		}
		if e.Common {
			f |= flagCommon
		}
		if e.Heading {
			f |= flagHeading
		}
		s.flags = append(s.flags, f)
		packMore(&more, e)
		s.moreEnd = append(s.moreEnd, uint32(more.Len()))
		hasWords = hasWords || len(e.Words) > 0
	}
	s.text, s.more = text.String(), more.String()
	if hasWords {
		s.everyday = make([]string, len(entries))
		for i := range entries {
			s.everyday[i] = strings.Join(entries[i].Words, ";")
		}
	}
	s.byCode = make([]uint32, len(entries))
	for i := range s.byCode {
		s.byCode[i] = uint32(i)
	}
	slices.SortFunc(s.byCode, func(a, b uint32) int { return cmp.Compare(s.key(s.Code(Ref(a))), s.key(s.Code(Ref(b)))) })
	for i := 1; i < len(s.byCode); i++ {
		if c := s.Code(Ref(s.byCode[i])); s.key(c) == s.key(s.Code(Ref(s.byCode[i-1]))) {
			return nil, fmt.Errorf("the code %s stands twice", c)
		}
	}
	for i := range entries {
		for _, p := range entries[i].Parents {
			at, ok := s.Find(p)
			if !ok {
				return nil, fmt.Errorf("the parent %s of %s does not exist", p, entries[i].Code)
			}
			if at != Ref(i) {
				s.up = append(s.up, uint32(at))
			}
		}
		s.upEnd = append(s.upEnd, uint32(len(s.up)))
	}
	s.ready()
	return s, nil
}

// Grammar makes a code system whose codes are told by a rule, such as UCUM: they cannot be listed.
func Grammar(h Head, valid func(code string) bool) *CodeSystem {
	h.Content = "not-present"
	s := &CodeSystem{Head: h, grammar: valid}
	s.ready()
	return s
}

func (s *CodeSystem) ready() {
	s.down = sync.OnceValue(s.tree)
	s.words = sync.OnceValue(func() *wordIndex { return indexWords(s) })
}

func (s *CodeSystem) key(code string) string {
	if s.CaseSensitive {
		return code
	}
	return strings.ToLower(code)
}

func span(end []uint32, i Ref) (from, to uint32) {
	if i > 0 {
		from = end[i-1]
	}
	return from, end[i]
}

// Len is the number of concepts.
func (s *CodeSystem) Len() int { return len(s.flags) }

// Listed reports whether the concepts are listed here, so that an unknown code is a wrong code.
func (s *CodeSystem) Listed() bool { return s.grammar == nil && s.Content == "complete" }

// Code gives a concept's code.
func (s *CodeSystem) Code(i Ref) string {
	from := uint32(0)
	if i > 0 {
		from = s.dispEnd[i-1]
	}
	return s.text[from:s.codeEnd[i]]
}

// Display gives a concept's name.
func (s *CodeSystem) Display(i Ref) string { return s.text[s.codeEnd[i]:s.dispEnd[i]] }

// Inactive reports whether the concept is retired.
func (s *CodeSystem) Inactive(i Ref) bool { return s.flags[i]&flagInactive != 0 }

// Abstract reports whether the concept is a heading that cannot be chosen.
func (s *CodeSystem) Abstract(i Ref) bool { return s.flags[i]&flagAbstract != 0 }

// Common reports whether the concept is chosen often.
func (s *CodeSystem) Common(i Ref) bool { return s.flags[i]&flagCommon != 0 }

// Find looks a code up. Case counts when the system says so.
func (s *CodeSystem) Find(code string) (Ref, bool) {
	k := s.key(code)
	n := sort.Search(len(s.byCode), func(i int) bool { return s.key(s.Code(Ref(s.byCode[i]))) >= k })
	if n < len(s.byCode) && s.key(s.Code(Ref(s.byCode[n]))) == k {
		return Ref(s.byCode[n]), true
	}
	return 0, false
}

// Has reports whether a code belongs to the system.
func (s *CodeSystem) Has(code string) bool {
	if s.grammar != nil {
		return s.grammar(code)
	}
	_, ok := s.Find(code)
	return ok
}

// Parents gives the concepts directly above.
func (s *CodeSystem) Parents(i Ref) []Ref {
	from, to := span(s.upEnd, i)
	return refs(s.up[from:to])
}

// Children gives the concepts directly below, in order.
func (s *CodeSystem) Children(i Ref) []Ref {
	t := s.down()
	from, to := span(t.end, i)
	return refs(t.kids[from:to])
}

func refs(in []uint32) []Ref {
	out := make([]Ref, len(in))
	for i, v := range in {
		out[i] = Ref(v)
	}
	return out
}

func (s *CodeSystem) tree() *tree {
	t := &tree{end: make([]uint32, s.Len()), kids: make([]uint32, len(s.up))}
	for _, p := range s.up {
		t.end[p]++
	}
	for i := 1; i < len(t.end); i++ {
		t.end[i] += t.end[i-1]
	}
	next := make([]uint32, s.Len())
	for i := 1; i < len(next); i++ {
		next[i] = t.end[i-1]
	}
	for i := range Ref(s.Len()) {
		from, to := span(s.upEnd, i)
		for _, p := range s.up[from:to] {
			t.kids[next[p]] = uint32(i)
			next[p]++
		}
	}
	return t
}

// Subsumes reports whether b is a or lies below it.
func (s *CodeSystem) Subsumes(a, b Ref) bool {
	if a == b {
		return true
	}
	seen := map[uint32]bool{}
	todo := []uint32{uint32(b)}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		from, to := span(s.upEnd, Ref(at))
		for _, p := range s.up[from:to] {
			if p == uint32(a) {
				return true
			}
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return false
}

// below marks a concept and all below it.
func (s *CodeSystem) below(i Ref, b bits) {
	t := s.down()
	todo := []uint32{uint32(i)}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b.has(Ref(at)) {
			continue
		}
		b.set(Ref(at))
		from, to := span(t.end, Ref(at))
		todo = append(todo, t.kids[from:to]...)
	}
}

// above marks a concept and all above it.
func (s *CodeSystem) above(i Ref, b bits) {
	todo := []uint32{uint32(i)}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b.has(Ref(at)) {
			continue
		}
		b.set(Ref(at))
		from, to := span(s.upEnd, Ref(at))
		todo = append(todo, s.up[from:to]...)
	}
}

// Entry gives a concept with everything known of it.
func (s *CodeSystem) Entry(i Ref) Entry {
	e := Entry{Code: s.Code(i), Display: s.Display(i), Inactive: s.Inactive(i), Abstract: s.Abstract(i), Common: s.Common(i), Heading: s.flags[i]&flagHeading != 0}
	for _, p := range s.Parents(i) {
		e.Parents = append(e.Parents, s.Code(p))
	}
	from, to := span(s.moreEnd, i)
	unpackMore(s.more[from:to], &e)
	if s.everyday != nil && s.everyday[i] != "" {
		e.Words = strings.Split(s.everyday[i], ";")
	}
	return e
}

// bits is a set of concepts of one code system.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) set(i Ref)      { b[i>>6] |= 1 << (i & 63) }
func (b bits) clear(i Ref)    { b[i>>6] &^= 1 << (i & 63) }
func (b bits) has(i Ref) bool { return b[i>>6]&(1<<(i&63)) != 0 }

func (b bits) fill(n int) {
	for i := range b {
		b[i] = ^uint64(0)
	}
	if n%64 != 0 {
		b[len(b)-1] = 1<<(n%64) - 1
	}
}

func (b bits) and(o bits) {
	for i := range b {
		b[i] &= o[i]
	}
}

func (b bits) or(o bits) {
	for i := range b {
		b[i] |= o[i]
	}
}

func (b bits) without(o bits) {
	for i := range b {
		b[i] &^= o[i]
	}
}
