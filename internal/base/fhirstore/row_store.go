package fhirstore

import (
	"context"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
)

// row is a row of table resource without its index keys.
type row struct {
	rid, idh, version, seq int64
	date, span             int64
	patient, labels        int64
	typ                    int16
	deleted                bool
	sealed                 []byte
}

// rowColumns are the columns scan expects, of table alias r.
const rowColumns = `r.rid, r.idh, r.version, r.seq, r.date, r.span, r.patient, r.labels, r.type, r.deleted, r.body`

// sealedColumn is the place of the body among them.
const sealedColumn = 10

type scanner interface{ Scan(dest ...any) error }

func (r *row) scan(s scanner) error {
	var typ, deleted int64
	err := s.Scan(&r.rid, &r.idh, &r.version, &r.seq, &r.date, &r.span, &r.patient, &r.labels, &typ, &deleted, &r.sealed)
	r.typ, r.deleted = int16(typ), deleted != 0
	return err
}

// rowReader reads rows one after another into the same row, and their bodies only where the cache does not have them.
type rowReader struct {
	row
	typ, deleted int64
	dest         []any
}

func newRowReader() *rowReader {
	r := &rowReader{}
	r.dest = []any{&r.rid, &r.idh, &r.version, &r.seq, &r.date, &r.span, &r.patient, &r.labels, &r.typ, &r.deleted, nil}
	return r
}

func (r *rowReader) scan(rows *db.Rows) error {
	err := rows.Scan(r.dest...)
	r.row.typ, r.row.deleted, r.sealed = int16(r.typ), r.deleted != 0, nil
	return err
}

// unread decodes the row, as Store.unread does.
func (r *rowReader) unread(s *Store, tx *db.Tx, rows *db.Rows) (*Resource, error) {
	d := s.cache.get(r.key(tx.Practice()))
	if d == nil {
		var err error
		if r.sealed, err = rows.Peek(sealedColumn); err != nil {
			return nil, err
		}
		return s.unread(tx, &r.row)
	}
	return r.showing(d), nil
}

func (r *row) bound(p db.PracticeID) bodyRow {
	return bodyRow{practice: p, typ: r.typ, idh: r.idh, version: r.version, seq: r.seq, labels: r.labels, deleted: r.deleted}
}

func (r *row) key(p db.PracticeID) bodyKey {
	return bodyKey{int64(p), r.rid, r.version, r.seq, r.labels}
}

// open decodes the row's body, through the cache.
func (s *Store) open(tx *db.Tx, r *row) (*decoded, error) {
	key := r.key(tx.Practice())
	if d := s.cache.get(key); d != nil {
		return d, nil
	}
	d, err := openBody(&s.z, tx.Keys(), r.bound(tx.Practice()), r.sealed)
	if err == nil && !r.deleted {
		s.cache.put(key, d)
	}
	return d, err
}

// openOnce is open for who goes through many and asks for none again: what others ask for stays in the cache.
func (s *Store) openOnce(tx *db.Tx, r *row) (*decoded, error) {
	if d := s.cache.get(r.key(tx.Practice())); d != nil {
		return d, nil
	}
	return openBody(&s.z, tx.Keys(), r.bound(tx.Practice()), r.sealed)
}

// resource decodes a row for a reader.
func (s *Store) resource(tx *db.Tx, r *row) (*Resource, error) {
	out, err := s.unread(tx, r)
	if err == nil {
		out.read()
	}
	return out, err
}

// read puts the bytes of an unread resource together.
func (r *Resource) read() {
	if r.Raw == nil && !r.Deleted {
		r.Raw = r.body.raw(r.Version, r.Updated.UnixMicro())
	}
}

// unread decodes a row of which perhaps nothing is shown: Raw comes with read or Node.
func (s *Store) unread(tx *db.Tx, r *row) (*Resource, error) {
	d, err := s.open(tx, r)
	if err != nil {
		return nil, damagedIssue(typeName(r.typ), err)
	}
	return r.showing(d), nil
}

// showing is the row as what its opened body says.
func (r *row) showing(d *decoded) *Resource {
	return &Resource{Type: d.typ, ID: d.id, Version: r.version, Updated: time.UnixMicro(r.seq).UTC(), Deleted: r.deleted,
		Labels: r.labels, body: d}
}

var (
	selectByID = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.idh = $2`)

	selectByIDs = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2}`)

	selectExtraPatient = db.SQL(`SELECT 1 FROM hkey k WHERE k.practice_id = $1 AND k.h = $2 AND k.d = $3 AND k.rid = $4`)
)

// byID reads the current row of a resource whoever asks; nil when there is none.
func byID(ctx context.Context, tx *db.Tx, idh int64) (*row, error) {
	var r row
	err := r.scan(tx.QueryRow(ctx, selectByID, int64(tx.Practice()), idh))
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func scanRows(rows *db.Rows, err error) ([]*row, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*row
	for rows.Next() {
		r := &row{}
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
