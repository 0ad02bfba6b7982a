package fhirstore

import (
	"context"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Checker judges a resource whose structure is valid: invariants, profiles, codes. Errors keep it from being written.
type Checker func(n *fhirjson.Node) fhir.Issues

type checkerKey struct{}

// Checking returns a context in which Prepare, PrepareNew and PrepareNode judge resources as the practice of the scope
// wants it. Without it they judge structure only. It must not be called inside a transaction.
func (s *Store) Checking(ctx context.Context, scope db.Scope) (context.Context, error) {
	check, err := s.checker(ctx, scope, false)
	if check == nil || err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, checkerKey{}, check), nil
}

// checker asks Judge for a practice's checker; history is what others recorded long ago.
func (s *Store) checker(ctx context.Context, scope db.Scope, history bool) (Checker, error) {
	if s.Judge == nil || scope == nil || !scope.Valid() {
		return nil, nil
	}
	return s.Judge(ctx, scope, history)
}

// checked judges a tree of valid structure and readies it. raw are the bytes it was read from, to tell lines; nil if
// there are none.
func (s *Store) checked(ctx context.Context, n *fhirjson.Node, raw []byte) (*Prepared, error) {
	check, _ := ctx.Value(checkerKey{}).(Checker)
	if check == nil {
		return s.prepare(n)
	}
	issues := check(n)
	if raw != nil {
		issues.Locate(raw)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	p, err := s.prepare(n)
	if p != nil {
		p.Warnings = issues
	}
	return p, err
}
