// Package keeping decides when records may be destroyed for good: how long they are kept, which are held for a court or an
// inquiry, and what was destroyed, by whom and why.
//
// It owns legal holds, the practice's rules for keeping records and the receipts of removals. It never deletes anything that
// the rules or a hold protect, and the audit keeps who did what, by ids, when the record itself is gone. How bytes are removed
// is base/fhirstore's.
package keeping

import (
	"context"
	"fmt"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// Rules say for how many years a practice keeps records after the last care.
type Rules struct {
	Adult    int `json:"adult"`    // after the last care
	Minor    int `json:"minor"`    // after the patient came of age, when that is later
	Majority int `json:"majority"` // age at which patients come of age
	Other    int `json:"other"`    // what is in no patient's record, after its last change
}

// DefaultRules are on the long side: states ask for 5 to 10 years, Medicare Advantage for 10 (42 CFR 422.504(d)); what is in no
// record counts as documentation, 6 years (45 CFR 164.316(b)(2)). A practice sets what its states and payers ask for.
var DefaultRules = Rules{Adult: 10, Minor: 10, Majority: 18, Other: 6}

// Valid says whether rules are within what makes sense.
func (r Rules) Valid() error {
	if r.Adult < 5 || r.Adult > 100 || r.Minor < 1 || r.Minor > 100 || r.Majority < 18 || r.Majority > 21 || r.Other < 6 || r.Other > 100 {
		return fhir.Problem("value", "These times for keeping records are out of range.",
			"Adults 5 to 100 years, minors 1 to 100 years after they come of age at 18 to 21, everything else 6 to 100 years.")
	}
	return nil
}

// Until is when the record of somebody may be destroyed, and whether it is the rule for minors that keeps it so long; a person whose
// birth is not known is taken for a newborn of the last care.
func (r Rules) Until(last, born time.Time) (until time.Time, minor bool) {
	if born.IsZero() {
		born = last
	}
	until = last.AddDate(r.Adult, 0, 0)
	if grown := born.AddDate(r.Majority+r.Minor, 0, 0); grown.After(until) {
		return grown, true
	}
	return until, false
}

// Hold keeps a record, or with Patient "" the whole practice, from being destroyed.
type Hold struct {
	ID       int64     `json:"-"`
	Patient  string    `json:"patient,omitempty"` // id
	Reason   string    `json:"reason"`
	By       int64     `json:"by"` // user
	Placed   time.Time `json:"-"`
	Lifted   time.Time `json:"-"` // zero while it is in force
	LiftedBy int64     `json:"liftedBy,omitempty"`
	Why      string    `json:"why,omitempty"` // it was lifted
}

// Keeper keeps records. It is safe for concurrent use.
type Keeper struct {
	db    *db.DB
	store *fhirstore.Store
	auth  *auth.Auth
	log   *audit.Log
	step  func() // of a test, after each transaction of an erasure
}

// SweepMarks is the work that removes the marks of what was destroyed marksKept ago.
const SweepMarks = "keeping.marks"

// marksKept is longer than any process goes without a look at what changed in a practice and still remembers something of it.
const marksKept = 90 * 24 * time.Hour

// Sweep removes the marks of what was destroyed long ago: the last that is left of it beside the audit.
func (k *Keeper) Sweep(ctx context.Context, practice db.PracticeID) error {
	return k.db.Do(ctx, auth.SystemScope(practice, "marks of what was destroyed"), func(tx *db.Tx) error {
		_, err := k.store.SweepExpunged(ctx, tx, tx.Now().Add(-marksKept))
		return err
	})
}

// New returns the keeper of all practices.
func New(d *db.DB, store *fhirstore.Store, a *auth.Auth, log *audit.Log) *Keeper {
	return &Keeper{db: d, store: store, auth: a, log: log}
}

// may insists on the permission and on a person who has just proved to be themself.
func (k *Keeper) may(who auth.Staff) error {
	if !who.Can(auth.RecordDestroy) {
		return fhir.Problem("forbidden", "You may not decide over the destruction of records.", "Ask an administrator of the practice for the permission.")
	}
	return k.auth.Recent(who, auth.StepUpWithin)
}

// why checks a reason, which stays in the audit: it must not name the patient.
func why(reason string) (string, error) {
	reason = strings.Join(strings.Fields(reason), " ")
	if n := len([]rune(reason)); n < 5 || n > 200 {
		return "", fhir.Problem("required", "The reason is missing, or too long.", "Say why in 5 to 200 characters, without naming the patient.").At("reason")
	}
	return reason, nil
}

// Place puts a hold on a patient's record, or with "" on everything.
func (k *Keeper) Place(ctx context.Context, who auth.Staff, patient, reason string) (h Hold, err error) {
	if err := k.may(who); err != nil {
		return h, err
	}
	if reason, err = why(reason); err != nil {
		return h, err
	}
	// A restricted record can be held too, and one that was deleted, by somebody who may not see it.
	if patient != "" {
		if err := k.db.View(ctx, auth.SystemScope(who.Practice(), "legal hold"), func(tx *db.Tx) error {
			last, err := k.store.LastCare(ctx, tx, patient)
			if err == nil && last.IsZero() {
				err = fhir.Problem("not-found", "There is no record of this patient.", "Check the id.")
			}
			return err
		}); err != nil {
			return h, err
		}
	}
	err = k.db.Do(ctx, who, func(tx *db.Tx) error {
		if err := lock(ctx, tx); err != nil {
			return err
		}
		h = Hold{ID: newID(), Patient: patient, Reason: reason, By: who.UserID(), Placed: time.UnixMicro(tx.NowMicro()).UTC()}
		k.log.Record(tx, k.event(audit.ActionCreate, patient, "legal hold placed"))
		return saveHold(tx, h)
	})
	return h, err
}

// Lift ends a hold.
func (k *Keeper) Lift(ctx context.Context, who auth.Staff, id int64, reason string) error {
	if err := k.may(who); err != nil {
		return err
	}
	reason, err := why(reason)
	if err != nil {
		return err
	}
	return k.db.Do(ctx, who, func(tx *db.Tx) error {
		all, err := holds(ctx, tx)
		if err != nil {
			return err
		}
		for _, h := range all {
			if h.ID == id && h.Lifted.IsZero() {
				h.Lifted, h.LiftedBy, h.Why = time.UnixMicro(tx.NowMicro()).UTC(), who.UserID(), reason
				k.log.Record(tx, k.event(audit.ActionDelete, h.Patient, "legal hold lifted"))
				return replaceHold(ctx, tx, h)
			}
		}
		return fhir.Problem("not-found", "There is no such hold in force.", "Look at the list of holds.")
	})
}

// Holds lists all holds, those in force first.
func (k *Keeper) Holds(ctx context.Context, who auth.Staff) (out []Hold, err error) {
	if !who.Can(auth.RecordDestroy) {
		return nil, k.may(who)
	}
	err = k.db.View(ctx, who, func(tx *db.Tx) (err error) {
		out, err = holds(ctx, tx)
		return err
	})
	return out, err
}

// Rules are those of the practice.
func (k *Keeper) Rules(ctx context.Context, who auth.Staff) (r Rules, err error) {
	err = k.db.View(ctx, who, func(tx *db.Tx) (err error) {
		r, err = rules(ctx, tx)
		return err
	})
	return r, err
}

// SetRules changes how long the practice keeps records.
func (k *Keeper) SetRules(ctx context.Context, who auth.Staff, r Rules) error {
	if err := k.may(who); err != nil {
		return err
	}
	if err := r.Valid(); err != nil {
		return err
	}
	return k.db.Do(ctx, who, func(tx *db.Tx) error {
		k.log.Record(tx, k.event(audit.ActionUpdate, "", fmt.Sprintf("records are kept %d years, those of minors %d years from %d", r.Adult, r.Minor, r.Majority)))
		return saveRules(tx, r)
	})
}

func (k *Keeper) event(action, patient, detail string) audit.Event {
	e := audit.Event{Action: action, Detail: detail}
	if patient != "" {
		e.Type, e.ID, e.Patient = "Patient", patient, "Patient/"+patient
	}
	return e
}
