package fhirstore

import (
	"context"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Targets says what becomes of a resource that refers to resources which are not here. A target counts as here when the
// writer could read it: what was deleted and what the writer may not see is missed alike, and what the writer may read
// nothing of, as a type, is not looked for, so that no answer tells what is hidden.
type Targets uint8

const (
	AnyTarget  Targets = iota // nobody looks
	WarnTarget                // it is stored, with a warning
	MustTarget                // it is refused
)

// TargetPolicy is what a practice chose for what programs write (Store.Targets). It must not be called inside a transaction.
func (s *Store) TargetPolicy(ctx context.Context, scope db.Scope) (Targets, error) {
	if s.Targets == nil || scope == nil || !scope.Valid() {
		return AnyTarget, nil
	}
	return s.Targets(ctx, scope)
}

// Seek has the write of the resource look whether what it refers to is here.
func (p *Prepared) Seek(t Targets) { p.targets = t }

// Unmet are warnings about references that led nowhere when the resource was written.
func (p *Prepared) Unmet() fhir.Issues { return p.unmet }

// local reads a reference to a resource of this practice, such as Patient/1 or Patient/1/_history/2.
func local(ref string) (typ, id string, ok bool) {
	typ, id, ok = fhir.ParseReference(ref)
	return typ, id, ok && strings.HasPrefix(ref, typ) // otherwise it is an address elsewhere
}

// referredTo are the resources of this practice that a resource refers to, as idh to type. A stored Bundle stands alone: its
// references are resolved within it.
func referredTo(k keyspace, n *fhirjson.Node) map[int64]string {
	if n.Get("resourceType").Text() == "Bundle" {
		return nil
	}
	var out map[int64]string
	references(n, func(ref string) string {
		if typ, id, ok := local(ref); ok {
			if out == nil {
				out = map[int64]string{}
			}
			out[k.id(typ, id)] = typ
		}
		return ref
	})
	return out
}

// unmetIn are the issues of the references of a tree that lead to what is not here, each with its place.
func unmetIn(k keyspace, n *fhirjson.Node, severity string, missing func(idh int64) bool) (out fhir.Issues) {
	var walk func(n *fhirjson.Node, path string)
	walk = func(n *fhirjson.Node, path string) {
		if n.Kind() == fhirjson.Array {
			for i := range n.Items() {
				walk(&n.Items()[i], path+"["+strconv.Itoa(i)+"]")
			}
			return
		}
		for i := range n.Members() {
			m := &n.Members()[i]
			if m.Name != "reference" || m.Value.Kind() != fhirjson.String {
				walk(&m.Value, path+"."+m.Name)
				continue
			}
			if typ, id, ok := local(m.Value.Text()); ok && missing(k.id(typ, id)) {
				issue := fhir.Problem("business-rule", "The reference leads to no "+typ+" that is here and that you may see.",
					"Store what it means first, or in one transaction with this, or correct the reference.").At(path + ".reference")
				issue.Severity = severity
				out = append(out, *issue)
			}
		}
	}
	walk(n, n.Get("resourceType").Text())
	return out
}

// Unmet looks, as a write of a resource by the transaction's scope would, whether what the resource refers to is here.
func (s *Store) Unmet(ctx context.Context, tx *db.Tx, n *fhirjson.Node, t Targets) (fhir.Issues, error) {
	a := s.kernel(tx)
	asked := a.readable(referredTo(a.k, n))
	if t == AnyTarget || len(asked) == 0 {
		return nil, nil
	}
	here, err := a.here(ctx, tx, asked)
	if err != nil {
		return nil, err
	}
	here[a.k.id(n.Get("resourceType").Text(), n.Get("id").Text())] = true
	return unmetIn(a.k, n, t.severity(), func(idh int64) bool { return asked[idh] != "" && !here[idh] }), nil
}

func (t Targets) severity() string {
	if t == MustTarget {
		return "error"
	}
	return "warning"
}

// readable leaves those out of whose type the scope may read nothing.
func (a *kernel) readable(asked map[int64]string) map[int64]string {
	for idh, typ := range asked {
		if a.may(typ, auth.CanRead) != nil {
			delete(asked, idh)
		}
	}
	return asked
}

// meet judges the references of what is about to be written by what is here.
func (w *writer) meet(changes []change, asked map[int64]string, here map[int64]bool) error {
	gone := map[int64]bool{}
	for i := range changes {
		c := &changes[i]
		if idh := w.a.k.id(c.typ, c.id); c.kind == deleting {
			gone[idh] = true
		} else {
			here[idh] = true
		}
	}
	for i := range changes {
		p := changes[i].p
		if p == nil || p.targets == AnyTarget {
			continue
		}
		p.unmet = unmetIn(w.a.k, p.node, p.targets.severity(), func(idh int64) bool {
			return asked[idh] != "" && !p.among[idh] && (gone[idh] || !here[idh])
		})
		if err := p.unmet.Err(); err != nil {
			changes[i].failed = true
			return err
		}
	}
	return nil
}
