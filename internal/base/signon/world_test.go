package signon

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/pquerna/otp/totp"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

const base = "https://ehr.example.org"

// world is a practice with people and an identity provider of its own, which speaks both protocols.
type world struct {
	t    *testing.T
	d    *dbtest.DB
	auth *auth.Auth
	s    *SignOn
	p    auth.Practice
	sys  auth.System
	ann  int64 // signs in as ann@alder.example
	idp  *idp
}

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// idp is an OpenID provider that says what a test wants it to say.
type idp struct {
	http   *httptest.Server
	issuer string
	head   map[string]any
	claims map[string]any // laid over the good ones; nil removes
	asked  url.Values     // of the last authorization request
	form   url.Values     // of the last token request
	basic  string
	alg    string // "none" leaves the signature out, "HS256" signs with the public key
	status int
}

func newWorld(t *testing.T, d *dbtest.DB) *world {
	log := audit.New(d.DB)
	w := &world{t: t, d: d, auth: auth.New(d.DB, log, auth.Options{Demo: true}), idp: &idp{}}
	mux := http.NewServeMux()
	w.idp.http = httptest.NewServer(mux)
	t.Cleanup(w.idp.http.Close)
	w.idp.issuer = w.idp.http.URL + "/realm"
	u, err := url.Parse(w.idp.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	outside, err := egress.New([]egress.Destination{{Host: u.Hostname(), Ports: []int{port}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}})
	if err != nil {
		t.Fatal(err)
	}
	w.s = New(Options{DB: d.DB, Auth: w.auth, Audit: log, Egress: outside, Base: base})
	id, err := w.auth.AddPractice(t.Context(), "alder", "The Alder")
	if err != nil {
		t.Fatal(err)
	}
	w.sys = auth.SystemScope(id, "test")
	w.ann = w.person("ann@alder.example", auth.Clinician)
	w.reread()
	mux.HandleFunc("/realm/.well-known/openid-configuration", func(rw http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"issuer": w.idp.issuer, "authorization_endpoint": w.idp.issuer + "/auth?tenant=1", "token_endpoint": w.idp.issuer + "/token",
			"jwks_uri": w.idp.issuer + "/keys", "code_challenge_methods_supported": []string{"S256"}})
	})
	mux.HandleFunc("/realm/keys", func(rw http.ResponseWriter, r *http.Request) {
		n := base64.RawURLEncoding.EncodeToString(signingKey().N.Bytes())
		_ = json.NewEncoder(rw).Encode(map[string]any{"keys": []map[string]string{{"kty": "RSA", "use": "sig", "kid": "k1", "n": n, "e": "AQAB"}, {"kty": "AKP", "kid": "later", "alg": "ML-DSA-65"}}})
	})
	mux.HandleFunc("/realm/token", func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.idp.form, w.idp.basic = r.PostForm, r.Header.Get("Authorization")
		if w.idp.status != 0 {
			rw.WriteHeader(w.idp.status)
			_ = json.NewEncoder(rw).Encode(map[string]string{"error": "invalid_grant"})
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": "at-1", "token_type": "Bearer", "id_token": w.idp.token(w.d.Clock.Now())})
	})
	return w
}

func (w *world) reread() {
	p, err := w.auth.PracticeBySlug(w.t.Context(), "alder")
	if err != nil {
		w.t.Fatal(err)
	}
	w.p = p
}

func (w *world) person(login string, roles ...auth.Role) int64 {
	w.t.Helper()
	id, err := w.auth.AddUser(w.t.Context(), w.sys, auth.User{Login: login, Display: "Person " + login, Roles: roles, Password: "violet tundra kettle 9"})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// token is an identity token as the test wants it.
func (i *idp) token(now time.Time) string {
	claims := map[string]any{"iss": i.issuer, "sub": "s-1", "aud": "yarrow", "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "auth_time": now.Unix(),
		"nonce": i.asked.Get("nonce"), "email": "Ann@alder.example", "email_verified": true, "amr": []string{"pwd", "mfa"}, "name": "Ann Alder"}
	for k, v := range i.claims {
		if v == nil {
			delete(claims, k)
			continue
		}
		claims[k] = v
	}
	head := map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}
	for k, v := range i.head {
		head[k] = v
	}
	h, _ := json.Marshal(head)
	c, _ := json.Marshal(claims)
	b64 := base64.RawURLEncoding.EncodeToString
	switch i.alg {
	case "none":
		return b64(h) + "." + b64(c) + "."
	case "HS256":
		der := x509.MarshalPKCS1PublicKey(&signingKey().PublicKey)
		out, err := jws.Sign(c, jws.WithKey(jwa.HS256(), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), jws.WithProtectedHeaders(headers(head))))
		if err != nil {
			panic(err)
		}
		return string(out)
	}
	out, err := jws.Sign(c, jws.WithKey(jwa.RS256(), signingKey(), jws.WithProtectedHeaders(headers(head))))
	if err != nil {
		panic(err)
	}
	return string(out)
}

func headers(head map[string]any) jws.Headers {
	h := jws.NewHeaders()
	for k, v := range head {
		if k != "alg" {
			_ = h.Set(k, v)
		}
	}
	return h
}

// oidc is a connection to the provider, switched on.
func (w *world) oidc(change func(*Connection)) string {
	w.t.Helper()
	c := Connection{Kind: OIDC, Name: "Alder Health", Enabled: true, Domains: []string{"alder.example"}, Issuer: w.idp.issuer, ClientID: "yarrow", Secret: "s3cret/+"}
	if change != nil {
		change(&c)
	}
	return w.save(c)
}

func (w *world) save(c Connection) string {
	w.t.Helper()
	id, err := w.s.Save(w.t.Context(), w.sys, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// away begins, and gives what the provider is asked.
func (w *world) away(id string, why Purpose) Begun {
	w.t.Helper()
	b, err := w.s.Begin(w.t.Context(), w.p, id, why, "/alder/patients")
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(b.To)
	if err != nil {
		w.t.Fatal(err)
	}
	w.idp.asked = u.Query()
	return b
}

// back comes back with a code.
func (w *world) back(id string, b Begun, more url.Values, by Browser) (Outcome, error) {
	v := url.Values{"state": {b.State}, "code": {"c-1"}}
	for k, x := range more {
		v[k] = x
	}
	by.Held, by.Remote, by.Agent = b.Browser, "192.0.2.7", "Firefox/1"
	return w.s.Finish(w.t.Context(), w.p, id, v, by)
}

func (w *world) in(id string) (Outcome, error) {
	w.t.Helper()
	return w.back(id, w.away(id, In), nil, Browser{})
}

// trouble is what the connection says of the last refusal.
func (w *world) trouble(id string) string {
	w.t.Helper()
	c, err := w.s.Connection(w.t.Context(), w.sys, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if c.Trouble == nil {
		return ""
	}
	return c.Trouble.What
}

func issue(err error) string {
	var i *fhir.Issue
	if errors.As(err, &i) {
		return i.Code + ": " + i.Text
	}
	return ""
}

// certificate is one for the signing key, in PEM.
func certificate(t *testing.T, key *rsa.PrivateKey, now time.Time) (string, *x509.Certificate) {
	t.Helper()
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), c
}

// codeOf is what an authenticator app shows.
func codeOf(t *testing.T, secret string, now time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, now)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
