package clinical

import (
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Unsigned is the answer to a signature that is not possible yet. The words were saved.
type Unsigned struct {
	Blanks []Blank     // places a template left open
	Others []OtherText // words of another window nobody has looked at
	Empty  bool
}

// Error names what is missing.
func (u *Unsigned) Error() string {
	switch {
	case u.Empty:
		return "The note is empty."
	case len(u.Others) > 0:
		return "Words from another window are not in the note yet."
	}
	return fmt.Sprintf("%d places are still blank.", len(u.Blanks))
}

// Notes turns drafts into signed notes and reads them back.
type Notes struct {
	*Drafts
	record *Record
	book   *scheduling.Book
	log    *audit.Log
	events *jobs.Queue
}

// NewNotes returns the notes of the record; signing moves the visit on in the book and is
// told to those who listen.
func NewNotes(d *Drafts, r *Record, book *scheduling.Book, log *audit.Log, events *jobs.Queue) *Notes {
	return &Notes{Drafts: d, record: r, book: book, log: log, events: events}
}

// NoteSigned is the kind of the event that a signature publishes.
const NoteSigned = "clinical.NoteSigned"

// Signature is what NoteSigned carries.
type Signature struct {
	Patient   string `json:"patient"`             // Patient id
	Note      string `json:"note"`                // DocumentReference id
	Encounter string `json:"encounter,omitempty"` // Encounter id of the visit that ended with it
	Signer    string `json:"signer"`              // "Practitioner/id"
}

// Sign makes a draft one finished note, in one transaction: the last words are appended
// to the log, a Composition and a DocumentReference are created, the visit is finished,
// and the draft is closed. The window must hold the pen. An *Unsigned error lists what
// stands in the way; the words are kept in every case.
func (n *Notes) Sign(ctx context.Context, s auth.Staff, in Save) (noteID string, err error) {
	if err := need(s, auth.NoteSign); err != nil {
		return "", err
	}
	if s.Practitioner() == "" {
		return "", fhir.Problem("business-rule", "Your account is not linked to a practitioner, so you cannot sign.", "Ask a practice administrator to link it.")
	}
	saved, err := n.Save(jobs.Apart(ctx), s, in) // may be repeated; what happens once is the signing
	if err != nil {
		return "", err
	}
	if !saved.Mine {
		return "", fhir.Problem("conflict", saved.Holder+" has taken over this note. Your words are kept beside it.", "Take over to sign.")
	}
	zone := n.record.zone(ctx, s)
	err = n.db.Do(ctx, s, func(tx *db.Tx) error {
		dr, err := ownDraft(ctx, tx, in.PatientID, in.DraftID, in.Writer)
		if err != nil {
			return err
		}
		if dr.State != DraftOpen {
			return notOpen(dr)
		}
		if !dr.Mine || dr.Pen.Generation != in.Pen {
			return fhir.Problem("conflict", dr.Pen.Name+" has taken over this note.", "Take over to sign.")
		}
		u := &Unsigned{Blanks: dr.Text.Blanks(), Others: dr.Others, Empty: dr.Text.Empty()}
		if u.Empty || len(u.Blanks) > 0 || len(u.Others) > 0 {
			return u
		}
		if _, err := n.store.Read(ctx, tx, "Patient", dr.PatientID); err != nil {
			return err
		}
		now := tx.Now()
		visit := dr.EncounterID
		if visit == "" { // written without an appointment: the note is the record that somebody was cared for
			if dr.EncounterID, err = n.encounter(ctx, tx, dr, s, instant(dr.Started, zone), instant(now, zone)); err != nil {
				return err
			}
		}
		composition := compositionOf(dr, s, instant(now, zone))
		c, err := n.store.PrepareNode(ctx, &composition)
		if err != nil {
			return err
		}
		document := documentOf(dr, s, instant(now, zone), "Composition/"+c.ID)
		d, err := n.store.PrepareNode(ctx, &document)
		if err != nil {
			return err
		}
		if _, err := n.store.Create(ctx, tx, c); err != nil {
			return err
		}
		if _, err := n.store.Create(ctx, tx, d); err != nil {
			return err
		}
		if visit != "" {
			if err := n.book.Finish(ctx, tx, dr.PatientID, visit, zone); err != nil {
				return err
			}
		}
		n.log.Record(tx, audit.Event{Action: audit.ActionSign, Type: "DocumentReference", ID: d.ID, Version: 1, Patient: "Patient/" + dr.PatientID, Categories: []string{"notes"}})
		if err := n.events.Publish(ctx, tx, NoteSigned, Signature{Patient: dr.PatientID, Note: d.ID, Encounter: dr.EncounterID, Signer: s.Practitioner()}); err != nil {
			return err
		}
		noteID = d.ID
		jobs.Made(ctx, noteID)
		return closeSigned(ctx, tx, dr, d.ID)
	})
	return noteID, err
}

// encounter records the contact behind a note that was written without a visit in the book.
func (n *Notes) encounter(ctx context.Context, tx *db.Tx, dr *Draft, s auth.Staff, start, end string) (string, error) {
	class, word, kind := "AMB", "ambulatory", dr.TypeName
	if t, ok := TemplateByID(dr.TemplateID); ok {
		kind = t.Name
		if !t.Visit() {
			class, word = "VR", "virtual"
		}
	}
	node := fhir.Object(
		"resourceType", "Encounter",
		"status", "finished",
		"class", fhir.Object("system", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code", class, "display", word),
		"type", fhir.Array(fhir.Object("text", kind)),
		"subject", subject(dr.PatientID),
		"participant", fhir.Array(fhir.Object("individual", me(s))),
		"period", fhir.Object("start", start, "end", end),
	)
	p, err := n.store.PrepareNode(ctx, &node)
	if err != nil {
		return "", err
	}
	_, err = n.store.Create(ctx, tx, p)
	return p.ID, err
}

func encounterRef(id string) fhirjson.Node {
	if id == "" {
		return fhirjson.NewNull()
	}
	return fhir.RefTo("Encounter/"+id, "")
}

func compositionOf(dr *Draft, s auth.Staff, now string) fhirjson.Node {
	return fhir.Object(
		"resourceType", "Composition",
		"status", "final",
		"type", fhir.Concept(systemLOINC, dr.Type, dr.TypeName, ""),
		"subject", subject(dr.PatientID),
		"encounter", encounterRef(dr.EncounterID),
		"date", now,
		"author", fhir.Array(me(s)),
		"title", dr.Title,
		"attester", fhir.Array(fhir.Object("mode", "legal", "time", now, "party", me(s))),
		"section", dr.Text.sections(),
	)
}

// sections are those of a Composition; what nobody has written in is left out.
func (t Text) sections() (out []fhirjson.Node) {
	for _, sec := range t.Sections {
		words := strings.TrimSpace(sec.Text)
		if words == "" {
			continue
		}
		out = append(out, fhir.Object(
			"title", sec.Title,
			"code", fhir.Concept(systemLOINC, sec.Code, sec.Title, ""),
			"text", fhir.Object("status", "additional", "div", narrative(words)),
		))
	}
	return out
}

func documentOf(dr *Draft, s auth.Staff, now, composition string) fhirjson.Node {
	var visit fhirjson.Node
	if dr.EncounterID != "" {
		visit = fhir.Array(encounterRef(dr.EncounterID))
	}
	return fhir.Object(
		"resourceType", "DocumentReference",
		"status", "current",
		"docStatus", "final",
		"type", fhir.Concept(systemLOINC, dr.Type, dr.TypeName, ""),
		"category", clinicalNote(),
		"subject", subject(dr.PatientID),
		"date", now,
		"author", fhir.Array(me(s)),
		"authenticator", me(s),
		"description", dr.Title,
		"content", plainContent(dr.Title, dr.Text.Plain(), now),
		"context", fhir.Object("encounter", visit, "related", fhir.Array(fhir.RefTo(composition, ""))),
	)
}

func clinicalNote() fhirjson.Node {
	return fhir.Array(fhir.Concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note", "Clinical Note", ""))
}

func plainContent(title, text, now string) fhirjson.Node {
	return fhir.Array(fhir.Object("attachment", fhir.Object(
		"contentType", "text/plain; charset=utf-8",
		"data", base64.StdEncoding.EncodeToString([]byte(text)),
		"title", title,
		"creation", now,
	)))
}

// narrative wraps plain text in the XHTML a Narrative must hold; line ends become breaks.
func narrative(t string) string {
	t = html.EscapeString(strings.ReplaceAll(t, "\r\n", "\n"))
	return `<div xmlns="http://www.w3.org/1999/xhtml"><p>` + strings.ReplaceAll(t, "\n", "<br/>") + `</p></div>`
}

// Addend adds words to a signed note. The note itself stays as it was signed.
func (n *Notes) Addend(ctx context.Context, s auth.Staff, patientID, noteID, text string) (string, error) {
	if err := need(s, auth.NoteSign); err != nil {
		return "", err
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fhir.Problem("required", "The addendum is empty.", "Write what is to be added.").At("text")
	}
	if s.Practitioner() == "" {
		return "", fhir.Problem("business-rule", "Your account is not linked to a practitioner, so you cannot sign.", "Ask a practice administrator to link it.")
	}
	zone := n.record.zone(ctx, s)
	var id string
	err := n.db.Do(ctx, s, func(tx *db.Tx) error {
		old, err := n.store.Read(ctx, tx, "DocumentReference", noteID)
		if err != nil {
			return err
		}
		if !about(old.Node(), patientID) {
			return otherPatient()
		}
		now := instant(tx.Now(), zone)
		doc := fhir.Object(
			"resourceType", "DocumentReference",
			"status", "current",
			"docStatus", "final",
			"type", fhir.Concept(systemLOINC, "55107-7", "Addendum Document", "Addendum"),
			"category", clinicalNote(),
			"subject", subject(patientID),
			"date", now,
			"author", fhir.Array(me(s)),
			"authenticator", me(s),
			"relatesTo", fhir.Array(fhir.Object("code", "appends", "target", fhir.RefTo("DocumentReference/"+noteID, ""))),
			"description", "Addendum",
			"content", plainContent("Addendum", text, now),
			"context", fhir.Object("encounter", old.Node().At("context", "encounter")),
		)
		p, err := n.store.PrepareNode(ctx, &doc)
		if err != nil {
			return err
		}
		id = p.ID
		_, err = n.store.Create(ctx, tx, p)
		return err
	})
	return id, err
}

// MarkNoteWrong marks a signed note entered in error: it stays readable, struck through,
// and its Composition follows.
func (n *Notes) MarkNoteWrong(ctx context.Context, s auth.Staff, patientID, noteID string, version int64) error {
	if err := need(s, auth.NoteSign); err != nil {
		return err
	}
	wrong := func(t *fhirjson.Node) error {
		t.Set("status", fhirjson.NewString("entered-in-error"))
		return nil
	}
	return n.db.Do(ctx, s, func(tx *db.Tx) error {
		doc, err := n.store.Read(ctx, tx, "DocumentReference", noteID)
		if err != nil {
			return err
		}
		if err := n.record.changeIn(ctx, tx, patientID, "DocumentReference", noteID, version, wrong); err != nil {
			return err
		}
		if c := compositionIn(doc.Node()); c != "" {
			return n.record.changeIn(ctx, tx, patientID, "Composition", c, 0, wrong)
		}
		return nil
	})
}

func compositionIn(doc *fhirjson.Node) string {
	for _, r := range doc.At("context", "related").Items() {
		if typ, id, ok := fhir.ParseReference(r.Get("reference").Text()); ok && typ == "Composition" {
			return id
		}
	}
	return ""
}

// Read returns a signed note with its addenda.
func (n *Notes) Read(ctx context.Context, s db.Scope, patientID, noteID string) (*Note, error) {
	var out *Note
	zone := n.record.zone(ctx, s)
	err := n.db.View(ctx, s, func(tx *db.Tx) error {
		doc, err := n.store.Read(ctx, tx, "DocumentReference", noteID)
		if err != nil {
			return err
		}
		if !about(doc.Node(), patientID) {
			return otherPatient()
		}
		note := noteHead(doc.ID, doc.Version, doc.Node(), zone)
		if id := compositionIn(doc.Node()); id != "" {
			c, err := n.store.Read(ctx, tx, "Composition", id)
			if err != nil {
				return err
			}
			note.Text = textOf(c.Node())
		} else {
			note.Text = attached(doc.Node())
		}
		more, err := n.store.Find(ctx, tx, "DocumentReference", "patient", "Patient/"+patientID, "relatesto", "DocumentReference/"+noteID)
		if err != nil {
			return err
		}
		for i := len(more) - 1; i >= 0; i-- { // oldest first
			m := more[i].Node()
			if m.At("relatesTo", "code").Text() != "appends" || m.Get("status").Text() != "current" {
				continue
			}
			h := noteHead(more[i].ID, more[i].Version, m, zone)
			note.Addenda = append(note.Addenda, Addendum{ID: h.ID, Author: h.Author, When: h.When, Text: attached(m).Plain()})
		}
		out = &note
		return nil
	})
	return out, err
}

func noteHead(id string, version int64, n *fhirjson.Node, zone *time.Location) Note {
	note := Note{ID: id, Version: version, Title: n.Get("description").Text(), Source: source(n)}
	if note.Title == "" {
		note.Title = fhir.ConceptText(n.Get("type"))
	}
	if note.Title == "" {
		note.Title = "Document"
	}
	_, note.Type = fhir.ConceptCode(n.Get("type"), systemLOINC)
	note.When, _, _ = fhir.Moment(n.Get("date").Text(), zone)
	if n.Get("docStatus").Text() == "final" {
		note.Signed = note.When
	}
	for _, a := range n.Get("author").Items() {
		note.Author, note.AuthorRef = person(&a), a.Get("reference").Text()
		break
	}
	if _, enc, ok := fhir.ParseReference(n.At("context", "encounter", "reference").Text()); ok {
		note.EncounterID = enc
	}
	note.Wrong = n.Get("status").Text() == "entered-in-error"
	return note
}

// textOf reads the sections of a Composition back as plain text.
func textOf(c *fhirjson.Node) Text {
	var t Text
	for _, s := range c.Get("section").Items() {
		_, code := fhir.ConceptCode(s.Get("code"), systemLOINC)
		t.Sections = append(t.Sections, Section{Code: code, Title: s.Get("title").Text(), Text: plain(s.At("text", "div").Text())})
	}
	return t
}

// plain takes the mark-up off a Narrative. Breaks and blocks become line ends; nothing of
// the mark-up reaches a page.
func plain(div string) string {
	var b strings.Builder
	for len(div) > 0 {
		i := strings.IndexByte(div, '<')
		if i < 0 {
			b.WriteString(div)
			break
		}
		b.WriteString(div[:i])
		end := strings.IndexByte(div[i:], '>')
		if end < 0 {
			break
		}
		tag := strings.ToLower(strings.Trim(div[i+1:i+end], "/ "))
		name, _, _ := strings.Cut(tag, " ")
		closing := strings.HasPrefix(div[i+1:], "/")
		switch name {
		case "br":
			b.WriteByte('\n')
		case "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol":
			if closing {
				b.WriteByte('\n')
			}
		case "td", "th":
			if closing {
				b.WriteByte(' ')
			}
		}
		div = div[i+end+1:]
	}
	return strings.TrimSpace(html.UnescapeString(b.String()))
}

// attached reads a text attachment; other kinds of content are named, not shown.
func attached(doc *fhirjson.Node) Text {
	for _, c := range doc.Get("content").Items() {
		a := c.Get("attachment")
		kind := strings.ToLower(a.Get("contentType").Text())
		data := a.Get("data").Text()
		if data == "" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			continue
		}
		switch {
		case strings.HasPrefix(kind, "text/html"), strings.Contains(kind, "xhtml"):
			return Text{Sections: []Section{{Text: plain(string(raw))}}}
		case strings.HasPrefix(kind, "text/"), kind == "":
			return Text{Sections: []Section{{Text: strings.TrimSpace(string(raw))}}}
		}
	}
	return Text{}
}
