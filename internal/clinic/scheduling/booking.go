package scheduling

import (
	"context"
	"fmt"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const (
	systemVisitKind = "https://yarrow.health/fhir/CodeSystem/visit-kind"
	videoVisit      = "video"
	defaultMinutes  = 15
)

// VisitType is a kind of visit the desk can book.
type VisitType struct {
	Name    string
	Minutes int // usual length
	Video   bool
}

// VisitTypes lists the kinds of visit in the order of the booking form.
func VisitTypes() []VisitType {
	return []VisitType{
		{Name: "Follow-up", Minutes: 20},
		{Name: "Office visit", Minutes: 20},
		{Name: "Same-day", Minutes: 15},
		{Name: "Annual physical", Minutes: 40},
		{Name: "New patient", Minutes: 40},
		{Name: "Procedure", Minutes: 40},
		{Name: "Nurse visit", Minutes: 15},
		{Name: "Video visit", Minutes: 20, Video: true},
	}
}

// Request is what it takes to book.
type Request struct {
	PatientID string
	StaffID   string
	SiteID    string
	Start     time.Time
	Minutes   int
	Type      string // a VisitType.Name, or free words
	Reason    string
	Video     bool
	// Double confirms that the person may be booked twice for this time.
	Double bool
}

// Taken is the answer to a booking that overlaps another and was not confirmed. Ask the
// person and repeat the request with Double set.
type Taken struct {
	Staff string   // whose time it is
	Times []string // "9:00–9:20" of the bookings in the way
}

// Error says whose time is taken.
func (t *Taken) Error() string {
	return t.Staff + " is already booked " + strings.Join(t.Times, " and ") + "."
}

// Book makes an appointment and returns its id. Overlaps give *Taken unless confirmed.
func (b *Book) Book(ctx context.Context, s auth.Staff, in Request) (string, error) {
	if !s.Can(auth.ScheduleWrite) {
		return "", forbidden()
	}
	prof, err := b.people.Get(ctx, s)
	if err != nil {
		return "", err
	}
	m, ok := prof.Member(in.StaffID)
	if !ok {
		return "", fhir.Problem("required", "Choose who sees the patient.", "Pick a person from the list.").At("staff")
	}
	if in.Minutes < 5 || in.Minutes > 12*60 {
		return "", fhir.Problem("value", "The length must be between 5 minutes and 12 hours.", "Choose a length.").At("minutes")
	}
	who, err := b.patients.Get(ctx, s, in.PatientID)
	if err != nil {
		return "", err
	}
	h, ok := who[in.PatientID]
	if !ok {
		return "", fhir.Problem("required", "Choose a patient.", "Search by name, date of birth or MRN.").At("patient")
	}
	if h.Deceased {
		return "", fhir.Problem("business-rule", "The patient has died.", "Check that this is the right patient.").At("patient")
	}
	var reason, kind, site fhirjson.Node
	if in.Reason = strings.TrimSpace(in.Reason); in.Reason != "" {
		reason = fhir.Array(fhir.Object("text", in.Reason))
	}
	if in.Video {
		kind = fhir.Array(fhir.Concept(systemVisitKind, videoVisit, "Video visit", ""))
	}
	if st, ok := prof.Site(in.SiteID); ok {
		site = participant("Location/"+st.ID, st.Name, "accepted")
	}
	end := in.Start.Add(time.Duration(in.Minutes) * time.Minute)
	n := fhir.Object(
		"resourceType", "Appointment",
		"status", "booked",
		"serviceType", kind,
		"appointmentType", fhir.Object("text", in.Type),
		"reasonCode", reason,
		"start", stamp(in.Start, prof.Zone),
		"end", stamp(end, prof.Zone),
		"minutesDuration", in.Minutes,
		"created", stamp(b.db.Clock().Now(), prof.Zone),
		"participant", fhir.Array(
			participant("Patient/"+in.PatientID, h.Name.Short(), "needs-action"),
			participant("Practitioner/"+m.ID, m.Name(), "accepted"),
			site,
		),
	)
	p, err := b.store.PrepareNode(ctx, &n)
	if err != nil {
		return "", err
	}
	err = b.change(ctx, s, func(tx *db.Tx) error {
		if err := b.claim(ctx, tx, m.ID, p.ID, stretch{in.Start, end}, in.Double, prof.Zone); err != nil {
			return named(err, m.Name())
		}
		_, err := b.store.Create(ctx, tx, p)
		return err
	})
	return p.ID, err
}

// Move changes time, length or person of an appointment. version is the one shown.
func (b *Book) Move(ctx context.Context, s auth.Staff, id string, version int64, start time.Time, minutes int, staffID string, double bool) error {
	if !s.Can(auth.ScheduleWrite) {
		return forbidden()
	}
	prof, err := b.people.Get(ctx, s)
	if err != nil {
		return err
	}
	return b.change(ctx, s, func(tx *db.Tx) error {
		a, err := b.store.Read(ctx, tx, "Appointment", id)
		if err != nil {
			return err
		}
		blk, ok := readBlock(a, nil, prof.Zone, tx.Now())
		if !ok || blk.Status != Booked && blk.Status != Confirmed {
			return fhir.Problem("business-rule", "Only a visit that has not begun can be moved.", "Book a new appointment.")
		}
		if staffID == "" {
			staffID = blk.StaffID
		}
		m, ok := prof.Member(staffID)
		if !ok {
			return fhir.Problem("required", "Choose who sees the patient.", "Pick a person from the list.").At("staff")
		}
		length := minutes
		if length == 0 {
			length = blk.Minutes()
		}
		if length < 5 || length > 12*60 {
			return fhir.Problem("value", "The length must be between 5 minutes and 12 hours.", "Choose a length.").At("minutes")
		}
		end := start.Add(time.Duration(length) * time.Minute)
		if err := release(ctx, tx, blk.StaffID, id, span(a.Node(), prof.Zone)); err != nil {
			return err
		}
		if err := b.claim(ctx, tx, m.ID, id, stretch{start, end}, double, prof.Zone); err != nil {
			return named(err, m.Name())
		}
		n := a.Node().Clone()
		n.Set("start", fhirjson.NewString(stamp(start, prof.Zone)))
		n.Set("end", fhirjson.NewString(stamp(end, prof.Zone)))
		n.Set("minutesDuration", fhirjson.NewNumber(fmt.Sprint(length)))
		parts := n.Get("participant").Items()
		for i := range parts {
			if typ, _, _ := fhir.ParseReference(parts[i].At("actor", "reference").Text()); typ == "Practitioner" {
				parts[i].Set("actor", fhir.RefTo("Practitioner/"+m.ID, m.Name()))
				break
			}
		}
		return b.write(ctx, tx, &n, version)
	})
}

func participant(ref, name, answer string) fhirjson.Node {
	return fhir.Object("actor", fhir.RefTo(ref, name), "required", "required", "status", answer)
}

func stamp(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02T15:04:05Z07:00")
}

func named(err error, staff string) error {
	if t, ok := err.(*Taken); ok {
		t.Staff = staff
	}
	return err
}

// stretch is the time a booking takes.
type stretch struct{ from, to time.Time }

func span(a *fhirjson.Node, zone *time.Location) stretch {
	from, _, _ := fhir.Moment(a.Get("start").Text(), zone)
	to, _, ok := fhir.Moment(a.Get("end").Text(), zone)
	if !ok || !to.After(from) {
		to = from.Add(defaultMinutes * time.Minute)
	}
	return stretch{from, to}
}

// change carries out a change of the book in one transaction. It runs fn again when two people booked the same time at the same moment:
// the second run sees the first booking and asks.
func (b *Book) change(ctx context.Context, s db.Scope, fn func(tx *db.Tx) error) error {
	var err error
	for range 3 {
		err = b.db.Do(ctx, s, fn)
		if !db.IsUnique(err) {
			return err
		}
	}
	return err
}
