package fhirstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"yarrow.health/internal/base/audit"
)

// flush hands the gathered rows to the transaction, index rows in the order of their keys, which spares
// both engines page visits. What needs a sequence number goes last; see numbers.
func (w *writer) flush(ctx context.Context) error {
	if len(w.versions) == 0 {
		return nil
	}
	if err := w.number(ctx); err != nil {
		return err
	}
	byColumns := func(n int) func(a, b []any) int {
		return func(a, b []any) int {
			for i := 1; i < n; i++ {
				if c := cmp.Compare(a[i].(int64), b[i].(int64)); c != 0 {
					return c
				}
			}
			return 0
		}
	}
	slices.SortFunc(w.hashes, byColumns(4))
	slices.SortFunc(w.spans, byColumns(5))
	w.tx.InsertMany(insertHistory, w.history)
	w.tx.InsertMany(insertHash, w.hashes)
	w.tx.InsertMany(insertSpan, w.spans)
	for _, e := range w.batches {
		w.events = append(w.events, *e)
	}
	// Stable: in which order the looks at one patient's records stand must not depend on what else was written.
	slices.SortStableFunc(w.events, func(a, b audit.Event) int { return cmp.Compare(a.Patient, b.Patient) })
	w.s.log.Record(w.tx, w.events...)
	seq, err := w.s.rows.numbers(ctx, w.tx, int64(len(w.versions)))
	if err != nil {
		return err
	}
	var rows [][]any
	for i, v := range w.versions {
		v.seq = seq + int64(i)
		if row := w.finish(v); v.isNew {
			rows = append(rows, row)
		} else {
			w.tx.Queue(updateResource, row...)
		}
	}
	w.tx.InsertMany(insertResource, rows)
	practice := w.tx.Practice()
	w.tx.OnCommit(func() { w.s.bells.ring(practice) })
	return nil
}

// number gives the new resources their rids and their index rows.
func (w *writer) number(ctx context.Context) error {
	n := int64(0)
	for _, v := range w.versions {
		if v.isNew {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	rid, err := w.s.rows.take(ctx, w.tx, n, w.s.beginForm)
	if err != nil {
		return err
	}
	for _, v := range w.versions {
		if v.isNew {
			v.rid = rid
			rid++
			w.index(v.rid, nil, &v.x.keys)
		}
	}
	return nil
}

// finish seals a version and returns its row: for insertResource, or the arguments of updateResource.
func (w *writer) finish(v *version) []any {
	body := w.tx.Keys().Seal(make([]byte, 0, len(v.packed)+32), v.packed, v.aad())
	deleted := int64(0)
	if v.deleted {
		deleted = 1
	}
	v.out.Updated = time.UnixMicro(v.seq).UTC()
	if v.p != nil {
		v.out.body, v.out.Raw = v.p.body, v.p.body.raw(v.version, v.seq)
	}
	x, practice := v.x, int64(v.practice)
	if v.isNew {
		return []any{practice, v.rid, v.idh, v.version, v.seq, x.keys.date, x.span, x.facet, x.patient, x.encounter,
			w.author, x.labels, int64(v.typ), deleted, x.keys.pack(), body}
	}
	return []any{practice, v.rid, v.version, v.seq, x.keys.date, x.span, x.facet, x.patient, x.encounter, w.author, x.labels,
		deleted, x.keys.pack(), body}
}

// record gathers the audit of one change.
func (w *writer) record(c *change, b bodyRow, x *indexed) {
	patient := ""
	if x.patientID != "" {
		patient = "Patient/" + x.patientID
	}
	if w.mode == auditBatch {
		if w.batches == nil {
			w.batches = map[string]*audit.Event{}
		}
		e := w.batches[patient]
		if e == nil {
			e = &audit.Event{Action: audit.ActionImport, Type: "Bundle", Patient: patient}
			w.batches[patient] = e
		}
		e.Labels |= x.labels
		e.Links = append(e.Links, c.typ+"/"+c.id)
		return
	}
	action := audit.ActionUpdate
	switch {
	case c.kind == deleting:
		action = audit.ActionDelete
	case b.version == 1:
		action = audit.ActionCreate
	}
	w.events = append(w.events, audit.Event{Action: action, Type: c.typ, ID: c.id, Version: b.version, Patient: patient, Labels: x.labels})
}
