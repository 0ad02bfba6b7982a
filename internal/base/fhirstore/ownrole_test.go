package fhirstore

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// TestOwnRolesFilterEverySearch has practices decide at random about roles of their own, and compares what people who have them find
// with a plain look at all resources. Nobody is given what no cell gives.
func TestOwnRolesFilterEverySearch(t *testing.T) {
	types := []string{"Patient", "Observation", "Encounter", "Task", "Practitioner"}
	labels := []string{"restricted", "hiv", "substance-use"}
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := benchOn(t, d)
		b.Terms = testTerms
		ctx, sys := t.Context(), auth.SystemScope(1, "test")
		a := auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
		if _, err := a.Adopt(ctx, 1, []byte(`{"slug":"alder","name":"The Alder","idleSeconds":900,"absoluteSeconds":36000}`), "", ""); err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, like := range map[string]auth.Role{"Scribe": auth.Nurse, "Clerk": auth.Biller, "Gone": auth.Clinician} {
			_, err := a.AddRole(ctx, sys, name, like)
			must(err)
		}
		own, err := a.OwnRolesOf(ctx, sys)
		must(err)
		by := map[string]auth.Role{}
		for _, o := range own {
			by[o.Name] = o.Role
		}
		sets := [][]auth.Role{{by["Scribe"]}, {by["Clerk"]}, {by["Scribe"], by["Clerk"]}, {by["Scribe"], auth.FrontDesk}, {by["Gone"]}}
		var users []int64
		for i, roles := range sets {
			id, err := a.AddUser(ctx, sys, auth.User{Login: "user" + string(rune('0'+i)), Display: "User", Roles: roles})
			must(err)
			users = append(users, id)
		}
		// The bit of a retired role stays in memberships, and opens nothing.
		must(a.Disable(ctx, sys, users[4]))
		must(a.RetireRole(ctx, sys, by["Gone"]))
		must(a.Enable(ctx, sys, users[4]))

		var all []*Resource
		found := 0
		for round := range 5 {
			b.do(func(ctx context.Context, tx *db.Tx) error {
				for _, r := range all {
					if err := b.Delete(ctx, tx, r.Type, r.ID, 0); err != nil {
						return err
					}
				}
				return nil
			})
			all = b.put(rapid.Custom(worlds).Example(round*5 + 2)...)
			for i, r := range all { // an Encounter's labels have reached what was recorded in it
				all[i] = b.get(r.Type, r.ID)
			}
			cells := rapid.Custom(func(rt *rapid.T) (out []auth.RoleRule) {
				for _, role := range []auth.Role{by["Scribe"], by["Clerk"]} {
					for _, typ := range types {
						bits := rapid.SampledFrom([]auth.Bits{0, auth.CanRead, auth.CanRead | auth.CanSearch, auth.CanRead | auth.CanSearch}).Draw(rt, "bits")
						out = append(out, auth.RoleRule{Role: role, Kind: auth.RuleType, Name: typ, Value: int64(bits)})
					}
					for _, l := range labels {
						out = append(out, auth.RoleRule{Role: role, Kind: auth.RuleLabel, Name: l, Value: int64(rapid.IntRange(0, 1).Draw(rt, "label"))})
					}
				}
				return out
			}).Example(round + 1)
			must(a.ChangeMatrix(ctx, sys, cells))
			var who []db.Scope
			for _, u := range users {
				_, s, err := a.DemoSignIn(ctx, 1, u)
				must(err)
				who = append(who, s)
			}
			for _, c := range cells {
				if c.Kind != auth.RuleType {
					continue
				}
				for i, roles := range sets[:2] {
					if got := auth.AccessOf(who[i]).Types[c.Name]; c.Role == roles[0] && int64(got) != c.Value {
						t.Errorf("%s reaches %s of %s, was given %s", c.Role, got, c.Name, auth.Bits(c.Value))
					}
				}
			}
			for i := range 40 {
				request := rapid.SampledFrom(kernelRequests).Example(round*40 + i + 1)
				for n, s := range who {
					hits := b.agree(s, all, request)
					if found += hits; n == 4 && hits > 0 {
						t.Errorf("%s: a retired role finds %d", request, hits)
					}
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		}
		if found < 100 {
			t.Errorf("only %d resources were found: this tries too little", found)
		}
	})
}
