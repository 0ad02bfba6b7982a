package simulate

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

// history is one patient's chart by type, for looking at it from outside.
type history map[string][]*fhirjson.Node

func read(p *patient) history {
	h := history{}
	list := append(p.demographics(), p.chart()...)
	for i := range list {
		typ := list[i].Get("resourceType").Text()
		h[typ] = append(h[typ], &list[i])
	}
	return h
}

func moment(t *rapid.T, p *patient, s string) time.Time {
	at, _, ok := fhir.Moment(s, p.w.Zone)
	if !ok {
		t.Fatalf("no moment: %q", s)
	}
	return at
}

func item(n *fhirjson.Node, name string) *fhirjson.Node {
	if list := n.Get(name).Items(); len(list) > 0 {
		return &list[0]
	}
	return nil
}

// TestChartsAreCoherent draws worlds and patients and asks of each chart what a careful
// reader would.
func TestChartsAreCoherent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64Range(0, 1<<40).Draw(t, "seed")
		now := morning.Add(time.Duration(rapid.IntRange(-4000, 4000).Draw(t, "hours")) * time.Hour)
		w := Plan(seed, now, 40)
		for range 6 {
			p := w.patients[rapid.IntRange(0, len(w.patients)-1).Draw(t, "patient")]
			h := read(p)
			h.times(t, p)
			h.medicines(t, p)
			h.results(t, p)
			h.vitals(t, p)
			h.notes(t, p)
			h.people(t, p)
		}
	})
}

// times: nothing before birth, after death or in the future.
func (h history) times(t *rapid.T, p *patient) {
	last := p.w.Now
	if !p.died.IsZero() {
		last = p.died.AddDate(0, 0, 1)
	}
	for _, f := range [][]string{{"Encounter", "period", "start"}, {"Encounter", "period", "end"}, {"Observation", "effectiveDateTime"}, {"Observation", "issued"}, {"DiagnosticReport", "issued"},
		{"Immunization", "occurrenceDateTime"}, {"MedicationRequest", "authoredOn"}, {"Condition", "onsetDateTime"}, {"Condition", "abatementDateTime"}, {"Condition", "recordedDate"},
		{"Composition", "date"}, {"DocumentReference", "date"}, {"AllergyIntolerance", "recordedDate"}, {"Goal", "startDate"}} {
		for _, n := range h[f[0]] {
			s := n.At(f[1:]...).Text()
			if s == "" {
				continue
			}
			at := moment(t, p, s)
			if at.Before(p.born.AddDate(0, 0, -1)) && !strings.HasPrefix(p.flags, "today pregnant") || at.After(last.Add(time.Minute)) {
				t.Errorf("%s %v %s of %s (born %s, died %v, now %s)", f[0], f[1:], s, p.number(), dated(p.born), p.died, p.w.Now)
			}
		}
	}
	for _, n := range h["Encounter"] {
		from := moment(t, p, n.At("period", "start").Text())
		if e := n.At("period", "end").Text(); e != "" && moment(t, p, e).Before(from) {
			t.Errorf("encounter ends %s before it starts %s", e, from)
		}
		if n.Get("status").Text() != "finished" && dated(from) != dated(p.w.Now) {
			t.Errorf("encounter of %s is still %s", dated(from), n.Get("status").Text())
		}
		prev := from
		for _, s := range n.Get("statusHistory").Items() {
			a, b := moment(t, p, s.At("period", "start").Text()), moment(t, p, s.At("period", "end").Text())
			if a.Before(prev) || b.Before(a) {
				t.Errorf("statuses out of order: %s", n.AppendJSON(nil))
			}
			prev = b
		}
	}
}

// medicines: an indication among the problems, no allergen, no two active of one kind, children none of the adults'.
func (h history) medicines(t *rapid.T, p *patient) {
	conditions := map[string]*fhirjson.Node{}
	for _, n := range h["Condition"] {
		conditions[n.Get("id").Text()] = n
	}
	active := map[string]string{}
	for _, n := range h["MedicationRequest"] {
		name := fhir.ConceptText(n.Get("medicationCodeableConcept"))
		_, id, _ := fhir.ParseReference(item(n, "reasonReference").Get("reference").Text())
		why := conditions[id]
		if why == nil {
			t.Errorf("%s of patient %s has no indication on the chart", name, p.number())
			continue
		}
		if n.At("medicationCodeableConcept", "coding", "code").Text() == "" {
			t.Errorf("%s has no code", name)
		}
		if n.Get("status").Text() == "active" {
			if was, twice := active[strings.Fields(name)[0]]; twice {
				t.Errorf("patient %s takes both %s and %s", p.number(), was, name)
			}
			active[strings.Fields(name)[0]] = name
			if s := why.At("clinicalStatus", "coding", "code").Text(); s != "active" && s != "resolved" || s == "resolved" && n.At("dispenseRequest", "validityPeriod") != nil {
				t.Errorf("%s is active for a problem that is %s", name, s)
			}
		}
		for _, a := range p.allergies {
			if strings.HasPrefix(name, a.substance) || a.substance == "Penicillins" && (strings.HasPrefix(name, "Amoxicillin") || strings.HasPrefix(name, "Cephalexin")) {
				t.Errorf("%s for someone allergic to %s", name, a.substance)
			}
		}
	}
	if active["Apixaban"] != "" && active["Warfarin"] != "" || active["Metoprolol"] != "" && active["Carvedilol"] != "" || active["Lisinopril"] != "" && active["Losartan"] != "" {
		t.Errorf("patient %s: %v do not go together", p.number(), active)
	}
}

// results: drawn during a visit, inside what is possible, flagged as the range says, and equations hold.
func (h history) results(t *rapid.T, p *patient) {
	visits := map[string][2]time.Time{}
	for _, n := range h["Encounter"] {
		e := p.w.Now
		if s := n.At("period", "end").Text(); s != "" {
			e = moment(t, p, s)
		}
		visits["Encounter/"+n.Get("id").Text()] = [2]time.Time{moment(t, p, n.At("period", "start").Text()), e}
	}
	ids := map[string]bool{}
	for _, n := range h["Observation"] {
		ids["Observation/"+n.Get("id").Text()] = true
		during, ok := visits[n.At("encounter", "reference").Text()]
		if when := moment(t, p, n.Get("effectiveDateTime").Text()); !ok || when.Before(during[0].Add(-time.Minute)) || when.After(during[1].Add(time.Minute)) {
			t.Errorf("patient %s: %s at %s is not during its visit %v", p.number(), fhir.ConceptText(n.Get("code")), when, during)
		}
		code, value := n.At("code", "coding", "code").Text(), n.At("valueQuantity", "value").Text()
		x, known := terminology.TestOf(code)
		if value == "" || !known {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || v < x.Min || v > x.Max {
			t.Errorf("%s %s is not possible", x.Name, value)
		}
		if i := strings.IndexByte(value, '.'); (i < 0) != (x.Decimals == 0) || i >= 0 && len(value)-i-1 != x.Decimals {
			t.Errorf("%s %s should have %d decimals", x.Name, value, x.Decimals)
		}
		if n.At("category", "coding", "code").Text() != "laboratory" {
			continue
		}
		if low := n.At("referenceRange", "low", "value").Text(); low != "" {
			if l, _ := strconv.ParseFloat(low, 64); (v < l) != strings.HasPrefix(n.At("interpretation", "coding", "code").Text(), "L") {
				t.Errorf("%s %s against ≥ %s is flagged %s", x.Name, value, low, n.At("interpretation", "coding", "code").Text())
			}
		}
	}
	for _, n := range h["DiagnosticReport"] {
		for _, r := range n.Get("result").Items() {
			if !ids[r.Get("reference").Text()] {
				t.Errorf("report %s names a result that is not there", fhir.ConceptText(n.Get("code")))
			}
		}
	}
}

// vitals fit the age: children's weight and height near the growth reference, blood pressure in order.
func (h history) vitals(t *rapid.T, p *patient) {
	var prevInches, prevPounds float64
	var prevAt time.Time
	list := slices.Clone(h["Observation"])
	slices.SortStableFunc(list, func(a, b *fhirjson.Node) int {
		return moment(t, p, a.Get("effectiveDateTime").Text()).Compare(moment(t, p, b.Get("effectiveDateTime").Text()))
	})
	for _, n := range list {
		v, _ := strconv.ParseFloat(n.At("valueQuantity", "value").Text(), 64)
		when := moment(t, p, n.Get("effectiveDateTime").Text())
		age := p.age(when)
		switch n.At("code", "coding", "code").Text() {
		case "29463-7":
			if m := median(age*12, 1+p.girl()) / 0.45359237; age < 18 && (v < m*0.62 || v > m*1.6) {
				t.Errorf("weight %.1f lb at %.2f years", v, age)
			}
			if age >= 20 && (v < 85 || v > 420) {
				t.Errorf("weight %.1f lb at %.0f years", v, age)
			}
			if age >= 20 && prevPounds > 0 && when.Sub(prevAt).Hours() < 24*100 && (v/prevPounds > 1.09 || v/prevPounds < 0.91) {
				t.Errorf("weight went from %.1f to %.1f lb", prevPounds, v)
			}
			prevPounds, prevAt = v, when
		case "8302-2":
			if m := median(age*12, 3+p.girl()) / 2.54; age < 18 && (v < m*0.86 || v > m*1.14) {
				t.Errorf("height %.1f in at %.2f years", v, age)
			}
			if age < 16 && v < prevInches-0.2 {
				t.Errorf("a child shrank from %.1f to %.1f in", prevInches, v)
			}
			prevInches = v
		case "85354-9":
			parts := n.Get("component").Items()
			s, _ := strconv.Atoi(parts[0].At("valueQuantity", "value").Text())
			d, _ := strconv.Atoi(parts[1].At("valueQuantity", "value").Text())
			if d >= s-15 || s < 75 || s > 190 || d < 38 || d > 115 {
				t.Errorf("blood pressure %d/%d at %.0f years", s, d, age)
			}
		}
	}
}

// notes say what the chart says: the pressure of the visit stands in its note.
func (h history) notes(t *rapid.T, p *patient) {
	text := map[string]string{}
	for _, n := range h["DocumentReference"] {
		raw, err := base64.StdEncoding.DecodeString(n.At("content", "attachment", "data").Text())
		if err != nil || len(raw) < 80 {
			t.Errorf("note: %v %q", err, raw)
		}
		text[n.At("context", "encounter", "reference").Text()] = string(raw)
		if strings.Contains(string(raw), "%!") || strings.Contains(string(raw), "  ") || strings.Contains(string(raw), "..") {
			t.Errorf("note has a slip: %s", raw)
		}
	}
	if len(h["DocumentReference"]) != len(h["Composition"]) {
		t.Errorf("%d documents, %d compositions", len(h["DocumentReference"]), len(h["Composition"]))
	}
	for _, n := range h["Observation"] {
		note := text[n.At("encounter", "reference").Text()]
		if note == "" {
			continue
		}
		value := n.At("valueQuantity", "value").Text()
		switch n.At("code", "coding", "code").Text() {
		case "85354-9":
			parts := n.Get("component").Items()
			value = parts[0].At("valueQuantity", "value").Text() + "/" + parts[1].At("valueQuantity", "value").Text()
		case "29463-7", "44261-6", "3016-3", "13457-7":
		default:
			continue
		}
		if !strings.Contains(note, value) {
			t.Errorf("patient %s: the note of %s does not mention %s %s:\n%s", p.number(), n.Get("effectiveDateTime").Text(), fhir.ConceptText(n.Get("code")), value, note)
		}
	}
}

// people: problems fit age and sex, allergies are told apart from not asked.
func (h history) people(t *rapid.T, p *patient) {
	for _, n := range h["Condition"] {
		code := n.At("code", "coding", "code").Text()
		at := p.age(moment(t, p, n.Get("onsetDateTime").Text()))
		switch {
		case (strings.HasPrefix(code, "Z34") || strings.HasPrefix(code, "O") || code == "Z30.41") && (p.sex != "female" || at < 14 || at > 48),
			code == "N40.1" && (p.sex != "male" || at < 40), code == "J44.9" && at < 40, strings.HasPrefix(code, "N18") && at < 40, code == "E11.9" && at < 30, code == "M81.0" && at < 50:
			t.Errorf("%s began at %.1f years in a %s", fhir.ConceptText(n.Get("code")), at, p.sex)
		}
		if n.At("code", "coding", "display").Text() == "" {
			t.Errorf("%s has no title", code)
		}
	}
	none := slices.ContainsFunc(h["AllergyIntolerance"], func(n *fhirjson.Node) bool { return n.At("code", "coding", "code").Text() == "716186003" })
	asked := len(h["AllergyIntolerance"]) > 0
	if p.unasked && asked || none && len(h["AllergyIntolerance"]) != 1 || !asked && !p.unasked && len(h["CareTeam"]) > 0 {
		t.Errorf("patient %s: allergies %d, none known %v, not asked %v", p.number(), len(h["AllergyIntolerance"]), none, p.unasked)
	}
}

// TestTheBook: nobody is booked twice, the day runs as far as the clock, and at any hour
// but lunch somebody is here.
func TestTheBook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := morning.Add(time.Duration(rapid.IntRange(-400*60, 400*60).Draw(t, "minutes")) * time.Minute)
		w := Plan(rapid.Uint64Range(0, 1<<40).Draw(t, "seed"), now, 150)
		count := map[status]int{}
		ids := map[string]bool{}
		for _, d := range w.days {
			last := map[int]int{}
			for _, s := range d.slots {
				if ids[s.id] {
					t.Errorf("two bookings have one id")
				}
				ids[s.id] = true
				if s.from < last[s.who] {
					t.Errorf("%s is booked twice on %s at minute %d", w.Staff[s.who].Family, dated(d.date), s.from)
				}
				last[s.who] = s.from + s.minutes
				if !s.p.died.IsZero() {
					t.Errorf("a booking for someone who has died")
				}
				switch {
				case d.today:
					count[s.status]++
				case d.date.Before(w.Now) != (s.status == done || s.status == noShow || s.status == cancelled):
					t.Errorf("%s on %s", s.status, dated(d.date))
				}
				for _, at := range []time.Time{s.arrived, s.roomed, s.began} {
					if at.After(w.Now) {
						t.Errorf("%s in the future", s.status)
					}
				}
			}
		}
		if minute := w.Now.Hour()*60 + w.Now.Minute(); minute > 70 && minute < 23*60+20 && (minute < 11*60+50 || minute > 13*60+10) && count[arrived]+count[roomed]+count[inVisit] < 1 {
			t.Errorf("at %s nobody is here: %v", w.Now.Format("15:04"), count)
		}
	})
}

// TestFeatures: every world shows what a demo has to show.
func TestFeatures(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		w := Plan(seed, morning, DefaultPatients)
		got := map[string]int{}
		for _, p := range w.patients {
			h := read(p)
			for _, n := range h["Observation"] {
				if c := n.At("interpretation", "coding", "code").Text(); (c == "HH" || c == "LL") && n.At("category", "coding", "code").Text() == "laboratory" && w.Now.Sub(mustMoment(p, n.Get("issued").Text())) < 96*time.Hour {
					got["critical"]++
				}
			}
			count := func(key string, is bool) {
				if is {
					got[key]++
				}
			}
			count("not asked", len(h["AllergyIntolerance"]) == 0)
			count("deceased", !p.died.IsZero())
			count("newborn", p.age(w.Now) < 0.1)
			count("teen", p.age(w.Now) >= 12 && p.age(w.Now) < 18)
			count("interpreter", p.interp)
			count("restricted", p.sealed)
			count("severe allergy", slices.ContainsFunc(p.allergies, func(r reaction) bool { return r.high }))
			count("none known", p.noneKnown)
			count("today", p.today != nil)
		}
		for key, least := range map[string]int{"critical": 2, "not asked": 3, "deceased": 1, "newborn": 1, "teen": 5, "interpreter": 3, "restricted": 1, "severe allergy": 2, "none known": 40, "today": 30} {
			if got[key] < least {
				t.Errorf("seed %d: %s %d, want at least %d", seed, key, got[key], least)
			}
		}
		roles := map[string]bool{}
		for _, p := range w.Staff {
			for _, r := range p.Roles {
				roles[r] = true
			}
			if len(p.Password) < 15 || len(p.TOTPSecret) != 32 || p.Login == "" {
				t.Errorf("%s cannot sign in", p.Family)
			}
		}
		if len(w.Staff) != 8 || len(roles) != 5 {
			t.Errorf("%d people, roles %v", len(w.Staff), roles)
		}
	}
}

func mustMoment(p *patient, s string) time.Time {
	t, _, _ := fhir.Moment(s, p.w.Zone)
	return t
}

func TestBigChart(t *testing.T) {
	id, bundles := BigChart(1, morning, 100, 1000)
	visits, results := 0, 0
	for b := range bundles {
		n, err := fhirjson.Parse(b.JSON, fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range n.Get("entry").Items() {
			r := e.Get("resource")
			if issues := fhir.Validate(r); len(issues) > 0 {
				t.Fatal(issues)
			}
			switch r.Get("resourceType").Text() {
			case "Encounter":
				visits++
				if r.At("subject", "reference").Text() != "Patient/"+id {
					t.Fatal("an encounter of somebody else")
				}
			case "Observation":
				if r.At("category", "coding", "code").Text() == "laboratory" {
					results++
				}
			}
		}
	}
	if visits < 100 || results < 1000 || results > 1030 {
		t.Errorf("%d encounters, %d results", visits, results)
	}
}
