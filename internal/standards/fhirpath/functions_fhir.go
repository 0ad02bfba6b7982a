package fhirpath

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

func runExtension(c *evaluator, f *call, in Collection) (Collection, error) {
	url, ok, err := c.textArg(f.args[0])
	if err != nil || !ok {
		return nil, err
	}
	var out Collection
	for _, it := range in {
		n := it.Node
		if n.Kind() != fhirjson.Object {
			n = it.Extra
		}
		xs := n.Get("extension").Items()
		if err := c.spend(1 + len(xs)); err != nil {
			return nil, err
		}
		for i := range xs {
			if xs[i].Get("url").Text() == url {
				out = append(out, Item{Node: &xs[i], Type: "Extension"})
			}
		}
	}
	return out, nil
}

// runResolve follows references. A reference that cannot be read but whose text names a type still
// resolves to an item of that type without content, which is what where(resolve() is Patient) needs.
func runResolve(c *evaluator, _ *call, in Collection) (Collection, error) {
	var out Collection
	for _, it := range in {
		if err := c.spend(20); err != nil {
			return nil, err
		}
		ref := it.Node
		if ref.Kind() == fhirjson.Object {
			ref = ref.Get("reference")
		}
		text := ref.Text()
		if it.sys == sysString {
			text = it.text
		}
		var n *fhirjson.Node
		var typ string
		if id, ok := strings.CutPrefix(text, "#"); ok {
			n, typ = c.contained(id)
		} else if text != "" && c.env.Resolve != nil {
			n, typ = c.env.Resolve(text)
		}
		if n == nil && typ == "" {
			typ = TypeOfReference(text)
		}
		if n == nil && typ == "" {
			typ = it.Node.Get("type").Text()
		}
		if n != nil && typ == "" {
			typ = guessType(n)
		}
		if n != nil || typ != "" {
			out = append(out, Item{Node: n, Type: typ})
		}
	}
	return out, nil
}

// contained finds #id in the resource that is being evaluated; "#" alone is that resource.
func (c *evaluator) contained(id string) (*fhirjson.Node, string) {
	holder := c.env.RootResource
	if holder == nil {
		holder = c.env.Resource
	}
	if holder == nil {
		holder = c.root.Node
	}
	if id == "" {
		return holder, guessType(holder)
	}
	kids := holder.Get("contained").Items()
	for i := range kids {
		if kids[i].Get("id").Text() == id {
			return &kids[i], guessType(&kids[i])
		}
	}
	return nil, ""
}

// TypeOfReference returns the resource type that a literal reference names (Patient/1,
// https://host/fhir/Patient/1/_history/2), or "".
func TypeOfReference(ref string) string {
	if ref == "" || ref[0] == '#' || strings.HasPrefix(ref, "urn:") {
		return ""
	}
	if i := strings.Index(ref, "/_history/"); i >= 0 {
		ref = ref[:i]
	}
	if i := strings.IndexAny(ref, "?|#"); i >= 0 {
		if ref[i] != '?' {
			return ""
		}
		// A conditional reference (Practitioner?identifier=…) names its type too.
		if typ := ref[strings.LastIndexByte(ref[:i], '/')+1 : i]; isTypeName(typ) {
			return typ
		}
		return ""
	}
	i := strings.LastIndexByte(ref, '/')
	if i < 0 {
		return ""
	}
	typ := ref[strings.LastIndexByte(ref[:i], '/')+1 : i]
	if !isTypeName(typ) {
		return ""
	}
	return typ
}

func isTypeName(s string) bool {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	for i := range len(s) {
		if !isAlpha(s[i]) {
			return false
		}
	}
	return true
}

// runHTMLChecks reports whether each narrative is XHTML of the subset R4 allows: a div, no active content.
func runHTMLChecks(c *evaluator, _ *call, in Collection) (Collection, error) {
	for _, it := range in {
		s, ok := it.asText()
		if err := c.spend(len(s) / 16); err != nil {
			return nil, err
		}
		if !ok || !safeNarrative(s) {
			return boolCol(false), nil
		}
	}
	return boolCol(true), nil
}

// narrativeElements are the elements R4 allows in Narrative.div (narrative.html, rule txt-1).
var narrativeElements = func() map[string]bool {
	m := map[string]bool{}
	for _, e := range strings.Fields("div p br span a img h1 h2 h3 h4 h5 h6 hr b i u em strong small big tt code pre samp kbd var dfn abbr acronym cite q blockquote address sub sup ul ol li dl dt dd table caption colgroup col thead tbody tfoot tr th td bdo ins del") {
		m[e] = true
	}
	return m
}()

func safeNarrative(s string) bool {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Strict = true
	d.Entity = xml.HTMLEntity
	depth, roots := 0, 0
	for {
		t, err := d.Token()
		if err == io.EOF {
			return roots == 1 && depth == 0
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if t.Name.Local != "div" {
					return false
				}
			}
			if depth++; depth > 200 || !narrativeElements[t.Name.Local] {
				return false
			}
			for _, a := range t.Attr {
				if !safeAttribute(a) {
					return false
				}
			}
		case xml.EndElement:
			depth--
		case xml.Directive, xml.ProcInst:
			return false
		}
	}
}

func safeAttribute(a xml.Attr) bool {
	name := strings.ToLower(a.Name.Local)
	switch name {
	case "href", "src", "cite", "longdesc":
		v := strings.ToLower(strings.TrimSpace(a.Value))
		return !strings.HasPrefix(v, "javascript:") && !strings.HasPrefix(v, "vbscript:")
	}
	return !strings.HasPrefix(name, "on")
}

// runConformsTo answers for the base definitions of types itself and asks Env.Conforms about profiles. What neither
// knows is an error rather than a guess.
func runConformsTo(c *evaluator, f *call, in Collection) (Collection, error) {
	url, ok, err := c.textArg(f.args[0])
	if err != nil || !ok || len(in) == 0 {
		return nil, err
	}
	name, core := strings.CutPrefix(url, "http://hl7.org/fhir/StructureDefinition/")
	if len(in) == 1 && c.env.Conforms != nil {
		if err := c.spend(1000); err != nil {
			return nil, err
		}
		if ok, known := c.env.Conforms(in[0], url); known {
			return boolCol(ok), nil
		}
	}
	if len(in) > 1 || !core || (typeSpec{name: name}).known(c) != nil {
		return nil, fmt.Errorf("cannot check %s here", url)
	}
	return boolCol(c.subtype(in[0].Type, name)), nil
}

func runType(c *evaluator, _ *call, in Collection) (Collection, error) {
	var out Collection
	for _, it := range in {
		space, name := it.typeParts(c.model)
		out = append(out, Item{Type: space, sys: sysType, text: name})
	}
	return out, c.spend(len(in))
}

func runNow(k sysKind) func(*evaluator, *call, Collection) (Collection, error) {
	return func(c *evaluator, _ *call, _ Collection) (Collection, error) {
		if c.env.Now.IsZero() {
			return nil, nil
		}
		return single(timeItem(temporalOf(c.env.Now, k))), nil
	}
}

// runResourceKey gives what rows about a resource are joined by (SQL on FHIR v2, section Functions): "Type/id".
func runResourceKey(_ *evaluator, _ *call, in Collection) (out Collection, _ error) {
	for _, it := range in {
		if typ, id := it.Node.Get("resourceType").Text(), it.Node.Get("id").Text(); typ != "" && id != "" {
			out = append(out, stringItem(typ+"/"+id))
		}
	}
	return out, nil
}

// runReferenceKey gives the resource key that a Reference leads to; with a type, of references to it alone.
func runReferenceKey(_ *evaluator, f *call, in Collection) (out Collection, _ error) {
	for _, it := range in {
		ref, _, _ := strings.Cut(it.Node.Get("reference").Text(), "/_history/")
		typ := TypeOfReference(ref)
		if typ == "" || strings.Contains(ref, "?") || f.typ.name != "" && f.typ.name != typ {
			continue
		}
		out = append(out, stringItem(typ+ref[strings.LastIndexByte(ref, '/'):]))
	}
	return out, nil
}
