package fhirstore

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
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

// unmetIn are the issues of the references of a tree that lead to what is not here, each with its place. severity is what that makes
// of a target, "" for nothing.
func unmetIn(k keyspace, n *fhirjson.Node, severity func(idh int64) string) (out fhir.Issues) {
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
			typ, id, ok := local(m.Value.Text())
			if !ok {
				continue
			}
			if s := severity(k.id(typ, id)); s != "" {
				issue := fhir.Problem("business-rule", "The reference leads to no "+typ+" that is here and that you may see.",
					"Store what it means first, or in one transaction with this, or correct the reference.").At(path + ".reference")
				issue.Severity = s
				out = append(out, *issue)
			}
		}
	}
	walk(n, n.Get("resourceType").Text())
	return out
}

// Together is what is written along with a resource, before or after it: references to it lead somewhere.
type Together struct {
	k   keyspace
	idh map[int64]bool
}

// Together begins empty.
func (s *Store) Together(tx *db.Tx) *Together {
	return &Together{keyspaceOf(tx.Keys()), map[int64]bool{}}
}

// Add takes a resource in, as "Type/id". Whoever writes it must be able to: what they may not see must not be among what they write.
func (t *Together) Add(ref string) {
	if typ, id, ok := strings.Cut(ref, "/"); ok {
		t.idh[t.k.id(typ, id)] = true
	}
}

// Drop takes out what has been written or refused: from then on the store knows.
func (t *Together) Drop(ref string) {
	if typ, id, ok := strings.Cut(ref, "/"); ok {
		delete(t.idh, t.k.id(typ, id))
	}
}

// Along says what else is written with the resource.
func (p *Prepared) Along(t *Together) { p.among = t.idh }

// Unmet looks, as a write of a resource by the transaction's scope would, whether what the resource refers to is here.
func (s *Store) Unmet(ctx context.Context, tx *db.Tx, n *fhirjson.Node, t Targets) (fhir.Issues, error) {
	tree := n.Clone()
	p, err := s.prepare(&tree)
	if issue := (*fhir.Issue)(nil); errors.As(err, &issue) {
		return nil, nil // it cannot be written at all, which is not said here
	}
	if err != nil {
		return nil, err
	}
	p.Seek(t)
	w := writer{s: s, tx: tx, a: s.kernel(tx)}
	changes := []change{{kind: updating, p: p, typ: p.Type, id: p.ID}}
	if !p.fresh {
		now, err := byID(ctx, tx, w.a.k.id(p.Type, p.ID))
		if err != nil {
			return nil, err
		}
		if now != nil {
			w.current = map[int64]*stored{now.idh: {row: *now}}
		}
	}
	err = w.surroundings(ctx, changes)
	if refused := (fhir.Issues)(nil); errors.As(err, &refused) {
		return refused, nil
	}
	return p.unmet, err
}

func (t Targets) severity() string {
	switch t {
	case MustTarget:
		return "error"
	case WarnTarget:
		return "warning"
	}
	return ""
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

// whole says that no label and no patient hides anything from the scope. That is so for the server itself, and for no person or program.
func (a *kernel) whole() bool {
	return a.Forbidden == 0 && a.Compartment == "" && len(a.Charts) == 0
}

// contextOf are the resources that decide who sees what is written, as idh to type: the patients in whose record it is, the Encounter
// it was recorded in and what it was made from. If one of them is closed to the writer, what is written would be too, so that
// taking it or not, and finding it again or not, would tell of what is hidden. Therefore they must be here for the
// writer, who must be able to read their type, whatever the practice wants of other references; see docs/decisions/0017.
func (w *writer) contextOf(p *Prepared) map[int64]string {
	if w.a.whole() {
		return nil
	}
	out, plan := map[int64]string{}, planOf(p.Type)
	self := w.a.k.id(p.Type, p.ID)
	for i := range p.values {
		v := &p.values[i]
		if v.Kind != fhirsearch.Reference || v.Modifier != "" || v.Part != "" || v.RefID == "" {
			continue
		}
		about := v.RefType == "Patient" && plan.inPatient[v.Param]
		if about && w.a.confined(p.Type) && (v.RefID == w.a.patient || len(w.a.charts.closed) == 0) {
			continue // the scope's own record, or that of somebody of whom it never learns anything
		}
		if about || v.RefType == "Encounter" && v.Param == plan.encounter || hasWord(madeFrom[p.Type], v.Param) {
			if idh := w.a.k.id(v.RefType, v.RefID); idh != self {
				out[idh] = v.RefType
			}
		}
	}
	return out
}

// meet judges the references of what is about to be written by what is here.
func (w *writer) meet(changes []change, asked []map[int64]string, here map[int64]bool) error {
	gone, brought := map[int64]bool{}, map[int64]bool{}
	for i := range changes {
		c := &changes[i]
		if idh := w.a.k.id(c.typ, c.id); c.kind == deleting {
			gone[idh] = true
		} else {
			brought[idh] = true
		}
	}
	for i := range changes {
		p := changes[i].p
		if p == nil || len(asked[i]) == 0 && len(p.context) == 0 {
			continue
		}
		missing := func(idh int64) bool { return !p.among[idh] && (gone[idh] || !here[idh]) }
		if err := w.forget(&changes[i], missing); err != nil {
			return err
		}
		p.unmet = unmetIn(w.a.k, p.node, func(idh int64) string {
			switch {
			case p.context[idh] != "" && missing(idh):
				return "error"
			case asked[i][idh] != "" && !brought[idh] && missing(idh):
				return p.targets.severity()
			}
			return ""
		})
		if err := p.unmet.Err(); err != nil {
			changes[i].failed = true
			return err
		}
	}
	return nil
}

// forget leaves out of a change's context what the version before it referred to already: what has been deleted or hidden since does
// not keep the rest from being changed. Nothing is inherited from it either.
func (w *writer) forget(c *change, missing func(idh int64) bool) error {
	cur := w.current[w.a.k.id(c.typ, c.id)]
	if cur == nil || cur.deleted {
		return nil
	}
	some := false
	for idh := range c.p.context {
		some = some || missing(idh)
	}
	if !some {
		return nil
	}
	before, err := w.s.resource(w.tx, &cur.row)
	if err != nil {
		return err
	}
	for idh := range referredTo(w.a.k, before.Node()) {
		delete(c.p.context, idh)
	}
	return nil
}
