package scheduling

import (
	"context"
	"slices"
	"strconv"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// statusOf tells how far a visit has come. The Encounter knows best once the patient is
// here; before that, and when nobody came, the Appointment decides.
func statusOf(a, e *fhirjson.Node, confirmed bool) Status {
	switch a.Get("status").Text() {
	case "cancelled":
		return Cancelled
	case "noshow":
		return NoShow
	}
	switch e.Get("status").Text() {
	case "arrived":
		return Arrived
	case "triaged":
		return Roomed
	case "in-progress", "onleave":
		return InVisit
	case "finished":
		return Done
	}
	switch a.Get("status").Text() {
	case "arrived", "checked-in":
		return Arrived
	case "fulfilled":
		return Done
	case "booked":
		if confirmed {
			return Confirmed
		}
	}
	return Booked
}

// encounterStatus is the Encounter.status of a step; "" before arrival.
func encounterStatus(s Status) string {
	switch s {
	case Arrived:
		return "arrived"
	case Roomed:
		return "triaged"
	case InVisit:
		return "in-progress"
	case Done:
		return "finished"
	}
	return ""
}

// appointmentStatus is the Appointment.status of a step.
func appointmentStatus(s Status) string {
	switch s {
	case Arrived:
		return "arrived"
	case Roomed, InVisit:
		return "checked-in"
	case Done:
		return "fulfilled"
	case NoShow:
		return "noshow"
	case Cancelled:
		return "cancelled"
	}
	return "booked"
}

// times reads when the present status was reached and when the patient arrived.
func times(e *fhirjson.Node, zone *time.Location) (since, arrived time.Time) {
	if e == nil {
		return
	}
	since, _, _ = fhir.Moment(e.At("period", "start").Text(), zone)
	arrived = since
	for _, h := range e.Get("statusHistory").Items() {
		if t, _, ok := fhir.Moment(h.At("period", "end").Text(), zone); ok && t.After(since) {
			since = t
		}
		if h.Get("status").Text() == "arrived" {
			if t, _, ok := fhir.Moment(h.At("period", "start").Text(), zone); ok {
				arrived = t
			}
		}
	}
	return since, arrived
}

// SetStatus moves a visit on (or back) and returns the status it had, for undo. version is
// the Appointment's as shown; somebody else's change since then gives a conflict. Arrival
// creates the Encounter; room names where the patient was put, for Roomed.
func (b *Book) SetStatus(ctx context.Context, s auth.Staff, id string, version int64, to Status, room string) (was Status, err error) {
	if !s.Can(auth.ScheduleWrite) {
		return "", forbidden()
	}
	if !slices.Contains(Statuses(), to) {
		return "", fhir.Problem("value", "A visit has no such status.", "Choose one from the list.").At("status")
	}
	prof, err := b.people.Get(ctx, s)
	if err != nil {
		return "", err
	}
	err = b.change(ctx, s, func(tx *db.Tx) error {
		a, err := b.store.Read(ctx, tx, "Appointment", id)
		if err != nil {
			return err
		}
		visits, err := b.store.Find(ctx, tx, "Encounter", "appointment", "Appointment/"+id)
		if err != nil {
			return err
		}
		var e *fhirstore.Resource
		var en *fhirjson.Node
		if len(visits) > 0 {
			e = visits[0]
			en = e.Node()
		}
		blk, ok := readBlock(a, e, prof.Zone, tx.Now())
		if !ok {
			return fhir.Problem("not-found", "There is no such appointment.", "Reload the day.")
		}
		was = blk.Status
		if was == Done && en.Get("status").Text() == "finished" && to != Done && b.hasNote(ctx, tx, e) {
			return fhir.Problem("business-rule", "The visit has a signed note and cannot be reopened here.", "Add an addendum to the note.")
		}
		if err := b.setAppointment(ctx, tx, a, version, to); err != nil {
			return err
		}
		if freed := to == Cancelled || to == NoShow; freed {
			if err := release(ctx, tx, blk.StaffID, a.ID, span(a.Node(), prof.Zone)); err != nil {
				return err
			}
		} else if was == Cancelled || was == NoShow {
			if err := b.claim(ctx, tx, blk.StaffID, a.ID, span(a.Node(), prof.Zone), true, prof.Zone); err != nil {
				return err
			}
		}
		if err := b.setEncounter(ctx, tx, a, e, to, room, prof.Zone); err != nil {
			return err
		}
		now, err := b.store.Read(ctx, tx, "Appointment", id)
		if err != nil {
			return err
		}
		jobs.Made(ctx, string(was), strconv.FormatInt(now.Version, 10))
		return nil
	})
	return was, err
}

func (b *Book) hasNote(ctx context.Context, tx *db.Tx, e *fhirstore.Resource) bool {
	notes, err := b.store.Find(ctx, tx, "DocumentReference", "encounter", "Encounter/"+e.ID)
	return err == nil && len(notes) > 0
}

func (b *Book) setAppointment(ctx context.Context, tx *db.Tx, a *fhirstore.Resource, version int64, to Status) error {
	n := a.Node().Clone()
	n.Set("status", fhirjson.NewString(appointmentStatus(to)))
	if to == Cancelled {
		n.Set("cancelationReason", fhir.Object("text", "Cancelled at the front desk"))
	} else {
		n.Delete("cancelationReason")
	}
	if to == Booked || to == Confirmed {
		answer := "needs-action"
		if to == Confirmed {
			answer = "accepted"
		}
		parts := n.Get("participant").Items()
		for i := range parts {
			if typ, _, _ := fhir.ParseReference(parts[i].At("actor", "reference").Text()); typ == "Patient" {
				parts[i].Set("status", fhirjson.NewString(answer))
			}
		}
	}
	return b.write(ctx, tx, &n, version)
}

func (b *Book) write(ctx context.Context, tx *db.Tx, n *fhirjson.Node, version int64) error {
	p, err := b.store.PrepareNode(ctx, n)
	if err != nil {
		return err
	}
	_, err = b.store.Update(ctx, tx, p, version)
	return err
}

// setEncounter creates the Encounter on arrival and keeps it in step with the visit.
func (b *Book) setEncounter(ctx context.Context, tx *db.Tx, a, e *fhirstore.Resource, to Status, room string, zone *time.Location) error {
	want := encounterStatus(to)
	now := tx.Now().In(zone).Format("2006-01-02T15:04:05Z07:00")
	if e == nil {
		if want == "" {
			return nil
		}
		n := encounterOf(a, now, want, room)
		if want == "finished" {
			n.Get("period").Set("end", fhirjson.NewString(now))
		}
		p, err := b.store.PrepareNode(ctx, &n)
		if err != nil {
			return err
		}
		_, err = b.store.Create(ctx, tx, p)
		return err
	}
	if want == "" {
		want = "cancelled"
		if to == Booked || to == Confirmed {
			want = "planned"
		}
	}
	n := e.Node().Clone()
	step(&n, want, now)
	if room != "" {
		n.Set("location", fhir.Array(fhir.Object("location", fhir.Object("display", room), "status", "active")))
	}
	return b.write(ctx, tx, &n, 0)
}

// step changes Encounter.status and keeps what it was, and since when, in statusHistory.
func step(n *fhirjson.Node, want, now string) {
	old := n.Get("status").Text()
	if old == want {
		return
	}
	since := n.At("period", "start").Text()
	history := n.Get("statusHistory").Items()
	if k := len(history); k > 0 {
		if t := history[k-1].At("period", "end").Text(); t != "" {
			since = t
		}
	}
	line := fhir.Object("status", old, "period", fhir.Object("start", since, "end", now))
	if h := n.Get("statusHistory"); h != nil {
		h.Append(line)
	} else {
		n.Set("statusHistory", fhir.Array(line))
	}
	n.Set("status", fhirjson.NewString(want))
	p := n.Get("period")
	if p == nil {
		n.Set("period", fhir.Object("start", now))
		p = n.Get("period")
	}
	if old == "planned" || old == "cancelled" {
		p.Set("start", fhirjson.NewString(now))
	}
	if want == "finished" {
		p.Set("end", fhirjson.NewString(now))
	} else {
		p.Delete("end")
	}
}

// encounterOf begins the Encounter of an appointment.
func encounterOf(a *fhirstore.Resource, now, status, room string) fhirjson.Node {
	n := a.Node()
	var who, with, place fhirjson.Node
	for _, p := range n.Get("participant").Items() {
		actor := p.Get("actor")
		switch typ, _, _ := fhir.ParseReference(actor.Get("reference").Text()); typ {
		case "Patient":
			who = *actor
		case "Practitioner":
			if with.Len() == 0 {
				with = fhir.Object("type", fhir.Array(fhir.Concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "PPRF", "primary performer", "")), "individual", actor)
			}
		case "Location":
			place = fhir.Object("location", actor)
		}
	}
	if room != "" {
		place = fhir.Object("location", fhir.Object("display", room), "status", "active")
	}
	class, display := "AMB", "ambulatory"
	for _, t := range n.Get("serviceType").Items() {
		if _, code := fhir.ConceptCode(&t, systemVisitKind); code == videoVisit {
			class, display = "VR", "virtual"
		}
	}
	return fhir.Object(
		"resourceType", "Encounter",
		"status", status,
		"class", fhir.Object("system", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code", class, "display", display),
		"type", fhir.Array(fhir.Object("text", visitName(n))),
		"subject", who,
		"participant", fhir.Array(with),
		"appointment", fhir.Array(fhir.RefTo("Appointment/"+a.ID, "")),
		"period", fhir.Object("start", now),
		"reasonCode", n.Get("reasonCode"),
		"location", fhir.Array(place),
	)
}

func visitName(a *fhirjson.Node) string {
	if t := fhir.ConceptText(a.Get("appointmentType")); t != "" {
		return t
	}
	return "Office visit"
}

// Finish ends a visit within the caller's transaction, for whoever signs its note: the
// Encounter is finished and its appointment fulfilled. An Encounter of another patient is
// refused; one that has ended already is left alone.
func (b *Book) Finish(ctx context.Context, tx *db.Tx, patientID, encounterID string, zone *time.Location) error {
	e, err := b.store.Read(ctx, tx, "Encounter", encounterID)
	if err != nil {
		return err
	}
	if typ, id, ok := fhir.ParseReference(e.Node().At("subject", "reference").Text()); !ok || typ != "Patient" || id != patientID {
		return fhir.Problem("conflict", "This visit belongs to another patient. Nothing was signed.", "Close this page and open the right chart.")
	}
	if e.Node().Get("status").Text() == "finished" {
		return nil
	}
	n := e.Node().Clone()
	step(&n, "finished", tx.Now().In(zone).Format("2006-01-02T15:04:05Z07:00"))
	if err := b.write(ctx, tx, &n, 0); err != nil {
		return err
	}
	for _, ref := range e.Node().Get("appointment").Items() {
		typ, id, ok := fhir.ParseReference(ref.Get("reference").Text())
		if !ok || typ != "Appointment" {
			continue
		}
		a, err := b.store.Read(ctx, tx, typ, id)
		if err != nil {
			return err
		}
		if err := b.setAppointment(ctx, tx, a, 0, Done); err != nil {
			return err
		}
	}
	return nil
}

func forbidden() *fhir.Issue {
	return fhir.Problem("forbidden", "Your role may not change the schedule.", "Ask a practice administrator for the right.")
}
