package auth

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db/dbtest"
)

// register gives a person a passkey.
func (c *clinic) register(s Staff) *authenticator {
	c.t.Helper()
	v := newAuthenticator(c.t)
	options, ticket, err := c.a.BeginPasskeyRegistration(c.t.Context(), s)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.a.FinishPasskeyRegistration(c.t.Context(), s, ticket, "work phone", v.create(options)); err != nil {
		c.t.Fatal(err)
	}
	return v
}

// passkeyRequest is a sign-in that will work.
func (c *clinic) passkeyRequest(v *authenticator) PasskeySignIn {
	c.t.Helper()
	options, ticket, err := c.a.BeginPasskeySignIn(c.t.Context(), slug)
	if err != nil {
		c.t.Fatal(err)
	}
	return PasskeySignIn{Practice: slug, Ticket: ticket, Response: v.get(options), RemoteAddr: "203.0.113.9:1"}
}

func TestPasskey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		first, s, err := c.a.SignIn(t.Context(), c.request("bob", bobPassword, ""))
		if err != nil {
			t.Fatal(err)
		}
		v := c.register(s)
		if s, state, err := c.resume(first); err != nil || state.MustEnrol || !s.Can(ScheduleWrite) {
			t.Errorf("the passkey is no second factor: %+v %v", state, err)
		}
		token, s, err := c.a.FinishPasskeySignIn(t.Context(), c.passkeyRequest(v))
		if err != nil || s.UserID() != c.bob || !s.Can(ScheduleWrite) {
			t.Fatal(err)
		}
		if _, state, _ := c.resume(token); state.MustEnrol {
			t.Error("a passkey is two factors")
		}
		if e := c.lastOf(audit.ActionSignIn); e.Detail != "passkey; roles frontdesk" || e.Actor.UserID != c.bob {
			t.Errorf("%+v", e)
		}
		// The password alone is no longer enough.
		_, _, err = c.a.SignIn(t.Context(), c.request("bob", bobPassword, ""))
		wantCode(t, err, "login")

		list, err := c.a.Passkeys(t.Context(), s)
		if err != nil || len(list) != 1 || list[0].Name != "work phone" || list[0].Used.IsZero() || list[0].Synced {
			t.Fatalf("%+v %v", list, err)
		}
		wantCode(t, c.a.RemovePasskey(t.Context(), s, list[0].ID), "business-rule")
		second := c.register(s)
		if err := c.a.RemovePasskey(t.Context(), s, list[0].ID); err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.FinishPasskeySignIn(t.Context(), c.passkeyRequest(v))
		wantCode(t, err, "login")
		if _, _, err = c.a.FinishPasskeySignIn(t.Context(), c.passkeyRequest(second)); err != nil {
			t.Error(err)
		}
	})
}

func TestPasskeyRefusals(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		_, s := c.signIn("ann.ash")
		v := c.register(s)
		for name, spoil := range map[string]func(v *authenticator, r *PasskeySignIn, options []byte){
			"wrong origin": func(v *authenticator, r *PasskeySignIn, o []byte) {
				v.origin = "https://evil.example"
				r.Response = v.get(o)
			},
			"wrong domain": func(v *authenticator, r *PasskeySignIn, o []byte) { v.rpID = "evil.example"; r.Response = v.get(o) },
			"not verified": func(v *authenticator, r *PasskeySignIn, o []byte) { v.flags = flagPresent; r.Response = v.get(o) },
			"copied key":   func(v *authenticator, r *PasskeySignIn, o []byte) { v.counter = 0; r.Response = v.get(o) },
			"another key": func(v *authenticator, r *PasskeySignIn, o []byte) {
				v.key = newAuthenticator(v.t).key
				r.Response = v.get(o)
			},
			"unknown credential": func(v *authenticator, r *PasskeySignIn, o []byte) {
				v.id = newAuthenticator(v.t).id
				r.Response = v.get(o)
			},
			"unknown person": func(v *authenticator, r *PasskeySignIn, o []byte) {
				v.handle = bytes.Repeat([]byte{9}, 16)
				r.Response = v.get(o)
			},
			"changed signature": func(v *authenticator, r *PasskeySignIn, o []byte) {
				r.Response = bytes.Replace(v.get(o), []byte(`"signature":"ME`), []byte(`"signature":"MF`), 1)
			},
			"garbage": func(v *authenticator, r *PasskeySignIn, o []byte) { r.Response = []byte(`{}`) },
			"other challenge": func(v *authenticator, r *PasskeySignIn, o []byte) {
				other, _, _ := c.a.BeginPasskeySignIn(t.Context(), slug)
				r.Response = v.get(other)
			},
			"unknown practice": func(v *authenticator, r *PasskeySignIn, o []byte) { r.Practice, r.Response = "none", v.get(o) },
		} {
			options, ticket, err := c.a.BeginPasskeySignIn(t.Context(), slug)
			if err != nil {
				t.Fatal(err)
			}
			twin := *v
			twin.counter += 100
			r := PasskeySignIn{Practice: slug, Ticket: ticket}
			spoil(&twin, &r, options)
			token, who, err := c.a.FinishPasskeySignIn(t.Context(), r)
			if token != "" || who.Valid() || codeOf(err) != "login" || err.Error() != refused().Error() {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := c.a.FinishPasskeySignIn(t.Context(), c.passkeyRequest(v)); err != nil {
			t.Errorf("the real one: %v", err)
		}
	})
}

func TestPasskeyTicketsWorkOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		_, s := c.signIn("ann.ash")
		v := c.register(s)
		r := c.passkeyRequest(v)
		var wg sync.WaitGroup
		var mu sync.Mutex
		let := 0
		for range 4 {
			wg.Go(func() {
				if _, _, err := c.a.FinishPasskeySignIn(t.Context(), r); err == nil {
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
			t.Errorf("one ticket let %d in", let)
		}
		late := c.passkeyRequest(v)
		d.Clock.Advance(challengeFor)
		_, _, err := c.a.FinishPasskeySignIn(t.Context(), late)
		wantCode(t, err, "expired")

		// A ticket serves its own purpose and its own person.
		_, s = c.signIn("ann.ash")
		options, ticket, err := c.a.BeginPasskeyStepUp(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.FinishPasskeySignIn(t.Context(), PasskeySignIn{Practice: slug, Ticket: ticket, Response: v.get(options)})
		wantCode(t, err, "expired")
		_, zoe := c.signIn("zoe@example.org")
		wantCode(t, c.a.FinishPasskeyStepUp(t.Context(), zoe, ticket, v.get(options)), "login")
		options, ticket, err = c.a.BeginPasskeyRegistration(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		answer := newAuthenticator(t).create(options)
		wantCode(t, c.a.FinishPasskeyRegistration(t.Context(), zoe, ticket, "", answer), "expired")
		if err := c.a.FinishPasskeyRegistration(t.Context(), s, ticket, "", answer); err != nil {
			t.Error(err)
		}
		wantCode(t, c.a.FinishPasskeyRegistration(t.Context(), s, ticket, "", answer), "expired")
	})
}

func TestPasskeyStepUpAndUnlock(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, s := c.signIn("ann.ash")
		v := c.register(s)
		d.Clock.Advance(12 * time.Minute)
		s, _, _ = c.resume(token)
		wantCode(t, c.a.Recent(s, StepUpWithin), "login")
		_, _, err := c.a.BeginPasskeyRegistration(t.Context(), s)
		wantCode(t, err, "login")
		options, ticket, err := c.a.BeginPasskeyStepUp(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		answer := v.get(options)
		if err := c.a.FinishPasskeyStepUp(t.Context(), s, ticket, answer); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c.a.FinishPasskeyStepUp(t.Context(), s, ticket, answer), "login")
		s, _, _ = c.resume(token)
		if err := c.a.Recent(s, StepUpWithin); err != nil {
			t.Error(err)
		}

		d.Clock.Advance(15 * time.Minute)
		if _, state, _ := c.resume(token); !state.Locked {
			t.Fatal("not locked")
		}
		r := c.passkeyRequest(v)
		r.Unlock = token
		fresh, after, err := c.a.FinishPasskeySignIn(t.Context(), r)
		if err != nil || after.Session() != s.Session() || fresh == token {
			t.Fatal(err)
		}
		_, _, err = c.resume(token)
		wantCode(t, err, "login")
		// Somebody else's locked session does not open; they get one of their own.
		if err := c.a.Lock(t.Context(), slug, fresh); err != nil {
			t.Fatal(err)
		}
		_, zoe := c.signIn("zoe@example.org")
		r = c.passkeyRequest(c.register(zoe))
		r.Unlock = fresh
		_, own, err := c.a.FinishPasskeySignIn(t.Context(), r)
		if err != nil || own.UserID() != c.zoe || own.Session() == s.Session() {
			t.Errorf("%v", err)
		}
		if s, state, _ := c.resume(fresh); s.Valid() || !state.Locked {
			t.Error("another person opened the session")
		}
	})
}

func TestPasskeysTurnedOff(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	c := newClinic(t, d)
	off := New(d.DB, c.log, Options{})
	_, _, err := off.BeginPasskeySignIn(t.Context(), slug)
	wantCode(t, err, "not-supported")
	_, _, err = off.FinishPasskeySignIn(t.Context(), PasskeySignIn{Practice: slug})
	wantCode(t, err, "not-supported")
	wrong := New(d.DB, c.log, Options{RPID: "not a domain", Origins: []string{"x"}})
	_, _, err = wrong.BeginPasskeySignIn(t.Context(), slug)
	wantCode(t, err, "not-supported")
}
