package fhirstore

import (
	"context"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// kernel is the access of one transaction's scope in the store's terms. Every read and every write asks it.
type kernel struct {
	auth.Access
	k       keyspace
	patient string // id of the compartment's patient, "" for no limit
	idh     int64  // its hash
	closed  bool   // a compartment that is not a patient's: nothing is seen
	charts  charts
	s       *Store
	effort  *effort // of the search that asks, nil for none that is bounded
}

func (s *Store) kernel(tx *db.Tx) kernel { return s.kernelFor(tx, tx.Scope()) }

func (s *Store) kernelFor(tx *db.Tx, scope db.Scope) kernel {
	a := kernel{s: s, Access: auth.AccessOf(scope), k: keyspaceOf(tx.Keys())}
	if a.Compartment != "" {
		typ, id, ok := strings.Cut(a.Compartment, "/")
		a.closed = !ok || typ != "Patient" || id == ""
		a.patient, a.idh = id, a.k.id("Patient", id)
	}
	a.charts = chartsOf(a.Access, a.k)
	return a
}

// may refuses an interaction the scope has with no resource of the type.
func (a *kernel) may(typ string, b auth.Bits) error {
	if typeCode(typ) == 0 {
		return fhir.Problem("not-supported", "This is not a resource type of FHIR R4.", "Check the spelling; types start with a capital letter.")
	}
	if typ == a.s.unguarded {
		return nil
	}
	if a.closed || !a.Allows(typ, b) {
		return fhir.Problem("forbidden", "You may not do this with "+typ+" resources.",
			"Ask an administrator of the practice for the permission.")
	}
	return nil
}

// confined says whether resources of the type are limited to the scope's compartment. Subscriptions are in nobody's: a scope reaches
// those that its access says are its own.
func (a *kernel) confined(typ string) bool {
	return a.patient != "" && !sharedTypes[typ] && (typ != "Subscription" || len(a.Narrow[typ]) == 0)
}

// sees says whether an existing row is within the scope for an interaction that the scope has with the type. What was
// deleted is judged by what it was last.
func (a *kernel) sees(ctx context.Context, tx *db.Tx, r *row, b auth.Bits) (bool, error) {
	if a.s.unguarded != "" && typeName(r.typ) == a.s.unguarded {
		return true, nil
	}
	seen, err := a.seesRow(ctx, tx, r, b)
	if n := a.narrow(typeName(r.typ), b); seen && n != nil && !r.deleted {
		res, err := a.s.resource(tx, r)
		if err != nil {
			return false, err
		}
		return n.opens(res.Node()), nil
	}
	return seen, err
}

func (a *kernel) seesRow(ctx context.Context, tx *db.Tx, r *row, b auth.Bits) (bool, error) {
	typ := typeName(r.typ)
	if a.closed || !a.charts.open(a.Forbidden, r.patient, r.labels) {
		return false, nil
	}
	if r.deleted && a.particular(typ, b) {
		return a.s.sawLast(ctx, a, tx, r, b)
	}
	if shut, err := a.shut(ctx, tx, typ, r); shut || err != nil {
		return false, err
	}
	if !a.confined(typ) || r.patient == a.idh || (typ == "Patient" && r.idh == a.idh) {
		return true, nil
	}
	rows, err := tx.Query(ctx, selectExtraPatient, int64(tx.Practice()), a.k.patient(typ, a.patient), r.date, r.rid)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// holds says whether a resource with these index rows would be within the scope, so that nobody writes what they
// could not reach.
func (a *kernel) holds(typ string, x *indexed, n *fhirjson.Node, b auth.Bits) bool {
	if typ == a.s.unguarded {
		return true
	}
	if narrowing := a.narrow(typ, b); narrowing != nil && !narrowing.opens(n) {
		return false
	}
	if a.closed || !a.charts.open(a.Forbidden, x.patient, x.labels) {
		return false
	}
	for _, id := range a.charts.closedIDs {
		if extra := a.k.patient(typ, id); slices.Contains(x.keys.hashes, extra) {
			return false
		}
	}
	if !a.confined(typ) || x.patient == a.idh {
		return true
	}
	extra := a.k.patient(typ, a.patient)
	for _, h := range x.keys.hashes {
		if h == extra {
			return true
		}
	}
	return false
}

// where appends the kernel's condition on table alias r of a type to a query. It is called for every table
// of resources in every search.
func (a *kernel) where(q *sqlText, alias, typ string, b auth.Bits, e db.Engine) {
	a.own(q, alias, typ)
	a.within(q, alias, typ, b, e)
}

// within appends what of the kernel's condition a narrowed scope adds.
func (a *kernel) within(q *sqlText, alias, typ string, b auth.Bits, e db.Engine) {
	if n := a.narrow(typ, b); n != nil && typ != a.s.unguarded {
		n.where(q, a, alias, typ, e)
	}
}

// own appends what of the kernel's condition the resource's own labels and patients decide.
func (a *kernel) own(q *sqlText, alias, typ string) {
	if typ == a.s.unguarded {
		return
	}
	a.charts.where(q, a, alias, typ)
	if a.confined(typ) {
		q.add(" AND (", alias, ".patient = ", q.arg(a.idh),
			" OR EXISTS (SELECT 1 FROM hkey c WHERE c.practice_id = $1 AND c.h = ", q.arg(a.k.patient(typ, a.patient)),
			" AND c.d = ", alias, ".date AND c.rid = ", alias, ".rid))")
	}
}

// Reaches says whether a resource is there, deleted or not, and within the scope for an interaction; the Issue of somebody
// who has that interaction with no resource of the type. Whoever must not learn what is hidden asks it before they write.
func (s *Store) Reaches(ctx context.Context, tx *db.Tx, typ, id string, b auth.Bits) (bool, error) {
	a := s.kernel(tx)
	if err := a.may(typ, b); err != nil {
		return false, err
	}
	var r *row
	var err error
	if tx.Writable() && !tx.Again() && b&(auth.CanUpdate|auth.CanDelete) != 0 {
		// The write that follows need not read it again.
		err = holdRows(ctx, tx, []int64{a.k.id(typ, id)}, func(c *stored) {
			r = &c.row
			tx.Keep(held(c.idh), c)
		})
	} else {
		r, err = byID(ctx, tx, a.k.id(typ, id))
	}
	if err != nil || r == nil {
		return false, err
	}
	if r.deleted {
		b = auth.CanRead
	}
	return a.sees(ctx, tx, r, b)
}

// Shared says that a type is open to scopes that are confined to one record: definitions, places, who works there and when.
func Shared(typ string) bool { return sharedTypes[typ] }

// notFound is the one answer for what does not exist and for what the scope may not see.
func notFound(typ string) *fhir.Issue {
	return fhir.Problem("not-found", "There is no such "+typ+", or you may not see it.", "Check the id.")
}
