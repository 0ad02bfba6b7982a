package chart

import (
	"errors"
	"time"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/web/ui"
)

func (s *Screens) summary(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabSummary, "results", "encounters", "summary")
	if err != nil {
		return err
	}
	if err := s.coming(q, x); err != nil {
		return err
	}
	return x.show(w, ok, summaryPanel(x))
}

// coming fills in the next visits.
func (s *Screens) coming(q *ui.Request, x *page) (err error) {
	if x.Coming, err = s.Book.Coming(q.Context(), q.Staff, x.Patient); len(x.Coming) > 3 {
		x.Coming = x.Coming[:3]
	}
	return err
}

// awaited is the visit of today that has not begun; nil for none.
func (x *page) awaited() *scheduling.Upcoming {
	for i := range x.Coming {
		if x.moment(x.Coming[i].Start, false) == x.T("today") {
			return &x.Coming[i]
		}
	}
	return nil
}

// pageOfEvents is how many events a page of the timeline shows at least.
const pageOfEvents = 50

func (s *Screens) timeline(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabTimeline, "timeline")
	if err != nil {
		return err
	}
	kind := clinical.EventKind(q.Query("kind"))
	tl, err := s.Record.Timeline(q.Context(), q.Staff, x.Patient, kind, q.Query("from"), pageOfEvents)
	if err != nil {
		return err
	}
	return x.show(w, ok, timelinePanel(x, tl, kind, q.Query("from") != ""))
}

func (s *Screens) results(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabResults, "results")
	if err != nil {
		return err
	}
	return x.show(w, ok, resultsPanel(x))
}

func (s *Screens) trend(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabResults, "results")
	if err != nil {
		return err
	}
	id := q.Path("observation")
	series, err := s.Record.Trend(q.Context(), q.Staff, x.Patient, id)
	if err != nil {
		return err
	}
	span := q.Query("span")
	if span == "" {
		span = spanFor(series, x.Now)
	}
	return x.show(w, ok, trendPanel(x, series, id, span))
}

// spanFor picks the shortest span that shows at least two values.
func spanFor(series []clinical.Series, now time.Time) string {
	for _, span := range []string{"18m", "5y"} {
		for _, one := range series {
			if len(within(one.Points, span, now)) > 1 {
				return span
			}
		}
	}
	return "all"
}

func (s *Screens) review(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	at := q.URL("patients", q.Path("patient"))
	ctx := w.Once(func(task []string) {
		w.Toast(q.T("chart.done.reviewed"), at+"/results/unreview/"+task[0])
		w.Redirect(at)
	})
	_, err := s.Record.ReviewResults(ctx, q.Staff, q.Path("patient"), q.Forms("result"))
	return err
}

func (s *Screens) unreview(w *ui.Reply, q *ui.Request) error {
	// The message that offers this carries no form fields: that the review belongs to the
	// patient of the address is checked against the review itself.
	return s.Record.Unreview(s.once(w, q, "", "undone"), q.Staff, q.Path("patient"), q.Path("task"))
}

// columnsShown is how many measurements the flowsheet page goes back.
const columnsShown = 24

func (s *Screens) vitals(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabVitals, "vitals")
	if err != nil {
		return err
	}
	f, err := s.Record.Vitals(q.Context(), q.Staff, x.Patient, columnsShown)
	if err != nil {
		return err
	}
	return x.show(w, ok, vitalsPanel(x, f))
}

func (s *Screens) lists(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabLists)
	if err != nil {
		return err
	}
	return x.show(w, ok, listsPanel(x))
}

// codes answers a code search with options for the list.
func (s *Screens) codes(w *ui.Reply, q *ui.Request) error {
	found, err := s.Search(q.Context(), q.Staff, q.Form("kind"), q.Form("q"), 12)
	if err != nil {
		return err
	}
	return w.HTML(ok, codeList(q, found))
}

func (s *Screens) vitalsForm(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabVitals, "vitals")
	if err != nil {
		return err
	}
	return x.show(w, ok, vitalsDialog(x, &vitalFields{Values: map[string]string{}, Units: map[string]string{}}))
}

func (s *Screens) recordVitals(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	x, err := s.load(w, q, tabVitals)
	if err != nil {
		return err
	}
	f := &vitalFields{Values: map[string]string{}, Units: map[string]string{}, When: q.Form("when")}
	in := clinical.Reading{Values: f.Values, Units: f.Units, Confirmed: q.Forms("confirm")}
	for _, v := range clinical.Vitals() {
		f.Values[v.Key] = q.Form(v.Key)
		if u := q.Form("unit-" + v.Key); u != "" {
			f.Units[v.Key] = u
		}
	}
	if x.Chart.Visit != nil {
		in.Encounter = x.Chart.Visit.ID
	}
	if f.When != "" {
		at, ok := clockTime(f.When, x)
		if !ok {
			f.Errs = []ui.FieldError{{Field: "when", Words: x.T("f.when.bad")}}
			return x.show(w, rejected, vitalsDialog(x, f))
		}
		in.When = at
	}
	_, err = s.Record.RecordVitals(s.once(w, q, "", "saved"), q.Staff, x.Patient, in)
	var no *clinical.Unaccepted
	switch {
	case errors.As(err, &no):
		for key, text := range no.Refused {
			f.Errs = append(f.Errs, ui.FieldError{Field: key, Words: text})
		}
		f.Doubts = no.Doubts
		return x.show(w, rejected, vitalsDialog(x, f))
	case err != nil:
		return refuse(w, x, &f.form, err, func() templ.Component { return vitalsDialog(x, f) })
	}
	return nil
}

// clockTime reads a time of today ("9:06", "14:20") or a day and time ("2026-03-01 9:06").
func clockTime(text string, x *page) (time.Time, bool) {
	today := x.Now.In(x.Zone).Format("2006-01-02")
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04"} {
		for _, candidate := range []string{text, today + " " + text} {
			if t, err := time.ParseInLocation(layout, candidate, x.Zone); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// markWrong marks an entry of a list or a vital sign as entered in error.
func (s *Screens) markWrong(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	path := ""
	if q.Form("back") == "/vitals" {
		path = "/vitals"
	}
	return s.Record.MarkWrong(s.once(w, q, path, "wrong"), q.Staff, q.Path("patient"), q.Path("kind"), q.Path("id"), version(q))
}

func (s *Screens) notes(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabNotes, "notes", "encounters")
	if err != nil {
		return err
	}
	if err := s.coming(q, x); err != nil {
		return err
	}
	list, err := s.Record.Notes(q.Context(), q.Staff, x.Patient, 100)
	if err != nil {
		return err
	}
	return x.show(w, ok, notesPanel(x, list))
}

func (s *Screens) note(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabNotes)
	if err != nil {
		return err
	}
	n, err := s.Notes.Read(q.Context(), q.Staff, x.Patient, q.Path("note"))
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "DocumentReference", ID: n.ID, Version: n.Version, Patient: "Patient/" + x.Patient, Categories: []string{"notes"}})
	return x.show(w, ok, notePanel(x, n))
}

func (s *Screens) printNote(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabNotes)
	if err != nil {
		return err
	}
	n, err := s.Notes.Read(q.Context(), q.Staff, x.Patient, q.Path("note"))
	if err != nil {
		return err
	}
	prof, err := s.People.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionPrint, Type: "DocumentReference", ID: n.ID, Version: n.Version, Patient: "Patient/" + x.Patient, Categories: []string{"notes"}})
	return w.HTML(ok, sheet(x, printPanel(x, n, prof.Name)))
}

func (s *Screens) addend(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	_, err := s.Notes.Addend(s.once(w, q, "/notes/"+q.Path("note"), "addendum"), q.Staff, q.Path("patient"), q.Path("note"), q.Form("text"))
	return err
}

func (s *Screens) noteWrong(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	return s.Notes.MarkNoteWrong(s.once(w, q, "/notes/"+q.Path("note"), "wrong"), q.Staff, q.Path("patient"), q.Path("note"), version(q))
}
