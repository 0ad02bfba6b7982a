package fhirstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const psychotherapy = `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]}`

// contexts are the ways in which what is written takes part of its access from something else: a resource of an id, and what it
// refers to.
var contexts = []struct{ name, typ, target, raw string }{
	{"encounter", "Observation", "Encounter", `{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/a"},"encounter":{"reference":"%s"}}`},
	{"context", "DocumentReference", "Encounter", `{"resourceType":"DocumentReference","id":"%s","status":"current","content":[{"attachment":{"title":"x"}}],"context":{"encounter":[{"reference":"%s"}]}}`},
	{"based on", "Procedure", "ServiceRequest", `{"resourceType":"Procedure","id":"%s","status":"completed","subject":{"reference":"Patient/a"},"basedOn":[{"reference":"%s"}]}`},
	{"part of", "Procedure", "Procedure", `{"resourceType":"Procedure","id":"%s","status":"completed","subject":{"reference":"Patient/a"},"partOf":[{"reference":"%s"}]}`},
	{"derived from", "Observation", "Observation", `{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/a"},"derivedFrom":[{"reference":"%s"}]}`},
	{"focus", "Task", "Observation", `{"resourceType":"Task","id":"%s","status":"requested","intent":"order","focus":{"reference":"%s"}}`},
	{"target", "Provenance", "Condition", `{"resourceType":"Provenance","id":"%s","recorded":"2024-01-01T00:00:00Z","agent":[{"who":{"display":"x"}}],"target":[{"reference":"%s"}]}`},
	{"item", "List", "Condition", `{"resourceType":"List","id":"%s","status":"current","mode":"working","entry":[{"item":{"reference":"%s"}}]}`},
	{"subject", "Observation", "Patient", `{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},"subject":{"reference":"%s"}}`},
	{"performer", "Observation", "Patient", `{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/a"},"performer":[{"reference":"%s"}]}`},
}

// targetOf is something to refer to, in the record of a patient, with more in its body.
func targetOf(typ, id, patient, more string) string {
	head := fmt.Sprintf(`{"resourceType":%q,"id":%q`, typ, id)
	if more != "" {
		head += "," + more
	}
	subject := `,"subject":{"reference":"Patient/` + patient + `"}}`
	switch typ {
	case "Patient":
		return head + "}"
	case "Encounter":
		return head + `,"status":"finished","class":{"code":"AMB"}` + subject
	case "ServiceRequest":
		return head + `,"status":"active","intent":"order"` + subject
	case "Procedure":
		return head + `,"status":"completed"` + subject
	case "Condition":
		return head + `,"code":{"text":"x"}` + subject
	}
	return head + `,"status":"final","code":{"text":"x"}` + subject
}

// TestContextTellsNothing: what is written into a context that its writer may not see is answered as if the context were not there, in
// every mode and by every way to write. What a resource referred to before does not keep it from being changed, nor make it vanish.
func TestContextTellsNothing(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"a"}`, `{"resourceType":"Patient","id":"b"}`)
		for _, c := range contexts {
			closed := "b"
			if c.target == "Patient" {
				closed = c.target + "-closed"
			}
			if c.target != "Patient" {
				b.put(targetOf(c.target, c.target+"-labelled", "a", psychotherapy))
			}
			b.put(targetOf(c.target, c.target+"-seen", "a", ""), targetOf(c.target, c.target+"-closed", closed, ""), targetOf(c.target, c.target+"-deleted", "a", ""))
			b.do(func(ctx context.Context, tx *db.Tx) error {
				return b.Delete(ctx, tx, c.target, c.target+"-deleted", 0)
			})
		}
		closed := map[string]auth.ChartRule{"b": {Closed: true}, "Patient-closed": {Closed: true}}
		writing := map[string]auth.Bits{}
		for _, c := range contexts {
			writing[c.typ] = auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate
		}
		little := maps.Clone(writing)
		little["Patient"] = auth.CanRead
		for name, who := range map[string]db.Scope{
			"a program":                  auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy, Charts: closed}),
			"one that reads little":      auth.AsApp(1, auth.Access{Types: little, Forbidden: auth.LabelPsychotherapy, Charts: closed}),
			"one without closed charts":  auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy}),
			"a program in one record":    auth.AsApp(1, auth.Access{Types: writing, Compartment: "Patient/a", Forbidden: auth.LabelPsychotherapy, Charts: closed}),
			"a person":                   auth.AsStaff(1, 1, "Clinician", "Practitioner/d0", auth.Clinician),
			"the program of the patient": auth.AsApp(1, auth.Access{All: true, Compartment: "Patient/a", Forbidden: auth.LabelPsychotherapy}),
		} {
			access := auth.AccessOf(who)
			for _, c := range contexts {
				confinedOut := access.Compartment != "" && (c.typ == "Task" || c.typ == "Provenance" || c.typ == "List" || c.typ == "DocumentReference" || c.name == "subject")
				if !access.Allows(c.typ, auth.CanCreate) || confinedOut {
					continue // it may not write this at all, wherever it leads
				}
				for _, policy := range []Targets{AnyTarget, WarnTarget, MustTarget} {
					hidden := []string{"missing", "deleted"}
					if c.target != "Patient" {
						hidden = append(hidden, "labelled")
					}
					if access.Charts != nil {
						hidden = append(hidden, "closed")
					}
					for way, write := range b.waysToWrite(c.typ, policy) {
						if policy != AnyTarget && way != "create" && way != "transaction" && way != "validate" {
							continue // these differ from one another only where the practice's policy is not asked
						}
						said := map[string]string{}
						for _, kind := range append(hidden, "seen") {
							said[kind] = strings.ReplaceAll(fmt.Sprint(write(who, func(id string) string { return fmt.Sprintf(c.raw, id, c.target+"/"+c.target+"-"+kind) })), kind, "~")
						}
						for _, kind := range hidden {
							if said[kind] != said["missing"] {
								t.Errorf("%s, %s, %d, %s: %s is told apart from missing:\n%s\n%s", name, c.name, policy, way, kind, said[kind], said["missing"])
							}
						}
						if (said["seen"] == "<nil>") != access.Allows(c.target, auth.CanRead) && !(c.name == "performer" && access.Compartment != "") {
							t.Errorf("%s, %s, %d, %s: what is seen may be referred to: %s", name, c.name, policy, way, said["seen"])
						}
					}
				}
			}
		}
	})
}

// waysToWrite writes a resource made from its id in every way there is. What was written is taken back each time.
func (b *bench) waysToWrite(typ string, policy Targets) map[string]func(who db.Scope, raw func(id string) string) error {
	errDone := errors.New("done")
	rolled := func(who db.Scope, fn func(ctx context.Context, tx *db.Tx) error) error {
		err := b.try(who, func(ctx context.Context, tx *db.Tx) error {
			if err := fn(ctx, tx); err != nil {
				return err
			}
			return errDone // so that the next finds the same
		})
		if errors.Is(err, errDone) {
			return nil
		}
		return err
	}
	with := func(do func(ctx context.Context, tx *db.Tx, p *Prepared) error) func(db.Scope, func(string) string) error {
		return func(who db.Scope, raw func(id string) string) error {
			return rolled(who, func(ctx context.Context, tx *db.Tx) error {
				p, err := b.PrepareNew(ctx, []byte(raw("x")))
				if err != nil {
					return err
				}
				p.Seek(policy)
				return do(ctx, tx, p)
			})
		}
	}
	return map[string]func(db.Scope, func(string) string) error{
		"create": with(func(ctx context.Context, tx *db.Tx, p *Prepared) error { _, err := b.Create(ctx, tx, p); return err }),
		"create if none": with(func(ctx context.Context, tx *db.Tx, p *Prepared) error {
			_, _, err := b.CreateIfNone(ctx, tx, p, "_id=none")
			return err
		}),
		"update where": with(func(ctx context.Context, tx *db.Tx, p *Prepared) error {
			_, err := b.UpdateWhere(ctx, tx, p, "_id=none", 0)
			return err
		}),
		"under an id": with(func(ctx context.Context, tx *db.Tx, p *Prepared) error {
			p, err := b.WithID(p, "chosen")
			if err == nil {
				_, err = b.Update(ctx, tx, p, 0)
			}
			return err
		}),
		"validate": with(func(ctx context.Context, tx *db.Tx, p *Prepared) error {
			issues, err := b.Unmet(ctx, tx, p.Node(), policy)
			if err == nil {
				err = issues.Err()
			}
			return err
		}),
		"transaction": func(who db.Scope, raw func(id string) string) error {
			_, err := b.Apply(b.t.Context(), who, []byte(`{"resourceType":"Bundle","type":"transaction","entry":[{"resource":`+raw("x")+`,"request":{"method":"POST","url":"`+typ+`"}}]}`),
				ApplyOptions{Targets: policy, Within: func(context.Context, *db.Tx, []EntryResult) error { return errDone }})
			if errors.Is(err, errDone) {
				return nil
			}
			return err
		},
	}
}

// TestContextOfBefore: what was deleted or hidden after a resource came to refer to it is not asked about again, and gives it no label
// when somebody changes it who does not see it.
func TestContextOfBefore(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"a"}`)
		app := auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy})
		task := func(id, status string) string {
			return fmt.Sprintf(`{"resourceType":"Task","id":"t-%s","status":%q,"intent":"order","focus":{"reference":"Condition/%s"}}`, id, status, id)
		}
		for _, id := range []string{"deleted", "hidden"} {
			b.put(targetOf("Condition", id, "a", ""), task(id, "requested"))
		}
		b.put(targetOf("Condition", "hidden", "a", psychotherapy))
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Condition", "deleted", 0) })
		write := func(raw string) error {
			return b.try(app, func(ctx context.Context, tx *db.Tx) error {
				p, err := b.Prepare(ctx, []byte(raw))
				if err == nil {
					_, err = b.Update(ctx, tx, p, 0)
				}
				return err
			})
		}
		for _, id := range []string{"deleted", "hidden"} {
			if err := write(task(id, "accepted")); err != nil {
				t.Errorf("%s: a task that goes on: %v", id, err)
			}
			b.view(app, func(ctx context.Context, tx *db.Tx) error {
				r, err := b.Read(ctx, tx, "Task", "t-"+id)
				if err != nil || r.Labels != 0 || !strings.Contains(string(r.Raw), "accepted") {
					t.Errorf("%s: it is not there afterwards: %v %+v", id, err, r)
				}
				return nil
			})
			moved := strings.Replace(task("deleted", "accepted"), "Condition/deleted", "Condition/"+map[string]string{"deleted": "none", "hidden": "hidden"}[id], 1)
			var refused fhir.Issues
			if err := write(moved); !errors.As(err, &refused) || places(refused) != "Task.focus.reference" {
				t.Errorf("%s: a new reference is asked about: %v", id, err)
			}
		}
		// Whoever sees what it is about has it labelled.
		b.put(task("hidden", "completed"))
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			if r, err := b.Read(ctx, tx, "Task", "t-hidden"); err != nil || r.Labels == 0 {
				t.Errorf("the label does not travel: %v %+v", err, r)
			}
			return nil
		})
	})
}

// TestContextWithinABundle: a bundle may bring the context along, under an id made here or one that its writer may change; an id
// that it chose itself for a condition that found nothing is none.
func TestContextWithinABundle(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"a"}`, targetOf("Encounter", "taken", "a", psychotherapy), targetOf("Encounter", "seen", "a", ""))
		app := auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy})
		visit := func(url, id string) string {
			return `{"fullUrl":"urn:uuid:e","resource":` + targetOf("Encounter", id, "a", "") + `,"request":{"method":"PUT","url":"` + url + `"}}`
		}
		result := func(encounter string) string {
			return `{"resource":` + fmt.Sprintf(contexts[0].raw, "o", encounter) + `,"request":{"method":"POST","url":"Observation"}}`
		}
		said := map[string]string{}
		for _, c := range []struct {
			name, entries string
			ok            bool
		}{
			{"made here", `{"fullUrl":"urn:uuid:e","resource":` + targetOf("Encounter", "x", "a", "") + `,"request":{"method":"POST","url":"Encounter"}},` + result("urn:uuid:e"), true},
			{"changed", visit("Encounter/seen", "seen") + "," + result("Encounter/seen"), true},
			{"hidden", result("Encounter/taken") + "," + visit("Encounter?status=planned", "taken"), false},
			{"missing", result("Encounter/taken2") + "," + visit("Encounter?status=planned", "taken2"), false},
		} {
			_, err := b.Apply(t.Context(), app, []byte(`{"resourceType":"Bundle","type":"transaction","entry":[`+c.entries+`]}`), ApplyOptions{Patch: func(_, n *fhirjson.Node) (*fhirjson.Node, error) { return n, nil }})
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.name, err)
			}
			said[c.name] = fmt.Sprint(err)
		}
		if said["hidden"] != said["missing"] {
			t.Errorf("told apart:\n%s\n%s", said["hidden"], said["missing"])
		}
	})
}
