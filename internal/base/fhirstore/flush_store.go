package fhirstore

import (
	"cmp"
	"slices"

	"yarrow.health/internal/base/audit"
)

// flush hands the gathered rows to the transaction, index rows in the order of their keys, which spares
// both engines page visits.
func (w *writer) flush() {
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
	w.tx.InsertMany(insertResource, w.resources)
	w.tx.InsertMany(insertHistory, w.history)
	w.tx.InsertMany(insertHash, w.hashes)
	w.tx.InsertMany(insertSpan, w.spans)
	for _, e := range w.batches {
		w.events = append(w.events, *e)
	}
	slices.SortFunc(w.events, func(a, b audit.Event) int { return cmp.Compare(a.Patient, b.Patient) })
	w.s.log.Record(w.tx, w.events...)
	practice := w.tx.Practice()
	w.tx.OnCommit(func() { w.s.bells.ring(practice) })
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
