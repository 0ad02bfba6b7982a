package fhirstore

import (
	"context"
	"errors"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

// Unguarded returns a store that does not ask the kernel about one resource type: the negative control of `yarrow prove isolation`.
// It is refused on a database that holds a practice, and the architecture test refuses its use anywhere but in package prove.
func Unguarded(ctx context.Context, d *db.DB, log *audit.Log, typ string) (*Store, error) {
	all, err := d.Practices(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) > 0 || typeCode(typ) == 0 {
		return nil, errors.New("fhirstore: a store without a guard is for an empty throw-away database")
	}
	s := New(d, log)
	s.unguarded = typ
	return s, nil
}
