package fhirstore

import (
	"context"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
	"yarrow.health/internal/standards/synthetic"
)

// change is one write. Exactly one of create, update and delete is meant by its kind.
type change struct {
	kind      changeKind
	p         *Prepared // nil for a deletion
	typ, id   string
	ifVersion int64 // 0: any
	// skipSame leaves a resource alone whose content would not change.
	skipSame bool
	unlabel  int64 // labels taken away by somebody with the right
	relabel  int64 // labels added because of what the resource belongs to
	must     bool  // a deletion needs something to delete
	failed   bool  // set on the change that write refused
	// run does the change instead of the store: through the owner of its type, or after reading what is there.
	run func(ctx context.Context, tx *db.Tx) (written, error)
}

type changeKind uint8

const (
	creating changeKind = iota
	updating            // creates when there is none
	deleting
)

func (c *change) bits() auth.Bits {
	switch c.kind {
	case creating:
		return auth.CanCreate
	case updating:
		return auth.CanUpdate
	}
	return auth.CanDelete
}

// Create writes a new resource under the id of p. It refuses an id that is taken.
func (s *Store) Create(ctx context.Context, tx *db.Tx, p *Prepared) (*Resource, error) {
	return s.one(ctx, tx, change{kind: creating, p: p, typ: p.Type, id: p.ID})
}

// Update writes a new version. With ifVersion the current version must be that one; the conflict Issue
// otherwise names the current version. A resource that does not exist is created when ifVersion is 0.
func (s *Store) Update(ctx context.Context, tx *db.Tx, p *Prepared, ifVersion int64) (*Resource, error) {
	return s.one(ctx, tx, change{kind: updating, p: p, typ: p.Type, id: p.ID, ifVersion: ifVersion})
}

// Delete marks a resource deleted: it disappears from reads and searches, its history stays.
func (s *Store) Delete(ctx context.Context, tx *db.Tx, typ, id string, ifVersion int64) error {
	_, err := s.one(ctx, tx, change{kind: deleting, typ: typ, id: id, ifVersion: ifVersion})
	return err
}

func (s *Store) one(ctx context.Context, tx *db.Tx, c change) (*Resource, error) {
	done, err := s.write(ctx, tx, []change{c}, auditEach)
	if err != nil {
		return nil, err
	}
	return done[0].resource, nil
}

// written is what became of a change.
type written struct {
	resource *Resource
	created  bool
	same     bool // skipSame found nothing to do
}

// auditMode says how writes appear in the audit.
type auditMode uint8

const (
	auditEach  auditMode = iota // an event per resource
	auditBatch                  // import: an event per patient with links to the resources
)

// write applies changes in order. No two of them may be about the same resource; see waves.
func (s *Store) write(ctx context.Context, tx *db.Tx, changes []change, mode auditMode) ([]written, error) {
	return s.writeAs(ctx, tx, s.kernel(tx), changes, mode)
}

// writeAs is write under a kernel of the store's own.
func (s *Store) writeAs(ctx context.Context, tx *db.Tx, a kernel, changes []change, mode auditMode) ([]written, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	w := writer{s: s, tx: tx, a: a, author: keyspaceOf(tx.Keys()).ref(tx.Scope().Actor().FHIR), mode: mode}
	for i := range changes {
		if err := w.a.may(changes[i].typ, changes[i].bits()); err != nil {
			return nil, err
		}
	}
	if err := w.load(ctx, changes); err != nil {
		return nil, err
	}
	if err := w.surroundings(ctx, changes); err != nil {
		return nil, err
	}
	out := make([]written, len(changes))
	for i := range changes {
		var err error
		if out[i], err = w.apply(ctx, &changes[i]); err != nil {
			changes[i].failed = true
			return nil, err
		}
	}
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	return out, w.follow(ctx)
}

// writer gathers the rows of one write call.
type writer struct {
	s      *Store
	tx     *db.Tx
	a      kernel
	author int64
	mode   auditMode

	current map[int64]*stored

	versions               []*version
	history, hashes, spans [][]any
	events                 []audit.Event
	batches                map[string]*audit.Event

	inherited map[int64]int64 // labels by idh of what the new versions belong to
	ruled     []*version      // Patients and Consents
	spreading []spread
}

// version is a new version that still lacks its sequence number.
type version struct {
	bodyRow
	rid    int64
	isNew  bool
	x      *indexed
	packed []byte
	p      *Prepared // nil for a deletion
	out    *Resource
}

// stored is the current row of a resource that is about to change.
type stored struct {
	row
	author int64
	keys   []byte
}

var (
	// FOR UPDATE has two writers of one resource wait for each other, in one order. SQLite has one writer. PostgreSQL must not take
	// the index that has the order: it would read all of the practice.
	selectStored = db.SQLPair(`SELECT `+rowColumns+`, r.author, r.idx_keys FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2}`,
		`SELECT `+rowColumns+`, r.author, r.idx_keys FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2} ORDER BY (r.rid + 0) FOR UPDATE`)

	insertResource = db.InsertInto("resource", "practice_id", "rid", "idh", "version", "seq", "date", "span", "facet",
		"patient", "encounter", "author", "labels", "type", "deleted", "idx_keys", "body")
	insertHistory = db.InsertInto("history", "practice_id", "rid", "version", "seq", "author", "labels", "deleted", "body")
	insertHash    = db.InsertInto("hkey", "practice_id", "h", "d", "rid")
	insertSpan    = db.InsertInto("rkey", "practice_id", "p", "lo", "hi", "rid")

	updateResource = db.SQL(`UPDATE resource SET version = $3, seq = $4, date = $5, span = $6, facet = $7, patient = $8,
		encounter = $9, author = $10, labels = $11, deleted = $12, idx_keys = $13, body = $14
		WHERE practice_id = $1 AND rid = $2`)
	// One key at a time: given several, PostgreSQL goes through a whole practice that its statistics take for a small one.
	deleteHash = db.SQL(`DELETE FROM hkey WHERE practice_id = $1 AND h = $2 AND d = $3 AND rid = $4`)
	deleteSpan = db.SQL(`DELETE FROM rkey WHERE practice_id = $1 AND p = $2 AND lo = $3 AND hi = $4 AND rid = $5`)
)

// load reads the rows of the resources that may already exist, and on PostgreSQL holds them.
func (w *writer) load(ctx context.Context, changes []change) error {
	w.current = map[int64]*stored{}
	if w.tx.Again() {
		// Where two writers held each other up, the second time one waits before it holds anything.
		if _, err := w.s.rows.numbers(ctx, w.tx, 0); err != nil {
			return err
		}
	}
	w.tx.Hurried()
	var ids []int64
	for i := range changes {
		if c := &changes[i]; c.p == nil || !c.p.fresh {
			ids = append(ids, w.a.k.id(c.typ, c.id))
		}
	}
	if err := w.loadIDs(ctx, ids); err != nil || w.tx.Engine() == db.SQLite {
		return err
	}
	// A row that is not there cannot be held: whoever would write the same id waits on a slot instead.
	var missing, slots []int64
	for _, id := range ids {
		if w.current[id] == nil {
			missing, slots = append(missing, id), append(slots, id&1023)
		}
	}
	if err := lock(ctx, w.tx, slots...); err != nil {
		return err
	}
	return w.loadIDs(ctx, missing)
}

func (w *writer) loadIDs(ctx context.Context, ids []int64) error {
	var ask []int64
	for _, id := range ids {
		if c, ok := w.tx.Take(held(id)).(*stored); ok {
			w.current[id] = c
		} else {
			ask = append(ask, id)
		}
	}
	return holdRows(ctx, w.tx, ask, func(c *stored) { w.current[c.idh] = c })
}

// held is under what a transaction keeps a row that it holds and has not written; see Reaches.
type held int64

// holdRows reads current rows that are about to change, and on PostgreSQL holds them until the commit.
func holdRows(ctx context.Context, tx *db.Tx, ids []int64, each func(*stored)) error {
	if tx.Shared() {
		ids, each = sharedRows(tx, ids, each)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, selectStored, int64(tx.Practice()), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c := &stored{}
		var typ, deleted int64
		if err := rows.Scan(&c.rid, &c.idh, &c.version, &c.seq, &c.date, &c.span, &c.patient, &c.labels, &typ, &deleted,
			&c.sealed, &c.author, &c.keys); err != nil {
			return err
		}
		c.typ, c.deleted = int16(typ), deleted != 0
		each(c)
	}
	return rows.Err()
}

// readAhead is under what those who share a transaction keep the rows that one of them has read for others: map[int64]*stored by idh.
type readAhead struct{}

// sharedRows takes the rows that were read ahead, each once, since whoever takes one is about to change it. If some are still to be
// read, those that the next in line want are read with them.
func sharedRows(tx *db.Tx, ids []int64, each func(*stored)) (ask []int64, read func(*stored)) {
	ahead, _ := tx.LookShared(readAhead{}).(map[int64]*stored)
	mine := map[int64]bool{}
	for _, id := range ids {
		if c := ahead[id]; c != nil {
			delete(ahead, id)
			each(c)
		} else {
			mine[id], ask = true, append(ask, id)
		}
	}
	if len(ask) == 0 {
		return nil, nil
	}
	k, also := keyspaceOf(tx.Keys()), map[int64]bool{}
	for _, ref := range tx.Wanted() {
		typ, id, _ := strings.Cut(ref, "/")
		if h := k.id(typ, id); !mine[h] && !also[h] && ahead[h] == nil {
			also[h], ask = true, append(ask, h)
		}
	}
	if ahead == nil && len(also) > 0 {
		ahead = map[int64]*stored{}
		tx.KeepShared(readAhead{}, ahead)
	}
	return ask, func(c *stored) {
		if mine[c.idh] {
			each(c)
		} else {
			ahead[c.idh] = c
		}
	}
}

// apply checks one change against the current row and gathers its rows.
func (w *writer) apply(ctx context.Context, c *change) (written, error) {
	idh := w.a.k.id(c.typ, c.id)
	cur := w.current[idh]
	if cur != nil {
		bits := c.bits()
		if cur.deleted {
			bits = auth.CanRead // to write it anew one must be able to see what it was
		}
		seen, err := w.a.sees(ctx, w.tx, &cur.row, bits)
		if err != nil {
			return written{}, err
		}
		if !seen {
			return written{}, notFound(c.typ)
		}
	}
	if err := w.precondition(c, cur); err != nil {
		return written{}, err
	}
	if c.kind == deleting {
		if cur == nil && c.must {
			return written{}, notFound(c.typ)
		}
		if cur == nil || cur.deleted {
			return written{same: true, resource: &Resource{Type: c.typ, ID: c.id, Deleted: true}}, nil
		}
		x := &indexed{keys: rowKeys{date: cur.date}, span: cur.span, labels: cur.labels, patient: cur.patient,
			patientID: w.s.patientOf(w.tx, &cur.row)}
		return w.put(c, idh, cur, x, tombstone(c.id)), nil
	}
	if len(c.p.real) > 0 && !w.s.HoldsReal(w.tx.Practice()) {
		return written{}, synthetic.Issues(c.p.real)
	}
	p, err := w.labelled(c, cur)
	if err != nil {
		return written{}, err
	}
	c.p = p
	x := c.p.index(w.tx.Keys())
	bits := c.bits()
	if cur == nil || cur.deleted {
		bits = auth.CanCreate
		if err := w.a.may(c.typ, bits); err != nil {
			return written{}, err
		}
	}
	if !w.a.holds(c.typ, x, c.p.node, bits) {
		return written{}, fhir.Problem("forbidden", "You may not write a "+c.typ+" that you could not read.",
			"Check the patient it is about and its security labels.")
	}
	if c.skipSame && cur != nil && !cur.deleted {
		old, err := w.s.open(w.tx, &cur.row)
		if err == nil && old.same(c.p.body) {
			r, err := w.s.resource(w.tx, &cur.row)
			return written{resource: r, same: true}, err
		}
	}
	return w.put(c, idh, cur, x, c.p.packed), nil
}

// patientOf is the id of the patient whose record a stored resource is in, for the audit of its deletion; ""
// when the body does not open, which must not keep it from being deleted.
func (s *Store) patientOf(tx *db.Tx, r *row) string {
	res, err := s.resource(tx, r)
	if err != nil {
		return ""
	}
	values, err := fhirsearch.Extract(res.Type, res.Node())
	if err != nil {
		return ""
	}
	return index(keyspaceOf(tx.Keys()), res.Type, res.ID, values, r.labels, 0).patientID
}

func (w *writer) precondition(c *change, cur *stored) error {
	switch {
	case c.kind == creating && cur != nil && !cur.deleted:
		return fhir.Problem("conflict", "There is already a "+c.typ+" with this id.", "Update it, or create it without an id.")
	case c.ifVersion == 0:
		return nil
	case cur == nil:
		return notFound(c.typ)
	case cur.version != c.ifVersion:
		return Conflict(c.typ, c.ifVersion, cur.version)
	}
	return nil
}

// put gathers one new version.
func (w *writer) put(c *change, idh int64, cur *stored, x *indexed, packed []byte) written {
	v := &version{bodyRow: bodyRow{practice: w.tx.Practice(), typ: typeCode(c.typ), idh: idh, version: 1, labels: x.labels,
		deleted: c.kind == deleting}, isNew: cur == nil, x: x, packed: packed, p: c.p}
	if cur != nil {
		v.rid, v.version = cur.rid, cur.version+1
		was := int64(0)
		if cur.deleted {
			was = 1
		}
		if cur.span != spanExpunged { // the mark of what was expunged is no version
			w.history = append(w.history, []any{int64(v.practice), v.rid, cur.version, cur.seq, cur.author, cur.labels, was, cur.sealed})
		}
		old, _ := unpackKeys(cur.keys)
		w.index(v.rid, &old, &x.keys)
	}
	v.out = &Resource{Type: c.typ, ID: c.id, Version: v.version, Deleted: v.deleted, Labels: v.labels, Created: cur == nil || cur.deleted}
	w.versions = append(w.versions, v)
	w.noteLabels(c, cur, v)
	w.record(c, v.bodyRow, x)
	return written{created: cur == nil || cur.deleted, resource: v.out}
}

// index gathers the index rows that a new version adds and removes those it no longer has.
func (w *writer) index(rid int64, old, now *rowKeys) {
	practice := int64(w.tx.Practice())
	had, hadSpan := map[int64]bool{}, map[spanKey]bool{}
	if old != nil {
		keep := map[int64]bool{}
		if old.date == now.date {
			for _, h := range now.hashes {
				keep[h] = true
			}
		}
		for _, h := range old.hashes {
			if had[h] = keep[h]; !keep[h] {
				w.tx.Queue(deleteHash, practice, h, old.date, rid)
			}
		}
		keepSpan := map[spanKey]bool{}
		for _, k := range now.spans {
			keepSpan[k] = true
		}
		for _, k := range old.spans {
			if hadSpan[k] = keepSpan[k]; !keepSpan[k] {
				w.tx.Queue(deleteSpan, practice, k.p, k.lo, k.hi, rid)
			}
		}
	}
	for _, h := range now.hashes {
		if !had[h] {
			w.hashes = append(w.hashes, []any{practice, h, now.date, rid})
		}
	}
	for _, k := range now.spans {
		if !hadSpan[k] {
			w.spans = append(w.spans, []any{practice, k.p, k.lo, k.hi, rid})
		}
	}
}
