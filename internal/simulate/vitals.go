package simulate

import (
	"fmt"
	"strings"
	"time"
)

// taken is one set of vital signs, for the note.
type taken struct {
	systolic, diastolic, pulse, breaths int
	temp, oxygen, pounds, inches, bmi   float64
	when                                time.Time
}

// measure takes the vital signs of a visit. fever is degrees above normal, in °F; whole
// asks for every sign, else the routine ones.
func (c *chart) measure(v *visit, fever float64, whole bool) taken {
	p, d := c.p, c.d
	when := v.start.Add(2 * time.Minute)
	if s := v.slot; s != nil && !s.roomed.IsZero() {
		when = s.roomed.Add(3 * time.Minute)
	}
	if when.After(c.w.Now) {
		when = c.w.Now
	}
	age := p.age(when)
	x := taken{when: when, pounds: rounded(c.heft(when)*d.around(1, 0.005), 1), inches: rounded(p.height(when), 1)}
	x.pulse = int(d.around(72, 5))
	x.breaths = int(d.around(15.5, 0.9))
	systolic := d.around(111+age*0.19+p.heavy*2, 5)
	if age < 18 {
		x.pulse, x.breaths = int(d.around(childPulse(age), 5)), int(d.around(childBreaths(age), 1.2))
		systolic = d.around(childSystolic(age), 4)
	}
	if b := c.illness("htn"); b != nil || p.suffers("htn") && len(c.visits) == 1 {
		for _, q := range c.problems {
			if q.key == "htn" && !q.onset.After(when) {
				systolic = d.around(q.value(when), 4)
			}
		}
	}
	if c.takes("metoprolol50", "carvedilol") {
		x.pulse -= 8
	}
	x.pulse += int(fever * 6)
	x.systolic = int(min(systolic, 182))
	x.diastolic = int(float64(x.systolic)*0.46 + 17 + d.around(0, 2.5))
	if age > 70 {
		x.diastolic -= 6
	}
	if age < 18 {
		x.diastolic = int(float64(x.systolic) * 0.6)
	}
	x.temp = rounded(d.around(98.2, 0.25)+fever, 1)
	x.oxygen = min(100, rounded(d.around(98, 0.6), 0))
	if p.suffers("copd") {
		x.oxygen = rounded(d.around(94.3, 0.8), 0)
	}
	if age >= 3 {
		c.pressure(v, when, x.systolic, x.diastolic)
	} else {
		x.systolic = 0
	}
	c.vital(v, when, "8867-4", float64(x.pulse))
	if whole || age < 3 || v.slot != nil && v.slot.day.today || p.suffers("copd") || p.suffers("chf") || p.suffers("asthma") {
		c.vital(v, when, "9279-1", float64(x.breaths))
		c.vital(v, when, "8310-5", x.temp)
		c.vital(v, when, "59408-5", x.oxygen)
	}
	c.vital(v, when, "29463-7", x.pounds)
	tall := age < 18 || v.kind == "Annual physical" || v.kind == "New patient"
	if tall {
		c.vital(v, when, "8302-2", x.inches)
	}
	if m := x.inches * 0.0254; age >= 2 {
		x.bmi = rounded(x.pounds*0.45359237/(m*m), 1)
		if !whole || tall {
			c.vital(v, when, "39156-5", x.bmi)
		}
	}
	return x
}

// heft is the weight in pounds with what treatment and illness do to it.
func (c *chart) heft(t time.Time) float64 {
	lb := c.p.weight(t)
	for _, o := range c.orders {
		if o.key == "semaglutide" && o.stop.IsZero() {
			lb *= 1 - 0.07*max(0, min(1, years(o.start, t)))
		}
	}
	if c.p.has("chf-up") && c.w.Now.Sub(t).Hours() < 24 {
		lb += 4.2
	}
	if c.p.has("pregnant") {
		if weeks := c.weeks(t); weeks > 0 {
			lb += max(0, weeks-10) * 0.95
		}
	}
	return lb
}

// line is the vital signs as a note says them.
func (x taken) line() string {
	var parts []string
	if x.systolic > 0 {
		parts = append(parts, fmt.Sprintf("BP %d/%d", x.systolic, x.diastolic))
	}
	parts = append(parts, fmt.Sprintf("HR %d", x.pulse), fmt.Sprintf("Wt %s lb", fixed(x.pounds, 1)))
	if x.bmi > 0 {
		parts = append(parts, "BMI "+fixed(x.bmi, 1))
	}
	return strings.Join(parts, ", ") + "."
}
