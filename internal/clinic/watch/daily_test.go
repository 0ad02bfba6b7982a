package watch_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/watch"
)

// A day on a real store: the facts come from the resources, the findings from the audit, and the queue is worked off.
func TestADayIsReviewed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := context.Background()
		d.Clock.Set(time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC))
		a := auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
		id, err := a.AddPractice(ctx, "millrace", "Millrace Family Health")
		if err != nil {
			t.Fatal(err)
		}
		p := clinictest.FurnishIn(t, d, id)
		sys := auth.SystemScope(id, "test")
		p.Put(t, `{"resourceType":"Practitioner","id":"doc1","name":[{"family":"Quill","given":["Amara"]}],"birthDate":"1980-05-05","address":[{"line":["7 Mill Lane"],"postalCode":"12345"}]}`)
		for _, patient := range []string{
			`"id":"kin","name":[{"family":"Quill","given":["Otto"]}],"birthDate":"1990-01-01"`,
			`"id":"near","name":[{"family":"Birch","given":["Ben"]}],"birthDate":"1991-01-01","address":[{"line":["19 Mill Lane"],"postalCode":"12345"}]`,
			`"id":"self","name":[{"family":"Quill","given":["Amara"]}],"birthDate":"1980-05-05"`,
			`"id":"star","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"VIP"}]},"name":[{"family":"Star","given":["A"]}],"birthDate":"1992-01-01"`,
			`"id":"due","name":[{"family":"Quill","given":["Zoe"]}],"birthDate":"1993-01-01"`,
		} {
			p.Put(t, `{"resourceType":"Patient",`+patient+`}`)
		}
		p.Put(t, `{"resourceType":"Appointment","id":"soon","status":"booked","start":"2026-03-09T16:00:00Z","end":"2026-03-09T16:20:00Z","participant":[{"actor":{"reference":"Patient/due"},"status":"accepted"}]}`)
		var staff [3]auth.Staff
		for i, u := range []auth.User{{Login: "quill", Display: "Amara Quill, MD", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}}, {Login: "ada", Display: "Ada Okafor", Roles: []auth.Role{auth.Administrator}},
			{Login: "bo", Display: "Bo Marsh", Roles: []auth.Role{auth.Biller}}} {
			uid, err := a.AddUser(ctx, sys, u)
			if err != nil {
				t.Fatal(err)
			}
			staff[i] = auth.AsStaff(id, uid, u.Display, u.PractitionerID, u.Roles...)
		}
		d.Clock.Advance(time.Hour)
		for _, patient := range []string{"kin", "near", "self", "star", "due"} {
			if err := p.Log.Seen(ctx, staff[0], audit.Event{Action: audit.ActionRead, Type: "Patient", ID: patient, Patient: "Patient/" + patient}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			if err := p.Log.Seen(ctx, staff[2], audit.Event{Action: audit.ActionPrint, Type: "Composition", Patient: fmt.Sprintf("Patient/x%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Disable(ctx, sys, staff[2].UserID()); err != nil {
			t.Fatal(err)
		}
		day := d.Clock.Now()
		d.Clock.Advance(20 * time.Hour)
		w := watch.New(d.DB, p.Log, a, p.Store)
		n, err := w.Daily(ctx, sys, day, time.UTC)
		if err != nil || n != 5 {
			t.Fatalf("%d findings, %v", n, err)
		}
		if again, err := w.Daily(ctx, sys, day, time.UTC); err != nil || again != 0 {
			t.Errorf("the same day again: %d findings, %v", again, err)
		}
		queue, err := w.Queue(ctx, staff[1], day.AddDate(0, 0, -1))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range queue {
			got = append(got, string(o.Pattern)+" "+o.Patient)
		}
		slices.Sort(got)
		if want := []string{"left-with ", "neighbour Patient/near", "own-chart Patient/self", "same-surname Patient/kin", "vip Patient/star"}; !slices.Equal(got, want) {
			t.Errorf("found %q", got)
		}
		one := queue[0]
		for _, c := range []struct {
			who       auth.Staff
			id, words string
			ok        bool
		}{{staff[0], one.ID, "Was asked to", false}, {staff[1], one.ID, " ", false}, {staff[1], "0", "x", false}, {staff[1], one.ID, "Was asked to look by the clinician", true}, {staff[1], one.ID, "again", false}} {
			if err := w.Close(ctx, c.who, c.id, c.words); (err == nil) != c.ok {
				t.Errorf("%+v: %v", c, err)
			}
		}
		queue, err = w.Queue(ctx, staff[1], day.AddDate(0, 0, -1))
		if err != nil || len(queue) != 5 || queue[0].Closed == nil || queue[0].Closed.By != staff[1].UserID() || queue[1].Closed != nil {
			t.Errorf("%+v %v", queue, err)
		}
	})
}
