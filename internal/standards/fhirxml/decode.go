package fhirxml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Limits bound what is read. The zero value means 20 MB and 64 elements deep.
type Limits struct{ Bytes, Depth int }

// Decode reads one resource. The error is a *fhir.Issue with line and column. What comes back has the shape of JSON; whether it is
// a valid resource is for fhir.Validate to say.
func Decode(data []byte, lim Limits) (*fhirjson.Node, error) {
	if lim.Bytes <= 0 {
		lim.Bytes = 20 << 20
	}
	if lim.Depth <= 0 {
		lim.Depth = 64
	}
	if len(data) > lim.Bytes {
		return nil, fhir.Problem("too-long", fmt.Sprintf("The document is longer than %d MB.", lim.Bytes>>20), "Send less at a time.")
	}
	if !utf8.Valid(data) {
		return nil, fhir.Problem("structure", "The document is not UTF-8.", "Encode it as UTF-8.")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := &reader{data: data, lim: lim, d: xml.NewDecoder(bytes.NewReader(data))}
	r.d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) {
		return nil, errors.New("not UTF-8")
	}
	n, err := r.document()
	if err != nil {
		return nil, err
	}
	return n, nil
}

type reader struct {
	data  []byte
	lim   Limits
	d     *xml.Decoder
	at    int64 // where the last token began
	depth int
	path  []string
}

// fail is an Issue at the last token.
func (r *reader) fail(text, fix string) *fhir.Issue {
	i := fhir.Problem("structure", text, fix)
	i.Line, i.Column = fhirjson.Position(r.data, int(r.at))
	if len(r.path) > 0 {
		i.Path = strings.Join(r.path, ".")
	}
	return i
}

// next returns the next token that means something: no comments, no white space.
func (r *reader) next() (xml.Token, error) {
	for {
		r.at = r.d.InputOffset()
		t, err := r.d.Token()
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, r.fail("This is not well-formed XML.", "Check the tags, quotes and characters around this place; only the entities &amp; &lt; &gt; &quot; &apos; and numbers are known.").Because(err)
		}
		switch t := t.(type) {
		case xml.Comment:
		case xml.ProcInst:
			if t.Target != "xml" || r.at != 0 {
				return nil, r.fail("Processing instructions are not accepted.", "Remove it.")
			}
		case xml.Directive:
			return nil, r.fail("A DOCTYPE or other declaration is not accepted.", "Remove it; FHIR needs none.")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, r.fail("There is text between the elements.", "FHIR writes values as attributes: <element value=\"…\"/>.")
			}
		case xml.StartElement:
			if r.depth++; r.depth > r.lim.Depth {
				return nil, r.fail(fmt.Sprintf("The elements are nested more than %d deep.", r.lim.Depth), "No resource needs this; check how the document was made.")
			}
			if twice(t) {
				return nil, r.fail("An attribute stands twice on one element.", "Remove one; readers differ in which they take.")
			}
			return t, nil
		case xml.EndElement:
			r.depth--
			return t, nil
		}
	}
}

// twice says whether an attribute stands twice on an element, which is not well-formed though Go's reader takes it.
func twice(e xml.StartElement) bool {
	if len(e.Attr) < 2 {
		return false
	}
	seen := make(map[xml.Name]bool, len(e.Attr))
	for _, a := range e.Attr {
		if seen[a.Name] {
			return true
		}
		seen[a.Name] = true
	}
	return false
}

func (r *reader) document() (*fhirjson.Node, error) {
	t, err := r.next()
	if err == io.EOF {
		return nil, fhir.Problem("structure", "The document is empty.", "Send a resource.")
	}
	if err != nil {
		return nil, err
	}
	start, ok := t.(xml.StartElement)
	if !ok {
		return nil, r.fail("This is not a resource.", "Begin with the element of a resource type.")
	}
	n, err := r.resource(start)
	if err != nil {
		return nil, err
	}
	if _, err := r.next(); err != io.EOF {
		if err == nil {
			err = r.fail("There is something after the resource.", "Send one resource.")
		}
		return nil, err
	}
	return &n, nil
}

// resource reads a resource whose start tag has been read.
func (r *reader) resource(start xml.StartElement) (fhirjson.Node, error) {
	name := start.Name.Local
	r.path = append(r.path, name)
	defer func() { r.path = r.path[:len(r.path)-1] }()
	if err := r.element(start); err != nil {
		return fhirjson.Node{}, err
	}
	if !fhir.IsResourceType(name) {
		return fhirjson.Node{}, r.fail("This is not a resource type of FHIR R4.", "Check the spelling; names are case-sensitive.")
	}
	for _, a := range start.Attr {
		if !ignored(a) {
			return fhirjson.Node{}, r.fail("A resource has no attributes.", "Write its id as an element: <id value=\"…\"/>.")
		}
	}
	n := fhirjson.NewObject(fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString(name)})
	return n, r.children(&n, name)
}

// element checks the namespace.
func (r *reader) element(start xml.StartElement) error {
	if start.Name.Space != Namespace {
		return r.fail("This element is not in the namespace of FHIR.", `Write xmlns="http://hl7.org/fhir" on the root.`)
	}
	return nil
}

// ignored says whether an attribute belongs to XML itself.
func ignored(a xml.Attr) bool {
	return a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" ||
		a.Name.Space == "http://www.w3.org/2001/XMLSchema-instance" && a.Name.Local == "schemaLocation"
}

// children reads elements into n until the end tag of their parent.
func (r *reader) children(n *fhirjson.Node, typ string) error {
	table := tableOf(typ)
	slots := map[string]*slot{}
	var order []*slot
	for {
		t, err := r.next()
		if err == io.EOF {
			err = r.fail("The document ends in the middle.", "Send it whole.")
		}
		if err != nil {
			return err
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			break
		}
		var c *child
		if table != nil {
			c = table.byName[start.Name.Local]
		}
		if c == nil || c.attr {
			return r.fail(fmt.Sprintf("%s has no element %q.", typ, cut(start.Name.Local)), "Remove it, or check the spelling; names are case-sensitive.")
		}
		s := slots[c.name]
		if s == nil {
			s = &slot{c: c}
			slots[c.name] = s
			order = append(order, s)
		} else if !c.many {
			return r.fail(fmt.Sprintf("The element %q is there twice.", c.name), "Keep one of them.")
		}
		r.path = append(r.path, c.name)
		if err := r.value(s, start); err != nil {
			return err
		}
		r.path = r.path[:len(r.path)-1]
	}
	for _, s := range order {
		s.put(n)
	}
	return nil
}

// slot gathers the occurrences of one element.
type slot struct {
	c              *child
	values, extras []fhirjson.Node
	hasValue, has  bool // any of values, any of extras
}

func (s *slot) add(value, extra fhirjson.Node, hasValue, hasExtra bool) {
	s.values, s.extras = append(s.values, value), append(s.extras, extra)
	s.hasValue, s.has = s.hasValue || hasValue, s.has || hasExtra
}

func (s *slot) put(n *fhirjson.Node) {
	if !s.c.many {
		if s.hasValue {
			appendMember(n, s.c.name, s.values[0])
		}
		if s.has {
			appendMember(n, "_"+s.c.name, s.extras[0])
		}
		return
	}
	if s.hasValue {
		appendMember(n, s.c.name, fhirjson.NewArray(s.values...))
	}
	if s.has {
		appendMember(n, "_"+s.c.name, fhirjson.NewArray(s.extras...))
	}
}

func appendMember(n *fhirjson.Node, name string, v fhirjson.Node) { n.Set(name, v) }

// value reads one element whose start tag has been read.
func (r *reader) value(s *slot, start xml.StartElement) error {
	switch s.c.plain {
	case narrative:
		div, err := r.div(start)
		if err != nil {
			return err
		}
		s.add(fhirjson.NewString(div), fhirjson.Node{}, true, false)
		return nil
	case resource:
		return r.inner(s, start)
	case structured:
		if err := r.element(start); err != nil {
			return err
		}
		n := fhirjson.NewObject()
		if err := r.attributes(&n, start, s.c.typ); err != nil {
			return err
		}
		if err := r.children(&n, s.c.typ); err != nil {
			return err
		}
		s.add(n, fhirjson.Node{}, true, false)
		return nil
	}
	return r.primitive(s, start)
}

// inner reads the one resource inside an element such as contained.
func (r *reader) inner(s *slot, start xml.StartElement) error {
	if err := r.element(start); err != nil {
		return err
	}
	t, err := r.next()
	if err != nil && err != io.EOF {
		return err
	}
	first, ok := t.(xml.StartElement)
	if !ok {
		return r.fail("A resource is missing here.", "Put one resource inside this element.")
	}
	n, err := r.resource(first)
	if err != nil {
		return err
	}
	if t, err = r.next(); err != nil && err != io.EOF {
		return err
	}
	if _, ok := t.(xml.EndElement); !ok {
		return r.fail("There is more than one resource here.", "Put each into an element of its own.")
	}
	s.add(n, fhirjson.Node{}, true, false)
	return nil
}

// attributes reads those that a structured type may have.
func (r *reader) attributes(n *fhirjson.Node, start xml.StartElement, typ string) error {
	table := tableOf(typ)
	for _, a := range start.Attr {
		if ignored(a) {
			continue
		}
		var c *child
		if table != nil && a.Name.Space == "" {
			c = table.byName[a.Name.Local]
		}
		if c == nil || !c.attr {
			return r.fail(fmt.Sprintf("%s has no attribute %q.", typ, cut(a.Name.Local)), "Remove it; values of elements stand in elements of their own.")
		}
		appendMember(n, a.Name.Local, fhirjson.NewString(a.Value))
	}
	return nil
}

// primitive reads <name value="…" id="…"><extension/></name>.
func (r *reader) primitive(s *slot, start xml.StartElement) error {
	if err := r.element(start); err != nil {
		return err
	}
	value, extra := fhirjson.Node{}, fhirjson.NewObject()
	hasValue := false
	for _, a := range start.Attr {
		switch {
		case ignored(a):
		case a.Name.Space != "":
			return r.fail(fmt.Sprintf("The attribute %q is not known here.", cut(a.Name.Local)), "Use value and id.")
		case a.Name.Local == "value":
			var ok bool
			if value, ok = plainValue(s.c.plain, a.Value); !ok {
				return r.fail(fmt.Sprintf("This is not a %s.", s.c.typ), "Write numbers with digits, and true or false for booleans.")
			}
			hasValue = true
		case a.Name.Local == "id":
			appendMember(&extra, "id", fhirjson.NewString(a.Value))
		default:
			return r.fail(fmt.Sprintf("The attribute %q is not known here.", cut(a.Name.Local)), "Use value and id.")
		}
	}
	if err := r.children(&extra, "Element"); err != nil {
		return err
	}
	hasExtra := extra.Len() > 0
	if !hasExtra {
		extra = fhirjson.Node{}
	}
	if !hasValue && !hasExtra {
		return r.fail("The element has neither a value nor an extension.", `Give it value="…", or leave it out.`)
	}
	s.add(value, extra, hasValue, hasExtra)
	return nil
}

func plainValue(k kind, v string) (fhirjson.Node, bool) {
	switch k {
	case boolean:
		return fhirjson.NewBool(v == "true"), v == "true" || v == "false"
	case number:
		return fhirjson.NewNumber(v), fhirjson.ValidNumber(v)
	}
	return fhirjson.NewString(v), v != ""
}

func cut(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
