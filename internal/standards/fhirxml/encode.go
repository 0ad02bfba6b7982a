package fhirxml

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Encode writes a resource as an XML document, without white space between elements. A tree that is not shaped like its type, or
// narrative that is not well-formed, gives an Issue that names the place.
func Encode(n *fhirjson.Node) ([]byte, error) { return encode(n, false) }

// EncodeIndent is Encode with a line for each element, for people.
func EncodeIndent(n *fhirjson.Node) ([]byte, error) { return encode(n, true) }

func encode(n *fhirjson.Node, pretty bool) ([]byte, error) {
	w := &writer{b: make([]byte, 0, 4096), pretty: pretty}
	w.b = append(w.b, `<?xml version="1.0" encoding="UTF-8"?>`...)
	if !pretty {
		w.b = append(w.b, '\n')
	}
	if err := w.resource(n, true); err != nil {
		return nil, err
	}
	if pretty {
		w.b = append(w.b, '\n')
	}
	return w.b, nil
}

type writer struct {
	b      []byte
	pretty bool
	depth  int
	path   []string
}

// maxDepth is the deepest tree that is written: what Decode reads by default.
const maxDepth = 64

func (w *writer) fail(text string) *fhir.Issue {
	return fhir.Problem("structure", text, "Ask for it as JSON, or correct the resource.").At(strings.Join(w.path, "."))
}

func (w *writer) resource(n *fhirjson.Node, root bool) error {
	typ := n.Get("resourceType").Text()
	if n.Kind() != fhirjson.Object || !fhir.IsResourceType(typ) {
		return w.fail("There is no resource here.")
	}
	w.path = append(w.path, typ)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	w.open(typ)
	if root {
		w.b = append(w.b, ` xmlns="`+Namespace+`"`...)
	}
	return w.inside(n, typ, typ)
}

// open begins a start tag.
func (w *writer) open(name string) {
	w.line()
	w.b = append(w.b, '<')
	w.b = append(w.b, name...)
}

func (w *writer) line() {
	if w.pretty {
		w.b = append(w.b, '\n')
		for range w.depth {
			w.b = append(w.b, ' ', ' ')
		}
	}
}

// inside writes attributes and children and closes the tag.
func (w *writer) inside(n *fhirjson.Node, typ, name string) error {
	if w.depth++; w.depth > maxDepth {
		return w.fail("The resource is nested too deeply.")
	}
	table := tableOf(typ)
	known, any := 0, false
	for _, m := range n.Members() {
		c := table.named(m.Name)
		switch {
		case m.Name == "resourceType" && known == 0 && !strings.Contains(typ, "."), m.Name == "fhir_comments":
		case c == nil:
			return w.fail(fmt.Sprintf("%s has no element %q.", typ, cut(m.Name)))
		case c.attr:
			if m.Value.Kind() != fhirjson.String || m.Name[0] == '_' {
				return w.fail(fmt.Sprintf("%q cannot be written as an attribute.", cut(m.Name)))
			}
			w.attribute(c.name, m.Value.Text())
		default:
			any = true
		}
	}
	if !any {
		w.b = append(w.b, '/', '>')
		w.depth--
		return nil
	}
	w.b = append(w.b, '>')
	for _, c := range table.order {
		if c.attr {
			continue
		}
		if v, extra := n.Get(c.name), n.Get("_"+c.name); v != nil || extra != nil {
			w.path = append(w.path, c.name)
			if err := w.child(c, v, extra); err != nil {
				return err
			}
			w.path = w.path[:len(w.path)-1]
		}
	}
	w.depth--
	w.line()
	w.b = append(w.b, '<', '/')
	w.b = append(w.b, name...)
	w.b = append(w.b, '>')
	return nil
}

// named finds the child of a member, with or without an underscore.
func (t *table) named(member string) *child {
	if t == nil {
		return nil
	}
	return t.byName[strings.TrimPrefix(member, "_")]
}

// child writes all occurrences of an element.
func (w *writer) child(c *child, v, extra *fhirjson.Node) error {
	if extra != nil && c.plain != text && c.plain != number && c.plain != boolean {
		return w.fail("Only primitive values have extensions beside them.")
	}
	if !c.many {
		return w.one(c, v, extra)
	}
	if v != nil && v.Kind() != fhirjson.Array || extra != nil && extra.Kind() != fhirjson.Array {
		return w.fail("This element is an array.")
	}
	values, extras := v.Items(), extra.Items()
	for i := range max(len(values), len(extras)) {
		var a, b *fhirjson.Node
		if i < len(values) {
			a = &values[i]
		}
		if i < len(extras) {
			b = &extras[i]
		}
		if err := w.one(c, a, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) one(c *child, v, extra *fhirjson.Node) error {
	switch c.plain {
	case narrative:
		div, err := checkDiv(v.Text())
		if err != nil {
			i := w.fail("The narrative is not well-formed XHTML.")
			i.Cause = err
			return i
		}
		w.line()
		w.b = append(w.b, div...)
		return nil
	case resource:
		w.open(c.name)
		w.b = append(w.b, '>')
		w.depth++
		if err := w.resource(v, false); err != nil {
			return err
		}
		w.depth--
		w.line()
		w.b = append(w.b, '<', '/')
		w.b = append(w.b, c.name...)
		w.b = append(w.b, '>')
		return nil
	case structured:
		if v.Kind() != fhirjson.Object {
			return w.fail("This element is an object.")
		}
		w.open(c.name)
		return w.inside(v, c.typ, c.name)
	}
	return w.primitive(c, v, extra)
}

func (w *writer) primitive(c *child, v, extra *fhirjson.Node) error {
	if extra.Kind() != fhirjson.Object && extra.Kind() != fhirjson.Null {
		return w.fail("What stands beside a primitive value is an object.")
	}
	w.open(c.name)
	switch v.Kind() {
	case fhirjson.Null:
		if extra.Kind() == fhirjson.Null {
			return w.fail("The element has neither a value nor an extension.")
		}
	case fhirjson.Array, fhirjson.Object:
		return w.fail("This element has one plain value.")
	default:
		w.attribute("value", v.Text())
	}
	if extra.Kind() == fhirjson.Null {
		w.b = append(w.b, '/', '>')
		return nil
	}
	return w.inside(extra, "Element", c.name)
}

// attribute writes one attribute. Characters that XML cannot have are replaced.
func (w *writer) attribute(name, value string) {
	w.b = append(w.b, ' ')
	w.b = append(w.b, name...)
	w.b = append(w.b, '=', '"')
	from := 0
	for i := 0; i < len(value); {
		c, size := utf8.DecodeRuneInString(value[i:])
		with := ""
		switch {
		case c == '&':
			with = "&amp;"
		case c == '<':
			with = "&lt;"
		case c == '>':
			with = "&gt;"
		case c == '"':
			with = "&quot;"
		case c == '\t':
			with = "&#x9;"
		case c == '\n':
			with = "&#xA;"
		case c == '\r':
			with = "&#xD;"
		case c < 0x20, c == utf8.RuneError && size == 1, c == 0xFFFE, c == 0xFFFF:
			with = "\uFFFD"
		}
		if with != "" {
			w.b = append(append(w.b, value[from:i]...), with...)
			from = i + size
		}
		i += size
	}
	w.b = append(append(w.b, value[from:]...), '"')
}

// IsNarrative says whether an error of Encode is about narrative that is not well-formed.
func IsNarrative(err error) bool { return errors.Is(err, errNarrative) }
