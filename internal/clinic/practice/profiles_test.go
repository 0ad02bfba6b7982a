package practice_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/practice"
)

var ctx = context.Background()

func TestProfile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		// A payer and a laboratory are organizations too.
		p.Put(t, `{"resourceType":"Organization","id":"aaa-payer","active":true,"name":"A Payer"}`)
		got, err := p.People.Get(ctx, p.Desk)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != "Millrace Family Health" || got.Zone.String() != "America/New_York" {
			t.Errorf("%s %s", got.Name, got.Zone)
		}
		if len(got.Sites) != 2 || got.Sites[0].Name != "Millrace" || strings.Join(got.Sites[0].Rooms, ",") != "Room 1" || got.Sites[0].Address != "1 Mill Lane, Ashby, MA 01431" {
			t.Errorf("sites: %+v", got.Sites)
		}
		var bookable []string
		for _, m := range got.Bookable("site2") {
			bookable = append(bookable, m.Name())
		}
		if strings.Join(bookable, "; ") != "Bela Strand, NP" {
			t.Errorf("at the second site: %v", bookable)
		}
		doc, ok := got.Member("Practitioner/doc1")
		if !ok || doc.Initials() != "AQ" || doc.Specialty != "Family medicine" || len(doc.Hours[time.Monday]) != 1 || doc.Hours[time.Monday][0] != (practice.Span{From: 8 * 60, To: 17 * 60}) || len(doc.Hours[time.Sunday]) != 0 {
			t.Errorf("%+v", doc)
		}
		if again, _ := p.People.Get(ctx, p.Doctor); again != got {
			t.Error("read anew although nothing changed")
		}
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-01", "female", "1")
		if again, _ := p.People.Get(ctx, p.Doctor); again != got {
			t.Error("read anew because a patient changed")
		}
		p.Put(t, `{"resourceType":"Location","id":"site3","status":"active","name":"Hilltop","hoursOfOperation":[{"daysOfWeek":["sat"],"openingTime":"09:00:00","closingTime":"12:30:00"}]}`)
		again, _ := p.People.Get(ctx, p.Doctor)
		if s, ok := again.Site("site3"); !ok || s.Hours[time.Saturday][0] != (practice.Span{From: 540, To: 750}) {
			t.Errorf("a new site: %+v", again.Sites)
		}
		if other, err := p.People.Get(ctx, auth.AsStaff(2, 1, "x", "", auth.FrontDesk)); err != nil || other.Name != "" || len(other.Staff) != 0 {
			t.Errorf("practice 2 sees %+v %v", other, err)
		}
		if _, err := p.People.Get(ctx, auth.Staff{}); err == nil {
			t.Error("a scope of nobody was answered")
		}
	})
}
