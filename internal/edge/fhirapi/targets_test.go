package fhirapi

import (
	"context"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
)

// holds checks what must and what must not appear in an answer.
func (r reply) holds(t *testing.T, name string, has, lacks []string) {
	t.Helper()
	for _, text := range has {
		if !strings.Contains(r.body, text) {
			t.Errorf("%s: %q is missing in %s", name, text, r.body)
		}
	}
	for _, text := range lacks {
		if strings.Contains(r.body, text) {
			t.Errorf("%s: %q stands in %s", name, text, r.body)
		}
	}
}

// TestReferencesThatLeadNowhere: each way to write tells of them, as the practice wants it.
func TestReferencesThatLeadNowhere(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy fhirstore.Targets
		status int // of a write that refers to nothing
		has    string
	}{
		{"reject", fhirstore.MustTarget, 422, `"error"`},
		{"warn", fhirstore.WarnTarget, 201, `"warning"`},
		{"off", fhirstore.AnyTarget, 201, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
				k := deskOn(t, d, func(o *Options) {
					o.Store.Targets = func(context.Context, db.Scope) (fhirstore.Targets, error) { return c.policy, nil }
				})
				k.must(201, "system", "PUT", "Patient/ann", ann)
				k.must(201, "system", "PUT", "Patient/bob", `{"resourceType":"Patient","id":"bob"}`)
				const tell, place, nowhere = "Prefer: return=OperationOutcome", "Observation.subject.reference", "leads to no Patient"
				says := func(name string, r reply, path string) {
					t.Helper()
					if c.has == "" {
						r.holds(t, name, nil, []string{nowhere})
						return
					}
					r.holds(t, name, []string{nowhere, path, c.has, "Store what it means first"}, []string{"none-such"})
				}
				patched := c.status
				if patched == 201 {
					patched = 200
				}
				k.must(201, "system", "POST", "Observation", observation("", "Patient/ann", "1-1"), tell).holds(t, "what is here", nil, []string{nowhere})
				k.must(201, "system", "PUT", "Observation/there", observation("there", "Patient/ann", "1-1"))
				says("create", k.must(c.status, "system", "POST", "Observation", observation("", "Patient/none-such", "1-1"), tell), place)
				says("update as create", k.must(c.status, "system", "PUT", "Observation/o", observation("o", "Patient/none-such", "1-1"), tell), place)
				says("conditional update", k.must(c.status, "system", "PUT", "Observation?code=2-2", observation("", "Patient/none-such", "2-2"), tell), place)
				says("patch", k.must(patched, "system", "PATCH", "Observation/there", `[{"op":"replace","path":"/subject/reference","value":"Patient/none-such"}]`, tell, "Content-Type: application/json-patch+json"), place)
				k.must(c.status, "system", "POST", "Observation", observation("", "Patient/none-such", "1-1"), "Prefer: return=representation").holds(t, "nobody is told", nil, []string{`"warning"`})
				whole := 200
				if c.policy == fhirstore.MustTarget {
					whole = 422
				}
				says("transaction", k.must(whole, "system", "POST", "", bundleOf("transaction", entryOf("POST", "Observation", observation("", "Patient/none-such", "1-1")))), "Bundle.entry[0].resource.ofType(Observation).subject.reference")
				says("batch", k.must(200, "system", "POST", "", bundleOf("batch", entryOf("POST", "Observation", observation("", "Patient/none-such", "1-1")))), place)
				k.must(200, "system", "POST", "", bundleOf("transaction", entryOf("PUT", "Observation/p", observation("p", "Patient/cat", "1-1")), entryOf("PUT", "Patient/cat", `{"resourceType":"Patient","id":"cat"}`))).holds(t, "an entry of its own", nil, []string{nowhere})
				// A patient's program is told the same of another patient and of nobody.
				performed := func(by string) string {
					return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"},"performer":[{"reference":"` + by + `"}]}`
				}
				one, two := k.must(c.status, "ann", "POST", "Observation", performed("Patient/bob"), tell), k.must(c.status, "ann", "POST", "Observation", performed("Patient/none-such"), tell)
				says("hidden", one, "Observation.performer[0].reference")
				if one.body != two.body {
					t.Errorf("what is hidden is told apart from what is not there:\n%s\n%s", one.body, two.body)
				}
			})
		})
	}
}
