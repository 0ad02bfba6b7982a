package profile

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// Narrative is what a profile asks of a narrative's text (extensions narrative-source-control and
// narrative-language-control of HL7's extension pack on an ElementDefinition).
type Narrative struct {
	Source    bool     // every part says by its class whether it is boilerplate, generated or original
	Languages []string // _no: no sections by language; _yes: some; _resource: one in the resource's language; or a language
}

// readNarrative reads the two extensions of an ElementDefinition; nil if it has neither.
func readNarrative(n *fhirjson.Node) *Narrative {
	var out Narrative
	for _, x := range n.Get("extension").Items() {
		switch strings.TrimPrefix(x.Get("url").Text(), structureBase) {
		case "narrative-source-control":
			out.Source = true
		case "narrative-language-control":
			out.Languages = append(out.Languages, x.Get("valueCode").Text())
		}
	}
	if !out.Source && out.Languages == nil {
		return nil
	}
	return &out
}

// sources are the classes that tell where a part of a narrative comes from (R4 Narrative, styles).
var sources = []string{"boilerplate", "generated", "original"}

// controlled judges a narrative by what a profile asks of it.
func (r *run) controlled(n *fhirjson.Node, want *Narrative, who string) {
	unmarked, languages := surveyed(n.Get("div").Text())
	if want.Source && unmarked {
		r.fail("business-rule", n, "A part of the narrative does not say by its class whether it is boilerplate, generated or original, as "+who+" asks.", `Give what holds the text class="boilerplate", "generated" or "original".`)
	}
	for _, l := range want.Languages {
		need := l
		switch l {
		case "_no":
			if len(languages) > 0 {
				r.fail("business-rule", n, "The narrative has sections by language, which "+who+" does not allow.", "Write it in one language.")
			}
			continue
		case "_yes":
			if len(languages) == 0 {
				r.fail("business-rule", n, "The narrative has no sections by language, which "+who+" asks for.", `Put each language into a <div lang="…" xml:lang="…"> of its own.`)
			}
			continue
		case "_resource":
			if need = r.env.Resource.Get("language").Text(); need == "" {
				r.fail("business-rule", n, "The resource has no language, so its narrative can have no section in it, as "+who+" asks.", "Add language to the resource.")
				continue
			}
		}
		if !slices.Contains(languages, need) {
			r.fail("business-rule", n, "The narrative has no section in "+shown(need)+", which "+who+" asks for.", `Add a <div lang="`+shown(need)+`" xml:lang="`+shown(need)+`">.`)
		}
	}
}

// surveyed reads a narrative once: whether some text stands in no part with a source, and the languages of the sections
// right below the outer div.
func surveyed(div string) (unmarked bool, languages []string) {
	d := xml.NewDecoder(strings.NewReader(div))
	depth, marked := 0, 0 // marked is the depth of the outermost element with a source, 0 for none
	for {
		t, err := d.Token()
		if err == io.EOF || err != nil {
			return unmarked, languages
		}
		switch t := t.(type) {
		case xml.StartElement:
			depth++
			for _, a := range t.Attr {
				switch {
				case a.Name.Local == "class" && marked == 0 && slices.ContainsFunc(strings.Fields(a.Value), func(c string) bool { return slices.Contains(sources, c) }):
					marked = depth
				case a.Name.Local == "lang" && a.Name.Space == "" && depth == 2 && t.Name.Local == "div":
					languages = append(languages, a.Value)
				}
			}
		case xml.EndElement:
			if marked == depth {
				marked = 0
			}
			depth--
		case xml.CharData:
			unmarked = unmarked || marked == 0 && depth > 0 && strings.TrimSpace(string(t)) != ""
		}
	}
}

// textLinks judges the links from parts of a narrative to the data they show (extension textLink of HL7's pack): both
// ends exist, and a selector reads.
func (r *run) textLinks(n *fhirjson.Node) {
	for _, x := range n.Get("extension").Items() {
		if x.Get("url").Text() != structureBase+"textLink" {
			continue
		}
		var data, selector *fhirjson.Node
		for _, part := range x.Get("extension").Items() {
			switch v := part.Get("valueString"); part.Get("url").Text() {
			case "htmlid":
				if id := v.Text(); id != "" && !r.hasID(id) {
					r.by(r.strict(), "not-found", n, "A link from the narrative to its data names an id that the narrative does not have.", "Correct htmlid, or give the place that id.")
				}
			case "data":
				data = part.Get("valueUri")
			case "selector":
				selector = v
			}
		}
		target := r.linkedData(n, data)
		if selector != nil {
			r.selector(n, selector.Text(), target.Get("resourceType").Text())
		}
	}
}

// selector: the FHIRPath that picks the data in a resource of a type ("" if it is not known) can be read and leads to
// elements of that type.
func (r *run) selector(n *fhirjson.Node, expression, typ string) {
	e, err := fhirpath.Compile(expression)
	if err == nil {
		err = e.Check(model, typ)
	}
	if err != nil {
		r.by(r.strict(), "invalid", n, "The selector of a link from the narrative to its data leads nowhere.", "Write FHIRPath over what the data address names.")
	}
}

// linkedData: the data that a part of the narrative shows is there, and the address leads to one place. It gives the
// resource, or nil.
func (r *run) linkedData(n, data *fhirjson.Node) *fhirjson.Node {
	if data == nil {
		return nil
	}
	ref, id, part := strings.Cut(data.Text(), "#")
	target := r.res[len(r.res)-1].node
	if ref != "" {
		if target, _ = r.find(ref); target == nil {
			r.warn("not-found", n, "The data that a part of the narrative shows is not here.", "Correct the address, or add the resource.")
			return nil
		}
	}
	if !part {
		return target
	}
	switch r.withID(target, id) {
	case 0:
		r.by(r.strict(), "not-found", n, "The data that a part of the narrative shows has no element with the id after #.", "Correct the id.")
	case 1:
	default:
		r.by(r.strict(), "invalid", n, "The data that a part of the narrative shows is not told by its id: several elements have it.", "Give each element an id of its own.")
	}
	return target
}

// withID counts the elements below n, and n itself, that have an id.
func (r *run) withID(n *fhirjson.Node, id string) int {
	count := 0
	if r.left--; r.left < 1 {
		r.charged()
		return 1
	}
	switch n.Kind() {
	case fhirjson.Array:
		for i := range n.Items() {
			count += r.withID(&n.Items()[i], id)
		}
	case fhirjson.Object:
		if n.Get("id").Text() == id {
			count++
		}
		for i := range n.Members() {
			count += r.withID(&n.Members()[i].Value, id)
		}
	}
	return count
}
