package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// membersDoc is what a practice takes along when it moves: what it is called, its rules, and everything its people need to sign in.
// Recovery codes, sessions, known devices and invitations stay behind: they are kept as hashes under keys of the installation.
type membersDoc struct {
	Slug     string        `json:"slug"`
	Name     string        `json:"name"`
	Idle     int64         `json:"idleSeconds"`
	Absolute int64         `json:"absoluteSeconds"`
	MFA      bool          `json:"mfa"`
	People   []memberEntry `json:"people"`
}

type memberEntry struct {
	ID           int64         `json:"id"`
	Login        string        `json:"login"`
	Display      string        `json:"display"`
	Locale       string        `json:"locale,omitempty"`
	Handle       []byte        `json:"handle"` // of passkeys
	Active       bool          `json:"active"`
	Roles        int64         `json:"roles"`
	Practitioner string        `json:"practitioner,omitempty"`
	Password     string        `json:"password,omitempty"` // its argon2id hash
	TOTP         string        `json:"totp,omitempty"`
	Step         int64         `json:"totpStep,omitempty"` // the last code that was used
	Passkeys     []passkeyBody `json:"passkeys,omitempty"`
}

// Joined says what became of one person of a practice that came from elsewhere.
type Joined struct {
	Login, Display string
	ID, Was        int64 // the person's number here, and where the practice came from
	// Known: there was such a login here. Its own credentials stay. Unless it is the same account (same passkey handle), the
	// membership is disabled until somebody has made sure that it is the same person.
	Known, Disabled bool
}

// Members gives the practice's memberships with logins and credentials, for a backup of the practice alone. It holds secrets: the
// backup seals it under the practice's key.
func (a *Auth) Members(ctx context.Context, sys System) ([]byte, error) {
	p, err := a.PracticeByID(ctx, sys.Practice())
	if err != nil {
		return nil, err
	}
	doc := membersDoc{Slug: p.Slug, Name: p.Name, Idle: int64(p.Settings.Idle.Seconds()), Absolute: int64(p.Settings.Absolute.Seconds()), MFA: p.Settings.MFA}
	err = a.db.View(ctx, system("members"), func(tx *db.Tx) (err error) {
		doc.People, err = membersOf(ctx, tx, p.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// Adopt lists a practice whose store came from elsewhere together with its people, from what Members gave there. slug and name
// replace those it had, when they are given. An Issue of code "conflict" says that the number or the slug is taken.
func (a *Auth) Adopt(ctx context.Context, id db.PracticeID, members []byte, slug, name string) ([]Joined, error) {
	var doc membersDoc
	if err := json.Unmarshal(members, &doc); err != nil {
		return nil, fhir.Problem("exception", "The memberships in the backup cannot be read.", "Restore with --slug and --name, and add the people anew.").Because(err)
	}
	if slug != "" {
		doc.Slug, doc.Name = slug, strings.TrimSpace(name)
	}
	if err := checkPractice(doc.Slug, doc.Name); err != nil {
		return nil, err
	}
	var out []Joined
	e := audit.Event{Action: audit.ActionAdmin, Type: "Practice", ID: doc.Slug, Detail: fmt.Sprintf("practice adopted after a restore, with %d people", len(doc.People))}
	defer a.known.forget()
	err := a.change(ctx, SystemScope(id, "adopt practice"), e, func(tx *db.Tx) error {
		out = nil
		if err := adoptPractice(ctx, tx, id, doc.Slug, doc.Name); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setPracticeSettings, 0, int64(id), doc.Idle, doc.Absolute, map[bool]int{true: 1}[doc.MFA]); err != nil {
			return err
		}
		for _, m := range doc.People {
			j, err := m.join(ctx, tx, id)
			if err != nil {
				return err
			}
			out = append(out, j)
		}
		return nil
	})
	for _, j := range out {
		a.forgetUser(j.ID)
	}
	return out, err
}

// join takes one person in.
func (m memberEntry) join(ctx context.Context, tx *db.Tx, p db.PracticeID) (Joined, error) {
	j := Joined{Login: m.Login, Display: m.Display, Was: m.ID}
	state := stateDisabled
	if m.Active {
		state = stateActive
	}
	id, same, err := accountLike(ctx, tx, m)
	switch {
	case err == nil:
		j.ID, j.Known, j.Disabled = id, true, !same
		if !same {
			state = stateDisabled
		}
	case errors.Is(err, db.ErrNoRows):
		if j.ID, err = m.account(ctx, tx); err != nil {
			return j, err
		}
	default:
		return j, err
	}
	tx.InsertMany(insertMembership, [][]any{{0, int64(p), j.ID, m.Roles, m.Practitioner, state, tx.NowMicro()}})
	return j, nil
}
