package auth

import (
	"context"
	"errors"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// SignInRequest is what somebody enters to sign in.
type SignInRequest struct {
	Practice   string // slug
	Login      string
	Password   string
	Code       string // of the authenticator app, or a recovery code
	Device     string // token of RememberDevice from the browser's cookie, or ""
	RemoteAddr string
	UserAgent  string
}

// refused is the one answer to a failed sign-in, whatever was wrong with it.
func refused() *fhir.Issue {
	return fhir.Problem("login", "This did not work.",
		"Check login, password and code. A code works once; wait for the next one. Somebody who was invited sets a password first.")
}

// SignIn opens a session and returns its token, for a cookie. A failure is an Issue of code "login", the same for
// an unknown login, a wrong password, a wrong or used code and somebody disabled; of code "throttled" with
// [RetryAfter] when nothing was tried. A person who has no second factor yet gets a session in which they can do
// nothing but set one up.
func (a *Auth) SignIn(ctx context.Context, r SignInRequest) (token string, s Staff, err error) {
	p, err := a.PracticeBySlug(ctx, r.Practice)
	if err != nil {
		p = Practice{} // nobody belongs to practice 0
	}
	at := attempt{practice: p, login: r.Login, device: r.Device, remote: r.RemoteAddr, agent: r.UserAgent,
		password: r.Password, code: r.Code, second: true}
	who, how, err := a.prove(ctx, &at)
	if err != nil {
		return "", Staff{}, err
	}
	return a.open(ctx, p, who, how, origin{}, at.settle(who), r.RemoteAddr, r.UserAgent)
}

// open makes a session for a person who has proved to be themself. settle is what else belongs into the transaction
// and may still refuse.
func (a *Auth) open(ctx context.Context, p Practice, who person, how proof, from origin,
	settle func(context.Context, *db.Tx) error, remote, agent string) (token string, s Staff, err error) {
	var id SessionID
	err = a.db.Do(ctx, system("sign in"), func(tx *db.Tx) error {
		if err := settle(ctx, tx); err != nil {
			return err
		}
		var err error
		token, id, err = newSession(tx, p, who.id, how, from, remote, agent)
		return err
	})
	if errors.Is(err, errSpent) {
		return "", Staff{}, a.failed(ctx, p, who.id, remote, agent)
	}
	if err != nil {
		return "", Staff{}, err
	}
	// The token opens nothing to anybody until the sign-in is on record.
	e := audit.Event{Action: audit.ActionSignIn, Type: "Session", ID: id.String(),
		Detail: how.String() + "; roles " + joinRoles(who.roles.list())}
	if err := a.log.Seen(ctx, a.asPerson(p.ID, who.id, id, remote, agent), e); err != nil {
		return "", Staff{}, err
	}
	s, _, err = a.Resume(ctx, p.Slug, token)
	return token, s, err
}

// failed records a failed sign-in and returns the answer to it.
func (a *Auth) failed(ctx context.Context, p Practice, user int64, remote, agent string) error {
	if p.ID != 0 {
		e := audit.Event{Action: audit.ActionSignInFailed, Type: "Session", Outcome: audit.OutcomeRefused}
		if err := a.log.Seen(ctx, a.asPerson(p.ID, user, 0, remote, agent), e); err != nil {
			return err
		}
	}
	return refused()
}

// attempt is one try to prove who one is with a password.
type attempt struct {
	practice       Practice
	login          string // or
	user           int64
	device         string
	remote, agent  string
	password, code string
	second         bool // a second factor is asked for if the person has one

	known    bool // the device is
	subjects []subject
	step     int64 // of the code that was right, or
	recovery bool  // a recovery code was
}

// errSpent says that a code was used by somebody else in the meantime.
var errSpent = errors.New("auth: the code is spent")

// prove checks password and code. It does the same work whether or not there is such a person: one transaction that
// counts the attempt and reads, one password hash, one check of the code, and on failure one audit record.
func (a *Auth) prove(ctx context.Context, at *attempt) (person, proof, error) {
	var who person
	var recovery int64
	err := a.db.Do(ctx, system("prove"), func(tx *db.Tx) error {
		var err error
		if who, err = at.find(ctx, tx); err != nil {
			return err
		}
		if at.subjects, err = at.counted(ctx, tx, who); err != nil {
			return err
		}
		if err = count(ctx, tx, at.subjects); err != nil {
			return err
		}
		recovery, err = recoveryThere(ctx, tx, who.id, at.code)
		return err
	})
	var soon errTooSoon
	if errors.As(err, &soon) {
		return person{}, 0, soon.issue()
	}
	if err != nil {
		return person{}, 0, err
	}
	right, err := a.hashes.matches(ctx, who.password, at.password, at.known)
	if err != nil {
		return person{}, 0, err
	}
	step := totpStepOf(who.secret, at.code, a.clock.Now())
	how := proofPassword
	switch {
	case !who.active || at.practice.Access.Contract == ContractClosed || !at.practice.SignOn.allows(who.id):
		right = false
	case !at.second || !who.secondFactor():
	case step > who.totpStep:
		at.step, how = step, how|proofTOTP
	case recovery > 0:
		at.recovery, how = true, how|proofRecovery
	default:
		right = false
	}
	if !right {
		a.dropDevice(ctx, at, who)
		if err := a.tellFailures(ctx, at, who); err != nil {
			return person{}, 0, err
		}
		return person{}, 0, a.failed(ctx, at.practice, who.id, at.remote, at.agent)
	}
	return who, how, nil
}

// find reads the person the attempt is about; nobody is no error.
func (at *attempt) find(ctx context.Context, tx *db.Tx) (person, error) {
	if at.user != 0 {
		return findPerson(ctx, tx, personOfID, at.practice.ID, at.user)
	}
	return findPerson(ctx, tx, personOfLogin, at.practice.ID, loginKey(tx.Keys(), at.login))
}

// counted is what the attempt counts against.
func (at *attempt) counted(ctx context.Context, tx *db.Tx, who person) ([]subject, error) {
	k := tx.Keys()
	login := at.login
	if at.user != 0 {
		login = who.login
	}
	device := deviceHash(at.device)
	var err error
	if at.known, err = deviceKnown(ctx, tx, who.id, device); err != nil {
		return nil, err
	}
	if at.known {
		return []subject{{kind: byDevice, key: k.Hash("throttle.device", userText(who.id), string(device[:]))}}, nil
	}
	prefix := addressPrefix(at.remote)
	return []subject{
		{kind: byPair, key: k.Hash("throttle.pair", foldLogin(login), prefix)},
		{kind: byLogin, key: k.Hash("throttle.login", foldLogin(login))},
		{kind: byAddress, key: k.Hash("throttle.address", prefix)},
	}, nil
}

// settle is what a right attempt changes, in the transaction that uses it: the code is spent, the failures forgotten.
// It fails with errSpent when the code was used a moment ago, or when credentials changed since they were compared.
func (at *attempt) settle(who person) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		if at.step != 0 {
			if n, err := tx.Exec(ctx, useStep, 0, who.id, at.step); err != nil {
				return err
			} else if n == 0 {
				return errSpent
			}
		}
		if at.recovery {
			key := codeKey(tx.Keys(), who.id, kindRecovery, plainCode(at.code))
			if n, err := tx.Exec(ctx, useCode, 0, who.id, kindRecovery, key, tx.NowMicro()); err != nil {
				return err
			} else if n == 0 {
				return errSpent
			}
		}
		now, err := findPerson(ctx, tx, personOfID, at.practice.ID, who.id)
		if err != nil {
			return err
		}
		if !now.active || now.password != who.password {
			return errSpent
		}
		if device := deviceHash(at.device); at.known {
			tx.Queue(useDevice, 0, who.id, device[:], tx.NowMicro())
		}
		return uncount(ctx, tx, at.subjects)
	}
}

// DemoSignIn opens a session for a person of a demonstration without credentials. It is refused unless
// Options.Demo is set.
func (a *Auth) DemoSignIn(ctx context.Context, practice db.PracticeID, userID int64) (token string, s Staff, err error) {
	if !a.options.Demo {
		return "", Staff{}, forbidden()
	}
	p, err := a.PracticeByID(ctx, practice)
	if err != nil {
		return "", Staff{}, err
	}
	var who person
	err = a.db.View(ctx, system("demo"), func(tx *db.Tx) error {
		var err error
		who, err = personByID(ctx, tx, practice, userID)
		return err
	})
	if err != nil {
		return "", Staff{}, err
	}
	return a.open(ctx, p, who, proofDemo, origin{}, func(context.Context, *db.Tx) error { return nil }, "", "")
}

// DemoPeople lists whom DemoSignIn can sign in, by name. It is refused unless Options.Demo is set.
func (a *Auth) DemoPeople(ctx context.Context, practice db.PracticeID) ([]User, error) {
	if !a.options.Demo {
		return nil, forbidden()
	}
	return a.users(ctx, practice)
}
