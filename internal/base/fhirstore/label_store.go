package fhirstore

import (
	"context"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Labels travel. A new version bears what it brings, what its codes call for (Store.Labels), what the version before it
// bore, and what the Encounter it was recorded in and the resources it was made from bear. Only Unlabel takes labels
// away; a plain update that leaves them out keeps them.

// madeFrom are the search parameters that lead from a resource to those it repeats or summarises.
var madeFrom = map[string]string{
	"Provenance": "target", "Composition": "entry", "DocumentReference": "related relatesto", "DiagnosticReport": "result",
	"Observation": "derived-from has-member", "List": "item", "MedicationDispense": "prescription", "MedicationAdministration": "request",
	"DocumentManifest": "item related-ref", "Media": "based-on", "ImagingStudy": "basedon", "Procedure": "based-on part-of", "ClinicalImpression": "finding-ref investigation",
	"QuestionnaireResponse": "based-on part-of", "Task": "focus", "Communication": "part-of based-on", "CarePlan": "condition", "Goal": "addresses",
}

var selectLabels = db.SQL(`SELECT idh, labels FROM resource WHERE practice_id = $1 AND idh {in $2} AND labels <> 0`)

// sources are the idh of what a resource inherits labels from.
func (w *writer) sources(p *Prepared) (out []int64) {
	x := p.index(w.tx.Keys())
	if x.encounter != 0 {
		out = append(out, x.encounter)
	}
	from := madeFrom[p.Type]
	if from == "" {
		return out
	}
	for i := range p.values {
		v := &p.values[i]
		if v.Kind == fhirsearch.Reference && v.Modifier == "" && v.RefID != "" && hasWord(from, v.Param) {
			out = append(out, w.a.k.id(v.RefType, v.RefID))
		}
	}
	return out
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// inherit reads the labels of what the changed resources belong to: one query, and none where nothing does.
func (w *writer) inherit(ctx context.Context, changes []change) error {
	var ids []int64
	for i := range changes {
		if p := changes[i].p; p != nil {
			ids = append(ids, w.sources(p)...)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := w.tx.Query(ctx, selectLabels, int64(w.tx.Practice()), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := map[int64]int64{}
	for rows.Next() {
		var idh, labels int64
		if err := rows.Scan(&idh, &labels); err != nil {
			return err
		}
		found[idh] = labels
	}
	w.inheritFrom(found, changes)
	return rows.Err()
}

// inheritFrom takes over what was found of labels, by idh.
func (w *writer) inheritFrom(found map[int64]int64, changes []change) {
	w.inherited = map[int64]int64{}
	for idh, labels := range found {
		w.inherited[idh] = labels &^ auth.LabelDeclassified
	}
	// What is written in the same call counts too.
	for i := range changes {
		if p := changes[i].p; p != nil && p.labels != 0 {
			w.inherited[w.a.k.id(p.Type, p.ID)] |= p.labels &^ auth.LabelDeclassified
		}
	}
}

// labelled is the resource of a change with the labels it must bear.
func (w *writer) labelled(c *change, cur *stored) (*Prepared, error) {
	want := c.p.own&^auth.LabelDeclassified | c.relabel
	if cur != nil && !cur.deleted {
		want |= cur.labels
	}
	if c.p.own&auth.LabelDeclassified != 0 && auth.MayRemoveLabels(w.tx.Scope()) {
		want |= auth.LabelDeclassified
	}
	if want&auth.LabelDeclassified == 0 { // what a person took away, neither codes nor surroundings bring back
		want |= c.p.sensed
		if len(w.inherited) > 0 {
			for _, idh := range w.sources(c.p) {
				want |= w.inherited[idh]
			}
		}
	}
	if c.unlabel != 0 {
		want = want&^c.unlabel | auth.LabelDeclassified
	}
	if want == c.p.labels {
		return c.p, nil
	}
	tree := c.p.node.Clone()
	setLabels(&tree, want)
	p := &Prepared{Type: c.p.Type, ID: c.p.ID, fresh: c.p.fresh, node: &tree, own: want, labels: want}
	return p, w.s.pack(p)
}

// setLabels makes meta.security say a mask and leaves its other codings alone.
func setLabels(n *fhirjson.Node, want int64) {
	var meta fhirjson.Node
	if m := n.Get("meta"); m != nil {
		meta = m.Clone()
	} else {
		meta = fhirjson.NewObject()
	}
	var keep []fhirjson.Node
	said := int64(0)
	security := meta.Get("security").Items()
	for i := range security {
		l := auth.LabelOf(security[i].Get("system").Text(), security[i].Get("code").Text())
		if l == 0 || l&want != 0 {
			keep = append(keep, security[i].Clone())
			said |= l
		}
	}
	for _, c := range auth.SecurityCodings(want &^ said) {
		keep = append(keep, fhirjson.NewObject(fhirjson.Member{Name: "system", Value: fhirjson.NewString(c[0])},
			fhirjson.Member{Name: "code", Value: fhirjson.NewString(c[1])}))
	}
	if len(keep) == 0 {
		meta.Delete("security")
	} else {
		meta.Set("security", fhirjson.NewArray(keep...))
	}
	if meta.Len() == 0 {
		n.Delete("meta")
		return
	}
	if n.Get("meta") != nil {
		n.Set("meta", meta)
		return
	}
	// resourceType, id, meta: the order of FHIR's own examples
	members := append([]fhirjson.Member(nil), n.Members()...)
	at := 0
	for at < len(members) && (members[at].Name == "resourceType" || members[at].Name == "id") {
		at++
	}
	out := append(append(append([]fhirjson.Member(nil), members[:at]...), fhirjson.Member{Name: "meta", Value: meta}), members[at:]...)
	*n = fhirjson.NewObject(out...)
}

// spread is a resource whose labels grew, and must grow on what was recorded in it or made from it.
type spread struct {
	typ, id string
	labels  int64
}

// noteLabels remembers what must follow a new version.
func (w *writer) noteLabels(c *change, cur *stored, v *version) {
	if w.s.Rules != nil && (c.typ == "Consent" || c.typ == "Patient" && (v.labels != 0 || cur != nil && cur.labels != 0)) {
		w.ruled = append(w.ruled, v)
	}
	grown := v.labels &^ auth.LabelDeclassified
	if cur != nil && !cur.deleted {
		grown &^= cur.labels
	}
	if c.typ == "Encounter" && c.kind != deleting && grown != 0 {
		w.spreading = append(w.spreading, spread{c.typ, c.id, grown})
	}
}

// follow does what new versions entail, after they are written.
func (w *writer) follow(ctx context.Context) error {
	for _, v := range w.ruled {
		var n *fhirjson.Node
		if v.p != nil {
			n = v.p.node
		}
		if err := w.s.Rules(ctx, w.tx, v.out.Type, v.out.ID, n, v.labels); err != nil {
			return err
		}
	}
	for _, s := range w.spreading {
		if err := w.spread(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// spread labels everything recorded in an Encounter. The writer's own access does not matter: what it cannot see is
// labelled too.
func (w *writer) spread(ctx context.Context, from spread) error {
	var rids []int64
	for _, typ := range fhir.ResourceTypes() {
		param := planOf(typ).encounter
		if param == "" || typ == "Encounter" {
			continue
		}
		rows, err := w.tx.Query(ctx, selectByKey, int64(w.tx.Practice()), w.a.k.reference(typ, param, from.typ+"/"+from.id))
		if err != nil {
			return err
		}
		for rows.Next() {
			var rid int64
			if err := rows.Scan(&rid); err != nil {
				rows.Close()
				return err
			}
			rids = append(rids, rid)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows.Close()
	}
	if len(rids) == 0 {
		return nil
	}
	found, err := scanRows(w.tx.Query(ctx, selectByRids, int64(w.tx.Practice()), rids))
	if err != nil {
		return err
	}
	var changes []change
	for _, r := range found {
		if r.deleted || r.labels&from.labels == from.labels {
			continue
		}
		res, err := w.s.resource(w.tx, r)
		if err != nil {
			return err
		}
		tree := res.Node().Clone()
		p, err := w.s.prepare(&tree)
		if err != nil {
			return err
		}
		changes = append(changes, change{kind: updating, p: p, typ: res.Type, id: res.ID, relabel: from.labels})
	}
	_, err = w.s.writeAs(ctx, w.tx, kernel{s: w.s, Access: auth.Access{All: true}, k: w.a.k}, changes, w.mode)
	return err
}

var (
	selectByKey  = db.SQL(`SELECT rid FROM hkey WHERE practice_id = $1 AND h = $2`)
	selectByRids = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.rid {in $2} ORDER BY r.rid`)
)

// Origin says where the labels of a resource come from. What is in none of the three was put there by a person, or by
// the program that sent it.
type Origin struct {
	Codes   int64  // what its codes and their words call for
	Visit   int64  // what the Encounter it was recorded in bears
	Made    int64  // what it was made from bears
	Patient string // id of the patient it is about, "" for none
}

// Origins reads why a resource of this scope bears its labels: only labels that it bears are named.
func (s *Store) Origins(ctx context.Context, tx *db.Tx, r *Resource) (o Origin, err error) {
	tree := r.Node().Clone()
	p, err := s.prepare(&tree)
	if err != nil {
		return o, err
	}
	x := p.index(tx.Keys())
	w := writer{s: s, tx: tx, a: s.kernel(tx)}
	o.Patient, o.Codes = x.patientID, p.sensed&r.Labels
	ids := w.sources(p)
	if len(ids) == 0 {
		return o, nil
	}
	rows, err := tx.Query(ctx, selectLabels, int64(tx.Practice()), ids)
	if err != nil {
		return o, err
	}
	defer rows.Close()
	for rows.Next() {
		var idh, labels int64
		if err := rows.Scan(&idh, &labels); err != nil {
			return o, err
		}
		if labels &= r.Labels &^ auth.LabelDeclassified; idh == x.encounter {
			o.Visit |= labels
		} else {
			o.Made |= labels
		}
	}
	return o, rows.Err()
}

// Unlabel takes labels away from a resource, which needs auth.LabelRemove and a reason in plain words without patient
// information. It is on record. Codes that called for the labels do not bring them back.
func (s *Store) Unlabel(ctx context.Context, tx *db.Tx, typ, id string, ifVersion, labels int64, reason string) (*Resource, error) {
	if !auth.MayRemoveLabels(tx.Scope()) {
		return nil, fhir.Problem("forbidden", "You may not take away sensitivity labels.", "Ask somebody with the right to remove labels.")
	}
	reason = strings.TrimSpace(reason)
	if len(reason) < 5 || len(reason) > 200 {
		return nil, fhir.Problem("required", "Say why the label is taken away.", "Write 5 to 200 characters without naming the patient.").At("reason")
	}
	r, err := s.Read(ctx, tx, typ, id)
	if err != nil {
		return nil, err
	}
	if labels &= r.Labels &^ auth.LabelDeclassified; labels == 0 {
		return nil, fhir.Problem("business-rule", "The resource does not bear this label.", "Read it again.")
	}
	if ifVersion == 0 {
		ifVersion = r.Version
	}
	tree := r.Node().Clone()
	p, err := s.prepare(&tree)
	if err != nil {
		return nil, err
	}
	patient := ""
	if x := p.index(tx.Keys()); x.patientID != "" {
		patient = "Patient/" + x.patientID
	}
	s.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: typ, ID: id, Patient: patient, Labels: labels,
		Detail: "labels removed: " + strings.Join(auth.LabelNames(labels), ", ") + "; " + reason})
	return s.one(ctx, tx, change{kind: updating, p: p, typ: typ, id: id, ifVersion: ifVersion, unlabel: labels})
}
