package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Limits of an opening in an emergency (45 CFR 164.312(a)(2)(ii)).
const (
	GlassFor      = 60 * time.Minute // an opening ends by itself
	ReviewWithin  = 2                // business days
	leastReason   = 10               // characters of the free text
	mostOpenAtOne = 5                // openings one person may have at once
)

// GlassReasons are the codes one of which an opening names. Screens have words for them.
var GlassReasons = []string{"emergency", "covering", "patient-asked", "safety", "continuity"}

// Opening is a restricted chart that somebody opened in an emergency.
type Opening struct {
	ID         int64
	User       int64
	Name       string // of the person, when they opened it
	Patient    string // id of the Patient resource
	Reason     string // one of GlassReasons
	Text       string // in the person's words; it may be about the patient
	Opened     time.Time
	Until      time.Time
	Due        time.Time // by when it must have been reviewed
	Reviewed   time.Time // zero: not yet
	ReviewedBy string
	Justified  bool
	Note       string // of the reviewer
}

// Late says whether the review is overdue.
func (o Opening) Late(now time.Time) bool { return o.Reviewed.IsZero() && now.After(o.Due) }

type opening struct {
	User    int64
	Patient string
	Until   time.Time
}

// OpenGlass opens a restricted chart for the person until the time it returns, 60 minutes at most. It is on record
// with the reason, and a notice to those with PrivacyReview is stored, before anything can be seen. Notes kept apart
// stay closed, and so does every other practice.
func (a *Auth) OpenGlass(ctx context.Context, s Staff, patientID, reason, text string) (Opening, error) {
	if err := may(s, BreakGlass); err != nil {
		return Opening{}, err
	}
	text = strings.TrimSpace(text)
	switch {
	case patientID == "" || len(patientID) > 64 || strings.Contains(patientID, "/"):
		return Opening{}, fhir.Problem("value", "No patient was named.", "Open the chart again from the list.")
	case !slices.Contains(GlassReasons, reason):
		return Opening{}, fhir.Problem("required", "A reason is needed.", "Choose why you must see this chart now.").At("reason")
	case len([]rune(text)) < leastReason || len(text) > 1000:
		return Opening{}, fhir.Problem("required", "Say in your own words why.", fmt.Sprintf("Write %d to 1,000 characters; the privacy officer and the patient can read them.", leastReason)).At("text")
	}
	p, err := a.PracticeByID(ctx, s.Practice())
	if err != nil {
		return Opening{}, err
	}
	if p.Access.Contract != ContractActive && p.Access.Contract != ContractReadOnly {
		return Opening{}, forbidden()
	}
	var o Opening
	err = a.db.Do(ctx, s, func(tx *db.Tx) error {
		if n, err := openNow(ctx, tx, s.UserID()); err != nil {
			return err
		} else if n >= mostOpenAtOne {
			return fhir.Problem("business-rule", "You have several restricted charts open already.", "Close one of them first.")
		}
		o = Opening{ID: newNumber(), User: s.UserID(), Name: s.Name(), Patient: patientID, Reason: reason, Text: text,
			Opened: tx.Now(), Until: tx.Now().Add(GlassFor), Due: businessDays(tx.Now(), ReviewWithin)}
		if err := saveOpening(ctx, tx, o); err != nil {
			return err
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionBreakGlass, Type: "Patient", ID: patientID, Patient: "Patient/" + patientID,
			Purpose: "BTG", Detail: "opened until " + o.Until.Format("15:04 MST") + ", reason " + reason})
		if err := a.notify(ctx, tx, Notice{For: PrivacyReview, Kind: NoticeGlass, Patient: patientID, Person: s.Name(), Detail: reason, Ref: o.ID}); err != nil {
			return err
		}
		return a.changed(ctx, tx)
	})
	return o, onlyIssue(err)
}

// CloseGlass ends the person's opening of a chart before its time.
func (a *Auth) CloseGlass(ctx context.Context, s Staff, patientID string) error {
	if !s.Valid() {
		return db.ErrNoScope
	}
	return a.db.Do(ctx, s, func(tx *db.Tx) error {
		if err := endOpenings(ctx, tx, s.UserID(), patientID); err != nil {
			return err
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionBreakGlass, Type: "Patient", ID: patientID, Patient: "Patient/" + patientID,
			Purpose: "BTG", Detail: "closed by the person"})
		return a.changed(ctx, tx)
	})
}

// OpenGlasses lists the charts the person has open in an emergency, by patient id with the end of each.
func (a *Auth) OpenGlasses(ctx context.Context, s Staff) (map[string]time.Time, error) {
	r, err := a.rulesOf(ctx, s.Practice())
	if err != nil {
		return nil, err
	}
	now := a.clock.Now()
	var out map[string]time.Time
	for _, o := range r.openings {
		if o.User == s.UserID() && now.Before(o.Until) {
			if out == nil {
				out = map[string]time.Time{}
			}
			out[o.Patient] = o.Until
		}
	}
	return out, nil
}

// Openings lists what was opened in emergencies: all that wait for review, or the reviewed ones, the most urgent
// or latest first, at most 200.
func (a *Auth) Openings(ctx context.Context, by db.Scope, reviewed bool) (out []Opening, err error) {
	if err := may(by, PrivacyReview); err != nil {
		return nil, err
	}
	err = a.db.View(ctx, by, func(tx *db.Tx) error {
		out, err = listOpenings(ctx, tx, reviewed)
		return err
	})
	return out, err
}

// ReviewOpening records what the privacy officer found. Nobody reviews their own.
func (a *Auth) ReviewOpening(ctx context.Context, by Staff, id int64, justified bool, note string) error {
	if err := may(by, PrivacyReview); err != nil {
		return err
	}
	note = strings.TrimSpace(note)
	if !justified && note == "" || len(note) > 1000 {
		return fhir.Problem("required", "Say what was found.", "Write up to 1,000 characters; they are needed when the opening was not justified.").At("note")
	}
	err := a.db.Do(ctx, by, func(tx *db.Tx) error {
		o, err := openingByID(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case !o.Reviewed.IsZero():
			return fhir.Problem("conflict", "Somebody has reviewed this already.", "Look at the list of reviewed openings.")
		case o.User == by.UserID():
			return fhir.Problem("forbidden", "Nobody reviews what they opened themselves.", "Another person with this right reviews it.")
		}
		o.Reviewed, o.ReviewedBy, o.Justified, o.Note = tx.Now(), by.Name(), justified, note
		finding := "found not justified"
		if justified {
			finding = "found justified"
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionBreakGlass, Type: "Patient", ID: o.Patient, Patient: "Patient/" + o.Patient, Detail: "reviewed, " + finding})
		return reviewOpening(ctx, tx, o)
	})
	return onlyIssue(err)
}

// businessDays is the end (24:00 UTC) of the nth business day after t; Saturdays and Sundays do not count.
func businessDays(t time.Time, n int) time.Time {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	for n > 0 {
		day = day.AddDate(0, 0, 1)
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday {
			n--
		}
	}
	return day.AddDate(0, 0, 1)
}
