package chart

import (
	"context"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// pen answers who holds the pen after asking for it, with the text to go on from.
func (s *Screens) pen(w *ui.Reply, q *ui.Request, ask func(ctx context.Context, by auth.Staff, patientID, draftID, writer string) (*clinical.Draft, error)) error {
	if err := samePatient(q); err != nil {
		return err
	}
	d, err := ask(q.Context(), q.Staff, q.Path("patient"), q.Path("draft"), writer(q))
	if err != nil {
		return err
	}
	x, err := s.bare(q)
	if err != nil {
		return err
	}
	seeDraft(w, d)
	if !q.Fragment() {
		return s.back(w, q, "/drafts/"+d.ID, "")
	}
	return w.HTML(ok, penState(x, d, true))
}

func gone() *fhir.Issue {
	return fhir.Problem("not-found", "This entry is no longer in the chart.", "Reload the chart.")
}

func (s *Screens) problemForm(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabLists)
	if err != nil {
		return err
	}
	f := &problemFields{form: form{ID: q.Path("id")}}
	if f.ID != "new" {
		p, found := find(x.Chart.Problems, func(p clinical.Problem) bool { return p.ID == f.ID })
		if !found {
			return gone()
		}
		f.Version, f.Active = itoa64(p.Version), p.Active()
		f.ProblemEntry = clinical.ProblemEntry{Name: p.Name, System: p.System, Code: p.Code, Onset: dayOf(p.Onset), Note: p.Note}
	}
	return x.show(w, ok, problemDialog(x, f))
}

func (s *Screens) saveProblem(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	id, patient, ctx := q.Path("id"), q.Path("patient"), s.once(w, q, "", "saved")
	f := &problemFields{form: form{ID: id, Version: q.Form("version"), Active: true}}
	f.ProblemEntry = clinical.ProblemEntry{Name: q.Form("name"), System: q.Form("system"), Code: q.Form("code"), Onset: q.Form("onset"), Note: q.Form("note")}
	var err error
	switch {
	case id == "new":
		_, err = s.Record.AddProblem(ctx, q.Staff, patient, f.ProblemEntry)
	case q.Form("do") == "resolve":
		err = s.Record.ResolveProblem(ctx, q.Staff, patient, id, version(q), q.Form("resolved"))
	case q.Form("do") == "reopen":
		err = s.Record.ResolveProblem(ctx, q.Staff, patient, id, version(q), "")
	default:
		err = s.Record.EditProblem(ctx, q.Staff, patient, id, version(q), f.ProblemEntry)
	}
	return s.saved(w, q, &f.form, err, func(x *page) templ.Component { return problemDialog(x, f) })
}

// saved lets the stored answer stand, or shows the dialog again with what was wrong.
func (s *Screens) saved(w *ui.Reply, q *ui.Request, f *form, err error, body func(x *page) templ.Component) error {
	if err == nil {
		return nil
	}
	if q.Form("name") == "" && q.Form("substance") == "" && q.Form("do") != "save" {
		return err // a button beside the form: there is nothing typed to keep
	}
	x, lerr := s.load(w, q, tabLists)
	if lerr != nil {
		return err
	}
	return refuse(w, x, f, err, func() templ.Component { return body(x) })
}

func (s *Screens) medicationForm(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabLists)
	if err != nil {
		return err
	}
	f := &medicationFields{form: form{ID: q.Path("id")}, Kind: q.Path("kind")}
	if f.ID != "new" {
		m, found := find(x.Chart.Medications, func(m clinical.Medication) bool { return m.ID == f.ID && kindOf(m.Kind) == f.Kind })
		if !found {
			return gone()
		}
		f.Version, f.Active = itoa64(m.Version), m.Active()
		f.MedicationEntry = clinical.MedicationEntry{Name: m.Name, System: m.System, Code: m.Code, Sig: m.Sig, Start: dayOf(m.Start), Reason: m.Reason, Note: m.Note}
	}
	return x.show(w, ok, medicationDialog(x, f))
}

func (s *Screens) saveMedication(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	id, patient, ctx := q.Path("id"), q.Path("patient"), s.once(w, q, "", "saved")
	f := &medicationFields{form: form{ID: id, Version: q.Form("version"), Active: true}, Kind: q.Path("kind")}
	f.MedicationEntry = clinical.MedicationEntry{Name: q.Form("name"), System: q.Form("system"), Code: q.Form("code"), Sig: q.Form("sig"), Start: q.Form("start"), Reason: q.Form("reason"), Note: q.Form("note")}
	var err error
	switch {
	case id == "new":
		_, err = s.Record.AddMedication(ctx, q.Staff, patient, f.MedicationEntry)
	case q.Form("do") == "stop", q.Form("do") == "resume":
		err = s.Record.StopMedication(ctx, q.Staff, patient, f.resource(), id, version(q), q.Form("why"), q.Form("do") == "resume")
	default:
		err = s.Record.EditMedication(ctx, q.Staff, patient, f.resource(), id, version(q), f.MedicationEntry)
	}
	return s.saved(w, q, &f.form, err, func(x *page) templ.Component { return medicationDialog(x, f) })
}

func (s *Screens) allergyForm(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabLists)
	if err != nil {
		return err
	}
	f := &allergyFields{form: form{ID: q.Path("id")}}
	if f.ID != "new" {
		all := append(append([]clinical.Allergy(nil), x.Chart.Allergies.List...), x.Chart.Allergies.Past...)
		a, found := find(all, func(a clinical.Allergy) bool { return a.ID == f.ID })
		if !found {
			return gone()
		}
		f.Version, f.Active = itoa64(a.Version), a.Status == "active" || a.Status == ""
		f.AllergyEntry = clinical.AllergyEntry{Substance: a.Substance, System: a.System, Code: a.Code, Kind: a.Kind, Category: a.Category, Reaction: a.Reaction, Severity: a.Severity, High: a.Criticality == "high", Note: a.Note}
	}
	return x.show(w, ok, allergyDialog(x, f))
}

func (s *Screens) saveAllergy(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	id, patient, ctx := q.Path("id"), q.Path("patient"), s.once(w, q, "", "saved")
	f := &allergyFields{form: form{ID: id, Version: q.Form("version"), Active: true}}
	f.AllergyEntry = clinical.AllergyEntry{Substance: q.Form("substance"), System: q.Form("system"), Code: q.Form("code"), Kind: q.Form("kind"), Category: q.Form("category"),
		Reaction: q.Form("reaction"), Severity: q.Form("severity"), High: q.Form("high") != "", Note: q.Form("note")}
	var err error
	switch {
	case id == "none":
		err = s.Record.DenyAllergies(ctx, q.Staff, patient)
	case id == "new":
		_, err = s.Record.AddAllergy(ctx, q.Staff, patient, f.AllergyEntry)
	case q.Form("do") == "resolve", q.Form("do") == "reopen":
		err = s.Record.ResolveAllergy(ctx, q.Staff, patient, id, version(q), q.Form("do") == "reopen")
	default:
		err = s.Record.EditAllergy(ctx, q.Staff, patient, id, version(q), f.AllergyEntry)
	}
	return s.saved(w, q, &f.form, err, func(x *page) templ.Component { return allergyDialog(x, f) })
}

func find[T any](list []T, is func(T) bool) (found T, ok bool) {
	for _, v := range list {
		if is(v) {
			return v, true
		}
	}
	return found, false
}

// dayOf cuts a recorded date to the precision a form edits.
func dayOf(s string) string { return s[:min(10, len(s))] }
