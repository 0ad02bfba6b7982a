// Package clinical keeps what is known about a patient's health and what was done about
// it: problems, medications, allergies, vital signs, results, the timeline, and notes
// from the first keystroke to the signature.
//
// It owns the resource types Condition, MedicationRequest, MedicationStatement,
// AllergyIntolerance, Observation, DiagnosticReport, Composition and DocumentReference,
// and the draft log. It never decides who may see them (base/auth) and never draws them.
package clinical

import (
	"time"

	"yarrow.health/internal/clinic/patient"
)

// Chart is what the storyboard and the summary of one patient show, read at one change
// sequence. It may be shared between requests: read it, never change it.
type Chart struct {
	Patient     patient.Identity
	Problems    []Problem    // active first, then by name
	Medications []Medication // active first, then by name
	Allergies   Allergies
	Vitals      Flowsheet
	Results     []Result // the newest of each test, newest first
	Critical    []Result // critical and not yet acknowledged, newest first
	NewResults  int      // results of the last 30 days that nobody has reviewed
	Visit       *Visit   // the visit going on today, if any
	LastVisit   *Visit
	Recent      []Event // the newest entries of the timeline
	Team        []TeamMember
	Coverage    []Coverage
	Seq         int64           // change sequence the chart was read at
	Cut         map[string]bool // resource types of which only the newest were read

	heights map[string]float64 // newest number of each vital sign, by key
	day     string             // local day the ages and "new" marks hold for
}

// Visit is an Encounter in the words of the chart.
type Visit struct {
	ID      string
	Version int64
	Type    string // "Office visit"
	Reason  string
	Status  string // FHIR encounter-status code
	Class   string // v3-ActCode: AMB, VR, HH …
	Start   time.Time
	End     time.Time // zero while it goes on
	With    string    // who sees the patient
	WithRef string
	Place   string
}

// TeamMember is someone who looks after the patient.
type TeamMember struct{ Role, Name string }

// Coverage is how the patient's care is paid for, as the storyboard names it.
type Coverage struct {
	Plan   string
	Active bool
}

// Problem is a Condition on the problem list.
type Problem struct {
	ID       string
	Version  int64
	Name     string
	System   string
	Code     string
	Status   string // condition-clinical code: active, recurrence, relapse, inactive, remission, resolved
	Verified string // condition-ver-status code
	Onset    string // as recorded; FHIR date or words
	Resolved string // as recorded
	Note     string
	Recorded string
	By       string
	Source   string // named when it came from outside the practice
}

// Active reports whether the problem is one to think of today.
func (p Problem) Active() bool {
	return p.Status == "active" || p.Status == "recurrence" || p.Status == "relapse" || p.Status == ""
}

// Medication is a line of the medication list: a MedicationRequest (ordered here) or a
// MedicationStatement (reported by the patient or another practice).
type Medication struct {
	ID      string
	Version int64
	Kind    string // MedicationRequest or MedicationStatement
	Name    string
	System  string
	Code    string
	Sig     string // how it is taken, in words
	Status  string // FHIR status code of the resource
	Start   string // as recorded
	End     string
	Reason  string
	By      string // who ordered or reported it
	Note    string
	Refills string // number of repeats allowed, "" when not said
	Source  string
}

// Active reports whether the patient is taking it.
func (m Medication) Active() bool {
	switch m.Status {
	case "active", "intended", "unknown", "draft":
		return true
	}
	return false
}

// Allergies is the answer to "any allergies?", which has three forms and is never blank.
type Allergies struct {
	State AllergyState
	List  []Allergy // confirmed or unconfirmed and active, most severe first
	Past  []Allergy // resolved, refuted or entered in error
	// Who denied any allergy and when, for NoKnownAllergies.
	NoneBy, NoneOn string
	NoneID         string
	NoneVersion    int64
}

// AllergyState tells apart the three answers.
type AllergyState uint8

// The three states of the allergy list.
const (
	AllergiesNotAsked AllergyState = iota
	NoKnownAllergies
	AllergiesListed
)

// Allergy is an AllergyIntolerance.
type Allergy struct {
	ID          string
	Version     int64
	Substance   string
	System      string
	Code        string
	Kind        string // allergy or intolerance, "" when not said
	Category    string // food, medication, environment, biologic
	Criticality string // low, high, unable-to-assess
	Reaction    string // manifestations, in words
	Severity    string // worst recorded: mild, moderate, severe
	Status      string // allergyintolerance-clinical code
	Verified    string
	Recorded    string
	By          string
	Note        string
}

// Severe reports whether a reaction was or may be dangerous.
func (a Allergy) Severe() bool { return a.Severity == "severe" || a.Criticality == "high" }

// Result is one result of one test, with the course of the same test behind it.
type Result struct {
	ID        string
	Version   int64
	Name      string
	System    string
	Code      string
	Value     string // as reported: "5.0" stays "5.0"
	Num       float64
	Numeric   bool
	Decimals  int // of Value as reported
	Unit      string
	Ref       string // reference range in words
	Low, High *float64
	Flag      Flag
	Status    string // FHIR observation-status
	When      time.Time
	Precise   bool // When has a time of day
	Previous  string
	Change    int // -1 lower than before, 0 the same or not comparable, +1 higher
	New       bool
	Reviewed  string // who, when; "" when nobody has
	By        string // laboratory or performer
	Note      string
	Trend     []Point // oldest first, at most 12, same unit as Value
}

// Preliminary reports whether the result may still change.
func (r Result) Preliminary() bool {
	return r.Status == "preliminary" || r.Status == "registered"
}

// Corrected reports whether the laboratory changed the result after it was final.
func (r Result) Corrected() bool { return r.Status == "corrected" || r.Status == "amended" }

// Point is one value of a series.
type Point struct {
	ID     string
	When   time.Time
	Value  string
	Num    float64
	Flag   Flag
	Unit   string
	Status string
}

// Series is the course of one test over time.
type Series struct {
	Name, Code, System string
	Unit               string
	Ref                string
	Low, High          *float64
	Points             []Point // oldest first, all in Unit
	Apart              []Point // values that cannot be drawn on the same axis: other units or words
}

// Event is one line of the timeline.
type Event struct {
	Type    string // resource type
	ID      string
	Kind    EventKind
	When    time.Time
	On      string // When as recorded: "2021" is a year, not a first of January
	Precise bool   // When has a time of day
	Title   string
	Body    string
	By      string
	Note    string // id of a note that can be opened
}

// EventKind groups the timeline's filters.
type EventKind string

// The kinds of events.
const (
	VisitEvent        EventKind = "visit"
	ResultEvent       EventKind = "result"
	ProblemEvent      EventKind = "problem"
	MedEvent          EventKind = "medication"
	NoteEvent         EventKind = "note"
	ImmunizationEvent EventKind = "immunization"
	ProcedureEvent    EventKind = "procedure"
	DocumentEvent     EventKind = "document"
)
