package auth

import (
	"context"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// SignOnRule says how the people of a practice may sign in beside its identity provider.
type SignOnRule struct {
	Only     bool    // own passwords and passkeys open nothing, except for
	Recovery []int64 // these people: the way back in when the provider is away
}

// allows says whether a person's own credentials count in the practice.
func (r SignOnRule) allows(user int64) bool { return !r.Only || slices.Contains(r.Recovery, user) }

// Assured is what an identity provider said about somebody. Whoever makes one has proven the provider's word: package signon alone.
type Assured struct {
	Practice   Practice
	Connection string    // the provider's id in the practice
	Subject    string    // the provider's own name of the person, which it gives to nobody else
	Mail       string    // "" unless the practice believes this provider about this address
	Display    string    // for a person who is added
	Strong     bool      // two factors
	At         time.Time // when the person last proved to the provider who they are; zero: it did not say
	Roles      []Role    // what the provider's groups stand for
	Follow     bool      // the person's roles are those of the groups, each time
	Create     bool      // somebody unknown is added, if the groups give them a role
	RemoteAddr string
	UserAgent  string
}

// freshProof is how recently somebody must have proved to the provider who they are when that was asked for just now.
const freshProof = 5 * time.Minute

// strangerHere is the answer to somebody whom the provider knows and the practice does not. Somebody disabled gets the same.
func strangerHere() *fhir.Issue {
	return fhir.Problem("login", "Your organisation knows you, but nobody in this practice signs in as you.",
		"Ask an administrator of the practice to invite you under the mail address of your organisation.")
}

// SignOn opens a session for the person whom a provider vouches for and returns its token. Who that is: the person linked to the
// subject; otherwise whoever an administrator expects under the mail address, or has it as login, and is linked to nobody else
// there; otherwise, if the connection adds people and their groups give them a role, somebody new. Rights never come from the
// provider except through groups that an administrator mapped to roles.
func (a *Auth) SignOn(ctx context.Context, w Assured) (token string, s Staff, err error) {
	who, settle, err := a.vouched(ctx, w)
	if err != nil {
		return "", Staff{}, err
	}
	from := origin{proved: time.Unix(0, 0), expires: a.clock.Now().Add(w.Practice.Settings.Absolute)}
	if !w.At.IsZero() {
		from.proved = w.At
	}
	return a.open(ctx, w.Practice, who, w.proof(), from, settle, w.RemoteAddr, w.UserAgent)
}

// SignOnUnlock opens a locked session again for the person it belongs to, and gives it a new token.
func (a *Auth) SignOnUnlock(ctx context.Context, w Assured, token string) (string, Staff, error) {
	e, err := a.openSession(ctx, w.Practice.Slug, token)
	if err != nil {
		return "", Staff{}, err
	}
	who, settle, err := a.again(ctx, w)
	if err != nil {
		return "", Staff{}, err
	}
	if who.id != e.user {
		return "", Staff{}, otherPerson()
	}
	return a.reopen(ctx, e, w.proof().String(), settle, w.RemoteAddr, w.UserAgent)
}

// SignOnStepUp records that the person has just proved again who they are, to the provider.
func (a *Auth) SignOnStepUp(ctx context.Context, s Staff, w Assured) error {
	if !s.Valid() || s.Practice() != w.Practice.ID {
		return db.ErrNoScope
	}
	who, settle, err := a.again(ctx, w)
	if err != nil {
		return err
	}
	if who.id != s.UserID() {
		return otherPerson()
	}
	return a.stepUp(ctx, s, w.proof(), settle)
}

func otherPerson() *fhir.Issue {
	return fhir.Problem("login", "Your organisation says that you are somebody else.",
		"Sign out there, and sign in as the person whose session this is.")
}

// again is vouched for somebody who was asked to prove anew who they are: a word the provider gave earlier is not enough.
func (a *Auth) again(ctx context.Context, w Assured) (person, func(context.Context, *db.Tx) error, error) {
	if w.At.IsZero() || a.clock.Since(w.At) > freshProof {
		return person{}, nil, fhir.Problem("login", "Your organisation did not ask you again who you are.",
			"Sign out there and try once more, or use a password or passkey of your own.")
	}
	w.Create, w.Follow = false, false
	return a.vouched(ctx, w)
}

func (w Assured) proof() proof {
	if w.Strong {
		return proofSignOnStrong
	}
	return proofSignOn
}

// vouched finds the person, and gives what belongs into the transaction that uses the provider's word.
func (a *Auth) vouched(ctx context.Context, w Assured) (who person, settle func(context.Context, *db.Tx) error, err error) {
	p := w.Practice
	if w.Connection == "" || w.Subject == "" || p.ID == 0 {
		return who, nil, db.ErrNoScope
	}
	r, err := a.rulesOf(ctx, p.ID)
	if err != nil {
		return who, nil, err
	}
	w.Roles = r.matrix.known(rolesOf(w.Roles)).list() // a group may stand for a role that was retired
	err = a.db.View(ctx, system("sign-on"), func(tx *db.Tx) error {
		who, err = whoIs(ctx, tx, w)
		return err
	})
	if err != nil {
		return who, nil, err
	}
	if who.id == 0 && w.Create && len(w.Roles) > 0 && w.Mail != "" && p.Access.Contract != ContractClosed {
		if err := a.welcome(ctx, w); err != nil {
			return who, nil, err
		}
		err = a.db.View(ctx, system("sign-on"), func(tx *db.Tx) error {
			who, err = whoIs(ctx, tx, w)
			return err
		})
		if err != nil {
			return who, nil, err
		}
	}
	refuse := func(i *fhir.Issue) (person, func(context.Context, *db.Tx) error, error) {
		if err := a.failed(ctx, p, who.id, w.RemoteAddr, w.UserAgent); !isRefusal(err) {
			return who, nil, err
		}
		return who, nil, i
	}
	switch {
	case who.id == 0 || !who.active || p.Access.Contract == ContractClosed:
		return refuse(strangerHere())
	case p.Settings.MFA && !w.Strong:
		return refuse(fhir.Problem("login", "Your organisation did not say that you used a second factor.",
			"Use one when you sign in there. If you did, an administrator sets in the connection how your organisation says so."))
	case w.Follow && len(w.Roles) == 0:
		return refuse(fhir.Problem("login", "Your organisation's groups give you no role in this practice.",
			"Ask whoever looks after the groups, or an administrator of the practice."))
	}
	if set := rolesOf(w.Roles); w.Follow && set != who.roles {
		if err := a.SetRoles(ctx, SystemScope(p.ID, "sign-on"), who.id, w.Roles...); err != nil {
			return who, nil, err
		}
		who.roles = set
	}
	return who, func(ctx context.Context, tx *db.Tx) error {
		now, err := findPerson(ctx, tx, personOfID, p.ID, who.id)
		if err != nil {
			return err
		}
		if !now.active {
			return errSpent
		}
		return useLink(ctx, tx, w, who.id)
	}, nil
}

// isRefusal says that an error is the common answer to a failed sign-in, and no fault of the program.
func isRefusal(err error) bool {
	i, ok := err.(*fhir.Issue)
	return ok && i.Code == "login"
}

// welcome adds somebody whom the practice's groups give a role.
func (a *Auth) welcome(ctx context.Context, w Assured) error {
	name := strings.TrimSpace(w.Display)
	if name == "" || len(name) > 200 {
		name = w.Mail
	}
	_, err := a.addUser(ctx, SystemScope(w.Practice.ID, "sign-on"), User{Login: w.Mail, Display: name, Roles: w.Roles})
	if i, ok := err.(*fhir.Issue); ok && i.Code == "conflict" {
		return strangerHere() // works in another practice: an administrator takes them in
	}
	return err
}

// SignOnLink is one person at an identity provider.
type SignOnLink struct {
	Connection string
	User       int64
	Name       string
	Mail       string // what they are expected with, or came with last
	Linked     bool   // false: expected
	Created    time.Time
	Used       time.Time // zero: never
}

// SignOnLinks lists who is linked to, or expected from, a connection of the caller's practice, by name.
func (a *Auth) SignOnLinks(ctx context.Context, by db.Scope, connection string) (out []SignOnLink, err error) {
	if err := may(by, UserAdmin); err != nil {
		return nil, err
	}
	err = a.db.View(ctx, system("sign-on links"), func(tx *db.Tx) error {
		if out, err = links(ctx, tx, by.Practice(), connection); err != nil {
			return err
		}
		ids := make([]int64, 0, len(out))
		for _, l := range out {
			ids = append(ids, l.User)
		}
		known := map[int64]string{}
		if err := names(ctx, tx, by.Practice(), ids, known); err != nil {
			return err
		}
		for i := range out {
			out[i].Name = known[out[i].User]
		}
		return nil
	})
	slices.SortFunc(out, func(x, y SignOnLink) int { return strings.Compare(x.Name, y.Name) })
	return out, err
}

// ExpectSignOn says under which mail address a person will come from a provider for the first time, when that is not their login.
// A link they have there is undone.
func (a *Auth) ExpectSignOn(ctx context.Context, by db.Scope, connection string, user int64, mail string) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	if mail = foldLogin(mail); !strings.Contains(mail, "@") || len(mail) > 200 || strings.ContainsAny(mail, " \t\r\n") {
		return fhir.Problem("value", "This is no mail address.", "Write the address that the organisation's sign-in gives, such as ann@example.org.").At("mail")
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", ID: userText(user), Detail: "expected from sign-on " + connection}
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		if _, err := personByID(ctx, tx, by.Practice(), user); err != nil {
			return err
		}
		return expectLink(ctx, tx, by.Practice(), connection, user, mail)
	})
}

// UnlinkSignOn undoes a link and ends the person's sessions in the practice.
func (a *Auth) UnlinkSignOn(ctx context.Context, by db.Scope, connection string, user int64) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", ID: userText(user), Detail: "no longer linked to sign-on " + connection}
	defer a.forgetUser(user)
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		if n, err := tx.Exec(ctx, dropLink, 0, int64(by.Practice()), connection, user); err != nil {
			return err
		} else if n == 0 {
			return noSuchUser()
		}
		return endSessions(ctx, tx, by.Practice(), user, "sign-on was unlinked")
	})
}

// EndSignOn undoes every link of a connection and ends the sessions that came through identity providers of the practice: for a
// connection that is removed, or switched off because it cannot be believed any more.
func (a *Auth) EndSignOn(ctx context.Context, by db.Scope, connection string, unlink bool) error {
	if err := may(by, PracticeAdmin); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Practice", Detail: "sessions of sign-on " + connection + " ended"}
	defer a.forgetPractice(by.Practice())
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		if unlink {
			tx.Queue(dropLinks, 0, int64(by.Practice()), connection)
		}
		_, err := tx.Exec(ctx, endSignedOn, 0, int64(by.Practice()), int64(proofSignOn|proofSignOnStrong), "sign-on ended")
		return err
	})
}

// SetSignOnRule says whether people sign in through the provider only. At least one administrator with a password or passkey and
// a second factor keeps their own way in, so that an identity provider that is away, or taken over, does not shut the practice.
func (a *Auth) SetSignOnRule(ctx context.Context, by db.Scope, r SignOnRule) error {
	if err := may(by, PracticeAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	if len(r.Recovery) > 10 {
		return fhir.Problem("value", "These are too many people.", "Choose at most ten who keep a way in of their own.").At("recovery")
	}
	what := "people may sign in with credentials of their own"
	if r.Only {
		what = "people sign in through the identity provider only"
	}
	defer a.forgetPractice(by.Practice())
	return a.change(ctx, by, audit.Event{Action: audit.ActionPrivilege, Type: "Setting", Detail: what}, func(tx *db.Tx) error {
		kept := false
		for _, id := range r.Recovery {
			who, err := personByID(ctx, tx, by.Practice(), id)
			if err != nil {
				return err
			}
			kept = kept || who.roles&isAdministrator != 0 && who.secondFactor() && (who.password != "" || who.passkeys > 0)
		}
		if r.Only && !kept {
			return fhir.Problem("business-rule", "Nobody could get in when the identity provider is away.",
				"Choose at least one administrator who has a passkey, or a password with an authenticator app.").At("recovery")
		}
		return setSignOnRule(ctx, tx, by.Practice(), r)
	})
}

// recentOwn is Recent for changes of a person's own credentials. Whoever runs the identity provider of one practice could act as
// any of its people; somebody who works elsewhere too must not lose their other practices to them.
func (a *Auth) recentOwn(ctx context.Context, s Staff) error {
	if err := a.Recent(s, StepUpWithin); err != nil {
		return err
	}
	return a.db.View(ctx, system("own credentials"), func(tx *db.Tx) error {
		how, _, err := continueFrom(ctx, tx, s)
		if err != nil || how&(proofSignOn|proofSignOnStrong) == 0 {
			return err
		}
		var n int64
		if err := tx.QueryRow(ctx, otherPractices, 0, s.UserID(), stateActive).Scan(&n); err != nil || n <= 1 {
			return err
		}
		return fhir.Problem("forbidden", "You work in other practices too, and came in through the sign-on of this one.",
			"Sign in with your own password or passkey to change how you sign in.")
	})
}
