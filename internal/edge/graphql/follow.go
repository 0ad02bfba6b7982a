package graphql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// local is what a reference names here, "Type/id"; "" for what is elsewhere, contained, or a version.
func (r *run) local(ref *fhirjson.Node) string {
	text := strings.TrimPrefix(ref.Get("reference").Text(), r.c.Base+"/")
	if strings.Contains(text, "://") {
		return ""
	}
	typ, id, ok := fhir.ParseReference(text)
	if !ok {
		return ""
	}
	return typ + "/" + id
}

// follow answers resource of a Reference. What is not there and what may not be seen are the same.
func (r *run) follow(f frame, ref *fhirjson.Node, p pick, into *bag, above flat) error {
	typ, err := r.one(p.field.Arguments, "type")
	if err != nil {
		return err
	}
	optional, err := r.truth(p.field.Arguments, "optional")
	if err != nil {
		return err
	}
	if id, within := strings.CutPrefix(ref.Get("reference").Text(), "#"); within {
		inner := fhirpath.Contained(f.top, id)
		of := inner.Get("resourceType").Text()
		if inner == nil || typ != "" && of != typ {
			return r.unresolved(p, into, above, optional || inner != nil)
		}
		return r.followed(frame{top: f.top}, of, inner, p, into, above)
	}
	name := r.local(ref)
	if of, _, _ := strings.Cut(name, "/"); typ != "" && of != typ && of != "" {
		return r.unresolved(p, into, above, true) // another resource(type: …) is for it
	}
	if name == "" {
		return r.unresolved(p, into, above, optional)
	}
	if err := r.load([]string{name}); err != nil {
		return err
	}
	x := r.known[name]
	if x == nil {
		return r.unresolved(p, into, above, optional)
	}
	r.show(x)
	return r.followed(frame{self: x, top: x.Node()}, x.Type, x.Node(), p, into, above)
}

func (r *run) followed(f frame, typ string, n *fhirjson.Node, p pick, into *bag, above flat) error {
	return r.elements(p, into, above, false, []fhirjson.Node{*n}, func(_ int, into *bag, above flat) error {
		return r.object(f, typ, n, p.sets, into, above)
	}, func(i int, path string) (string, error) { return r.suffix(f, &field{typ: typ}, n, i, path) })
}

func (r *run) unresolved(p pick, into *bag, above flat, allowed bool) error {
	if !allowed {
		return wrong("not-found", "A reference leads to nothing here, or to what you may not see.", "Write resource(optional: true) where that may be.", p.field.Position)
	}
	if !above.on {
		into.put(p.key, false)
	}
	return nil
}

// load reads what references name, all at once.
func (r *run) load(refs []string) error {
	var fresh []string
	for _, ref := range refs {
		if _, ok := r.known[ref]; !ok {
			r.known[ref] = nil
			fresh = append(fresh, ref)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if r.read += len(fresh); r.read > maxRead {
		return tooMuch()
	}
	found, err := r.c.Store().ReadMany(r.ctx, r.tx, fresh)
	if err != nil {
		return err
	}
	for ref, x := range found {
		r.known[ref] = x
	}
	return nil
}

// prefetch reads what the references of many resources lead to in one round trip for each level of the query.
func (r *run) prefetch(list []*fhirstore.Resource, sets []ast.SelectionSet) error {
	type next struct {
		refs []string
		sets []ast.SelectionSet
	}
	var later []next
	var refs []string
	var walk func(typ string, n *fhirjson.Node, sets []ast.SelectionSet) error
	walk = func(typ string, n *fhirjson.Node, sets []ast.SelectionSet) error {
		picks, err := r.collect(sets, func(on string) bool { return on == nameOf(typ) || on == "Resource" && fhir.IsResourceType(typ) })
		if err != nil {
			return err
		}
		for _, p := range picks {
			if typ == "Reference" && p.field.Name == "resource" {
				if ref := r.local(n); ref != "" {
					of, _, _ := strings.Cut(ref, "/")
					if want, err := r.one(p.field.Arguments, "type"); err != nil || want != "" && want != of {
						continue
					}
					if _, ok := r.known[ref]; !ok {
						refs = append(refs, ref)
						later = append(later, next{[]string{ref}, p.sets})
					}
				}
				continue
			}
			def := shapeOf(typ).byName[p.field.Name]
			if def == nil || def.leaf || def.typ == "Resource" || !leads(p.sets, r.doc, 0) {
				continue
			}
			items := children(n.Get(p.field.Name), def.list)
			for i := range items {
				if err := walk(def.typ, &items[i], p.sets); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if len(list) == 0 || !leads(sets, r.doc, 0) {
		return nil
	}
	for _, x := range list {
		if err := walk(x.Type, x.Node(), sets); err != nil {
			return err
		}
	}
	if err := r.load(refs); err != nil {
		return err
	}
	// What lies behind is asked for in the same words: one round for all that share them.
	var groups []next
	at := map[*ast.Selection]int{}
	for _, l := range later {
		first := &l.sets[0][0]
		if _, ok := at[first]; !ok {
			at[first] = len(groups)
			groups = append(groups, next{sets: l.sets})
		}
		groups[at[first]].refs = append(groups[at[first]].refs, l.refs...)
	}
	for _, g := range groups {
		var behind []*fhirstore.Resource
		for _, ref := range g.refs {
			if x := r.known[ref]; x != nil {
				behind = append(behind, x)
			}
		}
		if err := r.prefetch(behind, g.sets); err != nil {
			return err
		}
	}
	return nil
}

// leads says whether a selection follows a reference somewhere.
func leads(sets []ast.SelectionSet, doc *ast.QueryDocument, depth int) bool {
	for _, set := range sets {
		for _, s := range set {
			var inner ast.SelectionSet
			switch s := s.(type) {
			case *ast.Field:
				if inner = s.SelectionSet; s.Name == "resource" {
					return true
				}
			case *ast.InlineFragment:
				inner = s.SelectionSet
			case *ast.FragmentSpread:
				if f := doc.Fragments.ForName(s.Name); f != nil {
					inner = f.SelectionSet
				}
			}
			if depth <= maxDepth+introDepth && len(inner) > 0 && leads([]ast.SelectionSet{inner}, doc, depth+1) {
				return true
			}
		}
	}
	return false
}
