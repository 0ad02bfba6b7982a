package simulate

import (
	"fmt"
	"sort"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// status is how far a booking has come, in the words of the front desk.
type status string

const (
	booked    status = "booked"
	confirmed status = "confirmed"
	arrived   status = "arrived"
	roomed    status = "roomed"
	inVisit   status = "in-visit"
	done      status = "done"
	noShow    status = "no-show"
	cancelled status = "cancelled"
)

// slot is one booking.
type slot struct {
	id            string
	day           *day
	who           int
	from, minutes int // minutes after midnight
	p             *patient
	kind, reason  string
	purpose       string // nurse, or ""
	ailment       *ailment
	video         bool
	status        status

	arrived, roomed, began time.Time
	room                   string
	roomNumber             int
}

func (s *slot) site() int { return s.day.w.Staff[s.who].site }

// steps is the Encounter's history of statuses.
func (s *slot) steps() fhirjson.Node {
	line := func(st string, a, b time.Time) fhirjson.Node {
		return fhir.Object("status", st, "period", fhir.Object("start", stamp(a), "end", stamp(b)))
	}
	var out []fhirjson.Node
	if !s.roomed.IsZero() {
		out = append(out, line("arrived", s.arrived, s.roomed))
	}
	if !s.began.IsZero() {
		out = append(out, line("triaged", s.roomed, s.began))
	}
	if s.status == done {
		out = append(out, line("in-progress", s.began, at(s.day.date, s.from+s.minutes)))
	}
	return fhir.Array(out...)
}

// day is one working day of the book.
type day struct {
	w     *World
	date  time.Time
	today bool
	slots []*slot
	taken map[int]bool // staff*10000 + minute/5: every five minutes that are spoken for
}

func (d *day) free(who, from, minutes int) bool {
	for m := from; m < from+minutes; m += 5 {
		if d.taken[who*10000+m/5] {
			return false
		}
	}
	return true
}

func (d *day) claim(who, from, minutes int) {
	for m := from; m < from+minutes; m += 5 {
		d.taken[who*10000+m/5] = true
	}
}

const (
	daysBack  = 14
	daysAhead = 28
)

// span is the stretch of days the book covers.
func (w *World) span() (first, last time.Time) {
	return at(w.Now, 0).AddDate(0, 0, -daysBack), at(w.Now, 0).AddDate(0, 0, daysAhead+1)
}

type stretch struct {
	name          string
	who           int
	from, minutes int
}

// blocks are the times of each day that are not for booking.
func (d *day) blocks() []stretch {
	var out []stretch
	for i := range d.w.Staff {
		if !d.w.Staff[i].Bookable {
			continue
		}
		lunch := 12 * 60
		if i == lee {
			lunch += 30
		}
		out = append(out, stretch{"Lunch", i, lunch, 60})
	}
	return append(out, stretch{"Hold: same-day", lee, 10*60 + 15, 30}, stretch{"Hold: same-day", lee, 15 * 60, 30}, stretch{"Inbox", osei, 16*60 + 20, 40})
}

// book fills the days around today.
func (w *World) book() {
	first, last := w.span()
	today := at(w.Now, 0)
	var past, ahead []*day
	var now *day
	for t := first; t.Before(last); t = t.AddDate(0, 0, 1) {
		d := &day{w: w, date: t, today: t.Equal(today), taken: map[int]bool{}}
		if !d.today && (t.Weekday() == time.Saturday || t.Weekday() == time.Sunday) {
			continue
		}
		for _, b := range d.blocks() {
			d.claim(b.who, b.from, b.minutes)
		}
		w.days = append(w.days, d)
		switch {
		case d.today:
			now = d
		case t.Before(today):
			past = append(past, d)
		default:
			ahead = append(ahead, d)
		}
	}
	dice := w.dice("book", 0)
	w.fillToday(now, dice)
	for _, p := range w.patients {
		d := w.dice("bookings", p.n)
		if !p.died.IsZero() {
			continue
		}
		if p.today == nil && p.since.Before(w.Now.AddDate(0, 0, -60)) && d.chance(0.5) {
			if s := w.place(p, pick(d, past), d, 0); s != nil {
				p.recent = s
				s.status = done
				switch {
				case d.chance(0.06):
					s.status = noShow
				case d.chance(0.05):
					s.status = cancelled
				}
				s.schedule(d)
			}
		}
		if d.chance(0.62) {
			on := ahead
			if p.today != nil || p.recent != nil {
				on = ahead[len(ahead)/3:]
			}
			if s := w.place(p, pick(d, on), d, 0); s != nil {
				p.coming = append(p.coming, s)
				s.status = booked
				if s.day.date.Sub(today).Hours() < 24*9 && d.chance(0.7) {
					s.status = confirmed
				}
			}
		}
	}
	for _, d := range w.days {
		w.sort(d)
	}
}

func (w *World) sort(d *day) {
	sort.SliceStable(d.slots, func(a, b int) bool {
		if d.slots[a].from != d.slots[b].from {
			return d.slots[a].from < d.slots[b].from
		}
		return d.slots[a].who < d.slots[b].who
	})
}

// place books a patient on a day with someone who fits; nil when the day is full. near is
// the minute to be close to, 0 for any.
func (w *World) place(p *patient, on *day, d dice, near int) *slot {
	s := &slot{day: on, p: p}
	s.plan(d)
	for _, who := range s.whom() {
		p := w.Staff[who]
		var open []int
		for m := 8*60 + p.starts; m+s.minutes <= 17*60; m += 20 {
			if on.free(who, m, s.minutes) {
				open = append(open, m)
			}
		}
		if len(open) == 0 {
			continue
		}
		m := pick(d, open)
		if near > 0 {
			sort.SliceStable(open, func(a, b int) bool { return away(open[a], near) < away(open[b], near) })
			m = open[0]
		}
		s.put(who, m)
		return s
	}
	return nil
}

// away is how far a start lies from now; what begins later counts less than what is past.
func away(m, near int) int {
	if m >= near {
		return m - near
	}
	return (near - m) * 2
}

func (s *slot) put(who, from int) {
	s.who, s.from = who, from
	s.id = s.day.w.id("appointment", dated(s.day.date), who, from)
	s.day.claim(who, from, s.minutes)
	s.day.slots = append(s.day.slots, s)
}

// whom are the people a visit may be booked with, the best first.
func (s *slot) whom() []int {
	p := s.p
	switch {
	case s.purpose == "nurse":
		return []int{alvarez}
	case s.ailment != nil:
		return []int{lee, p.pcp, whitfield}
	case p.has("pregnant"):
		return []int{natarajan}
	}
	return []int{p.pcp, natarajan, whitfield, lee, osei}
}

// plan decides what a booking is for.
func (s *slot) plan(d dice) {
	p := s.p
	when := at(s.day.date, 10*60)
	age := p.age(when)
	s.kind, s.minutes = "Follow-up", 20
	c := &chart{w: p.w, p: p, d: p.w.dice("course", p.n)}
	c.sicknesses()
	switch {
	case p.has("new") && s.day.today:
		s.kind, s.reason, s.minutes = "New patient", "Establish care", 40
	case p.has("pregnant"):
		weeks := c.weeks(when)
		s.reason = fmt.Sprintf("Prenatal visit, %d weeks", int(weeks))
	case p.has("newborn") && s.day.today:
		s.kind, s.reason, s.minutes = "Office visit", "Newborn check", 20
	case p.has("teen"):
		s.reason = "Depression, 4-week check"
	case p.has("chf-up") && s.day.today:
		s.reason, s.minutes = "Heart failure, weight up 4 lb", 40
	case p.has("crit-k") && s.day.today:
		s.reason, s.minutes = "Diabetes, kidneys, labs", 40
	case p.has("crit-inr") && s.day.today:
		s.reason = "Warfarin, high INR"
	case p.has("awv") && s.day.today:
		s.kind, s.reason, s.minutes = "Annual physical", "Medicare annual wellness", 40
	case age < 18 && p.wellDue(when):
		s.kind, s.reason = "Well visit", p.wellName(when)
	case age < 18 && len(p.ill) == 0 && (age < 0.6 || d.chance(0.2)):
		s.kind, s.purpose, s.reason = "Nurse visit", "nurse", "Weight check"
		if age > 0.6 {
			s.reason = "Flu shot"
		}
	case age < 18 && len(p.ill) == 0:
		s.sick(d)
	case age >= 18 && d.chance(0.24) && !p.has("today"):
		s.sick(d)
	case age >= 18 && d.chance(0.12) && !p.has("today"):
		s.kind, s.purpose, s.minutes = "Nurse visit", "nurse", 20
		s.reason = pick(d, []string{"Flu shot", "Ear check", "Weight check"})
		if p.suffers("htn") {
			s.reason = "Blood pressure check"
		}
	case len(p.ill) == 0 || age >= 18 && d.chance(0.2):
		s.kind, s.reason, s.minutes = "Annual physical", "Annual physical", 40
	default:
		s.reason = c.reason()
		if len(p.ill) > 3 {
			s.minutes = 40
		}
		if d.chance(0.14) && age < 70 {
			s.video, s.kind = true, "Video visit"
		}
	}
}

func (s *slot) sick(d dice) {
	s.ailment = s.p.ailing(d, at(s.day.date, 10*60))
	s.kind, s.reason = "Same-day", s.ailment.reason
}

// fillToday books today's patients, those worth seeing nearest to now, and lets the day
// run up to now. Outside office hours a short evening or morning session goes on, so that
// a demo always has people in the waiting room.
func (w *World) fillToday(on *day, d dice) {
	now := w.Now.Hour()*60 + w.Now.Minute()
	near := max(8*60+40, min(now, 16*60))
	var list []*patient
	for _, p := range w.patients {
		if p.has("today") {
			list = append(list, p)
		}
	}
	sort.SliceStable(list, func(a, b int) bool { return !list[a].has("crit-k") && list[b].has("crit-k") })
	for i, p := range list { // the critical potassium is in the next room, not the first
		if p.has("crit-k") {
			copy(list[2:i+1], list[1:i])
			list[1] = p
		}
	}
	want := min(38, 12+len(w.patients)/6)
	for try := 0; len(list) < want && try < 400; try++ {
		p := w.patients[d.IntN(len(w.patients))]
		fits := p.died.IsZero() && !p.has("today") && p.since.Before(w.Now.AddDate(0, 0, -40))
		for _, q := range list {
			fits = fits && q != p
		}
		if fits {
			list = append(list, p)
		}
	}
	session := now < 8*60 || now >= 17*60
	late := 0
	for i, p := range list {
		close := 0
		switch {
		case p.has("crit-k"):
			close = near + 2
		case p.has("today"):
			close = near - 20
		}
		if session && !p.has("today") && w.afterHours(on, p, d, now, &late) {
			continue
		}
		if s := w.place(p, on, w.dice("today", i), close); s != nil {
			p.today = s
		}
	}
	sort.SliceStable(on.slots, func(a, b int) bool { return on.slots[a].from < on.slots[b].from })
	w.run(on, now)
}

// afterHours books a patient into the session that goes on around now, one every twenty
// minutes; false when it is full.
func (w *World) afterHours(on *day, p *patient, d dice, now int, taken *int) bool {
	for *taken < 6 {
		m := now/5*5 - 55 + *taken*20
		*taken++
		if m < 0 || m+20 > 24*60 || !on.free(lee, m, 20) {
			continue
		}
		s := &slot{day: on, p: p, minutes: 20}
		s.sick(d)
		s.put(lee, m)
		p.today = s
		return true
	}
	return false
}

// run gives every booking of today the status it has by now.
func (w *World) run(on *day, now int) {
	missed := false
	rooms := map[int]int{}
	for _, s := range on.slots {
		d := w.dice("flow "+s.id, 0)
		gap := s.from - now
		end := s.from + s.minutes
		switch {
		case end <= now-10 && !missed && !s.p.has("today") && s.who != alvarez:
			s.status, missed = noShow, true
		case end <= now:
			s.status = done
		case gap <= -6:
			s.status = inVisit
		case gap <= 8:
			s.status = roomed
		case gap <= 26 && s.who != lee || gap <= 14:
			s.status = arrived
		case d.chance(0.72):
			s.status = confirmed
		default:
			s.status = booked
		}
		if s.video && s.status == roomed {
			s.status = arrived
		}
		s.schedule(d)
		if !s.video && (s.status == roomed || s.status == inVisit || s.status == done) {
			site := s.site()
			rooms[site]++
			s.roomNumber = rooms[site]%sites[site].rooms + 1
			s.room = fmt.Sprintf("Room %d", s.roomNumber)
		}
	}
}

// schedule sets when the patient came, was roomed and was seen, never later than now.
func (s *slot) schedule(d dice) {
	start := at(s.day.date, s.from)
	now := s.day.w.Now
	capped := func(t time.Time, before time.Duration) time.Time {
		if limit := now.Add(-before); t.After(limit) {
			return limit
		}
		return t
	}
	switch s.status {
	case arrived:
		s.arrived = capped(start.Add(-time.Duration(d.whole(4, 16))*time.Minute), time.Duration(d.whole(2, 11))*time.Minute)
	case roomed:
		s.roomed = capped(start.Add(-time.Duration(d.whole(2, 5))*time.Minute), time.Duration(d.whole(4, 7))*time.Minute)
		s.arrived = s.roomed.Add(-time.Duration(d.whole(4, 11)) * time.Minute)
	case inVisit, done:
		s.began = capped(start.Add(time.Duration(d.whole(1, 4))*time.Minute), time.Minute)
		s.roomed = s.began.Add(-time.Duration(d.whole(6, 9)) * time.Minute)
		s.arrived = s.roomed.Add(-time.Duration(d.whole(3, 9)) * time.Minute)
	}
}

// byUrgency lists the patients in the order their charts are wanted: who is here or comes
// next, then the rest of the day.
func (w *World) byUrgency() []*patient {
	now := w.Now.Hour()*60 + w.Now.Minute()
	out := append([]*patient(nil), w.patients...)
	rank := func(p *patient) int {
		if p.today == nil {
			return 1 << 20
		}
		return away(p.today.from, now-45)
	}
	sort.SliceStable(out, func(a, b int) bool { return rank(out[a]) < rank(out[b]) })
	return out
}
