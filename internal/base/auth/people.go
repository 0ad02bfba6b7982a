package auth

import (
	"context"
	"slices"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

// failuresTold is after how many failures in a row people with UserAdmin are told.
const failuresTold = 10

// Person finds one person of the caller's practice, also a disabled one.
func (a *Auth) Person(ctx context.Context, by db.Scope, id int64) (User, error) {
	all, err := a.Users(ctx, by)
	if err != nil {
		return User{}, err
	}
	if i := slices.IndexFunc(all, func(u User) bool { return u.ID == id }); i >= 0 {
		return all[i], nil
	}
	return User{}, noSuchUser()
}

// SessionsOf lists a person's open sessions in the caller's practice, the latest first.
func (a *Auth) SessionsOf(ctx context.Context, by db.Scope, id int64) ([]SessionEntry, error) {
	if err := may(by, UserAdmin); err != nil {
		return nil, err
	}
	if err := a.Flush(ctx); err != nil {
		return nil, err
	}
	var out []SessionEntry
	err := a.db.View(ctx, system("sessions"), func(tx *db.Tx) error {
		all, err := listSessions(ctx, tx, id)
		for _, e := range all {
			if e.Practice == by.Practice() {
				out = append(out, e)
			}
		}
		return err
	})
	return out, err
}

// SignIns lists a person's latest sign-ins, failed and not, and what ended them, from the caller's practice's audit:
// newest first, at most n.
func (a *Auth) SignIns(ctx context.Context, by db.Scope, id int64, n int) ([]audit.Entry, error) {
	if s, ok := by.(Staff); !ok || s.UserID() != id {
		if err := may(by, UserAdmin); err != nil {
			return nil, err
		}
	}
	var out []audit.Entry
	for _, action := range []string{audit.ActionSignIn, audit.ActionSignInFailed, audit.ActionSignOut, audit.ActionStepUp} {
		some, err := a.log.Find(ctx, by, audit.Filter{UserID: id, Action: action, Limit: n})
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	slices.SortFunc(out, func(x, y audit.Entry) int { return int(min(max(y.ID-x.ID, -1), 1)) })
	return out[:min(n, len(out))], nil
}

// tellFailures tells those with UserAdmin that somebody keeps failing to sign in, once a row of failures.
func (a *Auth) tellFailures(ctx context.Context, at *attempt, who person) error {
	told := false
	for _, s := range at.subjects {
		told = told || s.failures == failuresTold && (s.kind.name == byLogin.name || s.kind.name == byDevice.name)
	}
	if !told || at.practice.ID == 0 {
		return nil
	}
	n := Notice{For: UserAdmin, Kind: NoticeFailed, Person: who.display, Detail: hostOf(at.remote), Ref: who.id}
	if !who.active {
		n.Person, n.Ref = "", 0
	}
	return a.db.Do(ctx, SystemScope(at.practice.ID, "sign-in failures"), func(tx *db.Tx) error { return a.notify(ctx, tx, n) })
}
