package desk

import (
	"errors"
	"net/http"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

const listed = 60

func (d *Desk) patientsPage(w *ui.Reply, q *ui.Request) error { return d.showPatients(w, q, "") }

// patientsFound answers a search. It comes by POST so that names stand in no address.
func (d *Desk) patientsFound(w *ui.Reply, q *ui.Request) error {
	return d.showPatients(w, q, q.Form("q"))
}

func (d *Desk) showPatients(w *ui.Reply, q *ui.Request, text string) error {
	hits, err := d.patients.Search(q.Context(), q.Staff, text, listed)
	if err != nil {
		return err
	}
	n, err := d.patients.Count(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	w.See(seen(hits))
	if q.Fragment() {
		return w.HTML(ok, patientRows(q, hits, text))
	}
	s, err := d.shell(q, q.T("cmd.patients"), "patients", false)
	if err != nil {
		return err
	}
	return w.HTML(ok, patientsView(q, s, hits, text, n))
}

// seen puts on record whose names were on a list.
func seen(hits []patient.Hit) audit.Event {
	e := audit.Event{Action: audit.ActionSearch, Type: "Patient", Categories: []string{"demographics"}}
	for _, h := range hits {
		e.Links = append(e.Links, "Patient/"+h.ID)
	}
	return e
}

// newPatient is the registration form as it stands.
type newPatient struct {
	In     patient.Demographics
	Errors []ui.FieldError
	Twins  []patient.Hit
}

func (n newPatient) err(field string) string {
	for _, e := range n.Errors {
		if e.Field == field {
			return e.Words
		}
	}
	return ""
}

func (d *Desk) registerPage(w *ui.Reply, q *ui.Request) error {
	return d.showRegister(w, q, ok, newPatient{})
}

func (d *Desk) showRegister(w *ui.Reply, q *ui.Request, status int, n newPatient) error {
	s, err := d.shell(q, q.T("register.title"), "patients", false)
	if err != nil {
		return err
	}
	return w.HTML(status, registerView(q, s, n))
}

func (d *Desk) register(w *ui.Reply, q *ui.Request) error {
	n := newPatient{In: demographics(q)}
	ctx := w.Once(func(id []string) {
		w.Toast(q.T("register.done"), "")
		w.Redirect(q.ChartURL(id[0]))
	})
	_, err := d.patients.Register(ctx, q.Staff, n.In, q.Form("confirmed") == "yes")
	var twins *patient.Duplicates
	switch {
	case err == nil:
		return nil
	case errors.As(err, &twins):
		n.Twins = twins.Hits
		w.See(seen(twins.Hits))
		return d.showRegister(w, q, http.StatusConflict, n)
	case n.refused(q, err):
		return d.showRegister(w, q, http.StatusUnprocessableEntity, n)
	}
	return err
}

// demographics reads the form.
func demographics(q *ui.Request) patient.Demographics {
	return patient.Demographics{Family: q.Form("family"), Given: q.Form("given"), Middle: q.Form("middle"), Preferred: q.Form("preferred"),
		BirthDate: q.Form("birthDate"), Sex: q.Form("sex"), Phone: q.Form("phone"), Email: q.Form("email"), Line: q.Form("line"), City: q.Form("city"),
		State: q.Form("state"), Postal: q.Form("postal"), Language: q.Form("language"), MRN: q.Form("mrn")}
}

// refused puts what is wrong beside the fields; false when the error is about none of them.
func (n *newPatient) refused(q *ui.Request, err error) bool {
	var issues fhir.Issues
	var one *fhir.Issue
	switch {
	case errors.As(err, &issues):
		for _, i := range issues {
			n.Errors = append(n.Errors, ui.FieldError{Field: i.Path, Words: q.Says(&i)})
		}
	case errors.As(err, &one) && one.Path != "":
		n.Errors = []ui.FieldError{{Field: one.Path, Words: q.Says(one)}}
	default:
		return false
	}
	return true
}

// fresh says that nothing stands in the form.
func (n newPatient) fresh() bool { return n.In == patient.Demographics{} }
