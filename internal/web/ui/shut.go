package ui

import (
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

// Shut is how a page answers about a chart that is restricted for the person: with the way in for an emergency, for those who have
// one.
func Shut(q *Request, patient string) error {
	if q.Can(auth.BreakGlass) {
		return &Elsewhere{Path: q.URL("patients", patient, "restricted")}
	}
	return fhir.Problem("forbidden", q.T("glass.shut"), q.T("glass.shut.fix"))
}

// ChartURL leads to what of a patient the person may see first: the chart, or who the patient is.
func (q *Request) ChartURL(patient string) string {
	if q.Can(auth.ChartRead) {
		return q.URL("patients", patient)
	}
	return q.URL("patients", patient, "registration")
}
