package audit

import (
	"slices"
	"strings"
	"time"
)

// Say gives a text of the catalogue in the reader's language.
type Say func(key string, args ...any) string

// Said tells an entry in plain words, as a patient would: "Dr. Ash looked at your results and notes." The screens of the practice
// and what programs of patients are told share it. No other patient is named in it, whoever the entry was done for.
func Said(t Say, e *Entry, who string) string {
	if e.Action == ActionDamaged {
		return t("said.damaged")
	}
	words := t("said."+verb(e.Action), who, strings.Join(Kinds(t, e), t("said.and")+" "))
	if e.BreakGlass() {
		words += " " + t("said.emergency")
	}
	switch b := e.Actor.OnBehalf; {
	case b == "" || e.Actor.Kind == "app" && e.Actor.UserID != 0: // who is that person already
	case b == e.Patient:
		words += " " + t("said.behalf-patient")
	case strings.HasPrefix(b, "Patient/"), strings.HasPrefix(b, "RelatedPerson/"):
		words += " " + t("said.behalf-other")
	default:
		words += " " + t("said.behalf", b)
	}
	switch e.Outcome {
	case OutcomeRefused:
		words = t("said.refused", who)
	case OutcomeFailed:
		words += " " + t("said.failed")
	}
	return words
}

// verb is the catalogue's word for an action.
func verb(action string) string {
	switch action {
	case ActionRead, ActionCreate, ActionUpdate, ActionDelete, ActionPrint, ActionExport, ActionSign,
		ActionSearch, ActionDisclose, ActionImport, ActionBreakGlass, ActionDenied:
		return action
	}
	return "other"
}

// Kinds names what was seen: the entry's categories, or the kind of its resource.
func Kinds(t Say, e *Entry) []string {
	list := e.Categories
	if len(list) == 0 {
		list = []string{e.Type}
	}
	var out []string
	for _, c := range list {
		if knownKinds[c] {
			out = append(out, KindWords(t, c))
		}
	}
	if len(out) == 0 {
		out = []string{t("said.kind.record")}
	}
	return out
}

var knownKinds = map[string]bool{"demographics": true, "problems": true, "medications": true, "allergies": true, "vitals": true, "results": true, "notes": true,
	"immunizations": true, "procedures": true, "encounters": true, "documents": true, "schedule": true, "billing": true, "coverage": true,
	"messages": true, "orders": true, "timeline": true, "summary": true, "Patient": true, "Appointment": true, "Observation": true, "Condition": true, "Encounter": true}

// Seen is a line of the "who saw my chart" feed: what one person did in one sitting.
type Seen struct {
	From, To time.Time
	Words    []string // each once, in the order they were done
	Who      string
	Role     string
	Purposes []string // codes, each once
	Entry    Entry    // the first
	Times    int
	Break    bool
}

// sitting is how long a pause may be before it counts as coming back.
const sitting = 15 * time.Minute

// Feed joins entries, newest first, into sittings, newest first.
func Feed(t Say, entries []Entry, who func(Entry) string) []Seen {
	var out []Seen
	open := map[string]int{}
	for i := range entries {
		e := &entries[i]
		name := who(*e)
		words := Said(t, e, name)
		n, ok := open[name]
		if !ok || out[n].From.Sub(e.At) > sitting {
			out = append(out, Seen{From: e.At, To: e.At, Who: name, Role: e.Actor.Role})
			n = len(out) - 1
			open[name] = n
		}
		s := &out[n]
		s.From, s.Entry, s.Times, s.Break = e.At, *e, s.Times+1, s.Break || e.BreakGlass()
		if !slices.Contains(s.Words, words) {
			s.Words = append(s.Words, words)
		}
		purpose := e.Purpose
		if purpose == "" {
			purpose = PurposeTreatment
		}
		if !slices.Contains(s.Purposes, purpose) {
			s.Purposes = append(s.Purposes, purpose)
		}
	}
	return out
}

// KindWords names a category or a resource type; one that the catalogue does not know stays as it is.
func KindWords(t Say, kind string) string {
	if knownKinds[kind] {
		return t("said.kind." + strings.ReplaceAll(kind, " ", "-"))
	}
	return kind
}

// RoleWords names roles as the log keeps them. name knows what to call one, those of the practice's own too.
func RoleWords(name func(role string) string, roles string) string {
	if roles == "" {
		return ""
	}
	out := strings.Split(roles, ",")
	for i, r := range out {
		if slices.Contains(roleNames, r) || strings.HasPrefix(r, "own-") {
			out[i] = name(r)
		}
	}
	return strings.Join(out, ", ")
}

// roleNames are the roles that the catalogue has words for.
var roleNames = []string{"clinician", "nurse", "frontdesk", "biller", "administrator"}

// PurposeWords names what a sitting was for.
func (s *Seen) PurposeWords(t Say) string {
	var out []string
	for _, p := range s.Purposes {
		out = append(out, PurposeWords(t, p))
	}
	return strings.Join(out, ", ")
}

// PurposeWords names a purpose of use; one that the catalogue does not know keeps its code.
func PurposeWords(t Say, purpose string) string {
	if purpose == "" {
		purpose = PurposeTreatment
	}
	if slices.Contains(purposeNames, purpose) {
		return t("audit.purpose." + purpose)
	}
	return purpose
}

var purposeNames = []string{PurposeTreatment, "HPAYMT", "HOPERAT", "PATRQT", "PUBHLTH", "BTG", "ETREAT"}
