package profile

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

const xhtml = "http://www.w3.org/1999/xhtml"

// allowedElements are those of R4 narrative (2.4.0.1 Narrative): HTML 4.0 chapters 7-11 except section 4 of 9, and 15,
// with <a> and <img>.
var allowedElements = words(`p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite blockquote hr ul ol li dl dd dt
	pre table caption colgroup col thead tr tfoot tbody th td code samp img map area kbd address sub sup del ins bdo title`)

// allowedAttributes are those of any element; elementAttributes those of one.
var (
	allowedAttributes = words(`title style class id lang xml:lang xml:space dir accesskey tabindex span width align valign char charoff abbr axis headers scope
		rowspan colspan cellspacing cellpadding border frame rules summary nowrap bgcolor start type value compact clear noshade size cite datetime`)
	elementAttributes = map[string]map[string]bool{
		"a": words("href name rel rev hreflang type target charset shape coords"), "img": words("src alt height width usemap ismap longdesc border hspace vspace"),
		"area": words("href alt shape coords nohref"), "map": words("name"), "table": words("width"), "td": words("height"), "th": words("height")}
)

// entities XML knows without a DOCTYPE; JSON narrative may use no others.
func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// narrative judges Narrative.div: well-formed XHTML of the allowed elements, and not empty (txt-1, txt-2).
func (r *run) narrative(n *fhirjson.Node) {
	div := n.Get("div")
	if div.Kind() != fhirjson.String || div.Text() == "" {
		return
	}
	r.push("div", -1)
	defer r.pop()
	p := &page{run: r, node: div, ids: map[string]bool{}}
	d := xml.NewDecoder(strings.NewReader(div.Text()))
	d.Strict = true
	if err := p.read(d); err != nil {
		text := "The narrative is not well-formed XHTML."
		var e *xml.SyntaxError
		if errors.As(err, &e) && strings.Contains(e.Msg, "entity") {
			text = "The narrative names an entity that XML does not know."
		}
		r.fail("invariant", div, text, "Close every element, quote every attribute, and write characters such as ® themselves or as &#174;.")
		return
	}
	p.finish()
}

// page is one narrative being read.
type page struct {
	run     *run
	node    *fhirjson.Node
	depth   int
	content bool
	bad     map[string]bool
	ids     map[string]bool
	links   []string
}

func (p *page) read(d *xml.Decoder) error {
	roots := 0
	for {
		t, err := d.Token()
		if err == io.EOF {
			if p.depth != 0 || roots != 1 {
				return errors.New("not one div")
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if p.depth == 0 {
				roots++
				p.root(t)
			}
			p.depth++
			if p.depth > 200 || !p.run.spend() {
				return errors.New("too deep")
			}
			p.element(t)
		case xml.EndElement:
			p.depth--
		case xml.CharData:
			if p.depth > 0 && strings.TrimSpace(strings.ReplaceAll(string(t), "\u00a0", " ")) != "" {
				p.content = true
			}
		case xml.Directive:
			return errors.New("directive")
		}
	}
}

func (p *page) root(t xml.StartElement) {
	if t.Name.Local != "div" {
		p.once("root", "invariant", "The narrative is not a div.", `Wrap it: <div xmlns="`+xhtml+`">…</div>.`)
	} else if t.Name.Space != xhtml {
		p.once("xmlns", "invariant", "The narrative's div lacks the XHTML namespace.", `Write <div xmlns="`+xhtml+`">.`)
	}
}

func (p *page) element(t xml.StartElement) {
	name := t.Name.Local
	if !allowedElements[name] || t.Name.Space != xhtml && t.Name.Space != "" {
		p.once("element "+name, "invariant", "The narrative holds an element that is not allowed (txt-1).", "Use plain formatting only: paragraphs, lists, tables, links and images; no scripts, forms, frames or objects.")
		return
	}
	if name == "img" {
		p.content = true
	}
	for _, a := range t.Attr {
		attr := a.Name.Local
		switch {
		case a.Name.Space == "xmlns" || attr == "xmlns" || a.Name.Space == "http://www.w3.org/XML/1998/namespace" || a.Name.Space == "xml":
		case a.Name.Space != "":
			p.once("attr", "invariant", "The narrative holds an attribute of a foreign namespace.", "Remove it.")
		case !allowedAttributes[attr] && !elementAttributes[name][attr]:
			p.once("attr "+attr, "invariant", "The narrative holds an attribute that is not allowed (txt-1).", "Remove event handlers and everything but formatting.")
		}
		switch {
		case attr == "id" || attr == "name" && name == "a":
			p.ids[a.Value] = true
		case attr == "href" || attr == "src":
			p.link(name, a.Value)
		}
	}
}

func (p *page) link(element, target string) {
	scheme, _, ok := strings.Cut(target, ":")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		if strings.HasPrefix(target, "#") && len(target) > 1 {
			p.links = append(p.links, target[1:])
		}
		return
	}
	switch strings.ToLower(strings.TrimSpace(scheme)) {
	case "http", "https", "mailto", "tel", "ftp", "sms", "cid":
	case "data":
		if element != "img" {
			p.once("scheme", "invariant", "A link of the narrative leads to data instead of a page.", "Link to an address.")
		}
	case "javascript", "vbscript":
		p.once("script", "security", "A link of the narrative runs a script.", "Remove it.")
	default:
		p.by(p.run.strict(), "scheme "+scheme, "A link of the narrative leads to an address that browsers do not open.", "Link to an http, https, mailto or tel address, or show it as text.")
	}
}

// finish judges what shows only at the end.
func (p *page) finish() {
	if !p.content {
		p.once("empty", "invariant", "The narrative says nothing (txt-2).", "Write text or an image, or leave the narrative out.")
	}
	for _, id := range p.links {
		if !p.ids[id] && !p.run.hasID(id) {
			p.by(p.run.strict(), "link", "A link of the narrative leads to an id that is not there.", "Correct the address after #, or give the place that id.")
		}
	}
}

func (p *page) once(key, code, text, fix string) {
	if p.bad[key] {
		return
	}
	if p.bad == nil {
		p.bad = map[string]bool{}
	}
	p.bad[key] = true
	p.run.fail(code, p.node, text, fix)
}

func (p *page) by(policy Policy, key, text, fix string) {
	if policy == Refuse {
		p.once(key, "invariant", text, fix)
	} else if p.run.silent == 0 {
		p.run.warn("invariant", p.node, text, fix)
	}
}

// hasID reports whether an element or contained resource of the document has an id that narrative may point to.
func (r *run) hasID(id string) bool {
	return r.res[len(r.res)-1].look().ids[id]
}

// looksLikeTag reports whether plain text holds something a browser would take for markup.
func looksLikeTag(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '<' {
			continue
		}
		c := s[i+1] | 0x20
		if (c >= 'a' && c <= 'z' || s[i+1] == '/' || s[i+1] == '!') && strings.IndexByte(s[i:], '>') > 0 {
			return true
		}
	}
	return false
}
