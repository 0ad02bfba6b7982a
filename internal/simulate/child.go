package simulate

import (
	"fmt"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/terminology"
)

// wellAges are the months of the usual well visits of small children; older ones come yearly.
var wellAges = []float64{0.13, 1, 2, 4, 6, 9, 12, 15, 18, 24, 30}

// childhood is the course of someone under eighteen.
func (c *chart) childhood(stop time.Time) {
	p, d := c.p, c.d
	var due []time.Time
	for _, m := range wellAges {
		due = append(due, p.born.AddDate(0, int(m), int((m-float64(int(m)))*30)+d.whole(0, 6)))
	}
	for y := 3; y < 18; y++ {
		due = append(due, p.born.AddDate(y, 0, d.whole(3, 70)))
	}
	last := p.since
	for _, t := range due {
		if t.Before(p.since.AddDate(0, 0, -3)) || !t.Before(stop) {
			continue
		}
		for gap := t.Sub(last).Hours() / 24; gap > 70 && d.chance(min(0.8, gap/365*0.9)); gap = 0 {
			if sick := last.AddDate(0, 0, int(gap*d.between(0.3, 0.7))); p.age(sick) > 0.5 {
				c.sick(&visit{start: c.clockOf(sick), minutes: 15, who: pick(d, []int{lee, p.pcp}), site: p.home(), kind: "Same-day"}, c.ailing(sick))
			}
		}
		if b := c.illness(p.ill...); b != nil && t.Sub(last).Hours() > 200*24 {
			mid := last.AddDate(0, 0, int(t.Sub(last).Hours()/24/2)+12)
			c.follow(&visit{start: c.clockOf(mid), minutes: 20, who: p.pcp, site: p.home(), kind: "Follow-up", reason: c.reason()})
		}
		v := &visit{start: c.clockOf(t), minutes: 30, who: p.pcp, site: p.home(), kind: "Well visit", reason: p.wellName(t)}
		c.well(v)
		last = v.start
	}
	if len(c.visits) > 0 && len(c.problems) > 0 {
		for t := last.AddDate(0, 2, 3); t.Before(stop); t = t.AddDate(0, 4, 2) {
			c.follow(&visit{start: c.clockOf(t), minutes: 20, who: p.pcp, site: p.home(), kind: "Follow-up", reason: c.reason()})
		}
	}
}

func (p *patient) wellName(t time.Time) string {
	switch m := p.age(t) * 12; {
	case m < 0.8:
		return "Newborn check"
	case m < 35:
		best := 1.0
		for _, a := range wellAges {
			if a >= 1 && abs(a-m) < abs(best-m) {
				best = a
			}
		}
		return fmt.Sprintf("%.0f-month well visit", best)
	default:
		return fmt.Sprintf("%d-year well visit", int(p.age(t)))
	}
}

// wellDue reports whether a well visit falls due in the weeks before a day.
func (p *patient) wellDue(t time.Time) bool {
	due := func(d time.Time) bool {
		days := t.Sub(d).Hours() / 24
		return days >= -3 && days <= 20
	}
	for _, m := range wellAges[1:] {
		if due(p.born.AddDate(0, int(m), 0)) {
			return true
		}
	}
	for y := 3; y < 18; y++ {
		if due(p.born.AddDate(y, 0, 0)) {
			return true
		}
	}
	return false
}

func abs(f float64) float64 {
	if f < 0 {
		return -f
	}
	return f
}

// well writes a well-child visit.
func (c *chart) well(v *visit) {
	p, d := c.p, c.d
	c.begin(v)
	c.visits = append(c.visits, v)
	if v.status == "arrived" {
		c.end(v)
		return
	}
	c.carry(v)
	x := c.measure(v, 0, true)
	age := p.age(v.start)
	if age < 2 {
		c.vital(v, x.when, "9843-4", rounded(p.head(v.start), 1))
	}
	c.checkup = v.start
	if age >= 13 {
		c.smoking(v)
	}
	if !v.done {
		c.end(v)
		return
	}
	switch {
	case age < 0.1:
		v.note.said(pick(d, []string{"Born at term by vaginal birth, 39 weeks, no problems in the nursery. Nursing every 2 to 3 hours, 7 wet diapers a day.", "Term baby, breast and bottle. Stools yellow. Parents tired but well supported."}))
		v.note.found(fmt.Sprintf("Weight %s lb, length %s in. Pink, good tone, fontanelle flat, no murmur, hips stable, cord dry.", fixed(x.pounds, 1), fixed(x.inches, 1)))
		v.note.plans("Newborn: gaining weight. Vitamin D drops, safe sleep on the back, call for fever of 100.4 °F or higher.")
	case age < 3:
		v.note.said("Here with a parent. Eating and sleeping well. " + milestone(age*12))
		v.note.found(fmt.Sprintf("Weight %s lb, length %s in, following the curves. Ears, heart, lungs, hips and skin normal.", fixed(x.pounds, 1), fixed(x.inches, 1)))
		v.note.plans("Growth and development on track. Vaccines by schedule, car seat and choking hazards discussed.")
	default:
		v.note.said(pick(d, []string{"Here with a parent. School going well, eats a mixed diet, active outdoors.", "No concerns from family. Sleeps 9 hours, about 2 hours of screens a day."}))
		v.note.found(x.line() + " Growth steady. Vision and hearing screens passed. Heart, lungs, abdomen and spine normal.")
		v.note.plans("Healthy. Vaccines by schedule; helmets, sunscreen and sleep discussed.")
		if age > 12 {
			v.note.plans("Seen alone for part of the visit; mood, safety and substances reviewed in confidence.")
		}
	}
	if age > 0.95 && age < 1.12 {
		s := c.draw(v)
		h := c.count(s)
		c.single(s, "5671-3", max(0.5, d.around(1.4, 0.4)))
		v.note.found(fmt.Sprintf("Hemoglobin %s g/dL, lead below 3.5.", fixed(h, 1)))
	}
	s := c.draw(v)
	for _, b := range c.problems {
		if b.onset.After(v.start) {
			continue
		}
		if !b.begun {
			b.begun, b.known, b.onset = true, v.start, at(v.start, 0)
		}
		v.about = append(v.about, diagnosed{b.id, b.name})
		c.treat(v, s, b, x)
	}
	c.end(v)
}

func milestone(months float64) string {
	switch {
	case months < 3:
		return "Smiles, lifts the head, follows faces."
	case months < 7:
		return "Rolls over, laughs, reaches for toys."
	case months < 11:
		return "Sits alone, babbles, passes things from hand to hand."
	case months < 16:
		return "Pulls to stand, first words, waves."
	case months < 22:
		return "Walks well, says about 10 words, points to what is wanted."
	}
	return "Runs, two-word sentences, plays beside other children."
}

// weeks is how far a pregnancy has come at a time, counted so that today is 31 weeks and 2 days.
func (c *chart) weeks(t time.Time) float64 {
	begun := at(c.w.Now, 0).AddDate(0, 0, -(31*7 + 2))
	return t.Sub(begun).Hours() / 24 / 7
}

// prenatal is the course of a pregnancy until now.
func (c *chart) prenatal(stop time.Time) {
	for _, week := range []int{9, 12, 16, 20, 24, 27} {
		t := at(c.w.Now, 0).AddDate(0, 0, (week-31)*7)
		if t.Before(stop) {
			c.expecting(&visit{start: c.clockOf(t), minutes: 20, who: natarajan, kind: "Follow-up", reason: fmt.Sprintf("Prenatal visit, %d weeks", week)})
		}
	}
}

// expecting writes one prenatal visit.
func (c *chart) expecting(v *visit) {
	p, d := c.p, c.d
	c.begin(v)
	c.visits = append(c.visits, v)
	if v.status == "arrived" {
		c.end(v)
		return
	}
	x := c.measure(v, 0, false)
	if !v.done {
		c.end(v)
		return
	}
	week := int(c.weeks(v.start))
	due := at(c.w.Now, 0).AddDate(0, 0, 280-(31*7+2))
	if c.pregnancy == nil {
		id := c.id("condition")
		concept, _ := terminology.Lookup(terminology.ICD10CM, "Z34.83")
		n := fhir.Object("resourceType", "Condition", "id", id,
			"clinicalStatus", fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/condition-clinical", "code", "active"))),
			"verificationStatus", fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code", "confirmed"))),
			"category", coded("http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item", "Problem List Item"),
			"code", fhir.Concept(terminology.ICD10CM, "Z34.83", concept.Display, "Pregnancy, due "+due.Format("2 Jan 2006")), "subject", p.self(),
			"onsetDateTime", dated(due.AddDate(0, 0, -280)), "recordedDate", dated(v.start), "recorder", c.staff(natarajan),
			"note", fhir.Array(fhir.Object("text", "Second pregnancy. Dated by 9-week ultrasound.")))
		c.pregnancy = &n
		o := c.prescribe(medicineOf("folicacid"), v.start.Add(15*time.Minute), v.who, v.id, nil)
		o.icd, o.name = id, "Pregnancy"
	}
	v.about = append(v.about, diagnosed{c.pregnancy.Get("id").Text(), "Pregnancy"})
	v.note.said(fmt.Sprintf("%d weeks. %s", week, pick(d, []string{"Feels well. No bleeding or cramps.", "Baby moves well. No headache or swelling.", "Some heartburn at night, otherwise well."})))
	v.note.found(x.line())
	if week >= 12 {
		v.note.found(fmt.Sprintf("Fetal heart rate %d.", d.whole(136, 154)))
	}
	if week >= 20 {
		v.note.found(fmt.Sprintf("Fundal height %d cm.", week+d.whole(-1, 1)))
	}
	if week < 11 || week > 25 && week < 29 {
		s := c.draw(v)
		h := c.count(s)
		v.note.found(fmt.Sprintf("Hemoglobin %s g/dL.", fixed(h, 1)))
		if week > 20 {
			g := rounded(d.around(81, 4), 0)
			c.single(s, "1558-6", g)
			v.note.found(fmt.Sprintf("Fasting glucose %.0f mg/dL.", g))
		}
	}
	next, late := 4, ""
	if week >= 27 {
		late = "Counting movements explained. "
	}
	if week > 28 {
		next = 2
	}
	v.note.plans(fmt.Sprintf("Pregnancy on course, due %s. %sReturn in %d weeks.", due.Format("2 January"), late, next))
	c.end(v)
}
