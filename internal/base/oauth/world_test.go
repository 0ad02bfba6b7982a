package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// world is two practices, people who are signed in, registered programs, and the endpoints over HTTP.
type world struct {
	t          *testing.T
	d          *dbtest.DB
	auth       *auth.Auth
	log        *audit.Log
	s          *Server
	http       *httptest.Server
	alder, elm auth.Practice
	ann, zoe   auth.Staff // clinician, administrator of alder
	annToken   string
	rsa        *rsa.PrivateKey
	ec         *ecdsa.PrivateKey

	public, confidential, signing, backend Client
	secret                                 string
}

const (
	base     = "https://ehr.example.org"
	returnTo = "https://app.example.com/cb?keep=1"
	verifier = "this-is-a-verifier-with-more-than-43-characters-0123"
	state    = "state-0123456789"
)

// testKeys are made once: RSA keys are slow to make.
var testKeys = sync.OnceValues(func() (*rsa.PrivateKey, *ecdsa.PrivateKey) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return r, e
})

func newWorld(t *testing.T, d *dbtest.DB) *world {
	t.Helper()
	w := &world{t: t, d: d, log: audit.New(d.DB)}
	w.rsa, w.ec = testKeys()
	w.auth = auth.New(d.DB, w.log, auth.Options{Demo: true})
	w.s = New(Options{DB: d.DB, Auth: w.auth, Audit: w.log, Base: base})
	w.alder, w.elm = w.practice("alder"), w.practice("elm")
	w.ann, w.annToken = w.person(w.alder, "ann", "Dr. Ann Ash", "p-ann", auth.Clinician)
	w.zoe, _ = w.person(w.alder, "zoe", "Zoe Zaun", "", auth.Administrator)
	mux := http.NewServeMux()
	for _, r := range Routes() {
		mux.Handle(r, w.s)
	}
	w.http = httptest.NewServer(mux)
	t.Cleanup(w.http.Close)
	scopes := "launch launch/patient openid fhirUser profile offline_access online_access patient/*.cruds user/*.cruds"
	w.public, _ = w.client(w.alder, Client{Kind: Public, Name: "Growth Chart", Redirects: []string{returnTo, "http://127.0.0.1/cb"}, LaunchURI: "https://app.example.com/launch", Scopes: scopes})
	w.confidential, w.secret = w.client(w.alder, Client{Kind: Secret, Name: "Care Gaps", Redirects: []string{"https://gaps.example.com/cb"}, Scopes: scopes})
	w.signing, _ = w.client(w.alder, Client{Kind: Keys, Name: "Signer", Redirects: []string{"https://sign.example.com/cb"}, Scopes: scopes, JWKS: w.jwks()})
	w.backend, _ = w.client(w.alder, Client{Kind: Keys, Name: "Backend", Scopes: "system/*.rs system/Observation.c", JWKS: w.jwks()})
	return w
}

func (w *world) practice(slug string) auth.Practice {
	w.t.Helper()
	id, err := w.auth.AddPractice(w.t.Context(), slug, "The "+slug)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.auth.PracticeByID(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) person(p auth.Practice, login, name, practitioner string, roles ...auth.Role) (auth.Staff, string) {
	w.t.Helper()
	id, err := w.auth.AddUser(w.t.Context(), auth.SystemScope(p.ID, "test"), auth.User{Login: login, Display: name, PractitionerID: practitioner, Roles: roles, Password: "violet tundra kettle 9"})
	if err != nil {
		w.t.Fatal(err)
	}
	token, staff, err := w.auth.DemoSignIn(w.t.Context(), p.ID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return staff, token
}

func (w *world) client(p auth.Practice, c Client) (Client, string) {
	w.t.Helper()
	by := auth.SystemScope(p.ID, "test")
	c, secret, err := w.s.Register(w.t.Context(), by, c)
	if err == nil {
		err = w.s.Approve(w.t.Context(), by, c.ID, c.Version)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return c, secret
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (w *world) jwks() json.RawMessage {
	set := map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS384", "n": b64(w.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "kid": "e1", "crv": "P-384", "x": b64(w.ec.X.FillBytes(make([]byte, 48))), "y": b64(w.ec.Y.FillBytes(make([]byte, 48)))},
	}}
	b, err := json.Marshal(set)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// jwt signs head and claims as they are given, with whatever the head says is the algorithm.
func (w *world) jwt(head, claims map[string]any) string {
	w.t.Helper()
	h, _ := json.Marshal(head)
	c, _ := json.Marshal(claims)
	text := b64(h) + "." + b64(c)
	sum := crypto.SHA384.New()
	sum.Write([]byte(text))
	switch head["alg"] {
	case "RS384":
		sig, err := rsa.SignPKCS1v15(rand.Reader, w.rsa, crypto.SHA384, sum.Sum(nil))
		if err != nil {
			w.t.Fatal(err)
		}
		return text + "." + b64(sig)
	case "ES384":
		r, s, err := ecdsa.Sign(rand.Reader, w.ec, sum.Sum(nil))
		if err != nil {
			w.t.Fatal(err)
		}
		return text + "." + b64(append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...))
	}
	return text + "."
}

func (w *world) claims(c Client, more map[string]any) map[string]any {
	now := w.d.Clock.Now()
	out := map[string]any{"iss": c.ID, "sub": c.ID, "aud": base + "/alder/oauth/token", "exp": now.Add(4 * time.Minute).Unix(), "iat": now.Unix(), "jti": random("j")}
	for k, v := range more {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

func (w *world) assertion(c Client) url.Values {
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {w.jwt(map[string]any{"alg": "RS384", "kid": "r1", "typ": "JWT"}, w.claims(c, nil))}}
}

// reply is what an endpoint answered.
type reply struct {
	status int
	header http.Header
	body   map[string]any
}

func (r reply) str(name string) string { s, _ := r.body[name].(string); return s }

func (w *world) send(method, path string, form url.Values, header map[string]string) reply {
	w.t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := reply{status: resp.StatusCode, header: resp.Header}
	text, _ := io.ReadAll(resp.Body)
	if len(text) > 0 && json.Unmarshal(text, &out.body) != nil {
		w.t.Fatalf("%s %s: %d %q is no JSON", method, path, resp.StatusCode, text)
	}
	return out
}

func (w *world) token(form url.Values) reply {
	w.t.Helper()
	return w.send("POST", "/alder/oauth/token", form, nil)
}

func s256(v string) string { sum := sha256.Sum256([]byte(v)); return b64(sum[:]) }

// request is a good authorization request of a client.
func (w *world) request(c Client, scope string) url.Values {
	return url.Values{"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {c.Redirects[0]}, "scope": {scope}, "state": {state},
		"aud": {base + "/alder/fhir"}, "code_challenge": {s256(verifier)}, "code_challenge_method": {"S256"}, "nonce": {"n-1"}}
}

// authorize lets somebody say yes to everything and gives the parameters that come back to the client.
func (w *world) authorize(who db.Scope, v url.Values, patient string) url.Values {
	w.t.Helper()
	b, err := w.s.Begin(w.t.Context(), w.alder, v)
	if err != nil {
		w.t.Fatal(err)
	}
	q, err := w.s.Question(w.t.Context(), w.alder, who, b.ID, b.Browser)
	if err != nil {
		w.t.Fatal(err)
	}
	to, err := w.s.Grant(w.t.Context(), w.alder, who, b.ID, b.Browser, Answer{Scopes: strings.Fields(JoinScopes(q.Scopes)), Patient: patient})
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Query()
}

func (w *world) redeemForm(c Client, code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Redirects[0]}, "client_id": {c.ID}, "code_verifier": {verifier}}
}

// connect goes all the way for the public client.
func (w *world) connect(scope, patient string) reply {
	w.t.Helper()
	back := w.authorize(w.ann, w.request(w.public, scope), patient)
	r := w.token(w.redeemForm(w.public, back.Get("code")))
	if r.status != 200 {
		w.t.Fatalf("no token: %d %v", r.status, r.body)
	}
	return r
}

// opens says whether an access token opens anything at a practice.
func (w *world) opens(p auth.Practice, bearer string) bool {
	w.t.Helper()
	app, err := w.s.Authenticate(w.t.Context(), p, bearer)
	if err == nil {
		return app.Valid()
	}
	var i *fhir.Issue
	if !errors.As(err, &i) || i.Code != "login" || i.Text != unauthorized().Text {
		w.t.Errorf("the answer to a bad token is another one: %v", err)
	}
	return false
}

func newLoopback(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func portOf(t *testing.T, u *url.URL) int {
	t.Helper()
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return n
}
