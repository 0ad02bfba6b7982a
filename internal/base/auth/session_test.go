package auth

import (
	"errors"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

func TestTokensThatOpenNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("ann.ash")
		if _, err := c.a.AddPractice(t.Context(), "birch", "Birch"); err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string][2]string{
			"empty": {slug, ""}, "other": {slug, newToken()}, "longer": {slug, token + "A"}, "shorter": {slug, token[:42]},
			"another practice": {"birch", token}, "no practice": {"", token},
		} {
			s, _, err := c.a.Resume(t.Context(), call[0], call[1])
			if s.Valid() {
				t.Errorf("%s: opened", name)
			}
			wantCode(t, err, "login")
		}
	})
}

func TestIdleSessionLocks(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("ann.ash")
		for range 5 { // activity keeps it open, also when it is split between two processes
			d.Clock.Advance(14 * time.Minute)
			if s, _, err := c.resume(token); err != nil || !s.Valid() {
				t.Fatal(err)
			}
		}
		d.Clock.Advance(14 * time.Minute)
		if s, _, err := c.a.Peek(t.Context(), slug, token); err != nil || !s.Valid() {
			t.Fatal(err)
		}
		d.Clock.Advance(time.Minute) // Peek was no activity
		s, state, err := c.resume(token)
		if err != nil || s.Valid() || !state.Locked || state.Name != "Dr. Ann Ash" {
			t.Errorf("%v %+v %v", s.Valid(), state, err)
		}
		if a := AccessOf(s); a.All || len(a.Types) > 0 || s.Can(AccountSecurity) {
			t.Error("a locked session opens something")
		}
		if e := c.lastOf(audit.ActionLock); e.Actor.UserID != c.ann || e.Detail != "idle" {
			t.Errorf("%+v", e)
		}
		// It stays locked, in every process.
		if s, state, _ := c.restart().Resume(t.Context(), slug, token); s.Valid() || !state.Locked {
			t.Error("another process opens it")
		}

		u := UnlockRequest{Practice: slug, Token: token, Password: "wrong", RemoteAddr: "203.0.113.9:1"}
		_, _, err = c.a.Unlock(t.Context(), u)
		wantCode(t, err, "login")
		u.Password = annPassword
		fresh, s, err := c.a.Unlock(t.Context(), u)
		if err != nil || !s.Valid() || fresh == token {
			t.Fatal(err)
		}
		if _, _, err := c.resume(token); codeOf(err) != "login" {
			t.Errorf("the old token still opens: %v", err)
		}
		after, state, err := c.resume(fresh)
		if err != nil || state.Locked || after.Session() != s.Session() || !after.Can(ChartRead) {
			t.Errorf("%+v %v", state, err)
		}
		if n := c.actions(audit.ActionUnlock); n != 1 {
			t.Errorf("%d unlocks in the audit", n)
		}
	})
}

func TestIdleTimeSurvivesARestart(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("ann.ash")
		d.Clock.Advance(14 * time.Minute)
		if _, _, err := c.resume(token); err != nil {
			t.Fatal(err)
		}
		if err := c.a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(14 * time.Minute)
		if s, _, err := c.restart().Resume(t.Context(), slug, token); err != nil || !s.Valid() {
			t.Errorf("activity was lost: %v", err)
		}
		d.Clock.Advance(16 * time.Minute)
		if _, state, _ := c.restart().Resume(t.Context(), slug, token); !state.Locked {
			t.Error("a restart forgets the idle time")
		}
	})
}

func TestSessionEndsAbsolutely(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("ann.ash")
		for range 12*6 - 1 {
			d.Clock.Advance(10 * time.Minute)
			if s, _, err := c.resume(token); err != nil || !s.Valid() {
				t.Fatal(err)
			}
		}
		d.Clock.Advance(10 * time.Minute)
		_, _, err := c.resume(token)
		wantCode(t, err, "login")
		_, _, err = c.a.Unlock(t.Context(), UnlockRequest{Practice: slug, Token: token, Password: annPassword})
		wantCode(t, err, "login")
	})
}

func TestLockByHand(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("ann.ash")
		wantCode(t, c.a.Lock(t.Context(), "none", token), "login")
		if err := c.a.Lock(t.Context(), slug, token); err != nil {
			t.Fatal(err)
		}
		for _, a := range []*Auth{c.a, c.restart()} {
			if s, state, err := a.Resume(t.Context(), slug, token); err != nil || s.Valid() || !state.Locked {
				t.Errorf("%+v %v", state, err)
			}
		}
	})
}

// Whatever ends a session ends it in every process: at once on the embedded database, within a second on the server.
func TestRevocation(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *clinic, token string, s Staff) error{
		"sign out": func(c *clinic, token string, s Staff) error { return c.a.SignOut(c.t.Context(), slug, token) },
		"everywhere": func(c *clinic, token string, s Staff) error {
			return c.a.SignOutEverywhere(c.t.Context(), s, s.UserID())
		},
		"by an administrator": func(c *clinic, token string, s Staff) error {
			return c.a.SignOutEverywhere(c.t.Context(), AsStaff(c.id, c.zoe, "Zoe", "", Administrator), s.UserID())
		},
		"disabled": func(c *clinic, token string, s Staff) error {
			return c.a.Disable(c.t.Context(), SystemScope(c.id, "test"), s.UserID())
		},
		"other roles": func(c *clinic, token string, s Staff) error {
			return c.a.SetRoles(c.t.Context(), SystemScope(c.id, "test"), s.UserID(), Nurse)
		},
		"credentials reset": func(c *clinic, token string, s Staff) error {
			_, err := c.a.ResetCredentials(c.t.Context(), SystemScope(c.id, "test"), s.UserID())
			return err
		},
		"practice closed": func(c *clinic, token string, s Staff) error {
			return c.a.ChangeAccessState(c.t.Context(), SystemScope(c.id, "test"), func(a *AccessState) { a.Contract = ContractClosed })
		},
		"from the list": func(c *clinic, token string, s Staff) error {
			return c.a.EndSession(c.t.Context(), s, s.Session())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
				c := newClinic(t, d)
				token, s := c.signIn("ann.ash")
				other := c.restart() // a second node
				if _, _, err := other.Resume(t.Context(), slug, token); err != nil {
					t.Fatal(err)
				}
				if err := end(c, token, s); err != nil {
					t.Fatal(err)
				}
				if s, _, err := c.resume(token); err == nil || s.Valid() {
					t.Errorf("still open here: %v", err)
				}
				if d.Engine() == db.PostgreSQL {
					d.Clock.Advance(time.Second)
					if s, _, err := other.Resume(t.Context(), slug, token); err == nil || s.Valid() {
						t.Errorf("still open on another node: %v", err)
					}
				}
			})
		})
	}
}

func TestSignOutIsRecorded(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	c := newClinic(t, d)
	token, s := c.signIn("ann.ash")
	if err := c.a.SignOut(t.Context(), slug, token); err != nil {
		t.Fatal(err)
	}
	if e := c.lastOf(audit.ActionSignOut); e.Actor.UserID != c.ann || e.Event.ID != s.Session().String() {
		t.Errorf("%+v", e)
	}
	if err := c.a.SignOut(t.Context(), slug, token); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, s := c.signIn("ann.ash")
		if err := c.a.Recent(s, StepUpWithin); err != nil {
			t.Error(err)
		}
		d.Clock.Advance(11 * time.Minute)
		s, _, _ = c.resume(token)
		wantCode(t, c.a.Recent(s, StepUpWithin), "login")
		wantCode(t, c.a.ChangePassword(t.Context(), s, "another good lamp 77"), "login")
		_, err := c.a.NewRecoveryCodes(t.Context(), s)
		wantCode(t, err, "login")

		wantCode(t, c.a.StepUp(t.Context(), s, StepUpRequest{Password: annPassword}), "login") // no code
		wantCode(t, c.a.StepUp(t.Context(), s, StepUpRequest{Password: "wrong", Code: c.nextCode()}), "login")
		if err := c.a.StepUp(t.Context(), s, StepUpRequest{Password: annPassword, Code: c.nextCode()}); err != nil {
			t.Fatal(err)
		}
		s, state, err := c.resume(token)
		if err != nil || c.a.Recent(s, StepUpWithin) != nil || !state.ProvedAt.Equal(d.Clock.Now()) {
			t.Errorf("%+v %v", state, err)
		}
		if e := c.lastOf(audit.ActionStepUp); e.Detail != "password, authenticator app" {
			t.Errorf("%+v", e)
		}
		if err := c.a.Recent(Staff{}, time.Hour); err == nil {
			t.Error("a zero scope is recent")
		}
	})
}

func TestSessionsList(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		first, _ := c.signIn("ann.ash")
		_, s := c.signIn("ann.ash")
		c.signIn("zoe@example.org")
		list, err := c.a.Sessions(t.Context(), s)
		if err != nil || len(list) != 2 || list[0].ID != s.Session() || list[0].Browser != "Firefox on Linux" ||
			list[0].Address != "203.0.113.9" || list[0].Practice != c.id {
			t.Fatalf("%+v %v", list, err)
		}
		if err := c.a.EndSession(t.Context(), s, list[1].ID); err != nil {
			t.Fatal(err)
		}
		_, _, err = c.resume(first)
		wantCode(t, err, "login")
		if list, _ := c.a.Sessions(t.Context(), s); len(list) != 1 {
			t.Errorf("%d sessions", len(list))
		}
		// Old ones are swept away.
		d.Clock.Advance(60 * 24 * time.Hour)
		if err := c.a.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int64
		err = d.View(t.Context(), system("test"), func(tx *db.Tx) error {
			return tx.QueryRow(t.Context(), db.SQL(`SELECT count(*) FROM session WHERE practice_id = $1`), 0).Scan(&n)
		})
		if err != nil || n != 0 {
			t.Errorf("%d rows left, %v", n, err)
		}
	})
}

func TestConcurrentResume(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	c := newClinic(t, d)
	token, _ := c.signIn("ann.ash")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				if _, _, err := c.resume(token); err != nil {
					t.Error(err)
				}
				if i == 0 {
					d.Clock.Advance(time.Second)
				}
				if i == 1 {
					c.a.forgetUser(c.ann)
				}
			}
		})
	}
	wg.Wait()
}

func TestForRequest(t *testing.T) {
	t.Parallel()
	s := AsStaff(1, 7, "Ann", "Practitioner/a", Clinician).ForRequest("00aa00aa00aa00aa")
	if s.Actor().Request != "00aa00aa00aa00aa" || s.UserID() != 7 || !s.Can(ChartRead) || s.Practice() != 1 {
		t.Errorf("%+v", s.Actor())
	}
	if (Staff{}).ForRequest("x").Valid() {
		t.Error("a zero scope became valid")
	}
}

// A row read before a revocation must not be kept after it, or it would open for ever.
func TestCacheKeepsNothingOlderThanARevocation(t *testing.T) {
	c := newSessionCache()
	e := &cached{token: digest("x")}
	_, forgets := c.get(e.token)
	c.forget(func(*cached) bool { return true }) // revoked while the row is on its way
	c.put(e, forgets)
	if got, _ := c.get(e.token); got != nil {
		t.Error("a revoked session came back")
	}
	_, forgets = c.get(e.token)
	c.put(e, forgets)
	if got, _ := c.get(e.token); got != e {
		t.Error("a session is not kept")
	}
	e.locked = true
	again := &cached{token: e.token}
	c.put(again, forgets)
	if got, _ := c.get(e.token); !got.locked {
		t.Error("a row read before the lock opened the session")
	}
}

func TestEditProfile(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, s := c.signIn("ann.ash")
		if err := c.a.EditProfile(t.Context(), s, " Dr. Ann Alder ", "es-US"); err != nil {
			t.Fatal(err)
		}
		s, _, err := c.resume(token)
		if err != nil || s.Name() != "Dr. Ann Alder" || s.Locale() != "es-US" {
			t.Errorf("%s %s %v", s.Name(), s.Locale(), err)
		}
		wantCode(t, c.a.EditProfile(t.Context(), s, " ", ""), "value")
		if _, _, err := c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.nextCode())); err != nil {
			t.Error(err)
		}
	})
}

func TestSwitchPractice(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		birch, err := c.a.AddPractice(t.Context(), "birch", "Birch")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.a.AddPractice(t.Context(), "cedar", "Cedar"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.a.AddMembership(t.Context(), SystemScope(birch, "test"), "ann.ash", "", Biller); err != nil {
			t.Fatal(err)
		}
		token, s := c.signIn("ann.ash")
		mine, err := c.a.PracticesOf(t.Context(), s)
		if err != nil || len(mine) != 2 || mine[1].Slug != "birch" {
			t.Fatalf("%+v %v", mine, err)
		}
		d.Clock.Advance(11 * time.Minute)
		_, _, err = c.a.Switch(t.Context(), s, "cedar", "", "")
		wantCode(t, err, "forbidden")
		other, in, err := c.a.Switch(t.Context(), s, "birch", "", "")
		if err != nil || in.Practice() != birch || !in.Can(BillingWrite) || in.Can(ChartRead) {
			t.Fatalf("%v", err)
		}
		wantCode(t, c.a.Recent(in, StepUpWithin), "login") // switching proves nothing
		_, here, _ := c.resume(token)
		if _, there, err := c.a.Resume(t.Context(), "birch", other); err != nil || !there.ExpiresAt.Equal(here.ExpiresAt) {
			t.Errorf("switching makes a session longer: %s, %s, %v", here.ExpiresAt, there.ExpiresAt, err)
		}
		list, err := c.a.Sessions(t.Context(), s)
		if err != nil || len(list) != 2 {
			t.Errorf("%+v %v", list, err)
		}
		if err := c.a.Lock(t.Context(), slug, token); err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.Switch(t.Context(), s, "birch", "", "")
		wantCode(t, err, "login")
	})
}

// While the database does not answer, nobody is told that they are signed out: what they hold is good again in a moment.
func TestNoDatabaseIsNotTheEndOfASession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("Ann.Ash")
		again := c.restart()
		if _, err := again.Practices(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.DB.Close(); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"at once", "when nothing is remembered any more"} {
			for _, a := range []*Auth{c.a, again, c.restart()} {
				_, _, session := a.Resume(t.Context(), slug, token)
				_, app := a.AppScope(t.Context(), AppGrant{Practice: c.id, ClientID: "growth", ClientName: "Growth", User: c.ann})
				_, patient := a.PatientScope(t.Context(), PatientGrant{Practice: c.id, Patient: "Patient/x"})
				for what, err := range map[string]error{"session": session, "program": app, "patient": patient} {
					var i *fhir.Issue
					if errors.As(err, &i) && (i.Code == "login" || i.Code == "not-found") {
						t.Errorf("%s, %s: %v", when, what, err)
					}
				}
			}
			d.Clock.Advance(time.Minute)
		}
		if _, err := c.restart().AppScope(t.Context(), AppGrant{Practice: c.id, ClientID: "growth", ClientName: "Growth"}); err == nil {
			t.Error("a scope was made without a database")
		}
		d.Reopen(t)
		c.a = New(d.DB, audit.New(d.DB), c.a.options)
		if _, _, err := c.resume(token); err != nil {
			t.Error("when it answers again:", err)
		}
		var i *fhir.Issue
		if _, err := c.a.AppScope(t.Context(), AppGrant{Practice: 999, ClientID: "growth", ClientName: "Growth"}); !errors.As(err, &i) || i.Code != "login" {
			t.Errorf("a practice that is not there: %v", err)
		}
	})
}
