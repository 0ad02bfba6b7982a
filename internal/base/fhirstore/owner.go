package fhirstore

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Owner keeps the rules of a resource type: every write of the type that comes from outside goes through it, on the caller's
// transaction. The Store itself owns types that have no rules beyond their definition.
type Owner interface {
	Create(ctx context.Context, tx *db.Tx, p *Prepared) (*Resource, error)
	Update(ctx context.Context, tx *db.Tx, p *Prepared, ifVersion int64) (*Resource, error)
	Delete(ctx context.Context, tx *db.Tx, typ, id string, ifVersion int64) error
}

// Moved is the cause of the conflict Issue of a write that was made on an old version.
type Moved struct{ Current int64 }

// Error is for the log.
func (m *Moved) Error() string { return "fhirstore: the resource was changed meanwhile" }

// Conflict is the Issue of a change that was made on an old version; its cause is a *Moved.
func Conflict(typ string, was, current int64) *fhir.Issue {
	return fhir.Problem("conflict", fmt.Sprintf("This %s was changed meanwhile: you worked on version %d, the current version is %d.", typ, was, current),
		fmt.Sprintf("Read version %d, bring your change into it and save again.", current)).Because(&Moved{current})
}

// Fresh says whether the resource came without an id, so that its id was made by Prepare.
func (p *Prepared) Fresh() bool { return p.fresh }

// WithID returns the same resource prepared under another id.
func (s *Store) WithID(p *Prepared, id string) (*Prepared, error) { return p.under(s, id) }

// Only returns the one resource that answers a condition such as identifier=system|value, nil when none does, and an Issue of
// code "multiple-matches" when several do. In a Do it makes others with the same condition wait until the commit.
func (s *Store) Only(ctx context.Context, tx *db.Tx, typ, condition string) (*Resource, error) {
	if tx.Writable() {
		if err := lock(ctx, tx, keyspaceOf(tx.Keys()).lock(typ+"?"+condition)); err != nil {
			return nil, err
		}
	}
	return s.matchOne(ctx, tx, typ, condition)
}

// Several returns the resources that answer a condition, at most so many. In a Do it makes others with the same condition wait
// until the commit.
func (s *Store) Several(ctx context.Context, tx *db.Tx, typ, condition string, most int) ([]*Resource, error) {
	if tx.Writable() {
		if err := lock(ctx, tx, keyspaceOf(tx.Keys()).lock(typ+"?"+condition)); err != nil {
			return nil, err
		}
	}
	return s.match(ctx, tx, typ, condition, most)
}
