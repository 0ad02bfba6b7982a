package auth

import (
	"context"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// SupportFor is the longest the hosting company may be let in at a time.
const SupportFor = 4 * time.Hour

// Support is access that a practice granted to one person of the company that hosts it. Without one, nobody there
// reaches anything.
type Support struct {
	ID       int64
	Operator string // login of the person at the hosting company
	Reason   string // in words, such as the number of a ticket
	Patients bool   // patients' records too, to look at only; otherwise settings without patients
	By       string // who granted it
	Starts   time.Time
	Until    time.Time
	Ended    time.Time // zero: not before Until
	Uses     int64
}

// Open says whether the grant still opens something.
func (g Support) Open(now time.Time) bool { return g.Ended.IsZero() && now.Before(g.Until) }

// GrantSupport lets one person of the hosting company in for a time of at most [SupportFor]. It needs a recent proof.
func (a *Auth) GrantSupport(ctx context.Context, by Staff, operator, reason string, patients bool, length time.Duration) (Support, error) {
	if err := may(by, SupportGrant); err != nil {
		return Support{}, err
	}
	if err := a.Recent(by, StepUpWithin); err != nil {
		return Support{}, err
	}
	operator, reason = foldLogin(operator), strings.TrimSpace(reason)
	switch {
	case operator == "" || len(operator) > 200:
		return Support{}, fhir.Problem("required", "Say who is let in.", "Write the login of the person at the hosting company.").At("operator")
	case len(reason) < 5 || len(reason) > 200:
		return Support{}, fhir.Problem("required", "Say why.", "Write 5 to 200 characters, such as the number of the ticket, without naming a patient.").At("reason")
	case length < time.Minute || length > SupportFor:
		return Support{}, fhir.Problem("value", "That is too long.", "Choose up to 4 hours; it can be granted again.").At("length")
	}
	var g Support
	err := a.db.Do(ctx, by, func(tx *db.Tx) error {
		g = Support{ID: newNumber(), Operator: operator, Reason: reason, Patients: patients, By: by.Name(), Starts: tx.Now(), Until: tx.Now().Add(length)}
		a.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Support", ID: userText(g.ID),
			Detail: "hosting company let in until " + g.Until.Format("15:04 MST") + ": " + reason})
		if err := a.notify(ctx, tx, Notice{For: SupportGrant, Kind: NoticeSupport, Person: by.Name(), Detail: "granted", Ref: g.ID}); err != nil {
			return err
		}
		return saveSupport(tx, g)
	})
	return g, err
}

// EndSupport ends a grant at once: the next request of the person it was for is refused.
func (a *Auth) EndSupport(ctx context.Context, by Staff, id int64) error {
	if err := may(by, SupportGrant); err != nil {
		return err
	}
	return a.db.Do(ctx, by, func(tx *db.Tx) error {
		a.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Support", ID: userText(id), Detail: "hosting company shut out"})
		return endSupport(ctx, tx, id)
	})
}

// Supports lists the grants of the practice, the latest first, at most 100.
func (a *Auth) Supports(ctx context.Context, by db.Scope) (out []Support, err error) {
	if err := may(by, SupportGrant); err != nil {
		return nil, err
	}
	err = a.db.View(ctx, by, func(tx *db.Tx) error {
		out, err = supports(ctx, tx)
		return err
	})
	return out, err
}

// OperatorScope makes the scope of one request of a person of the hosting company, under a grant of the practice that
// is open and names them. Every use counts and is on record in the practice before the scope exists. Only the
// operator's console may call it (architecture_test checks).
func (a *Auth) OperatorScope(ctx context.Context, p db.PracticeID, operator string, grant int64) (Operator, error) {
	practice, err := a.PracticeByID(ctx, p)
	if err != nil {
		return Operator{}, forbidden()
	}
	actor := db.Actor{Kind: kindOperator, Display: foldLogin(operator), Session: userText(grant)}
	own := System{db.NewSeal(p, actor)}
	var g Support
	err = a.db.Do(ctx, own, func(tx *db.Tx) error {
		var err error
		if g, err = supportByID(ctx, tx, grant); err != nil {
			return err
		}
		if g.Operator != foldLogin(operator) || !g.Open(tx.Now()) {
			return forbidden()
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionAdmin, Type: "Support", ID: userText(grant), Detail: "used: " + g.Reason})
		return useSupport(ctx, tx, grant)
	})
	if err != nil {
		return Operator{}, onlyIssue(err)
	}
	access := standard().access(isAdministrator)
	if g.Patients {
		access = standard().access(everybody)
	}
	access = access.readOnly()
	access.Forbidden = beyondCare
	if !g.Patients {
		for _, t := range []string{"Patient", "RelatedPerson", "Person", "Appointment", "AppointmentResponse", "Task", "Consent", "AuditEvent", "Provenance"} {
			delete(access.Types, t)
		}
	}
	return Operator{Seal: db.NewSeal(p, actor), access: practice.Access.apply(access)}, nil
}
