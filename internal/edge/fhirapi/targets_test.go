package fhirapi

import (
	"context"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
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

// TestHiddenContext: by every way to write, what leads into a visit or a chart that is hidden is answered to the letter as what leads to
// what was deleted or never was, whatever the practice wants of references, and what leads to what is seen is taken.
func TestHiddenContext(t *testing.T) {
	for _, policy := range []fhirstore.Targets{fhirstore.AnyTarget, fhirstore.WarnTarget, fhirstore.MustTarget} {
		dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
			k := deskOn(t, d, func(o *Options) {
				o.Store.Targets = func(context.Context, db.Scope) (fhirstore.Targets, error) { return policy, nil }
			})
			k.as["program"] = auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy, Charts: map[string]auth.ChartRule{"hidden": {Closed: true}}})
			k.must(201, "system", "PUT", "Patient/ann", ann)
			for _, id := range []string{"seen", "hidden", "deleted"} {
				k.must(201, "system", "PUT", "Patient/"+id, `{"resourceType":"Patient","id":"`+id+`"}`)
				meta := ""
				if id == "hidden" {
					meta = `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},`
				}
				k.must(201, "system", "PUT", "Encounter/"+id, `{"resourceType":"Encounter","id":"`+id+`",`+meta+`"status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"}}`)
			}
			k.must(204, "system", "DELETE", "Encounter/deleted", "")
			k.must(204, "system", "DELETE", "Patient/deleted", "")
			k.must(201, "system", "PUT", "Observation/there", observation("there", "Patient/ann", "1-1"))
			in := func(at string) string { // a visit, or a chart
				if strings.HasPrefix(at, "Patient/") {
					return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"` + at + `"}}`
				}
				return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"},"encounter":{"reference":"` + at + `"}}`
			}
			brought := map[string]string{"Patient": `{"resourceType":"Patient",`, "Encounter": `{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"},`}
			patch := func(at string) string {
				if strings.HasPrefix(at, "Patient/") {
					return `[{"op":"replace","path":"/subject/reference","value":"` + at + `"}]`
				}
				return `[{"op":"add","path":"/encounter","value":{"reference":"` + at + `"}}]`
			}
			for _, way := range []struct {
				name   string
				seen   int
				status int
				ask    func(at string) reply
			}{
				{"create", 201, 422, func(at string) reply { return k.ask("program", "POST", "Observation", in(at)) }},
				{"create, shown", 201, 422, func(at string) reply {
					return k.ask("program", "POST", "Observation", in(at), "Prefer: return=representation")
				}},
				{"create, judged", 201, 422, func(at string) reply {
					return k.ask("program", "POST", "Observation", in(at), "Prefer: return=OperationOutcome")
				}},
				{"if none exists", 201, 422, func(at string) reply {
					return k.ask("program", "POST", "Observation", in(at), "If-None-Exist: code=no-such")
				}},
				{"update", 200, 422, func(at string) reply {
					return k.ask("program", "PUT", "Observation/there", strings.Replace(in(at), `"Observation",`, `"Observation","id":"there",`, 1))
				}},
				{"conditional update", 200, 422, func(at string) reply { return k.ask("program", "PUT", "Observation?_id=there", in(at)) }},
				{"patch", 200, 422, func(at string) reply {
					return k.ask("program", "PATCH", "Observation/there", patch(at), "Content-Type: application/json-patch+json")
				}},
				{"transaction", 200, 422, func(at string) reply {
					return k.ask("program", "POST", "", bundleOf("transaction", entryOf("POST", "Observation", in(at)), entryOf("PUT", "Patient/ann", ann)))
				}},
				{"transaction that brings it", 200, 404, func(at string) reply {
					typ, id, _ := strings.Cut(at, "/")
					return k.ask("program", "POST", "", bundleOf("transaction", entryOf("POST", "Observation", in(at)), entryOf("PUT", at, brought[typ]+`"id":"`+id+`"}`)))
				}},
				{"batch", 200, 200, func(at string) reply {
					return k.ask("program", "POST", "", bundleOf("batch", entryOf("POST", "Observation", in(at))))
				}},
			} {
				for _, typ := range []string{"Encounter", "Patient"} {
					none := way.ask(typ + "/none")
					if none.status != way.status {
						t.Errorf("%s of %s: what is not there is answered %d: %s", way.name, typ, none.status, none.body)
					}
					for _, id := range []string{"hidden", "deleted"} {
						if way.status == 404 && id == "deleted" {
							continue // what somebody could see and deleted they may write anew
						}
						if got := way.ask(typ + "/" + id); got.status != none.status || strings.ReplaceAll(got.body, id, "none") != none.body {
							t.Errorf("%s into %s: %d %s\nand where there is none %d %s", way.name, id, got.status, got.body, none.status, none.body)
						}
					}
					if got := way.ask(typ + "/seen"); got.status != way.seen {
						t.Errorf("%s of %s: what is seen is answered %d: %s", way.name, typ, got.status, got.body)
					}
					k.must(200, "system", "PUT", "Observation/there", observation("there", "Patient/ann", "1-1"))
				}
			}
		})
	}
}
