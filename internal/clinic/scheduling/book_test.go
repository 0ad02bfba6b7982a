package scheduling_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
)

// 2026-03-02 is a Monday; 9:00 UTC is 4:00 in New York.
var nine = time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC) // 9:00 in New York

func book(t *testing.T, p *clinictest.Practice, patient string, at time.Time, minutes int, double bool) (string, error) {
	t.Helper()
	return p.Book.Book(context.Background(), p.Desk, scheduling.Request{PatientID: patient, StaffID: "doc1", SiteID: "site1", Start: at, Minutes: minutes, Type: "Follow-up", Reason: "Blood pressure", Double: double})
}

func TestDoubleBookingIsAskedOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-02", "female", "1001")
		p.Patient(t, "ben", "Birch", "Ben", "1981-01-02", "male", "1002")
		if _, err := book(t, p, "ann", nine, 20, false); err != nil {
			t.Fatal(err)
		}
		_, err := book(t, p, "ben", nine.Add(10*time.Minute), 20, false)
		var taken *scheduling.Taken
		if !errors.As(err, &taken) || taken.Staff != "Amara Quill, MD" || len(taken.Times) != 1 || taken.Times[0] != "9:00–9:20 am" {
			t.Fatalf("overlap: %v", err)
		}
		if _, err := book(t, p, "ben", nine.Add(20*time.Minute), 20, false); err != nil {
			t.Fatalf("the next slot is free: %v", err)
		}
		if _, err := book(t, p, "ben", nine.Add(10*time.Minute), 20, true); err != nil {
			t.Fatalf("confirmed: %v", err)
		}
		day, err := p.Book.Day(context.Background(), p.Desk, "2026-03-02", "site1")
		if err != nil {
			t.Fatal(err)
		}
		c := day.Columns[0]
		if len(c.Blocks) != 3 || c.Blocks[0].From != 9*60 || c.Blocks[0].Lanes != 2 || c.Blocks[1].Lane != 1 || !c.Blocks[1].Double {
			t.Fatalf("blocks: %+v", c.Blocks)
		}
		if c.Blocks[0].Name != "Ash, Ann" || c.Blocks[0].Age != "46 y" || c.Blocks[0].Sex != "F" {
			t.Errorf("who: %+v", c.Blocks[0])
		}
	})
}

func TestRaceForOneSlot(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-02", "female", "1001")
		var wg sync.WaitGroup
		won := make(chan string, 8)
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if id, err := p.Book.Book(context.Background(), p.Desk, scheduling.Request{PatientID: "ann", StaffID: "doc1", Start: nine, Minutes: 20}); err == nil {
					won <- id
				} else if taken := (*scheduling.Taken)(nil); !errors.As(err, &taken) {
					t.Error(err)
				}
			}()
		}
		wg.Wait()
		if len(won) != 1 {
			t.Errorf("%d requests got the slot, want 1", len(won))
		}
	})
}

func TestImportedAppointmentsCount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-02", "female", "1001")
		p.Put(t, `{"resourceType":"Appointment","id":"old1","status":"booked","start":"2026-03-02T09:00:00-05:00","end":"2026-03-02T09:30:00-05:00",
			"participant":[{"actor":{"reference":"Patient/ann"},"status":"accepted"},{"actor":{"reference":"Practitioner/doc1"},"status":"accepted"}]}`)
		var taken *scheduling.Taken
		if _, err := book(t, p, "ann", nine, 20, false); !errors.As(err, &taken) {
			t.Fatalf("an imported appointment was booked over: %v", err)
		}
		day, _ := p.Book.Day(context.Background(), p.Desk, "2026-03-02", "")
		if b := day.Columns[0].Blocks[0]; b.Status != scheduling.Confirmed {
			t.Errorf("accepted by the patient is confirmed, got %s", b.Status)
		}
	})
}

func TestFlowOfAVisit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := context.Background()
		p := clinictest.Furnish(t, d)
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-02", "female", "1001")
		d.Clock.Set(nine)
		id, err := book(t, p, "ann", nine, 20, false)
		if err != nil {
			t.Fatal(err)
		}
		move := func(to scheduling.Status, room string) scheduling.Status {
			t.Helper()
			b, err := p.Book.Appointment(ctx, p.Desk, id)
			if err != nil {
				t.Fatal(err)
			}
			was, err := p.Book.SetStatus(ctx, p.Desk, id, b.Version, to, room)
			if err != nil {
				t.Fatal(err)
			}
			return was
		}
		move(scheduling.Arrived, "")
		d.Clock.Advance(12 * time.Minute)
		day, _ := p.Book.Day(ctx, p.Desk, "2026-03-02", "site1")
		b := day.Columns[0].Blocks[0]
		if b.Status != scheduling.Arrived || b.Waiting != 12*time.Minute || day.Flow.Longest != 12*time.Minute || day.Now != 9*60+12 {
			t.Fatalf("waiting: %+v %+v", b, day.Flow)
		}
		if was := move(scheduling.Roomed, "Room 1"); was != scheduling.Arrived {
			t.Errorf("was %s", was)
		}
		move(scheduling.InVisit, "")
		b, _ = p.Book.Appointment(ctx, p.Desk, id)
		if b.Room != "Room 1" || b.Status != scheduling.InVisit {
			t.Errorf("in visit: %+v", b)
		}
		// Undo twice: back to arrived.
		move(scheduling.Roomed, "")
		move(scheduling.Arrived, "")
		if b, _ = p.Book.Appointment(ctx, p.Desk, id); b.Status != scheduling.Arrived {
			t.Errorf("undone: %s", b.Status)
		}
		move(scheduling.Done, "")
		e := p.Read(t, "Encounter", b.EncounterID).Node()
		if e.Get("status").Text() != "finished" || e.At("period", "end").Text() == "" || e.Get("statusHistory").Len() != 5 {
			t.Errorf("encounter: %s", e)
		}
	})
}

func TestStaleChangeIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := context.Background()
		p := clinictest.Furnish(t, d)
		p.Patient(t, "ann", "Ash", "Ann", "1980-01-02", "female", "1001")
		id, _ := book(t, p, "ann", nine, 20, false)
		b, _ := p.Book.Appointment(ctx, p.Desk, id)
		if _, err := p.Book.SetStatus(ctx, p.Desk, id, b.Version, scheduling.Confirmed, ""); err != nil {
			t.Fatal(err)
		}
		_, err := p.Book.SetStatus(ctx, p.Desk, id, b.Version, scheduling.Cancelled, "")
		var issue *fhir.Issue
		if !errors.As(err, &issue) || issue.Code != "conflict" {
			t.Errorf("a change on an old version: %v", err)
		}
		if _, err := p.Book.SetStatus(ctx, p.Biller, id, 0, scheduling.Cancelled, ""); !errors.As(err, &issue) || issue.Code != "forbidden" {
			t.Errorf("a biller changed the schedule: %v", err)
		}
		b, _ = p.Book.Appointment(ctx, p.Desk, id)
		if err := p.Book.Move(ctx, p.Desk, id, b.Version, nine.Add(time.Hour), 40, "doc2", false); err != nil {
			t.Fatal(err)
		}
		b, _ = p.Book.Appointment(ctx, p.Desk, id)
		if b.From != 600 || b.To != 640 || b.StaffID != "doc2" {
			t.Errorf("moved: %+v", b)
		}
		if _, err := book(t, p, "ann", nine, 20, false); err != nil {
			t.Errorf("the old time was not freed: %v", err)
		}
	})
}
