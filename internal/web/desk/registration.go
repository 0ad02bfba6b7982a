package desk

import (
	"errors"
	"net/http"
	"strconv"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// registration is the page of who a patient is, with the form as it stands.
type registration struct {
	newPatient
	Patient patient.Hit
	Now     patient.Registration // as it is on record
	Renamed bool
	Stale   bool // somebody else changed it since the form was opened; In holds what was typed
	Coming  []scheduling.Upcoming
}

func (d *Desk) registrationPage(w *ui.Reply, q *ui.Request) error {
	return d.showRegistration(w, q, ok, registration{})
}

func (d *Desk) showRegistration(w *ui.Reply, q *ui.Request, status int, v registration) error {
	id := q.Path("patient")
	h, err := Seen(q, d.patients, id)
	if err != nil {
		return err
	}
	v.Patient = h
	if v.Now, err = d.patients.Registration(q.Context(), q.Staff, id); err != nil {
		return err
	}
	if status == ok {
		v.In = v.Now.Fields
	}
	if q.Can(auth.ScheduleRead) {
		if v.Coming, err = d.book.Coming(q.Context(), q.Staff, id); err != nil {
			return err
		}
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "Patient", Patient: "Patient/" + id, Categories: []string{"demographics"}})
	s, err := d.shell(q, q.T("registration.title"), "patients", false)
	if err != nil {
		return err
	}
	s.Patient = id
	return w.HTML(status, registrationView(q, s, v))
}

func (d *Desk) correct(w *ui.Reply, q *ui.Request) error {
	id := q.Path("patient")
	if q.Form("patient") != id {
		return fhir.Problem("conflict", q.T("glass.other"), q.T("glass.other.fix"))
	}
	v := registration{newPatient: newPatient{In: demographics(q)}, Renamed: q.Form("renamed") == "yes"}
	version, _ := strconv.ParseInt(q.Form("version"), 10, 64)
	ctx := w.Once(func([]string) {
		w.Toast(q.T("registration.done"), "")
		w.Redirect(q.URL("patients", id, "registration"))
	})
	err := d.patients.Correct(ctx, q.Staff, id, version, v.In, v.Renamed)
	var one *fhir.Issue
	switch {
	case err == nil:
		return nil
	case v.refused(q, err):
		return d.showRegistration(w, q, http.StatusUnprocessableEntity, v)
	case errors.As(err, &one) && one.Code == "conflict":
		v.Stale = true
		return d.showRegistration(w, q, http.StatusConflict, v)
	}
	return err
}

// Seen is a patient whom the person sees. The error answers for any other.
func Seen(q *ui.Request, patients *patient.Directory, id string) (patient.Hit, error) {
	known, err := patients.Get(q.Context(), q.Staff, id)
	if err != nil {
		return patient.Hit{}, err
	}
	if h, open := known[id]; open {
		return h, nil
	}
	return patient.Hit{}, unseen(q, patients, id)
}

// unseen answers for a patient whom the person does not see: with the door of a closed chart, or that there is nobody.
func unseen(q *ui.Request, patients *patient.Directory, id string) error {
	_, closed, err := patients.Closed(q.Context(), q.Staff, id)
	switch {
	case err != nil:
		return err
	case !closed:
		return fhir.Problem("not-found", q.T("glass.nobody"), q.T("glass.nobody.fix"))
	}
	return ui.Shut(q, id)
}

// Beside are the pages of a patient that are no part of the clinical record, and the way into it.
func Beside(q *ui.Request) (out []ui.Command) {
	for _, c := range q.Commands(ui.GroupPatient) {
		switch {
		case c.Beside && c.Path == "":
			out = append([]ui.Command{c}, out...)
		case c.Beside:
			out = append(out, c)
		}
	}
	return out
}

// sexWord is what the list of sexes calls a code.
func sexWord(q *ui.Request, code string) string {
	switch code {
	case "female", "male", "other", "unknown":
		return q.T("sex." + code)
	}
	return ""
}

// differences are the fields in which the record now says something else than was typed, and what it says.
func (v registration) differences(q *ui.Request) (out [][2]string) {
	now := v.Now.Fields
	for _, f := range [][3]string{
		{"register.family", v.In.Family, now.Family}, {"register.given", v.In.Given, now.Given}, {"register.middle", v.In.Middle, now.Middle},
		{"register.preferred", v.In.Preferred, now.Preferred}, {"patient.born", v.In.BirthDate, now.BirthDate}, {"patient.sex", sexWord(q, v.In.Sex), sexWord(q, now.Sex)},
		{"patient.phone", v.In.Phone, now.Phone}, {"register.email", v.In.Email, now.Email}, {"register.line", v.In.Line, now.Line}, {"register.city", v.In.City, now.City},
		{"register.state", v.In.State, now.State}, {"register.postal", v.In.Postal, now.Postal}, {"register.language", v.In.Language, now.Language},
	} {
		if f[1] != f[2] {
			out = append(out, [2]string{q.T(f[0]), f[2]})
		}
	}
	return out
}
