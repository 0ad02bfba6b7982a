package simulate

import (
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Taken is time of a member of staff that is spoken for in the book as it stands.
type Taken struct {
	Practitioner string // id
	From         time.Time
	Minutes      int
}

// Book is what the practice's book says on a later day, as far as Later must know it.
type Book struct {
	Taken []Taken
	// Untouched says whether a booking of the plan is still as it was planned. What people changed stays as they left it.
	Untouched func(appointment string) bool
}

// Later carries the practice on to a later day: bookings of the plan since then have been kept, today has patients in the waiting
// room and in the rooms, and the free times of today are filled up as they were on the first day. The same plan, book and moment
// give the same bytes. The world is used up by it: nothing else may be asked of w afterwards.
func (w *World) Later(now time.Time, book Book) Bundle {
	planned := at(w.Now, 0)
	w.Now = now.In(w.Zone).Truncate(time.Minute)
	today := at(w.Now, 0)
	on := &day{w: w, date: today, taken: map[int]bool{}}
	for _, b := range on.blocks() {
		on.claim(b.who, b.from, b.minutes)
	}
	for _, t := range book.Taken {
		for i := range w.Staff {
			if from := t.From.In(w.Zone); w.Staff[i].ID == t.Practitioner && at(from, 0).Equal(today) {
				on.claim(i, from.Hour()*60+from.Minute(), t.Minutes)
			}
		}
	}
	coming, open := map[*patient]bool{}, false // open: the plan has this day, with its blocks
	var out []fhirjson.Node
	for _, d := range w.days {
		if !d.date.After(planned) || d.date.After(today) {
			continue
		}
		open = open || d.date.Equal(today)
		for _, s := range d.slots {
			if s.status != booked && s.status != confirmed || !book.Untouched(s.id) {
				continue
			}
			if d.date.Equal(today) {
				s.day = on
				on.slots = append(on.slots, s)
				coming[s.p] = true
				continue
			}
			s.status = done
			s.schedule(w.dice("flow "+s.id, 0))
			out = append(append(out, s.appointment()), s.visit()...)
		}
	}
	minute := w.Now.Hour()*60 + w.Now.Minute()
	dice, late, soon := w.dice("later "+dated(today), 0), 0, 12
	want, session := min(38, 12+len(w.patients)/6), minute < 8*60 || minute >= 17*60
	for try := 0; len(on.slots) < want && try < 400; try++ {
		p := w.patients[dice.IntN(len(w.patients))]
		if coming[p] || !p.died.IsZero() || !p.since.Before(w.Now.AddDate(0, 0, -40)) {
			continue
		}
		if session && late < 6 {
			coming[p] = w.afterHours(on, p, dice, minute, &late)
			continue
		}
		near := 0
		if soon > 0 { // somebody is always in the waiting room
			near, soon = max(8*60+40, min(minute, 16*60)), soon-1
		}
		coming[p] = w.place(p, on, w.dice("later "+dated(today), 1+try), near) != nil
	}
	for _, b := range on.blocks() {
		if !open {
			out = append(out, w.block(on, b))
		}
	}
	w.sort(on)
	w.run(on, minute)
	for _, s := range on.slots {
		out = append(append(out, s.appointment()), s.visit()...)
	}
	return bundle("day "+dated(today), out)
}

// visit is the Encounter of a booking that was kept, with a short note when it is over.
func (s *slot) visit() []fhirjson.Node {
	v := &visit{start: at(s.day.date, s.from), minutes: s.minutes, who: s.who, site: s.site(), kind: s.kind, reason: s.reason, slot: s, video: s.video}
	switch s.status {
	case arrived:
		v.status = "arrived"
	case roomed:
		v.status = "triaged"
	case inVisit:
		v.status = "in-progress"
	case done:
	default:
		return nil
	}
	w := s.day.w
	c := &chart{w: w, p: s.p, d: w.dice("later visit "+s.id, 0), later: s.id}
	c.begin(v)
	v.note.said("Here for: " + strings.ToLower(s.reason[:1]) + s.reason[1:] + ".")
	v.note.found("Looks well, in no distress.")
	v.note.plans("Goes on as before. Returns as planned, sooner if it gets worse.")
	c.end(v)
	return c.out
}

// block is time of a day that is not for booking.
func (w *World) block(d *day, b stretch) fhirjson.Node {
	from := at(d.date, b.from)
	return fhir.Object("resourceType", "Appointment", "id", w.id("block", b.who, dated(d.date), b.from), "status", "booked",
		"appointmentType", fhir.Object("text", b.name), "start", stamp(from), "end", stamp(from.Add(time.Duration(b.minutes)*time.Minute)), "minutesDuration", b.minutes,
		"created", stamp(at(w.Now, 0).AddDate(0, -2, 0)),
		"participant", fhir.Array(w.taking(fhir.RefTo(w.Staff[b.who].Reference(), w.Staff[b.who].Display()), "accepted"), w.taking(w.siteRef(w.Staff[b.who].site), "accepted")))
}
