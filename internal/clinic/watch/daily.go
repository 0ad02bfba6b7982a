package watch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Findings, what became of them, and that a day was reviewed are entries of these actions.
const (
	actionFinding  = "finding"
	actionClosed   = "finding-closed"
	actionReviewed = "reviewed"
	findingType    = "Finding"
)

// Open is a finding that waits for somebody to look into it, or was.
type Open struct {
	Finding
	ID     string
	At     time.Time // when the review found it
	Closed *Closed
}

// Closed is what somebody found out.
type Closed struct {
	By    int64
	At    time.Time
	Words string
}

// Daily reviews a practice's day, unless that was done before, and puts what it finds on record. It returns how many findings are
// new. zone is the practice's.
func (w *Watch) Daily(ctx context.Context, s auth.System, day time.Time, zone *time.Location) (int, error) {
	start := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	name := start.Format(time.DateOnly)
	done, err := w.log.Find(ctx, s, audit.Filter{Action: actionReviewed, From: start, Limit: audit.MaxFound})
	if err != nil || slices.ContainsFunc(done, func(e audit.Entry) bool { return e.Event.ID == name }) {
		return 0, err
	}
	var entries []audit.Entry
	err = w.log.Each(ctx, s, audit.Filter{From: start, To: start.AddDate(0, 0, 1)}, func(e audit.Entry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return 0, err
	}
	f, err := w.facts(ctx, s, start, zone, entries)
	if err != nil {
		return 0, err
	}
	var events []audit.Event
	for _, found := range Review(start, entries, f) {
		events = append(events, audit.Event{Action: actionFinding, Type: findingType, ID: keyOf(found), Patient: found.Patient,
			Detail: fmt.Sprintf("%s %x %d %x %s", found.Pattern, found.UserID, found.Count, found.Entry, found.Day)})
	}
	n := len(events)
	events = append(events, audit.Event{Action: actionReviewed, Type: findingType, ID: name})
	return n, w.db.Do(ctx, s, func(tx *db.Tx) error {
		w.log.Record(tx, events...)
		return nil
	})
}

// keyOf names a finding: the same one has the same name.
func keyOf(f Finding) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s|%d|%s|%s", f.Pattern, f.UserID, f.Patient, f.Day))
	return fmt.Sprintf("%016x", binary.BigEndian.Uint64(h[:8]))
}

// Queue lists the findings since a moment, newest first, those that were closed among them.
func (w *Watch) Queue(ctx context.Context, s db.Scope, since time.Time) ([]Open, error) {
	found, err := w.log.Find(ctx, s, audit.Filter{Action: actionFinding, From: since, Limit: audit.MaxFound})
	if err != nil {
		return nil, err
	}
	closed, err := w.log.Find(ctx, s, audit.Filter{Action: actionClosed, From: since, Limit: audit.MaxFound})
	if err != nil {
		return nil, err
	}
	by := map[string]*Closed{}
	for _, e := range closed {
		if by[e.Event.ID] == nil {
			by[e.Event.ID] = &Closed{e.Actor.UserID, e.At, e.Detail}
		}
	}
	var out []Open
	for _, e := range found {
		if f, ok := readFinding(e); ok {
			out = append(out, Open{Finding: f, ID: e.Event.ID, At: e.At, Closed: by[e.Event.ID]})
		}
	}
	return out, nil
}

func readFinding(e audit.Entry) (Finding, bool) {
	p := strings.Fields(e.Detail)
	if len(p) != 5 {
		return Finding{}, false
	}
	f := Finding{Pattern: Pattern(p[0]), Patient: e.Patient, Day: p[4]}
	var err1, err2, err3 error
	f.UserID, err1 = strconv.ParseInt(p[1], 16, 64)
	f.Count, err2 = strconv.Atoi(p[2])
	f.Entry, err3 = strconv.ParseInt(p[3], 16, 64)
	return f, err1 == nil && err2 == nil && err3 == nil && slices.Contains(Patterns, f.Pattern)
}

// Close says what somebody found out about a finding. The words are required and name no patient; nobody closes a finding about
// themselves.
func (w *Watch) Close(ctx context.Context, s auth.Staff, id, words string) error {
	if !s.Can(auth.AuditRead) {
		return fhir.Problem("forbidden", "You may not do this.", "Ask an administrator of the practice.")
	}
	if words = strings.TrimSpace(words); words == "" {
		return fhir.Problem("required", "Nothing says what you found out.", "Write a few words, without the patient's name.").At("words")
	}
	all, err := w.Queue(ctx, s, time.Time{})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(o Open) bool { return o.ID == id })
	switch {
	case i < 0:
		return fhir.Problem("not-found", "There is no such finding.", "Go back to the list and choose it there.")
	case all[i].Closed != nil:
		return fhir.Problem("conflict", "This finding is closed already.", "Look at the list again.")
	case all[i].UserID == s.UserID():
		return fhir.Problem("forbidden", "A finding about yourself is for somebody else to close.", "Ask another administrator.")
	}
	return w.log.Seen(ctx, s, audit.Event{Action: actionClosed, Type: findingType, ID: id, Patient: all[i].Patient, Detail: words})
}
