package auth

import (
	"context"
	"errors"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

// UnlockRequest is what somebody enters to open their locked session again.
type UnlockRequest struct {
	Practice   string
	Token      string // of the locked session
	Password   string
	Device     string
	RemoteAddr string
	UserAgent  string
}

// Unlock opens a locked session with the person's password and gives it a new token; the old one opens nothing any
// more. The session had its second factor at sign-in, so one factor is enough (NIST SP 800-63B-4 §2.2.3).
func (a *Auth) Unlock(ctx context.Context, r UnlockRequest) (token string, s Staff, err error) {
	e, err := a.openSession(ctx, r.Practice, r.Token)
	if err != nil {
		return "", Staff{}, err
	}
	at := attempt{practice: e.practice, user: e.user, device: r.Device, remote: r.RemoteAddr, agent: r.UserAgent,
		password: r.Password}
	who, _, err := a.prove(ctx, &at)
	if err != nil {
		return "", Staff{}, err
	}
	return a.reopen(ctx, e, "password", at.settle(who), r.RemoteAddr, r.UserAgent)
}

// openSession finds a session that has neither ended nor expired, locked or not.
func (a *Auth) openSession(ctx context.Context, slug, token string) (*cached, error) {
	e, err := a.session(ctx, digest(token))
	if err != nil {
		return nil, err
	}
	if e.practice.Slug != slug || !a.clock.Now().Before(e.expires) {
		return nil, signedOut()
	}
	return e, nil
}

// reopen gives a session a new token, unlocked.
func (a *Auth) reopen(ctx context.Context, e *cached, how string, settle func(context.Context, *db.Tx) error,
	remote, agent string) (token string, s Staff, err error) {
	by := a.asPerson(e.practice.ID, e.user, e.id, remote, agent)
	ev := audit.Event{Action: audit.ActionUnlock, Type: "Session", ID: e.id.String(), Detail: how}
	err = a.change(ctx, by, ev, func(tx *db.Tx) error {
		if err := settle(ctx, tx); err != nil {
			return err
		}
		var err error
		token, err = rotate(ctx, tx, e.token, e.proof)
		return err
	})
	a.sessions.forget(func(c *cached) bool { return c.token == e.token })
	if errors.Is(err, errSpent) {
		return "", Staff{}, refused()
	}
	if err != nil {
		return "", Staff{}, err
	}
	s, _, err = a.Resume(ctx, e.practice.Slug, token)
	return token, s, err
}

// StepUpRequest is what somebody enters to prove again that it is them.
type StepUpRequest struct {
	Password   string
	Code       string // asked for when the person has an authenticator app
	Device     string
	RemoteAddr string
	UserAgent  string
}

// StepUp records that the person has just proved to be themself with every factor they have, for [Auth.Recent]. The
// scope passed in is not changed; the next Resume knows.
func (a *Auth) StepUp(ctx context.Context, s Staff, r StepUpRequest) error {
	if !s.Valid() {
		return db.ErrNoScope
	}
	p, err := a.PracticeByID(ctx, s.Practice())
	if err != nil {
		return err
	}
	at := attempt{practice: p, user: s.UserID(), device: r.Device, remote: r.RemoteAddr, agent: r.UserAgent,
		password: r.Password, code: r.Code, second: true}
	who, how, err := a.prove(db.Plain(ctx), &at) // the attempt counts whatever comes of it
	if err != nil {
		return err
	}
	return a.stepUp(ctx, s, how, at.settle(who))
}

func (a *Auth) stepUp(ctx context.Context, s Staff, how proof, settle func(context.Context, *db.Tx) error) error {
	e := audit.Event{Action: audit.ActionStepUp, Type: "Session", ID: s.session.String(), Detail: how.String()}
	defer a.forgetUser(s.UserID())
	err := a.change(ctx, s, e, func(tx *db.Tx) error {
		if err := settle(ctx, tx); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, proveSession, 0, s.UserID(), tx.NowMicro(), int64(s.session))
		if err == nil && n == 0 {
			err = signedOut()
		}
		return err
	})
	if errors.Is(err, errSpent) {
		return refused()
	}
	return err
}
