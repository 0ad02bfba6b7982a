// Package apps is where people meet other programs: the screen that asks whether a program may see a record, in plain words and with
// a switch for each kind of data; the patient it is about; starting a program from a chart; one's own list of connections; and the
// administrator's list of programs with registration, approval and suspension. It shows what base/oauth knows and keeps nothing.
//
// A browser is sent to another address only when base/oauth names it; whatever is wrong before that is said on a page here.
package apps

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// Screens holds what the pages stand on.
type Screens struct {
	server   *oauth.Server
	auth     *auth.Auth
	patients *patient.Directory
	visit    Visit
}

// Visit finds the Encounter that is going on with a patient, "" for none: a program that is started from the chart is told.
type Visit func(ctx context.Context, who auth.Staff, patient string) (string, error)

const ok = http.StatusOK

// Register registers the pages.
func Register(r *ui.Router, a *auth.Auth, server *oauth.Server, patients *patient.Directory, visit Visit) {
	s := &Screens{server: server, auth: a, patients: patients, visit: visit}
	r.Open("GET", "/{practice}"+oauth.AuthorizePath, s.authorize)
	r.OpenAcross("POST", "/{practice}"+oauth.AuthorizePath, s.authorize)
	r.Page("/{practice}/apps/ask/{ask}", auth.AccountSecurity, s.ask)
	r.Act("/{practice}/apps/ask/{ask}", auth.AccountSecurity, s.answer)

	r.Page("/{practice}/apps", auth.AccountSecurity, s.list)
	r.Act("/{practice}/apps/disconnect", auth.AccountSecurity, s.disconnect)
	r.Page("/{practice}/apps/programs/new", auth.PracticeAdmin, s.newProgram)
	r.Act("/{practice}/apps/programs/new", auth.PracticeAdmin, s.register)
	r.Page("/{practice}/apps/programs/{program}", auth.PracticeAdmin, s.program)
	r.Act("/{practice}/apps/programs/{program}", auth.PracticeAdmin, s.decide)
	r.Page("/{practice}/apps/programs/{program}/edit", auth.PracticeAdmin, s.editProgram)
	r.Act("/{practice}/apps/programs/{program}/edit", auth.PracticeAdmin, s.change)

	r.Page("/{practice}/patients/{patient}/apps", auth.ChartRead, s.launchable)
	r.Act("/{practice}/patients/{patient}/apps", auth.ChartRead, s.launch)

	r.AddCommands(
		ui.Command{ID: "apps", Title: "apps.title", Keys: "G X", Permission: auth.AccountSecurity, Group: ui.GroupSettings, Icon: "link", Path: "/apps", Office: "programs"},
		ui.Command{ID: "chart-apps", Title: "apps.chart", Keys: "O", Permission: auth.ChartRead, Group: ui.GroupPatient, Icon: "link", Path: "/apps", Beside: true},
	)
}

// authorize takes a program's request and leads to the screen that asks the person. It needs no session: somebody who is not signed
// in signs in on the way.
func (s *Screens) authorize(w *ui.Reply, q *ui.Request) error {
	b, err := s.server.Begin(q.Context(), q.Practice, q.Sent())
	var no *oauth.Refusal
	switch {
	case errors.As(err, &no):
		w.Redirect(no.To)
		return nil
	case err != nil:
		return err
	}
	if s.server.SilentOnly(q.Context(), q.Practice, b.ID, b.Browser) {
		if _, state, err := s.auth.Peek(q.Context(), q.Slug(), q.Token()); err != nil || state.Locked || state.MustEnrol {
			to, err := s.server.Silence(q.Context(), q.Practice, b.ID, b.Browser, "login_required")
			if err == nil {
				w.Redirect(to)
			}
			return err
		}
	}
	w.SetCookie(askCookie(b.ID), b.Browser, 900)
	w.Redirect(q.URL("apps", "ask", b.ID))
	return nil
}

// askCookie is the cookie that binds a request to the browser that began it: one each, so that two requests do not get into each
// other's way.
func askCookie(id string) string {
	id = strings.TrimPrefix(id, "ask-")
	return "ask-" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, id[:min(len(id), 12)])
}

// ask shows what a program wants.
func (s *Screens) ask(w *ui.Reply, q *ui.Request) error {
	id := q.Path("ask")
	browser := q.Cookie(askCookie(id))
	question, err := s.server.Question(q.Context(), q.Practice, q.Staff, id, browser)
	if err != nil {
		return err
	}
	if question.Skip {
		all := make([]string, 0, len(question.Scopes))
		for _, sc := range question.Scopes {
			all = append(all, sc.Text)
		}
		to, err := s.server.Grant(q.Context(), q.Practice, q.Staff, id, browser, oauth.Answer{Scopes: all})
		if err == nil {
			w.SetCookie(askCookie(id), "", -1)
			w.Redirect(to)
		}
		return err
	}
	if question.Silent {
		to, err := s.server.Silence(q.Context(), q.Practice, id, browser, "consent_required")
		if err == nil {
			w.Redirect(to)
		}
		return err
	}
	if question.PickPatient {
		return s.pick(w, q, question, "")
	}
	return s.consent(w, q, question, question.Patient)
}

// pick asks whose record the program may use.
func (s *Screens) pick(w *ui.Reply, q *ui.Request, question oauth.Question, text string) error {
	if !q.Can(auth.PatientRead) {
		return fhir.Problem("forbidden", q.T("error.denied"), q.T("error.denied.fix"))
	}
	hits, err := s.patients.Search(q.Context(), q.Staff, text, 20)
	if err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionSearch, Type: "Patient", Categories: []string{"demographics"}}
	for _, h := range hits {
		e.Links = append(e.Links, "Patient/"+h.ID)
	}
	w.See(e)
	if q.Fragment() {
		return w.HTML(ok, pickRows(q, hits))
	}
	return w.HTML(ok, pickView(q, question, hits, text))
}

// consent asks what the program may see, of the patient it is about.
func (s *Screens) consent(w *ui.Reply, q *ui.Request, question oauth.Question, id string) error {
	name := ""
	if id != "" {
		known, err := s.patients.Get(q.Context(), q.Staff, id)
		if err != nil {
			return err
		}
		h, there := known[id]
		if !there {
			return fhir.Problem("not-found", q.T("apps.patient.none"), q.T("apps.patient.none.fix"))
		}
		name = h.Name.Display() + " · " + q.Partial(h.BirthDate)
		w.See(audit.Event{Action: audit.ActionRead, Type: "Patient", ID: id, Patient: "Patient/" + id, Categories: []string{"demographics"}})
	}
	return w.HTML(ok, consentView(q, view{Question: question, Sections: sections(q, question, name), PatientID: id, PatientName: name, Own: false, Who: q.Staff.Name()}))
}

// answer takes what the person did on either screen.
func (s *Screens) answer(w *ui.Reply, q *ui.Request) error {
	id := q.Path("ask")
	browser := q.Cookie(askCookie(id))
	question, err := s.server.Question(q.Context(), q.Practice, q.Staff, id, browser)
	if err != nil {
		return err
	}
	var to string
	switch q.Form("do") {
	case "deny":
		to, err = s.server.Deny(q.Context(), q.Practice, q.Staff, id, browser)
	case "allow":
		chosen := q.Form("patient")
		if question.PickPatient {
			known, err := s.patients.Get(q.Context(), q.Staff, chosen)
			if err != nil {
				return err
			}
			if _, there := known[chosen]; !there {
				return fhir.Problem("not-found", q.T("apps.patient.none"), q.T("apps.patient.none.fix"))
			}
		}
		to, err = s.server.Grant(q.Context(), q.Practice, q.Staff, id, browser, oauth.Answer{Scopes: picked(question.Scopes, q.Forms("scope")), Patient: chosen})
	default:
		if p := q.Form("patient"); p != "" && question.PickPatient {
			return s.consent(w, q, question, p)
		}
		if question.PickPatient {
			return s.pick(w, q, question, q.Form("q"))
		}
		return s.consent(w, q, question, question.Patient)
	}
	if err != nil {
		return err
	}
	w.SetCookie(askCookie(id), "", -1)
	return s.leave(w, q, question.Client.Name, to)
}

// leave ends a form on a page of ours, which then goes on: forms may not lead to other origins.
func (s *Screens) leave(w *ui.Reply, q *ui.Request, name, to string) error {
	w.Header("Refresh", "0; url="+to)
	return w.HTML(ok, leaveView(q, name, to))
}

// launchable lists the programs that can be started from a chart.
func (s *Screens) launchable(w *ui.Reply, q *ui.Request) error {
	id := q.Path("patient")
	known, err := s.patients.Get(q.Context(), q.Staff, id)
	if err != nil {
		return err
	}
	h, there := known[id]
	if !there {
		return fhir.Problem("not-found", q.T("apps.patient.none"), q.T("apps.patient.none.fix"))
	}
	all, err := s.server.Launchable(q.Context(), q.Practice.ID)
	if err != nil {
		return err
	}
	tabs, err := desk.Tabs(q.Context(), q, s.patients, w.KeepOpen(id), id)
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "Patient", ID: id, Patient: "Patient/" + id, Categories: []string{"demographics"}})
	shell := ui.Shell{Title: h.Name.Initials() + " · " + q.T("apps.chart"), Active: "patients", Patient: id, Open: tabs}
	return w.HTML(ok, launchView(q, shell, h, all))
}

// launch starts a program from a chart, in a window of its own.
func (s *Screens) launch(w *ui.Reply, q *ui.Request) error {
	id := q.Path("patient")
	if q.Form("patient") != id {
		return fhir.Problem("conflict", q.T("apps.patient.other"), q.T("error.again"))
	}
	known, err := s.patients.Get(q.Context(), q.Staff, id)
	if err != nil {
		return err
	}
	if _, there := known[id]; !there {
		return fhir.Problem("not-found", q.T("apps.patient.none"), q.T("apps.patient.none.fix"))
	}
	encounter := ""
	if s.visit != nil {
		if encounter, err = s.visit(q.Context(), q.Staff, id); err != nil {
			return err
		}
	}
	to, err := s.server.Launch(q.Context(), q.Staff, q.Practice, q.Form("program"), id, encounter)
	if err != nil {
		return err
	}
	name := ""
	if c, err := s.server.Client(q.Context(), q.Practice.ID, q.Form("program")); err == nil {
		name = c.Name
	}
	return s.leave(w, q, name, to)
}
