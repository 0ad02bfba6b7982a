package fhirstore

import (
	"context"
	"fmt"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// bench is a store over a test database.
type bench struct {
	*Store
	d *dbtest.DB
	t testing.TB
}

func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) { fn(t, benchOn(t, d)) })
}

func benchOn(t testing.TB, d *dbtest.DB) *bench {
	return &bench{New(d.DB, audit.New(d.DB)), d, t}
}

func system(p db.PracticeID) db.Scope { return auth.SystemScope(p, "test") }

// do runs fn in a transaction of the system on practice 1 and fails the test on error.
func (b *bench) do(fn func(ctx context.Context, tx *db.Tx) error) {
	b.t.Helper()
	if err := b.try(system(1), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) try(s db.Scope, fn func(ctx context.Context, tx *db.Tx) error) error {
	ctx := context.Background()
	return b.d.Do(ctx, s, func(tx *db.Tx) error { return fn(ctx, tx) })
}

func (b *bench) view(s db.Scope, fn func(ctx context.Context, tx *db.Tx) error) {
	b.t.Helper()
	ctx := context.Background()
	if err := b.d.View(ctx, s, func(tx *db.Tx) error { return fn(ctx, tx) }); err != nil {
		b.t.Fatal(err)
	}
}

// put stores resources as the system of practice 1.
func (b *bench) put(raws ...string) []*Resource {
	b.t.Helper()
	return b.putIn(1, raws...)
}

func (b *bench) putIn(p db.PracticeID, raws ...string) (out []*Resource) {
	b.t.Helper()
	err := b.try(system(p), func(ctx context.Context, tx *db.Tx) error {
		out = nil
		for _, raw := range raws {
			pr, err := b.Prepare(ctx, []byte(raw))
			if err != nil {
				return fmt.Errorf("%s: %w", raw, err)
			}
			r, err := b.Update(ctx, tx, pr, 0)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}
