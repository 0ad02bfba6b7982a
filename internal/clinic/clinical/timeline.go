package clinical

import (
	"sort"
	"strconv"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// timelineTypes are the resource types that make events, by kind.
var timelineTypes = map[EventKind][]string{
	VisitEvent:        {"Encounter"},
	ResultEvent:       {"DiagnosticReport"},
	ProblemEvent:      {"Condition"},
	MedEvent:          {"MedicationRequest"},
	NoteEvent:         {"DocumentReference"},
	ImmunizationEvent: {"Immunization"},
	ProcedureEvent:    {"Procedure"},
}

// EventKinds lists the kinds a timeline can be narrowed to, in the order of its filter.
func EventKinds() []EventKind {
	return []EventKind{VisitEvent, NoteEvent, ResultEvent, ProblemEvent, MedEvent, ImmunizationEvent, ProcedureEvent}
}

// typesOf lists the resource types to read for a kind; "" means all.
func typesOf(kind EventKind) []string {
	if kind != "" {
		return timelineTypes[kind]
	}
	var out []string
	for _, k := range EventKinds() {
		out = append(out, timelineTypes[k]...)
	}
	return out
}

// readEvent turns a resource into a line of the timeline; ok is false for what does not belong there.
func readEvent(typ, id string, n *fhirjson.Node, zone *time.Location) (e Event, ok bool) {
	e = Event{Type: typ, ID: id}
	var when string
	switch typ {
	case "Encounter":
		e.Kind = VisitEvent
		v := readVisit(id, 0, n, zone)
		when, e.Title, e.Body, e.By = n.At("period", "start").Text(), v.Type, v.Reason, v.With
		if v.Status == "entered-in-error" || v.Status == "cancelled" || v.Status == "planned" {
			return e, false
		}
	case "DiagnosticReport":
		e.Kind = ResultEvent
		if n.Get("status").Text() == "entered-in-error" {
			return e, false
		}
		when = firstOf(n, "effectiveDateTime", "issued")
		if when == "" {
			when = n.At("effectivePeriod", "start").Text()
		}
		e.Title, e.Body = fhir.ConceptText(n.Get("code")), n.Get("conclusion").Text()
		if k := n.Get("result").Len(); k > 0 && e.Body == "" {
			e.Body = plural(k, "result", "results")
		}
		for _, p := range n.Get("performer").Items() {
			e.By = person(&p)
			break
		}
		for _, c := range n.Get("category").Items() {
			if _, code := fhir.ConceptCode(&c); code == "LP29708-2" || code == "34117-2" || code == "51847-2" {
				return e, false // a note that a record from elsewhere filed as a report too
			}
		}
	case "Condition":
		e.Kind = ProblemEvent
		p, _ := readProblem(id, 0, n)
		if p.Verified == "entered-in-error" {
			return e, false
		}
		when = firstOf(n, "onsetDateTime", "recordedDate")
		if when == "" {
			when = n.At("onsetPeriod", "start").Text()
		}
		e.Title, e.Body, e.By = p.Name, problemWords(p), p.By
	case "MedicationRequest", "MedicationStatement":
		e.Kind = MedEvent
		m, listed := readMedication(typ, id, 0, n)
		if !listed {
			return e, false
		}
		when, e.Title, e.Body, e.By = m.Start, m.Name, m.Sig, m.By
	case "Immunization":
		e.Kind = ImmunizationEvent
		if n.Get("status").Text() != "completed" {
			return e, false
		}
		when, e.Title = n.Get("occurrenceDateTime").Text(), fhir.ConceptText(n.Get("vaccineCode"))
		if lot := n.Get("lotNumber").Text(); lot != "" {
			e.Body = "Lot " + lot
		}
		if site := fhir.ConceptText(n.Get("site")); site != "" {
			if e.Body != "" {
				e.Body = site + ", lot " + n.Get("lotNumber").Text()
			} else {
				e.Body = site
			}
		}
		e.By = n.At("performer", "actor", "display").Text()
	case "Procedure":
		e.Kind = ProcedureEvent
		if s := n.Get("status").Text(); s == "entered-in-error" || s == "not-done" {
			return e, false
		}
		when = firstOf(n, "performedDateTime", "performedString")
		if when == "" {
			when = n.At("performedPeriod", "start").Text()
		}
		e.Title = fhir.ConceptText(n.Get("code"))
		for _, r := range n.Get("reasonCode").Items() {
			e.Body = fhir.ConceptText(&r)
			break
		}
		e.By = n.At("performer", "actor", "display").Text()
	case "DocumentReference":
		e.Kind = NoteEvent
		if s := n.Get("status").Text(); s != "current" {
			return e, false
		}
		when, e.Note = n.Get("date").Text(), id
		if e.Title = n.Get("description").Text(); e.Title == "" {
			e.Title = fhir.ConceptText(n.Get("type"))
		}
		for _, a := range n.Get("author").Items() {
			if e.By = person(&a); e.By != "" {
				break
			}
		}
	default:
		return e, false
	}
	e.On = when
	e.When, e.Precise, ok = fhir.Moment(when, zone)
	if e.Title == "" {
		e.Title = typ
	}
	return e, ok
}

func problemWords(p Problem) string {
	switch {
	case p.Resolved != "":
		return "Resolved " + p.Resolved[:min(10, len(p.Resolved))]
	case p.Status == "active" || p.Status == "":
		return p.Code
	}
	return p.Status
}

func firstOf(n *fhirjson.Node, names ...string) string {
	for _, f := range names {
		if v := n.Get(f).Text(); v != "" {
			return v
		}
	}
	return ""
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// newestEvents orders events newest first; of the same moment visits come first.
func newestEvents(list []Event) {
	rank := func(k EventKind) int {
		if k == VisitEvent {
			return 0
		}
		return 1
	}
	sort.SliceStable(list, func(a, b int) bool {
		if !list[a].When.Equal(list[b].When) {
			return list[a].When.After(list[b].When)
		}
		if r, q := rank(list[a].Kind), rank(list[b].Kind); r != q {
			return r < q
		}
		return list[a].ID < list[b].ID
	})
}
