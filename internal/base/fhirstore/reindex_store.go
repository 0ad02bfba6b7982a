package fhirstore

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// indexForm numbers how index rows are computed from a body: by the search parameters, the plan of each type and the
// keyspace. It grows with every change of what a row says, and Reindex then brings old rows up to it.
//
//	1  up to the first release
//	2  amounts in uncommon units have a row in base units
//	3  a resource belongs to the patient it is about, whoever else takes part
//	4  the search parameters of US Core; a device belongs to its patient
//	5  a patient is in nobody else's record, whoever their links name
//	6  words have rows for three and five letters, names and states a facet for two; identifiers of a type, telephone numbers and
//	   mail addresses are found by the rows of identifier and telecom
//	7  names have rows for eight letters too
const indexForm = 7

var (
	selectForm = db.SQL(`SELECT form, rid, done FROM index_state WHERE practice_id = $1`)
	insertForm = db.InsertInto("index_state", "practice_id", "form", "rid", "done").OrIgnore()
	updateForm = db.SQL(`UPDATE index_state SET form = $2, rid = $3, done = $4 WHERE practice_id = $1`)
	holdForm   = db.SQLPair(`SELECT form, rid, done FROM index_state WHERE practice_id = $1`,
		`SELECT form, rid, done FROM index_state WHERE practice_id = $1 FOR UPDATE`)

	selectForIndex = db.SQLPair(selectToIndex, selectToIndex+` FOR UPDATE`)
)

const selectToIndex = `SELECT ` + rowColumns + `, r.facet, r.encounter, r.idx_keys FROM resource r
	WHERE r.practice_id = $1 AND r.rid > $2 ORDER BY r.rid LIMIT $3`

// forms remembers the practices whose rows are all of the newest form. A practice never goes back.
type forms struct{ newest sync.Map }

// settled says whether all index rows of the practice are of the newest form, so that a search may rely on what older
// forms lack.
func (s *Store) settled(ctx context.Context, tx *db.Tx) (bool, error) {
	if _, ok := s.forms.newest.Load(tx.Practice()); ok {
		return true, nil
	}
	var form, rid, done int64
	err := tx.QueryRow(ctx, selectForm, int64(tx.Practice())).Scan(&form, &rid, &done)
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ok := form == indexForm && done != 0
	if ok && !tx.Writable() { // what a transaction itself wrote may yet be undone
		s.forms.newest.Store(tx.Practice(), true)
	}
	return ok, nil
}

// begin marks a practice that is about to get its first resource.
func (s *Store) beginForm(tx *db.Tx) {
	tx.InsertMany(insertForm, [][]any{{int64(tx.Practice()), int64(indexForm), int64(0), int64(1)}})
}

// reindexStep is how many resources one transaction of Reindex takes.
const reindexStep = 400

// Reindex brings the index rows of a practice to the newest form, some resources at a time beside everything else, and
// goes on where it was when it was stopped. It returns how many resources had rows to change. Several may run at once.
// Until it is done, searches do without what is new.
func (s *Store) Reindex(ctx context.Context, scope db.Scope) (changed int, err error) {
	if a := auth.AccessOf(scope); !a.All || a.Compartment != "" || a.Forbidden != 0 || len(a.Charts) > 0 || len(a.Narrow) > 0 {
		return 0, fhir.Problem("forbidden", "The index can be computed only with access to everything in the practice.", "Run it as the system.")
	}
	if _, ok := s.forms.newest.Load(scope.Practice()); ok {
		return 0, nil
	}
	settled := false
	if err := s.db.View(ctx, scope, func(tx *db.Tx) (err error) { settled, err = s.settled(ctx, tx); return err }); err != nil || settled {
		return 0, err
	}
	for {
		n, last := 0, false
		if err := s.db.Do(ctx, scope, func(tx *db.Tx) (err error) { n, last, err = s.reindexSome(ctx, tx); return err }); err != nil {
			return changed, err
		}
		changed += n
		if last {
			s.forms.newest.Store(scope.Practice(), true)
			return changed, nil
		}
	}
}

func (s *Store) reindexSome(ctx context.Context, tx *db.Tx) (changed int, last bool, err error) {
	practice := int64(tx.Practice())
	tx.InsertMany(insertForm, [][]any{{practice, int64(1), int64(0), int64(0)}})
	var form, after, done int64
	if err := tx.QueryRow(ctx, holdForm, practice).Scan(&form, &after, &done); err != nil {
		return 0, false, err
	}
	if form == indexForm && done != 0 {
		return 0, true, nil
	}
	if form > indexForm {
		return 0, true, nil // a newer program is at it, or was here
	}
	if form < indexForm {
		after = 0
	}
	rows, err := tx.Query(ctx, selectForIndex, practice, after, int64(reindexStep))
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	w := &writer{s: s, tx: tx}
	n := 0
	for rows.Next() {
		var r row
		var facet, encounter, typ, deleted int64
		var packed []byte
		if err := rows.Scan(&r.rid, &r.idh, &r.version, &r.seq, &r.date, &r.span, &r.patient, &r.labels, &typ, &deleted,
			&r.sealed, &facet, &encounter, &packed); err != nil {
			return 0, false, err
		}
		r.typ, r.deleted = int16(typ), deleted != 0
		n, after = n+1, r.rid
		x, err := (&doctor{s: s}).expected(tx, &r)
		if err != nil {
			continue // damaged: the doctor lists it, and its rows stay as they are
		}
		now := x.keys.pack()
		if bytes.Equal(now, packed) && x.facet == facet && x.span == r.span && x.patient == r.patient && x.encounter == encounter && x.keys.date == r.date {
			continue
		}
		old, ok := unpackKeys(packed)
		if !ok {
			continue
		}
		changed++
		w.index(r.rid, &old, &x.keys)
		tx.Queue(updateIndex, practice, r.rid, x.keys.date, x.span, x.facet, x.patient, x.encounter, now, r.version)
	}
	if err := rows.Err(); err != nil {
		return 0, false, err
	}
	last = n < reindexStep
	end := int64(0)
	if last {
		end = 1
	}
	tx.InsertMany(insertHash, w.hashes)
	tx.InsertMany(insertSpan, w.spans)
	tx.Queue(updateForm, practice, int64(indexForm), after, end)
	return changed, last, nil
}
