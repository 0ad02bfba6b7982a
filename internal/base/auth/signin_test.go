package auth

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, s, err := c.a.SignIn(t.Context(), c.request(" ANN.ash ", annPassword, c.code()))
		if err != nil {
			t.Fatal(err)
		}
		if len(token) != 43 || !s.Valid() || s.UserID() != c.ann || s.Practice() != c.id || s.Name() != "Dr. Ann Ash" ||
			s.Practitioner() != "Practitioner/p-ann" || !s.Can(ChartRead) || s.Can(UserAdmin) || s.Roles()[0] != Clinician {
			t.Errorf("%+v", s)
		}
		if !AccessOf(s).Allows("Observation", CanRead) {
			t.Error("a clinician cannot read results")
		}
		_, state, err := c.resume(token)
		if err != nil || state.Locked || state.MustEnrol || state.Demo || state.Session != s.Session() ||
			!state.ExpiresAt.Equal(dbtest.Start.Add(12*time.Hour)) || !state.IdleAt.Equal(dbtest.Start.Add(15*time.Minute)) {
			t.Errorf("%+v %v", state, err)
		}
		e := c.lastOf(audit.ActionSignIn)
		if e.Actor.UserID != c.ann || e.Actor.Session != s.Session().String() || e.Actor.Client != "203.0.113.9 Firefox on Linux" ||
			e.Detail != "password, authenticator app; roles clinician" {
			t.Errorf("audit: %+v", e)
		}
		// The session also opens in another process, from what is stored.
		if s, _, err := c.restart().Resume(t.Context(), slug, token); err != nil || s.UserID() != c.ann {
			t.Errorf("another process: %v", err)
		}
	})
}

// A wrong anything is answered by the same words after the same work.
func TestFailuresLookAlike(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		if err := c.a.Disable(t.Context(), SystemScope(c.id, "test"), c.bob); err != nil {
			t.Fatal(err)
		}
		c.signIn("ann.ash") // spends the present code
		spent := c.code()
		c.d.Clock.Advance(totpPeriod * time.Second)
		other, err := c.a.AddPractice(t.Context(), "birch", "Birch")
		if err != nil || other == c.id {
			t.Fatal(other, err)
		}
		first := ""
		for _, f := range []struct {
			name    string
			r       SignInRequest
			audited bool
		}{
			{"wrong password", c.request("ann.ash", "wrong", c.code()), true},
			{"no password", c.request("ann.ash", "", c.code()), true},
			{"endless password", c.request("ann.ash", strings.Repeat("x", 5000), c.code()), true},
			{"wrong code", c.request("ann.ash", annPassword, "000000"), true},
			{"no code", c.request("ann.ash", annPassword, ""), true},
			{"spent code", c.request("ann.ash", annPassword, spent), true},
			{"unknown login", c.request("nobody", annPassword, c.code()), true},
			{"no login", c.request("", "", ""), true},
			{"disabled", c.request("bob", bobPassword, ""), true},
			{"another practice", SignInRequest{Practice: "birch", Login: "ann.ash", Password: annPassword, Code: c.code()}, false},
			{"unknown practice", SignInRequest{Practice: "none", Login: "ann.ash", Password: annPassword, Code: c.code()}, false},
		} {
			f.r.RemoteAddr = "198.51.100." + fmt.Sprint(len(f.name)) + ":1"
			c.d.Clock.Advance(2 * totpPeriod * time.Second)
			if f.r.Code != "" && f.r.Code != "000000" && f.name != "spent code" {
				f.r.Code = c.code()
			}
			work, failures := c.a.hashes.work.Load(), c.actions(audit.ActionSignInFailed)
			token, s, err := c.a.SignIn(t.Context(), f.r)
			if token != "" || s.Valid() || err == nil {
				t.Errorf("%s: let in", f.name)
				continue
			}
			if first == "" {
				first = err.Error()
			}
			if err.Error() != first || codeOf(err) != "login" {
				t.Errorf("%s: answered %v", f.name, err)
			}
			if n := c.a.hashes.work.Load() - work; n != 1 {
				t.Errorf("%s: %d password hashes", f.name, n)
			}
			if n := c.actions(audit.ActionSignInFailed) - failures; f.audited && n != 1 {
				t.Errorf("%s: %d audit entries", f.name, n)
			}
		}
		// What was typed is nowhere in the audit.
		all, err := c.log.Find(t.Context(), SystemScope(c.id, "test"), audit.Filter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if s := fmt.Sprintf("%+v", e); strings.Contains(s, "nobody") || strings.Contains(s, annPassword) {
				t.Errorf("the audit holds what was typed: %s", s)
			}
		}
	})
}

func TestCodeWorksOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		var wg sync.WaitGroup
		var mu sync.Mutex
		let := 0
		code := c.code()
		for range 4 { // side by side, with the same right code
			wg.Go(func() {
				_, s, err := c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, code))
				if err == nil && s.Valid() {
					mu.Lock()
					let++
					mu.Unlock()
				} else if codeOf(err) != "login" {
					t.Errorf("answered %v", err)
				}
			})
		}
		wg.Wait()
		if let != 1 {
			t.Errorf("one code let %d in", let)
		}
		c.d.Clock.Advance(-totpPeriod * time.Second) // the clock is set back: the earlier code is no newer
		_, _, err := c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.code()))
		wantCode(t, err, "login")
	})
}

func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		_, s := c.signIn("ann.ash")
		codes, err := c.a.NewRecoveryCodes(t.Context(), s)
		if err != nil || len(codes) != recoveryCodes {
			t.Fatal(codes, err)
		}
		token, s, err := c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, strings.ToUpper(codes[3])))
		if err != nil || !s.Can(ChartRead) {
			t.Fatal(err)
		}
		if _, state, _ := c.resume(token); !state.Recovered || state.MustEnrol {
			t.Errorf("%+v", state)
		}
		_, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, codes[3]))
		wantCode(t, err, "login")
		_, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", "wrong", codes[4]))
		wantCode(t, err, "login")
		_, _, err = c.a.SignIn(t.Context(), c.request("zoe@example.org", annPassword, codes[4])) // another person's
		wantCode(t, err, "login")
		if _, err := c.a.NewRecoveryCodes(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, codes[5])) // replaced
		wantCode(t, err, "login")
	})
}

// Without a second factor a person can do nothing but set one up; with one, they can work.
func TestSecondFactorIsRequired(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, s, err := c.a.SignIn(t.Context(), c.request("bob", bobPassword, ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range Permissions() {
			if s.Can(p) != (p == AccountSecurity) {
				t.Errorf("%s: %v", p, s.Can(p))
			}
		}
		if a := AccessOf(s); a.All || len(a.Types) > 0 {
			t.Errorf("reaches %v", a)
		}
		if _, err := c.a.RememberDevice(t.Context(), s, "", "", ""); err == nil {
			t.Error("the device became known without a second factor")
		}
		if _, state, _ := c.resume(token); !state.MustEnrol {
			t.Error("does not say that a factor is missing")
		}

		e, err := c.a.BeginTOTP(t.Context(), s)
		if err != nil || !strings.HasPrefix(e.URL, "otpauth://totp/Yarrow%20Alder") {
			t.Fatal(e.URL, err)
		}
		wantCode(t, c.a.FinishTOTP(t.Context(), s, e.Ticket, "123"), "value")
		_, zoe := c.signIn("zoe@example.org")
		code, _ := TOTPCode(e.Secret, d.Clock.Now())
		wantCode(t, c.a.FinishTOTP(t.Context(), zoe, e.Ticket, code), "expired") // another's ticket
		wantCode(t, c.a.FinishTOTP(t.Context(), s, e.Ticket[:len(e.Ticket)-2], code), "expired")
		if err := c.a.FinishTOTP(t.Context(), s, e.Ticket, code); err != nil {
			t.Fatal(err)
		}
		s, state, err := c.resume(token)
		if err != nil || state.MustEnrol || !s.Can(ScheduleWrite) {
			t.Errorf("after setting it up: %+v %v", state, err)
		}
		_, _, err = c.a.SignIn(t.Context(), c.request("bob", bobPassword, "")) // now the code is needed
		wantCode(t, err, "login")
		_, _, err = c.a.SignIn(t.Context(), c.request("bob", bobPassword, code)) // and this one was used
		wantCode(t, err, "login")
	})
}

func TestPracticeMayTurnSecondFactorOff(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	c := newClinic(t, d)
	_, zoe := c.signIn("zoe@example.org")
	if err := c.a.SetSettings(t.Context(), zoe, Settings{Idle: 5 * time.Minute, Absolute: time.Hour, MFA: false}); err != nil {
		t.Fatal(err)
	}
	_, s, err := c.a.SignIn(t.Context(), c.request("bob", bobPassword, ""))
	if err != nil || !s.Can(ScheduleWrite) {
		t.Errorf("%v", err)
	}
	_, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, "")) // who has one needs it
	wantCode(t, err, "login")
	_, err = c.a.AddUser(t.Context(), SystemScope(c.id, "test"), User{Login: "x", Display: "X", Roles: []Role{Nurse}, Password: "jv8Qr2mT"})
	wantCode(t, err, "value") // passwords alone are longer
	_, ann := c.signIn("ann.ash")
	wantCode(t, c.a.SetSettings(t.Context(), ann, Settings{Idle: time.Minute, Absolute: time.Hour}), "forbidden")
	wantCode(t, c.a.SetSettings(t.Context(), zoe, Settings{Idle: 48 * time.Hour, Absolute: 90 * time.Hour}), "value")
}

func TestFailuresSlowWhoFails(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		_, s := c.signIn("ann.ash")
		device, err := c.a.RememberDevice(t.Context(), s, "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		attacker := c.request("ann.ash", "wrong", "000000")
		attacker.RemoteAddr = "198.51.100.1:1"
		for i := range 5 {
			_, _, err := c.a.SignIn(t.Context(), attacker)
			if codeOf(err) != "login" {
				t.Fatalf("attempt %d: %v", i, err)
			}
		}
		work, failures := c.a.hashes.work.Load(), c.actions(audit.ActionSignInFailed)
		right := attacker
		right.Password, right.Code = annPassword, c.nextCode()
		d.Clock.Advance(-totpPeriod * time.Second)
		_, _, err = c.a.SignIn(t.Context(), right) // even the right password is not tried
		wantCode(t, err, "throttled")
		if w := RetryAfter(err); w <= 0 || w > time.Minute {
			t.Errorf("wait %s", w)
		}
		if c.a.hashes.work.Load() != work || c.actions(audit.ActionSignInFailed) != failures {
			t.Error("a refused attempt was tried")
		}
		unknown := attacker
		unknown.Login = "nobody"
		var told error
		for range 6 {
			_, _, told = c.a.SignIn(t.Context(), unknown)
		}
		if told.Error() != err.Error() {
			t.Errorf("an unknown login is told from a known one: %v / %v", told, err)
		}

		// Ann herself, elsewhere, is let in.
		if _, _, err := c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.nextCode())); err != nil {
			t.Errorf("the person is locked out: %v", err)
		}

		// A hundred failures from many addresses: strangers wait for minutes, her own device does not.
		err = d.Do(t.Context(), system("test"), func(tx *db.Tx) error {
			var n, last int64
			key := tx.Keys().Hash("throttle.login", "ann.ash")
			if err := tx.QueryRow(t.Context(), lockThrottle, 0, key).Scan(&n, &last); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), setThrottle, 0, key, 99, tx.Now().Add(-time.Hour).UnixMicro())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c.failFrom("ann.ash", "198.18.1.1:1")
		stranger := c.request("ann.ash", annPassword, c.nextCode())
		stranger.RemoteAddr = "192.0.2.1:1"
		_, _, err = c.a.SignIn(t.Context(), stranger)
		wantCode(t, err, "throttled")
		stranger.Device = device
		if _, _, err := c.a.SignIn(t.Context(), stranger); err != nil {
			t.Errorf("the person's own device is locked out: %v", err)
		}
		bob := c.request("bob", bobPassword, "")
		bob.Device = device // somebody else's device is nobody's
		if _, _, err := c.a.SignIn(t.Context(), bob); err != nil {
			t.Errorf("a colleague suffers: %v", err)
		}
	})
}

func TestDeviceIsForgottenAfterFailures(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	c := newClinic(t, d)
	_, s := c.signIn("ann.ash")
	device, err := c.a.RememberDevice(t.Context(), s, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	thief := c.request("ann.ash", "wrong", "000000")
	thief.Device, thief.RemoteAddr = device, "198.51.100.1:1"
	for range deviceFailures {
		d.Clock.Advance(5 * time.Minute)
		_, _, err := c.a.SignIn(t.Context(), thief)
		wantCode(t, err, "login")
	}
	n := 0
	for ; n < 20; n++ { // now it counts as a stranger's
		if _, _, err := c.a.SignIn(t.Context(), thief); codeOf(err) == "throttled" {
			break
		}
	}
	if n != 5 {
		t.Errorf("slowed after %d further failures, want 5", n)
	}
}

// failFrom fails once from an address.
func (c *clinic) failFrom(login, address string) {
	c.t.Helper()
	r := c.request(login, "wrong", "000000")
	r.RemoteAddr = address
	if _, _, err := c.a.SignIn(c.t.Context(), r); codeOf(err) != "login" {
		c.t.Fatalf("from %s: %v", address, err)
	}
}

// Attempts side by side are counted one by one.
func TestParallelGuessesGainNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		before := c.a.hashes.work.Load()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _, _ = c.a.SignIn(t.Context(), c.request("ann.ash", "guess", "000000")) })
		}
		wg.Wait()
		if n := c.a.hashes.work.Load() - before; n != 5 {
			t.Errorf("%d guesses were tried, want 5", n)
		}
	})
}

func TestDemoSignIn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		_, _, err := c.a.DemoSignIn(t.Context(), c.id, c.bob)
		wantCode(t, err, "forbidden")
		if _, err := c.a.DemoPeople(t.Context(), c.id); codeOf(err) != "forbidden" {
			t.Error(err)
		}
		demo := New(d.DB, c.log, Options{Demo: true})
		people, err := demo.DemoPeople(t.Context(), c.id)
		if err != nil || len(people) != 3 || people[0].Display != "Bob Birch" || people[1].Login != "Ann.Ash" {
			t.Errorf("%+v %v", people, err)
		}
		token, s, err := demo.DemoSignIn(t.Context(), c.id, c.bob)
		if err != nil || !s.Can(ScheduleWrite) {
			t.Fatal(err)
		}
		if _, state, err := demo.Resume(t.Context(), slug, token); err != nil || !state.Demo {
			t.Errorf("%+v %v", state, err)
		}
		_, _, err = demo.DemoSignIn(t.Context(), 1, c.bob)
		wantCode(t, err, "not-found")
	})
}

func TestSignInWhenAuditCannotBeWritten(t *testing.T) {
	t.Parallel()
	// The practice's store is gone, the system store is not: nobody gets in unrecorded.
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		if _, err := d.Keys.Destroy(int64(c.id)); err != nil {
			t.Fatal(err)
		}
		d.Reopen(t)
		c.log = audit.New(d.DB)
		c.a = New(d.DB, c.log, Options{})
		token, s, err := c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.code()))
		if err == nil || token != "" || s.Valid() {
			t.Error("let in without a record")
		}
	})
}
