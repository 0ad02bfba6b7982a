package fhirstore

import (
	"context"
	"errors"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// code is the issue code of an error, "" for none.
func code(err error) string {
	var i *fhir.Issue
	if errors.As(err, &i) {
		return i.Code
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return ""
}

func TestVersionsOfOneResource(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		p, err := b.Prepare(ctx, []byte(`{"id":"ann","resourceType":"Patient","meta":{"profile":["http://x/y"],"versionId":"99"},
			"name":[{"family":"Ash","given":["Ann"]}],"birthDate":"1980-03","extension":[{"url":"http://x","valueDecimal":1.50}]}`))
		if err != nil {
			t.Fatal(err)
		}
		var first *Resource
		b.do(func(ctx context.Context, tx *db.Tx) (err error) { first, err = b.Create(ctx, tx, p); return err })
		want := `{"resourceType":"Patient","id":"ann","meta":{"versionId":"1","lastUpdated":"2026-03-02T09:00:00.000001Z","profile":["http://x/y"]},` +
			`"name":[{"family":"Ash","given":["Ann"]}],"birthDate":"1980-03","extension":[{"url":"http://x","valueDecimal":1.50}]}`
		if string(first.Raw) != want {
			t.Fatalf("created\n%s\nwant\n%s", first.Raw, want)
		}
		read := func(v int64) (*Resource, error) {
			var r *Resource
			err := b.d.View(ctx, system(1), func(tx *db.Tx) (err error) {
				if v == 0 {
					r, err = b.Read(ctx, tx, "Patient", "ann")
				} else {
					r, err = b.ReadVersion(ctx, tx, "Patient", "ann", v)
				}
				return err
			})
			return r, err
		}
		if r, err := read(0); err != nil || string(r.Raw) != want {
			t.Fatalf("read: %v %s", err, r.Raw)
		}
		if err := b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Create(ctx, tx, p); return err }); code(err) != "conflict" {
			t.Fatalf("second create: %v", err)
		}
		b.put(`{"resourceType":"Patient","id":"ann","name":[{"family":"Birch"}]}`)
		next, _ := b.Prepare(ctx, []byte(`{"resourceType":"Patient","id":"ann","name":[{"family":"Cedar"}]}`))
		err = b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Update(ctx, tx, next, 1); return err })
		if code(err) != "conflict" || !strings.Contains(err.Error(), "version 1, the current version is 2") {
			t.Fatalf("stale update: %v", err)
		}
		b.do(func(ctx context.Context, tx *db.Tx) error { _, err := b.Update(ctx, tx, next, 2); return err })
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Patient", "ann", 0) })
		if _, err := read(0); code(err) != "deleted" {
			t.Fatalf("read after deletion: %v", err)
		}
		if r, err := read(1); err != nil || string(r.Raw) != want {
			t.Fatalf("first version: %v", err)
		}
		if _, err := read(4); code(err) != "deleted" {
			t.Fatalf("version 4: %v", err)
		}
		if _, err := read(5); code(err) != "not-found" {
			t.Fatalf("version 5: %v", err)
		}
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			h, err := b.History(ctx, tx, "Patient", "ann", 0, 10)
			if err != nil {
				return err
			}
			for i, r := range h {
				if r.Version != int64(4-i) || r.Deleted != (i == 0) {
					t.Errorf("history %d: version %d deleted %v", i, r.Version, r.Deleted)
				}
			}
			if len(h) != 4 {
				t.Errorf("%d versions", len(h))
			}
			changed, _, err := b.Changes(ctx, tx, 0, 10)
			if err != nil {
				return err
			}
			if len(changed) != 1 || !changed[0].Deleted {
				t.Errorf("changes: %v", changed)
			}
			found, err := b.Find(ctx, tx, "Patient", "name", "ash")
			if len(found) != 0 {
				t.Errorf("a deleted patient is found")
			}
			return err
		})
		b.put(`{"resourceType":"Patient","id":"ann","name":[{"family":"Dogwood"}]}`)
		if r, err := read(0); err != nil || r.Version != 5 {
			t.Fatalf("brought back: %v", err)
		}
	})
}

func TestPracticesAreApart(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.putIn(1, `{"resourceType":"Patient","id":"same","name":[{"family":"One"}]}`)
		b.putIn(2, `{"resourceType":"Patient","id":"same","name":[{"family":"Two"}]}`, `{"resourceType":"Patient","id":"two","name":[{"family":"One"}]}`)
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			found, err := b.Find(ctx, tx, "Patient")
			if len(found) != 1 || !strings.Contains(string(found[0].Raw), "One") {
				t.Errorf("practice 1 sees %d patients", len(found))
			}
			if _, err := b.Read(ctx, tx, "Patient", "two"); code(err) != "not-found" {
				t.Errorf("practice 1 reads a patient of practice 2: %v", err)
			}
			return err
		})
	})
}
