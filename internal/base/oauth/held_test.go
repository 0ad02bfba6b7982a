package oauth

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// TestWorkOutlastsItsToken wants work that goes on after the token's time, with its scopes, and ends with what it stands on.
func TestWorkOutlastsItsToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		bearer := func(scope string) string {
			f := w.assertion(w.backend)
			f.Set("grant_type", "client_credentials")
			f.Set("scope", scope)
			r := w.token(f)
			if r.status != 200 {
				t.Fatalf("%d %v", r.status, r.body)
			}
			return r.str("access_token")
		}
		hold := func(bearer string) []byte {
			t.Helper()
			kept, err := w.s.Hold(t.Context(), w.alder, bearer)
			if err != nil {
				t.Fatal(err)
			}
			return kept
		}
		goesOn := func(when string, kept []byte, want bool) auth.Access {
			t.Helper()
			app, err := w.s.Resume(t.Context(), w.alder, kept)
			if (err == nil) != want || app.Valid() != want {
				t.Errorf("%s: %v, %v", when, app.Valid(), err)
			}
			return auth.AccessOf(app)
		}
		text := bearer("system/Patient.rs")
		kept := hold(text)
		wide := hold(bearer("system/*.rs"))
		d.Clock.Advance(2 * time.Hour)
		if w.opens(w.alder, text) {
			t.Error("the token outlasted its time")
		}
		a := goesOn("after the token's time", kept, true)
		if !a.Allows("Patient", auth.CanRead) || a.Allows("Observation", auth.CanRead) || a.Allows("Patient", auth.CanUpdate) {
			t.Errorf("work has other scopes than its token: %+v", a)
		}
		if a := goesOn("the wide one", wide, true); !a.Allows("Observation", auth.CanRead) {
			t.Error("a token's scopes were narrowed by another's")
		}
		if app, err := w.s.Resume(t.Context(), w.elm, kept); err == nil {
			t.Errorf("it goes on at another practice: %v", app.Valid())
		}
		for _, bad := range []string{"", "{}", "null", `{"grant":1}`} {
			goesOn(bad, []byte(bad), false)
		}
		if _, err := w.s.Hold(t.Context(), w.alder, "yrw-at.nonsense"); err == nil {
			t.Error("a token that opens nothing was held")
		}
		// Revoked by the program itself.
		text = bearer("system/*.rs")
		one := hold(text)
		f := w.assertion(w.backend)
		f.Set("token", text)
		if r := w.send("POST", "/alder/oauth/revoke", f, nil); r.status != 200 {
			t.Fatalf("%d %v", r.status, r.body)
		}
		goesOn("the token was revoked", one, false)
		// By the practice.
		last := hold(bearer("system/*.rs"))
		if err := w.s.Suspend(t.Context(), w.zoe, w.backend.ID, "review"); err != nil {
			t.Fatal(err)
		}
		goesOn("the program was suspended", last, false)
		// With the person.
		user := hold(w.connect("launch/patient openid fhirUser offline_access patient/*.rs", "pat-1").str("access_token"))
		goesOn("for a person", user, true)
		if err := w.auth.Disable(t.Context(), auth.SystemScope(w.alder.ID, "test"), w.ann.UserID()); err != nil {
			t.Fatal(err)
		}
		goesOn("the person was disabled", user, false)
	})
}

// What a person let programs do does not come back with them: not when they are enabled again, and not when only their credentials
// were taken from them. What they grant afterwards stands.
func TestGrantsEndWithThePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		sys := auth.SystemScope(w.alder.ID, "test")
		for _, c := range []struct {
			what   string
			end    func() error
			closed bool // nothing is granted before they are enabled
		}{
			{"disabled", func() error { return w.auth.Disable(t.Context(), sys, w.ann.UserID()) }, true},
			{"credentials taken", func() error { _, err := w.auth.ResetCredentials(t.Context(), sys, w.ann.UserID()); return err }, false},
		} {
			t.Run(c.what, func(t *testing.T) {
				w.t = t
				w.ann = w.again("ann")
				old := w.connect("launch/patient openid fhirUser offline_access patient/*.rs", "pat-1")
				code := w.authorize(w.ann, w.request(w.public, "launch/patient openid offline_access patient/*.rs"), "pat-1").Get("code")
				kept, err := w.s.Hold(t.Context(), w.alder, old.str("access_token"))
				if err != nil {
					t.Fatal(err)
				}
				d.Clock.Advance(2 * time.Second)
				if err := c.end(); err != nil {
					t.Fatal(err)
				}
				dead := func(when string) {
					t.Helper()
					if w.opens(w.alder, old.str("access_token")) {
						t.Errorf("%s: the access token opens", when)
					}
					form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.str("refresh_token")}, "client_id": {w.public.ID}}
					if r := w.token(form); r.status != 400 || r.str("error") != "invalid_grant" {
						t.Errorf("%s: the refresh token: %d %v", when, r.status, r.body)
					}
					if _, err := w.s.Resume(t.Context(), w.alder, kept); err == nil {
						t.Errorf("%s: work goes on", when)
					}
					if all, err := w.s.GrantsOf(t.Context(), sys, w.public.ID); err != nil || len(all) != 0 {
						t.Errorf("%s: %d connections are listed, %v", when, len(all), err)
					}
				}
				dead("at once")
				if c.closed {
					if err := w.auth.Enable(t.Context(), sys, w.ann.UserID()); err != nil {
						t.Fatal(err)
					}
				}
				d.Clock.Advance(2 * time.Second)
				dead("afterwards")
				if r := w.token(w.redeemForm(w.public, code)); r.status != 400 || r.str("error") != "invalid_grant" {
					t.Errorf("a code from before: %d %v", r.status, r.body)
				}
				w.ann = w.again("ann")
				now := w.connect("launch/patient openid fhirUser offline_access patient/*.rs", "pat-1")
				if !w.opens(w.alder, now.str("access_token")) {
					t.Error("what is granted afterwards opens nothing")
				}
				if all, err := w.s.GrantsOf(t.Context(), sys, w.public.ID); err != nil || len(all) != 1 {
					t.Errorf("%d connections are listed afterwards, %v", len(all), err)
				}
			})
		}
	})
}

// While the database does not answer, no token is called bad: programs throw away what is refused, and exports and
// subscriptions that stand on it would end for good.
func TestNoDatabaseIsNotTheEndOfAToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		f := w.assertion(w.backend)
		f.Set("grant_type", "client_credentials")
		f.Set("scope", "system/Patient.rs")
		text := w.token(f).str("access_token")
		kept, err := w.s.Hold(t.Context(), w.alder, text)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.DB.Close(); err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(10 * time.Second)
		_, asks := w.s.Authenticate(t.Context(), w.alder, text)
		_, goesOn := w.s.Resume(t.Context(), w.alder, kept)
		for what, err := range map[string]error{"a request": asks, "work that goes on": goesOn} {
			var i *fhir.Issue
			if err == nil || errors.As(err, &i) && i.Code == "login" {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := w.send("GET", "/alder/.well-known/smart-configuration", nil, nil).status; got == 404 {
			t.Errorf("the addresses for programs: %d", got)
		}
		d.Reopen(t)
		s := New(Options{DB: d.DB, Auth: auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true}), Audit: audit.New(d.DB), Base: base})
		if _, err := s.Authenticate(t.Context(), w.alder, text); err != nil {
			t.Error("when it answers again:", err)
		}
		if _, err := s.Resume(t.Context(), w.alder, kept); err != nil {
			t.Error("when it answers again:", err)
		}
	})
}
