package fhirstore

import (
	"context"
	"slices"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// match returns the resources, at most so many, that answer a condition such as identifier=system|value.
func (s *Store) match(ctx context.Context, tx *db.Tx, typ, query string, most int) ([]*Resource, error) {
	values, issue := form(query)
	if issue != nil {
		return nil, issue
	}
	q, issues := fhirsearch.ParseQuery(typ, values)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if len(q.Clauses) == 0 {
		return nil, fhir.Problem("value", "The condition does not narrow anything.", "Name a search parameter, for instance identifier.")
	}
	a := s.kernel(tx)
	x := compiler{s: s, tx: tx, a: &a}
	c, err := x.compile(ctx, typ, q.Clauses)
	if err != nil {
		return nil, err
	}
	limit := scanAll
	if !a.whole() {
		limit = scanFor
	}
	found, _, err := s.gather(ctx, tx, c, order{}, nil, most, limit)
	return found, err
}

// matchOne insists that a condition has at most one match.
func (s *Store) matchOne(ctx context.Context, tx *db.Tx, typ, query string) (*Resource, error) {
	found, err := s.match(ctx, tx, typ, query, 2)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if len(found) > 1 {
		return nil, fhir.Problem("multiple-matches", "More than one "+typ+" answers the condition.", "Make the condition more precise, for instance by identifier.")
	}
	return found[0], nil
}

// Slots are held in the order of their numbers by everybody, so that two transactions do not wait for each other. SQLite never runs
// this.
var lockSlots = db.SQLPair(`SELECT $1, $2`, `INSERT INTO fhir_lock (practice_id, slot) SELECT $1, s FROM unnest($2::bigint[]) AS s
	ON CONFLICT (practice_id, slot) DO UPDATE SET slot = excluded.slot`)

// lock makes writes with the same conditions wait for each other until the commit, so that of two conditional
// creates one finds what the other wrote.
func lock(ctx context.Context, tx *db.Tx, slots ...int64) error {
	if tx.Engine() == db.SQLite || len(slots) == 0 {
		return nil // writers already wait for each other
	}
	slices.Sort(slots)
	_, err := tx.Exec(ctx, lockSlots, int64(tx.Practice()), slices.Compact(slots))
	return err
}

// CreateIfNone creates a resource unless one already answers the condition (If-None-Exist); that one is
// returned then, with created false. Two at once: exactly one creates.
func (s *Store) CreateIfNone(ctx context.Context, tx *db.Tx, p *Prepared, condition string) (r *Resource, created bool, err error) {
	if err := lock(ctx, tx, keyspaceOf(tx.Keys()).lock(p.Type+"?"+condition)); err != nil {
		return nil, false, err
	}
	if r, err = s.matchOne(ctx, tx, p.Type, condition); r != nil || err != nil {
		return r, false, err
	}
	r, err = s.Create(ctx, tx, p)
	return r, err == nil, err
}

// UpdateWhere updates the one resource that answers the condition, or creates one when none does.
func (s *Store) UpdateWhere(ctx context.Context, tx *db.Tx, p *Prepared, condition string, ifVersion int64) (*Resource, error) {
	if err := lock(ctx, tx, keyspaceOf(tx.Keys()).lock(p.Type+"?"+condition)); err != nil {
		return nil, err
	}
	r, err := s.matchOne(ctx, tx, p.Type, condition)
	if err != nil {
		return nil, err
	}
	if r != nil && r.ID != p.ID {
		if !p.fresh {
			return nil, fhir.Problem("value", "The resource that answers the condition has another id.", "Leave the id out, or use the id found.")
		}
		if p, err = p.under(s, r.ID); err != nil {
			return nil, err
		}
	}
	return s.Update(ctx, tx, p, ifVersion)
}

// under is the same resource with another id.
func (p *Prepared) under(s *Store, id string) (*Prepared, error) {
	n := p.node.Clone()
	withID(&n, id)
	out, err := s.prepare(&n)
	if err == nil {
		out.real, out.targets, out.among = p.real, p.targets, p.among // real: with what a declaration excused
	}
	return out, err
}

// DeleteWhere deletes what answers the condition, at most one resource.
func (s *Store) DeleteWhere(ctx context.Context, tx *db.Tx, typ, condition string) error {
	if err := lock(ctx, tx, keyspaceOf(tx.Keys()).lock(typ+"?"+condition)); err != nil {
		return err
	}
	r, err := s.matchOne(ctx, tx, typ, condition)
	if err != nil || r == nil {
		return err
	}
	return s.Delete(ctx, tx, typ, r.ID, r.Version)
}
