package chart

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// writer is the page that asks, as its script names it. A page without scripts gets a name
// for this one request: it cannot type, so it holds the pen only until the next page.
func writer(q *ui.Request) string {
	if w := q.Form("writer"); w != "" {
		return w
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:]) + "-0"
}

func (s *Screens) startNote(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	t, known := clinical.TemplateByID(q.Form("template"))
	if !known {
		return fhir.Problem("value", "There is no such template.", "Choose one from the list.")
	}
	c, err := s.Record.Chart(q.Context(), q.Staff, q.Path("patient"))
	if err != nil {
		return err
	}
	visit := ""
	if c.Visit != nil && t.Visit() {
		visit = c.Visit.ID
	}
	ctx := w.Once(func(draft []string) {
		path := "" // the note stands beside the chart
		if q.Form("page") != "" {
			path = "/drafts/" + draft[0]
		}
		_ = s.back(w, q, path, "")
	})
	_, err = s.Notes.Start(ctx, q.Staff, q.Path("patient"), visit, t, t.Fill(c), "")
	return err
}

func (s *Screens) draft(w *ui.Reply, q *ui.Request) error {
	x, err := s.load(w, q, tabNotes)
	if err != nil {
		return err
	}
	d, err := s.Notes.Look(q.Context(), q.Staff, x.Patient, q.Path("draft"), "")
	if err != nil {
		return err
	}
	if d.State == clinical.DraftSigned {
		return s.back(w, q, "/notes/"+d.NoteID, "")
	}
	seeDraft(w, d)
	x.Draft = nil // the page itself is the editor
	return x.show(w, ok, draftPanel(x, d, nil))
}

func seeDraft(w *ui.Reply, d *clinical.Draft) {
	w.See(audit.Event{Action: audit.ActionRead, Type: "Draft", ID: d.ID, Version: d.Version, Patient: "Patient/" + d.PatientID, Categories: []string{"notes"}})
}

// openDraft lets a page ask for the pen when it is shown.
func (s *Screens) openDraft(w *ui.Reply, q *ui.Request) error {
	return s.pen(w, q, s.Notes.Open)
}

func (s *Screens) takeOver(w *ui.Reply, q *ui.Request) error {
	return s.pen(w, q, s.Notes.TakeOver)
}

// save is one autosave. It is answered only when the words are durable.
func (s *Screens) saveDraft(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	out, err := s.Notes.Save(q.Context(), q.Staff, saveOf(q))
	if err != nil {
		return err
	}
	x, err := s.bare(q)
	if err != nil {
		return err
	}
	return w.HTML(ok, savedState(x, out))
}

// saveOf reads the editor's fields: one title, code and text for each section, in order.
func saveOf(q *ui.Request) clinical.Save {
	pen, _ := strconv.ParseInt(q.Form("pen"), 10, 64)
	seq, _ := strconv.ParseInt(q.Form("seq"), 10, 64)
	in := clinical.Save{PatientID: q.Path("patient"), DraftID: q.Path("draft"), Writer: q.Form("writer"), Pen: pen, Seq: seq}
	codes, titles, texts := q.Forms("code"), q.Forms("title"), q.Forms("text")
	for i := range texts {
		sec := clinical.Section{Text: texts[i]}
		if i < len(codes) {
			sec.Code = codes[i]
		}
		if i < len(titles) {
			sec.Title = titles[i]
		}
		in.Text.Sections = append(in.Text.Sections, sec)
	}
	return in
}

// bare is a page without its chart, for answers that are not about it.
func (s *Screens) bare(q *ui.Request) (*page, error) {
	prof, err := s.People.Get(q.Context(), q.Staff)
	if err != nil {
		return nil, err
	}
	id := q.Path("patient")
	return &page{q: q, Base: q.URL("patients", id), Patient: id, Zone: prof.Zone, Now: q.Now()}, nil
}

func (s *Screens) setAside(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	upTo, _ := strconv.ParseInt(q.Form("upto"), 10, 64)
	return s.Notes.SetAside(s.once(w, q, "/drafts/"+q.Path("draft"), ""), q.Staff, q.Path("patient"), q.Path("draft"), q.Form("other"), upTo)
}

func (s *Screens) discardDraft(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	return s.Notes.Discard(s.once(w, q, "", "discarded"), q.Staff, q.Path("patient"), q.Path("draft"), writer(q))
}

func (s *Screens) signDraft(w *ui.Reply, q *ui.Request) error {
	if err := samePatient(q); err != nil {
		return err
	}
	ctx := w.Once(func(note []string) { _ = s.back(w, q, "/notes/"+note[0], "signed") })
	_, err := s.Notes.Sign(ctx, q.Staff, saveOf(q))
	var u *clinical.Unsigned
	if errors.As(err, &u) {
		x, err := s.load(w, q, tabNotes)
		if err != nil {
			return err
		}
		d, err := s.Notes.Look(q.Context(), q.Staff, x.Patient, q.Path("draft"), q.Form("writer"))
		if err != nil {
			return err
		}
		seeDraft(w, d)
		x.Draft = nil
		return x.show(w, rejected, draftPanel(x, d, u))
	}
	return err
}
