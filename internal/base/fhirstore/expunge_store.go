package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// Expunging removes what a deletion keeps. Reads and histories know nothing of it from that commit on. Only an empty mark stays,
// its sealed id and the number of the change, so that whoever follows Changes drops it too; SweepExpunged removes marks of some
// age. Bytes go
// with secure deletion on SQLite; PostgreSQL frees them at its next vacuum. Backups age out by their own rule, and files
// that a resource pointed to belong to base/files.

// spanExpunged is the span of such a mark.
const spanExpunged = -4

var (
	deleteHistory  = db.SQL(`DELETE FROM history WHERE practice_id = $1 AND rid {in $2}`)
	deleteVersion  = db.SQL(`DELETE FROM history WHERE practice_id = $1 AND rid = $2 AND version = $3`)
	deleteExpunged = db.SQL(`DELETE FROM resource WHERE practice_id = $1 AND deleted = 1 AND span = -4 AND seq < $2`)
	selectOfOne    = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.patient = $2 AND r.span <> -4`)
	selectByKeys   = db.SQL(`SELECT ` + rowColumns + ` FROM hkey k CROSS JOIN resource r WHERE k.practice_id = $1 AND k.h {in $2}
		AND r.practice_id = $1 AND r.rid = k.rid`)
	selectOthers = db.SQL(`SELECT v.rid, v.version, v.seq, v.labels, v.deleted, v.body, r.idh, r.type FROM history v CROSS JOIN resource r
		WHERE v.practice_id = $1 AND v.deleted = 0 AND (v.rid, v.version) > ($2, $3) AND r.practice_id = $1 AND r.rid = v.rid
		AND r.patient <> $5 ORDER BY v.rid, v.version LIMIT $4`)
	secureDelete = db.SQLPair(`PRAGMA secure_delete = ON`, `SELECT 1`)
)

// mayExpunge insists on a scope without any limit: what is within a narrower one cannot be told from what remains.
func mayExpunge(scope db.Scope) error {
	if a := auth.AccessOf(scope); !a.All || a.Compartment != "" || a.Forbidden != 0 || len(a.Narrow) > 0 || len(a.Charts) > 0 {
		return fhir.Problem("forbidden", "Only Yarrow itself expunges, on an order that was checked against the rules for keeping records.",
			"Delete the resource, or order its erasure.")
	}
	return nil
}

// ExpungeVersions removes the superseded versions of resources named by "Type/id" and keeps the current ones. It
// returns how many resources it found.
func (s *Store) ExpungeVersions(ctx context.Context, tx *db.Tx, refs ...string) (int, error) {
	return s.expunge(ctx, tx, refs, false)
}

// Expunge removes resources named by "Type/id" with all their versions and index rows, whether or not they were deleted.
// It returns how many it found.
func (s *Store) Expunge(ctx context.Context, tx *db.Tx, refs ...string) (int, error) {
	return s.expunge(ctx, tx, refs, true)
}

func (s *Store) expunge(ctx context.Context, tx *db.Tx, refs []string, all bool) (int, error) {
	if err := mayExpunge(tx.Scope()); err != nil {
		return 0, err
	}
	if tx.Engine() == db.SQLite {
		rows, err := tx.Query(ctx, secureDelete)
		if err != nil {
			return 0, err
		}
		rows.Close()
	}
	w := writer{s: s, tx: tx, a: s.kernel(tx), mode: auditEach}
	var changes []change
	seen := map[string]bool{}
	for _, ref := range refs {
		typ, id, ok := strings.Cut(ref, "/")
		if ok && typeCode(typ) != 0 && !seen[ref] {
			seen[ref] = true
			changes = append(changes, change{kind: deleting, typ: typ, id: id})
		}
	}
	if err := w.load(ctx, changes); err != nil {
		return 0, err
	}
	var rids []int64
	for i := range changes {
		c := &changes[i]
		idh := w.a.k.id(c.typ, c.id)
		cur := w.current[idh]
		if cur == nil || cur.span == spanExpunged {
			continue
		}
		rids = append(rids, cur.rid)
		what := "versions expunged"
		if all {
			w.mark(c, idh, cur)
			what = "expunged"
		}
		w.events = append(w.events, audit.Event{Action: audit.ActionDelete, Type: c.typ, ID: c.id, Version: cur.version, Detail: what})
	}
	if len(rids) == 0 {
		return 0, nil
	}
	s.cache.forget(int64(tx.Practice()))
	if all {
		if err := w.flush(ctx); err != nil {
			return 0, err
		}
	} else {
		s.log.Record(tx, w.events...)
	}
	tx.Queue(deleteHistory, int64(tx.Practice()), rids)
	return len(rids), nil
}

// mark gathers the empty mark that replaces a resource.
func (w *writer) mark(c *change, idh int64, cur *stored) {
	x := &indexed{span: spanExpunged}
	v := &version{bodyRow: bodyRow{practice: w.tx.Practice(), typ: typeCode(c.typ), idh: idh, version: cur.version + 1, deleted: true},
		rid: cur.rid, x: x, packed: tombstone(c.id)}
	v.out = &Resource{Type: c.typ, ID: c.id, Version: v.version, Deleted: true}
	old, _ := unpackKeys(cur.keys)
	w.index(cur.rid, &old, &x.keys)
	w.versions = append(w.versions, v)
}

// SweepExpunged removes the marks of what was expunged before an instant; whoever follows Changes must have come past it.
func (s *Store) SweepExpunged(ctx context.Context, tx *db.Tx, before time.Time) (int, error) {
	if err := mayExpunge(tx.Scope()); err != nil {
		return 0, err
	}
	n, err := tx.Exec(ctx, deleteExpunged, int64(tx.Practice()), before.UnixMicro())
	return int(n), err
}

// Erasure is what ErasePatient did.
type Erasure struct {
	Resources int      // expunged, the Patient among them
	Versions  int      // superseded versions about the patient, of resources that are another's now
	Shared    []string // "Type/id" of resources that name the patient beside the one they belong to; they are left
}

// erasureStep is how many resources one transaction of ErasePatient takes.
const erasureStep = 500

// ErasePatient expunges the whole record of a patient: every resource whose first patient it is, deleted ones too, and
// versions that were about the patient before they were corrected. It works in several transactions and may be repeated
// after it was stopped. In each of them still is asked first (nil: nobody): its error stops the erasure there, and what
// was removed until then comes with it.
func (s *Store) ErasePatient(ctx context.Context, scope db.Scope, patientID string, still func(context.Context, *db.Tx) error) (*Erasure, error) {
	if err := mayExpunge(scope); err != nil {
		return nil, err
	}
	if still == nil {
		still = func(context.Context, *db.Tx) error { return nil }
	}
	out := &Erasure{}
	var mine []string
	var strays [][2]int64
	if err := s.db.View(ctx, scope, func(tx *db.Tx) (err error) {
		k := keyspaceOf(tx.Keys())
		rows, err := scanRows(tx.Query(ctx, selectOfOne, int64(tx.Practice()), k.id("Patient", patientID)))
		if err != nil {
			return err
		}
		for _, r := range rows {
			d, err := s.open(tx, r)
			if err != nil {
				return damagedIssue(typeName(r.typ), err)
			}
			mine = append(mine, d.typ+"/"+d.id)
		}
		var keys []int64
		for _, typ := range typeNames {
			keys = append(keys, k.patient(typ, patientID))
		}
		if rows, err = scanRows(tx.Query(ctx, selectByKeys, int64(tx.Practice()), keys)); err != nil {
			return err
		}
		for _, r := range rows {
			if r.patient != k.id("Patient", patientID) {
				if d, err := s.open(tx, r); err == nil {
					out.Shared = append(out.Shared, d.typ+"/"+d.id)
				}
			}
		}
		strays, err = s.strays(ctx, tx, patientID)
		return err
	}); err != nil {
		return nil, err
	}
	slices.Sort(out.Shared)
	out.Shared = slices.Compact(out.Shared)
	// The Patient goes last: a repeated call finds what is left.
	slices.SortStableFunc(mine, func(a, b string) int {
		return boolOrder(strings.HasPrefix(a, "Patient/")) - boolOrder(strings.HasPrefix(b, "Patient/"))
	})
	for len(mine) > 0 {
		part := mine[:min(len(mine), erasureStep)]
		n := 0
		if err := s.db.Do(ctx, scope, func(tx *db.Tx) (err error) {
			if err := still(ctx, tx); err != nil {
				return err
			}
			n, err = s.Expunge(ctx, tx, part...)
			return err
		}); err != nil {
			return out, err
		}
		out.Resources += n
		mine = mine[len(part):]
	}
	if len(strays) > 0 {
		if err := s.db.Do(ctx, scope, func(tx *db.Tx) error {
			if err := still(ctx, tx); err != nil {
				return err
			}
			for _, v := range strays {
				tx.Queue(deleteVersion, int64(tx.Practice()), v[0], v[1])
			}
			s.log.Record(tx, audit.Event{Action: audit.ActionDelete, Type: "Patient", ID: patientID, Detail: fmt.Sprintf("%d versions expunged", len(strays))})
			return nil
		}); err != nil {
			return out, err
		}
		out.Versions = len(strays)
	}
	s.cache.forget(int64(scope.Practice()))
	return out, nil
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

// strays are the superseded versions that were the patient's while their resource is another's now.
func (s *Store) strays(ctx context.Context, tx *db.Tx, patientID string) (out [][2]int64, err error) {
	k := keyspaceOf(tx.Keys())
	rid, version := int64(0), int64(0)
	for {
		rows, err := tx.Query(ctx, selectOthers, int64(tx.Practice()), rid, version, int64(1000), k.id("Patient", patientID))
		if err != nil {
			return nil, err
		}
		n := 0
		for rows.Next() {
			var r row
			var typ, deleted int64
			if err := rows.Scan(&r.rid, &r.version, &r.seq, &r.labels, &deleted, &r.sealed, &r.idh, &typ); err != nil {
				rows.Close()
				return nil, err
			}
			n, rid, version, r.typ = n+1, r.rid, r.version, int16(typ)
			res, err := s.resource(tx, &r)
			if err != nil {
				continue // the doctor lists it
			}
			values, err := fhirsearch.Extract(res.Type, res.Node())
			if err != nil {
				continue
			}
			if x := index(k, res.Type, res.ID, values, 0, 0); x.patientID == patientID {
				out = append(out, [2]int64{rid, version})
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, err
		}
		if n < 1000 {
			return out, nil
		}
	}
}
