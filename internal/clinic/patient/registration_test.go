package patient_test

import (
	"errors"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
)

// A correction changes what was changed, and nothing that the form does not show.
func TestCorrect(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		p.Put(t, `{"resourceType":"Patient","id":"ann","extension":[{"url":"http://example.org/kept","valueString":"yes"}],
			"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"value":"771"},{"system":"http://example.org/other","value":"x1"}],
			"name":[{"use":"official","family":"Dunmore","given":["Ann","Lee"],"suffix":["II"],"text":"Ann Dunmore"}],
			"telecom":[{"system":"phone","use":"work","value":"555-0100"},{"system":"phone","use":"mobile","value":"555-0101","rank":1},{"system":"email","value":"ann@example.org"}],
			"gender":"female","birthDate":"1968-03","address":[{"use":"home","line":["1 Elm","Flat 2"],"city":"Millrace","country":"US","text":"1 Elm"}],
			"communication":[{"language":{"coding":[{"system":"urn:ietf:bcp:47","code":"en-US"}]}}]}`)
		read := func() patient.Registration {
			t.Helper()
			r, err := p.Patients.Registration(ctx, p.Desk, "ann")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		raw := func() (s string) {
			t.Helper()
			err := d.View(ctx, p.Desk, func(tx *db.Tx) error {
				r, err := p.Store.Read(ctx, tx, "Patient", "ann")
				if err == nil {
					s = r.Node().String()
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		r, before := read(), raw()
		want := patient.Demographics{Family: "Dunmore", Given: "Ann", Middle: "Lee", BirthDate: "1968-03", Sex: "female", Phone: "555-0101", Email: "ann@example.org",
			Line: "1 Elm, Flat 2", City: "Millrace", Language: "en-US", MRN: "771"}
		if r.Fields != want {
			t.Fatalf("the form shows %+v", r.Fields)
		}
		if err := p.Patients.Correct(ctx, p.Desk, "ann", r.Version, r.Fields, false); err != nil {
			t.Fatal(err)
		}
		if read().Version != r.Version || raw() != before {
			t.Error("a form that changes nothing made a version")
		}

		in := r.Fields
		in.Family, in.Phone, in.Email, in.City, in.Preferred, in.Language = "Okell", "(413) 555-0177", "", "Weir", "Annie", "es"
		if err := p.Patients.Correct(ctx, p.Desk, "ann", r.Version, in, true); err != nil {
			t.Fatal(err)
		}
		now := read()
		if now.Fields != in {
			t.Errorf("written %+v, read %+v", in, now.Fields)
		}
		after := raw()
		for _, kept := range []string{`"http://example.org/kept"`, `"x1"`, `"555-0100"`, `"rank":1`, `["1 Elm","Flat 2"]`, `"country":"US"`, `"suffix":["II"]`, `"use":"old"`, `"family":"Dunmore"`} {
			if !strings.Contains(after, kept) {
				t.Errorf("%s is gone from %s", kept, after)
			}
		}
		for _, gone := range []string{"555-0101", "ann@example.org", "Millrace", `"text":"1 Elm"`, "en-US"} {
			if strings.Contains(after, gone) {
				t.Errorf("%s is still in %s", gone, after)
			}
		}
		if got := names(t, p, "dunmore"); got != "ann " {
			t.Errorf("the former name finds %q", got)
		}

		var one *fhir.Issue
		if err := p.Patients.Correct(ctx, p.Desk, "ann", r.Version, in, false); !errors.As(err, &one) && err == nil {
			t.Error("a correction of an older version was taken")
		}
		var many fhir.Issues
		in.BirthDate, in.Phone = "next year", "12"
		if err := p.Patients.Correct(ctx, p.Desk, "ann", now.Version, in, false); !errors.As(err, &many) || len(many) != 2 || many[0].Path != "birthDate" || many[1].Path != "phone" {
			t.Errorf("two wrong fields: %v", err)
		}
		biller := auth.AsStaff(1, 9, "Bill", "", auth.Biller)
		if err := p.Patients.Correct(ctx, biller, "ann", now.Version, now.Fields, false); !errors.As(err, &one) || one.Code != "forbidden" {
			t.Errorf("a biller corrects: %v", err)
		}
	})
}
