package simulate

import (
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// appointments are the bookings and blocks of the chosen days.
func (w *World) appointments(which func(*day) bool) []fhirjson.Node {
	var out []fhirjson.Node
	for _, d := range w.days {
		if !which(d) {
			continue
		}
		for _, b := range d.blocks() {
			out = append(out, w.block(d, b))
		}
		for _, s := range d.slots {
			out = append(out, s.appointment())
		}
	}
	return out
}

func (w *World) taking(actor fhirjson.Node, answer string) fhirjson.Node {
	return fhir.Object("actor", actor, "required", "required", "status", answer)
}

func (s *slot) appointment() fhirjson.Node {
	w := s.day.w
	state, answer := "booked", "needs-action"
	var why, video fhirjson.Node
	switch s.status {
	case arrived:
		state = "arrived"
	case roomed, inVisit:
		state = "checked-in"
	case done:
		state = "fulfilled"
	case noShow:
		state = "noshow"
	case cancelled:
		state, why = "cancelled", fhir.Object("text", "Patient called: feeling better")
	}
	if s.status != booked {
		answer = "accepted"
	}
	if s.video {
		video = fhir.Array(fhir.Concept("https://yarrow.health/fhir/CodeSystem/visit-kind", "video", "Video visit", ""))
	}
	from := at(s.day.date, s.from)
	made := from.AddDate(0, 0, -9)
	if s.ailment != nil {
		made = from.Add(-3 * time.Hour)
	}
	if made.After(w.Now) {
		made = w.Now.AddDate(0, 0, -1)
	}
	return fhir.Object("resourceType", "Appointment", "id", s.id, "status", state, "cancelationReason", why, "serviceType", video,
		"appointmentType", fhir.Object("text", s.kind), "reasonCode", words(s.reason), "start", stamp(from), "end", stamp(from.Add(time.Duration(s.minutes)*time.Minute)), "minutesDuration", s.minutes,
		"created", stamp(made),
		"participant", fhir.Array(w.taking(fhir.RefTo("Patient/"+s.p.id, s.p.short()), answer), w.taking(fhir.RefTo(w.Staff[s.who].Reference(), w.Staff[s.who].Display()), "accepted"), w.taking(w.siteRef(s.site()), "accepted")))
}
