package chart

import (
	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// waiting is a note of the person's own that is not signed.
type waiting struct {
	clinical.Draft
	Who patient.Hit
}

// mine lists the notes that the person began and has not signed, oldest first.
func (s *Screens) mine(w *ui.Reply, q *ui.Request) error {
	drafts, err := s.Notes.Mine(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	var ids []string
	for _, d := range drafts {
		ids = append(ids, d.PatientID)
	}
	known, err := s.Patients.Get(q.Context(), q.Staff, ids...)
	if err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionSearch, Type: "Draft", Categories: []string{"demographics", "notes"}}
	var list []waiting
	for _, d := range drafts {
		if h, ok := known[d.PatientID]; ok { // a chart that was closed to the person since is left out
			list = append(list, waiting{d, h})
			e.Links = append(e.Links, "Patient/"+d.PatientID)
		}
	}
	w.See(e)
	tabs, err := desk.Tabs(q.Context(), q, s.Patients, q.OpenCharts(), "")
	if err != nil {
		return err
	}
	return w.HTML(ok, mineView(q, ui.Shell{Title: q.T("cmd.drafts"), Active: "drafts", Open: tabs}, list))
}
