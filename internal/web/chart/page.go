// Package chart shows a patient's chart and takes what is written in it: storyboard,
// summary, timeline, notes, results with trends, vital signs, lists and their forms.
//
// Patient and practice are in every address and the patient in every form; a form whose
// patient differs from its address changes nothing. The package decides nothing clinical
// and holds no state: what it shows comes from the clinic's modules at each request.
package chart

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// Code is a concept offered by a code search.
type Code struct{ System, Code, Display string }

// Codes are the concepts a search found. Edition names the release it went through; Warning says what is wrong with that release.
type Codes struct {
	List             []Code
	Edition, Warning string
}

// Modules is what the screens stand on.
type Modules struct {
	Record   *clinical.Record
	Notes    *clinical.Notes
	Book     *scheduling.Book
	Patients *patient.Directory
	People   *practice.Profiles
	// Search finds up to n concepts of a code system ("problem", "medication", "allergen") by what was typed, through the edition
	// that the person's practice uses.
	Search func(ctx context.Context, who auth.Staff, kind, text string, n int) (Codes, error)
}

// Screens are the pages and forms of the chart.
type Screens struct{ Modules }

// Register adds the chart's routes to the router.
func Register(r *ui.Router, m Modules) *Screens {
	s := &Screens{m}
	const p = "/{practice}/patients/{patient}"
	page := func(pattern string, may auth.Permission, h ui.Handler) { r.Page(pattern, may, s.door(h)) }
	page(p, auth.ChartRead, s.summary)
	page(p+"/timeline", auth.ChartRead, s.timeline)
	page(p+"/results", auth.ChartRead, s.results)
	page(p+"/results/{observation}", auth.ChartRead, s.trend)
	r.Act(p+"/results/review", auth.ResultSign, s.review)
	r.Act(p+"/results/unreview/{task}", auth.ResultSign, s.unreview)
	page(p+"/vitals", auth.ChartRead, s.vitals)
	page(p+"/vitals/new", auth.VitalsWrite, s.vitalsForm)
	r.Act(p+"/vitals", auth.VitalsWrite, s.recordVitals)
	page(p+"/lists", auth.ChartRead, s.lists)
	r.Act(p+"/codes", auth.ChartRead, s.codes) // by POST: what is typed stands in no address

	page(p+"/problems/{id}", auth.ProblemWrite, s.problemForm)
	r.Act(p+"/problems/{id}", auth.ProblemWrite, s.saveProblem)
	page(p+"/medications/{kind}/{id}", auth.MedicationWrite, s.medicationForm)
	r.Act(p+"/medications/{kind}/{id}", auth.MedicationWrite, s.saveMedication)
	page(p+"/allergies/{id}", auth.AllergyWrite, s.allergyForm)
	r.Act(p+"/allergies/{id}", auth.AllergyWrite, s.saveAllergy)
	r.Act(p+"/wrong/{kind}/{id}", auth.ChartWrite, s.markWrong)

	page(p+"/notes", auth.ChartRead, s.notes)
	r.Act(p+"/notes", auth.ChartWrite, s.startNote)
	page(p+"/notes/{note}", auth.ChartRead, s.note)
	page(p+"/notes/{note}/print", auth.ChartRead, s.printNote)
	r.Act(p+"/notes/{note}/addendum", auth.NoteSign, s.addend)
	r.Act(p+"/notes/{note}/wrong", auth.NoteSign, s.noteWrong)
	page(p+"/drafts/{draft}", auth.ChartRead, s.draft)
	r.Act(p+"/drafts/{draft}/open", auth.ChartRead, s.openDraft)
	r.Act(p+"/drafts/{draft}/save", auth.ChartWrite, s.saveDraft)
	r.Act(p+"/drafts/{draft}/take-over", auth.ChartWrite, s.takeOver)
	r.Act(p+"/drafts/{draft}/aside", auth.ChartWrite, s.setAside)
	r.Act(p+"/drafts/{draft}/discard", auth.ChartWrite, s.discardDraft)
	r.Act(p+"/drafts/{draft}/sign", auth.NoteSign, s.signDraft)
	r.Page("/{practice}/drafts", auth.ChartWrite, s.mine)
	r.AddCommands(
		ui.Command{ID: "drafts", Title: "cmd.drafts", Keys: "G D", Permission: auth.ChartWrite, Group: ui.GroupGo, Icon: "pencil", Path: "/drafts", Rail: true},
		ui.Command{ID: "chart-summary", Title: "chart.tab.summary", Keys: "1", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "layout-dashboard", Beside: true},
		ui.Command{ID: "chart-timeline", Title: "chart.tab.timeline", Keys: "2", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "history", Path: "/timeline"},
		ui.Command{ID: "chart-notes", Title: "chart.tab.notes", Keys: "3", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "file-text", Path: "/notes"},
		ui.Command{ID: "chart-results", Title: "chart.tab.results", Keys: "4", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "flask-conical", Path: "/results"},
		ui.Command{ID: "chart-vitals", Title: "chart.tab.vitals", Keys: "5", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "heart-pulse", Path: "/vitals"},
		ui.Command{ID: "chart-lists", Title: "chart.tab.lists", Keys: "6", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "list-checks", Path: "/lists"},
		ui.Command{ID: "chart-vitals-new", Title: "chart.record.vitals", Keys: "V", Permission: auth.VitalsWrite, Group: ui.GroupPatient, Icon: "activity", Path: "/vitals/new"},
		ui.Command{ID: "chart-problem-new", Title: "chart.add.problem", Keys: "A P", Permission: auth.ProblemWrite, Group: ui.GroupPatient, Icon: "plus", Path: "/problems/new"},
		ui.Command{ID: "chart-medication-new", Title: "chart.add.medication", Keys: "A M", Permission: auth.MedicationWrite, Group: ui.GroupPatient, Icon: "pill", Path: "/medications/statement/new"},
		ui.Command{ID: "chart-allergy-new", Title: "chart.add.allergy", Keys: "A A", Permission: auth.AllergyWrite, Group: ui.GroupPatient, Icon: "shield-alert", Path: "/allergies/new"},
		ui.Command{ID: "chart-note-new", Title: "chart.newnote", Keys: "N", Permission: auth.ChartWrite, Group: ui.GroupPatient, Icon: "pencil", Path: "/notes", Hidden: true},
		ui.Command{ID: "chart-sign", Title: "chart.sign", Keys: "Ctrl Enter", Permission: auth.NoteSign, Group: ui.GroupPatient, Icon: "check", Hidden: true},
	)
	return s
}

// tab names a page of the chart.
type tab string

const (
	tabSummary  tab = "summary"
	tabTimeline tab = "timeline"
	tabNotes    tab = "notes"
	tabResults  tab = "results"
	tabVitals   tab = "vitals"
	tabLists    tab = "lists"
)

// tabs are the chart's pages in order; the digit keys open them.
var tabs = []tab{tabSummary, tabTimeline, tabNotes, tabResults, tabVitals, tabLists}

// page is what every template of the chart gets.
type page struct {
	q       *ui.Request
	Base    string // "/practice/patients/id"
	Patient string
	Tab     tab
	Chart   *clinical.Chart
	Zone    *time.Location
	Now     time.Time
	Drafts  []clinical.Draft
	Draft   *clinical.Draft // shown in the note pane
	Coming  []scheduling.Upcoming
	Open    []ui.OpenChart
}

// T is the text of a key in the person's language.
func (x *page) T(key string, args ...any) string { return x.q.T("chart."+key, args...) }

// URL is an address within the chart.
func (x *page) URL(parts ...string) templ.SafeURL {
	return templ.SafeURL(x.Base + strings.Join(parts, ""))
}

// can says whether the person may do something; controls they may not use are not drawn.
func (x *page) can(p auth.Permission) bool { return x.q.Staff.Can(p) }

// date writes a moment as a day, with the year when it is not this one.
func (x *page) date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(x.Zone)
	if t.Year() == x.Now.In(x.Zone).Year() {
		return x.month(t, "02 ", "")
	}
	return x.month(t, "02 ", " 2006")
}

// moment is date with the time of day, where there is one.
func (x *page) moment(t time.Time, precise bool) string {
	d := x.date(t)
	if t.In(x.Zone).Format("2006-01-02") == x.Now.In(x.Zone).Format("2006-01-02") {
		d = x.T("today")
	}
	if !precise {
		return d
	}
	return d + " " + t.In(x.Zone).Format("15:04")
}

// clock is the time of day for moments of today, else the moment.
func (x *page) clock(t time.Time) string {
	if m, today := t.In(x.Zone), x.Now.In(x.Zone); m.YearDay() == today.YearDay() && m.Year() == today.Year() {
		return m.Format("15:04")
	}
	return x.moment(t, true)
}

// month writes the month's name in the person's language between two formats.
func (x *page) month(t time.Time, before, after string) string {
	names := strings.Fields(x.q.T("date.months"))
	name := t.Month().String()[:3]
	if len(names) == 12 {
		name = names[t.Month()-1]
	}
	return t.Format(before) + name + t.Format(after)
}

// fhirDate writes a recorded date with the precision it has. Words stay words.
func (x *page) fhirDate(s string) string { return x.q.Partial(s) }

// load reads what every page of the chart shows and records that it was seen.
func (s *Screens) load(w *ui.Reply, q *ui.Request, t tab, seen ...string) (*page, error) {
	id := q.Path("patient")
	c, err := s.Record.Chart(q.Context(), q.Staff, id)
	if err != nil {
		return nil, err
	}
	prof, err := s.People.Get(q.Context(), q.Staff)
	if err != nil {
		return nil, err
	}
	drafts, err := s.Notes.OfPatient(q.Context(), q.Staff, id)
	if err != nil {
		return nil, err
	}
	x := &page{q: q, Base: q.URL("patients", id), Patient: id, Tab: t, Chart: c, Zone: prof.Zone, Now: q.Now(), Drafts: drafts}
	if x.Open, err = desk.Tabs(q.Context(), q, s.Patients, w.KeepOpen(id), id); err != nil {
		return nil, err
	}
	for i := range drafts {
		if drafts[i].AuthorID == q.Staff.UserID() {
			if x.Draft, err = s.Notes.Look(q.Context(), q.Staff, id, drafts[i].ID, ""); err != nil {
				return nil, err
			}
			break
		}
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "Patient", ID: id, Version: c.Patient.Version, Patient: "Patient/" + id,
		Categories: append([]string{"demographics", "problems", "medications", "allergies", "vitals"}, seen...)})
	return x, nil
}

// door answers for a page of a chart that is closed to the person: with the way in for an emergency, as the list of patients does.
func (s *Screens) door(h ui.Handler) ui.Handler {
	return func(w *ui.Reply, q *ui.Request) error {
		err := h(w, q)
		var i *fhir.Issue
		if !errors.As(err, &i) || i.Code != "not-found" {
			return err
		}
		id := q.Path("patient")
		if _, closed, why := s.Patients.Closed(q.Context(), q.Staff, id); why != nil || !closed {
			return errors.Join(err, why)
		}
		return ui.Shut(q, id)
	}
}

// samePatient refuses a form that was filled in for another patient than its address names.
func samePatient(q *ui.Request) error {
	if q.Form("patient") == q.Path("patient") && q.Path("patient") != "" {
		return nil
	}
	return fhir.Problem("conflict", "This form belongs to another patient. Nothing was changed.", "Close this page and open the right chart.")
}

func version(q *ui.Request) int64 {
	n, _ := strconv.ParseInt(q.Form("version"), 10, 64)
	return n
}

// show answers with a page, or, when only a dialog was asked for, with the dialog.
func (x *page) show(w *ui.Reply, status int, body templ.Component) error {
	if x.q.Fragment() {
		return w.HTML(status, body)
	}
	return w.HTML(status, frame(x, body))
}

// back returns to a page of the chart after something was done, and says what.
func (s *Screens) back(w *ui.Reply, q *ui.Request, path, done string) error {
	if done != "" {
		w.Toast(q.T("chart.done."+done), "")
	}
	w.Redirect(q.URL("patients", q.Path("patient")) + path)
	return nil
}

// once gives the context for the one change of a form, whose answer is a page of the chart; see ui.Reply.Once.
func (s *Screens) once(w *ui.Reply, q *ui.Request, path, done string) context.Context {
	return w.Once(func([]string) { _ = s.back(w, q, path, done) })
}

const (
	ok       = http.StatusOK
	rejected = http.StatusUnprocessableEntity
)
