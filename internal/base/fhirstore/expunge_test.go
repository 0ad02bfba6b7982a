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
	"yarrow.health/internal/standards/fhir"
)

func TestExpunge(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		patient := func(id string) string {
			return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"name":[{"family":"Family%s"}]}`, id, id)
		}
		note := func(id, patient, more string) string {
			return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"coding":[{"code":"c"}]},"subject":{"reference":"Patient/%s"}%s}`, id, patient, more)
		}
		b.put(patient("a"), patient("b"), note("a1", "a", ""), note("a2", "a", ""), note("b1", "b", ""), note("b2", "b", `,"performer":[{"reference":"Patient/a"}]`), note("moved", "a", ""))
		b.put(note("moved", "b", ""), note("a1", "a", `,"valueString":"x"`))
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Observation", "a2", 0) })
		count := func(table string) (n int64) {
			b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
				return tx.QueryRow(ctx, tx.Compile("SELECT COUNT(*) FROM "+table+" WHERE practice_id = $1"), int64(1)).Scan(&n)
			})
			return n
		}
		b.do(func(ctx context.Context, tx *db.Tx) error {
			n, err := b.ExpungeVersions(ctx, tx, "Observation/a1", "Observation/none", "Nonsense/x")
			if n != 1 {
				t.Errorf("versions of %d resources", n)
			}
			return err
		})
		if got := strings.Join(b.versions(system(1), HistoryQuery{Type: "Observation", ID: "a1"}), " "); got != "Observation/a1/2" {
			t.Errorf("after its versions were expunged a1 has %s", got)
		}
		before := b.everything(1)
		var at int64
		b.view(system(1), func(ctx context.Context, tx *db.Tx) (err error) { at, err = b.LastChange(ctx, tx); return err })
		e, err := b.ErasePatient(t.Context(), system(1), "a", nil)
		if err != nil || e.Resources != 3 || e.Versions != 1 || strings.Join(e.Shared, " ") != "Observation/b2" {
			t.Fatalf("erasure: %+v %v", e, err)
		}
		if after := b.everything(1); len(after) != len(before)-2 {
			t.Errorf("%d resources are left of %d", len(after), len(before))
		}
		if got := strings.Join(b.versions(system(1), HistoryQuery{Type: "Observation"}), " "); strings.Contains(got, "moved/1") || strings.Contains(got, "a1/1") || strings.Contains(got, "a2/1") {
			t.Errorf("the history still has %s", got)
		}
		all := b.versions(system(1), HistoryQuery{})
		for _, gone := range []string{"Patient/a", "Observation/a1", "Observation/a2"} {
			if slices.ContainsFunc(all, func(v string) bool { return strings.HasPrefix(v, gone+"/") }) {
				t.Errorf("the history of everything still has %s: %v", gone, all)
			}
			typ, id, _ := strings.Cut(gone, "/")
			err := b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Read(ctx, tx, typ, id); return err })
			if i, ok := err.(*fhir.Issue); !ok || i.Code != "not-found" {
				t.Errorf("%s is read: %v", gone, err)
			}
		}
		for _, request := range []string{"Patient?name=familya", "Observation?patient=a&_id=a1,a2", "Patient?_id=a"} {
			if ids, _, err := b.search(system(1), request); err != nil || len(ids) > 0 {
				t.Errorf("%s still finds %v %v", request, ids, err)
			}
		}
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			changed, _, err := b.Changes(ctx, tx, at, 100)
			gone := 0
			for _, r := range changed {
				if r.Deleted && len(r.Raw) == 0 {
					gone++
				}
			}
			if gone != 3 {
				t.Errorf("%d of 3 are told of", gone)
			}
			return err
		})
		if r := b.check(false); !r.Sound() {
			t.Errorf("after the erasure: %+v", r)
		}
		if e, err = b.ErasePatient(t.Context(), system(1), "a", nil); err != nil || e.Resources != 0 || e.Versions != 0 {
			t.Errorf("again: %+v %v", e, err)
		}
		b.put(note("a2", "b", "")) // over a mark: a new resource without a past
		if got := strings.Join(b.versions(system(1), HistoryQuery{Type: "Observation", ID: "a2"}), " "); strings.Count(got, "Observation") != 1 {
			t.Errorf("a resource written anew has the history %s", got)
		}
		if r := b.check(false); !r.Sound() {
			t.Errorf("after an id was used again: %+v", r)
		}
		b.do(func(ctx context.Context, tx *db.Tx) error { _, err := b.Expunge(ctx, tx, "Observation/a2"); return err })
		rows := count("resource")
		b.do(func(ctx context.Context, tx *db.Tx) error {
			if n, err := b.SweepExpunged(ctx, tx, time.UnixMicro(at)); n != 0 || err != nil {
				t.Errorf("swept %d too early: %v", n, err)
			}
			n, err := b.SweepExpunged(ctx, tx, tx.Now().Add(time.Hour))
			if n != 3 {
				t.Errorf("swept %d", n)
			}
			return err
		})
		if got := count("resource"); got != rows-3 {
			t.Errorf("%d rows of %d", got, rows)
		}
		b.put(patient("a")) // the id is free
		for _, s := range []db.Scope{patientApp("Patient/b"), auth.AsStaff(1, 1, "Admin", "", auth.Administrator)} {
			err := b.try(s, func(ctx context.Context, tx *db.Tx) error { _, err := b.Expunge(ctx, tx, "Patient/b"); return err })
			if i, ok := err.(*fhir.Issue); !ok || i.Code != "forbidden" {
				t.Errorf("%T expunges: %v", s, err)
			}
		}
	})
}
