package fhirstore

import (
	"bytes"
	"context"
	"slices"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// CheckReport is what the doctor found in a practice.
type CheckReport struct {
	Resources, Versions int // current resources and superseded versions opened
	Damaged             []Damage
	WrongIndex          []string // "Type/id" whose index rows differ from their body, at most maxDamage
	WrongCount          int      // all of them
	StrayRows           int      // index rows of resources that do not exist
	Repaired            int
}

// Sound says that nothing is wrong, or nothing any more.
func (r *CheckReport) Sound() bool {
	return len(r.Damaged) == 0 && r.WrongCount == r.Repaired && r.StrayRows == 0
}

// Damage is a version whose body does not open: its bytes, or the row that it is bound to, were changed.
type Damage struct {
	Type    string
	Row     int64 // resource.rid, for the operator who restores it
	Version int64
}

const maxDamage = 1000

var (
	selectForCheck = db.SQL(`SELECT ` + rowColumns + `, r.facet, r.encounter, r.idx_keys FROM resource r
		WHERE r.practice_id = $1 AND r.rid > $2 ORDER BY r.rid LIMIT $3`)
	selectVersions = db.SQL(`SELECT r.rid, r.idh, r.type, v.version, v.seq, v.labels, v.deleted, v.body
		FROM history v CROSS JOIN resource r WHERE v.practice_id = $1 AND r.practice_id = $1 AND r.rid = v.rid`)
	selectAllHashes = db.SQL(`SELECT h, d, rid FROM hkey WHERE practice_id = $1`)
	selectAllSpans  = db.SQL(`SELECT p, lo, hi, rid FROM rkey WHERE practice_id = $1`)
	selectHashesOf  = db.SQL(`SELECT h, d, rid FROM hkey WHERE practice_id = $1 AND rid {in $2}`)
	selectSpansOf   = db.SQL(`SELECT p, lo, hi, rid FROM rkey WHERE practice_id = $1 AND rid {in $2}`)
	updateIndex     = db.SQL(`UPDATE resource SET date = $3, span = $4, facet = $5, patient = $6, encounter = $7, idx_keys = $8
		WHERE practice_id = $1 AND rid = $2 AND version = $9`)
)

// Check opens every body of a practice, computes the index anew from the bodies and compares it with the
// rows there are. With repair, index rows that differ are written anew; a damaged body cannot be repaired
// here and is listed for a restore. It works on one state of the practice and may run beside everything else.
func (s *Store) Check(ctx context.Context, scope db.Scope, repair bool) (*CheckReport, error) {
	if a := auth.AccessOf(scope); !a.All || a.Compartment != "" || a.Forbidden != 0 {
		return nil, fhir.Problem("forbidden", "The check needs access to everything in the practice.", "Run it as the system, with `yarrow doctor`.")
	}
	s.cache.forget(int64(scope.Practice()))
	d := doctor{s: s, rows: map[int64]*rowState{}, report: &CheckReport{}}
	if err := s.db.View(ctx, scope, func(tx *db.Tx) error { return d.examine(ctx, tx) }); err != nil {
		return nil, err
	}
	if repair && (d.report.WrongCount > 0 || d.report.StrayRows > 0) {
		if err := d.repair(ctx, scope); err != nil {
			return nil, err
		}
	}
	return d.report, nil
}

type doctor struct {
	s      *Store
	rows   map[int64]*rowState
	wrong  []int64
	stray  []int64
	report *CheckReport
}

// rowState sums up the index rows that a resource should have less those it has: nothing is left when they
// are the same. A sum of 64-bit mixes hides a difference by chance once in 2^64.
type rowState struct {
	count int32
	wrong bool // the resource's own row differs
	sum   uint64
}

func mix(a ...int64) uint64 {
	x := uint64(0x9e3779b97f4a7c15)
	for _, v := range a {
		x ^= uint64(v)
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		x *= 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

func (d *doctor) examine(ctx context.Context, tx *db.Tx) error {
	for after := int64(0); ; {
		rows, err := tx.Query(ctx, selectForCheck, int64(tx.Practice()), after, int64(500))
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			var r row
			var facet, encounter, typ, deleted int64
			var keys []byte
			if err := rows.Scan(&r.rid, &r.idh, &r.version, &r.seq, &r.date, &r.span, &r.patient, &r.labels, &typ, &deleted,
				&r.sealed, &facet, &encounter, &keys); err != nil {
				rows.Close()
				return err
			}
			r.typ, r.deleted = int16(typ), deleted != 0
			after = r.rid
			n++
			d.row(tx, &r, facet, encounter, keys)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := d.subtract(ctx, tx); err != nil {
		return err
	}
	if err := d.versions(ctx, tx); err != nil {
		return err
	}
	return d.sumUp(ctx, tx)
}

// row opens one current version and adds up the index rows it should have.
func (d *doctor) row(tx *db.Tx, r *row, facet, encounter int64, keys []byte) {
	state := &rowState{}
	d.rows[r.rid] = state
	d.report.Resources++
	x, err := d.expected(tx, r)
	if err != nil {
		d.damage(r)
		// Nobody can tell what its index should be; take what its row says.
		old, _ := unpackKeys(keys)
		x = &indexed{keys: old, span: r.span, facet: facet, patient: r.patient, encounter: encounter}
	}
	state.wrong = x.keys.date != r.date || x.span != r.span || x.facet != facet || x.patient != r.patient ||
		x.encounter != encounter || !bytes.Equal(x.keys.pack(), keys)
	for _, h := range x.keys.hashes {
		state.count++
		state.sum += mix(h, x.keys.date)
	}
	for _, k := range x.keys.spans {
		state.count++
		state.sum += mix(k.p, k.lo, k.hi)
	}
}

// expected computes the index of a row from its body.
func (d *doctor) expected(tx *db.Tx, r *row) (*indexed, error) {
	body, err := openBody(&d.s.z, tx.Keys(), r.bound(tx.Practice()), r.sealed)
	if err != nil {
		return nil, err
	}
	if r.deleted {
		return &indexed{keys: rowKeys{date: r.date}, span: r.span, patient: r.patient}, nil
	}
	n, err := fhirjson.Parse(body.raw(r.version, r.seq), fhirjson.Limits{Bytes: maxBody})
	if err != nil {
		return nil, err
	}
	values, err := fhirsearch.Extract(body.typ, n)
	if err != nil {
		return nil, err
	}
	x := index(keyspaceOf(tx.Keys()), body.typ, body.id, values, r.labels, fhirsearch.SortDate(body.typ, n))
	return &x, nil
}

func (d *doctor) damage(r *row) {
	if len(d.report.Damaged) < maxDamage {
		d.report.Damaged = append(d.report.Damaged, Damage{Type: typeName(r.typ), Row: r.rid, Version: r.version})
	}
}

// subtract takes the index rows there are from those there should be.
func (d *doctor) subtract(ctx context.Context, tx *db.Tx) error {
	for _, q := range []struct {
		stmt *db.Stmt
		cols int
	}{{selectAllHashes, 2}, {selectAllSpans, 3}} {
		rows, err := tx.Query(ctx, q.stmt, int64(tx.Practice()))
		if err != nil {
			return err
		}
		v := make([]int64, 4)
		for rows.Next() {
			dest := []any{&v[0], &v[1], &v[2], &v[3]}[:q.cols+1]
			if err := rows.Scan(dest...); err != nil {
				rows.Close()
				return err
			}
			state := d.rows[v[q.cols]]
			if state == nil {
				d.report.StrayRows++
				d.stray = append(d.stray, v[q.cols])
				continue
			}
			state.count--
			state.sum -= mix(v[:q.cols]...)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// versions opens every superseded version.
func (d *doctor) versions(ctx context.Context, tx *db.Tx) error {
	rows, err := tx.Query(ctx, selectVersions, int64(tx.Practice()))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var typ, deleted int64
		if err := rows.Scan(&r.rid, &r.idh, &typ, &r.version, &r.seq, &r.labels, &deleted, &r.sealed); err != nil {
			return err
		}
		r.typ, r.deleted = int16(typ), deleted != 0
		d.report.Versions++
		if _, err := openBody(&d.s.z, tx.Keys(), r.bound(tx.Practice()), r.sealed); err != nil {
			d.damage(&r)
		}
	}
	return rows.Err()
}

// sumUp names the resources whose index is wrong.
func (d *doctor) sumUp(ctx context.Context, tx *db.Tx) error {
	for rid, state := range d.rows {
		if state.wrong || state.count != 0 || state.sum != 0 {
			d.wrong = append(d.wrong, rid)
		}
	}
	slices.Sort(d.wrong)
	d.report.WrongCount = len(d.wrong)
	for _, rid := range d.wrong[:min(len(d.wrong), maxDamage)] {
		rows, err := scanRows(tx.Query(ctx, selectByRow, int64(tx.Practice()), rid))
		if err != nil {
			return err
		}
		for _, r := range rows {
			if body, err := d.s.open(tx, r); err == nil {
				d.report.WrongIndex = append(d.report.WrongIndex, body.typ+"/"+body.id)
			}
		}
	}
	return nil
}

var selectByRow = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.rid = $2`)

// repair writes the index rows of the wrong resources anew, some at a time.
func (d *doctor) repair(ctx context.Context, scope db.Scope) error {
	for start := 0; start < len(d.wrong); start += 200 {
		part := d.wrong[start:min(start+200, len(d.wrong))]
		if err := d.s.db.Do(ctx, scope, func(tx *db.Tx) error { return d.repairRows(ctx, tx, part) }); err != nil {
			return err
		}
		d.report.Repaired += len(part)
	}
	slices.Sort(d.stray)
	d.stray = slices.Compact(d.stray)
	if len(d.stray) > 0 {
		if err := d.s.db.Do(ctx, scope, func(tx *db.Tx) error { return dropRows(ctx, tx, d.stray) }); err != nil {
			return err
		}
		d.report.StrayRows = 0
	}
	return nil
}

func (d *doctor) repairRows(ctx context.Context, tx *db.Tx, rids []int64) error {
	if err := dropRows(ctx, tx, rids); err != nil {
		return err
	}
	var hashes, spans [][]any
	practice := int64(tx.Practice())
	for _, rid := range rids {
		rows, err := scanRows(tx.Query(ctx, selectByRow, practice, rid))
		if err != nil {
			return err
		}
		for _, r := range rows {
			x, err := d.expected(tx, r)
			if err != nil {
				continue // listed as damaged: without its body it has no index
			}
			tx.Queue(updateIndex, practice, rid, x.keys.date, x.span, x.facet, x.patient, x.encounter, x.keys.pack(), r.version)
			for _, h := range x.keys.hashes {
				hashes = append(hashes, []any{practice, h, x.keys.date, rid})
			}
			for _, k := range x.keys.spans {
				spans = append(spans, []any{practice, k.p, k.lo, k.hi, rid})
			}
		}
	}
	tx.InsertMany(insertHash, hashes)
	tx.InsertMany(insertSpan, spans)
	return nil
}

// dropRows removes every index row of these rids, whatever it says.
func dropRows(ctx context.Context, tx *db.Tx, rids []int64) error {
	practice := int64(tx.Practice())
	for _, q := range []struct {
		find, drop *db.Stmt
		cols       int
	}{{selectHashesOf, deleteHash, 3}, {selectSpansOf, deleteSpan, 4}} {
		rows, err := tx.Query(ctx, q.find, practice, rids)
		if err != nil {
			return err
		}
		var found [][4]int64
		for rows.Next() {
			var v [4]int64
			if err := rows.Scan([]any{&v[0], &v[1], &v[2], &v[3]}[:q.cols]...); err != nil {
				rows.Close()
				return err
			}
			found = append(found, v)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		for _, v := range found {
			args := []any{practice}
			for _, n := range v[:q.cols] {
				args = append(args, n)
			}
			tx.Queue(q.drop, args...)
		}
	}
	return nil
}
