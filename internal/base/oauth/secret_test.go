package oauth

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db/dbtest"
)

// knows gives the answer to a secret at the token endpoint: a good one fails only for its made-up code.
func (w *world) knows(p, client, secret string) reply {
	w.t.Helper()
	return w.send("POST", "/"+p+"/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {client}, "client_secret": {secret}}, nil)
}

// secrets reads what is known of a client's secrets through a server that remembers nothing.
func (w *world) secrets(id string) []Shared {
	w.t.Helper()
	fresh := New(Options{DB: w.d.DB, Auth: w.auth, Audit: w.log, Base: base})
	c, err := fresh.Client(w.t.Context(), w.alder.ID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Secrets(w.d.Clock.Now())
}

// A secret that was replaced works until the end that was chosen, or was set by hand, and not a second longer; after it the answer
// is that to any wrong secret.
func TestSecretsOverlap(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id, first := w.confidential.ID, w.secret
		want := func(what, secret string, works bool) {
			t.Helper()
			r, wrong := w.knows("alder", id, secret), w.knows("alder", id, "yrw-cs.wrong")
			if works && (r.status != 400 || r.str("error") != "invalid_grant") {
				t.Errorf("%s: %d %v", what, r.status, r.body)
			}
			if wrong.status != 401 || wrong.str("error") != "invalid_client" {
				t.Errorf("a wrong secret: %d %v", wrong.status, wrong.body)
			}
			if !works && (r.status != wrong.status || r.str("error") != wrong.str("error") || r.str("error_description") != wrong.str("error_description") || len(r.body) != len(wrong.body) ||
				r.header.Get("WWW-Authenticate") != wrong.header.Get("WWW-Authenticate")) {
				t.Errorf("%s is answered otherwise than a wrong one: %d %v", what, r.status, r.body)
			}
		}
		replace := func(overlap time.Duration) string {
			t.Helper()
			secret, err := w.s.NewSecret(t.Context(), w.zoe, id, overlap)
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
		second := replace(7 * 24 * time.Hour)
		want("the old secret in its overlap", first, true)
		want("the new secret", second, true)
		if r := w.knows("elm", id, second); r.status != 401 {
			t.Errorf("a secret at another practice: %d", r.status)
		}
		if r := w.knows("alder", w.public.ID, second); r.status != 401 {
			t.Errorf("another program's secret: %d", r.status)
		}
		if err := w.s.Suspend(t.Context(), w.zoe, id, "a question about the contract"); err != nil {
			t.Fatal(err)
		}
		want("the old secret of a program that is stopped", first, false)
		want("the new secret of a program that is stopped", second, false)
		c, err := w.s.Client(t.Context(), w.alder.ID, id)
		if err == nil {
			err = w.s.Approve(t.Context(), w.zoe, id, c.Version)
		}
		if err != nil {
			t.Fatal(err)
		}
		want("the old secret after approval", first, true)

		d.Clock.Advance(7*24*time.Hour - time.Second)
		want("the old secret a second before its end", first, true)
		d.Clock.Advance(time.Second)
		want("the old secret at its end", first, false)
		want("the new secret then", second, true)
		if all := w.secrets(id); len(all) != 1 || !all[0].Until.IsZero() {
			t.Errorf("after the overlap: %+v", all)
		}
		w.zoe = w.again("zoe")
		if err := w.s.EndFormer(t.Context(), w.zoe, id); err == nil {
			t.Error("a secret that has ended was ended")
		}

		third := replace(LongestOverlap)
		fourth := replace(time.Hour)
		want("a secret from two replacements ago", second, false)
		want("the former secret", third, true)
		want("the present secret", fourth, true)
		if err := w.s.EndFormer(t.Context(), w.ann, id); err == nil {
			t.Error("a clinician ended a secret")
		}
		if err := w.s.EndFormer(t.Context(), w.zoe, id); err != nil {
			t.Fatal(err)
		}
		want("a secret that was ended by hand", third, false)
		want("the present secret beside it", fourth, true)
		fifth := replace(0)
		want("a secret without an overlap", fourth, false)
		want("what replaced it", fifth, true)

		for name, try := range map[string]func() error{
			"longer than 30 days": func() error {
				_, err := w.s.NewSecret(t.Context(), w.zoe, id, LongestOverlap+1)
				return err
			},
			"less than nothing":   func() error { _, err := w.s.NewSecret(t.Context(), w.zoe, id, -1); return err },
			"a clinician":         func() error { _, err := w.s.NewSecret(t.Context(), w.ann, id, 0); return err },
			"a program with keys": func() error { _, err := w.s.NewSecret(t.Context(), w.zoe, w.signing.ID, 0); return err },
			"a public program":    func() error { _, err := w.s.NewSecret(t.Context(), w.zoe, w.public.ID, 0); return err },
			"no such program":     func() error { return w.s.EndFormer(t.Context(), w.zoe, "nobody") },
		} {
			if try() == nil {
				t.Errorf("%s: was done", name)
			}
		}
		d.Clock.Advance(auth.StepUpWithin + time.Second)
		if _, err := w.s.NewSecret(t.Context(), w.zoe, id, 0); err == nil {
			t.Error("a secret was replaced without the administrator proving to be themself")
		}
		want("the present secret after what was refused", fifth, true)
	})
}

// again signs a person in anew, freshly proved.
func (w *world) again(login string) auth.Staff {
	w.t.Helper()
	people, err := w.auth.DemoPeople(w.t.Context(), w.alder.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range people {
		if p.Login == login {
			_, s, err := w.auth.DemoSignIn(w.t.Context(), w.alder.ID, p.ID)
			if err != nil {
				w.t.Fatal(err)
			}
			return s
		}
	}
	w.t.Fatalf("nobody is called %s", login)
	return auth.Staff{}
}

// The last use of each secret is known to the minute, and costs one write a minute however often it is used.
func TestSecretsLastUse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id, first := w.confidential.ID, w.secret
		if all := w.secrets(id); len(all) != 1 || !all[0].Used.IsZero() || all[0].Since.IsZero() {
			t.Fatalf("before any use: %+v", all)
		}
		d.Clock.Advance(90 * time.Second)
		firstUse := d.Clock.Now()
		w.knows("alder", id, first)
		w.knows("alder", id, "yrw-cs.wrong")
		second, err := w.s.NewSecret(t.Context(), w.zoe, id, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		all := w.secrets(id)
		if len(all) != 2 || !all[0].Used.IsZero() || !all[1].Used.Equal(firstUse.Truncate(time.Minute)) || !all[1].Until.Equal(all[0].Since.Add(time.Hour)) {
			t.Fatalf("after a replacement: %+v", all)
		}
		d.Clock.Advance(3 * time.Minute)
		w.knows("alder", id, second)
		d.Clock.Advance(2 * time.Minute)
		w.knows("alder", id, first)
		all = w.secrets(id)
		if now := d.Clock.Now().Truncate(time.Minute); !all[0].Used.Equal(now.Add(-2*time.Minute)) || !all[1].Used.Equal(now) {
			t.Errorf("last used %+v at %s", all, now)
		}
		c, err := w.s.Client(t.Context(), w.alder.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		dead, cancel := context.WithCancel(t.Context())
		cancel() // whatever writes now fails
		for range 100 {
			if err := w.s.noteSecret(dead, w.alder.ID, c, true); err != nil {
				t.Fatalf("a second use in the same minute writes: %v", err)
			}
		}
		d.Clock.Advance(time.Minute)
		if err := w.s.noteSecret(dead, w.alder.ID, c, true); err == nil {
			t.Error("the first use in a minute writes nothing")
		}
		if c.Version != w.version(id) {
			t.Error("a use changed the version that administrators approve")
		}
	})
}

func (w *world) version(id string) int64 {
	w.t.Helper()
	c, err := New(Options{DB: w.d.DB, Auth: w.auth, Audit: w.log, Base: base}).Client(w.t.Context(), w.alder.ID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Version
}

// Neither an ended secret nor the presence of a second one changes what is done to judge a text: the same comparisons. The times
// are reported; they decide nothing.
func TestSecretsAreJudgedAlike(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	present, former := random(prefixSecret), random(prefixSecret)
	c := &Client{Kind: Secret, State: Approved, secret: digest(present), former: digest(former), earlier: Shared{Until: now}}
	for name, k := range map[string]struct {
		text       string
		at         time.Time
		ok, former bool
	}{
		"present":               {present, now, true, false},
		"former, in time":       {former, now.Add(-time.Nanosecond), true, true},
		"former, at its end":    {former, now, false, false},
		"former, a clock ahead": {former, now.Add(time.Hour), false, false},
		"nothing":               {"", now.Add(-time.Hour), false, false},
		"all zeros":             {strings.Repeat("\x00", 32), now.Add(-time.Hour), false, false},
		"its own hash":          {string(c.secret[:]), now.Add(-time.Hour), false, false},
		"half of it":            {present[:20], now, false, false},
		"in other case":         {strings.ToUpper(present), now, false, false},
	} {
		if was, ok := c.opens(k.text, k.at); ok != k.ok || was != k.former {
			t.Errorf("%s: opens %v, former %v", name, ok, was)
		}
	}
	nobody, timer := &Client{}, clock.System()
	spent := map[string]time.Duration{}
	wrong := random(prefixSecret)
	for range 2000 { // the clock of the machine is cut to microseconds: only sums say anything
		for name, f := range map[string]func(){"ended": func() { c.opens(former, now) }, "wrong": func() { c.opens(wrong, now) }, "nobody's": func() { nobody.opens(wrong, now) }} {
			start := timer.Now()
			f()
			spent[name] += timer.Since(start)
		}
	}
	for name, d := range spent {
		t.Logf("%s: %v a try", name, d/2000)
	}
}
