package fhirstore

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// resolve answers the conditions of the entries outside the writer, and rewrites references.
func (a *applier) resolve(ctx context.Context, entries []*entry) error {
	wanted := map[string]bool{}
	for _, e := range entries {
		if e.issue != nil {
			continue
		}
		if c := e.condition(); c != "" {
			wanted[c] = true
		}
		if n := e.tree(); n != nil {
			references(n, func(ref string) string {
				if _, _, ok := conditional(ref); ok && a.b.targets[ref] == "" {
					wanted[ref] = true
				}
				return ref
			})
		}
	}
	if err := a.opt.conditions.answer(ctx, a.s, a.scope, wanted); err != nil {
		return err
	}
	for _, e := range entries {
		if c := e.condition(); c != "" && e.issue == nil {
			e.settle(a.b, a.opt.conditions.get(c))
		}
	}
	for _, e := range entries {
		if e.tree() != nil && e.issue == nil {
			a.rewrite(e)
		}
	}
	return nil
}

// tree is what of the entry may hold references.
func (e *entry) tree() *fhirjson.Node {
	if e.node == nil {
		return e.patch
	}
	return e.node
}

// condition is the entry's own condition as Type?query, "" when it has none.
func (e *entry) condition() string {
	switch {
	case e.method == "POST" && e.ifNone != "":
		return e.typ + "?" + strings.TrimPrefix(e.ifNone, "?")
	case e.query != "" && e.method != "GET":
		return e.typ + "?" + e.query
	}
	return ""
}

// settle takes the answer of the entry's condition.
func (e *entry) settle(b *bundle, a answer) {
	if a.err != nil {
		e.issue = nil
		e.fail(a.err)
		return
	}
	if a.ref != "" && a.ref != e.typ+"/"+e.id {
		// References may already name the id this entry would have got.
		b.targets[e.typ+"/"+e.id] = a.ref
	}
	e.exists = a.ref
	if e.method == "POST" || e.method == "PUT" {
		if a.ref != "" && e.method == "PUT" {
			e.id = strings.TrimPrefix(a.ref, e.typ+"/")
			withID(e.node, e.id)
		}
		b.alias(e, "")
	}
}

// withID sets the id of a resource as its second member.
func withID(n *fhirjson.Node, id string) {
	typ := fhirjson.NewString(n.Get("resourceType").Text())
	n.Delete("id")
	n.SetFirst("id", fhirjson.NewString(id))
	n.SetFirst("resourceType", typ)
}

// rewrite replaces the references of an entry by what they lead to.
func (a *applier) rewrite(e *entry) {
	references(e.tree(), func(ref string) string {
		if to := a.b.targets[ref]; to != "" {
			return to
		}
		if _, _, ok := conditional(ref); ok {
			found := a.opt.conditions.get(ref)
			switch {
			case found.err != nil && !(a.opt.Loose && found.err.Code == "multiple-matches"):
				e.fail(found.err)
			case found.ref != "":
				return found.ref
			case !a.opt.Loose:
				e.fail(fhir.Problem("not-found", "A conditional reference leads to nothing.", "Load the resource it means first, or refer to it by id."))
			}
			return ref
		}
		if strings.HasPrefix(ref, "urn:uuid:") || strings.HasPrefix(ref, "urn:oid:") {
			e.fail(fhir.Problem("not-found", "A reference to another entry leads to none.", "Add the entry with that fullUrl, or remove the reference."))
		}
		return ref
	})
	if a.opt.Loose && loosen(e.tree()) > 0 {
		if a.loosened++; a.loosened == 1 {
			a.firstLoose = e
		}
	}
}

// warn tells about references that were kept as identifiers, once for the bundle.
func (a *applier) warn() {
	if a.loosened == 0 {
		return
	}
	w := *a.firstLoose.at(fhir.Problem("not-found", fmt.Sprintf("Conditional references of %d entries, from this one on, lead to nothing or to several resources; they were kept as identifiers.", a.loosened),
		"Load the resources they mean, or merge the duplicates, and import again to connect them."))
	w.Severity = "warning"
	a.warnings = append(a.warnings, w)
}

// loosen turns the conditional references left in a tree into logical ones.
func loosen(n *fhirjson.Node) (count int) {
	if n.Kind() == fhirjson.Array {
		for i := range n.Items() {
			count += loosen(&n.Items()[i])
		}
		return count
	}
	if typ, query, ok := conditional(n.Get("reference").Text()); ok {
		system, value, _ := strings.Cut(identifierOf(query), "|")
		n.Delete("reference")
		n.Set("type", fhirjson.NewString(typ))
		if n.Get("identifier") == nil && value != "" {
			n.Set("identifier", fhirjson.NewObject(fhirjson.Member{Name: "system", Value: fhirjson.NewString(system)},
				fhirjson.Member{Name: "value", Value: fhirjson.NewString(value)}))
		} else if n.Get("identifier") == nil {
			n.Set("display", fhirjson.NewString(typ))
		}
		return 1
	}
	for i := range n.Members() {
		count += loosen(&n.Members()[i].Value)
	}
	return count
}

func identifierOf(query string) string {
	v, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return v.Get("identifier")
}
