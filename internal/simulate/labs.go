package simulate

import (
	"fmt"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

// kidney is the filtration rate at a time, in mL/min/1.73 m².
func (c *chart) kidney(t time.Time) float64 {
	p := c.p
	age := p.age(t)
	rate := min(118, 128-0.75*age) + p.tall*5
	switch past := years(p.since, t); {
	case p.suffers("dmckd"):
		rate = 58 - 9.5*past/max(0.5, years(p.since, c.w.Now))
	case p.suffers("ckd"):
		rate = 57 - 1.4*past + p.heavy
	}
	return max(31, rate)
}

// metabolic draws a basic metabolic panel that agrees with kidneys, sugar and medicines,
// and returns the potassium and filtration for the note.
func (c *chart) metabolic(s specimen, potassium float64) (k, rate float64) {
	d, p := c.d, c.p
	age := p.age(s.taken)
	creatinine := creatinineAt(d.around(c.kidney(s.taken), 1.6), age, p.sex)
	rate = rounded(filtration(creatinine, age, p.sex), 0)
	if potassium == 0 {
		potassium = d.around(4.2, 0.18)
		if c.takes("lisinopril10", "lisinopril20", "losartan50", "losartan100") {
			potassium += 0.2
		}
		if rate < 60 {
			potassium += 0.3
		}
		if c.takes("chlorthalidone25", "furosemide40") {
			potassium -= 0.35
		}
		potassium = min(potassium, 5.4)
	}
	sugar := d.around(91, 5)
	if b := c.illness("t2dm", "dmckd", "prediab"); b != nil {
		sugar = d.around(28.7*b.value(s.taken)-46.7, 11) * 0.93 // fasting runs below the estimated average
	}
	urea := d.around(13+max(0, 75-rate)*0.28, 1.5)
	sodium := d.around(139.5, 1.3)
	if c.takes("chlorthalidone25", "furosemide40") {
		sodium -= 1.8
	}
	k = rounded(potassium, 1)
	c.report(s, "51990-0", "Basic metabolic panel", critical("Potassium", k, 6, "mmol/L"),
		c.result(s, "2345-7", sugar), c.result(s, "3094-0", urea), c.result(s, "2160-0", creatinine), c.result(s, "98979-8", rate),
		c.result(s, "2951-2", sodium), c.result(s, "2823-3", potassium), c.result(s, "2075-0", d.around(102.5, 1.3)), c.result(s, "2028-9", d.around(25.4-max(0, 60-rate)*0.05, 0.9)), c.result(s, "17861-6", d.around(9.4, 0.2)))
	return k, rate
}

func critical(name string, value, above float64, unit string) string {
	if value <= above {
		return ""
	}
	text := fmt.Sprintf("%s %s", name, fixed(value, 1))
	if unit != "" {
		text += " " + unit
	}
	return text + ", critical. Repeated and confirmed; called to the on-call clinician."
}

// lipids draws a lipid panel that adds up (Friedewald) and returns LDL.
func (c *chart) lipids(s specimen) float64 {
	d := c.d
	ldl := d.around(108, 9) - c.p.tall*4
	if b := c.illness("hld", "mixed"); b != nil {
		ldl = d.around(b.value(s.taken), 4)
	}
	hdl := d.around(51, 5)
	if c.p.sex == "female" {
		hdl += 8
	}
	fat := d.around(118, 16) + max(0, c.p.heavy)*18
	if c.p.suffers("mixed") || c.p.suffers("t2dm") {
		fat += 55
		hdl -= 8
	}
	ldl, hdl, fat = rounded(ldl, 0), rounded(hdl, 0), rounded(fat, 0)
	c.report(s, "57698-3", "Lipid panel", "", c.result(s, "2093-3", ldl+hdl+fat/5), c.result(s, "2571-8", fat), c.result(s, "2085-9", hdl), c.result(s, "13457-7", ldl))
	return ldl
}

// count draws a blood count that fits the hemoglobin and returns it.
func (c *chart) count(s specimen) float64 {
	d := c.d
	hgb, size := d.around(13.6, 0.4), d.around(90, 1.8)
	if c.p.sex == "male" && c.p.age(s.taken) > 14 {
		hgb += 1.3
	}
	if age := c.p.age(s.taken); age < 12 {
		hgb, size = d.around(12.4, 0.3), d.around(80, 1.5)
	}
	if rate := c.kidney(s.taken); rate < 60 && c.p.age(s.taken) > 18 {
		hgb -= (60 - rate) * 0.12
	}
	if weeks := c.weeks(s.taken); c.p.has("pregnant") && weeks > 6 {
		hgb -= min(1.6, weeks*0.07)
	}
	if b := c.illness("ida"); b != nil {
		hgb = d.around(b.value(s.taken), 0.15)
		size = 88 - (12.6-hgb)*4.6
	}
	hgb = rounded(hgb, 1)
	red := hgb * 10 / (size / 3.02)
	whole := hgb*2.97 + d.between(-0.3, 0.3)
	list := []fhirjson.Node{c.result(s, "6690-2", d.around(6.8, 0.9)), c.result(s, "789-8", red), c.result(s, "718-7", hgb), c.result(s, "4544-3", whole), c.result(s, "787-2", size),
		c.result(s, "785-6", hgb*10/red), c.result(s, "786-4", hgb*100/whole), c.result(s, "788-0", 13+max(0, 84-size)*0.25), c.result(s, "777-3", d.around(245, 30))}
	c.report(s, "58410-2", "Complete blood count", "", list...)
	return hgb
}

// illness finds the patient's problem of one of these kinds that has begun.
func (c *chart) illness(keys ...string) *problem {
	for _, b := range c.problems {
		for _, k := range keys {
			if b.key == k && b.begun {
				return b
			}
		}
	}
	return nil
}

// takes reports whether the patient is on one of these medicines now.
func (c *chart) takes(keys ...string) bool {
	for _, o := range c.orders {
		if o.stop.IsZero() && o.course == 0 {
			for _, k := range keys {
				if o.key == k {
					return true
				}
			}
		}
	}
	return false
}
