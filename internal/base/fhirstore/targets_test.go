package fhirstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// pointing is an Observation of a patient that was made by somebody; more is put in between.
func pointing(id, subject, more string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"text":"x"}%s,"subject":{"reference":%q}}`, id, more, subject)
}

// about is a resource in nobody's record that refers to another.
func about(target string) string {
	return fmt.Sprintf(`{"resourceType":"Basic","id":"n","code":{"text":"x"},"extension":[{"url":"https://example.org/x","valueReference":{"reference":%q}}]}`, target)
}

// TestTargetsOfReferences: what a resource refers to must be here for its writer. What is hidden from them and what does not
// exist are answered alike.
func TestTargetsOfReferences(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"a"}`, `{"resourceType":"Patient","id":"b"}`, `{"resourceType":"Practitioner","id":"doc"}`, `{"resourceType":"Encounter","id":"secret","status":"finished","class":{"code":"AMB"},
			"subject":{"reference":"Patient/a"},"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}}`,
			pointing("vital", "Patient/a", `,"category":[{"coding":[{"code":"vital-signs"}]}]`), pointing("lab", "Patient/a", `,"category":[{"coding":[{"code":"laboratory"}]}]`), pointing("was", "Patient/a", ""))
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Observation", "was", 0) })
		all := system(1)
		labelled := int64(0)
		b.view(all, func(ctx context.Context, tx *db.Tx) error {
			r, err := b.Read(ctx, tx, "Encounter", "secret")
			if err == nil {
				labelled = r.Labels
			}
			return err
		})
		if labelled == 0 {
			t.Fatal("the Encounter bears no label: nothing is hidden here")
		}
		unlabelled := auth.AsApp(1, auth.Access{All: true, Forbidden: labelled})
		for _, c := range []struct {
			name  string
			who   db.Scope
			raw   string
			wrong []string // places
		}{
			{"all here", all, pointing("n", "Patient/a", `,"performer":[{"reference":"Practitioner/doc"}],"encounter":{"reference":"Encounter/secret"}`), nil},
			{"a version of it", all, pointing("n", "Patient/a/_history/1", ""), nil},
			{"elsewhere", all, pointing("n", "https://other.example.org/fhir/Patient/none", ""), nil},
			{"contained", all, pointing("n", "#p", `,"contained":[{"resourceType":"Patient","id":"p"}]`), nil},
			{"itself", all, pointing("n", "Patient/a", `,"hasMember":[{"reference":"Observation/n"}]`), nil},
			{"a stored Bundle is its own world", all, `{"resourceType":"Bundle","id":"n","type":"collection","entry":[{"resource":` + pointing("x", "Patient/none", "") + `}]}`, nil},
			{"none", all, pointing("n", "Patient/none", ""), []string{"Observation.subject.reference"}},
			{"several", all, pointing("n", "Patient/none", `,"performer":[{"reference":"Practitioner/doc"},{"reference":"Practitioner/none"}]`), []string{"Observation.performer[1].reference", "Observation.subject.reference"}},
			{"within what is contained", all, pointing("n", "#p", `,"contained":[{"resourceType":"Patient","id":"p","generalPractitioner":[{"reference":"Practitioner/none"}]}]`), []string{"Observation.contained[0].generalPractitioner[0].reference"}},
			{"in an extension", all, pointing("n", "Patient/a", `,"extension":[{"url":"https://example.org/x","valueReference":{"reference":"Device/none"}}]`), []string{"Observation.extension[0].valueReference.reference"}},
			{"deleted", all, pointing("n", "Patient/a", `,"hasMember":[{"reference":"Observation/was"}]`), []string{"Observation.hasMember[0].reference"}},
			{"a label hides it", unlabelled, about("Encounter/secret"), []string{"Basic.extension[0].valueReference.reference"}},
			{"none, to the same", unlabelled, about("Encounter/none"), []string{"Basic.extension[0].valueReference.reference"}},
			{"another's record", patientApp("Patient/a"), pointing("n", "Patient/a", `,"performer":[{"reference":"Patient/b"}]`), []string{"Observation.performer[0].reference"}},
			{"one's own", patientApp("Patient/a"), pointing("n", "Patient/a", `,"performer":[{"reference":"Practitioner/doc"}]`), nil},
			{"a chart that is closed", auth.AsApp(1, auth.Access{All: true, Charts: map[string]auth.ChartRule{"b": {Closed: true}}}), about("Patient/b"),
				[]string{"Basic.extension[0].valueReference.reference"}},
			{"outside of a granular scope", narrowed(auth.Access{All: true}, "Observation", "category=vital-signs"), about("Observation/lab"),
				[]string{"Basic.extension[0].valueReference.reference"}},
			{"within it", narrowed(auth.Access{All: true}, "Observation", "category=vital-signs"), about("Observation/vital"), nil},
			{"of a type one reads nothing of", auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Observation": auth.CanCreate | auth.CanUpdate}}), pointing("n", "Patient/none", ""), nil},
		} {
			for _, policy := range []Targets{MustTarget, WarnTarget, AnyTarget} {
				var p *Prepared
				var looked fhir.Issues
				err := b.try(c.who, func(ctx context.Context, tx *db.Tx) (err error) {
					if p, err = b.Prepare(ctx, []byte(c.raw)); err != nil {
						return err
					}
					if looked, err = b.Unmet(ctx, tx, p.Node(), policy); err != nil {
						return err
					}
					p.Seek(policy)
					_, err = b.Update(ctx, tx, p, 0)
					return err
				})
				b.do(func(ctx context.Context, tx *db.Tx) error { // to begin alike
					return b.Delete(ctx, tx, p.Type, "n", 0)
				})
				found := p.Unmet()
				if policy == MustTarget && len(c.wrong) > 0 {
					if !errors.As(err, &found) {
						t.Errorf("%s: it must be refused: %v", c.name, err)
					}
				} else if err != nil {
					t.Errorf("%s, %d: %v", c.name, policy, err)
				}
				want := c.wrong
				if policy == AnyTarget {
					want = nil
				}
				for _, got := range []fhir.Issues{found, looked} {
					if places(got) != strings.Join(want, " ") {
						t.Errorf("%s, %d: %q, want %q", c.name, policy, places(got), want)
					}
					if got.HasErrors() != (policy == MustTarget && len(want) > 0) {
						t.Errorf("%s, %d: %v", c.name, policy, got)
					}
				}
			}
		}
	})
}

func places(issues fhir.Issues) string {
	var out []string
	for _, i := range issues {
		out = append(out, i.Path)
		if i.Fix == "" || strings.Contains(i.Text, "none") || strings.Contains(i.Text, "secret") {
			out = append(out, "says "+i.Text)
		}
	}
	return strings.Join(out, " ")
}

// TestTargetsWithinABundle: entries of a transaction may refer to each other in any order; what it deletes is not there any more.
func TestTargetsWithinABundle(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"a"}`, `{"resourceType":"Practitioner","id":"doc"}`)
		entry := func(method, url, resource string) string {
			if resource != "" {
				resource = `"resource":` + resource + `,`
			}
			return `{"fullUrl":"urn:uuid:` + strings.ReplaceAll(url, "/", "-") + `",` + resource + `"request":{"method":"` + method + `","url":"` + url + `"}}`
		}
		for _, c := range []struct{ name, entries, wrong string }{
			{"in any order", entry("PUT", "Observation/o", pointing("o", "Patient/new", "")) + "," + entry("PUT", "Patient/new", `{"resourceType":"Patient","id":"new"}`), ""},
			{"by fullUrl", entry("POST", "Observation", pointing("x", "urn:uuid:Patient-new2", "")) + "," + entry("PUT", "Patient/new2", `{"resourceType":"Patient","id":"new2"}`), ""},
			{"of nothing", entry("PUT", "Patient/a", `{"resourceType":"Patient","id":"a","active":true}`) + "," + entry("POST", "Observation", pointing("x", "Patient/none", "")), "Bundle.entry[1].resource.ofType(Observation).subject.reference"},
			{"deleted by it", entry("POST", "Observation", pointing("x", "Patient/a", `,"performer":[{"reference":"Practitioner/doc"}]`)) + "," + entry("DELETE", "Practitioner/doc", ""), "Bundle.entry[0].resource.ofType(Observation).performer[0].reference"},
		} {
			raw := []byte(`{"resourceType":"Bundle","type":"transaction","entry":[` + c.entries + `]}`)
			_, err := b.Apply(t.Context(), system(1), raw, ApplyOptions{Targets: MustTarget})
			var refused fhir.Issues
			errors.As(err, &refused)
			if places(refused) != c.wrong || err != nil && c.wrong == "" {
				t.Errorf("%s: %q, want %q: %v", c.name, places(refused), c.wrong, err)
			}
			r, err := b.Apply(t.Context(), system(1), raw, ApplyOptions{Targets: WarnTarget})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			var warned fhir.Issues
			for _, e := range r.Entries {
				warned = append(warned, e.Warnings...)
			}
			if places(warned) != c.wrong || warned.HasErrors() {
				t.Errorf("%s, warned: %q, want %q", c.name, places(warned), c.wrong)
			}
			if _, err := b.Apply(t.Context(), system(1), raw, ApplyOptions{}); err != nil {
				t.Errorf("%s, not looked for: %v", c.name, err)
			}
		}
	})
}
