package oauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// The whole way of a standalone app: request, consent with a chosen patient, code, tokens, refresh, introspection, revocation.
func TestStandalone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		back := w.authorize(w.ann, w.request(w.public, "launch/patient openid fhirUser offline_access patient/*.rs user/Practitioner.rs"), "pat-1")
		if back.Get("state") != state || back.Get("iss") != base+"/alder" || back.Get("keep") != "1" {
			t.Fatalf("the answer lacks state, issuer or the address's own query: %v", back)
		}
		r := w.token(w.redeemForm(w.public, back.Get("code")))
		if r.status != 200 || r.str("patient") != "pat-1" || r.str("token_type") != "Bearer" || r.body["expires_in"] != 900.0 ||
			r.body["need_patient_banner"] != true || r.str("smart_style_url") != base+"/alder/oauth/style.json" || r.str("refresh_token") == "" {
			t.Fatalf("the token answer: %d %v", r.status, r.body)
		}
		if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Pragma") != "no-cache" {
			t.Errorf("the token answer may be kept: %v", r.header)
		}
		app, err := w.s.Authenticate(t.Context(), w.alder, r.str("access_token"))
		if err != nil {
			t.Fatal(err)
		}
		a := auth.AccessOf(app)
		if a.Compartment != "Patient/pat-1" || !a.Allows("Observation", auth.CanRead|auth.CanSearch) || a.Allows("Observation", auth.CanCreate) || !a.Allows("Practitioner", auth.CanRead) {
			t.Errorf("the access of the token is %+v", a)
		}
		if a.Allows("Claim", auth.CanRead) {
			t.Error("the program reaches what the person may not")
		}
		if err := w.log.Seen(t.Context(), app, audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "o", Patient: "Patient/pat-1"}); err != nil {
			t.Fatal(err)
		}
		said, err := w.log.Find(t.Context(), dbtest.ScopeOf(w.alder.ID), audit.Filter{Kind: "app", Type: "Observation"})
		if err != nil || len(said) != 1 || said[0].Actor.OnBehalf != "Practitioner/p-ann" || said[0].Actor.UserID != w.ann.UserID() || said[0].Actor.Client != w.public.ID {
			t.Errorf("the audit names %+v, %v", said, err)
		}
		w.checkIdentity(r.str("id_token"))
		fresh := w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}, "client_id": {w.public.ID}})
		if fresh.status != 200 || fresh.str("scope") != r.str("scope") || fresh.str("patient") != "pat-1" || fresh.str("refresh_token") == r.str("refresh_token") {
			t.Fatalf("refreshing: %d %v", fresh.status, fresh.body)
		}
		info := w.send("GET", "/alder/oauth/userinfo", nil, map[string]string{"Authorization": "Bearer " + fresh.str("access_token")})
		if info.status != 200 || info.str("fhirUser") != base+"/alder/fhir/Practitioner/p-ann" || info.str("sub") == "" {
			t.Errorf("userinfo: %d %v", info.status, info.body)
		}
		given := w.send("POST", "/alder/oauth/revoke", url.Values{"token": {fresh.str("refresh_token")}, "client_id": {w.public.ID}}, nil)
		if given.status != 200 || w.opens(w.alder, fresh.str("access_token")) || w.opens(w.alder, r.str("access_token")) {
			t.Error("tokens outlive their family")
		}
	})
}

func (w *world) checkIdentity(text string) {
	w.t.Helper()
	keys := w.send("GET", "/alder/oauth/jwks", nil, nil)
	raw, _ := json.Marshal(keys.body)
	set, err := jwk.Parse(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	k, _ := set.Key(0)
	payload, err := jws.Verify([]byte(text), jws.WithKey(jwa.RS256(), k))
	if err != nil {
		w.t.Fatalf("the identity token is not signed by the key that is shown: %v", err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		w.t.Fatal(err)
	}
	if c["iss"] != base+"/alder" || c["aud"] != w.public.ID || c["nonce"] != "n-1" || c["fhirUser"] != base+"/alder/fhir/Practitioner/p-ann" || c["sub"] == "" {
		w.t.Errorf("the identity token says %v", c)
	}
	head, _ := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
	if !strings.Contains(string(head), `"kid"`) || !strings.Contains(string(head), `"RS256"`) {
		w.t.Errorf("the identity token's head is %s", head)
	}
	if w.opens(w.alder, text) {
		w.t.Error("an identity token opens data")
	}
}

// S-01, S-02, S-04, S-05, T-41: what is wrong with a request is said at the registered address, or, when that is in doubt, to the person.
func TestRequests(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		with := func(name string, values ...string) func(url.Values) {
			return func(v url.Values) {
				if values == nil {
					v.Del(name)
				} else {
					v[name] = values
				}
			}
		}
		page := "(page)"
		for _, c := range []struct {
			name, want string
			change     func(url.Values)
		}{
			{"good", "", func(url.Values) {}},
			{"S-01 implicit", "unsupported_response_type", with("response_type", "token")},
			{"S-01 hybrid", "unsupported_response_type", with("response_type", "code id_token")},
			{"S-01 none", "invalid_request", with("response_type")},
			{"T-41 fragment", "invalid_request", with("response_mode", "fragment")},
			{"T-41 form_post", "invalid_request", with("response_mode", "form_post")},
			{"response_mode query", "", with("response_mode", "query")},
			{"unknown client", page, with("client_id", "nobody")},
			{"T-41 client_id as an address", page, with("client_id", "https://evil.example/metadata.json")},
			{"no client", page, with("client_id")},
			{"no redirect", page, with("redirect_uri")},
			{"two redirects", page, with("redirect_uri", returnTo, "https://evil.example/")},
			{"two clients", page, with("client_id", w.public.ID, w.confidential.ID)},
			{"two states", "invalid_request", with("state", state, "other-state")},
			{"S-05 no state", "invalid_request", with("state")},
			{"S-05 short state", "invalid_request", with("state", "1234567")},
			{"S-03 no PKCE", "invalid_request", with("code_challenge")},
			{"S-03 plain", "invalid_request", with("code_challenge_method", "plain")},
			{"S-03 no method", "invalid_request", with("code_challenge_method")},
			{"S-03 short challenge", "invalid_request", with("code_challenge", "abc")},
			{"S-04 no aud", "invalid_request", with("aud")},
			{"S-04 another server", "invalid_request", with("aud", "https://evil.example/fhir")},
			{"S-04 another practice", "invalid_request", with("aud", base+"/elm/fhir")},
			{"S-04 the issuer", "invalid_request", with("aud", base+"/alder")},
			{"S-04 with slash", "", with("aud", base+"/alder/fhir/")},
			{"resource elsewhere", "invalid_target", with("resource", base+"/elm/fhir")},
			{"no scope", "invalid_scope", with("scope", "")},
			{"system scope", "invalid_scope", with("scope", "system/*.rs")},
			{"request object", "request_not_supported", with("request", "eyJ")},
			{"request by reference", "request_uri_not_supported", with("request_uri", "https://evil.example/r")},
			{"launch without context", "invalid_request", with("launch", "made-up")},
			{"bad prompt", "invalid_request", with("prompt", "create")},
			{"prompt none", "", with("prompt", "none")},
		} {
			v := w.request(w.public, "launch launch/patient patient/Patient.rs user/Practitioner.rs")
			c.change(v)
			b, err := w.s.Begin(t.Context(), w.alder, v)
			var no *Refusal
			var i *fhir.Issue
			switch {
			case err == nil:
				if c.want != "" || b.ID == "" {
					t.Errorf("%s was accepted", c.name)
				}
			case errors.As(err, &no):
				u, _ := url.Parse(no.To)
				if no.Code != c.want || u.Query().Get("error") != c.want || !strings.HasPrefix(no.To, returnTo+"&") || u.Query().Get("iss") != base+"/alder" {
					t.Errorf("%s: %s, wanted %q", c.name, no.To, c.want)
				}
				if s := v["state"]; len(s) > 0 && u.Query().Get("state") != s[0] {
					t.Errorf("%s: the state did not come back", c.name)
				}
			case errors.As(err, &i):
				if c.want != page {
					t.Errorf("%s: a page says %q", c.name, i.Text)
				}
			default:
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

// S-02: nothing but the registered address, and on the loopback address another port.
func TestRedirects(t *testing.T) {
	c := Client{Redirects: []string{"https://app.example.com/cb?keep=1", "http://127.0.0.1/cb", "http://[::1]:9000/x", "com.example.app:/cb", "http://localhost:7000/cb"}}
	for _, good := range []string{"https://app.example.com/cb?keep=1", "http://127.0.0.1/cb", "http://127.0.0.1:50123/cb", "http://[::1]:1/x", "http://[::1]/x", "com.example.app:/cb", "http://localhost:7000/cb"} {
		if !c.Returns(good) {
			t.Errorf("%s is registered", good)
		}
	}
	for _, bad := range []string{
		"", "https://app.example.com/cb", "https://app.example.com/cb?keep=1&x=2", "https://app.example.com/cb?keep=2", "https://app.example.com/cb?Keep=1",
		"https://app.example.com/CB?keep=1", "https://APP.example.com/cb?keep=1", "http://app.example.com/cb?keep=1", "https://app.example.com:443/cb?keep=1",
		"https://app.example.com./cb?keep=1", "https://app.example.com/cb/?keep=1", "https://app.example.com//cb?keep=1", "https://app.example.com/./cb?keep=1",
		"https://app.example.com/x/../cb?keep=1", "https://app.example.com/cb%3Fkeep=1", "https://app.example.com/%63b?keep=1", "https://app.example.com/cb?keep=1#",
		"https://app.example.com/cb?keep=1#x", "https://app.example.com@evil.example/cb?keep=1", "https://evil.example/app.example.com/cb?keep=1",
		"https://app.example.com.evil.example/cb?keep=1", "https://evil.example?https://app.example.com/cb?keep=1", `https://evil.example\@app.example.com/cb?keep=1`,
		" https://app.example.com/cb?keep=1", "https://app.example.com/cb?keep=1 ", "https://app.example.com/cb?keep=1\n", "https://app.example.com/cb?keep=1\x00",
		"//app.example.com/cb?keep=1", "javascript:alert(1)", "data:text/html,x", "https:app.example.com/cb?keep=1", "https:///app.example.com/cb?keep=1",
		"http://127.0.0.1:50123/cb2", "http://127.0.0.1:50123/", "http://127.0.0.1:/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.1:8x/cb", "https://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb",
		"http://127.0.0.1@evil.example/cb", "http://127.0.0.1:80@evil.example/cb", "http://127.0.0.2/cb", "http://127.1/cb", "http://localhost/cb", "http://localhost:7001/cb", "http://[::1]:9000/y", "http://[0:0:0:0:0:0:0:1]/x",
		"com.example.app:/cb2", "com.example.app://cb", "COM.example.app:/cb",
	} {
		if c.Returns(bad) {
			t.Errorf("%q is not registered", bad)
		}
	}
}

// S-03, T-41: a code is for one client, one address, one verifier, one minute, one practice, one use; a second use ends what came of it.
func TestCodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		for _, c := range []struct {
			name   string
			change func(url.Values)
		}{
			{"without verifier", func(v url.Values) { v.Del("code_verifier") }},
			{"blank verifier", func(v url.Values) { v.Set("code_verifier", "") }},
			{"wrong verifier", func(v url.Values) { v.Set("code_verifier", verifier+"x") }},
			{"the challenge as verifier", func(v url.Values) { v.Set("code_verifier", s256(verifier)) }},
			{"other address", func(v url.Values) { v.Set("redirect_uri", "http://127.0.0.1/cb") }},
			{"no address", func(v url.Values) { v.Del("redirect_uri") }},
			{"made-up code", func(v url.Values) { v.Set("code", random(prefixCode)) }},
			{"too late", func(url.Values) { d.Clock.Advance(61 * time.Second) }},
		} {
			code := w.authorize(w.ann, w.request(w.public, "launch/patient patient/Patient.rs"), "pat-1").Get("code")
			f := w.redeemForm(w.public, code)
			c.change(f)
			if r := w.token(f); r.status != 400 || r.str("error") != "invalid_grant" || r.body["access_token"] != nil {
				t.Errorf("%s: %d %v", c.name, r.status, r.body)
			}
			if c.name == "made-up code" {
				continue
			}
			if r := w.token(w.redeemForm(w.public, code)); r.status != 400 {
				t.Errorf("%s: the code was not burnt: %d", c.name, r.status)
			}
		}
		code := w.authorize(w.ann, w.request(w.public, "launch/patient patient/Patient.rs"), "pat-1").Get("code")
		other := w.redeemForm(w.public, code)
		other.Set("client_id", w.confidential.ID)
		other.Set("client_secret", w.secret)
		if r := w.token(other); r.status != 400 {
			t.Errorf("another client's code: %d %v", r.status, r.body)
		}
		code = w.authorize(w.ann, w.request(w.public, "launch/patient offline_access patient/Patient.rs"), "pat-1").Get("code")
		if r := w.send("POST", "/elm/oauth/token", w.redeemForm(w.public, code), nil); r.status != 401 {
			t.Errorf("a code at another practice: %d", r.status)
		}
		r := w.token(w.redeemForm(w.public, code))
		if r.status != 200 || !w.opens(w.alder, r.str("access_token")) || w.opens(w.elm, r.str("access_token")) {
			t.Fatalf("the code does not work: %v", r.body)
		}
		if again := w.token(w.redeemForm(w.public, code)); again.status != 400 || w.opens(w.alder, r.str("access_token")) {
			t.Error("a code used twice must end its tokens")
		}
		if late := w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}, "client_id": {w.public.ID}}); late.status != 400 {
			t.Error("a code used twice must end its refresh token")
		}
	})
}

// SMART App Launch asks for no client_id when a token is refreshed. A public client may leave it out and its token still rotates; whoever
// has a secret must show it, and a made-up or used token opens nothing.
func TestRefreshUnnamed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		again := func(refresh string) reply {
			return w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
		}
		first := w.connect("launch/patient offline_access patient/Patient.rs", "pat-1")
		second := again(first.str("refresh_token"))
		if second.status != 200 || second.str("refresh_token") == first.str("refresh_token") || !w.opens(w.alder, second.str("access_token")) {
			t.Fatalf("a public client without its id: %d %v", second.status, second.body)
		}
		if r := again(first.str("refresh_token")); r.status != 400 || w.opens(w.alder, second.str("access_token")) {
			t.Errorf("a refresh token used twice must end the family: %d %v", r.status, r.body)
		}
		if r := again(random(prefixRefresh)); r.status != 401 || r.str("error") != "invalid_client" {
			t.Errorf("a made-up refresh token: %d %v", r.status, r.body)
		}
		code := w.authorize(w.ann, w.request(w.confidential, "launch/patient offline_access patient/Patient.rs"), "pat-1").Get("code")
		form := w.redeemForm(w.confidential, code)
		form.Set("client_secret", w.secret)
		own := w.token(form)
		if own.str("refresh_token") == "" {
			t.Fatalf("no refresh token to try with: %d %v", own.status, own.body)
		}
		if r := again(own.str("refresh_token")); r.status != 401 || !w.opens(w.alder, own.str("access_token")) {
			t.Errorf("a client with a secret that does not show it: %d %v", r.status, r.body)
		}
	})
}

// § 170.315(g)(10)(v)(A)(2): whoever uses a refresh token gets one that is good for three months at least, however old the grant is.
func TestRefreshLasts(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	w := newWorld(t, d)
	again := func(refresh string) reply {
		return w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {w.public.ID}})
	}
	r := w.connect("launch/patient offline_access patient/Patient.rs", "pat-1")
	for range 8 {
		d.Clock.Advance(91 * 24 * time.Hour)
		if r = again(r.str("refresh_token")); r.status != 200 {
			t.Fatalf("three months after it was given a refresh token gets %d %v", r.status, r.body)
		}
	}
	d.Clock.Advance(94 * 24 * time.Hour)
	if late := again(r.str("refresh_token")); late.status != 400 {
		t.Errorf("a grant that nobody used for more than three months, a year after it was made, still opens: %d", late.status)
	}
}

// S-08: refresh tokens rotate; one used twice ends its family; scopes never grow; without offline_access the session's end is the end.
func TestRefresh(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		again := func(refresh, scope string) reply {
			f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {w.public.ID}}
			if scope != "" {
				f.Set("scope", scope)
			}
			return w.token(f)
		}
		r := w.connect("launch/patient offline_access patient/Patient.rs patient/Observation.rs", "pat-1")
		for _, more := range []string{"patient/Condition.rs", "patient/Observation.cruds", "patient/*.rs", "user/Patient.rs", "nonsense"} {
			if up := again(r.str("refresh_token"), more); up.status != 400 || up.str("error") != "invalid_scope" {
				t.Errorf("refreshed with %s: %d %v", more, up.status, up.body)
			}
		}
		less := again(r.str("refresh_token"), "patient/Patient.rs")
		if less.status != 200 || less.str("scope") != "patient/Patient.rs" {
			t.Fatalf("fewer scopes: %d %v", less.status, less.body)
		}
		app, err := w.s.Authenticate(t.Context(), w.alder, less.str("access_token"))
		if err != nil || auth.AccessOf(app).Allows("Observation", auth.CanRead) {
			t.Errorf("the smaller token reaches more: %v", err)
		}
		full := again(less.str("refresh_token"), "")
		if full.status != 200 || full.str("scope") != r.str("scope") {
			t.Fatalf("the scopes that were granted stay: %v", full.body)
		}
		other := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {full.str("refresh_token")}, "client_id": {w.confidential.ID}, "client_secret": {w.secret}}
		if s := w.token(other); s.status != 400 {
			t.Errorf("another client's refresh token: %d", s.status)
		}
		if s := again(less.str("refresh_token"), ""); s.status != 400 || w.opens(w.alder, full.str("access_token")) || again(full.str("refresh_token"), "").status != 400 {
			t.Error("a refresh token used twice must end the family")
		}
		if s := again(random(prefixRefresh), ""); s.status != 400 || s.str("error") != "invalid_grant" {
			t.Errorf("a made-up refresh token: %d", s.status)
		}
		if r := w.connect("launch/patient patient/Patient.rs", "pat-1"); r.body["refresh_token"] != nil {
			t.Error("a refresh token nobody asked for")
		}
		d.Clock.Advance(16 * time.Minute)
		if w.opens(w.alder, full.str("access_token")) {
			t.Error("a staff token outlives a quarter of an hour")
		}
		online := w.connect("launch/patient online_access patient/Patient.rs", "pat-1")
		offline := w.connect("launch/patient offline_access patient/Patient.rs", "pat-1")
		if err := w.auth.SignOut(t.Context(), "alder", w.annToken); err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(time.Second)
		if w.opens(w.alder, online.str("access_token")) || again(online.str("refresh_token"), "").status != 400 {
			t.Error("online access outlives the session")
		}
		if !w.opens(w.alder, offline.str("access_token")) || again(offline.str("refresh_token"), "").status != 200 {
			t.Error("offline access ends with the session")
		}
	})
}

// S-10, part 4: whatever ends a token's right to act ends it within a second.
func TestRevocation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		sys := auth.SystemScope(w.alder.ID, "test")
		other := New(Options{DB: d.DB, Auth: w.auth, Audit: w.log, Base: base}) // another process on the same data
		connect := func() string {
			return w.connect("launch/patient offline_access patient/Patient.rs", "pat-1").str("access_token")
		}
		check := func(what, token string, act func() error) {
			t.Helper()
			d.Clock.Advance(time.Second) // so that the other process has heard of what went before
			if _, err := other.Authenticate(t.Context(), w.alder, token); err != nil || !w.opens(w.alder, token) {
				t.Fatalf("%s: the token does not open anything before", what)
			}
			if err := act(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			d.Clock.Advance(time.Second)
			if _, err := other.Authenticate(t.Context(), w.alder, token); err == nil || w.opens(w.alder, token) {
				t.Errorf("%s: the token opens still after a second", what)
			}
		}
		check("the person disconnects", connect(), func() error {
			all, err := w.s.Grants(t.Context(), w.alder, w.ann)
			if err != nil || len(all) != 1 {
				t.Fatalf("%d grants, %v", len(all), err)
			}
			return w.s.Revoke(t.Context(), w.alder, w.ann, all[0].ID)
		})
		check("the administrator disconnects", connect(), func() error {
			all, err := w.s.GrantsOf(t.Context(), w.zoe, w.public.ID)
			if err != nil || len(all) != 1 || all[0].Name != "Dr. Ann Ash" {
				t.Fatalf("%v, %v", all, err)
			}
			bob, _ := w.person(w.alder, "bob", "Bob", "", auth.Nurse)
			if err := w.s.Revoke(t.Context(), w.alder, bob, all[0].ID); err == nil {
				t.Error("somebody else ended the grant")
			}
			return w.s.Revoke(t.Context(), w.alder, w.zoe, all[0].ID)
		})
		check("the program is suspended", connect(), func() error { return w.s.Suspend(t.Context(), w.zoe, w.public.ID, "under review") })
		c, _ := w.s.Client(t.Context(), w.alder.ID, w.public.ID)
		if c.Reason != "under review" || c.Used.IsZero() {
			t.Errorf("the reason or the last use is not kept: %+v", c)
		}
		if err := w.s.Approve(t.Context(), sys, c.ID, c.Version); err != nil {
			t.Fatal(err)
		}
		check("the program is changed", connect(), func() error {
			to := *c
			if err := w.s.Change(t.Context(), w.zoe, c.ID, to); err == nil {
				t.Error("a registration was changed that stands at another version")
			}
			to.Version, to.Scopes = 0, "launch/patient patient/*.rs offline_access"
			return w.s.Change(t.Context(), w.zoe, c.ID, to)
		})
		c, _ = w.s.Client(t.Context(), w.alder.ID, w.public.ID)
		if err := w.s.Approve(t.Context(), sys, c.ID, c.Version-1); err == nil {
			t.Error("a registration was approved that nobody had looked at")
		}
		if err := w.s.Approve(t.Context(), sys, c.ID, c.Version); err != nil {
			t.Fatal(err)
		}
		check("the person is disabled", connect(), func() error { return w.auth.Disable(t.Context(), sys, w.ann.UserID()) })
	})
}

// S-05, S-06: a launch is for one person, session and program, once, for five minutes, and what it is about comes from us alone.
func TestLaunch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		launch := func() url.Values {
			to, err := w.s.Launch(t.Context(), w.ann, w.alder, w.public.ID, "pat-7", "enc-7")
			if err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse(to)
			if !strings.HasPrefix(to, "https://app.example.com/launch?") || u.Query().Get("iss") != base+"/alder/fhir" {
				t.Fatalf("the launch goes to %s", to)
			}
			v := w.request(w.public, "launch openid fhirUser patient/*.rs")
			v.Set("launch", u.Query().Get("launch"))
			return v
		}
		v := launch()
		v.Set("patient", "pat-9") // what a program says itself counts for nothing
		back := w.authorize(w.ann, v, "pat-9")
		r := w.token(w.redeemForm(w.public, back.Get("code")))
		if r.str("patient") != "pat-7" || r.str("encounter") != "enc-7" {
			t.Errorf("the context is %v", r.body)
		}
		app, err := w.s.Authenticate(t.Context(), w.alder, r.str("access_token"))
		if err != nil || auth.AccessOf(app).Compartment != "Patient/pat-7" {
			t.Errorf("the compartment is %q, %v", auth.AccessOf(app).Compartment, err)
		}
		refused := func(name string, v url.Values, who auth.Staff) {
			t.Helper()
			b, err := w.s.Begin(t.Context(), w.alder, v)
			if err == nil {
				_, err = w.s.Grant(t.Context(), w.alder, who, b.ID, b.Browser, Answer{Scopes: []string{"patient/*.rs"}})
			}
			if err == nil {
				t.Errorf("%s: the launch was taken", name)
			}
		}
		refused("used again", v, w.ann)
		late := launch()
		d.Clock.Advance(launchLasts + time.Second)
		refused("too late", late, w.ann)
		bob, _ := w.person(w.alder, "bob", "Bob", "", auth.Clinician)
		refused("another person", launch(), bob)
		_, annAgain, err := w.auth.DemoSignIn(t.Context(), w.alder.ID, w.ann.UserID())
		if err != nil {
			t.Fatal(err)
		}
		refused("another session of the same person", launch(), annAgain)
		swapped := launch()
		swapped.Set("client_id", w.confidential.ID)
		swapped.Set("redirect_uri", w.confidential.Redirects[0])
		refused("another program", swapped, w.ann)
		if _, err := w.s.Launch(t.Context(), w.zoe, w.alder, w.public.ID, "pat-7", ""); err == nil {
			t.Error("somebody without charts started a program from one")
		}
	})
}

// A request is answered once, by the browser that began it, before it ends; prompt=none and consent are never skipped by the client.
func TestAnswers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		begin := func() Begun {
			b, err := w.s.Begin(t.Context(), w.alder, w.request(w.public, "launch/patient openid patient/Patient.rs patient/Observation.rs"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		all := Answer{Scopes: []string{"patient/Observation.rs"}, Patient: "pat-1"}
		b := begin()
		if _, err := w.s.Grant(t.Context(), w.alder, w.ann, b.ID, "other browser", all); err == nil {
			t.Error("another browser answered")
		}
		if _, err := w.s.Grant(t.Context(), w.elm, w.ann, b.ID, b.Browser, all); err == nil {
			t.Error("another practice answered")
		}
		if _, err := w.s.Grant(t.Context(), w.alder, auth.SystemScope(w.alder.ID, "test"), b.ID, b.Browser, all); err == nil {
			t.Error("nobody in person answered")
		}
		if _, err := w.s.Grant(t.Context(), w.alder, w.ann, b.ID, b.Browser, Answer{Scopes: all.Scopes}); err == nil {
			t.Error("no patient was chosen")
		}
		more := Answer{Scopes: []string{"patient/Observation.rs", "patient/Condition.rs", "offline_access"}, Patient: "pat-1"}
		to, err := w.s.Grant(t.Context(), w.alder, w.ann, b.ID, b.Browser, more)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.s.Grant(t.Context(), w.alder, w.ann, b.ID, b.Browser, all); err == nil {
			t.Error("a request was answered twice")
		}
		u, _ := url.Parse(to)
		r := w.token(w.redeemForm(w.public, u.Query().Get("code")))
		if got := strings.Fields(r.str("scope")); !slices.Equal(got, []string{"patient/Observation.rs", "launch/patient"}) {
			t.Errorf("granted %v", got)
		}
		b = begin()
		to, err = w.s.Deny(t.Context(), w.alder, w.ann, b.ID, b.Browser)
		if err != nil || !strings.Contains(to, "error=access_denied") || !strings.Contains(to, "state="+state) {
			t.Errorf("a no went to %s, %v", to, err)
		}
		b = begin()
		d.Clock.Advance(askLasts + time.Second)
		if _, err := w.s.Question(t.Context(), w.alder, w.ann, b.ID, b.Browser); err == nil {
			t.Error("a request that ended is still asked")
		}
		b = begin()
		if err := w.s.Suspend(t.Context(), w.zoe, w.public.ID, "review"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.s.Grant(t.Context(), w.alder, w.ann, b.ID, b.Browser, all); err == nil {
			t.Error("a suspended program was connected")
		}
	})
}

// What is taken out of a registration is closed to the connections that it has, and comes back with it.
func TestNarrowedRegistration(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		token := w.connect("launch/patient patient/Observation.rs patient/Patient.rs", "pat-1").str("access_token")
		reaches := func(when string, want bool) {
			t.Helper()
			app, err := w.s.Authenticate(t.Context(), w.alder, token)
			if err != nil {
				t.Fatal(when, err)
			}
			a := auth.AccessOf(app)
			if !a.Allows("Patient", auth.CanRead) || a.Allows("Observation", auth.CanRead) != want {
				t.Errorf("%s: %+v", when, a.Types)
			}
		}
		reaches("as granted", true)
		for _, step := range []struct {
			scopes string
			want   bool
		}{{"launch/patient patient/Patient.rs offline_access", false}, {"launch/patient patient/*.rs offline_access", true}} {
			c, err := w.s.Client(t.Context(), w.alder.ID, w.public.ID)
			if err != nil {
				t.Fatal(err)
			}
			to := *c
			to.Scopes = step.scopes
			if err := w.s.Change(t.Context(), w.zoe, c.ID, to); err != nil {
				t.Fatal(err)
			}
			if w.opens(w.alder, token) {
				t.Error("it opens something before it is approved again")
			}
			if err := w.s.Approve(t.Context(), w.zoe, c.ID, c.Version+1); err != nil {
				t.Fatal(err)
			}
			reaches(step.scopes, step.want)
		}
	})
}
