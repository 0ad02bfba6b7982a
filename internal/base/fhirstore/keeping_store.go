package fhirstore

import (
	"context"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	selectDeleted = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.deleted = 1 AND r.span <> -4
		ORDER BY r.seq LIMIT $2`)
	selectDeletedOf = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.type = $3 AND r.deleted = 1 AND r.span <> -4
		ORDER BY r.seq LIMIT $2`)
	selectCare = db.SQL(`SELECT r.idh, r.date, r.seq FROM resource r WHERE r.practice_id = $1 AND r.patient = $2 AND r.span <> -4`)
)

// Deleted lists resources of a type ("" for every type) that were deleted and not yet expunged, as "Type/id", those deleted
// first before others. Like Expunge it insists on a scope without limits.
func (s *Store) Deleted(ctx context.Context, tx *db.Tx, typ string, limit int) (refs []string, err error) {
	if err := mayExpunge(tx.Scope()); err != nil {
		return nil, err
	}
	var rows []*row
	if typ == "" {
		rows, err = scanRows(tx.Query(ctx, selectDeleted, int64(tx.Practice()), int64(limit)))
	} else {
		rows, err = scanRows(tx.Query(ctx, selectDeletedOf, int64(tx.Practice()), int64(limit), int64(typeCode(typ))))
	}
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		d, err := s.open(tx, r)
		if err != nil {
			return nil, damagedIssue(typeName(r.typ), err)
		}
		refs = append(refs, d.typ+"/"+d.id)
	}
	return refs, nil
}

// LastCare is the latest clinical date in a patient's record that has passed. What has none counts with the time it was written,
// and what was deleted with the time of that. It is zero when there is no record.
func (s *Store) LastCare(ctx context.Context, tx *db.Tx, patientID string) (last time.Time, err error) {
	if err := mayExpunge(tx.Scope()); err != nil {
		return last, err
	}
	self := keyspaceOf(tx.Keys()).id("Patient", patientID)
	rows, err := tx.Query(ctx, selectCare, int64(tx.Practice()), self)
	if err != nil {
		return last, err
	}
	defer rows.Close()
	now := tx.NowMicro()
	latest := int64(0)
	for rows.Next() {
		var idh, date, seq int64
		if err := rows.Scan(&idh, &date, &seq); err != nil {
			return last, err
		}
		if at := date; idh == self || at == 0 || at > now {
			latest = max(latest, seq)
		} else {
			latest = max(latest, at)
		}
	}
	if latest != 0 {
		last = time.UnixMicro(latest).UTC()
	}
	return last, rows.Err()
}

// NamesBeside says whether a record holds something that names another patient too.
func (s *Store) NamesBeside(ctx context.Context, tx *db.Tx, patientID, other string) (bool, error) {
	k := keyspaceOf(tx.Keys())
	var keys []int64
	for _, typ := range typeNames {
		keys = append(keys, k.patient(typ, other))
	}
	rows, err := scanRows(tx.Query(ctx, selectByKeys, int64(tx.Practice()), keys))
	for _, r := range rows {
		if r.patient == k.id("Patient", patientID) {
			return true, err
		}
	}
	return false, err
}
