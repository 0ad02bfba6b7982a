package simulate

import (
	"encoding/base64"
	"html"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

// chart writes one patient's resources in the order things happened.
type chart struct {
	w    *World
	p    *patient
	d    dice
	out  []fhirjson.Node
	next int // number of the next resource, for its id

	later string // the booking of a day after the plan; "" for what the plan holds

	problems  []*problem
	orders    []*order
	visits    []*visit
	had       []*ailment // what passed already
	checkup   time.Time  // last annual physical or well visit
	panel     time.Time  // last metabolic panel
	urine     time.Time  // last urine albumin
	pregnancy *fhirjson.Node
}

func (c *chart) put(n fhirjson.Node) { c.out = append(c.out, n) }

func (c *chart) id(kind string) string {
	c.next++
	if c.later != "" {
		return c.w.id(kind, c.later, c.next)
	}
	return c.w.id(kind, c.p.n, c.next)
}

func (c *chart) staff(i int) fhirjson.Node {
	return fhir.RefTo(c.w.Staff[i].Reference(), c.w.Staff[i].Display())
}

// visit is one encounter being written.
type visit struct {
	start   time.Time
	minutes int
	who     int
	site    int
	kind    string // "Follow-up"
	reason  string
	status  string // finished, in-progress, triaged, arrived
	slot    *slot  // of the book, nil for older visits
	id      string
	video   bool
	note    note
	about   []diagnosed
	done    bool
}

func (v *visit) ref() fhirjson.Node { return fhir.RefTo("Encounter/"+v.id, "") }

// begin gives the visit its id; its Encounter is written by end.
func (c *chart) begin(v *visit) {
	v.id = c.id("encounter")
	if v.slot != nil {
		v.id = c.w.id("encounter", "slot", v.slot.id)
	}
	if v.status == "" {
		v.status = "finished"
	}
	v.done = v.status == "finished"
}

// end writes the Encounter and, when the visit is over, its note.
func (c *chart) end(v *visit) {
	w := c.w
	class, display := "AMB", "ambulatory"
	if v.video {
		class, display = "VR", "virtual"
	}
	var diagnosis []fhirjson.Node
	for i, b := range v.about {
		if i < 4 {
			diagnosis = append(diagnosis, fhir.Object("condition", fhir.RefTo("Condition/"+b.id, b.name), "rank", i+1))
		}
	}
	from, to := v.start, v.start.Add(time.Duration(v.minutes)*time.Minute)
	place := fhir.Object("location", w.siteRef(v.site))
	var appointment, past fhirjson.Node
	if s := v.slot; s != nil {
		appointment = fhir.Array(fhir.RefTo("Appointment/"+s.id, ""))
		from = s.arrived
		past = s.steps()
		if s.room != "" {
			place = fhir.Object("location", fhir.RefTo("Location/"+w.id("room", v.site, s.roomNumber), s.room), "status", "active")
		}
	}
	period := fhir.Object("start", stamp(from), "end", stamp(to))
	if !v.done {
		period = fhir.Object("start", stamp(from))
	}
	c.put(fhir.Object("resourceType", "Encounter", "id", v.id, "status", v.status, "statusHistory", past,
		"class", fhir.Object("system", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code", class, "display", display),
		"type", fhir.Array(fhir.Object("text", v.kind)), "subject", c.p.self(),
		"participant", fhir.Array(fhir.Object("type", fhir.Array(fhir.Concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "PPRF", "primary performer", "")), "individual", c.staff(v.who))),
		"appointment", appointment, "period", period, "reasonCode", words(v.reason), "diagnosis", diagnosis,
		"location", fhir.Array(place), "serviceProvider", w.organization()))
	if v.done && v.note.plan != nil {
		c.sign(v, to.Add(time.Duration(c.d.whole(5, 95))*time.Minute))
	}
}

// sign writes the note of a finished visit: Composition and DocumentReference with the same words.
func (c *chart) sign(v *visit, when time.Time) {
	if when.After(c.w.Now) {
		when = c.w.Now
	}
	type section struct{ code, title, text string }
	second := section{"61150-9", "Since the last visit", strings.Join(v.note.history, " ")}
	typ, typeName := "11506-3", "Progress note"
	if v.kind == "Annual physical" || v.kind == "New patient" || v.kind == "Well visit" {
		second.code, second.title = "10164-2", "History"
		typ, typeName = "34117-2", "History and physical"
	}
	list := []section{{"29299-5", "Reason for visit", v.reason + "."}, second,
		{"29545-1", "Objective", strings.Join(v.note.objective, "\n")}, {"51847-2", "Assessment and plan", strings.Join(v.note.plan, "\n")}}
	var sections []fhirjson.Node
	var plain []string
	for _, s := range list {
		if s.text == "" {
			continue
		}
		div := `<div xmlns="http://www.w3.org/1999/xhtml"><p>` + strings.ReplaceAll(html.EscapeString(s.text), "\n", "<br/>") + `</p></div>`
		sections = append(sections, fhir.Object("title", s.title, "code", fhir.Concept(terminology.LOINC, s.code, s.title, ""), "text", fhir.Object("status", "additional", "div", div)))
		plain = append(plain, s.title+"\n"+s.text)
	}
	author, title, at := c.staff(v.who), v.kind+", "+v.start.Format("2 Jan 2006"), stamp(when)
	composition := c.id("composition")
	c.put(fhir.Object("resourceType", "Composition", "id", composition, "status", "final", "type", fhir.Concept(terminology.LOINC, typ, typeName, ""),
		"subject", c.p.self(), "encounter", v.ref(), "date", at, "author", fhir.Array(author), "title", title,
		"attester", fhir.Array(fhir.Object("mode", "legal", "time", at, "party", author)), "section", sections))
	c.put(fhir.Object("resourceType", "DocumentReference", "id", c.id("document"), "status", "current", "docStatus", "final",
		"type", fhir.Concept(terminology.LOINC, typ, typeName, ""),
		"category", fhir.Array(fhir.Concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note", "Clinical Note", "")),
		"subject", c.p.self(), "date", at, "author", fhir.Array(author), "authenticator", author, "description", title,
		"content", fhir.Array(fhir.Object("attachment", fhir.Object("contentType", "text/plain; charset=utf-8", "data", base64.StdEncoding.EncodeToString([]byte(strings.Join(plain, "\n\n"))), "title", title, "creation", at))),
		"context", fhir.Object("encounter", fhir.Array(v.ref()), "period", fhir.Object("start", stamp(v.start), "end", stamp(when)), "related", fhir.Array(fhir.RefTo("Composition/"+composition, "")))))
}

// diagnosed names a Condition a visit dealt with.
type diagnosed struct{ id, name string }

// note collects what will be written about a visit.
type note struct{ history, objective, plan []string }

func (n *note) said(s string)  { n.history = append(n.history, s) }
func (n *note) found(s string) { n.objective = append(n.objective, s) }
func (n *note) plans(s string) { n.plan = append(n.plan, s) }

// problem is a Condition of the chart and the state of its treatment.
type problem struct {
	*disease
	id      string
	onset   time.Time
	known   time.Time // when this practice first dealt with it
	begun   bool
	carried bool    // came with it: was known and treated before the first visit here
	base    float64 // untreated marker
	steps   []step  // those this patient may have
	starts  []time.Time
	tested  time.Time
	changed time.Time
	orders  []*order
	comment string
}

// value is the marker at a time, under the treatment taken so far.
func (b *problem) value(t time.Time) float64 {
	v := b.base + b.drift*max(0, years(b.known, t))
	for i, from := range b.starts {
		share := max(0, min(1, t.Sub(from).Hours()/24/55))
		if k := b.steps[i].times; k != 0 {
			v *= 1 - (1-k)*share
		}
		v += b.steps[i].plus * share
	}
	return v
}

// bad reports whether a marker misses its goal.
func (b *problem) bad(v float64) bool {
	if b.below {
		return v < b.goal
	}
	return v > b.goal
}

func coded(system, code, display string) fhirjson.Node {
	return fhir.Array(fhir.Concept(system, code, display, ""))
}

// list writes a Condition of the problem list.
func (c *chart) list(b *problem) {
	c.condition(b.id, "problem-list-item", "Problem List Item", "active", b.icd, b.name, dated(b.onset), fhirjson.NewNull(), fhirjson.NewNull(), b.comment, b.onset, c.p.pcp)
}

func (c *chart) condition(id, category, title, status, icd, name, onset string, ended, visit fhirjson.Node, comment string, recorded time.Time, who int) {
	concept, _ := terminology.Lookup(terminology.ICD10CM, icd)
	var note fhirjson.Node
	if comment != "" {
		note = fhir.Array(fhir.Object("text", comment))
	}
	if recorded.Before(c.p.since) {
		recorded = c.p.since
	}
	if recorded.After(c.p.w.Now) { // who comes for the first time in the days ahead brought the history by telephone
		recorded = c.p.w.Now
	}
	c.put(fhir.Object("resourceType", "Condition", "id", id,
		"clinicalStatus", fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/condition-clinical", "code", status))),
		"verificationStatus", fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code", "confirmed"))),
		"category", coded("http://terminology.hl7.org/CodeSystem/condition-category", category, title),
		"code", fhir.Concept(terminology.ICD10CM, icd, concept.Display, name), "subject", c.p.self(), "encounter", visit,
		"onsetDateTime", onset, "abatementDateTime", ended, "recordedDate", dated(recorded), "recorder", c.staff(who), "note", note))
}

// order is a MedicationRequest; it is written at the end, when its fate is known.
type order struct {
	*medicine
	id    string
	start time.Time
	stop  time.Time // zero while taken
	why   string
	who   int
	visit string
	about *problem
	icd   string // id and name of the encounter's diagnosis, for short courses
	name  string
}

func (c *chart) prescribe(m *medicine, t time.Time, who int, visit string, about *problem) *order {
	o := &order{medicine: m, id: c.id("order"), start: t, who: who, visit: visit, about: about}
	c.orders = append(c.orders, o)
	return o
}

func (c *chart) write(o *order) {
	status := "active"
	var why, reason, encounter fhirjson.Node
	switch {
	case o.course > 0:
		status = "completed"
		if c.w.Now.Before(o.start.AddDate(0, 0, o.course)) && c.p.died.IsZero() {
			status = "active"
		}
	case !o.stop.IsZero():
		status = "stopped"
		why = fhir.Object("text", o.why)
	case !c.p.died.IsZero():
		status, why = "stopped", fhir.Object("text", "Patient died")
	}
	if o.about != nil {
		reason = fhir.Array(fhir.RefTo("Condition/"+o.about.id, o.about.name))
	} else {
		reason = fhir.Array(fhir.RefTo("Condition/"+o.icd, o.name))
	}
	if o.visit != "" {
		encounter = fhir.RefTo("Encounter/"+o.visit, "")
	}
	code, display := o.code()
	dispense := fhir.Object("numberOfRepeatsAllowed", o.refills, "quantity", fhir.Object("value", fhirjson.NewNumber(strconv.Itoa(o.count)), "unit", o.unit))
	if status == "active" && o.course == 0 {
		end := o.start.AddDate(1, 0, 0)
		for end.Before(c.w.Now) {
			end = end.AddDate(1, 0, 0)
		}
		dispense.Set("validityPeriod", fhir.Object("start", dated(o.start), "end", dated(end)))
	}
	c.put(fhir.Object("resourceType", "MedicationRequest", "id", o.id, "status", status, "statusReason", why, "intent", "order",
		"category", coded("http://terminology.hl7.org/CodeSystem/medicationrequest-category", "community", "Community"),
		"medicationCodeableConcept", fhir.Concept(terminology.RxNorm, code, display, o.text), "subject", c.p.self(), "encounter", encounter,
		"authoredOn", stamp(o.start), "requester", c.staff(o.who), "reasonReference", reason,
		"dosageInstruction", fhir.Array(fhir.Object("text", o.sig, "asNeededBoolean", strings.Contains(o.sig, "as needed"))), "dispenseRequest", dispense))
}
