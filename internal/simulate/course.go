package simulate

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

// chart is everything of the patient but demographics, in order of time as far as the
// course goes; lists that depend on its end (problems, orders) come last.
func (p *patient) chart() []fhirjson.Node {
	c := &chart{w: p.w, p: p, d: p.w.dice("course", p.n)}
	c.sicknesses()
	if !p.has("new") {
		c.history()
	}
	c.latest()
	c.immunize()
	c.standing()
	return c.out
}

// sicknesses sets out the lasting problems: when they began and which treatment is open.
func (c *chart) sicknesses() {
	p, d := c.p, c.d
	for _, key := range p.ill {
		s := diseaseOf(key)
		b := &problem{disease: s, id: c.id("condition"), base: d.between(s.low, s.high)}
		from := max(s.from, p.age(p.since)-14)
		last := max(from+0.2, p.age(p.w.Now)-0.9)
		if p.n < len(featured) && key != "deprteen" { // known before they came
			from = max(min(s.from, p.age(p.since)-3), p.age(p.since)-11, 1)
			last = max(from+0.2, p.age(p.since)-0.3)
		}
		if key == "deprteen" {
			from = p.age(p.w.Now) - 0.8
			last = from + 0.2
		}
		b.onset = workday(p.born.AddDate(0, 0, int(d.between(from, last)*365.25)))
		if limit := p.end().AddDate(0, -4, 0); b.onset.After(limit) {
			b.onset = workday(limit)
		}
		if b.onset.Before(p.born) {
			b.onset = p.born.AddDate(0, 3, 0)
		}
		c.open(b)
		c.problems = append(c.problems, b)
	}
	sort.SliceStable(c.problems, func(a, b int) bool { return c.problems[a].onset.Before(c.problems[b].onset) })
}

// open leaves out the steps that allergies or other problems forbid.
func (c *chart) open(b *problem) {
	p := c.p
	for _, s := range b.disease.steps {
		if p.avoids("Lisinopril", "ACE inhibitors") {
			s.med = strings.NewReplacer("lisinopril10", "losartan50", "lisinopril20", "losartan100").Replace(s.med)
		}
		switch m := medicineOf(s.med); {
		case !p.allowed(m),
			s.med == "escitalopram10" && (p.suffers("depr") || p.suffers("deprteen")), s.med == "escitalopram20" && p.suffers("depr"),
			s.med == "metoprolol50" && (p.suffers("chf") || b.key == "cad" && p.suffers("afib")),
			s.med == "aspirin81" && (p.suffers("afib") || p.suffers("afibw")),
			s.med == "chlorthalidone25" && (p.suffers("chf") || p.suffers("gout")),
			s.med == "sumatriptan50" && (p.suffers("cad") || p.suffers("htn")),
			s.med == "norgestimate" && (p.suffers("migraine") || p.suffers("htn") || p.suffers("tobacco")):
			continue
		}
		b.steps = append(b.steps, s)
	}
}

// end is the last moment the course may reach.
func (p *patient) end() time.Time {
	if !p.died.IsZero() {
		return p.died
	}
	return p.w.Now
}

// clockOf draws a time of day for an older visit.
func (c *chart) clockOf(t time.Time) time.Time {
	m := 8*60 + 20*c.d.IntN(24)
	if m >= 12*60 {
		m += 60
	}
	return at(workday(t), m)
}

// history is the course up to about three weeks before today.
func (c *chart) history() {
	p, d := c.p, c.d
	stop := p.end().AddDate(0, 0, -22)
	if !p.died.IsZero() {
		stop = p.died.AddDate(0, 0, -12)
	}
	if p.has("pregnant") {
		c.adult(stop.AddDate(0, 0, -225))
		c.prenatal(stop)
		return
	}
	if p.age(p.end()) < 18 {
		c.childhood(stop)
		return
	}
	if p.age(p.since) < 18 { // has grown up here
		p.since = p.born.AddDate(18, d.whole(1, 6), 0)
	}
	c.adult(stop)
}

func (c *chart) adult(stop time.Time) {
	p, d := c.p, c.d
	t := c.clockOf(p.since)
	for t.Before(stop) {
		v := &visit{start: t, minutes: 20, who: p.pcp, site: p.home(), kind: "Follow-up", reason: c.reason()}
		switch {
		case len(c.visits) == 0:
			v.kind, v.reason, v.minutes = "New patient", "Establish care", 40
		case t.Sub(c.checkup).Hours() > 345*24 && d.chance(0.75), len(c.problems) == 0:
			v.kind, v.reason, v.minutes = "Annual physical", "Annual physical", 40
		}
		c.follow(v)
		gap := c.interval()
		if sick := t.AddDate(0, 0, int(gap*d.between(0.3, 0.7))); gap > 60 && d.chance(gap/365*0.75) && sick.Before(stop) {
			c.sick(&visit{start: c.clockOf(sick), minutes: 15, who: pick(d, []int{lee, lee, p.pcp}), site: p.home(), kind: "Same-day"}, c.ailing(sick))
		}
		t = c.clockOf(t.AddDate(0, 0, int(gap*d.between(0.9, 1.15))))
	}
}

func (p *patient) home() int { return p.w.Staff[p.pcp].site }

// interval is days to the next planned visit: soon after a change, else as the problems ask.
func (c *chart) interval() float64 {
	months := 13.0
	if c.p.age(c.p.w.Now) < 40 {
		months = 17
	}
	for _, b := range c.problems {
		if !b.begun {
			continue
		}
		every := float64(b.every)
		if last := c.visits[len(c.visits)-1].start; !b.changed.IsZero() && last.Sub(b.changed).Hours() < 24 {
			every = min(every, 2.5)
		}
		months = min(months, every)
	}
	return months * 30.4
}

// reasons are the words for a follow-up of each problem, the weightiest first.
var reasons = [][2]string{{"dmckd", "Diabetes and kidneys"}, {"t2dm", "Diabetes"}, {"chf", "Heart failure"}, {"afibw", "Warfarin"}, {"afib", "Atrial fibrillation"}, {"copd", "COPD"}, {"cad", "Heart disease"}, {"htn", "Blood pressure"},
	{"deprteen", "Depression"}, {"depr", "Depression"}, {"anx", "Anxiety"}, {"adhd", "ADHD"}, {"asthma", "Asthma"}, {"asthmachild", "Asthma"}, {"ida", "Anemia"}, {"hypothyroid", "Thyroid"}, {"migraine", "Migraine"}, {"gout", "Gout"}, {"ckd", "Kidney disease"},
	{"mixed", "Cholesterol"}, {"hld", "Cholesterol"}, {"oa", "Knee pain"}, {"bph", "Prostate"}, {"insomnia", "Sleep"}, {"gerd", "Reflux"}, {"obesity", "Weight"}, {"prediab", "Prediabetes"}, {"osteoporosis", "Bone health"},
	{"contraception", "Contraception"}, {"acne", "Acne"}, {"eczema", "Eczema"}, {"ar", "Allergies"}, {"vitd", "Vitamin D"}, {"osa", "Sleep apnea"}, {"tobacco", "Quitting smoking"}}

// reason is what a planned visit is for, in the words of the desk.
func (c *chart) reason() string {
	var out []string
	for _, r := range reasons {
		for _, b := range c.problems {
			if b.key == r[0] && len(out) < 2 && (b.begun || len(c.visits) == 0) {
				out = append(out, r[1])
			}
		}
	}
	if len(out) == 0 {
		return "Follow-up of chronic problems"
	}
	for i := 1; i < len(out); i++ {
		if out[i][1] >= 'a' && out[i][1] <= 'z' {
			out[i] = strings.ToLower(out[i][:1]) + out[i][1:]
		}
	}
	return strings.Join(out, ", ") + " follow-up"
}

// sick writes a visit for something that passes.
func (c *chart) sick(v *visit, a *ailment) {
	p, d := c.p, c.d
	v.reason = a.reason
	c.had = append(c.had, a)
	c.begin(v)
	c.visits = append(c.visits, v)
	if v.status == "arrived" {
		c.end(v)
		return
	}
	x := c.measure(v, a.fever, true)
	if !v.done {
		c.end(v)
		return
	}
	id := c.id("condition")
	v.about = append(v.about, diagnosed{id, a.name})
	ended := v.start.AddDate(0, 0, a.days)
	status, abated := "resolved", fhirjson.NewString(dated(ended))
	if ended.After(p.end()) {
		status, abated = "active", fhirjson.NewNull()
	}
	c.condition(id, "encounter-diagnosis", "Encounter Diagnosis", status, a.icd, a.name, dated(v.start.AddDate(0, 0, -2)), abated, v.ref(), "", v.start, v.who)
	v.note.said(pick(d, a.history))
	v.note.found(x.line())
	v.note.found(a.exam)
	if a.test != "" {
		s := c.draw(v)
		s.issued = s.taken.Add(10 * time.Minute)
		c.report(s, a.test, testOf(a.test).Name, "", c.said(s, a.test, a.testResult, true))
		v.note.found(testOf(a.test).Name + ": " + strings.ToLower(a.testResult) + ".")
	}
	v.note.plans(a.name + ": " + a.plan)
	med := a.med
	if p.age(v.start) < 12 {
		med = a.child
	}
	if med != "" && !p.allowed(medicineOf(med)) {
		med = a.instead
		if med != "" {
			v.note.plans("Allergy noted: " + p.allergies[0].substance + ". Alternative chosen.")
		}
	}
	if med != "" {
		o := c.prescribe(medicineOf(med), v.start.Add(14*time.Minute), v.who, v.id, nil)
		o.icd, o.name = id, a.name
		v.note.plans(o.text + ": " + o.sig + ".")
	}
	c.end(v)
}

// latest writes what the book asks for: the visit of the past two weeks, results that came
// in since, and today's visit as far as it has come.
func (c *chart) latest() {
	p := c.p
	if s := p.recent; s != nil && s.status == done {
		c.fromBook(s)
	}
	if p.today == nil {
		return
	}
	if p.has("crit-k") || p.has("crit-inr") || p.has("chf-up") || len(p.ill) > 1 && p.recent == nil && p.n%2 == 0 && p.age(p.w.Now) > 18 {
		c.labVisit()
	}
	switch p.today.status {
	case arrived, roomed, inVisit, done:
		c.fromBook(p.today)
	}
}

func (c *chart) fromBook(s *slot) {
	v := &visit{start: at(s.day.date, s.from), minutes: s.minutes, who: s.who, site: s.site(), kind: s.kind, reason: s.reason, slot: s, video: s.video}
	switch s.status {
	case arrived:
		v.status = "arrived"
	case roomed:
		v.status = "triaged"
	case inVisit:
		v.status = "in-progress"
	}
	switch {
	case s.ailment != nil:
		c.sick(v, s.ailment)
	case s.purpose == "nurse":
		c.nurse(v)
	case c.p.has("pregnant"):
		c.expecting(v)
	case c.p.age(v.start) < 18 && len(c.problems) == 0:
		c.well(v)
	default:
		c.follow(v)
	}
}

// labVisit is a draw at the nurse's chair on the working day before, so that its results are new today.
func (c *chart) labVisit() {
	p, d := c.p, c.d
	v := &visit{start: at(before(p.w.Now), 8*60+15+5*d.IntN(30)), minutes: 10, who: alvarez, kind: "Nurse visit", reason: "Blood draw before visit"}
	if n := len(c.visits); n > 0 && !c.visits[n-1].start.Before(v.start) {
		return
	}
	c.begin(v)
	c.visits = append(c.visits, v)
	s := c.draw(v)
	s.issued = s.taken.Add(6 * time.Hour)
	if s.issued.After(p.w.Now) {
		s.issued = p.w.Now
	}
	potassium := 0.0
	if p.has("crit-k") {
		potassium = 6.1
	}
	v.note.said("Fasting since last evening. No complaints at the chair.")
	v.note.found("Venipuncture left arm, one attempt, tolerated well.")
	k, rate := c.metabolic(s, potassium)
	line := fmt.Sprintf("Potassium %s, eGFR %.0f.", fixed(k, 1), rate)
	for _, b := range c.problems {
		if line2 := c.test(s, b); line2 != "" {
			b.tested = v.start
			line += " " + line2
		}
	}
	if p.has("crit-inr") {
		c.report(s, "34528-0", "Prothrombin time and INR", critical("INR", 5.4, 5, ""), c.result(s, "5902-2", 54.8), c.result(s, "6301-6", 5.4))
		line += " INR 5.4."
	}
	v.note.plans("Results came back the same day: " + line + " Clinician to review at the visit.")
	c.end(v)
}

// nurse is a short visit without a clinician.
func (c *chart) nurse(v *visit) {
	c.begin(v)
	c.visits = append(c.visits, v)
	if v.status != "arrived" {
		x := c.measure(v, 0, false)
		v.note.said("Here for: " + strings.ToLower(v.reason[:1]) + v.reason[1:] + ". Feels well.")
		v.note.found(x.line())
		v.note.plans("Done as ordered. Clinician informed of the readings.")
	}
	c.end(v)
}

// standing writes what holds over time: problems, orders, allergies, care team, goals.
func (c *chart) standing() {
	p, w := c.p, c.w
	for _, b := range c.problems {
		if b.begun {
			c.list(b)
		}
	}
	for _, o := range c.orders {
		c.write(o)
	}
	if p.has("pregnant") && c.pregnancy != nil {
		c.put(*c.pregnancy)
	}
	c.allergies()
	seen := false
	for _, v := range c.visits {
		seen = seen || v.done
	}
	if !seen {
		return
	}
	team := []fhirjson.Node{fhir.Object("role", fhir.Array(fhir.Object("text", "Primary care")), "member", c.staff(p.pcp))}
	if len(c.problems) > 2 {
		team = append(team, fhir.Object("role", fhir.Array(fhir.Object("text", "Care coordination nurse")), "member", c.staff(alvarez)))
	}
	status := "active"
	if !p.died.IsZero() {
		status = "inactive"
	}
	c.put(fhir.Object("resourceType", "CareTeam", "id", c.id("team"), "status", status, "name", "Care team", "subject", p.self(), "participant", team, "managingOrganization", fhir.Array(w.organization())))
	if !p.died.IsZero() {
		return
	}
	for _, b := range c.problems {
		text, code, unit, high := "", "", "", ""
		switch b.key {
		case "t2dm", "dmckd":
			text, code, unit, high = "Hemoglobin A1c below 7 %", "4548-4", "%", "7.0"
		case "htn":
			text, code, unit, high = "Blood pressure below 140/90", "8480-6", "mm[Hg]", "140"
		}
		if text == "" || !b.begun {
			continue
		}
		t := testOf(code)
		c.put(fhir.Object("resourceType", "Goal", "id", c.id("goal"), "lifecycleStatus", "active", "description", fhir.Object("text", text), "subject", p.self(),
			"startDate", dated(b.known), "target", fhir.Array(fhir.Object("measure", conceptOf(t), "detailQuantity", fhir.Object("value", fhirjson.NewNumber(high), "comparator", "<", "unit", t.Show, "system", "http://unitsofmeasure.org", "code", unit),
				"dueDate", dated(w.Now.AddDate(0, 6, 0)))),
			"addresses", fhir.Array(fhir.RefTo("Condition/"+b.id, b.name))))
	}
}

func (c *chart) allergies() {
	p := c.p
	if len(c.visits) == 0 {
		return // nobody has asked yet
	}
	on := c.visits[0].start
	base := func(code fhirjson.Node) fhirjson.Node {
		return fhir.Object("resourceType", "AllergyIntolerance", "id", c.id("allergy"),
			"clinicalStatus", fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code", "active"))),
			"verificationStatus", fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code", "confirmed"))),
			"code", code, "patient", p.self(), "recordedDate", stamp(on), "recorder", c.staff(alvarez))
	}
	if p.noneKnown {
		c.put(base(fhir.Concept("http://snomed.info/sct", "716186003", "No known allergy", "No known allergies")))
	}
	for _, a := range p.allergies {
		for _, s := range terminology.Search(terminology.Allergens, a.substance, 20) {
			if s.Display != a.substance {
				continue
			}
			n := base(fhir.Concept(s.System, s.Code, s.Display, s.Display))
			kind := "allergy"
			if a.what == "Cough" || a.what == "Nausea, Vomiting" || a.what == "Muscle pain" {
				kind = "intolerance"
			}
			n.Set("type", fhirjson.NewString(kind))
			n.Set("category", fhir.Array(fhirjson.NewString(s.Group)))
			if a.high {
				n.Set("criticality", fhirjson.NewString("high"))
			}
			var what []fhirjson.Node
			for _, w := range strings.Split(a.what, ", ") {
				what = append(what, fhir.Object("text", w))
			}
			n.Set("reaction", fhir.Array(fhir.Object("manifestation", what, "severity", a.severity)))
			c.put(n)
			break
		}
	}
}
