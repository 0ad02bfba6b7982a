package profile

import (
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// inside is what a resource holds, found in one pass: looking anew for each reference would cost the square of the size.
type inside struct {
	done      bool
	contained map[string]*fhirjson.Node
	mentioned map[string]bool // texts of references and canonicals that begin with "#", and targets in narrative
	ids       map[string]bool // of elements and of places in narrative
}

// look returns what is in the resource.
func (s scope) look() *inside {
	if s.seen.done {
		return s.seen
	}
	*s.seen = inside{done: true, contained: map[string]*fhirjson.Node{}, mentioned: map[string]bool{}, ids: map[string]bool{}}
	items := s.node.Get("contained").Items()
	for i := range items {
		if id := items[i].Get("id").Text(); s.seen.contained[id] == nil {
			s.seen.contained[id] = &items[i]
		}
	}
	s.seen.read(s.node)
	return s.seen
}

func (x *inside) read(n *fhirjson.Node) {
	switch n.Kind() {
	case fhirjson.String:
		if t := n.Text(); len(t) > 1 && t[0] == '#' {
			x.mentioned[t] = true
		}
	case fhirjson.Array:
		for i := range n.Items() {
			x.read(&n.Items()[i])
		}
	case fhirjson.Object:
		for i := range n.Members() {
			switch m := &n.Members()[i]; m.Name {
			case "id":
				x.ids[m.Value.Text()] = true
			case "div":
				x.narrative(m.Value.Text())
			default:
				x.read(&m.Value)
			}
		}
	}
}

// narrative finds quoted targets and ids in XHTML without reading it as XML.
func (x *inside) narrative(div string) {
	for div != "" {
		at := strings.IndexAny(div, `"'`)
		if at < 0 {
			return
		}
		end := strings.IndexByte(div[at+1:], div[at])
		if end < 0 {
			return
		}
		text := div[at+1 : at+1+end]
		switch {
		case len(text) > 1 && text[0] == '#':
			x.mentioned[text] = true
		case strings.HasSuffix(div[:at], "id=") || strings.HasSuffix(div[:at], "name="):
			x.ids[text] = true
		}
		div = div[at+end+2:]
	}
}
