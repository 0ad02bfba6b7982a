package keeping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// TestHoldStopsErasure places a hold between two transactions of an erasure: the rest stays, the part that went has its receipt.
func TestHoldStopsErasure(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		log := audit.New(d.DB)
		a := auth.New(d.DB, log, auth.Options{Demo: true})
		store := fhirstore.New(d.DB, log)
		k := New(d.DB, store, a, log)
		practice, err := a.AddPractice(ctx, "north", "North")
		if err != nil {
			t.Fatal(err)
		}
		sys := auth.SystemScope(practice, "test")
		zoe, err := a.AddUser(ctx, sys, auth.User{Login: "zoe", Display: "Zoe", Roles: []auth.Role{auth.Administrator}})
		if err != nil {
			t.Fatal(err)
		}
		d.Clock.Set(time.Date(2001, 1, 1, 9, 0, 0, 0, time.UTC))
		entries := []string{`{"request":{"method":"PUT","url":"Patient/ann"},"resource":{"resourceType":"Patient","id":"ann","birthDate":"1950"}}`,
			`{"request":{"method":"PUT","url":"Patient/bea"},"resource":{"resourceType":"Patient","id":"bea","birthDate":"1950"}}`}
		for i := range 510 {
			entries = append(entries, fmt.Sprintf(`{"request":{"method":"PUT","url":"Flag/f%d"},"resource":{"resourceType":"Flag","id":"f%[1]d","status":"active","code":{"text":"x"},"subject":{"reference":"Patient/ann"}}}`, i))
		}
		if _, err := store.Apply(ctx, sys, []byte(`{"resourceType":"Bundle","type":"transaction","entry":[`+strings.Join(entries, ",")+`]}`), fhirstore.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		d.Clock.Set(time.Date(2024, 1, 1, 9, 0, 0, 0, time.UTC))
		_, who, err := a.DemoSignIn(ctx, practice, zoe)
		if err != nil {
			t.Fatal(err)
		}
		left := func() (n int) {
			t.Helper()
			if err := d.View(ctx, sys, func(tx *db.Tx) error {
				all, err := store.Find(ctx, tx, "Flag")
				n = len(all)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		order := Order{Type: "Patient", ID: "ann", Reason: "the time is over", Everything: true}
		steps := 0
		var hold Hold
		k.step = func() { // the first transaction is committed, the second has not begun
			if steps++; steps == 1 {
				var err error
				if hold, err = k.Place(ctx, who, "ann", "an inquiry of the court"); err != nil {
					t.Error(err)
				}
			}
		}
		r, err := k.Expunge(ctx, who, order)
		var i *fhir.Issue
		if !errors.As(err, &i) || i.Code != "business-rule" || !strings.Contains(i.Fix, fmt.Sprint(r.ID)) {
			t.Fatalf("the erasure was not stopped: %v", err)
		}
		if n := left(); n != 10 || !r.Part || r.Count != 500 {
			t.Errorf("%d are left, receipt %+v", n, r)
		}
		if kept, err := k.Receipt(ctx, who, r.ID); err != nil || !kept.Part || kept.Count != 500 {
			t.Errorf("receipt %+v %v", kept, err)
		}
		// The receipt proves itself, with the practice's public key alone.
		key, err := k.log.Key(ctx, sys)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := k.Receipt(ctx, who, r.ID)
		if err != nil || kept.Signed != r.Signed {
			t.Errorf("kept as %q, given as %q: %v", kept.Signed, r.Signed, err)
		}
		kind, text, err := audit.OpenStatement(r.Signed, key)
		sum := sha256.Sum256([]byte(text))
		var said Receipt
		if err != nil || kind != "removal" || hex.EncodeToString(sum[:]) != r.Digest || json.Unmarshal([]byte(text), &said) != nil || said.Count != 500 || said.Reason != order.Reason {
			t.Errorf("%s %s: %v", kind, text, err)
		}
		if _, _, err := audit.OpenStatement(strings.Replace(r.Signed, `"count":500`, `"count":100`, 1), key); err == nil {
			t.Error("a changed receipt passes")
		}
		if err := k.Lift(ctx, who, hold.ID, "the inquiry is over"); err != nil {
			t.Fatal(err)
		}
		if r, err = k.Expunge(ctx, who, order); err != nil || r.Part || r.Count != 11 || left() != 0 {
			t.Errorf("the rest: %+v %v", r, err)
		}

		// the marks go when nobody follows changes from before them any more
		marks := func() int {
			var changed []*fhirstore.Resource
			if err := d.View(context.Background(), sys, func(tx *db.Tx) (err error) { changed, _, err = store.Changes(ctx, tx, 0, 10_000); return err }); err != nil {
				t.Fatal(err)
			}
			return len(changed)
		}
		for _, c := range []struct {
			after time.Duration
			want  int
		}{{marksKept - time.Hour, 512}, {2 * time.Hour, 1}} {
			d.Clock.Advance(c.after)
			if err := k.Sweep(ctx, practice); err != nil {
				t.Fatal(err)
			}
			if n := marks(); n != c.want {
				t.Errorf("%d resources and marks, not %d", n, c.want)
			}
		}
	})
}
