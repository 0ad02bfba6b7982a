package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// TestNarrowedScopes: a granular scope holds for every way to a resource, not only for searches.
func TestNarrowedScopes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		observation := func(id, category, status string) string {
			return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%q,"category":[{"coding":[{"code":%q}]}],"code":{"text":"x"},"subject":{"reference":"Patient/a"},
				"hasMember":[{"reference":"Observation/lab"}]}`, id, status, category)
		}
		b.put(`{"resourceType":"Patient","id":"a","name":[{"family":"Ash"}]}`, observation("lab", "laboratory", "final"), observation("vital", "vital-signs", "final"),
			observation("was-lab", "laboratory", "final"), observation("gone-lab", "laboratory", "final"), observation("gone-vital", "vital-signs", "final"))
		b.put(observation("was-lab", "vital-signs", "amended"))
		b.do(func(ctx context.Context, tx *db.Tx) error {
			if err := b.Delete(ctx, tx, "Observation", "gone-lab", 0); err != nil {
				return err
			}
			return b.Delete(ctx, tx, "Observation", "gone-vital", 0)
		})
		vitals := narrowed(auth.Access{All: true}, "Observation", "category=vital-signs")
		code := func(err error) string {
			if err == nil {
				return ""
			}
			if i, ok := err.(*fhir.Issue); ok {
				return i.Code
			}
			return err.Error()
		}
		read := func(id string) func(ctx context.Context, tx *db.Tx) error {
			return func(ctx context.Context, tx *db.Tx) error { _, err := b.Read(ctx, tx, "Observation", id); return err }
		}
		version := func(id string, v int64) func(ctx context.Context, tx *db.Tx) error {
			return func(ctx context.Context, tx *db.Tx) error {
				_, err := b.ReadVersion(ctx, tx, "Observation", id, v)
				return err
			}
		}
		write := func(raw string) func(ctx context.Context, tx *db.Tx) error {
			return func(ctx context.Context, tx *db.Tx) error {
				p, err := b.Prepare(ctx, []byte(raw))
				if err == nil {
					_, err = b.Update(ctx, tx, p, 0)
				}
				return err
			}
		}
		remove := func(id string) func(ctx context.Context, tx *db.Tx) error {
			return func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Observation", id, 0) }
		}
		for _, c := range []struct {
			name string
			do   func(ctx context.Context, tx *db.Tx) error
			want string
		}{
			{"a vital sign", read("vital"), ""}, {"a lab", read("lab"), "not-found"}, {"what is a vital sign now", read("was-lab"), ""},
			{"its version as a lab", version("was-lab", 1), "not-found"}, {"its version now", version("was-lab", 2), ""},
			{"a lab deleted", read("gone-lab"), "not-found"}, {"a vital sign deleted", read("gone-vital"), "deleted"},
			{"a lab's history", func(ctx context.Context, tx *db.Tx) error {
				_, err := b.History(ctx, tx, "Observation", "lab", 0, 10)
				return err
			}, "not-found"},
			{"create a lab", write(observation("new", "laboratory", "final")), "forbidden"}, {"create a vital sign", write(observation("new", "vital-signs", "final")), ""},
			{"make a vital sign a lab", write(observation("vital", "laboratory", "final")), "forbidden"}, {"make a lab a vital sign", write(observation("lab", "vital-signs", "final")), "not-found"},
			{"write over a deleted lab", write(observation("gone-lab", "vital-signs", "final")), "not-found"},
			{"delete a lab", remove("lab"), "not-found"}, {"delete a vital sign", remove("new"), ""},
		} {
			if got := code(b.try(vitals, c.do)); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
		if got := strings.Join(b.versions(vitals, HistoryQuery{Type: "Observation", Count: 1}), " "); got != "-Observation/new/2 Observation/new/1 -Observation/gone-vital/2 Observation/was-lab/2 Observation/gone-vital/1 Observation/vital/1" {
			t.Errorf("history of the type: %s", got)
		}
		ids, included, err := b.search(vitals, "Observation?_include=Observation:has-member&_revinclude=Observation:has-member")
		slices.Sort(ids)
		if err != nil || strings.Join(ids, " ") != "vital was-lab" || len(included) != 0 {
			t.Errorf("search with what is referred to: %v %v %v", ids, included, err)
		}
		b.view(vitals, func(ctx context.Context, tx *db.Tx) error {
			for _, total := range []string{"accurate", "estimate"} {
				page, err := b.Search(ctx, tx, parse(t, "Observation?_total="+total))
				if err != nil || page.Total != 2 {
					t.Errorf("%s total %d: %v", total, page.Total, err)
				}
			}
			many, err := b.ReadMany(ctx, tx, []string{"Observation/lab", "Observation/vital", "Patient/a"})
			if err != nil || len(many) != 2 {
				t.Errorf("ReadMany gives %d: %v", len(many), err)
			}
			chart, err := b.Compartment(ctx, tx, "a", []string{"Observation"}, 1)
			if err != nil || len(chart.ByType["Observation"]) != 1 || !chart.Cut["Observation"] {
				t.Errorf("chart: %+v %v", chart, err)
			}
			changed, _, err := b.Changes(ctx, tx, 0, 100)
			for _, r := range changed {
				if strings.Contains(r.ID, "lab") && r.ID != "was-lab" {
					t.Errorf("Changes tells of %s", r.Reference())
				}
			}
			return err
		})
		// A scope that may search all and read vital signs only.
		mixed := auth.AsApp(1, auth.Access{All: true, Narrow: map[string][]auth.Narrowing{"Observation": {{Bits: auth.CanSearch}, {Params: "category=vital-signs", Bits: auth.CanRead}}}})
		if ids, included, err = b.search(mixed, "Observation?category=laboratory&_include=Observation:has-member"); err != nil || strings.Join(ids, " ") != "lab" || len(included) != 0 {
			t.Errorf("search apart from read: %v %v %v", ids, included, err)
		}
		if got := code(b.try(mixed, read("lab"))); got != "not-found" {
			t.Errorf("read apart from search: %q", got)
		}
	})
}

// TestNarrowedScopesCountTheirOwn: the index keeps categories as bits of one number, of which some stand for two; none of the other's
// resources are counted, not even in an estimate.
func TestNarrowedScopesCountTheirOwn(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const categories = 80 // more than there are bits
		var all []string
		for i := range categories {
			all = append(all, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","category":[{"coding":[{"code":"c%d"}]}],"code":{"text":"x"}}`, i, i))
		}
		b.put(all...)
		for i := range categories {
			b.view(narrowed(auth.Access{All: true}, "Observation", fmt.Sprintf("category=c%d", i)), func(ctx context.Context, tx *db.Tx) error {
				for _, total := range []string{"_total=accurate", "_total=estimate", "_summary=count"} {
					page, err := b.Search(ctx, tx, parse(t, "Observation?"+total))
					if err != nil || page.Total != 1 {
						t.Errorf("category c%d, %s: %d: %v", i, total, page.Total, err)
					}
				}
				return nil
			})
		}
	})
}

// TestVersionsAboutAnotherPatient: a resource that was filed under the wrong patient takes none of that patient's
// record along.
func TestVersionsAboutAnotherPatient(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		note := func(patient string) string {
			return fmt.Sprintf(`{"resourceType":"Observation","id":"o","status":"final","code":{"text":"of %s"},"subject":{"reference":"Patient/%s"}}`, patient, patient)
		}
		b.put(`{"resourceType":"Patient","id":"a"}`, `{"resourceType":"Patient","id":"b"}`, note("a"))
		b.put(note("b"))
		if got := strings.Join(b.versions(patientApp("Patient/b"), HistoryQuery{}), " "); got != "Observation/o/2 Patient/b/1" {
			t.Errorf("b sees %s", got)
		}
		closed := auth.AsApp(1, auth.Access{All: true, Charts: map[string]auth.ChartRule{"a": {Closed: true}}})
		if got := strings.Join(b.versions(closed, HistoryQuery{Type: "Observation"}), " "); got != "Observation/o/2" {
			t.Errorf("with a's chart closed one sees %s", got)
		}
		b.view(patientApp("Patient/b"), func(ctx context.Context, tx *db.Tx) error {
			if _, err := b.ReadVersion(ctx, tx, "Observation", "o", 1); err == nil {
				t.Error("b reads a version about a")
			}
			h, err := b.History(ctx, tx, "Observation", "o", 0, 10)
			if len(h) != 1 {
				t.Errorf("b's history of o has %d versions", len(h))
			}
			return err
		})
	})
}
