package clinical

import (
	"regexp"
	"strings"
	"time"
)

// Text is the content of a note: its sections in order.
type Text struct {
	Sections []Section `json:"sections"`
}

// Section is one titled part of a note, coded with LOINC.
type Section struct {
	Code  string `json:"code"`
	Title string `json:"title"`
	Text  string `json:"text"`
}

// Empty reports whether nothing has been written.
func (t Text) Empty() bool {
	for _, s := range t.Sections {
		if strings.TrimSpace(s.Text) != "" {
			return false
		}
	}
	return true
}

// Equal reports whether two texts hold the same words.
func (t Text) Equal(o Text) bool {
	if len(t.Sections) != len(o.Sections) {
		return false
	}
	for i := range t.Sections {
		if t.Sections[i] != o.Sections[i] {
			return false
		}
	}
	return true
}

// Plain is the note as plain text, each title on its own line above its words.
func (t Text) Plain() string {
	var b strings.Builder
	for _, s := range t.Sections {
		if strings.TrimSpace(s.Text) == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		if s.Title != "" {
			b.WriteString(s.Title + "\n")
		}
		b.WriteString(strings.TrimSpace(s.Text))
	}
	return b.String()
}

// Blank is a place a template left open: "[___ duration]". A note with blanks cannot be signed.
type Blank struct {
	Section int    // index into Text.Sections
	Title   string // of that section
	Offset  int    // in bytes of the section's text
	Text    string // "[___ duration]"
}

var blankMark = regexp.MustCompile(`\[_{3,}[^\]\n]*\]|_{3,}|\*{3,}`)

// Blanks lists what is still open, in reading order.
func (t Text) Blanks() []Blank {
	var out []Blank
	for i, s := range t.Sections {
		for _, at := range blankMark.FindAllStringIndex(s.Text, -1) {
			out = append(out, Blank{Section: i, Title: s.Title, Offset: at[0], Text: s.Text[at[0]:at[1]]})
		}
	}
	return out
}

// Template is a way to begin a note.
type Template struct {
	ID       string
	Name     string
	Type     string // LOINC document type
	TypeName string
	Sections []Section // Text holds the opening words; {vitals}, {problems} and {meds} are filled in, or left as blanks
}

// Visit reports whether notes of this template belong to the visit going on; a phone call's do not.
func (t Template) Visit() bool { return t.Type != phoneNote }

// Templates lists the practice's templates in the order of the menu. LOINC codes are
// those US Core names for clinical notes and the common section codes of C-CDA.
func Templates() []Template { return templates }

// TemplateByID finds a template.
func TemplateByID(id string) (Template, bool) {
	for _, t := range templates {
		if t.ID == id {
			return t, true
		}
	}
	return Template{}, false
}

const (
	progressNote  = "11506-3"
	procedureNote = "28570-0"
	phoneNote     = "34748-4"
	historyNote   = "34117-2"
)

var templates = []Template{
	{ID: "office", Name: "Office visit", Type: progressNote, TypeName: "Progress note", Sections: []Section{
		{"29299-5", "Reason for visit", "{reason}"},
		{"10164-2", "History", ""},
		{"29545-1", "Objective", "{vitals}"},
		{"51847-2", "Assessment and plan", ""},
	}},
	{ID: "follow-up", Name: "Follow-up", Type: progressNote, TypeName: "Progress note", Sections: []Section{
		{"29299-5", "Reason for visit", "{reason}"},
		{"61150-9", "Since the last visit", "[___ how it has been]"},
		{"29545-1", "Objective", "{vitals}"},
		{"51847-2", "Assessment and plan", "Follow up in [___ when]."},
	}},
	{ID: "physical", Name: "Annual physical", Type: historyNote, TypeName: "History and physical", Sections: []Section{
		{"29299-5", "Reason for visit", "Annual physical."},
		{"10164-2", "History", ""},
		{"11450-4", "Problems", "{problems}"},
		{"10160-0", "Medications", "{meds}"},
		{"10187-3", "Review of systems", "[___ review of systems]"},
		{"29545-1", "Objective", "{vitals}"},
		{"51847-2", "Assessment and plan", ""},
	}},
	{ID: "phone", Name: "Phone call", Type: phoneNote, TypeName: "Telephone encounter note", Sections: []Section{
		{"29299-5", "Reason for call", "[___ who called and why]"},
		{"61150-9", "What was said", ""},
		{"18776-5", "Plan", ""},
	}},
	{ID: "procedure", Name: "Procedure", Type: procedureNote, TypeName: "Procedure note", Sections: []Section{
		{"59768-2", "Indication", "[___ indication]"},
		{"59769-0", "Consent", "Risks, benefits and alternatives were explained. Consent: [___ given by]."},
		{"29554-3", "Procedure", "[___ what was done, where, how]"},
		{"59770-8", "Anesthesia", "[___ agent and amount, or none]"},
		{"59775-7", "Complications", "[___ none, or which]"},
		{"18776-5", "Plan", ""},
	}},
	{ID: "blank", Name: "Free text", Type: progressNote, TypeName: "Progress note", Sections: []Section{
		{"34109-9", "Note", ""},
	}},
}

// Note is a signed note.
type Note struct {
	ID          string // DocumentReference
	Version     int64
	Title       string
	Type        string // LOINC
	When        time.Time
	Author      string
	AuthorRef   string
	Signed      time.Time
	EncounterID string
	Text        Text
	Addenda     []Addendum
	Wrong       bool   // entered in error
	Source      string // named when it came from outside
}

// Addendum is words added to a signed note by a person at a time; the note itself never changes.
type Addendum struct {
	ID     string
	Author string
	When   time.Time
	Text   string
}
