package oauth

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
)

// S-09, T-40: what a client signs is believed only if everything about it is right, once.
func TestAssertions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		now := d.Clock.Now()
		head := func(more map[string]any) map[string]any {
			out := map[string]any{"alg": "RS384", "kid": "r1", "typ": "JWT"}
			for k, v := range more {
				out[k] = v
			}
			return out
		}
		ask := func(text string) reply {
			return w.token(url.Values{"grant_type": {"client_credentials"}, "scope": {"system/Patient.rs"}, "client_assertion_type": {assertionType}, "client_assertion": {text}})
		}
		good := func(more map[string]any) string { return w.jwt(head(nil), w.claims(w.backend, more)) }
		for name, text := range map[string]string{
			"RS384":               good(nil),
			"ES384":               w.jwt(map[string]any{"alg": "ES384", "kid": "e1"}, w.claims(w.backend, nil)),
			"aud in a list":       good(map[string]any{"aud": []string{base + "/alder/oauth/token"}}),
			"the issuer as aud":   good(map[string]any{"aud": base + "/alder"}),
			"jku is not followed": w.jwt(head(map[string]any{"jku": "https://evil.example/keys"}), w.claims(w.backend, nil)),
		} {
			r := ask(text)
			if r.status != 200 || r.str("scope") != "system/Patient.rs" || r.body["expires_in"] != 900.0 || r.body["refresh_token"] != nil {
				t.Errorf("%s: %d %v", name, r.status, r.body)
			}
			if !w.opens(w.alder, r.str("access_token")) {
				t.Errorf("%s: the token opens nothing", name)
			}
			if again := ask(text); again.status != 401 {
				t.Errorf("%s: used twice: %d", name, again.status)
			}
		}
		zeros := func() string {
			text := w.jwt(map[string]any{"alg": "ES384", "kid": "e1"}, w.claims(w.backend, nil))
			return text[:strings.LastIndex(text, ".")+1] + b64(make([]byte, 96))
		}
		hs := func(alg string) string {
			text := w.jwt(head(map[string]any{"alg": alg}), w.claims(w.backend, nil))
			text = strings.TrimSuffix(text, ".")
			mac := hmac.New(sha512.New384, w.rsa.N.Bytes())
			mac.Write([]byte(text))
			return text + "." + b64(mac.Sum(nil))
		}
		flipped := good(nil)
		flipped = flipped[:len(flipped)-10] + map[bool]string{true: "B", false: "A"}[flipped[len(flipped)-10] == 'A'] + flipped[len(flipped)-9:]
		bad := map[string]string{
			"empty": "", "no token": "x", "dots": strings.Repeat(".", 60000), "three dots": "a.b.c.d",
			"alg none": w.jwt(head(map[string]any{"alg": "none"}), w.claims(w.backend, nil)),
			"alg None": w.jwt(head(map[string]any{"alg": "None"}), w.claims(w.backend, nil)),
			"alg nOnE": w.jwt(head(map[string]any{"alg": "nOnE"}), w.claims(w.backend, nil)),
			"HS256":    hs("HS256"), "HS384 with the public key": hs("HS384"),
			"RS256":                 w.jwt(head(map[string]any{"alg": "RS256"}), w.claims(w.backend, nil)),
			"ES384 with an RSA kid": w.jwt(map[string]any{"alg": "ES384", "kid": "r1"}, w.claims(w.backend, nil)),
			"RS384 with an EC kid":  w.jwt(map[string]any{"alg": "RS384", "kid": "e1"}, w.claims(w.backend, nil)),
			"r and s zero":          zeros(), "a changed byte": flipped,
			"no kid":                    w.jwt(map[string]any{"alg": "RS384"}, w.claims(w.backend, nil)),
			"kid of a path":             w.jwt(head(map[string]any{"kid": "../../dev/null"}), w.claims(w.backend, nil)),
			"kid of SQL":                w.jwt(head(map[string]any{"kid": "r1' OR '1'='1"}), w.claims(w.backend, nil)),
			"its own key":               w.jwt(head(map[string]any{"jwk": map[string]string{"kty": "RSA", "n": b64(w.rsa.N.Bytes()), "e": "AQAB"}}), w.claims(w.backend, nil)),
			"x5u":                       w.jwt(head(map[string]any{"x5u": "https://evil.example/c"}), w.claims(w.backend, nil)),
			"crit":                      w.jwt(head(map[string]any{"crit": []string{"exp"}}), w.claims(w.backend, nil)),
			"b64":                       w.jwt(head(map[string]any{"b64": false}), w.claims(w.backend, nil)),
			"typ of a token":            w.jwt(head(map[string]any{"typ": "at+jwt"}), w.claims(w.backend, nil)),
			"expired":                   good(map[string]any{"exp": now.Add(-time.Second).Unix()}),
			"valid too long":            good(map[string]any{"exp": now.Add(6 * time.Minute).Unix()}),
			"without exp":               good(map[string]any{"exp": nil}),
			"exp as text":               good(map[string]any{"exp": "9999999999"}),
			"not yet":                   good(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}),
			"made in the future":        good(map[string]any{"iat": now.Add(2 * time.Minute).Unix()}),
			"without jti":               good(map[string]any{"jti": nil}),
			"another iss":               good(map[string]any{"iss": "someone"}),
			"another sub":               good(map[string]any{"sub": w.signing.ID}),
			"another audience":          good(map[string]any{"aud": "https://evil.example/token"}),
			"another practice":          good(map[string]any{"aud": base + "/elm/oauth/token"}),
			"no audience":               good(map[string]any{"aud": nil}),
			"the FHIR base as audience": good(map[string]any{"aud": base + "/alder/fhir"}),
		}
		twice := good(nil)
		parts := strings.Split(twice, ".")
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		bad["a member twice"] = parts[0] + "." + b64([]byte(strings.Replace(string(payload), "{", `{"iss":"x",`, 1))) + "." + parts[2]
		for name, text := range bad {
			r := ask(text)
			if r.status != 401 || r.str("error") != "invalid_client" {
				t.Errorf("%s: %d %v", name, r.status, r.body)
			}
			if w.opens(w.alder, text) {
				t.Errorf("%s opens data", name)
			}
		}
		if w.opens(w.alder, good(nil)) {
			t.Error("an assertion opens data as a token")
		}
		for name, f := range map[string]url.Values{
			"wrong assertion type": {"client_assertion_type": {"jwt"}, "client_assertion": {good(nil)}},
			"no assertion":         {"client_id": {w.backend.ID}},
			"a secret":             {"client_id": {w.backend.ID}, "client_secret": {w.secret}},
			"another's name":       {"client_assertion_type": {assertionType}, "client_assertion": {good(nil)}, "client_id": {w.signing.ID}},
		} {
			f.Set("grant_type", "client_credentials")
			f.Set("scope", "system/Patient.rs")
			if r := w.token(f); r.status != 401 {
				t.Errorf("%s: %d %v", name, r.status, r.body)
			}
		}
		for scope, want := range map[string]string{"system/*.rs": "system/*.rs", "system/*.cruds": "system/*.rs system/Observation.c", "system/Observation.cruds": "system/Observation.rs system/Observation.c", "system/*.read": "system/*.read"} {
			f := w.assertion(w.backend)
			f.Set("grant_type", "client_credentials")
			f.Set("scope", scope)
			if r := w.token(f); r.str("scope") != want {
				t.Errorf("%s gave %v", scope, r.body)
			}
		}
		for _, scope := range []string{"", "patient/*.rs", "user/*.rs", "openid", "system/Observation.d"} {
			f := w.assertion(w.backend)
			f.Set("grant_type", "client_credentials")
			f.Set("scope", scope)
			if r := w.token(f); r.status != 400 || r.str("error") != "invalid_scope" {
				t.Errorf("scope %q: %d %v", scope, r.status, r.body)
			}
		}
	})
}

// S-01, S-14: grants that do not exist, clients that do not prove to be themselves, and introspection by strangers.
func TestTokenEndpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "x"} {
			if r := w.token(url.Values{"grant_type": {grant}, "client_id": {w.public.ID}, "username": {"ann"}, "password": {"x"}}); r.status != 400 || r.str("error") != "unsupported_grant_type" {
				t.Errorf("%s: %d %v", grant, r.status, r.body)
			}
		}
		basic := func(id, secret string) map[string]string {
			return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))}
		}
		code := func() string {
			return w.authorize(w.ann, w.request(w.confidential, "launch/patient openid patient/Patient.rs"), "pat-1").Get("code")
		}
		form := func() url.Values {
			f := w.redeemForm(w.confidential, code())
			f.Del("client_id")
			return f
		}
		if r := w.send("POST", "/alder/oauth/token", form(), basic(w.confidential.ID, w.secret)); r.status != 200 {
			t.Errorf("Basic: %d %v", r.status, r.body)
		}
		for name, h := range map[string]map[string]string{"wrong secret": basic(w.confidential.ID, "x"), "no secret": basic(w.confidential.ID, ""), "unknown": basic("nobody", w.secret),
			"a public client": basic(w.public.ID, ""), "another kind": basic(w.signing.ID, w.secret), "bearer": {"Authorization": "Bearer x"}} {
			if r := w.send("POST", "/alder/oauth/token", form(), h); r.status != 401 || r.str("error") != "invalid_client" || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d %v", name, r.status, r.body)
			}
		}
		bare := form()
		bare.Set("client_id", w.confidential.ID)
		if r := w.token(bare); r.status != 401 {
			t.Errorf("a confidential client without its secret: %d", r.status)
		}
		both := form()
		both.Set("client_secret", w.secret)
		if r := w.send("POST", "/alder/oauth/token", both, basic(w.confidential.ID, w.secret)); r.status != 400 {
			t.Errorf("two proofs at once: %d", r.status)
		}
		doubled := form()
		doubled.Add("code", "x")
		if r := w.send("POST", "/alder/oauth/token", doubled, basic(w.confidential.ID, w.secret)); r.status != 400 || r.str("error") != "invalid_request" {
			t.Errorf("a parameter twice: %d %v", r.status, r.body)
		}
		if r := w.send("POST", "/alder/oauth/token?grant_type=authorization_code", form(), basic(w.confidential.ID, w.secret)); r.status != 400 {
			t.Errorf("parameters in the address: %d", r.status)
		}
		if r := w.send("GET", "/alder/oauth/token", nil, nil); r.status != 405 {
			t.Errorf("GET: %d", r.status)
		}
		signed := w.redeemForm(w.signing, w.authorize(w.ann, w.request(w.signing, "launch/patient openid patient/Patient.rs"), "pat-1").Get("code"))
		for k, v := range w.assertion(w.signing) {
			signed[k] = v
		}
		if r := w.token(signed); r.status != 200 || r.str("id_token") == "" {
			t.Errorf("a code with private_key_jwt: %d %v", r.status, r.body)
		}

		live := w.connect("launch/patient openid offline_access patient/Patient.rs", "pat-1")
		mine := w.send("POST", "/alder/oauth/token", form(), basic(w.confidential.ID, w.secret))
		rs, rsSecret := w.client(w.alder, Client{Kind: Secret, Name: "Resource server", Redirects: []string{"https://rs.example.com/cb"}, Scopes: "openid", Introspects: true})
		look := func(token, id, secret string) reply {
			return w.send("POST", "/alder/oauth/introspect", url.Values{"token": {token}}, basic(id, secret))
		}
		own := look(mine.str("access_token"), w.confidential.ID, w.secret)
		if own.body["active"] != true || own.str("client_id") != w.confidential.ID || own.str("scope") != mine.str("scope") || own.str("patient") != "pat-1" || own.str("sub") == "" || own.body["exp"] == nil || own.str("iss") != base+"/alder" {
			t.Errorf("one's own token: %v", own.body)
		}
		for name, r := range map[string]reply{"another's token": look(live.str("access_token"), w.confidential.ID, w.secret), "another's refresh token": look(live.str("refresh_token"), w.confidential.ID, w.secret),
			"no token": look("x", w.confidential.ID, w.secret), "an identity token": look(live.str("id_token"), rs.ID, rsSecret)} {
			if r.status != 200 || len(r.body) != 1 || r.body["active"] != false {
				t.Errorf("%s: %d %v", name, r.status, r.body)
			}
		}
		if r := look(live.str("access_token"), rs.ID, rsSecret); r.body["active"] != true {
			t.Errorf("a resource server: %v", r.body)
		}
		if r := look(live.str("refresh_token"), rs.ID, rsSecret); r.body["active"] != true {
			t.Errorf("a refresh token: %v", r.body)
		}
		if r := w.send("POST", "/alder/oauth/introspect", url.Values{"token": {live.str("access_token")}, "client_id": {w.public.ID}}, nil); r.status != 401 {
			t.Errorf("a public client: %d", r.status)
		}
		// Another client's token is not given back by a stranger.
		if r := w.send("POST", "/alder/oauth/revoke", url.Values{"token": {live.str("refresh_token")}}, basic(w.confidential.ID, w.secret)); r.status != 200 || !w.opens(w.alder, live.str("access_token")) {
			t.Error("a stranger ended a token")
		}
		w.send("POST", "/alder/oauth/revoke", url.Values{"token": {live.str("access_token")}, "client_id": {w.public.ID}}, nil)
		if w.opens(w.alder, live.str("access_token")) {
			t.Error("a token that was given back opens still")
		}
		d.Clock.Advance(16 * time.Minute)
		if r := look(mine.str("access_token"), w.confidential.ID, w.secret); r.body["active"] != false || len(r.body) != 1 {
			t.Errorf("an expired token: %v", r.body)
		}
	})
}

// S-11, S-15: the configuration promises what is there, and other origins read what they may.
func TestConfiguration(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t, nil))
	c := w.send("GET", "/alder/.well-known/smart-configuration", nil, nil)
	for _, path := range []string{"/alder/fhir/.well-known/smart-configuration", "/alder/.well-known/openid-configuration"} {
		o := w.send("GET", path, nil, nil)
		a, _ := json.Marshal(c.body)
		b, _ := json.Marshal(o.body)
		if o.status != 200 || string(a) != string(b) || o.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s says something else: %d", path, o.status)
		}
	}
	for name, v := range c.body {
		at, ok := v.(string)
		if !ok || name == "issuer" {
			continue
		}
		path, ours := strings.CutPrefix(at, base+"/alder")
		if !ours {
			t.Errorf("%s is elsewhere: %s", name, at)
		}
		if path != AuthorizePath && path != "/apps" && !slices.Contains(Routes(), "/{practice}"+path) {
			t.Errorf("%s promises %s, which nothing answers", name, path)
		}
	}
	list := func(name string) (out []string) {
		all, _ := c.body[name].([]any)
		for _, v := range all {
			out = append(out, v.(string))
		}
		return out
	}
	for name, want := range map[string][]string{"grant_types_supported": {"authorization_code", "client_credentials", "refresh_token"}, "code_challenge_methods_supported": {"S256"},
		"id_token_signing_alg_values_supported": {"RS256"}, "response_types_supported": {"code"}, "token_endpoint_auth_signing_alg_values_supported": {"ES384", "RS384"}} {
		got := list(name)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is %v", name, got)
		}
	}
	for _, s := range list("scopes_supported") {
		if _, ok := ParseScope(s); !ok {
			t.Errorf("the configuration promises the scope %s, which is not read", s)
		}
	}
	const app, evil = "https://app.example.com", "https://evil.example"
	origin := func(method, path, origin string) string {
		r := w.send(method, path, url.Values{}, map[string]string{"Origin": origin, "Access-Control-Request-Method": "POST"})
		if r.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s lets cookies of other origins in", path)
		}
		return r.header.Get("Access-Control-Allow-Origin")
	}
	for _, path := range []string{"/alder/.well-known/smart-configuration", "/alder/.well-known/openid-configuration", "/alder/oauth/jwks", "/alder/oauth/style.json"} {
		if origin("GET", path, evil) != "*" {
			t.Errorf("%s cannot be read by everybody", path)
		}
	}
	for _, path := range []string{"/alder/oauth/token", "/alder/oauth/revoke", "/alder/oauth/introspect"} {
		for _, method := range []string{"OPTIONS", "POST"} {
			if origin(method, path, app) != app || origin(method, path, evil) != "" || origin(method, path, "null") != "" {
				t.Errorf("%s %s: registered %q, others %q", method, path, origin(method, path, app), origin(method, path, evil))
			}
		}
	}
	if origin("POST", "/elm/oauth/token", app) != "" {
		t.Error("an origin registered with one practice counts at another")
	}
	if err := w.s.Suspend(t.Context(), w.zoe, w.public.ID, "review"); err != nil {
		t.Fatal(err)
	}
	if origin("POST", "/alder/oauth/token", app) != "" {
		t.Error("the origin of a suspended program counts")
	}
	if r := w.send("GET", "/nowhere/.well-known/smart-configuration", nil, nil); r.status != 404 {
		t.Errorf("a practice that is not there: %d", r.status)
	}
}

// Signing keys last ninety days, are shown a week longer, and are never kept in clear.
func TestSigningKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		kids := func() (out []string) {
			keys, _ := w.send("GET", "/alder/oauth/jwks", nil, nil).body["keys"].([]any)
			for _, k := range keys {
				m := k.(map[string]any)
				if m["d"] != nil || m["p"] != nil {
					t.Fatal("a private key is shown")
				}
				out = append(out, m["kid"].(string))
			}
			return out
		}
		first := kids()
		if len(first) != 1 || !slices.Equal(kids(), first) {
			t.Fatalf("the keys are %v", first)
		}
		d.Clock.Advance(keySigns)
		second := kids()
		if len(second) != 2 || second[1] != first[0] {
			t.Fatalf("after ninety days: %v", second)
		}
		d.Clock.Advance(8 * 24 * time.Hour)
		if third := kids(); len(third) != 1 || third[0] != second[0] {
			t.Fatalf("after a week more: %v", third)
		}
		if err := w.s.Sweep(t.Context(), w.alder.ID); err != nil {
			t.Fatal(err)
		}
	})
}

// S-13 and the rules of a registration; who may decide about programs.
func TestRegistration(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t, nil))
	private, err := w.ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	good := func() Client {
		return Client{Kind: Public, Name: "App", Redirects: []string{"https://a.example/cb"}, Scopes: "patient/Patient.rs"}
	}
	for name, change := range map[string]func(*Client){
		"no name":              func(c *Client) { c.Name = " \u202e\n" },
		"a long name":          func(c *Client) { c.Name = strings.Repeat("x", 81) },
		"no kind":              func(c *Client) { c.Kind = "" },
		"no address":           func(c *Client) { c.Redirects = nil },
		"plain http":           func(c *Client) { c.Redirects = []string{"http://a.example/cb"} },
		"a wildcard":           func(c *Client) { c.Redirects = []string{"https://*.a.example/cb"} },
		"a fragment":           func(c *Client) { c.Redirects = []string{"https://a.example/cb#x"} },
		"a password":           func(c *Client) { c.Redirects = []string{"https://u:p@a.example/cb"} },
		"a script":             func(c *Client) { c.Redirects = []string{"javascript:alert(1)"} },
		"a relative address":   func(c *Client) { c.Redirects = []string{"/cb"} },
		"a bad launch address": func(c *Client) { c.LaunchURI = "http://a.example/launch" },
		"no scope":             func(c *Client) { c.Scopes = "" },
		"a bad scope":          func(c *Client) { c.Scopes = "patient/Patient.rs patient/Nothing.rs" },
		"system for a public":  func(c *Client) { c.Scopes = "system/*.rs" },
		"keys without keys":    func(c *Client) { c.Kind = Keys },
		"keys at http":         func(c *Client) { c.Kind, c.JWKSURL = Keys, "http://a.example/jwks" },
		"two key sets":         func(c *Client) { c.Kind, c.JWKSURL, c.JWKS = Keys, "https://a.example/jwks", w.jwks() },
		"a private key": func(c *Client) {
			c.Kind, c.JWKS = Keys, json.RawMessage(`{"keys":[{"kty":"EC","kid":"a","crv":"P-384","x":"`+b64(w.ec.X.FillBytes(make([]byte, 48)))+`","y":"`+b64(w.ec.Y.FillBytes(make([]byte, 48)))+`","d":"`+b64(private)+`"}]}`)
		},
		"a symmetric key": func(c *Client) {
			c.Kind, c.JWKS = Keys, json.RawMessage(`{"keys":[{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`)
		},
		"keys of a public one": func(c *Client) { c.JWKS = w.jwks() },
		"a backend for people": func(c *Client) { c.Kind, c.JWKS, c.Redirects, c.Scopes = Keys, w.jwks(), nil, "user/*.rs" },
		"too many addresses":   func(c *Client) { c.Redirects = slices.Repeat(c.Redirects, 21) },
	} {
		c := good()
		change(&c)
		if _, _, err := w.s.Register(t.Context(), w.zoe, c); err == nil {
			t.Errorf("%s was registered", name)
		}
	}
	c := good()
	c.Name, c.ID = " Safe\u202egpj.exe \x00 <b>App</b>\n", "chosen"
	out, secret, err := w.s.Register(t.Context(), w.zoe, c)
	if err != nil || secret != "" || out.Name != "Safe gpj.exe <b>App</b>" || out.ID == "chosen" || out.State != Pending {
		t.Errorf("registered %+v %q, %v", out, secret, err)
	}
	if _, err := w.s.Begin(t.Context(), w.alder, w.request(out, "patient/Patient.rs")); err == nil {
		t.Error("a program nobody approved was let in")
	}
	if _, _, err := w.s.Register(t.Context(), w.ann, good()); err == nil {
		t.Error("a clinician registered a program")
	}
	if err := w.s.Approve(t.Context(), w.ann, out.ID, out.Version); err == nil {
		t.Error("a clinician approved a program")
	}
	if err := w.s.Approve(t.Context(), w.zoe, out.ID, out.Version); err != nil {
		t.Error(err)
	}
	again, err := w.s.NewSecret(t.Context(), w.zoe, w.confidential.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]int{w.secret: 401, again: 400} {
		if r := w.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {w.confidential.ID}, "client_secret": {given}}); r.status != want {
			t.Errorf("a secret after it was replaced: %d, wanted %d", r.status, want)
		}
	}
	d := w.d.Clock
	d.Advance(auth.StepUpWithin + time.Second)
	if err := w.s.Approve(t.Context(), w.zoe, out.ID, out.Version+1); err == nil {
		t.Error("a program was approved without the administrator proving to be themself")
	}
	if err := w.s.Remove(t.Context(), w.zoe, out.ID); err != nil {
		t.Error(err)
	}
	if _, err := w.s.Client(t.Context(), w.alder.ID, out.ID); err == nil {
		t.Error("a removed program is there")
	}
}

// S-09: key sets are fetched through the guard against addresses inside, without redirects, seldom.
func TestKeySets(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t, nil))
	asked, status := 0, 200
	body, cache := string(w.jwks()), ""
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", func(hw http.ResponseWriter, _ *http.Request) {
		asked++
		if cache != "" {
			hw.Header().Set("Cache-Control", cache)
		}
		if status == 302 {
			hw.Header().Set("Location", "/other")
		}
		hw.WriteHeader(status)
		hw.Write([]byte(body))
	})
	keys := newLoopback(t, mux)
	u, _ := url.Parse(keys)
	out, err := egress.New([]egress.Destination{{Host: u.Hostname(), Ports: []int{portOf(t, u)}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := w.client(w.alder, Client{Kind: Keys, Name: "Remote", Scopes: "system/*.rs", JWKSURL: keys + "/jwks"})
	ask := func() int {
		f := w.assertion(c)
		f.Set("grant_type", "client_credentials")
		f.Set("scope", "system/Patient.rs")
		return w.token(f).status
	}
	if ask() != 401 {
		t.Error("keys came from nowhere")
	}
	closed, err := egress.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.s.egress = closed
	w.d.Clock.Advance(2 * time.Minute)
	if ask() != 401 || asked != 0 {
		t.Error("keys were fetched from this machine")
	}
	w.s.egress = out
	w.d.Clock.Advance(2 * time.Minute)
	for range 2 {
		if status := ask(); status != 200 || asked != 1 {
			t.Errorf("answered %d; keys were asked for %d times", status, asked)
		}
	}
	for kept, wait := range map[string]struct{ within, after time.Duration }{"max-age=300": {4 * time.Minute, 2 * time.Minute}, "no-store": {0, time.Second},
		"private, max-age=30": {20 * time.Second, 20 * time.Second}} {
		w.d.Clock.Advance(2 * time.Hour)
		cache = kept
		ask()
		before := asked
		if w.d.Clock.Advance(wait.within); kept != "no-store" {
			if status := ask(); status != 200 || asked != before {
				t.Errorf("%s: answered %d; asked %d times more within its time", kept, status, asked-before)
			}
		}
		w.d.Clock.Advance(wait.after)
		if status := ask(); status != 200 || asked != before+1 {
			t.Errorf("%s: answered %d; asked %d times more after its time", kept, status, asked-before)
		}
	}
	cache = ""
	w.d.Clock.Advance(2 * time.Hour)
	for what, change := range map[string]func(){"a redirect": func() { status = 302 }, "an error": func() { status = 500 }, "no keys": func() { status, body = 200, "{}" }, "a flood": func() { body = strings.Repeat(" ", maxKeySet) + string(w.jwks()) + strings.Repeat("x", maxKeySet) }} {
		change()
		w.d.Clock.Advance(2 * time.Hour)
		if ask() != 401 {
			t.Errorf("keys out of %s", what)
		}
	}
	before := asked
	ask()
	ask()
	if asked != before {
		t.Error("a key set that fails is asked for again at once")
	}
}
