package fhirstore

import (
	"context"
	"errors"
	"net/url"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// narrowing is what a scope reaches of a type for one interaction: resources that answer all clauses of one way.
// Without ways it reaches nothing.
type narrowing struct {
	ways [][]fhirsearch.Clause
}

// narrow returns the narrowing of a type, nil for none. A query that cannot be decided by looking at one resource
// (a chain, _has, a list, a value set) and one that is not understood open nothing.
func (a *kernel) narrow(typ string, b auth.Bits) *narrowing {
	queries, narrowed := a.Narrowed(typ, b)
	if !narrowed {
		return nil
	}
	n := &narrowing{}
	for _, query := range queries {
		form, err := url.ParseQuery(query)
		if err != nil {
			continue
		}
		q, issues := fhirsearch.ParseQuery(typ, form)
		plain := len(issues) == 0 && len(q.Clauses) > 0
		for i := range q.Clauses {
			plain = plain && selfContained(&q.Clauses[i])
		}
		if plain {
			n.ways = append(n.ways, q.Clauses)
		}
	}
	return n
}

// selfContained says that one resource alone decides a clause.
func selfContained(c *fhirsearch.Clause) bool {
	return c.Has == nil && len(c.Chain) == 0 && c.Param != "_list" && c.Filter == nil && !c.NeedsTerminology()
}

// opens says whether a resource is within.
func (n *narrowing) opens(node *fhirjson.Node) bool {
way:
	for _, way := range n.ways {
		for i := range way {
			if !fhirsearch.Match(node, way[i]) {
				continue way
			}
		}
		return true
	}
	return false
}

// where appends what the index knows of the narrowing: it lets through every resource that is within.
func (n *narrowing) where(q *sqlText, a *kernel, alias, typ string, e db.Engine) {
	if len(n.ways) == 0 {
		q.add(" AND 1 = 0")
		return
	}
	p := planOf(typ)
	x := compiler{a: a}
	q.add(" AND (")
	for i, way := range n.ways {
		c := &candidates{typ: typ, engine: e, a: a}
		for j := range way {
			if pp, ok := p.params[way[j].Param]; ok {
				x.keys(c, p, pp, &way[j])
			}
		}
		if i > 0 {
			q.add(" OR ")
		}
		q.add("(1 = 1")
		c.joined(q, c.hashes)
		c.columns(q, order{})
		q.add(")")
	}
	q.add(")")
}

// particular says that which resources of a type a scope sees depends on more than their labels.
func (a *kernel) particular(typ string, b auth.Bits) bool {
	return a.confined(typ) || len(a.Charts) > 0 || a.narrow(typ, b) != nil
}

// seesVersion says whether the scope may be shown a version of a resource that it sees as it is now: one that was about
// another patient, or had other labels, stays hidden.
func (s *Store) seesVersion(a *kernel, tx *db.Tx, v *row, b auth.Bits) (bool, error) {
	typ := typeName(v.typ)
	if v.deleted || typ == s.unguarded {
		return true, nil
	}
	if !a.particular(typ, b) {
		return v.labels&a.Forbidden == 0, nil
	}
	res, err := s.resource(tx, v)
	if err != nil {
		return false, err
	}
	values, err := fhirsearch.Extract(typ, res.Node())
	if err != nil {
		return false, err
	}
	x := index(a.k, typ, res.ID, values, v.labels, 0)
	return a.holds(typ, &x, res.Node(), b), nil
}

var selectLastLive = db.SQL(`SELECT version, seq, labels, deleted, body FROM history
	WHERE practice_id = $1 AND rid = $2 AND version < $3 AND deleted = 0 ORDER BY version DESC LIMIT 1`)

// sawLast says whether the scope would see what a deleted resource was last.
func (s *Store) sawLast(ctx context.Context, a *kernel, tx *db.Tx, r *row, b auth.Bits) (bool, error) {
	v := *r
	err := scanVersion(&v, tx.QueryRow(ctx, selectLastLive, int64(tx.Practice()), r.rid, r.version))
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.seesVersion(a, tx, &v, b)
}
