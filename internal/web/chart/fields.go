package chart

import (
	"errors"
	"net/http"

	"github.com/a-h/templ"

	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// fieldErrors turns an error into what a form shows; ok is false when it is not about the form.
func fieldErrors(q *ui.Request, err error) (out []ui.FieldError, ok bool) {
	var list fhir.Issues
	var one *fhir.Issue
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = fhir.Issues{*one}
	default:
		return nil, false
	}
	for _, i := range list {
		switch i.Code {
		case "required", "value", "duplicate", "business-rule", "conflict", "too-long", "invariant", "code-invalid", "invalid", "structure":
		default:
			return nil, false
		}
		out = append(out, ui.FieldError{Field: i.Path, Words: q.Says(&i)})
	}
	return out, len(out) > 0
}

// form is what every dialog keeps: which entry, which version of it, and what was wrong.
type form struct {
	ID, Version string
	Active      bool
	Errs        []ui.FieldError
}

func (f *form) title(what string) string {
	if f.ID == "new" {
		return "add." + what
	}
	return "edit." + what
}

func (f *form) err(field string) string {
	for _, e := range f.Errs {
		if e.Field == field {
			return e.Words
		}
	}
	return ""
}

type problemFields struct {
	form
	clinical.ProblemEntry
}

type medicationFields struct {
	form
	Kind string // statement or request
	clinical.MedicationEntry
}

func (f *medicationFields) resource() string {
	if f.Kind == "request" {
		return "MedicationRequest"
	}
	return "MedicationStatement"
}

type allergyFields struct {
	form
	clinical.AllergyEntry
}

type vitalFields struct {
	form
	Values, Units map[string]string
	When          string
	Doubts        []clinical.Doubt
}

func (f *vitalFields) field(x *page, key string) ui.FormField {
	v, _ := clinical.VitalByKey(key)
	unit := v.Show
	switch key {
	case "temp", "weight", "height":
		unit = "" // chosen beside it
	}
	return ui.FormField{Name: key, Label: x.T("vital." + key), Unit: unit, Value: f.Values[key], Error: f.err(key), Mode: "decimal", Focus: key == "systolic"}
}

// refuse shows a form again with what was wrong and everything that was typed, or gives
// the error on when the form is not to blame.
func refuse(w *ui.Reply, x *page, f *form, err error, body func() templ.Component) error {
	errs, mine := fieldErrors(x.q, err)
	if !mine {
		return err
	}
	f.Errs = errs
	return x.show(w, http.StatusUnprocessableEntity, body())
}
