package signon

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
)

// The main road: sent away with PKCE, nonce and state, back with a code, and signed in as oneself; afterwards by the subject alone.
func TestOpenIDConnect(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id := w.oidc(nil)
		b := w.away(id, In)
		for _, name := range []string{"nonce", "code_challenge", "state"} {
			if len(w.idp.asked.Get(name)) < 43 {
				t.Errorf("%s is %q", name, w.idp.asked.Get(name))
			}
		}
		if !strings.HasPrefix(b.To, w.idp.issuer+"/auth?") || w.idp.asked.Get("tenant") != "1" || w.idp.asked.Get("code_challenge_method") != "S256" ||
			w.idp.asked.Get("redirect_uri") != base+"/alder/sign-in/with/"+id+"/back" || w.idp.asked.Get("scope") != "openid email profile" || w.idp.asked.Has("prompt") {
			t.Errorf("sent to %s", b.To)
		}
		out, err := w.back(id, b, nil, Browser{})
		if err != nil {
			t.Fatal(err, w.trouble(id))
		}
		if out.Staff.UserID() != w.ann || out.To != "/alder/patients" || !out.Staff.Can(auth.ChartRead) {
			t.Errorf("came in as %d to %s", out.Staff.UserID(), out.To)
		}
		if len(w.idp.form.Get("code_verifier")) < 43 || w.idp.form.Has("client_secret") || !strings.HasPrefix(w.idp.basic, "Basic ") {
			t.Errorf("the code was redeemed with %v", w.idp.form)
		}
		if _, err := w.back(id, b, nil, Browser{}); issue(err) != issue(lost()) {
			t.Errorf("the same answer again: %v", err)
		}
		// From now on the subject counts, whatever the address; and the address is nobody else's way in.
		w.idp.claims = map[string]any{"email": nil}
		if out, err := w.in(id); err != nil || out.Staff.UserID() != w.ann {
			t.Errorf("the second time: %v", err)
		}
		w.idp.claims = map[string]any{"sub": "s-2"}
		if _, err := w.in(id); !strings.HasPrefix(issue(err), "login: Your organisation knows you, but") {
			t.Errorf("another subject with the address of somebody linked: %v", err)
		}
		list, err := w.auth.SignOnLinks(t.Context(), w.sys, id)
		if err != nil || len(list) != 1 || list[0].User != w.ann || !list[0].Linked || list[0].Mail != "ann@alder.example" && list[0].Mail != "" {
			t.Errorf("links: %+v, %v", list, err)
		}
		if err := w.auth.UnlinkSignOn(t.Context(), w.sys, id, w.ann); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.auth.Resume(t.Context(), "alder", out.Token); err == nil {
			t.Error("the session outlives the link")
		}
		if out, err := w.in(id); err != nil || out.Staff.UserID() != w.ann {
			t.Errorf("after unlinking, the other subject: %v", err)
		}
	})
}

// What an OpenID provider, or somebody between, may not say. None of it opens anything, the person reads one answer, and the
// administrator the reason.
func TestForgedIdentityTokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id := w.oidc(nil)
		now := d.Clock.Now()
		for _, c := range []struct {
			name   string
			change func(*idp)
			more   url.Values
			says   string
		}{
			{"no signature", func(i *idp) { i.alg, i.head = "none", map[string]any{"alg": "none"} }, nil, `signed with "none"`},
			{"signed with the public key", func(i *idp) { i.alg, i.head = "HS256", map[string]any{"alg": "HS256"} }, nil, `signed with "HS256"`},
			{"another key", func(i *idp) { i.head = map[string]any{"kid": "k9"} }, nil, `no key "k9"`},
			{"a header that is not understood", func(i *idp) { i.head = map[string]any{"crit": []string{"exp"}} }, nil, `header has "crit"`},
			{"another issuer", func(i *idp) { i.claims = map[string]any{"iss": "https://evil.example"} }, nil, "is of"},
			{"another audience", func(i *idp) { i.claims = map[string]any{"aud": "other"} }, nil, "another program"},
			{"several audiences", func(i *idp) { i.claims = map[string]any{"aud": []string{"other", "yarrow"}} }, nil, "azp"},
			{"another azp", func(i *idp) { i.claims = map[string]any{"azp": "other"} }, nil, "azp"},
			{"expired", func(i *idp) { i.claims = map[string]any{"exp": now.Add(-2 * time.Minute).Unix()} }, nil, "expired"},
			{"without end", func(i *idp) { i.claims = map[string]any{"exp": nil} }, nil, "expired"},
			{"from the future", func(i *idp) { i.claims = map[string]any{"iat": now.Add(5 * time.Minute).Unix()} }, nil, "another time"},
			{"not valid yet", func(i *idp) { i.claims = map[string]any{"nbf": now.Add(5 * time.Minute).Unix()} }, nil, "not valid yet"},
			{"another request", func(i *idp) { i.claims = map[string]any{"nonce": "other"} }, nil, "nonce"},
			{"no nonce", func(i *idp) { i.claims = map[string]any{"nonce": nil} }, nil, "nonce"},
			{"another access token", func(i *idp) { i.claims = map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"} }, nil, "at_hash"},
			{"nobody", func(i *idp) { i.claims = map[string]any{"sub": ""} }, nil, "names nobody"},
			{"a code of another provider", nil, url.Values{"iss": {"https://evil.example"}}, "comes from"},
			{"an error", nil, url.Values{"error": {"access_denied"}}, "access_denied"},
			{"two codes", nil, url.Values{"code": {"a", "b"}}, "no code"},
			{"a refused code", func(i *idp) { i.status = 400 }, nil, "invalid_grant"},
		} {
			w.idp.head, w.idp.claims, w.idp.alg, w.idp.status = nil, nil, "", 0
			if c.change != nil {
				c.change(w.idp)
			}
			_, err := w.back(id, w.away(id, In), c.more, Browser{})
			if issue(err) != "login: Your organisation's sign-in could not be completed." || !strings.Contains(w.trouble(id), c.says) {
				t.Errorf("%s: %v; the administrator reads %q", c.name, err, w.trouble(id))
			}
		}
		w.idp.head, w.idp.claims, w.idp.alg, w.idp.status = nil, nil, "", 0
		b := w.away(id, In)
		stolen := b
		stolen.Browser = random()
		if _, err := w.back(id, stolen, nil, Browser{}); issue(err) != issue(lost()) {
			t.Errorf("another browser finishes: %v", err)
		}
		other := w.oidc(func(c *Connection) { c.Name = "Other" })
		if _, err := w.back(other, b, nil, Browser{}); issue(err) != issue(lost()) {
			t.Errorf("finished at another connection: %v", err)
		}
		d.Clock.Advance(askLasts)
		if _, err := w.back(id, b, nil, Browser{}); issue(err) != issue(lost()) {
			t.Errorf("too late: %v", err)
		}
	})
}

// Who comes in, and as what.
func TestWhoComesIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		for _, name := range []string{"Scribe", "Intern"} {
			if _, err := w.auth.AddRole(t.Context(), w.sys, name, auth.Nurse); err != nil {
				t.Fatal(err)
			}
		}
		groups := []Mapped{{"nurses", []auth.Role{auth.Nurse}}, {"desk", []auth.Role{auth.FrontDesk}}, {"scribes", []auth.Role{"own-1"}}, {"interns", []auth.Role{"own-2"}}}
		plainly := w.oidc(nil)
		mapped := w.oidc(func(c *Connection) { c.Name, c.Groups, c.Create = "With groups", groups, true })
		if err := w.auth.RetireRole(t.Context(), w.sys, "own-2"); err != nil {
			t.Fatal(err)
		}
		stranger := "login: Your organisation knows you, but nobody in this practice signs in as you."
		for _, c := range []struct {
			name, id string
			claims   map[string]any
			want     string // a login, or what is said
		}{
			{"an address that is not verified", plainly, map[string]any{"email_verified": false}, stranger},
			{"an address of which nothing is said", plainly, map[string]any{"email_verified": nil}, stranger},
			{"an address of another domain", plainly, map[string]any{"email": "ann@evil.example"}, stranger},
			{"a domain that only ends so", plainly, map[string]any{"email": "ann@alder.example@evil.example"}, stranger},
			{"no second factor", plainly, map[string]any{"amr": []string{"pwd"}}, "login: Your organisation did not say that you used a second factor."},
			{"somebody unknown", plainly, map[string]any{"sub": "n-1", "email": "new@alder.example"}, stranger},
			{"somebody unknown without a role", mapped, map[string]any{"sub": "n-1", "email": "new@alder.example", "groups": []string{"cooks"}}, stranger},
			{"somebody new", mapped, map[string]any{"sub": "n-1", "email": "new@alder.example", "groups": []string{"cooks", "desk"}}, "[frontdesk]"},
			{"who has another role now", mapped, map[string]any{"sub": "n-1", "groups": []string{"nurses"}}, "[nurse]"},
			{"who has a role of the practice's own", mapped, map[string]any{"sub": "n-1", "groups": []string{"scribes", "interns"}}, "[own-1]"},
			{"who has a role that was retired", mapped, map[string]any{"sub": "n-1", "groups": []string{"interns"}}, "login: Your organisation's groups give you no role in this practice."},
			{"who has none any more", mapped, map[string]any{"sub": "n-1", "groups": []string{}}, "login: Your organisation's groups give you no role in this practice."},
		} {
			w.idp.claims = c.claims
			out, err := w.in(c.id)
			got := issue(err)
			if err == nil {
				got = "["
				for _, r := range out.Staff.Roles() {
					got += string(r)
				}
				got += "]"
			}
			if got != c.want {
				t.Errorf("%s: %s (%s)", c.name, got, w.trouble(c.id))
			}
		}
		// Somebody whose login is no address of the organisation is expected under one.
		ben := w.person("ben", auth.Biller)
		if err := w.auth.ExpectSignOn(t.Context(), w.sys, plainly, ben, "Ben@Alder.example"); err != nil {
			t.Fatal(err)
		}
		w.idp.claims = map[string]any{"sub": "b-1", "email": "ben@alder.example"}
		if out, err := w.in(plainly); err != nil || out.Staff.UserID() != ben {
			t.Errorf("who is expected: %v", err)
		}
		if err := w.auth.Disable(t.Context(), w.sys, ben); err != nil {
			t.Fatal(err)
		}
		if _, err := w.in(plainly); issue(err) != stranger {
			t.Errorf("somebody disabled: %v", err)
		}
	})
}

// Proving again who one is: only a word that the provider gave just now counts, and only about the same person.
func TestProvingAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id := w.oidc(nil)
		out, err := w.in(id)
		if err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(12 * time.Minute)
		staff, _, err := w.auth.Resume(t.Context(), "alder", out.Token)
		if err != nil || w.auth.Recent(staff, auth.StepUpWithin) == nil {
			t.Fatalf("proved long ago: %v", err)
		}
		try := func(why Purpose, claims map[string]any, token string) (Outcome, error) {
			w.idp.claims = claims
			b := w.away(id, why)
			if w.idp.asked.Get("prompt") != "login" || w.idp.asked.Get("max_age") != "0" {
				t.Errorf("%s does not ask the person again", why)
			}
			return w.back(id, b, nil, Browser{Staff: staff, Session: token})
		}
		early := map[string]any{"auth_time": d.Clock.Now().Add(-10 * time.Minute).Unix()}
		if _, err := try(Prove, early, ""); err == nil {
			t.Error("an old word counts as proof")
		}
		if _, err := try(Prove, map[string]any{"auth_time": nil}, ""); err == nil {
			t.Error("a word without time counts as proof")
		}
		w.person("eve@alder.example", auth.Clinician)
		if _, err := try(Prove, map[string]any{"sub": "e-1", "email": "eve@alder.example"}, ""); issue(err) != "login: Your organisation says that you are somebody else." {
			t.Errorf("somebody else proves: %v", err)
		}
		if _, err := try(Prove, nil, ""); err != nil {
			t.Fatal(err, w.trouble(id))
		}
		if staff, _, err = w.auth.Resume(t.Context(), "alder", out.Token); err != nil || w.auth.Recent(staff, auth.StepUpWithin) != nil {
			t.Errorf("after the proof: %v", err)
		}
		if err := w.auth.Lock(t.Context(), "alder", out.Token); err != nil {
			t.Fatal(err)
		}
		if _, err := try(Unlock, map[string]any{"sub": "e-1", "email": "eve@alder.example"}, out.Token); issue(err) != "login: Your organisation says that you are somebody else." {
			t.Errorf("somebody else unlocks: %v", err)
		}
		again, err := try(Unlock, nil, out.Token)
		if err != nil || again.Token == out.Token || again.Staff.UserID() != w.ann {
			t.Fatalf("unlock: %v", err)
		}
		if _, _, err := w.auth.Resume(t.Context(), "alder", out.Token); err == nil {
			t.Error("the old token still opens")
		}
	})
}

// Only by sign-on: own credentials open nothing, except for whom the practice keeps a way in; and nothing shuts the last way.
func TestOnlyBySignOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := t.Context()
		id := w.oidc(nil)
		secret := "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
		ruth, err := w.auth.AddUser(ctx, w.sys, auth.User{Login: "ruth", Display: "Ruth", Roles: []auth.Role{auth.Administrator}, Password: "violet tundra kettle 9", TOTPSecret: secret})
		if err != nil {
			t.Fatal(err)
		}
		weak := w.person("weak", auth.Administrator)
		for _, r := range [][]int64{nil, {w.ann}, {weak}} {
			if err := w.auth.SetSignOnRule(ctx, w.sys, auth.SignOnRule{Only: true, Recovery: r}); !strings.HasPrefix(issue(err), "business-rule: Nobody could get in") {
				t.Errorf("with %v as the way back: %v", r, err)
			}
		}
		// A session that came through the provider cannot change credentials of somebody who works elsewhere too.
		out, err := w.in(id)
		if err != nil {
			t.Fatal(err)
		}
		birch, err := w.auth.AddPractice(ctx, "birch", "Birch")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.auth.AddMembership(ctx, auth.SystemScope(birch, "test"), "ann@alder.example", "", auth.Administrator); err != nil {
			t.Fatal(err)
		}
		if out.Staff, _, err = w.auth.Resume(ctx, "alder", out.Token); err != nil {
			t.Fatal(err)
		}
		if err := w.auth.ChangePassword(ctx, out.Staff, "another long violet 9"); !strings.HasPrefix(issue(err), "forbidden: You work in other practices") {
			t.Errorf("a password through the provider: %v", err)
		}
		if _, err := w.auth.NewRecoveryCodes(ctx, out.Staff); !strings.HasPrefix(issue(err), "forbidden: You work in other practices") {
			t.Errorf("recovery codes through the provider: %v", err)
		}
		if _, _, err := w.auth.Switch(ctx, out.Staff, "birch", "", ""); !strings.HasPrefix(issue(err), "forbidden: This practice's sign-on") {
			t.Errorf("into another practice: %v", err)
		}
		if err := w.auth.SetSignOnRule(ctx, w.sys, auth.SignOnRule{Only: true, Recovery: []int64{ruth}}); err != nil {
			t.Fatal(err)
		}
		w.reread()
		try := func(slug, login string) error {
			_, _, err := w.auth.SignIn(ctx, auth.SignInRequest{Practice: slug, Login: login, Password: "violet tundra kettle 9", RemoteAddr: "192.0.2.9", UserAgent: login})
			return err
		}
		if err := try("alder", "ann@alder.example"); !strings.HasPrefix(issue(err), "login: This did not work.") {
			t.Errorf("with a password: %v", err)
		}
		if err := try("birch", "ann@alder.example"); err != nil {
			t.Errorf("in a practice without that rule: %v", err)
		}
		code := codeOf(t, secret, d.Clock.Now())
		if _, _, err := w.auth.SignIn(ctx, auth.SignInRequest{Practice: "alder", Login: "ruth", Password: "violet tundra kettle 9", Code: code, RemoteAddr: "192.0.2.8"}); err != nil {
			t.Errorf("the way back: %v", err)
		}
		if err := w.s.Switch(ctx, w.sys, id, false); !strings.HasPrefix(issue(err), "business-rule: People may sign in through this connection only") {
			t.Errorf("the last connection is switched off: %v", err)
		}
		if err := w.auth.SetSignOnRule(ctx, w.sys, auth.SignOnRule{}); err != nil {
			t.Fatal(err)
		}
		if out, err = w.in(id); err != nil {
			t.Fatal(err)
		}
		if err := w.s.Switch(ctx, w.sys, id, false); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.auth.Resume(ctx, "alder", out.Token); err == nil {
			t.Error("a session outlives its connection")
		}
		if _, err := w.s.Begin(ctx, w.p, id, In, ""); issue(err) != issue(noSuchConnection()) {
			t.Errorf("begun at a connection that is off: %v", err)
		}
		if ways, err := w.s.Ways(ctx, w.p.ID); err != nil || len(ways) != 0 {
			t.Errorf("offered: %v %v", ways, err)
		}
	})
}

// What may be written into a connection.
func TestConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := t.Context()
		id := w.oidc(nil)
		c, err := w.s.Connection(ctx, w.sys, id)
		if err != nil || c.Secret != SecretKept {
			t.Fatalf("the secret is shown: %q %v", c.Secret, err)
		}
		c.Name = "Alder, renamed"
		if _, err := w.s.Save(ctx, w.sys, c); err != nil {
			t.Fatal(err)
		}
		if held, err := w.s.one(ctx, w.p.ID, id); err != nil || held.Secret != "s3cret/+" || held.Name != "Alder, renamed" {
			t.Errorf("after saving: %+v %v", held, err)
		}
		for field, change := range map[string]func(*Connection){
			"name":         func(c *Connection) { c.Name = " " },
			"domains":      func(c *Connection) { c.Domains = []string{"*.example"} },
			"issuer":       func(c *Connection) { c.Issuer = "http://idp.example.org" },
			"client":       func(c *Connection) { c.ClientID = "" },
			"groups":       func(c *Connection) { c.Groups = []Mapped{{"x", []auth.Role{"emperor"}}} },
			"certificates": func(c *Connection) { c.Kind, c.Entity, c.Address = SAML, "e", "https://idp.example.org/sso" },
		} {
			bad := c
			change(&bad)
			if _, err := w.s.Save(ctx, w.sys, bad); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %v", field, err)
			}
		}
		moved := c
		moved.Issuer = "https://elsewhere.example.org"
		if _, err := w.s.Save(ctx, w.sys, moved); !strings.HasPrefix(issue(err), "business-rule: The provider of a connection cannot be changed") {
			t.Errorf("another issuer: %v", err)
		}
		nurse := auth.AsStaff(w.p.ID, 99, "Nora", "", auth.Nurse)
		for name, err := range map[string]error{
			"list":   second(w.s.Connections(ctx, nurse)),
			"save":   second(w.s.Save(ctx, nurse, c)),
			"switch": w.s.Switch(ctx, nurse, id, false),
			"remove": w.s.Remove(ctx, nurse, id),
		} {
			if !strings.HasPrefix(issue(err), "forbidden") {
				t.Errorf("a nurse may %s: %v", name, err)
			}
		}
		if err := w.s.Remove(ctx, w.sys, id); err != nil {
			t.Fatal(err)
		}
		if _, err := w.s.Begin(context.WithoutCancel(ctx), w.p, id, In, ""); issue(err) != issue(noSuchConnection()) {
			t.Errorf("begun at a connection that is gone: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
