package auth

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Passkeys are discoverable WebAuthn credentials with user verification: signing in needs no login, and one is both
// factors. The state of a ceremony travels sealed in a ticket, so that anonymous visitors cause no writes; a ticket
// is good for five minutes and is spent, durably, when its ceremony is finished.
const challengeFor = 5 * time.Minute

// newWebAuthn is nil without an RPID.
func newWebAuthn(o Options) (*webauthn.WebAuthn, error) {
	if o.RPID == "" {
		return nil, nil
	}
	return webauthn.New(&webauthn.Config{
		RPID: o.RPID, RPDisplayName: "Yarrow", RPOrigins: o.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired,
		},
	})
}

func (a *Auth) passkeys() (*webauthn.WebAuthn, error) {
	if a.web == nil {
		return nil, fhir.Problem("not-supported", "Passkeys are not set up on this server.",
			"Sign in with password and code, or have the server told its own host name.").Because(a.webErr)
	}
	return a.web, nil
}

// ceremony is the sealed state of one passkey ceremony.
type ceremony struct {
	Practice string
	User     int64     // 0 when anybody may answer
	For      SessionID // of a step-up or registration
	Expires  int64
	Web      webauthn.SessionData
}

// What a ceremony is for: a ticket made for one purpose does not open for another.
const (
	forRegistration = "passkey registration"
	forSignIn       = "passkey sign-in"
	forStepUp       = "passkey step-up"
)

// owner is a person as the WebAuthn library asks for one. Its id is the random handle, which says nothing about the
// person.
type owner struct {
	person
	keys []webauthn.Credential
}

func (o owner) WebAuthnID() []byte                         { return o.handle }
func (o owner) WebAuthnName() string                       { return o.login }
func (o owner) WebAuthnDisplayName() string                { return o.display }
func (o owner) WebAuthnCredentials() []webauthn.Credential { return o.keys }

// owner reads a person of a practice with their passkeys.
func (a *Auth) owner(ctx context.Context, p db.PracticeID, by *db.Stmt, key any) (owner, error) {
	var o owner
	err := a.db.View(ctx, system("passkeys"), func(tx *db.Tx) error {
		var err error
		if o.person, err = findPerson(ctx, tx, by, p, key); err != nil {
			return err
		}
		o.keys, err = credentials(ctx, tx, o.id)
		return err
	})
	if err == nil && (o.id == 0 || !o.active) {
		err = refused()
	}
	return o, err
}

// BeginPasskeyRegistration returns the options for navigator.credentials.create as JSON, and the ticket that must
// come back with the answer.
func (a *Auth) BeginPasskeyRegistration(ctx context.Context, s Staff) (options []byte, ticket string, err error) {
	w, err := a.passkeys()
	if err != nil {
		return nil, "", err
	}
	if err := a.recentOwn(ctx, s); err != nil {
		return nil, "", err
	}
	o, err := a.owner(ctx, s.Practice(), personOfID, s.UserID())
	if err != nil {
		return nil, "", err
	}
	var have []protocol.CredentialDescriptor
	for _, k := range o.keys {
		have = append(have, k.Descriptor())
	}
	creation, data, err := w.BeginRegistration(o, webauthn.WithExclusions(have))
	if err != nil {
		return nil, "", err
	}
	return a.begin(ctx, forRegistration, creation, ceremony{User: s.UserID(), For: s.session, Web: *data})
}

// begin seals a ceremony.
func (a *Auth) begin(ctx context.Context, purpose string, options any, c ceremony) ([]byte, string, error) {
	out, err := json.Marshal(options)
	if err != nil {
		return nil, "", err
	}
	c.Expires = a.clock.Now().Add(challengeFor).UnixMicro()
	ticket, err := a.sealTicket(ctx, purpose, c)
	return out, ticket, err
}

// resumeCeremony opens a ticket.
func (a *Auth) resumeCeremony(ctx context.Context, purpose, ticket string) (ceremony, error) {
	var c ceremony
	if err := a.openTicket(ctx, purpose, ticket, &c); err != nil {
		return c, err
	}
	if a.clock.Now().UnixMicro() >= c.Expires {
		return c, staleTicket()
	}
	return c, nil
}

// FinishPasskeyRegistration stores a passkey under a name the person gives it ("work phone"). Their other sessions
// end.
func (a *Auth) FinishPasskeyRegistration(ctx context.Context, s Staff, ticket, name string, response []byte) error {
	w, err := a.passkeys()
	if err != nil {
		return err
	}
	if err := a.recentOwn(ctx, s); err != nil {
		return err
	}
	c, err := a.resumeCeremony(ctx, forRegistration, ticket)
	if err != nil {
		return err
	}
	if c.User != s.UserID() || c.For != s.session {
		return staleTicket()
	}
	o, err := a.owner(ctx, s.Practice(), personOfID, s.UserID())
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return badPasskey(err)
	}
	key, err := w.CreateCredential(o, c.Web, parsed)
	if err != nil {
		return badPasskey(err)
	}
	if name = strings.TrimSpace(name); name == "" || len(name) > 100 {
		name = "passkey"
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "passkey added"}
	defer a.forgetUser(s.UserID())
	return a.change(ctx, s, e, func(tx *db.Tx) error {
		if err := spend(ctx, tx, c); err != nil {
			return err
		}
		if err := insertPasskey(ctx, tx, s.UserID(), name, key); err != nil {
			return err
		}
		return a.factorAdded(ctx, tx, s, proofPasskey)
	})
}

func badPasskey(err error) *fhir.Issue {
	return fhir.Problem("value", "The passkey was not accepted.",
		"Begin again, and confirm with fingerprint, face or PIN when the device asks.").Because(err)
}

// BeginPasskeySignIn returns the options for navigator.credentials.get as JSON, the same for everybody, and the
// ticket that must come back with the answer. It writes nothing.
func (a *Auth) BeginPasskeySignIn(ctx context.Context, practiceSlug string) (options []byte, ticket string, err error) {
	w, err := a.passkeys()
	if err != nil {
		return nil, "", err
	}
	assertion, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", err
	}
	return a.begin(ctx, forSignIn, assertion, ceremony{Practice: practiceSlug, Web: *data})
}

// PasskeySignIn is the answer to BeginPasskeySignIn.
type PasskeySignIn struct {
	Practice   string // slug
	Ticket     string
	Response   []byte // JSON of the PublicKeyCredential
	Unlock     string // token of a locked session of the same person that shall open again, or ""
	RemoteAddr string
	UserAgent  string
}

// FinishPasskeySignIn opens a session, or a locked one again, and returns its new token. Every failure is the one
// answer of [Auth.SignIn].
func (a *Auth) FinishPasskeySignIn(ctx context.Context, r PasskeySignIn) (token string, s Staff, err error) {
	w, err := a.passkeys()
	if err != nil {
		return "", Staff{}, err
	}
	p, err := a.PracticeBySlug(ctx, r.Practice)
	if err != nil {
		return "", Staff{}, refused()
	}
	c, err := a.resumeCeremony(ctx, forSignIn, r.Ticket)
	if err != nil {
		return "", Staff{}, err
	}
	var who owner
	key, err := a.assert(w, c, r.Response, func(raw, handle []byte) (webauthn.User, error) {
		var err error
		who, err = a.owner(ctx, p.ID, personOfHandle, handle)
		return who, err
	})
	if err != nil && who.id == 0 {
		return "", Staff{}, refused() // about nobody: recording it would let anybody fill the audit
	}
	if err != nil || c.Practice != r.Practice || p.Access.Contract == ContractClosed || !p.SignOn.allows(who.id) {
		return "", Staff{}, a.failed(ctx, p, who.id, r.RemoteAddr, r.UserAgent)
	}
	settle := func(ctx context.Context, tx *db.Tx) error { return a.passkeyUsed(ctx, tx, c, who.person, p.ID, key) }
	if r.Unlock != "" {
		if e, err := a.openSession(ctx, r.Practice, r.Unlock); err == nil && e.user == who.id {
			return a.reopen(ctx, e, "passkey", settle, r.RemoteAddr, r.UserAgent)
		}
	}
	return a.open(ctx, p, who.person, proofPasskey, origin{}, settle, r.RemoteAddr, r.UserAgent)
}

// assert checks the answer to a ceremony. A counter that did not grow means a copy of the key: refused.
func (a *Auth) assert(w *webauthn.WebAuthn, c ceremony, response []byte, find webauthn.DiscoverableUserHandler) (*webauthn.Credential, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, err
	}
	_, key, err := w.ValidatePasskeyLogin(find, c.Web, parsed)
	if err != nil {
		return nil, err
	}
	if key.Authenticator.CloneWarning {
		return nil, errors.New("auth: the passkey's counter went back")
	}
	return key, nil
}

// passkeyUsed spends the ticket and keeps the key's counter; it fails with errSpent when the person or the key is
// not there any more or the ticket was used.
func (a *Auth) passkeyUsed(ctx context.Context, tx *db.Tx, c ceremony, who person, p db.PracticeID, key *webauthn.Credential) error {
	if err := spend(ctx, tx, c); err != nil {
		return errSpent
	}
	now, err := findPerson(ctx, tx, personOfID, p, who.id)
	if err != nil {
		return err
	}
	if !now.active {
		return errSpent
	}
	return updatePasskey(ctx, tx, who.id, key)
}

// BeginPasskeyStepUp is BeginPasskeySignIn for a person who has to prove again that it is them.
func (a *Auth) BeginPasskeyStepUp(ctx context.Context, s Staff) (options []byte, ticket string, err error) {
	w, err := a.passkeys()
	if err != nil {
		return nil, "", err
	}
	if !s.Valid() {
		return nil, "", db.ErrNoScope
	}
	assertion, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", err
	}
	return a.begin(ctx, forStepUp, assertion, ceremony{User: s.UserID(), For: s.session, Web: *data})
}

// FinishPasskeyStepUp records that the person has just proved to be themself.
func (a *Auth) FinishPasskeyStepUp(ctx context.Context, s Staff, ticket string, response []byte) error {
	w, err := a.passkeys()
	if err != nil {
		return err
	}
	if !s.Valid() {
		return db.ErrNoScope
	}
	c, err := a.resumeCeremony(ctx, forStepUp, ticket)
	if err != nil {
		return err
	}
	var who owner
	key, err := a.assert(w, c, response, func(raw, handle []byte) (webauthn.User, error) {
		var err error
		who, err = a.owner(ctx, s.Practice(), personOfHandle, handle)
		return who, err
	})
	if err != nil || who.id != s.UserID() || c.User != who.id || c.For != s.session {
		return refused()
	}
	if p, err := a.PracticeByID(ctx, s.Practice()); err != nil || !p.SignOn.allows(who.id) {
		return refused()
	}
	return a.stepUp(ctx, s, proofPasskey, func(ctx context.Context, tx *db.Tx) error {
		return a.passkeyUsed(ctx, tx, c, who.person, s.Practice(), key)
	})
}

// Passkey is one passkey in the list a person sees of their own.
type Passkey struct {
	ID      int64
	Name    string
	Synced  bool // backed up to a cloud account; a device-bound key is not
	Created time.Time
	Used    time.Time // zero if never
}

// Passkeys lists the person's own passkeys, the oldest first.
func (a *Auth) Passkeys(ctx context.Context, s Staff) ([]Passkey, error) {
	if !s.Valid() {
		return nil, db.ErrNoScope
	}
	var out []Passkey
	err := a.db.View(ctx, system("passkeys"), func(tx *db.Tx) error {
		var err error
		out, err = listPasskeys(ctx, tx, s.UserID())
		return err
	})
	return out, err
}

// RemovePasskey takes a passkey away. The last second factor stays until there is another.
func (a *Auth) RemovePasskey(ctx context.Context, s Staff, id int64) error {
	if err := a.recentOwn(ctx, s); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "passkey removed"}
	return a.change(ctx, s, e, func(tx *db.Tx) error {
		if err := deletePasskey(ctx, tx, s.UserID(), id); err != nil {
			return err
		}
		who, err := personByID(ctx, tx, s.Practice(), s.UserID())
		if err == nil && !who.secondFactor() {
			err = fhir.Problem("business-rule", "This is your only second factor.", "Add another passkey or an authenticator app first.")
		}
		return err
	})
}
