package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Codes are those of RFC 6238 as every authenticator app makes them: SHA-1, six digits, a new one every 30 seconds.
// One step before and after the present one is accepted; a step is accepted once.
const (
	totpPeriod = 30
	totpSkew   = 1
	totpSecret = 20 // bytes, RFC 4226 §4
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// dummySecret takes the place of the secret of somebody who has none, so that the work is the same.
const dummySecret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// totpStepOf returns the time step a code belongs to, or 0 when it is not valid at now. The caller must refuse
// steps that are not later than the last one used.
func totpStepOf(secret, code string, now time.Time) int64 {
	real := secret != ""
	if !real {
		secret = dummySecret
	}
	code = strings.Join(strings.FieldsFunc(code, func(r rune) bool { return r < '0' || r > '9' }), "")
	var found int64
	step := now.Unix() / totpPeriod
	for s := step - totpSkew; s <= step+totpSkew; s++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(s), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			found = s
		}
	}
	if !real {
		return 0
	}
	return found
}

// TOTPCode is the code an authenticator app shows for a secret: for tests and the demonstration's written logins.
func TOTPCode(secret string, at time.Time) (string, error) {
	return hotp.GenerateCodeCustom(secret, uint64(at.Unix()/totpPeriod),
		hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

func validSecret(secret string) bool {
	b, err := base32Plain.DecodeString(secret)
	return err == nil && len(b) >= 10
}

// TOTPEnrolment is what an authenticator app needs, and the ticket that must come back with its first code.
type TOTPEnrolment struct {
	Secret string // base32, for typing in
	URL    string // otpauth://, for a QR code
	Ticket string // sealed, valid for ten minutes
}

type totpTicket struct {
	User    int64
	Secret  string
	Expires int64
}

const enrolWithin = 10 * time.Minute

// BeginTOTP offers an authenticator secret to the person. Nothing changes before [Auth.FinishTOTP].
func (a *Auth) BeginTOTP(ctx context.Context, s Staff) (TOTPEnrolment, error) {
	if err := a.recentOwn(ctx, s); err != nil {
		return TOTPEnrolment{}, err
	}
	p, err := a.PracticeByID(ctx, s.Practice())
	if err != nil {
		return TOTPEnrolment{}, err
	}
	raw := make([]byte, totpSecret)
	rand.Read(raw)
	e := TOTPEnrolment{Secret: base32Plain.EncodeToString(raw)}
	label := url.PathEscape("Yarrow " + p.Name + ":" + s.Name())
	e.URL = "otpauth://totp/" + label + "?secret=" + e.Secret + "&issuer=" + url.QueryEscape("Yarrow "+p.Name)
	e.Ticket, err = a.sealTicket(ctx, "totp", totpTicket{s.UserID(), e.Secret, a.clock.Now().Add(enrolWithin).UnixMicro()})
	return e, err
}

// FinishTOTP makes the secret of a ticket the person's second factor, once its code proves that the app has it.
// Other sessions of the person end. The present session counts as signed in with that factor; its next Resume has
// the person's full permissions.
func (a *Auth) FinishTOTP(ctx context.Context, s Staff, ticket, code string) error {
	if err := a.recentOwn(ctx, s); err != nil {
		return err
	}
	var t totpTicket
	if err := a.openTicket(ctx, "totp", ticket, &t); err != nil {
		return err
	}
	now := a.clock.Now()
	if t.User != s.UserID() || now.UnixMicro() > t.Expires {
		return staleTicket()
	}
	step := totpStepOf(t.Secret, code, now)
	if step == 0 {
		return fhir.Problem("value", "This is not the code the app shows now.",
			"Check that the clock of the device is right, and enter the next code.")
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "authenticator app enrolled"}
	err := a.change(ctx, s, e, func(tx *db.Tx) error {
		if err := setTOTP(ctx, tx, s.UserID(), t.Secret, step); err != nil {
			return err
		}
		return a.factorAdded(ctx, tx, s, proofTOTP)
	})
	if err == nil {
		a.sessions.forget(func(c *cached) bool { return c.user == s.UserID() })
	}
	return err
}

// sealTicket seals state that a browser brings back.
func (a *Auth) sealTicket(ctx context.Context, purpose string, v any) (string, error) {
	k, err := a.systemKeys(ctx)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64URL.EncodeToString(k.Seal(nil, plain, []byte("ticket|"+purpose))), nil
}

func (a *Auth) openTicket(ctx context.Context, purpose, ticket string, v any) error {
	k, err := a.systemKeys(ctx)
	if err != nil {
		return err
	}
	sealed, err := base64URL.DecodeString(ticket)
	if err != nil {
		return staleTicket()
	}
	plain, err := k.Open(nil, sealed, []byte("ticket|"+purpose))
	if err != nil || json.Unmarshal(plain, v) != nil {
		return staleTicket()
	}
	return nil
}

func staleTicket() *fhir.Issue {
	return fhir.Problem("expired", "This step has expired or was already done.", "Begin again.")
}
