package fhirapi

import (
	"fmt"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
)

// Writing under a guessed id is answered alike whether nothing is there or something hidden: by its label, by a narrowing, by
// another patient's compartment.
func TestAGuessedIDTellsNothing(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		all := auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate | auth.CanDelete
		types := map[string]auth.Bits{"Patient": all, "Observation": all}
		k.as["labels"] = auth.AsApp(1, auth.Access{Types: types, Forbidden: auth.LabelPsychotherapy})
		k.as["narrow"] = auth.AsApp(1, auth.Access{Types: types, Narrow: map[string][]auth.Narrowing{"Observation": {{Params: "status=final", Bits: all}}}})
		k.must(201, "system", "PUT", "Patient/ann", ann)
		k.must(201, "system", "PUT", "Patient/bob", `{"resourceType":"Patient","id":"bob"}`)
		const form = `{"resourceType":"Observation","id":"%s","status":"%s","code":{"text":"x"},"subject":{"reference":"Patient/%s"}%s}`
		secret := `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]}`
		k.must(201, "system", "PUT", "Observation/secret", fmt.Sprintf(form, "secret", "final", "ann", secret))
		k.must(201, "system", "PUT", "Observation/draft", fmt.Sprintf(form, "draft", "preliminary", "ann", ""))
		k.must(201, "system", "PUT", "Observation/other", fmt.Sprintf(form, "other", "final", "bob", ""))
		k.must(201, "system", "PUT", "Observation/seen", fmt.Sprintf(form, "seen", "final", "ann", ""))
		for _, c := range []struct{ as, hidden string }{{"labels", "secret"}, {"narrow", "draft"}, {"ann", "other"}} {
			body := func(id string) string { return fmt.Sprintf(form, id, "final", "ann", "") }
			for _, p := range []func(id string) reply{
				func(id string) reply { return k.ask(c.as, "PUT", "Observation/"+id, body(id)) },
				func(id string) reply { return k.ask(c.as, "PUT", "Observation/"+id, body(id), `If-Match: W/"1"`) },
				func(id string) reply { return k.ask(c.as, "PUT", "Observation/"+id, body(id), `If-None-Match: *`) },
				func(id string) reply { return k.ask(c.as, "PUT", "Observation?status=amended", body(id)) },
				func(id string) reply { return k.ask(c.as, "DELETE", "Observation/"+id, "") },
				func(id string) reply {
					return k.ask(c.as, "POST", "", bundleOf("transaction", entryOf("PUT", "Observation/"+id, body(id)), entryOf("DELETE", "Observation/none", "")))
				},
				func(id string) reply {
					return k.ask(c.as, "POST", "", bundleOf("transaction", entryOf("PUT", "Observation?status=amended", body(id))))
				},
				func(id string) reply {
					return k.ask(c.as, "POST", "", bundleOf("batch", entryOf("PUT", "Observation/"+id, body(id)), entryOf("GET", "Observation/none", "")))
				},
			} {
				hidden, none := p(c.hidden), p("nothing-is-here")
				if got := strings.ReplaceAll(hidden.body, c.hidden, "nothing-is-here"); hidden.status != none.status || got != none.body {
					t.Errorf("%s: %d %s\nnot there: %d %s", c.as, hidden.status, hidden.body, none.status, none.body)
				}
			}
			if r := k.ask(c.as, "PUT", "Observation/seen", body("seen")); r.status != 200 {
				t.Errorf("%s: what is seen cannot be written: %d %s", c.as, r.status, r.body)
			}
			k.must(201, c.as, "POST", "Observation", body("new"))
		}
	})
}
