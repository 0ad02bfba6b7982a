package simulate

import (
	"iter"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

// BigChart is one patient with at least that many encounters and laboratory results, for
// measuring how a chart behaves at the size of a long and ill life. The practice's own
// resources come in its first bundle; patient is the id of the Patient.
func BigChart(seed uint64, now time.Time, encounters, results int) (patient string, bundles iter.Seq[Bundle]) {
	w := Plan(seed, now, len(featured))
	p := w.patients[0]
	p.id = w.id("big")
	p.given, p.family, p.nick, p.mrn = "Agnes", "Longacre", "", "90000001"
	p.today, p.recent = nil, nil
	return p.id, func(yield func(Bundle) bool) {
		if !yield(bundle("practice", append(w.furniture(), p.demographics()...))) {
			return
		}
		c := &chart{w: w, p: p, d: w.dice("big", 0)}
		c.sicknesses()
		for _, b := range c.problems {
			b.begun, b.known = true, b.onset
		}
		made := 0
		for i := range encounters {
			t := at(w.Now, 9*60).AddDate(0, 0, -7*(encounters-i))
			if t.Before(p.born) {
				t = p.born.AddDate(0, 0, i)
			}
			v := &visit{start: t, minutes: 20, who: p.pcp, kind: "Follow-up", reason: c.reason()}
			c.begin(v)
			c.visits = append(c.visits, v)
			x := c.measure(v, 0, false)
			v.note.said("Weekly follow-up.")
			v.note.found(x.line())
			v.note.plans("No change.")
			s := c.draw(v)
			for made < results*(i+1)/encounters {
				switch (made / 9) % 3 {
				case 0:
					c.metabolic(s, 0)
					made += 9
				case 1:
					c.count(s)
					made += 9
				default:
					c.lipids(s)
					c.single(s, "4548-4", c.d.between(6, 9))
					made += 5
				}
			}
			c.end(v)
			if len(c.out) > 400 {
				if !yield(bundle("big chart", c.out)) {
					return
				}
				c.out = nil
			}
		}
		c.standing()
		yield(bundle("big chart", append([]fhirjson.Node{}, c.out...)))
	}
}
