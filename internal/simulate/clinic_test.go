package simulate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/simulate"
)

// TestTheClinicReadsIt loads what comes first into a practice, as the demo does, and looks
// at it through the clinic: people, the day's flow, and the chart with the critical potassium.
func TestTheClinicReadsIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx, system := context.Background(), auth.SystemScope(1, "simulation")
		now := time.Date(2026, 11, 19, 14, 22, 0, 0, time.UTC)
		d.Clock.Set(now)
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		w := simulate.Plan(1, now, 24)
		for range 2 { // the second time changes nothing and is not refused
			for b := range w.First() {
				if _, err := store.Apply(ctx, system, b.JSON, fhirstore.ApplyOptions{}); err != nil {
					t.Fatalf("%s: %v", b.Name, err)
				}
				if b.Name != "practice" && b.Name != "patients" && b.Name != "today" && !strings.HasPrefix(b.Name, "chart") {
					t.Errorf("bundle %q", b.Name)
				}
			}
		}
		people := practice.NewProfiles(d.DB, store)
		patients := patient.NewDirectory(d.DB, store)
		doctor := auth.AsStaff(1, 11, w.Staff[0].Display(), w.Staff[0].Reference(), auth.Clinician)

		prof, err := people.Get(ctx, doctor)
		if err != nil {
			t.Fatal(err)
		}
		if prof.Name != w.Practice || len(prof.Sites) != 2 || len(prof.Bookable("")) != 5 || len(prof.Staff) != 8 || prof.Zone.String() != "America/New_York" {
			t.Errorf("practice %q, %d sites, %d bookable of %d, zone %s", prof.Name, len(prof.Sites), len(prof.Bookable("")), len(prof.Staff), prof.Zone)
		}
		book := scheduling.New(d.DB, store, people, patients)
		day, err := book.Day(ctx, doctor, "2026-11-19", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []scheduling.Status{scheduling.Done, scheduling.InVisit, scheduling.Roomed, scheduling.Arrived, scheduling.Confirmed} {
			if day.Flow.ByStep[s] == 0 {
				t.Errorf("nobody is %s: %v", s, day.Flow.ByStep)
			}
		}
		if n, err := patients.Count(ctx, doctor); err != nil || n < w.Patients()-1 {
			t.Errorf("%d patients, %v", n, err)
		}
		hits, err := patients.Search(ctx, doctor, "okafor mari", 3)
		if err != nil || len(hits) == 0 {
			t.Fatalf("no Maria: %v", err)
		}
		c, err := clinical.NewRecord(d.DB, store, people).Chart(ctx, doctor, hits[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		critical := false
		for _, r := range c.Results {
			critical = critical || r.Name == "Potassium" && r.Value == "6.1" && r.Flag.Critical() && len(r.Trend) > 2
		}
		if !critical || c.Allergies.State != clinical.AllergiesListed || !c.Allergies.List[0].Severe() || len(c.Problems) < 6 || len(c.Medications) < 6 {
			t.Errorf("critical %v, allergies %+v, %d problems, %d medications", critical, c.Allergies, len(c.Problems), len(c.Medications))
		}
	})
}
