package auth

import (
	"errors"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

const (
	annPassword = "violet tundra kettle 9"
	annSecret   = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	bobPassword = "marble ostrich lantern 4"
)

// clinic is a practice with people: Ann, a clinician with password and authenticator; Bob at the front desk, who has
// a password only; Zoe, the administrator.
type clinic struct {
	t   *testing.T
	d   *dbtest.DB
	a   *Auth
	log *audit.Log
	id  db.PracticeID

	ann, bob, zoe int64
}

const slug = "alder"

func newClinic(t *testing.T, d *dbtest.DB) *clinic {
	t.Helper()
	c := &clinic{t: t, d: d, log: audit.New(d.DB)}
	c.a = New(d.DB, c.log, Options{RPID: "localhost", Origins: []string{"http://localhost:8080"}})
	c.a.hashes = newHasher(2, 64) // the cost is tested in password_test.go
	var err error
	if c.id, err = c.a.AddPractice(t.Context(), slug, "Alder Family Practice"); err != nil {
		t.Fatal(err)
	}
	c.ann = c.add(User{Login: "Ann.Ash", Display: "Dr. Ann Ash", PractitionerID: "p-ann", Roles: []Role{Clinician}, Password: annPassword, TOTPSecret: annSecret})
	c.bob = c.add(User{Login: "bob", Display: "Bob Birch", Roles: []Role{FrontDesk}, Password: bobPassword})
	c.zoe = c.add(User{Login: "zoe@example.org", Display: "Zoe Zaun", Roles: []Role{Administrator}, Password: annPassword, TOTPSecret: annSecret})
	t.Cleanup(func() { _ = c.a.Flush(t.Context()) })
	return c
}

func (c *clinic) add(u User) int64 {
	c.t.Helper()
	id, err := c.a.AddUser(c.t.Context(), SystemScope(c.id, "test"), u)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// restart is a second process on the same data: nothing is in its memory.
func (c *clinic) restart() *Auth {
	o := c.a.options
	return New(c.d.DB, c.log, o)
}

func (c *clinic) code() string {
	code, err := TOTPCode(annSecret, c.d.Clock.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return code
}

// nextCode lets a time step pass, so that the code is a new one.
func (c *clinic) nextCode() string {
	c.d.Clock.Advance(totpPeriod * time.Second)
	return c.code()
}

func (c *clinic) request(login, password, code string) SignInRequest {
	return SignInRequest{Practice: slug, Login: login, Password: password, Code: code, RemoteAddr: "203.0.113.9:5000",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"}
}

// signIn signs Ann or Zoe in.
func (c *clinic) signIn(login string) (string, Staff) {
	c.t.Helper()
	token, s, err := c.a.SignIn(c.t.Context(), c.request(login, annPassword, c.nextCode()))
	if err != nil {
		c.t.Fatal(err)
	}
	return token, s
}

func (c *clinic) resume(token string) (Staff, SessionState, error) {
	return c.a.Resume(c.t.Context(), slug, token)
}

// actions counts the entries of an action in the practice's audit.
func (c *clinic) actions(action string) int {
	c.t.Helper()
	got, err := c.log.Find(c.t.Context(), SystemScope(c.id, "test"), audit.Filter{Action: action, Limit: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	return len(got)
}

func (c *clinic) lastOf(action string) audit.Entry {
	c.t.Helper()
	got, err := c.log.Find(c.t.Context(), SystemScope(c.id, "test"), audit.Filter{Action: action, Limit: 1})
	if err != nil || len(got) == 0 {
		c.t.Fatalf("no %s in the audit: %v", action, err)
	}
	return got[0]
}

// code is the Issue code of an error, "" for nil.
func codeOf(err error) string {
	var issue *fhir.Issue
	switch {
	case err == nil:
		return ""
	case errors.As(err, &issue):
		return issue.Code
	}
	return "other: " + err.Error()
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if got := codeOf(err); got != code {
		t.Errorf("got %q (%v), want %q", got, err, code)
	}
}
