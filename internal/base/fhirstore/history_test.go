package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// versions reads all pages of a history as "Type/id/version", a deletion with a minus before it.
func (b *bench) versions(s db.Scope, q HistoryQuery) (out []string) {
	b.t.Helper()
	b.view(s, func(ctx context.Context, tx *db.Tx) error {
		for q.Page = ""; ; {
			page, err := b.Versions(ctx, tx, q)
			if err != nil {
				return err
			}
			for _, r := range page.Versions {
				name := fmt.Sprintf("%s/%d", r.Reference(), r.Version)
				if r.Deleted {
					name = "-" + name
				}
				out = append(out, name)
			}
			if page.Next == "" {
				return nil
			}
			q.Page = page.Next
		}
	})
	return out
}

func TestHistoryOfTypesAndPractice(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		patient := func(id, family, more string) string {
			return fmt.Sprintf(`{"resourceType":"Patient","id":%q,%s"name":[{"family":%q}]}`, id, more, family)
		}
		note := func(id, patient, status, label string) string {
			return fmt.Sprintf(`{"resourceType":"Observation","id":%q,%s"status":%q,"code":{"text":"x"},"subject":{"reference":"Patient/%s"}}`, id, label, status, patient)
		}
		secret := `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},`
		b.put(patient("a", "Ash", ""), patient("b", "Birch", ""), note("x", "a", "preliminary", secret), note("y", "b", "final", ""))
		var one *Resource
		b.do(func(ctx context.Context, tx *db.Tx) (err error) {
			one, err = b.Unlabel(ctx, tx, "Observation", "x", 0, auth.LabelPsychotherapy, "no note of a session")
			return err
		})
		b.put(patient("a", "Ashby", ""))
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Observation", "y", 0) })
		last := b.put(note("z", "a", "final", ""))[0]

		all := "Observation/z/1 -Observation/y/2 Patient/a/2 Observation/x/2 Observation/y/1 Observation/x/1 Patient/b/1 Patient/a/1"
		notes := "Observation/z/1 -Observation/y/2 Observation/x/2 Observation/y/1 Observation/x/1"
		clinician := auth.AsStaff(1, 1, "Clinician", "Practitioner/d", auth.Clinician)
		for _, c := range []struct {
			name string
			s    db.Scope
			q    HistoryQuery
			want string
		}{
			{"everything", system(1), HistoryQuery{}, all},
			{"in pages of one", system(1), HistoryQuery{Count: 1}, all},
			{"in pages of three", system(1), HistoryQuery{Count: 3}, all},
			{"a type", system(1), HistoryQuery{Type: "Observation", Count: 2}, notes},
			{"one resource", system(1), HistoryQuery{Type: "Observation", ID: "y"}, "-Observation/y/2 Observation/y/1"},
			{"one resource in pages", system(1), HistoryQuery{Type: "Patient", ID: "a", Count: 1}, "Patient/a/2 Patient/a/1"},
			{"since", system(1), HistoryQuery{Since: one.Updated}, "Observation/z/1 -Observation/y/2 Patient/a/2 Observation/x/2"},
			{"since later", system(1), HistoryQuery{Type: "Observation", Since: one.Updated.Add(time.Microsecond)}, "Observation/z/1 -Observation/y/2"},
			{"at a moment", system(1), HistoryQuery{AtFrom: one.Updated, AtTo: one.Updated.Add(time.Microsecond)}, "Observation/x/2 Observation/y/1 Patient/b/1 Patient/a/1"},
			{"at the end", system(1), HistoryQuery{Type: "Observation", AtFrom: last.Updated, AtTo: last.Updated.Add(time.Hour)}, "Observation/z/1 -Observation/y/2 Observation/x/2"},
			{"before everything", system(1), HistoryQuery{AtTo: one.Updated.Add(-time.Hour)}, ""},
			{"without notes that are kept apart", clinician, HistoryQuery{Type: "Observation"}, strings.TrimSuffix(notes, " Observation/x/1")},
			{"of a patient's own", patientApp("Patient/a"), HistoryQuery{}, "Observation/z/1 Patient/a/2 Observation/x/2 Patient/a/1"},
			{"of another's", patientApp("Patient/b"), HistoryQuery{Count: 1}, "-Observation/y/2 Observation/y/1 Patient/b/1"},
			{"of the types one may read", auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead}}), HistoryQuery{}, "Patient/a/2 Patient/b/1 Patient/a/1"},
		} {
			if got := strings.Join(b.versions(c.s, c.q), " "); got != c.want {
				t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
			}
		}
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			first, err := b.Versions(ctx, tx, HistoryQuery{Count: 2})
			if err != nil {
				return err
			}
			for _, other := range []HistoryQuery{{Type: "Patient", Page: first.Next}, {Since: one.Updated, Page: first.Next}, {Page: "x"}, {Page: "AAAA"}} {
				if _, err := b.Versions(ctx, tx, other); err == nil {
					t.Errorf("a cursor fits a history it was not made for: %+v", other)
				}
			}
			return nil
		})
		if err := b.d.View(t.Context(), auth.AsApp(1, auth.Access{}), func(tx *db.Tx) error {
			got, err := b.Versions(t.Context(), tx, HistoryQuery{})
			if err == nil && len(got.Versions) > 0 {
				t.Error("nobody sees something")
			}
			if _, err := b.Versions(t.Context(), tx, HistoryQuery{Type: "Patient"}); err == nil {
				t.Error("a type nobody may read has a history")
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if r := b.everything(1); !slices.ContainsFunc(r, func(r *Resource) bool { return r.ID == "z" }) {
			t.Error("z is missing")
		}
	})
}
