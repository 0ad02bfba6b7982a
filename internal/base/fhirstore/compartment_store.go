package fhirstore

import (
	"context"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// Chart is what a patient's compartment holds: by type, newest first.
type Chart struct {
	Patient *Resource // nil when it does not exist
	ByType  map[string][]*Resource
	Cut     map[string]bool // types with more than the limit
}

var selectPatientPart = `SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.idh = $2 AND r.deleted = 0`

// Compartment returns a patient's record: the Patient and, for each type, the newest limit resources of the
// patient's compartment, in one round trip. Types the scope may not read are left out.
func (s *Store) Compartment(ctx context.Context, tx *db.Tx, patientID string, types []string, limit int) (*Chart, error) {
	a := s.kernel(tx)
	if err := a.may("Patient", auth.CanRead); err != nil {
		return nil, err
	}
	limit = min(max(limit, 1), findLimit)
	q := newSQL(tx.Practice())
	// One statement for all types: the parts are ordered lists of their own, each cut at the limit.
	id := q.arg(a.k.id("Patient", patientID))
	q.add("SELECT * FROM (", strings.Replace(selectPatientPart, "$2", id, 1))
	a.where(q, "r", "Patient", auth.CanRead, tx.Engine())
	q.add(") p")
	var narrowed []string // decided on the bodies, so that a limit in the statement would cut too much
	for _, typ := range types {
		if typ == "Patient" || a.may(typ, auth.CanRead) != nil {
			continue
		}
		if n := a.narrow(typ, auth.CanRead); n != nil {
			narrowed = append(narrowed, typ)
			continue
		}
		q.add(" UNION ALL SELECT * FROM (SELECT ", rowColumns,
			" FROM hkey k CROSS JOIN resource r WHERE k.practice_id = $1 AND k.h = ", q.arg(a.k.patient(typ, patientID)),
			" AND r.practice_id = $1 AND r.rid = k.rid AND r.deleted = 0")
		a.where(q, "r", typ, auth.CanRead, tx.Engine())
		q.add(" ORDER BY k.d DESC, k.rid DESC LIMIT ", q.arg(int64(limit+1)), ") t", typ)
	}
	rows, err := tx.Query(ctx, tx.Compile(q.b.String()), q.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := &Chart{ByType: map[string][]*Resource{}, Cut: map[string]bool{}}
	for rows.Next() {
		var r row
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		res, err := s.resource(tx, &r)
		if err != nil {
			return nil, err
		}
		switch {
		case res.Type == "Patient" && res.ID == patientID:
			out.Patient = res
		case len(out.ByType[res.Type]) == limit:
			out.Cut[res.Type] = true
		default:
			out.ByType[res.Type] = append(out.ByType[res.Type], res)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if n := a.narrow("Patient", auth.CanRead); n != nil && out.Patient != nil && !n.opens(out.Patient.Node()) {
		out.Patient = nil
	}
	if out.Patient == nil {
		return nil, notFound("Patient")
	}
	for _, typ := range narrowed {
		c := &candidates{typ: typ, bits: auth.CanRead, engine: tx.Engine(), a: &a, hashes: []hashSet{{[]int64{a.k.patient(typ, patientID)}, rankPatient}},
			checks: []check{{within: a.narrow(typ, auth.CanRead)}}}
		found, more, err := s.gather(ctx, tx, c, order{}, nil, limit, scanAll)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			out.ByType[typ] = found
		}
		if more != nil {
			out.Cut[typ] = true
		}
	}
	return out, nil
}
