package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// Options say how people sign in.
type Options struct {
	Demo    bool     // allows DemoSignIn: for `yarrow demo` only, refused by a production serve
	RPID    string   // domain that passkeys are bound to, such as "ehr.example.org" or "localhost"; "" turns passkeys off
	Origins []string // origins passkeys may be used from, such as "https://ehr.example.org"

	// Published says of a password that everybody can know it, such as those of a demonstration: it is not taken, and opens nothing
	// where it was brought along. nil: none is.
	Published func(password string) bool

	// PasswordHashes is how many passwords are hashed at once, each taking 19 MiB; 0 means 2.
	PasswordHashes int
}

// Auth answers who is asking. It is safe for concurrent use.
type Auth struct {
	db       *db.DB
	log      *audit.Log
	clock    *clock.Clock
	options  Options
	hashes   *hasher
	sessions *sessionCache
	known    practiceCache
	members  memberCache
	rules    rulesCache
	tell     func(ctx context.Context, tx *db.Tx, kind string) error
	web      *webauthn.WebAuthn // nil without passkeys
	webErr   error

	mu   sync.Mutex
	keys *keys.Practice // of the system store, once known
}

// New returns the Auth of the people and practices kept in d.
func New(d *db.DB, log *audit.Log, o Options) *Auth {
	if o.PasswordHashes <= 0 {
		o.PasswordHashes = 2
	}
	a := &Auth{
		db: d, log: log, clock: d.Clock(), options: o,
		hashes:   newHasher(o.PasswordHashes, argonMemory),
		sessions: newSessionCache(),
	}
	a.hashes.published = o.Published
	a.web, a.webErr = newWebAuthn(o)
	return a
}

// system is the scope of the package's own work in the system store.
func system(why string) System { return SystemScope(db.System, why) }

// Mark is a keyed hash by which a server knows later that it said something itself, such as a list in a cookie.
func (a *Auth) Mark(ctx context.Context, purpose string, parts ...string) (string, error) {
	k, err := a.systemKeys(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%016x", uint64(k.Hash(append([]string{"auth.mark", purpose}, parts...)...))), nil
}

// systemKeys are the keys of the system store, for sealing outside a transaction.
func (a *Auth) systemKeys(ctx context.Context) (*keys.Practice, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == nil {
		err := a.db.View(ctx, system("keys"), func(tx *db.Tx) error {
			a.keys = tx.Keys()
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return a.keys, nil
}

// change makes a change to people, credentials or practices and records it in the practice's audit: the record
// first, so that nothing changes unrecorded; a change that then fails is recorded as failed too.
func (a *Auth) change(ctx context.Context, s db.Scope, e audit.Event, fn func(tx *db.Tx) error) error {
	if s == nil || !s.Valid() {
		return db.ErrNoScope
	}
	if s.Practice() != db.System {
		if err := a.log.Seen(ctx, s, e); err != nil {
			return err
		}
	}
	err := a.db.Do(ctx, system(e.Action), fn)
	if err != nil && s.Practice() != db.System {
		e.Outcome = audit.OutcomeFailed
		err = errors.Join(err, a.log.Seen(context.WithoutCancel(ctx), s, e))
	}
	return onlyIssue(err)
}

// onlyIssue unwraps a joined error that holds an Issue for the person, so that errors.As and type switches find it.
func onlyIssue(err error) error {
	var issue *fhir.Issue
	if errors.As(err, &issue) {
		return issue
	}
	return err
}

// Allowed says whether a scope may do what a permission covers: people by their roles, Yarrow itself always.
func Allowed(s db.Scope, p Permission) bool {
	switch s := s.(type) {
	case Staff:
		return s.Can(p)
	case System:
		return s.Valid()
	}
	return false
}

func may(s db.Scope, p Permission) error {
	if !Allowed(s, p) {
		return forbidden()
	}
	return nil
}

func forbidden() *fhir.Issue {
	return fhir.Problem("forbidden", "You may not do this.", "Ask an administrator of the practice.")
}

// StepUpWithin is how recently a person must have proved to be themself for changes that matter most.
const StepUpWithin = 10 * time.Minute

// Recent refuses with an Issue of code "login" when the person has not proved to be themself within d: the screen
// then asks for it and calls [Auth.StepUp].
func (a *Auth) Recent(s Staff, d time.Duration) error {
	if !s.Valid() {
		return db.ErrNoScope
	}
	if a.clock.Since(s.proved) > d {
		return fhir.Problem("login", "Please prove again that it is you.",
			"Use your passkey, or enter your password and code, and then repeat what you were doing.")
	}
	return nil
}

// RecentIfStaff is Recent, within StepUpWithin, for a scope that may also be Yarrow itself.
func (a *Auth) RecentIfStaff(s db.Scope) error {
	if staff, ok := s.(Staff); ok {
		return a.Recent(staff, StepUpWithin)
	}
	return nil
}

// base64URL is how tokens and tickets are written: safe in cookies and URLs.
var base64URL = base64.RawURLEncoding

// newToken is 256 random bits.
func newToken() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64URL.EncodeToString(b)
}

// digest is how tokens are kept: they are 256 random bits, so a plain hash cannot be searched backwards.
func digest(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
