package signon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Purpose is why somebody is sent to a provider.
type Purpose string

// The purposes.
const (
	In     Purpose = "in"     // to sign in
	Unlock Purpose = "unlock" // to open their locked session again
	Prove  Purpose = "prove"  // to prove again who they are, for a change that matters
	Test   Purpose = "test"   // an administrator looks at what the provider says
)

// askLasts is how long somebody may take at the provider; clockSkew how far its clock may be off.
const (
	askLasts  = 15 * time.Minute
	clockSkew = 60 * time.Second
	asksAtOne = 50 // people sent away in one second, per practice
)

// ask is a person who was sent to a provider.
type ask struct {
	Connection string    `json:"connection"`
	Purpose    Purpose   `json:"purpose"`
	To         string    `json:"to,omitempty"` // where they wanted to go
	Nonce      string    `json:"nonce,omitempty"`
	Verifier   string    `json:"verifier,omitempty"`
	Request    string    `json:"request,omitempty"` // id of a SAML request
	Response   string    `json:"response,omitempty"`
	Begun      time.Time `json:"begun"`
	Browser    []byte    `json:"browser"` // SHA-256 of what the browser that began holds
}

// Begun is where a browser is sent, and what it keeps in a cookie so that only it can finish.
type Begun struct{ To, State, Browser string }

func digest(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Begin sends somebody to a provider. to is where they go afterwards.
func (s *SignOn) Begin(ctx context.Context, p auth.Practice, id string, why Purpose, to string) (Begun, error) {
	c, err := s.one(ctx, p.ID, id)
	if err != nil {
		return Begun{}, err
	}
	if !c.Enabled && why != Test {
		return Begun{}, noSuchConnection()
	}
	if !s.paced(p.ID) {
		return Begun{}, fhir.Problem("throttled", "Too many people sign in at this moment.", "Try again in a few seconds.")
	}
	held := random()
	mark := digest(held)
	a := ask{Connection: id, Purpose: why, To: to, Begun: s.clock.Now(), Browser: mark[:]}
	state := random()
	b := Begun{State: state, Browser: held}
	switch c.Kind {
	case OIDC:
		a.Nonce, a.Verifier = random(), random()
		b.To, err = s.askOIDC(ctx, p, c, state, a)
	case SAML:
		a.Request = "_" + random()
		b.To, err = s.askSAML(p, c, state, a)
	}
	if err != nil {
		return Begun{}, s.refuse(ctx, p, c, err)
	}
	return b, s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		tx.Queue(sweepAsks, int64(p.ID), tx.NowMicro())
		tx.Queue(sweepUsed, int64(p.ID), tx.NowMicro())
		return insertAsk(ctx, tx, state, a)
	})
}

// paced bounds how many requests begin in a second, since anybody may begin one.
func (s *SignOn) paced(p db.PracticeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.clock.Now().Unix(); now != s.second {
		s.second = now
		clear(s.asks)
	}
	s.asks[p]++
	return s.asks[p] <= asksAtOne
}

// fresh says that the provider must ask the person again.
func (a ask) fresh() bool { return a.Purpose == Unlock || a.Purpose == Prove }

// Return is the address a provider sends people back to: Finish answers there for OpenID Connect, Receive for SAML.
func (s *SignOn) Return(p auth.Practice, id string) string {
	return s.base + "/" + p.Slug + "/sign-in/with/" + id + "/back"
}

// Receive keeps what a SAML provider had the browser post, for Finish: the post comes from another site and so without cookies. It
// returns the state to go on with. Nothing is believed yet.
func (s *SignOn) Receive(ctx context.Context, p auth.Practice, id string, form url.Values) (state string, err error) {
	state = form.Get("RelayState")
	response := form.Get("SAMLResponse")
	if state == "" || len(state) > 100 || response == "" || len(response) > maxResponse || len(form["SAMLResponse"]) != 1 {
		return "", lost()
	}
	err = s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		a, err := loadAsk(ctx, tx, state)
		if errors.Is(err, db.ErrNoRows) || err == nil && (a.Connection != id || a.Request == "" || a.Response != "") {
			return lost()
		}
		if err != nil {
			return err
		}
		a.Response = response
		return replaceAsk(ctx, tx, state, a)
	})
	return state, err
}

func lost() *fhir.Issue {
	return fhir.Problem("login", "This sign-in has ended or was begun elsewhere.", "Begin again on the sign-in page of the practice.")
}

// Browser is what Finish knows of the browser in front of it.
type Browser struct {
	Held    string // the cookie of Begin
	Session string // the session's token, for Unlock
	Staff   auth.Staff
	Remote  string
	Agent   string
}

// Outcome is how a sign-in ended.
type Outcome struct {
	Purpose Purpose
	To      string
	Token   string // of the session, for In and Unlock
	Staff   auth.Staff
}

// Finish takes what came back from a provider: v is the query. Errors are Issues for the person; what exactly was wrong is kept with
// the connection, for an administrator.
func (s *SignOn) Finish(ctx context.Context, p auth.Practice, id string, v url.Values, b Browser) (Outcome, error) {
	state := v.Get("state")
	a, err := s.take(ctx, p, id, state, b.Held)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Purpose: a.Purpose, To: a.To}
	c, err := s.one(ctx, p.ID, id)
	if err != nil {
		return out, err
	}
	if !c.Enabled && a.Purpose != Test {
		return out, lost()
	}
	var said statement
	if c.Kind == OIDC {
		said, err = s.answerOIDC(ctx, p, c, a, v)
	} else {
		said, err = s.answerSAML(ctx, p, c, a)
	}
	if err != nil {
		return out, s.refuse(ctx, p, c, err)
	}
	w := said.assured(p, c)
	w.RemoteAddr, w.UserAgent = b.Remote, b.Agent
	switch a.Purpose {
	case In:
		out.Token, out.Staff, err = s.auth.SignOn(ctx, w)
	case Unlock:
		out.Token, out.Staff, err = s.auth.SignOnUnlock(ctx, w, b.Session)
	case Prove:
		err = s.auth.SignOnStepUp(ctx, b.Staff, w)
	case Test:
		if err = may(b.Staff); err == nil && b.Staff.Practice() != p.ID {
			err = lost()
		}
		if err == nil {
			err = s.note(ctx, p.ID, id, func(c *Connection) {
				c.Trouble = nil
				c.Test = &Told{At: s.clock.Now(), By: b.Staff.Name(), Subject: clip(said.subject), Mail: clip(said.mail), Believe: w.Mail != "", Factors: w.Strong, Context: clip(said.context)}
				for _, g := range said.groups[:min(len(said.groups), 20)] {
					c.Test.Groups = append(c.Test.Groups, clip(g))
				}
				for _, r := range w.Roles {
					c.Test.Roles = append(c.Test.Roles, string(r))
				}
			})
		}
	}
	return out, err
}

// take uses up a request; only the browser that began it may.
func (s *SignOn) take(ctx context.Context, p auth.Practice, id, state, held string) (a ask, err error) {
	if state == "" || len(state) > 100 || held == "" {
		return a, lost()
	}
	mark := digest(held)
	err = s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		var err error
		if a, err = loadAsk(ctx, tx, state); errors.Is(err, db.ErrNoRows) {
			return lost()
		} else if err != nil {
			return err
		}
		if a.Connection != id || subtle.ConstantTimeCompare(a.Browser, mark[:]) != 1 {
			return lost()
		}
		if once, err := takeAsk(ctx, tx, state); err != nil || !once {
			return errors.Join(err, lost())
		}
		return nil
	})
	return a, err
}

// wrong is what was wrong with a provider's answer, in words for whoever looks after the connection. It holds nothing that opens
// anything.
type wrong struct {
	what  string
	cause error
}

func (w *wrong) Error() string {
	if w.cause != nil {
		return "signon: " + w.what + ": " + w.cause.Error()
	}
	return "signon: " + w.what
}

func (w *wrong) Unwrap() error { return w.cause }

func wrongf(format string, args ...any) error { return &wrong{what: fmt.Sprintf(format, args...)} }

// refuse answers the person, and keeps for the administrator what was wrong.
func (s *SignOn) refuse(ctx context.Context, p auth.Practice, c *Connection, err error) error {
	var w *wrong
	var issue *fhir.Issue
	switch {
	case errors.As(err, &w):
		what := w.what
		if errors.As(w.cause, &issue) {
			what += ": " + issue.Text
		}
		s.log.Warn("an answer of an identity provider was refused", "practice", p.ID, "connection", c.ID, "error", w.what)
		if err := s.note(context.WithoutCancel(ctx), p.ID, c.ID, func(c *Connection) { c.Trouble = &Trouble{s.clock.Now(), clipTo(what, 400)} }); err != nil {
			s.log.Warn("trouble with an identity provider could not be kept", "practice", p.ID, "connection", c.ID, "error", err)
		}
		return fhir.Problem("login", "Your organisation's sign-in could not be completed.", "Try again. If it fails again, an administrator finds the reason with the connection.").Because(err)
	case errors.As(err, &issue):
		return err
	}
	return fhir.Problem("transient", "Your organisation's sign-in does not answer.", "Try again in a moment, or sign in with credentials of your own.").Because(err)
}

// statement is what a provider said, proven.
type statement struct {
	subject  string
	mail     string
	vouched  bool // the provider says that the address is the person's
	display  string
	context  string
	contexts []string // acr, amr, AuthnContextClassRef
	at       time.Time
	groups   []string
}

// knownFactors are contexts and methods that mean two factors (RFC 8176, REFEDS MFA, and what large providers say).
var knownFactors = []string{"mfa", "https://refeds.org/profile/mfa", "http://schemas.microsoft.com/claims/multipleauthn", "urn:okta:loa:2fa:any", "phrh", "phr",
	"http://id.incommon.org/assurance/mfa", "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract"}

// assured turns what was said into what the practice makes of it.
func (st statement) assured(p auth.Practice, c *Connection) auth.Assured {
	w := auth.Assured{Practice: p, Connection: c.ID, Subject: st.subject, Display: plain(st.display), At: st.at, Strong: c.TrustFactors,
		Follow: len(c.Groups) > 0, Create: c.Create, Roles: c.roles(st.groups)}
	if st.vouched && c.believes(st.mail) {
		w.Mail = strings.ToLower(st.mail)
	}
	for _, x := range st.contexts {
		for _, known := range append(c.Contexts, knownFactors...) {
			w.Strong = w.Strong || x == known
		}
	}
	return w
}

// spend notes that a statement was used; false if it was before.
func (s *SignOn) spend(ctx context.Context, p db.PracticeID, what string, until time.Time) (once bool, err error) {
	hash := digest(what)
	err = s.db.Do(ctx, work(p), func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, insertUsed, int64(p), hash[:], until.UnixMicro())
		once = n == 1
		return err
	})
	return once, err
}
