package codes

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

const stones = `{"resourceType":"CodeSystem","id":"stones","url":"http://example.org/stones","version":"1","status":"active","content":"complete","concept":[{"code":"rock","concept":[{"code":"flint"},{"code":"slate"}]},{"code":"gem"}]}`

func (b *bench) put(raws ...string) {
	b.t.Helper()
	ctx := context.Background()
	for _, raw := range raws {
		p, err := b.store.Prepare(ctx, []byte(raw))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := b.d.Do(ctx, scope(1), func(tx *db.Tx) error { _, err := b.store.Update(ctx, tx, p, 0); return err }); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestCodesAreCheckedAtWriting(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		hand := clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		b.clock = hand
		check := b.Checker(1)
		const set = "http://example.org/vs/rocks"
		for _, c := range []struct {
			set, system, code string
			ok, known         bool
		}{
			{"http://hl7.org/fhir/ValueSet/administrative-gender", "http://hl7.org/fhir/administrative-gender", "male", true, true},
			{"http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1", "", "males", false, true},
			{"http://hl7.org/fhir/us/core/ValueSet/us-core-condition-code", "http://snomed.info/sct", "1", false, false},
			{"http://hl7.org/fhir/us/core/ValueSet/us-core-smoking-status-observation-codes", "http://loinc.org", "72166-2", true, true},
			{"", "http://unitsofmeasure.org", "mg/dL", true, true},
			{"", "http://example.org/stones", "flint", false, false},
			{set, "http://example.org/stones", "flint", false, false},
		} {
			if ok, known := check(c.set, c.system, c.code); ok != c.ok || known != c.known {
				t.Errorf("%s %s %s: %v %v", c.set, c.system, c.code, ok, known)
			}
		}
		b.put(stones, `{"resourceType":"ValueSet","id":"rocks","url":"`+set+`","status":"active","compose":{"include":[{"system":"http://example.org/stones","filter":[{"property":"concept","op":"is-a","value":"rock"}]}]}}`)
		hand.Advance(2 * time.Second)
		if ok, known := check(set, "http://example.org/stones", "flint"); !ok || !known {
			t.Errorf("what was stored two seconds ago does not count: %v %v", ok, known)
		}
		if ok, known := check(set, "http://example.org/stones", "gem"); ok || !known {
			t.Errorf("%v %v", ok, known)
		}
		// From within a transaction, as a check at writing may.
		if err := b.d.Do(context.Background(), scope(1), func(tx *db.Tx) error {
			if ok, known := check("", "http://example.org/stones", "slate"); !ok || !known {
				t.Errorf("within a transaction: %v %v", ok, known)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSearchByValueSet(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.store.Terms = b.Terms
		b.put(stones, `{"resourceType":"ValueSet","id":"rocks","url":"http://example.org/vs/rocks","status":"active","compose":{"include":[{"system":"http://example.org/stones","filter":[{"property":"concept","op":"descendent-of","value":"rock"}]}]}}`)
		for _, code := range []string{"rock", "flint", "slate", "gem"} {
			b.put(`{"resourceType":"Observation","id":"` + code + `","status":"final","code":{"coding":[{"system":"http://example.org/stones","code":"` + code + `"}]}}`)
		}
		for query, want := range map[string]string{
			"code:in=http://example.org/vs/rocks": "flint slate", "code:in=ValueSet/rocks": "flint slate", "code:not-in=http://example.org/vs/rocks": "gem rock", "code:below=http://example.org/stones|rock": "flint rock slate", "code:above=http://example.org/stones|flint": "flint rock",
		} {
			name, value, _ := strings.Cut(query, "=")
			q, issues := fhirsearch.ParseQuery("Observation", map[string][]string{name: {value}})
			if issues.HasErrors() {
				t.Fatal(issues)
			}
			var ids []string
			if err := b.d.View(context.Background(), scope(1), func(tx *db.Tx) error {
				page, err := b.store.Search(context.Background(), tx, q)
				if err != nil {
					return err
				}
				for _, r := range page.Resources {
					ids = append(ids, r.ID)
				}
				return nil
			}); err != nil {
				t.Errorf("%s: %v", query, err)
				continue
			}
			for _, w := range strings.Fields(want) {
				if !strings.Contains(" "+strings.Join(ids, " ")+" ", " "+w+" ") {
					t.Errorf("%s gives %v, want %s", query, ids, want)
				}
			}
			if len(ids) != len(strings.Fields(want)) {
				t.Errorf("%s gives %v, want %s", query, ids, want)
			}
		}
		err := b.d.View(context.Background(), scope(1), func(tx *db.Tx) error {
			_, err := b.Terms(context.Background(), tx, fhirstore.CodeQuestion{Modifier: "below", System: "http://snomed.info/sct", Code: "1"})
			return err
		})
		var i *fhir.Issue
		if !errors.As(err, &i) || i.Code != "not-found" {
			t.Errorf("a hierarchy that is not here: %v", err)
		}
	})
}
