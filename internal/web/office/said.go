package office

import (
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
)

// Say gives a text of the catalogue in the reader's language.
type Say func(key string, args ...any) string

// Said tells an entry in plain words, as a patient would: "Dr. Ash looked at your results and notes." The screens of the practice
// and of the portal share it.
func Said(t Say, e *audit.Entry, who string) string {
	words := t("said."+verb(e.Action), who, strings.Join(kinds(t, e), t("said.and")))
	if e.BreakGlass() {
		words += " " + t("said.emergency")
	}
	switch b := e.Actor.OnBehalf; {
	case b == "" || e.Actor.Kind == "app" && e.Actor.UserID != 0: // who is that person already
	case b == e.Patient:
		words += " " + t("said.behalf-patient")
	default:
		words += " " + t("said.behalf", b)
	}
	switch e.Outcome {
	case audit.OutcomeRefused:
		words = t("said.refused", who)
	case audit.OutcomeFailed:
		words += " " + t("said.failed")
	}
	return words
}

// verb is the catalogue's word for an action.
func verb(action string) string {
	switch action {
	case audit.ActionRead, audit.ActionCreate, audit.ActionUpdate, audit.ActionDelete, audit.ActionPrint, audit.ActionExport, audit.ActionSign,
		audit.ActionSearch, audit.ActionDisclose, audit.ActionImport, audit.ActionBreakGlass, audit.ActionDenied:
		return action
	}
	return "other"
}

// kinds names what was seen: the entry's categories, or the kind of its resource.
func kinds(t Say, e *audit.Entry) []string {
	list := e.Categories
	if len(list) == 0 {
		list = []string{e.Type}
	}
	var out []string
	for _, c := range list {
		if known[c] {
			out = append(out, t("said.kind."+strings.ReplaceAll(c, " ", "-")))
		}
	}
	if len(out) == 0 {
		out = []string{t("said.kind.record")}
	}
	return out
}

var known = map[string]bool{"demographics": true, "problems": true, "medications": true, "allergies": true, "vitals": true, "results": true, "notes": true,
	"immunizations": true, "procedures": true, "encounters": true, "documents": true, "schedule": true, "billing": true, "coverage": true,
	"messages": true, "orders": true, "timeline": true, "summary": true, "Patient": true, "Appointment": true, "Observation": true, "Condition": true, "Encounter": true}

// Seen is a line of the "who saw my chart" feed: what one person did in one sitting.
type Seen struct {
	From, To time.Time
	Words    []string // each once, in the order they were done
	Who      string
	Role     string
	Entry    audit.Entry // the first
	Times    int
	Break    bool
}

// sitting is how long a pause may be before it counts as coming back.
const sitting = 15 * time.Minute

// Feed joins entries, newest first, into sittings, newest first.
func Feed(t Say, entries []audit.Entry, who func(audit.Entry) string) []Seen {
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
		have := false
		for _, w := range s.Words {
			have = have || w == words
		}
		if !have {
			s.Words = append(s.Words, words)
		}
	}
	return out
}

// roleWords names roles as the audit keeps them.
func roleWords(t Say, roles string) string {
	if roles == "" {
		return ""
	}
	var out []string
	for _, r := range strings.Split(roles, ",") {
		switch auth.Role(r) {
		case auth.Clinician, auth.Nurse, auth.FrontDesk, auth.Biller, auth.Administrator:
			out = append(out, t("role."+r))
		default:
			out = append(out, r)
		}
	}
	return strings.Join(out, ", ")
}

func join(list []string) string { return strings.Join(list, ", ") }
