package scheduling

import (
	"context"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Owner keeps the rules of Appointments that programs write: they take people's time in the same book as the screens, so that
// nobody is booked twice. What lies in the past is taken as it was. It is a fhirstore.Owner.
type Owner struct{ book *Book }

// Owner returns the owner of Appointments.
func (b *Book) Owner() *Owner { return &Owner{b} }

// Create writes a new appointment and takes its people's time.
func (o *Owner) Create(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared) (*fhirstore.Resource, error) {
	if err := o.book.hold(ctx, tx, p.ID, p.Node()); err != nil {
		return nil, err
	}
	return o.book.store.Create(ctx, tx, p)
}

// Update writes a new version: the time of the old one is free again, that of the new one taken.
func (o *Owner) Update(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared, ifVersion int64) (*fhirstore.Resource, error) {
	old, err := o.book.store.Read(ctx, tx, p.Type, p.ID)
	switch {
	case err == nil:
		if err := o.book.free(ctx, tx, p.ID, old.Node()); err != nil {
			return nil, err
		}
	case !absent(err):
		return nil, err
	}
	if err := o.book.hold(ctx, tx, p.ID, p.Node()); err != nil {
		return nil, err
	}
	return o.book.store.Update(ctx, tx, p, ifVersion)
}

// Delete removes an appointment and frees its time.
func (o *Owner) Delete(ctx context.Context, tx *db.Tx, typ, id string, ifVersion int64) error {
	old, err := o.book.store.Read(ctx, tx, typ, id)
	if err == nil {
		err = o.book.free(ctx, tx, id, old.Node())
	} else if absent(err) {
		err = nil
	}
	if err != nil {
		return err
	}
	return o.book.store.Delete(ctx, tx, typ, id, ifVersion)
}

// absent says that there is nothing to be read, which the store then answers in its own words.
func absent(err error) bool {
	var i *fhir.Issue
	return errors.As(err, &i) && (i.Code == "not-found" || i.Code == "deleted" || i.Code == "forbidden")
}

// hold takes the time of everybody who is to see the patient.
func (b *Book) hold(ctx context.Context, tx *db.Tx, id string, n *fhirjson.Node) error {
	at, staff := engagement(n)
	if !at.to.After(tx.Now()) {
		return nil
	}
	for _, who := range staff {
		err := b.claim(ctx, tx, who, id, at, false, time.UTC)
		var taken *Taken
		if errors.As(err, &taken) {
			return fhir.Problem("conflict", "Practitioner/"+who+" is already booked at this time.", "Choose another time; the desk can confirm a double booking.").At("Appointment.start")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// free gives back the time of an appointment.
func (b *Book) free(ctx context.Context, tx *db.Tx, id string, n *fhirjson.Node) error {
	at, staff := engagement(n)
	for _, who := range staff {
		if err := release(ctx, tx, who, id, at); err != nil {
			return err
		}
	}
	return nil
}

// engagement is whose time an appointment takes, and when; nobody's when it does not take place or has no time.
func engagement(n *fhirjson.Node) (at stretch, staff []string) {
	switch n.Get("status").Text() {
	case "cancelled", "noshow", "entered-in-error", "proposed", "waitlist":
		return at, nil
	}
	if n.Get("start") == nil {
		return at, nil
	}
	seen := map[string]bool{}
	for i := range n.Get("participant").Items() {
		p := &n.Get("participant").Items()[i]
		typ, id, ok := fhir.ParseReference(p.At("actor", "reference").Text())
		if ok && typ == "Practitioner" && p.Get("status").Text() != "declined" && !seen[id] {
			seen[id] = true
			staff = append(staff, id)
		}
	}
	at = span(n, time.UTC)
	if at.to.Sub(at.from) > 24*time.Hour {
		return at, nil // an absence or a course of days, not a visit
	}
	return at, staff
}
