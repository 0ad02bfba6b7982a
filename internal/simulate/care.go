package simulate

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// follow writes a planned visit of someone with lasting problems, or a check-up.
func (c *chart) follow(v *visit) {
	p, d := c.p, c.d
	c.begin(v)
	c.visits = append(c.visits, v)
	if v.status == "arrived" {
		c.end(v)
		return
	}
	c.carry(v)
	x := c.measure(v, 0, v.slot != nil && v.slot.day.today)
	if v.kind == "Annual physical" || v.kind == "New patient" {
		c.smoking(v)
		c.checkup = v.start
	}
	if !v.done {
		c.end(v)
		return
	}
	v.note.said(c.opening(v))
	if v.slot != nil && v.slot.day.today {
		switch {
		case p.has("crit-k"):
			v.note.said("Started a potassium salt substitute in the past month. No weakness or palpitations.")
			v.note.plans("High potassium, 6.1: repeat and ECG today, stop the salt substitute, hold losartan until the repeat is back.")
		case p.has("crit-inr"):
			v.note.said("Called yesterday about an INR of 5.4. Took an antibiotic from an urgent care last week. No bleeding.")
			v.note.plans("INR 5.4: hold warfarin for two evenings, repeat INR on the third day, bleeding signs explained.")
		case p.has("chf-up"):
			v.note.said("Weight up 4 lb in a week, more ankle swelling, sleeps on two pillows.")
			v.note.plans("Heart failure: furosemide twice daily for three days, daily weights, nurse call tomorrow.")
		}
	}
	v.note.found(x.line())
	s := c.draw(v)
	kidneys := time.Duration(0)
	for _, b := range c.problems {
		if b.onset.After(v.start) {
			continue
		}
		if !b.begun {
			b.begun, b.known, b.onset = true, v.start, at(v.start, 0)
			v.note.plans("New today: " + b.name + ".")
		}
		v.about = append(v.about, diagnosed{b.id, b.name})
		c.treat(v, s, b, x)
		switch b.key {
		case "dmckd", "ckd", "chf", "t2dm":
			kidneys = max(kidneys, 170*24*time.Hour)
		case "htn":
			kidneys = max(kidneys, 350*24*time.Hour)
		}
	}
	if kidneys == 170*24*time.Hour && v.start.Sub(c.panel) > kidneys || kidneys > 0 && v.start.Sub(c.panel) > 345*24*time.Hour {
		c.panel = v.start
		k, rate := c.metabolic(s, 0)
		v.note.found(fmt.Sprintf("Potassium %s mmol/L, eGFR %.0f.", fixed(k, 1), rate))
		if p.suffers("ckd") || p.suffers("dmckd") {
			v.note.plans(fmt.Sprintf("Kidneys: eGFR %.0f. Avoid anti-inflammatory pain medicines; recheck in 6 months.", rate))
		}
	}
	if v.kind == "Annual physical" && p.age(v.start) > 21 {
		if c.illness("hld", "mixed") == nil && d.chance(0.6) {
			ldl := c.lipids(s)
			v.note.found(fmt.Sprintf("LDL %.0f mg/dL.", ldl))
		}
		if c.illness("t2dm", "dmckd", "prediab") == nil && p.age(v.start) > 40 && d.chance(0.5) {
			c.single(s, "4548-4", d.around(5.3, 0.14))
		}
		v.note.found("Well appearing. Heart regular, lungs clear, abdomen soft, skin without suspicious lesions.")
		v.note.plans(c.prevention(v))
	} else {
		v.note.found(pick(d, []string{"No distress. Heart regular without murmur, lungs clear, no ankle edema.", "Comfortable. Lungs clear, heart regular. Gait normal.", "Alert, good spirits. Heart and lungs normal."}))
	}
	if len(v.note.plan) == 0 {
		v.note.plans("Doing well. No change.")
	}
	v.note.plans(c.closing())
	c.end(v)
}

// carry takes over the treatment of what was known before the first visit: it has been
// working for months when the first vital signs are taken.
func (c *chart) carry(v *visit) {
	for _, b := range c.problems {
		if b.begun || !b.onset.Before(c.p.since) {
			continue
		}
		b.begun, b.carried, b.known = true, true, v.start
		if len(b.steps) > 0 {
			b.starts = append(b.starts, v.start.AddDate(0, -5, 0))
		}
	}
}

// opening is the first sentence of the history.
func (c *chart) opening(v *visit) string {
	d, p := c.d, c.p
	who := fmt.Sprintf("%d-year-old %s", int(p.age(v.start)), map[string]string{"female": "woman", "male": "man"}[p.sex])
	if p.age(v.start) < 18 {
		who = fmt.Sprintf("%d-year-old", int(p.age(v.start)))
	}
	switch {
	case p.age(v.start) < 13:
		return who + " with a parent. " + pick(d, []string{"Doing well at home and school. Treatment used as told.", "Sleeps through the night, plays without tiring.", "Two missed days of school this term. Otherwise well."})
	case v.kind == "New patient":
		return strings.TrimSpace(who + " here to establish care. " + c.past())
	case v.kind == "Annual physical":
		return who + " here for a check-up. " + pick(d, []string{"No new concerns.", "Feels well, sleeps well.", "Walks most days. No chest pain or breathlessness."})
	}
	if p.interp {
		who += ", interpreter present"
	}
	said := []string{"No new symptoms since the last visit.", "Well overall; energy and appetite normal."}
	if len(c.orders) > 0 {
		said = append(said, "Taking medicines as written, no side effects.", "Misses a dose about once a week, otherwise well.")
	}
	if c.illness("htn") != nil {
		said = append(said, "Brought home readings. No dizziness, chest pain or breathlessness.")
	}
	if c.illness("depr", "deprteen", "anx") != nil {
		said = append(said, "Sleeping better, mood steadier, no thoughts of self-harm.", "Good and bad weeks; work goes on. No thoughts of self-harm.")
	}
	return who + ". " + pick(d, said)
}

func (c *chart) past() string {
	var names []string
	for _, b := range c.problems {
		if b.onset.Before(c.p.since) {
			names = append(names, b.name+" since "+b.onset.Format("2006"))
		}
	}
	if len(names) == 0 {
		return "No lasting medical problems reported."
	}
	return "Known: " + strings.Join(names, "; ") + "."
}

func (c *chart) prevention(v *visit) string {
	age := c.p.age(v.start)
	out := []string{"Prevention: diet and activity discussed"}
	if age >= 45 && age <= 75 {
		out = append(out, "colon cancer screening up to date")
	}
	if c.p.sex == "female" && age >= 40 && age <= 74 {
		out = append(out, "mammogram every 2 years")
	}
	if c.p.sex == "female" && age >= 21 && age <= 65 {
		out = append(out, "cervical screening current")
	}
	return strings.Join(out, ", ") + "."
}

func (c *chart) closing() string {
	soon := 12
	for _, b := range c.problems {
		if b.begun {
			soon = min(soon, b.every)
			if len(c.visits) > 0 && b.changed.Equal(c.visits[len(c.visits)-1].start) {
				soon = min(soon, 3)
			}
		}
	}
	return fmt.Sprintf("Return in %d months, sooner if needed.", soon)
}

// test draws what a problem is followed by in the laboratory; "" when it is not.
func (c *chart) test(s specimen, b *problem) string {
	if !b.begun {
		return ""
	}
	v := b.value(s.taken)
	switch b.marker {
	case "a1c":
		a := rounded(max(5, c.d.around(v, 0.12)), 1)
		c.single(s, "4548-4", a)
		text := fmt.Sprintf("A1c %s %%.", fixed(a, 1))
		if b.key == "dmckd" || b.key == "t2dm" && s.taken.Sub(c.urine) > 330*24*time.Hour {
			c.urine = s.taken
			acr := c.d.around(14, 4)
			if b.key == "dmckd" {
				acr = 24 + 62*years(c.p.since, s.taken)/max(0.5, years(c.p.since, c.w.Now)) + c.d.around(0, 3)
			}
			c.single(s, "9318-7", acr)
			text += fmt.Sprintf(" Urine albumin/creatinine %.0f mg/g.", rounded(max(acr, 2), 0))
		}
		return text
	case "ldl":
		return fmt.Sprintf("LDL %.0f mg/dL.", c.lipids(s))
	case "tsh":
		t := rounded(max(0.5, c.d.around(v, v*0.06)), 2)
		c.single(s, "3016-3", t)
		return fmt.Sprintf("TSH %s mIU/L.", fixed(t, 2))
	case "uric":
		u := rounded(c.d.around(v, 0.2), 1)
		c.single(s, "3084-1", u)
		return fmt.Sprintf("Uric acid %s mg/dL.", fixed(u, 1))
	case "vitd":
		u := rounded(c.d.around(v, 1.5), 0)
		c.single(s, "1989-3", u)
		return fmt.Sprintf("Vitamin D %s ng/mL.", fixed(u, 0))
	case "hgb":
		h := c.count(s)
		c.single(s, "2276-4", max(4, (h-9)*9+c.d.around(0, 2)))
		return fmt.Sprintf("Hemoglobin %s g/dL.", fixed(h, 1))
	case "inr":
		if c.p.has("crit-inr") && c.w.Now.Sub(s.taken).Hours() < 120 {
			return ""
		}
		i := rounded(c.d.around(2.5, 0.25), 1)
		c.report(s, "34528-0", "Prothrombin time and INR", "", c.result(s, "5902-2", i*10.2+1), c.result(s, "6301-6", i))
		return fmt.Sprintf("INR %s.", fixed(i, 1))
	}
	if b.key == "chf" {
		x := c.d.around(880, 120)
		if c.p.has("chf-up") && c.w.Now.Sub(s.taken).Hours() < 120 {
			x = 1640
		}
		c.single(s, "33762-6", x)
		return fmt.Sprintf("NT-proBNP %.0f pg/mL.", rounded(x, 0))
	}
	return ""
}

// due is how long a laboratory marker may stay untested.
func (b *problem) due() time.Duration {
	days := 330
	switch b.marker {
	case "a1c":
		days = 80
		if b.key == "prediab" {
			days = 340
		}
	case "inr":
		days = 25
	}
	if b.key == "chf" {
		days = 170
	}
	return time.Duration(days) * 24 * time.Hour
}

// treat deals with one problem at a visit: measure, judge, change.
func (c *chart) treat(v *visit, s specimen, b *problem, x taken) {
	first := len(b.orders) == 0 && b.tested.IsZero() && b.changed.IsZero() && b.known.Equal(v.start)
	line, bad := "", false
	switch b.marker {
	case "sbp":
		line, bad = fmt.Sprintf("%d/%d", x.systolic, x.diastolic), x.systolic > int(b.goal)+1
	case "phq", "gad":
		score := int(math.Round(max(1, c.d.around(b.value(v.start), 0.9))))
		code, name := "44261-6", "PHQ-9 total score"
		if b.marker == "gad" {
			code, name = "70274-6", "GAD-7 total score"
		}
		c.survey(v, code, name, score)
		line, bad = fmt.Sprintf("%s %d", name[:5], score), float64(score) > b.goal
		b.comment = line
	default:
		changed := !b.changed.IsZero() && b.tested.Before(b.changed.AddDate(0, 0, 50)) && v.start.Sub(b.changed).Hours() > 50*24
		if first || v.start.Sub(b.tested) > b.due() || changed {
			if line = strings.TrimSuffix(c.test(s, b), "."); line != "" {
				b.tested = v.start
				v.note.found(line + ".")
				bad = b.marker != "" && b.bad(b.value(v.start))
				b.comment, _, _ = strings.Cut(line, ".  ")
			}
		}
	}
	var said string
	switch {
	case first && len(b.steps) > 0:
		said = c.advance(v, b)
		if b.carried && b.marker == "" {
			for len(b.starts) < len(b.steps) {
				said += " " + c.advance(v, b)
			}
		}
	case bad && len(b.starts) < len(b.steps) && v.start.Sub(b.changed).Hours() > 50*24 && c.d.chance(0.85):
		said = c.advance(v, b)
	case b.marker == "" && !first && len(b.starts) < len(b.steps) && c.d.chance(0.5):
		said = c.advance(v, b)
	}
	text := b.name
	if line != "" {
		text += ": " + line
		if bad {
			text += ", not at goal"
		} else if b.marker != "" && b.marker != "inr" {
			text += ", at goal"
		}
	}
	switch {
	case said != "":
		text += ". " + said
	case bad && b.marker == "sbp":
		text += ". " + pick(c.d, []string{"Home readings for two weeks before a change.", "Salt and missed doses reviewed; recheck next time.", "Repeat by the nurse in two weeks."})
	case bad && len(b.orders) > 0:
		text += ". " + pick(c.d, []string{"Close to goal; same treatment, recheck next time.", "Diet and missed doses reviewed, no change yet.", "Discussed the next step; prefers to wait."})
	case len(b.orders) > 0:
		text += ". " + pick(c.d, []string{"Continue as is.", "No change.", "Stable, continue treatment."})
	default:
		text += ". " + c.advice(b)
	}
	if line != "" || said != "" || v.kind != "Follow-up" || len(v.note.plan) < 2 {
		v.note.plans(text)
	}
}

// advice is what is told where no medicine is given.
func (c *chart) advice(b *problem) string {
	switch b.key {
	case "obesity":
		return "Food diary and a walking plan agreed."
	case "prediab":
		return "Diet, weight and activity goals set; A1c yearly."
	case "osa":
		return "CPAP used most nights, sleeping well."
	case "tobacco":
		return "Advised to quit; quit line and nicotine patches offered."
	case "ckd":
		return "Blood pressure control, avoid anti-inflammatory medicines."
	case "anx":
		return "Therapy continues; medicine as for depression."
	}
	return "Watchful follow-up."
}

// advance takes the next step of treatment and says so.
func (c *chart) advance(v *visit, b *problem) string {
	i := len(b.starts)
	taken := b.carried && len(b.orders) == 0 && i == 1
	if taken {
		i = 0
	}
	if i >= len(b.steps) {
		return ""
	}
	s := b.steps[i]
	m := medicineOf(s.med)
	if !taken {
		b.starts = append(b.starts, v.start)
	}
	if c.takes(s.med) {
		return "" // for another problem already
	}
	verb := "Start "
	if s.replaces && len(b.orders) > 0 {
		old := b.orders[len(b.orders)-1]
		old.stop, old.why = v.start.Add(15*time.Minute), "Dose changed"
		if strings.Fields(old.text)[0] == strings.Fields(m.text)[0] {
			verb = "Increase to "
		} else {
			verb = "Change to "
		}
	}
	if b.carried && v.start.Equal(b.known) {
		verb = "Continue "
	}
	b.orders = append(b.orders, c.prescribe(m, v.start.Add(15*time.Minute), v.who, v.id, b))
	if !taken {
		b.changed = v.start
	}
	return verb + m.text + ", " + strings.ToLower(m.sig[:1]) + m.sig[1:] + "."
}
