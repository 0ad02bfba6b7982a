package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

func TestAmountsAreFoundInAnyUnit(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		weight := func(id, value, unit string) string {
			return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"w"}]},"valueQuantity":{"value":%s,"system":"http://unitsofmeasure.org","code":%q}}`, id, value, unit)
		}
		// Two common units, two rare ones, another kind, and none at all.
		b.put(weight("kg", "70", "kg"), weight("g", "70000", "g"), weight("dag", "7000", "dag"), weight("stone", "11.03", "[stone_av]"), weight("m", "70", "m"),
			`{"resourceType":"Observation","id":"bare","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"w"}]},"valueQuantity":{"value":70}}`)
		ask := func(want string, requests ...string) {
			t.Helper()
			for _, r := range requests {
				ids, _, err := b.search(system(1), "Observation?code-value-quantity=w$"+r)
				slices.Sort(ids)
				if got := strings.Join(ids, " "); err != nil || got != want {
					t.Errorf("%s gives %s, want %s (%v)", r, got, want, err)
				}
			}
		}
		u := "|http://unitsofmeasure.org|"
		everything := func() {
			t.Helper()
			ask("dag g kg", "70.000"+u+"kg", "70000"+u+"g", "7000"+u+"dag", "ge70"+u+"kg&code-value-quantity=w$le70"+u+"kg")
			ask("dag g kg stone", "70"+u+"kg", "gt69"+u+"kg", "lt71"+u+"kg", "ap72"+u+"kg", "69"+u+"kg,w$70.0"+u+"kg")
			ask("m", "70"+u+"m")
			ask("", "gt71"+u+"kg", "lt69"+u+"kg")
			ask("bare kg m", "70")
		}
		everything()
		// The same with rows of the form before: searches do without the new ones, and Reindex adds them.
		span := func(n *int64) {
			b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
				return tx.QueryRow(ctx, db.SQL(`SELECT COUNT(*) FROM rkey WHERE practice_id = $1`), int64(1)).Scan(n)
			})
		}
		var all, fewer, again int64
		span(&all)
		b.do(func(ctx context.Context, tx *db.Tx) error {
			for _, unit := range []string{"dag", "stone"} {
				rows, err := scanRows(tx.Query(ctx, selectByID, int64(1), keyspaceOf(tx.Keys()).id("Observation", unit)))
				if err != nil {
					return err
				}
				r := rows[0]
				x, err := (&doctor{s: b.Store}).expected(tx, r)
				if err != nil {
					return err
				}
				old := x.keys
				old.spans = slices.DeleteFunc(slices.Clone(old.spans), func(k spanKey) bool { return k.p == keyspaceOf(tx.Keys()).baseValue("Observation", "w", "g") })
				w := &writer{s: b.Store, tx: tx}
				w.index(r.rid, &x.keys, &old)
				tx.Queue(updateIndex, int64(1), r.rid, old.date, x.span, x.facet, x.patient, x.encounter, old.pack(), r.version)
			}
			tx.Queue(updateForm, int64(1), int64(1), int64(0), int64(1))
			return nil
		})
		span(&fewer)
		b.Store = New(b.d.DB, audit.New(b.d.DB)) // a start with the new program
		everything()
		n, err := b.Reindex(t.Context(), system(1))
		if err != nil || n != 2 {
			t.Errorf("Reindex changed %d: %v", n, err)
		}
		span(&again)
		if fewer != all-2 || again != all {
			t.Errorf("%d rows, %d of the old form, %d after Reindex", all, fewer, again)
		}
		everything()
		if n, err := b.Reindex(t.Context(), system(1)); err != nil || n != 0 {
			t.Errorf("a second Reindex changed %d: %v", n, err)
		}
		if r := b.check(false); !r.Sound() {
			t.Errorf("after Reindex: %+v", r)
		}
		if _, err := b.Reindex(t.Context(), patientApp("Patient/p")); err == nil {
			t.Error("a patient computes the index")
		}
		if n, err := b.Reindex(t.Context(), system(2)); err != nil || n != 0 {
			t.Errorf("an empty practice: %d %v", n, err)
		}
	})
}

// TestShortWordsBeforeReindex finds by two letters and by a telephone number what an earlier program stored: rows for other
// beginnings of words, and no facets for them.
func TestShortWordsBeforeReindex(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"p","name":[{"family":"Yarrowfields"}],"address":[{"state":"VT"}],"telecom":[{"system":"phone","value":"555-0101"}]}`,
			`{"resourceType":"Patient","id":"q","name":[{"family":"Tansy"}],"address":[{"state":"MA"}]}`)
		b.do(func(ctx context.Context, tx *db.Tx) error {
			k := keyspaceOf(tx.Keys())
			r, err := byID(ctx, tx, k.id("Patient", "p"))
			if err != nil {
				return err
			}
			x, err := (&doctor{s: b.Store}).expected(tx, r)
			if err != nil {
				return err
			}
			old := x.keys
			long := k.word("Patient", "name", "yarrowfi")
			old.hashes = slices.DeleteFunc(slices.Clone(old.hashes), func(h int64) bool { return h == long })
			old.hashes = append(old.hashes, k.word("Patient", "name", "ya"), k.word("Patient", "name", "y"), k.token("Patient", "phone", "555-0101"))
			old.normal()
			w := &writer{s: b.Store, tx: tx}
			w.index(r.rid, &x.keys, &old)
			tx.InsertMany(insertHash, w.hashes)
			tx.Queue(updateIndex, int64(1), r.rid, old.date, x.span, int64(0), x.patient, x.encounter, old.pack(), r.version)
			tx.Queue(updateForm, int64(1), int64(5), int64(0), int64(1))
			return nil
		})
		b.Store = New(b.d.DB, audit.New(b.d.DB)) // a start with the new program
		ask := func() {
			t.Helper()
			for _, query := range []string{"name=ya", "family=YA,zz", "name=y", "address-state=vt", "phone=555-0101", "name=yar", "name=yarrow", "name=yarrowfields"} {
				if ids, _, err := b.search(system(1), "Patient?"+query); err != nil || strings.Join(ids, " ") != "p" {
					t.Errorf("%s gives %v, %v", query, ids, err)
				}
			}
		}
		ask()
		if n, err := b.Reindex(t.Context(), system(1)); err != nil || n != 1 {
			t.Errorf("Reindex changed %d: %v", n, err)
		}
		ask()
		if r := b.check(false); !r.Sound() {
			t.Errorf("after Reindex: %+v", r)
		}
	})
}
