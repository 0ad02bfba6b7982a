package auth

import (
	"context"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// PracticesOf lists the practices the person belongs to, the present one among them.
func (a *Auth) PracticesOf(ctx context.Context, s Staff) ([]Practice, error) {
	if !s.Valid() {
		return nil, db.ErrNoScope
	}
	all, err := a.Practices(ctx)
	if err != nil {
		return nil, err
	}
	var mine map[db.PracticeID]bool
	err = a.db.View(ctx, system("practices of a person"), func(tx *db.Tx) error {
		var err error
		mine, err = memberOf(ctx, tx, s.UserID())
		return err
	})
	var out []Practice
	for _, p := range all {
		if mine[p.ID] {
			out = append(out, p)
		}
	}
	return out, err
}

// Switch opens a session in another practice the person belongs to, without asking for credentials again: it counts
// as proved when and how the present one was, and ends no later. The present session goes on.
func (a *Auth) Switch(ctx context.Context, s Staff, practiceSlug, remote, agent string) (token string, in Staff, err error) {
	if !s.Valid() || s.session == 0 {
		return "", Staff{}, db.ErrNoScope
	}
	p, err := a.PracticeBySlug(ctx, practiceSlug)
	if err != nil {
		return "", Staff{}, err
	}
	var who person
	var how proof
	var from origin
	err = a.db.View(ctx, system("switch"), func(tx *db.Tx) error {
		var err error
		if how, from, err = continueFrom(ctx, tx, s); err != nil {
			return err
		}
		who, err = findPerson(ctx, tx, personOfID, p.ID, s.UserID())
		return err
	})
	if err != nil {
		return "", Staff{}, err
	}
	if how&(proofSignOn|proofSignOnStrong) != 0 {
		return "", Staff{}, fhir.Problem("forbidden", "This practice's sign-on opens no other practice.", "Sign in to the other practice by itself.")
	}
	if !who.active || p.Access.Contract == ContractClosed || !a.clock.Now().Before(from.expires) {
		return "", Staff{}, forbidden()
	}
	return a.open(ctx, p, who, how, from, func(context.Context, *db.Tx) error { return nil }, remote, agent)
}
