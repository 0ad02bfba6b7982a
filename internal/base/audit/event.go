package audit

import (
	"strings"
	"time"

	"yarrow.health/internal/base/db"
)

// Actions of events. Others may be used; these are short in storage.
const (
	ActionRead         = "read"
	ActionSearch       = "search"
	ActionCreate       = "create"
	ActionUpdate       = "update"
	ActionDelete       = "delete"
	ActionPrint        = "print"
	ActionExport       = "export"
	ActionSign         = "sign"
	ActionSignIn       = "signin"
	ActionSignOut      = "signout"
	ActionSignInFailed = "signin-failed"
	ActionLock         = "lock"
	ActionUnlock       = "unlock"
	ActionStepUp       = "step-up"
	ActionBreakGlass   = "break-glass"
	ActionAdmin        = "admin"       // practice, person, credential or setting changed
	ActionPrivilege    = "privilege"   // what somebody may do changed (E2147 "privilege changes")
	ActionDisclose     = "disclose"    // information left for a recipient outside (accounting of disclosures)
	ActionImport       = "import"      // records taken in
	ActionDenied       = "denied"      // refused by the authorization kernel
	ActionUnspecified  = "unspecified" // written for an event without an action: nothing is dropped for being malformed
)

// Outcomes of events. An empty outcome means [OutcomeSuccess].
const (
	OutcomeSuccess = "success"
	OutcomeRefused = "refused"
	OutcomeFailed  = "failed"
)

// PurposeTreatment is the purpose of use (HL7 v3 PurposeOfUse) an event has when it names none.
const PurposeTreatment = "TREAT"

// Limits of one entry. Longer texts are cut, longer lists continue in a further entry of the same request, so that
// one entry stays within about 1 KB.
const (
	maxText       = 300 // bytes of Detail, Client and other free texts
	maxLinks      = 40
	maxCategories = 32
)

// Event is one thing that was done, as its doer reports it. Who did it and when come from the scope and the clock.
// No field but Patient, ID and Links may identify a patient; Detail holds no patient information.
type Event struct {
	Action     string   // one of the Action constants
	Type, ID   string   // resource acted on; ID empty for a search
	Version    int64    // version seen or written; 0 if none
	Patient    string   // "Patient/x" whose record it is, or ""
	Outcome    string   // "" is success
	Purpose    string   // "" is treatment
	Categories []string // which kinds of data were seen ("medication list"): E2147 7.1.9
	Labels     int64    // sensitivity labels of what was seen (auth.Label bits)
	Detail     string   // plain words without patient information, such as a break-glass reason
	Links      []string // further references touched; each "Patient/x" among them finds the entry
}

// Entry is a stored event.
type Entry struct {
	ID    int64     // unique in the practice and ordered by time; the keyset of [Log.Find]
	At    time.Time // UTC, to the microsecond
	Actor db.Actor  // who; Display and FHIR are kept only for actors without a user id
	Event
}

// normal returns the event as it will be stored: defaults written as nothing, texts cut to their limits.
func (e Event) normal() Event {
	if e.Action == "" {
		e.Action = ActionUnspecified
	}
	if e.Outcome == OutcomeSuccess {
		e.Outcome = ""
	}
	if e.Purpose == PurposeTreatment {
		e.Purpose = ""
	}
	if e.Version < 0 {
		e.Version = 0
	}
	e.Action, e.Type, e.ID = cut(e.Action), cut(e.Type), cut(e.ID)
	e.Patient, e.Outcome, e.Purpose, e.Detail = cut(e.Patient), cut(e.Outcome), cut(e.Purpose), cut(e.Detail)
	if len(e.Categories) > maxCategories {
		e.Categories = e.Categories[:maxCategories]
	}
	return e
}

// parts splits an event whose links do not fit one entry.
func (e Event) parts() (out []Event) {
	e = e.normal()
	for links := e.Links; len(links) > 0; {
		n := min(maxLinks, len(links))
		part := e
		part.Links = links[:n]
		out = append(out, part)
		links = links[n:]
	}
	return out
}

// cut shortens a text to maxText bytes at a rune boundary and makes it valid UTF-8.
func cut(s string) string {
	if s == "" {
		return s
	}
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}

// patients returns the distinct patients an event must be found under beside e.Patient.
func (e Event) patients() []string {
	var out []string
next:
	for _, l := range e.Links {
		if l == e.Patient || !strings.HasPrefix(l, "Patient/") {
			continue
		}
		for _, seen := range out {
			if seen == l {
				continue next
			}
		}
		out = append(out, l)
	}
	return out
}
