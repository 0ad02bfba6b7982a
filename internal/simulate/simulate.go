// Package simulate invents a practice to try Yarrow with: its sites, people, patients with
// coherent histories, and a schedule around today.
//
// It owns nothing but the making of FHIR bundles: the same seed and moment always give the
// same bytes. Everything in it is invented; phones end in 555-01xx, mail goes to
// example.org, and nobody has a social security number. It never touches a store, the
// clock or the network, and its world is no model of disease: it is made to look right to
// people who read charts, not to be measured.
package simulate

import (
	"iter"
	"time"
	_ "time/tzdata" // the practice's clock must be known on machines without zone files

	"yarrow.health/internal/standards/fhirjson"
)

// DefaultPatients is how many patients a demo has unless told otherwise.
const DefaultPatients = 150

// World is a planned practice. It is read only once made.
type World struct {
	Seed     uint64
	Now      time.Time // in the practice's zone
	Practice string    // name of the practice
	Slug     string    // what its address begins with
	Zone     *time.Location
	Staff    []Person // eight people, clinicians first

	patients []*patient
	days     []*day // working days of the book in order of time
}

// Bundle is one transaction: PUT entries with fixed ids, so that sending it twice changes nothing.
type Bundle struct {
	Name      string // "practice", "chart 12": for progress and error texts, no names of people
	Resources int
	JSON      []byte
}

// Plan makes a practice of that many patients (at least 24, so that every feature has
// someone to show it) as of a moment. Histories depend on the seed and the day; how far
// today's visits have come depends on the time of day as well.
func Plan(seed uint64, now time.Time, patients int) *World {
	zone := Daytime(now)
	w := &World{Seed: seed, Now: now.In(zone).Truncate(time.Minute), Practice: practiceName, Slug: "demo", Zone: zone}
	w.Staff = w.people()
	w.patients = w.cast(max(patients, len(featured)))
	w.book()
	return w
}

// Patients is how many patients there are.
func (w *World) Patients() int { return len(w.patients) }

// First gives what must be there before the doors open: the practice and its staff, every
// patient's demographics and coverage, today's schedule, and the charts of the patients
// who come today, those who come soonest first.
func (w *World) First() iter.Seq[Bundle] {
	return func(yield func(Bundle) bool) {
		if !yield(bundle("practice", w.furniture())) {
			return
		}
		for at := 0; at < len(w.patients); at += 75 {
			var list []fhirjson.Node
			for _, p := range w.patients[at:min(at+75, len(w.patients))] {
				list = append(list, p.demographics()...)
			}
			if !yield(bundle("patients", list)) {
				return
			}
		}
		if !yield(bundle("today", w.appointments(func(d *day) bool { return d.today }))) {
			return
		}
		for _, p := range w.byUrgency() {
			if p.today != nil && !yield(bundle("chart "+p.number(), p.chart())) {
				return
			}
		}
	}
}

// Rest gives everything else: the other days of the book and the other charts.
func (w *World) Rest() iter.Seq[Bundle] {
	return func(yield func(Bundle) bool) {
		if !yield(bundle("schedule", w.appointments(func(d *day) bool { return !d.today }))) {
			return
		}
		for _, p := range w.patients {
			if p.today == nil && !yield(bundle("chart "+p.number(), p.chart())) {
				return
			}
		}
	}
}

// Chart is one bundle with everything about the patient of that number, 0-based.
func (w *World) Chart(i int) Bundle {
	p := w.patients[i]
	return bundle("chart "+p.number(), append(p.demographics(), p.chart()...))
}

// bundle wraps resources into a transaction of PUTs.
func bundle(name string, list []fhirjson.Node) Bundle {
	b := []byte(`{"resourceType":"Bundle","type":"transaction","entry":[`)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"resource":`...)
		b = list[i].AppendJSON(b)
		b = append(b, `,"request":{"method":"PUT","url":"`...)
		b = append(b, list[i].Get("resourceType").Text()+"/"+list[i].Get("id").Text()...)
		b = append(b, `"}}`...)
	}
	b = append(b, `]}`...)
	return Bundle{Name: name, Resources: len(list), JSON: b}
}
