package fhirjson

import "strings"

// Kind says which of the six JSON values a Node is.
type Kind uint8

// The JSON kinds. The zero Kind, and so the zero Node, is null.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String returns the kind in the words used in error messages.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Number:
		return "a number"
	case String:
		return "a string"
	case Array:
		return "an array"
	case Object:
		return "an object"
	}
	return "unknown"
}

// Node is one JSON value. Its strings point into one copy of the document, so
// holding a Node holds that copy; Clone does not change this.
//
// Copying a Node of kind Array or Object copies a reference: a change through
// one copy is seen through the other. Use Clone for an independent tree.
// A tree may be read by many goroutines at once as long as nobody changes it.
type Node struct {
	text string
	kids *kids // nil unless Array or Object
	pos  uint32
	kind Kind
}

// kids holds what an Array or Object contains; only one of the two is in use.
type kids struct {
	items   []Node
	members []Member
}

// Member is one name and value of an Object.
type Member struct {
	Name  string
	Value Node
}

// NewNull returns a null.
func NewNull() Node { return Node{} }

// NewBool returns true or false.
func NewBool(b bool) Node {
	if b {
		return Node{kind: Bool, text: "true"}
	}
	return Node{kind: Bool, text: "false"}
}

// NewString returns a string. s must be valid UTF-8 for the tree to be written
// as JSON; AppendJSON replaces what is not.
func NewString(s string) Node { return Node{kind: String, text: s} }

// NewNumber returns a number with exactly this literal, which must follow the
// JSON grammar for numbers; ValidNumber checks that.
func NewNumber(literal string) Node { return Node{kind: Number, text: literal} }

// NewArray returns an array of these items.
func NewArray(items ...Node) Node { return Node{kind: Array, kids: &kids{items: items}} }

// NewObject returns an object of these members, whose names must differ.
func NewObject(members ...Member) Node {
	return Node{kind: Object, kids: &kids{members: members}}
}

// Kind returns the kind; a nil Node is Null.
func (n *Node) Kind() Kind {
	if n == nil {
		return Null
	}
	return n.kind
}

// Text returns the decoded text of a String, or the literal as written of a
// Number or Bool ("1.50", "true"). Other kinds and nil have no text: "".
func (n *Node) Text() string {
	if n == nil {
		return ""
	}
	return n.text
}

// Offset returns the byte offset at which the value starts in the parsed
// document. Nodes made by the New functions return 0.
func (n *Node) Offset() int {
	if n == nil {
		return 0
	}
	return int(n.pos)
}

// Items returns the items of an Array, otherwise nil. The slice is the tree's
// own: take pointers to its elements to change them, do not append to it.
func (n *Node) Items() []Node {
	if n == nil || n.kids == nil {
		return nil
	}
	return n.kids.items
}

// Members returns the members of an Object in document order, otherwise nil.
// The slice is the tree's own: do not append to it.
func (n *Node) Members() []Member {
	if n == nil || n.kids == nil {
		return nil
	}
	return n.kids.members
}

// Len returns the number of items or members.
func (n *Node) Len() int {
	if n == nil || n.kids == nil {
		return 0
	}
	return len(n.kids.items) + len(n.kids.members)
}

// Get returns the value of an Object's member, or nil if there is none. Names
// are compared exactly: JSON and FHIR are case-sensitive.
func (n *Node) Get(name string) *Node {
	if n == nil || n.kids == nil {
		return nil
	}
	for i := range n.kids.members {
		if m := &n.kids.members[i]; m.Name == name {
			return &m.Value
		}
	}
	return nil
}

// At follows names from object to object. Where a value on the way is an
// Array, its first item is taken; an Array at the end is returned whole.
func (n *Node) At(path ...string) *Node {
	for _, name := range path {
		for n.Kind() == Array {
			if len(n.kids.items) == 0 {
				return nil
			}
			n = &n.kids.items[0]
		}
		if n = n.Get(name); n == nil {
			return nil
		}
	}
	return n
}

// Set gives an Object's member a value, in place if the name exists and at the
// end otherwise. On other kinds it does nothing.
func (n *Node) Set(name string, v Node) {
	if n.Kind() != Object {
		return
	}
	if old := n.Get(name); old != nil {
		*old = v
		return
	}
	n.kids.members = append(n.kids.members, Member{name, v})
}

// SetFirst is Set, but a new member comes first (resourceType, by custom).
func (n *Node) SetFirst(name string, v Node) {
	if n.Kind() != Object {
		return
	}
	n.Delete(name)
	n.kids.members = append([]Member{{name, v}}, n.kids.members...)
}

// Delete removes an Object's member; the order of the others is kept.
func (n *Node) Delete(name string) {
	if n.Kind() != Object {
		return
	}
	for i := range n.kids.members {
		if n.kids.members[i].Name == name {
			n.kids.members = append(n.kids.members[:i], n.kids.members[i+1:]...)
			return
		}
	}
}

// Append adds an item to an Array. On other kinds it does nothing.
func (n *Node) Append(v Node) {
	if n.Kind() == Array {
		n.kids.items = append(n.kids.items, v)
	}
}

// SetItems replaces the items of an Array.
func (n *Node) SetItems(items []Node) {
	if n.Kind() == Array {
		n.kids.items = items
	}
}

// Clone returns an independent copy of the tree.
func (n *Node) Clone() Node {
	if n == nil {
		return Node{}
	}
	c := *n
	if n.kids == nil {
		return c
	}
	c.kids = &kids{}
	if n.kids.items != nil {
		c.kids.items = make([]Node, len(n.kids.items))
		for i := range n.kids.items {
			c.kids.items[i] = n.kids.items[i].Clone()
		}
	}
	if n.kids.members != nil {
		c.kids.members = make([]Member, len(n.kids.members))
		for i := range n.kids.members {
			m := &n.kids.members[i]
			c.kids.members[i] = Member{m.Name, m.Value.Clone()}
		}
	}
	return c
}

// Equal reports whether two trees are the same value: numbers by their text
// ("1.0" is not "1.00"), members in any order, items in order.
func Equal(a, b *Node) bool {
	if a.Kind() != b.Kind() || a.Len() != b.Len() {
		return false
	}
	switch a.Kind() {
	case Array:
		for i := range a.kids.items {
			if !Equal(&a.kids.items[i], &b.kids.items[i]) {
				return false
			}
		}
		return true
	case Object:
		for i := range a.kids.members {
			m := &a.kids.members[i]
			// Most often both have the same order.
			other := &b.kids.members[i]
			v := &other.Value
			if other.Name != m.Name {
				v = b.Get(m.Name)
			}
			if v == nil || !Equal(&m.Value, v) {
				return false
			}
		}
		return true
	}
	return a.Text() == b.Text()
}

// String returns the compact JSON, for tests and debugging.
func (n *Node) String() string {
	var b strings.Builder
	b.Write(n.AppendJSON(nil))
	return b.String()
}
