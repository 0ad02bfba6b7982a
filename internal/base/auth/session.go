package auth

import (
	"context"
	"crypto/sha256"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// proof is how somebody proved to be themself in a session.
type proof int64

const (
	proofPassword proof = 1 << iota
	proofTOTP
	proofPasskey
	proofRecovery
	proofDemo
	proofSignOn       // an identity provider said so
	proofSignOnStrong // and that there were two factors
)

// strong is whether a session has two factors. A passkey is two: the device and what unlocks it. An identity provider's word
// is one, unless it says that it saw two.
func (p proof) strong() bool {
	return p&(proofPasskey|proofDemo|proofSignOnStrong) != 0 || p&proofPassword != 0 && p&(proofTOTP|proofRecovery) != 0
}

// String is how the audit writes it.
func (p proof) String() string {
	out := ""
	for i, w := range []string{"password", "authenticator app", "passkey", "recovery code", "demonstration", "sign-on", "sign-on with two factors"} {
		if p&(1<<i) != 0 {
			if out != "" {
				out += ", "
			}
			out += w
		}
	}
	return out
}

// SessionState is how a session stands. It is filled in also when the session is locked.
type SessionState struct {
	Session   SessionID
	Name      string    // of the person, for the lock screen
	Locked    bool      // content must be hidden; Unlock or a passkey opens it
	MustEnrol bool      // a second factor is still missing: only the account's security pages work
	Demo      bool      // signed in without credentials, in a demonstration
	Recovered bool      // signed in with a recovery code: the person should set up a new second factor
	IdleAt    time.Time // when it locks without activity
	ExpiresAt time.Time // when it ends
	ProvedAt  time.Time // when the person last proved to be themself
}

// flushEvery is how much activity may be lost in a crash; the person then has to unlock that much earlier.
const flushEvery = 15 * time.Second

// signedOut is the answer to any token that opens nothing.
func signedOut() *fhir.Issue {
	return fhir.Problem("login", "You are signed out.", "Sign in again; what you had begun to write is kept.")
}

// goneIsOut has somebody whose practice is not there signed out. That the database does not say is another matter: whoever takes it
// for the end of a session or a token throws away what is good again in a moment.
func goneIsOut(err error) error {
	if NoPractice(err) {
		return signedOut().Because(err)
	}
	return err
}

// Resume returns who a session token belongs to and counts as activity. A session idle for too long comes back
// locked, with a zero Staff that opens nothing. The error is an Issue of code "login" when the token opens nothing
// in this practice.
func (a *Auth) Resume(ctx context.Context, practiceSlug, token string) (Staff, SessionState, error) {
	return a.resume(ctx, practiceSlug, token, true)
}

// Peek is Resume without counting as activity: for live updates and polls that no person asked for.
func (a *Auth) Peek(ctx context.Context, practiceSlug, token string) (Staff, SessionState, error) {
	return a.resume(ctx, practiceSlug, token, false)
}

func (a *Auth) resume(ctx context.Context, slug, token string, active bool) (Staff, SessionState, error) {
	e, err := a.session(ctx, digest(token))
	if err != nil {
		return Staff{}, SessionState{}, err
	}
	now := a.clock.Now()
	if e.practice.Slug != slug || !now.Before(e.expires) {
		return Staff{}, SessionState{}, signedOut()
	}
	rules, err := a.rulesOf(ctx, e.practice.ID)
	if err != nil {
		return Staff{}, SessionState{}, err
	}
	e.mu.Lock()
	if e.rules != rules || !e.lapse.IsZero() && !now.Before(e.lapse) {
		e.grant(rules, now)
	}
	idle := !e.locked && now.Sub(e.seen) >= e.practice.Settings.Idle
	if idle {
		e.locked = true
	}
	if active && !e.locked {
		e.seen = now
	}
	state, staff := e.state(), Staff{}
	if !e.locked {
		staff = e.staff()
	}
	e.mu.Unlock()
	if idle {
		if err := a.lock(ctx, e, "idle"); err != nil {
			return Staff{}, state, err
		}
	}
	a.flushSoon()
	return staff, state, nil
}

// session finds a session by the hash of its token, in memory while that is fresh enough.
func (a *Auth) session(ctx context.Context, token [sha256.Size]byte) (*cached, error) {
	e, forgets := a.sessions.get(token)
	if e != nil && a.fresh(e.read) {
		return e, nil
	}
	now := a.clock.Now()
	err := a.db.View(ctx, system("session"), func(tx *db.Tx) error {
		var err error
		e, err = loadSession(ctx, tx, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e == nil {
		a.sessions.drop(token)
		return nil, signedOut()
	}
	if e.practice, err = a.PracticeByID(ctx, e.practice.ID); err != nil {
		return nil, goneIsOut(err)
	}
	if e.practice.Access.Contract == ContractClosed {
		return nil, signedOut()
	}
	e.read = now
	a.sessions.put(e, forgets)
	return e, nil
}

// grant computes what the session may do under the practice's rules. The caller holds e.mu.
func (e *cached) grant(r *rules, now time.Time) {
	e.rules, e.lapse = r, time.Time{}
	if e.practice.Settings.MFA && !e.proof.strong() {
		e.access, e.permissions = &Access{}, onlyAccountSecurity()
		return
	}
	e.access, e.permissions, e.lapse = r.forStaff(e.practice, e.user, e.practitioner, e.roles, now)
}

// staff makes the scope. The caller holds e.mu.
func (e *cached) staff() Staff {
	return Staff{
		Seal: db.NewSeal(e.practice.ID, db.Actor{
			Kind: kindStaff, UserID: e.user, Display: e.name, FHIR: e.practitioner, Session: e.id.String(), Role: e.roles.text(),
		}),
		session: e.id, name: e.name, practitioner: e.practitioner, locale: e.locale,
		roles: e.roles, access: e.access, permissions: e.permissions, proved: e.proved,
	}
}

func (e *cached) state() SessionState {
	return SessionState{
		Session: e.id, Name: e.name, Locked: e.locked,
		MustEnrol: e.practice.Settings.MFA && !e.proof.strong(),
		Demo:      e.proof&proofDemo != 0,
		Recovered: e.proof&proofRecovery != 0,
		IdleAt:    e.seen.Add(e.practice.Settings.Idle),
		ExpiresAt: e.expires,
		ProvedAt:  e.proved,
	}
}

// Lock hides the content of the person's session until they unlock it. What they had begun to write is kept.
func (a *Auth) Lock(ctx context.Context, practiceSlug, token string) error {
	e, err := a.session(ctx, digest(token))
	if err != nil {
		return err
	}
	if e.practice.Slug != practiceSlug {
		return signedOut()
	}
	e.mu.Lock()
	e.locked = true
	e.mu.Unlock()
	return a.lock(ctx, e, "by the person")
}

// lock stores that a session is locked and records it. In memory it is locked already.
func (a *Auth) lock(ctx context.Context, e *cached, why string) error {
	ctx = context.WithoutCancel(ctx)
	err := a.db.Do(ctx, system("lock"), func(tx *db.Tx) error { return setLocked(ctx, tx, e.token) })
	if err != nil {
		return err
	}
	return a.log.Seen(ctx, a.asPerson(e.practice.ID, e.user, e.id, "", ""),
		audit.Event{Action: audit.ActionLock, Type: "Session", ID: e.id.String(), Detail: why})
}

// SignOut ends the session of a token. A token that opens nothing is no error.
func (a *Auth) SignOut(ctx context.Context, practiceSlug, token string) error {
	e, err := a.session(ctx, digest(token))
	if err != nil || e.practice.Slug != practiceSlug {
		return nil
	}
	return a.end(ctx, e, "signed out")
}

// EndSession ends one of the person's own sessions, as from the list of [Auth.Sessions].
func (a *Auth) EndSession(ctx context.Context, s Staff, id SessionID) error {
	defer a.forgetUser(s.UserID())
	return a.change(ctx, s, audit.Event{Action: audit.ActionSignOut, Type: "Session", ID: id.String(), Detail: "ended from another session"},
		func(tx *db.Tx) error { return endSessionByID(ctx, tx, s.UserID(), id) })
}

func (a *Auth) end(ctx context.Context, e *cached, why string) error {
	defer a.sessions.forget(func(c *cached) bool { return c.token == e.token })
	by := a.asPerson(e.practice.ID, e.user, e.id, "", "")
	return a.change(ctx, by, audit.Event{Action: audit.ActionSignOut, Type: "Session", ID: e.id.String(), Detail: why},
		func(tx *db.Tx) error { return endSession(ctx, tx, e.token, why) })
}

// SignOutEverywhere ends every session of a person and forgets their known devices: their own wish, or that of
// somebody with UserAdmin for the caller's practice only.
func (a *Auth) SignOutEverywhere(ctx context.Context, by db.Scope, userID int64) error {
	practice := by.Practice()
	if s, ok := by.(Staff); ok && s.UserID() == userID {
		practice = 0
	} else if err := may(by, UserAdmin); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionSignOut, Type: "User", ID: userText(userID), Detail: "signed out everywhere"}
	defer a.forgetUser(userID)
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		if practice == 0 {
			tx.Queue(dropDevices, 0, userID)
		}
		return endSessions(ctx, tx, practice, userID, "signed out everywhere")
	})
}

// SessionEntry is one session in the list a person sees of their own.
type SessionEntry struct {
	ID       SessionID
	Practice db.PracticeID
	Address  string
	Browser  string // family, such as "Firefox on Windows"
	Created  time.Time
	Seen     time.Time
	Locked   bool
	Device   string // Device.ID, or ""
}

// Sessions lists the person's own open sessions in all practices, the latest first.
func (a *Auth) Sessions(ctx context.Context, s Staff) ([]SessionEntry, error) {
	if !s.Valid() {
		return nil, db.ErrNoScope
	}
	if err := a.Flush(ctx); err != nil {
		return nil, err
	}
	var out []SessionEntry
	err := a.db.View(ctx, system("sessions"), func(tx *db.Tx) error {
		var err error
		out, err = listSessions(ctx, tx, s.UserID())
		return err
	})
	return out, err
}

// flushSoon stores activity in the background when that is due.
func (a *Auth) flushSoon() {
	stale := a.sessions.stale(a.clock.Now(), false)
	if len(stale) == 0 {
		return
	}
	go func() {
		// A failure leaves the activity unsaved until the next time; the session locks a little early at worst.
		_ = a.storeActivity(context.Background(), stale)
		a.sessions.mu.Lock()
		a.sessions.flushing = false
		a.sessions.mu.Unlock()
	}()
}

// Flush stores the activity of all sessions. Call it before the database closes.
func (a *Auth) Flush(ctx context.Context) error {
	return a.storeActivity(ctx, a.sessions.stale(a.clock.Now(), true))
}

func (a *Auth) storeActivity(ctx context.Context, stale []*cached) error {
	if len(stale) == 0 {
		return nil
	}
	seen := make([]time.Time, len(stale))
	for i, e := range stale {
		e.mu.Lock()
		seen[i] = e.seen
		e.mu.Unlock()
	}
	err := a.db.Do(ctx, system("activity"), func(tx *db.Tx) error {
		for i, e := range stale {
			touchSession(tx, e.token, seen[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, e := range stale {
		e.mu.Lock()
		if seen[i].After(e.persisted) {
			e.persisted = seen[i]
		}
		e.mu.Unlock()
	}
	return nil
}

// asPerson is the scope of a person who acts on their own account before, or outside, a Staff scope. It is for the
// audit and the package's own work only and never leaves the package.
func (a *Auth) asPerson(p db.PracticeID, user int64, session SessionID, remote, agent string) System {
	actor := db.Actor{Kind: kindStaff, UserID: user}
	if user == 0 {
		actor.Display = "unknown"
	}
	if session != 0 {
		actor.Session = session.String()
	}
	if remote != "" || agent != "" {
		actor.Client = hostOf(remote) + " " + browserFamily(agent)
	}
	return System{db.NewSeal(p, actor)}
}
