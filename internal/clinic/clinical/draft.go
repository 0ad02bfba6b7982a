package clinical

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// Drafts keeps notes that are being written. Every save is appended to a sealed log
// before it is answered, so closing a tab, killing the browser or restarting the server
// loses nothing that was acknowledged.
//
// One window at a time holds the pen. A save from a window that has lost the pen is kept
// as well, set apart, and shown to whoever holds it: nobody's words disappear.
type Drafts struct {
	db    *db.DB
	store *fhirstore.Store
}

// NewDrafts returns the draft log over the practice databases. The store decides whether
// a scope may see the patient at all.
func NewDrafts(d *db.DB, store *fhirstore.Store) *Drafts { return &Drafts{db: d, store: store} }

// DraftState says what became of a draft.
type DraftState int

// A draft is open until it is signed or set aside.
const (
	DraftOpen DraftState = iota
	DraftSigned
	DraftDiscarded
)

// Draft is a note being written.
type Draft struct {
	ID          string
	PatientID   string
	EncounterID string
	TemplateID  string
	Type        string // LOINC document type
	TypeName    string
	Title       string
	AuthorID    int64
	Author      string
	Started     time.Time
	Saved       time.Time // of the newest words; Started when none
	State       DraftState
	Version     int64 // counts saves and changes of hand
	Text        Text
	Pen         Pen
	Mine        bool        // the window asking holds the pen
	Seq         int64       // highest counter the log holds from the window asking
	Others      []OtherText // words saved by windows that had lost the pen, not yet looked at
	NoteID      string      // DocumentReference, once signed
}

// Pen says who is writing.
type Pen struct {
	Generation int64  // grows with every change of hand
	Writer     string // token of the window
	UserID     int64
	Name       string
	Seen       time.Time // last sign of life
}

// OtherText is what another window wrote after it had lost the pen.
type OtherText struct {
	Writer string
	Seq    int64
	Name   string
	When   time.Time
	Text   Text
}

// penRest is how long a pen may lie untouched before the same person's next window picks
// it up without asking.
const penRest = 20 * time.Second

// head is the sealed part of a draft's row.
type head struct {
	Patient   string `json:"patient"`
	Encounter string `json:"encounter,omitempty"`
	Template  string `json:"template"`
	Type      string `json:"type"`
	TypeName  string `json:"typeName"`
	Title     string `json:"title"`
	Author    string `json:"author"`
	Note      string `json:"note,omitempty"`
}

// words is the sealed part of a line of the log.
type words struct {
	Name string `json:"name"`
	Text Text   `json:"text"`
}

// begun is the writer of a draft no window has opened yet: the author's first one gets the pen.
const begun = "begun-0"

// Start begins a note for a patient and gives the pen to the window that asks; with writer
// "" it waits for the author's next window. When the person already has an open draft of
// the same template for the same encounter, that one is returned instead of a second.
func (d *Drafts) Start(ctx context.Context, s auth.Staff, patientID, encounterID string, t Template, first Text, writer string) (*Draft, error) {
	if err := mayWrite(s); err != nil {
		return nil, err
	}
	if writer == "" {
		writer = begun
	} else if !goodToken(writer) {
		return nil, badWindow()
	}
	var out *Draft
	err := d.db.Do(ctx, s, func(tx *db.Tx) (err error) {
		defer func() {
			if err == nil {
				jobs.Made(ctx, out.ID)
			}
		}()
		if _, err := d.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		open, err := draftsOf(ctx, tx, patientID)
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.AuthorID == s.UserID() && o.EncounterID == encounterID && o.TemplateID == t.ID {
				if writer == begun {
					out, err = readDraft(ctx, tx, o.ID, "")
				} else {
					out, err = d.open(ctx, tx, s, o.PatientID, o.ID, writer)
				}
				return err
			}
		}
		id := newID()
		h := head{Patient: patientID, Encounter: encounterID, Template: t.ID, Type: t.Type, TypeName: t.TypeName, Title: t.Name, Author: s.Name()}
		if err := insertDraft(ctx, tx, id, h, s.UserID(), writer); err != nil {
			return err
		}
		if err := insertWords(ctx, tx, id, writer, 0, 1, onTime, words{s.Name(), first}); err != nil {
			return err
		}
		out, err = readDraft(ctx, tx, id, writer)
		return err
	})
	return out, err
}

// Open reads a draft for a window. The window gets the pen when the same person held it on
// an earlier page of the same window, or in another one that has been silent for penRest.
// Otherwise Mine is false and the text is to be shown read-only.
//
// writer is "window-page": the part before the last hyphen names the browser tab, the part
// after it one page shown in it, so that a duplicated tab is never taken for the first.
func (d *Drafts) Open(ctx context.Context, s auth.Staff, patientID, draftID, writer string) (*Draft, error) {
	if !goodToken(writer) {
		return nil, badWindow()
	}
	var out *Draft
	err := d.db.Do(ctx, s, func(tx *db.Tx) (err error) {
		if _, err := d.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		out, err = d.open(ctx, tx, s, patientID, draftID, writer)
		return err
	})
	return out, err
}

func (d *Drafts) open(ctx context.Context, tx *db.Tx, s auth.Staff, patientID, draftID, writer string) (*Draft, error) {
	dr, err := ownDraft(ctx, tx, patientID, draftID, writer)
	if err != nil || dr.State != DraftOpen || !s.Can(auth.ChartWrite) {
		return dr, err
	}
	if dr.Mine {
		return dr, touchPen(ctx, tx, dr.ID)
	}
	idle := tx.Now().Sub(dr.Pen.Seen) > penRest
	if dr.Pen.UserID == s.UserID() && (idle || dr.Pen.Writer == begun || window(dr.Pen.Writer) == window(writer)) {
		return d.hand(ctx, tx, s, dr, writer)
	}
	return dr, nil
}

// Look reads a draft without touching the pen.
func (d *Drafts) Look(ctx context.Context, s db.Scope, patientID, draftID, writer string) (*Draft, error) {
	var out *Draft
	err := d.db.View(ctx, s, func(tx *db.Tx) (err error) {
		if _, err := d.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		out, err = ownDraft(ctx, tx, patientID, draftID, writer)
		return err
	})
	return out, err
}

// TakeOver gives the pen to the window that asks. The text begins with the former
// holder's last saved words; what that window saves later is kept and shown apart.
func (d *Drafts) TakeOver(ctx context.Context, s auth.Staff, patientID, draftID, writer string) (*Draft, error) {
	if err := mayWrite(s); err != nil {
		return nil, err
	}
	if !goodToken(writer) {
		return nil, badWindow()
	}
	var out *Draft
	err := d.db.Do(ctx, s, func(tx *db.Tx) error {
		if _, err := d.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		dr, err := ownDraft(ctx, tx, patientID, draftID, writer)
		if err != nil {
			return err
		}
		if dr.State != DraftOpen {
			return notOpen(dr)
		}
		if dr.Mine {
			out = dr
			return nil
		}
		out, err = d.hand(ctx, tx, s, dr, writer)
		return err
	})
	return out, err
}

// hand passes the pen: the new holder's log begins with a copy of the current text.
func (d *Drafts) hand(ctx context.Context, tx *db.Tx, s auth.Staff, dr *Draft, writer string) (*Draft, error) {
	gen := dr.Pen.Generation + 1
	seq, err := nextSeq(ctx, tx, dr.ID, writer)
	if err != nil {
		return nil, err
	}
	if err := insertWords(ctx, tx, dr.ID, writer, seq, gen, onTime, words{s.Name(), dr.Text}); err != nil {
		return nil, err
	}
	if err := setPen(ctx, tx, dr.ID, gen, writer, s.UserID()); err != nil {
		return nil, err
	}
	return readDraft(ctx, tx, dr.ID, writer)
}

// Save is one autosave from a window: the whole text with the window's own counter.
type Save struct {
	PatientID string
	DraftID   string
	Writer    string
	Pen       int64 // generation the window believes it holds
	Seq       int64 // counts the window's saves from 1; a repeated or overtaken save changes nothing
	Text      Text
}

// Saved is the answer to a Save. The words are durable in every case without an error.
type Saved struct {
	When    time.Time
	Version int64
	Mine    bool // false: the pen is with Holder; the words were kept apart
	Holder  string
	Seq     int64 // highest counter the server holds from this window
	Others  int   // texts of other windows waiting to be looked at
}

// maxDraft limits one note; the longest notes anyone writes are a tenth of it.
const maxDraft = 400_000

// Save appends the words to the log. It may be repeated and may arrive out of order.
func (d *Drafts) Save(ctx context.Context, s auth.Staff, in Save) (Saved, error) {
	if err := mayWrite(s); err != nil {
		return Saved{}, err
	}
	if !goodToken(in.Writer) || in.Seq < 1 {
		return Saved{}, badWindow()
	}
	if n := size(in.Text); n > maxDraft {
		return Saved{}, fhir.Problem("too-long", "This note is too long to save.", "Move long pasted text into a document and attach it.")
	}
	var out Saved
	err := d.db.Do(ctx, s, func(tx *db.Tx) error {
		dr, err := ownDraft(ctx, tx, in.PatientID, in.DraftID, in.Writer)
		if err != nil {
			return err
		}
		if dr.State != DraftOpen {
			return notOpen(dr)
		}
		if in.Seq <= dr.Seq {
			// A counter used again for other words, as after a slip of a page's own counting,
			// must not swallow them.
			if in.Seq, err = freeSeq(ctx, tx, dr, in); err != nil {
				return err
			}
		}
		mine := dr.Mine && in.Pen == dr.Pen.Generation
		late := onTime
		if !mine {
			if late, err = standing(ctx, tx, in); err != nil {
				return err
			}
		}
		if err := appendWords(ctx, tx, dr, in, late, words{s.Name(), in.Text}); err != nil {
			return err
		}
		if mine {
			if err := touchPen(ctx, tx, dr.ID); err != nil {
				return err
			}
		}
		seq, err := nextSeq(ctx, tx, dr.ID, in.Writer)
		if err != nil {
			return err
		}
		out = Saved{When: tx.Now(), Version: dr.Version, Mine: mine, Holder: dr.Pen.Name, Seq: seq - 1, Others: len(dr.Others)}
		if mine {
			out.Version++
		}
		return nil
	})
	return out, err
}

// SetAside marks another window's words as looked at; they stay in the log.
func (d *Drafts) SetAside(ctx context.Context, s auth.Staff, patientID, draftID, writer string, upTo int64) error {
	if err := mayWrite(s); err != nil {
		return err
	}
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		if _, err := ownDraft(ctx, tx, patientID, draftID, ""); err != nil {
			return err
		}
		return setSeen(ctx, tx, draftID, writer, upTo)
	})
}

// Discard sets a whole draft aside. Its words stay in the log until retention removes them.
func (d *Drafts) Discard(ctx context.Context, s auth.Staff, patientID, draftID, writer string) error {
	if err := mayWrite(s); err != nil {
		return err
	}
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		dr, err := ownDraft(ctx, tx, patientID, draftID, writer)
		if err != nil {
			return err
		}
		if dr.State != DraftOpen {
			return notOpen(dr)
		}
		if !dr.Mine {
			return fhir.Problem("conflict", dr.Pen.Name+" is writing this note.", "Take over first.")
		}
		return setState(ctx, tx, draftID, DraftDiscarded)
	})
}

// OfPatient lists the open drafts of one patient, newest first, without their words.
func (d *Drafts) OfPatient(ctx context.Context, s db.Scope, patientID string) ([]Draft, error) {
	var out []Draft
	err := d.db.View(ctx, s, func(tx *db.Tx) (err error) {
		out, err = draftsOf(ctx, tx, patientID)
		return err
	})
	return out, err
}

// Mine lists the open drafts a person began, oldest first, without their words.
func (d *Drafts) Mine(ctx context.Context, s auth.Staff) ([]Draft, error) {
	var out []Draft
	err := d.db.View(ctx, s, func(tx *db.Tx) (err error) {
		out, err = draftsBy(ctx, tx, s.UserID())
		return err
	})
	return out, err
}

// DraftsKept is how long a draft that was signed or discarded stays, in case its words are wanted back. A signed note keeps its own
// words for good; an open draft waits for its author however long it takes.
const DraftsKept = 30 * 24 * time.Hour

// ForgetDrafts is the kind of the nightly work that removes drafts which were closed longer than DraftsKept ago.
const ForgetDrafts = "clinical.ForgetDrafts"

// Forget removes the drafts of the practice that were signed or discarded and last touched before an instant, with their log.
func (d *Drafts) Forget(ctx context.Context, s auth.System, before time.Time) (n int64, err error) {
	err = d.db.Do(ctx, s, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, delOldWords, int64(tx.Practice()), before.UnixMicro()); err != nil {
			return err
		}
		n, err = tx.Exec(ctx, delOldDrafts, int64(tx.Practice()), before.UnixMicro())
		return err
	})
	return n, err
}

// ownDraft reads a draft and refuses it when it belongs to another patient than named:
// the page and the draft must agree about whose note this is.
func ownDraft(ctx context.Context, tx *db.Tx, patientID, draftID, writer string) (*Draft, error) {
	dr, err := readDraft(ctx, tx, draftID, writer)
	if errors.Is(err, db.ErrNoRows) {
		return nil, noDraft()
	}
	if err != nil {
		return nil, err
	}
	if dr.PatientID != patientID {
		return nil, fhir.Problem("conflict", "This draft belongs to another patient. Nothing was saved.", "Close this page and open the right chart.")
	}
	return dr, nil
}

func noDraft() *fhir.Issue {
	return fhir.Problem("not-found", "There is no such draft.", "Open the chart again to see the notes there are.")
}

func notOpen(dr *Draft) *fhir.Issue {
	if dr.State == DraftSigned {
		return fhir.Problem("conflict", "This note has been signed.", "Add an addendum instead.")
	}
	return fhir.Problem("conflict", "This draft has been discarded.", "Begin a new note.")
}

func badWindow() *fhir.Issue {
	return fhir.Problem("invalid", "This page has lost its place.", "Reload it; what was saved is kept.")
}

func mayWrite(s auth.Staff) error {
	if !s.Can(auth.ChartWrite) {
		return fhir.Problem("forbidden", "Your role may not write notes.", "Ask a practice administrator for the right.")
	}
	return nil
}

// window is the browser tab of a writer.
func window(writer string) string {
	if i := strings.LastIndexByte(writer, '-'); i > 0 {
		return writer[:i]
	}
	return writer
}

func goodToken(w string) bool {
	if len(w) < 8 || len(w) > 64 {
		return false
	}
	return strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

func size(t Text) int {
	n := 0
	for _, s := range t.Sections {
		n += len(s.Text) + len(s.Title)
	}
	return n
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // plain structs of strings always marshal
		panic(err)
	}
	return b
}
