package scheduling_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
)

func TestProgramsBookInTheSameBook(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-02", "female", "1001")
		ctx := context.Background()
		owner := p.Book.Owner()
		start := d.Clock.Now().Add(48 * time.Hour).Truncate(time.Hour)
		at := func(id, status string, start time.Time) string {
			return `{"resourceType":"Appointment","id":"` + id + `","status":"` + status + `","start":"` + start.Format(time.RFC3339) + `","end":"` + start.Add(20*time.Minute).Format(time.RFC3339) +
				`","participant":[{"status":"accepted","actor":{"reference":"Patient/ann"}},{"status":"accepted","actor":{"reference":"Practitioner/doc1"}}]}`
		}
		put := func(raw string) error {
			pr, err := p.Store.Prepare(ctx, []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			return d.Do(ctx, p.Desk, func(tx *db.Tx) error {
				_, err := owner.Update(ctx, tx, pr, 0)
				return err
			})
		}
		remove := func(id string) error {
			return d.Do(ctx, p.Desk, func(tx *db.Tx) error { return owner.Delete(ctx, tx, "Appointment", id, 0) })
		}
		refused := func(err error) bool {
			var i *fhir.Issue
			return errors.As(err, &i) && i.Code == "conflict" && strings.Contains(i.Text, "already booked")
		}
		steps := []struct {
			what string
			do   func() error
			ok   bool
		}{
			{"a first visit", func() error { return put(at("a1", "booked", start)) }, true},
			{"one in its middle", func() error { return put(at("a2", "booked", start.Add(10*time.Minute))) }, false},
			{"the same again", func() error { return put(at("a1", "booked", start)) }, true},
			{"one behind it", func() error { return put(at("a2", "booked", start.Add(20*time.Minute))) }, true},
			{"moved onto the first", func() error { return put(at("a2", "booked", start.Add(5*time.Minute))) }, false},
			{"the first is cancelled", func() error { return put(at("a1", "cancelled", start)) }, true},
			{"moved into its place", func() error { return put(at("a2", "booked", start)) }, true},
			{"the first comes back", func() error { return put(at("a1", "booked", start)) }, false},
			{"the second is deleted", func() error { return remove("a2") }, true},
			{"the first comes back now", func() error { return put(at("a1", "booked", start)) }, true},
			{"two in the past", func() error { return put(at("p1", "fulfilled", start.Add(-96*time.Hour))) }, true},
			{"the other", func() error { return put(at("p2", "fulfilled", start.Add(-96*time.Hour))) }, true},
			{"a proposal takes no time", func() error { return put(at("a3", "proposed", start)) }, true},
			{"what is not there", func() error { return remove("a9") }, true},
		}
		for _, s := range steps {
			if err := s.do(); s.ok && err != nil || !s.ok && !refused(err) {
				t.Fatalf("%s: %v", s.what, err)
			}
		}
		_, err := p.Book.Book(ctx, p.Desk, scheduling.Request{PatientID: "ann", StaffID: "doc1", SiteID: "site1", Start: start, Minutes: 20, Type: "Follow-up"})
		var taken *scheduling.Taken
		if !errors.As(err, &taken) {
			t.Errorf("the desk does not see what a program booked: %v", err)
		}
		var _ fhirstore.Owner = owner
	})
}
