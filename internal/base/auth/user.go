package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// User is a person who works in a practice.
type User struct {
	ID             int64
	Login          string // unique among all practices of the server; case does not matter
	Display        string // how colleagues see the person
	Locale         string // BCP 47, or "" for the practice's
	PractitionerID string // id of the Practitioner resource, or ""
	Roles          []Role // in the practice of the scope

	// Only in AddUser. Without a password the person gets in by an invitation or a passkey only.
	Password   string
	TOTPSecret string // base32; already in the person's app, as in a demonstration

	// Only from Users.
	Active       bool // in the practice of the scope
	SecondFactor bool // has an authenticator app or a passkey
	Created      time.Time
}

// foldLogin is the form logins are compared in: NFKC, lower case, no spaces around.
func foldLogin(login string) string {
	return strings.ToLower(norm.NFKC.String(strings.TrimSpace(login)))
}

// checkPerson checks what somebody is called.
func checkPerson(u User) error {
	login := foldLogin(u.Login)
	switch {
	case login == "" || len(login) > 200 || strings.ContainsAny(login, " \t\r\n"):
		return fhir.Problem("value", "A login is 1 to 200 bytes without spaces.", "Use a short name or a mail address.")
	case strings.TrimSpace(u.Display) == "" || len(u.Display) > 200:
		return fhir.Problem("value", "A person needs a name of at most 200 bytes.", "Give the name colleagues know.")
	case u.TOTPSecret != "" && !validSecret(u.TOTPSecret):
		return fhir.Problem("value", "The authenticator secret is not base32 of at least 80 bits.", "Copy it again from the app.")
	}
	return nil
}

// AddUser adds a person to sys's practice and returns their number, which is never used again. A login that exists
// in another practice is a conflict: [Auth.AddMembership] takes the person in.
func (a *Auth) AddUser(ctx context.Context, sys System, u User) (int64, error) {
	return a.addUser(ctx, sys, u)
}

// InviteUser is AddUser by an administrator, who never learns a password: the returned token lets the person choose
// one through [Auth.AcceptInvite] within three days.
func (a *Auth) InviteUser(ctx context.Context, by Staff, u User) (id int64, token string, err error) {
	if err := may(by, UserAdmin); err != nil {
		return 0, "", err
	}
	if err := a.Recent(by, StepUpWithin); err != nil {
		return 0, "", err
	}
	u.Password, u.TOTPSecret = "", ""
	if id, err = a.addUser(ctx, by, u); err != nil {
		return 0, "", err
	}
	token, err = a.Invite(ctx, by, id)
	return id, token, err
}

func (a *Auth) addUser(ctx context.Context, by db.Scope, u User) (int64, error) {
	if !by.Valid() {
		return 0, db.ErrNoScope
	}
	if err := checkPerson(u); err != nil {
		return 0, err
	}
	if err := a.checkRoles(ctx, by.Practice(), u.Roles); err != nil {
		return 0, err
	}
	p, err := a.PracticeByID(ctx, by.Practice())
	if err != nil {
		return 0, err
	}
	var stored string
	if u.Password != "" {
		if err := a.checkNew(u.Password, p, u.Login, u.Display); err != nil {
			return 0, err
		}
		if stored, err = a.hashes.hash(ctx, u.Password); err != nil {
			return 0, err
		}
	}
	var id int64
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", Detail: "person added as " + joinRoles(u.Roles)}
	err = a.change(ctx, by, e, func(tx *db.Tx) error {
		var err error
		id, err = insertUser(ctx, tx, by.Practice(), u, stored)
		return err
	})
	return id, err
}

func joinRoles(roles []Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, " ")
}

// AddMembership takes a person who has a login already into sys's practice, or changes what they are there.
func (a *Auth) AddMembership(ctx context.Context, sys System, login, practitionerID string, roles ...Role) (int64, error) {
	if err := a.checkRoles(ctx, sys.Practice(), roles); err != nil {
		return 0, err
	}
	var id int64
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", Detail: "person taken in as " + joinRoles(roles)}
	err := a.change(ctx, sys, e, func(tx *db.Tx) error {
		var err error
		if id, err = userOfLogin(ctx, tx, login); err != nil {
			return err
		}
		return setMembership(ctx, tx, sys.Practice(), id, rolesOf(roles), practitionerID)
	})
	a.forgetUser(id)
	return id, err
}

// SetRoles changes what a person is in the caller's practice and ends their sessions there, so that it holds at
// once. The last active administrator stays one.
func (a *Auth) SetRoles(ctx context.Context, by db.Scope, userID int64, roles ...Role) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	set := rolesOf(roles)
	if set == 0 {
		return fhir.Problem("value", "A person needs at least one role.", "Disable somebody who shall have none.")
	}
	if err := a.checkRoles(ctx, by.Practice(), set.list()); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", ID: userText(userID), Detail: "roles are now " + joinRoles(set.list())}
	defer a.forgetUser(userID)
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		if err := changeRoles(ctx, tx, by.Practice(), userID, set); err != nil {
			return err
		}
		return endSessions(ctx, tx, by.Practice(), userID, "roles changed")
	})
}

// Disable ends what a person may do in the caller's practice at once: membership, sessions and what they let programs do there. Somebody who
// then belongs to no practice is disabled altogether, with every session, known device and invitation. The last
// active administrator cannot be disabled.
func (a *Auth) Disable(ctx context.Context, by db.Scope, userID int64) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", ID: userText(userID), Detail: "disabled"}
	defer a.forgetUser(userID)
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		return disable(ctx, tx, by.Practice(), userID)
	})
}

// Enable undoes Disable for the caller's practice. Sessions, connected programs, devices and invitations do not come back.
func (a *Auth) Enable(ctx context.Context, by db.Scope, userID int64) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "User", ID: userText(userID), Detail: "enabled"}
	return a.change(ctx, by, e, func(tx *db.Tx) error { return enable(ctx, tx, by.Practice(), userID) })
}

// Users lists the people of the caller's practice by name.
func (a *Auth) Users(ctx context.Context, by db.Scope) ([]User, error) {
	if err := may(by, UserAdmin); err != nil {
		return nil, err
	}
	return a.users(ctx, by.Practice())
}

func (a *Auth) users(ctx context.Context, p db.PracticeID) ([]User, error) {
	var out []User
	err := a.db.View(ctx, system("users"), func(tx *db.Tx) error {
		var err error
		out, err = listUsers(ctx, tx, p)
		return err
	})
	slices.SortFunc(out, func(x, y User) int { return strings.Compare(x.Display, y.Display) })
	return out, err
}

// Names gives the display names of people for the audit and for "signed by" lines; numbers of nobody are left out.
// Any valid scope may ask: colleagues' names are no secret inside a practice.
func (a *Auth) Names(ctx context.Context, by db.Scope, ids []int64) (map[int64]string, error) {
	if by == nil || !by.Valid() {
		return nil, db.ErrNoScope
	}
	out := map[int64]string{}
	err := a.db.View(ctx, system("names"), func(tx *db.Tx) error { return names(ctx, tx, by.Practice(), ids, out) })
	return out, err
}

// Invite makes a token with which a person sets a password once, and ends the validity of earlier ones. Handing it
// over is the caller's: it must reach only the person.
func (a *Auth) Invite(ctx context.Context, by db.Scope, userID int64) (string, error) {
	if err := may(by, UserAdmin); err != nil {
		return "", err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return "", err
	}
	token := newToken()
	e := audit.Event{Action: audit.ActionAdmin, Type: "User", ID: userText(userID), Detail: "invited to choose a password"}
	err := a.change(ctx, by, e, func(tx *db.Tx) error {
		return setInvite(ctx, tx, by, userID, token, tx.Now().Add(inviteFor))
	})
	if err != nil {
		return "", err
	}
	return userText(userID) + "." + token, nil
}

const inviteFor = 72 * time.Hour

// ResetCredentials takes password, authenticator, passkeys, recovery codes, devices, sessions and connected programs from a person
// whose identity was proved in person, and returns an invitation. Nobody chooses a password for somebody else.
func (a *Auth) ResetCredentials(ctx context.Context, by db.Scope, userID int64) (string, error) {
	if err := may(by, UserAdmin); err != nil {
		return "", err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return "", err
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", ID: userText(userID), Detail: "credentials reset"}
	err := a.change(ctx, by, e, func(tx *db.Tx) error { return resetCredentials(ctx, tx, by, userID) })
	a.forgetUser(userID)
	if err != nil {
		return "", err
	}
	return a.Invite(ctx, by, userID)
}

// AcceptInvite sets the password of the person an invitation was made for. It works once.
func (a *Auth) AcceptInvite(ctx context.Context, practiceSlug, invite, password string) error {
	p, err := a.PracticeBySlug(ctx, practiceSlug)
	if err != nil {
		return err
	}
	var userID int64
	id, token, ok := strings.Cut(invite, ".")
	if _, err := fmt.Sscanf(id, "%x", &userID); err != nil || !ok || len(token) != 43 {
		return staleTicket()
	}
	var person person
	err = a.db.View(ctx, system("invite"), func(tx *db.Tx) error {
		var err error
		if person, err = personByID(ctx, tx, p.ID, userID); err != nil {
			return err
		}
		return inviteValid(ctx, tx, userID, token)
	})
	if err != nil {
		return err
	}
	if err := a.checkNew(password, p, person.login, person.display); err != nil {
		return err
	}
	stored, err := a.hashes.hash(ctx, password)
	if err != nil {
		return err
	}
	by := a.asPerson(p.ID, userID, 0, "", "")
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", ID: userText(userID), Detail: "password chosen by invitation"}
	defer a.forgetUser(userID)
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		if err := useInvite(ctx, tx, userID, token); err != nil {
			return err
		}
		return setPassword(ctx, tx, userID, stored)
	})
}

// ChangePassword replaces the person's own password and ends their other sessions.
func (a *Auth) ChangePassword(ctx context.Context, s Staff, password string) error {
	if err := a.recentOwn(ctx, s); err != nil {
		return err
	}
	p, err := a.PracticeByID(ctx, s.Practice())
	if err != nil {
		return err
	}
	if err := a.checkNew(password, p, s.Name()); err != nil {
		return err
	}
	stored, err := a.hashes.hash(ctx, password)
	if err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "password changed"}
	defer a.forgetUser(s.UserID())
	return a.change(ctx, s, e, func(tx *db.Tx) error {
		if err := setPassword(ctx, tx, s.UserID(), stored); err != nil {
			return err
		}
		return a.factorAdded(ctx, tx, s, 0)
	})
}

// EditProfile changes how colleagues see the person and in which language (BCP 47, or "") they work.
func (a *Auth) EditProfile(ctx context.Context, s Staff, display, locale string) error {
	if !s.Valid() {
		return db.ErrNoScope
	}
	display = strings.TrimSpace(display)
	if display == "" || len(display) > 200 || len(locale) > 35 {
		return fhir.Problem("value", "A person needs a name of at most 200 bytes and a known language.", "Shorten it.")
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "User", ID: userText(s.UserID()), Detail: "own profile changed"}
	defer a.forgetUser(s.UserID())
	return a.change(ctx, s, e, func(tx *db.Tx) error { return setProfile(ctx, tx, s, display, locale) })
}

// userText is how a person's number is written in the audit.
func userText(id int64) string { return fmt.Sprintf("%x", id) }

// forgetUser drops what is cached about a person's sessions.
func (a *Auth) forgetUser(id int64) {
	a.sessions.forget(func(c *cached) bool { return c.user == id })
	a.members.forget(id)
}
