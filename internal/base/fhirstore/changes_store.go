package fhirstore

import (
	"context"
	"sync"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

var (
	selectChanges = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.seq > $2
		ORDER BY r.seq LIMIT $3`)
	// Current versions and superseded ones are two lists in one order.
	selectAfter = db.SQL(`SELECT * FROM (SELECT * FROM (SELECT ` + rowColumns + ` FROM resource r
		WHERE r.practice_id = $1 AND r.seq > $2 AND r.type {in $4} ORDER BY r.seq LIMIT $3) a UNION ALL
		SELECT * FROM (SELECT r.rid, r.idh, v.version, v.seq, r.date, r.span, r.patient, v.labels, r.type, v.deleted, v.body
		FROM history v CROSS JOIN resource r WHERE v.practice_id = $1 AND v.seq > $2 AND r.practice_id = $1 AND r.rid = v.rid
		AND r.type {in $4} ORDER BY v.seq LIMIT $3) b) c ORDER BY seq LIMIT $3`)
	selectNews = db.SQL(`SELECT r.rid, r.idh, r.version, r.seq, r.date, r.span, r.patient, r.labels, r.type, r.deleted, NULL
		FROM resource r WHERE r.practice_id = $1 AND r.seq > $2 ORDER BY r.seq LIMIT $3`)
	selectLastSeq = db.SQL(`SELECT seq FROM fhir_counter WHERE practice_id = $1`)
)

// Changes returns the resources that changed after a sequence number, in the order of their last change,
// and the number to go on from. Each resource comes with its current version only; a deleted one has
// Deleted set. A listener that keeps the number misses nothing. Only System scopes and others that may
// read a type see its changes; the number moves on over the rest.
func (s *Store) Changes(ctx context.Context, tx *db.Tx, after int64, limit int) (changed []*Resource, next int64, err error) {
	a := s.kernel(tx)
	rows, err := scanRows(tx.Query(ctx, selectChanges, int64(tx.Practice()), after, int64(min(max(limit, 1), 10000))))
	if err != nil {
		return nil, after, err
	}
	next = after
	for _, r := range rows {
		next = r.seq
		if a.may(typeName(r.typ), auth.CanRead) != nil {
			continue
		}
		if seen, err := a.sees(ctx, tx, r, auth.CanRead); err != nil {
			return nil, after, err
		} else if !seen {
			continue
		}
		res, err := s.resource(tx, r)
		if err != nil {
			return nil, after, err
		}
		changed = append(changed, res)
	}
	return changed, next, nil
}

// VersionsAfter returns the versions of some types that were written after a sequence number, every one of them, in the order in
// which they were written, and the number to go on from. Versions that were expunged are gone. It is for Yarrow itself (a System
// scope, otherwise it fails): whom a version may be shown to is asked later, of [Store.ReadVersion] and [Store.Reaches].
func (s *Store) VersionsAfter(ctx context.Context, tx *db.Tx, after int64, types []string, limit int) (versions []*Resource, next int64, err error) {
	if a := s.kernel(tx); !a.All || a.Compartment != "" {
		return nil, after, fhir.Problem("forbidden", "You may not follow all changes.", "Read the history of the types you need.")
	}
	codes := []int64{}
	for _, typ := range types {
		codes = append(codes, int64(typeCode(typ)))
	}
	if next, err = s.LastChange(ctx, tx); err != nil || next <= after || len(codes) == 0 {
		return nil, max(next, after), err
	}
	rows, err := scanRows(tx.Query(ctx, selectAfter, int64(tx.Practice()), after, int64(limit), codes))
	if err != nil {
		return nil, after, err
	}
	for _, r := range rows {
		v, err := s.resource(tx, r)
		if err != nil {
			return nil, after, err
		}
		versions = append(versions, v)
	}
	if len(rows) == limit {
		next = rows[limit-1].seq
	}
	return versions, next, nil
}

// LastChange is the sequence number of the practice's latest write, 0 before the first.
func (s *Store) LastChange(ctx context.Context, tx *db.Tx) (int64, error) {
	var seq int64
	err := tx.QueryRow(ctx, selectLastSeq, int64(tx.Practice())).Scan(&seq)
	if err == db.ErrNoRows {
		return 0, nil
	}
	return seq, err
}

// bells wake those who wait for changes of a practice in this process.
type bells struct {
	mu sync.Mutex
	by map[db.PracticeID]map[chan struct{}]bool
	// look ends, for each practice that somebody listens to, the look for what other processes write.
	look map[db.PracticeID]context.CancelFunc
}

// Subscribe returns a channel that receives after commits to the practice; several commits may ring once. It says only that something
// changed: read Changes for what. stop ends it. Commits of this process ring at once, those of other nodes within half a second.
func (s *Store) Subscribe(practice db.PracticeID) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	b := &s.bells
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by == nil {
		b.by = map[db.PracticeID]map[chan struct{}]bool{}
	}
	if b.by[practice] == nil {
		b.by[practice] = map[chan struct{}]bool{}
	}
	if len(b.by[practice]) == 0 && s.db.Engine() == db.PostgreSQL {
		ctx, end := context.WithCancel(context.Background())
		if b.look == nil {
			b.look = map[db.PracticeID]context.CancelFunc{}
		}
		b.look[practice] = end
		go s.elsewhere(ctx, practice)
	}
	b.by[practice][c] = true
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.by[practice], c)
		if end := b.look[practice]; end != nil && len(b.by[practice]) == 0 {
			end()
			delete(b.look, practice)
		}
	}
}

func (b *bells) ring(practice db.PracticeID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.by[practice] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
