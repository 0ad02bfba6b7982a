package organisation_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/edge/scim"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/organisation"
	"yarrow.health/internal/web/ui"
	"yarrow.health/internal/web/webtest"
)

// house is a practice with its sign-in, its administrator, and a provider in the same process.
type house struct {
	*clinictest.Practice
	t      *testing.T
	auth   *auth.Auth
	router *ui.Router
	jar    map[string]string
	issuer string
	nonce  string
	admin  string // session token
	annID  int64
}

func open(t *testing.T) *house {
	d := dbtest.SQLite(t, nil)
	h := &house{t: t, jar: map[string]string{}, auth: auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})}
	id, err := h.auth.AddPractice(t.Context(), "alder", "The Alder")
	if err != nil {
		t.Fatal(err)
	}
	h.Practice = clinictest.FurnishIn(t, d, id)
	sys := auth.SystemScope(id, "test")
	add := func(login string, r auth.Role) int64 {
		uid, err := h.auth.AddUser(t.Context(), sys, auth.User{Login: login, Display: "Person " + login, Roles: []auth.Role{r}, Password: "violet tundra kettle 9", TOTPSecret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"})
		if err != nil {
			t.Fatal(err)
		}
		return uid
	}
	ruth := add("ruth", auth.Administrator)
	h.annID = add("ann@alder.example", auth.Clinician)
	if h.admin, _, err = h.auth.DemoSignIn(t.Context(), id, ruth); err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	idp := httptest.NewServer(mux)
	t.Cleanup(idp.Close)
	h.issuer = idp.URL
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": idp.URL, "authorization_endpoint": idp.URL + "/auth", "token_endpoint": idp.URL + "/token", "jwks_uri": idp.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{"kty": "RSA", "kid": "k", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		now := d.Clock.Now().Unix()
		claims, _ := json.Marshal(map[string]any{"iss": idp.URL, "sub": "s-1", "aud": "yarrow", "exp": now + 60, "iat": now, "auth_time": now, "nonce": h.nonce, "email": "ann@alder.example", "email_verified": true, "amr": []string{"mfa"}})
		text, err := jws.Sign(claims, jws.WithKey(jwa.RS256(), key))
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "a", "id_token": string(text)})
	})
	u, _ := url.Parse(idp.URL)
	port, _ := strconv.Atoi(u.Port())
	outside, err := egress.New([]egress.Destination{{Host: u.Hostname(), Ports: []int{port}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}})
	if err != nil {
		t.Fatal(err)
	}
	h.router = ui.NewRouter(h.auth, h.Log, ui.Options{Demo: true, Clock: d.Clock})
	front := desk.New(h.router, h.auth, h.Book, h.People, h.Patients)
	organisation.Register(h.router, h.auth, signon.New(signon.Options{DB: d.DB, Auth: h.auth, Audit: h.Log, Egress: outside, Base: "http://localhost"}), scim.New(scim.Options{DB: d.DB, Auth: h.auth, Audit: h.Log, Base: "http://localhost"}), front, h.Patients)
	return h
}

// ask sends a request as a browser with cookies would; site is what a browser says of where it came from.
func (h *house) ask(method, path, site string, form url.Values) (*http.Response, string) {
	h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(webtest.Keyed(method, form).Encode())
	}
	r := httptest.NewRequest(method, "http://localhost"+path, body)
	r.Header.Set("Sec-Fetch-Site", site)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if site == "same-origin" || method == http.MethodGet { // SameSite=Lax
		for name, v := range h.jar {
			r.AddCookie(&http.Cookie{Name: name, Value: v})
		}
	}
	w := httptest.NewRecorder()
	h.router.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(h.jar, c.Name)
		} else {
			h.jar[c.Name] = c.Value
		}
	}
	text, _ := io.ReadAll(w.Result().Body)
	if strings.Contains(string(text), "⟨") {
		h.t.Errorf("%s %s lacks words", method, path)
	}
	return w.Result(), string(text)
}

// want asks and compares.
func (h *house) want(method, path string, form url.Values, status int, must ...string) (*http.Response, string) {
	h.t.Helper()
	r, body := h.ask(method, path, "same-origin", form)
	if r.StatusCode != status {
		h.t.Fatalf("%s %s: %d, want %d: %.400s", method, path, r.StatusCode, status, body)
	}
	for _, m := range must {
		if !strings.Contains(body, m) {
			h.t.Errorf("%s %s does not show %q", method, path, m)
		}
	}
	return r, body
}

// provider goes to the provider and comes back with a code; it gives the page at the end of the way.
func (h *house) provider(r *http.Response) *http.Response {
	h.t.Helper()
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), h.issuer+"/auth?") {
		h.t.Fatalf("sent to %q", to)
	}
	h.nonce = to.Query().Get("nonce")
	back, err := url.Parse(to.Query().Get("redirect_uri"))
	if err != nil {
		h.t.Fatal(err)
	}
	end, body := h.ask("GET", back.Path+"?"+url.Values{"state": {to.Query().Get("state")}, "code": {"c"}}.Encode(), "cross-site", nil)
	if end.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("back: %d %.300s", end.StatusCode, body)
	}
	return end
}

func (h *house) as(token string) { h.jar = map[string]string{"yarrow-session-alder": token} }

// The administrator connects an organisation, tests it, switches it on and lets nothing else count; a clinician comes in through it.
func TestAnOrganisationOnScreen(t *testing.T) {
	h := open(t)
	h.as(h.admin)
	h.want("GET", "/alder/organisation", nil, 200, "No connection yet")
	bad := url.Values{"kind": {"oidc"}, "name": {""}, "domains": {"alder.example"}, "issuer": {"http://idp.example.org"}, "client": {"yarrow"}}
	h.want("POST", "/alder/organisation/new", bad, 422, "The connection has no name", "The issuer is no https address", "http://idp.example.org")
	good := url.Values{"kind": {"oidc"}, "name": {"Alder Health"}, "domains": {"alder.example"}, "issuer": {h.issuer}, "client": {"yarrow"}, "secret": {"s3cret-words"}, "groups": {""}}
	r, _ := h.want("POST", "/alder/organisation/new", good, 303)
	at := r.Header.Get("Location")
	_, body := h.want("GET", at, nil, 200, "Alder Health", "http://localhost/alder/sign-in/with/", "Not tested", "Off")
	if strings.Contains(body, "s3cret-words") {
		t.Error("the secret is shown")
	}
	good.Del("secret")
	h.want("POST", at, good, 303)
	r, _ = h.want("GET", at+"/test", nil, 303)
	end := h.provider(r)
	h.want("GET", end.Header.Get("Location"), nil, 200, "ann@alder.example", "Two factors", "Person ruth")
	recovery := url.Values{"only": {"on"}}
	h.want("POST", "/alder/organisation/rule", recovery, 422, "No connection that is switched on was tested.")
	h.want("POST", at+"/do", url.Values{"do": {"on"}}, 303)
	h.want("POST", "/alder/organisation/rule", recovery, 422, "Nobody could get in")
	recovery.Set("recovery", "1")
	h.want("POST", "/alder/organisation/rule", recovery, 303)
	h.want("POST", at+"/do", url.Values{"do": {"off"}}, 422, "People may sign in through this connection only.")

	_, body = h.want("POST", "/alder/organisation/keys", url.Values{"name": {"Directory of Alder"}}, 200, "http://localhost/alder/scim/v2", "yrw-sc.", "not used yet")
	h.want("POST", "/alder/organisation/keys", url.Values{"name": {" "}}, 400, "The key has no name")
	if _, again := h.want("GET", "/alder/organisation", nil, 200, "Directory of Alder"); strings.Contains(again, "yrw-sc.") {
		t.Error("a key is shown twice")
	}
	i := strings.Index(body, `name="key" value="`) + len(`name="key" value="`)
	h.want("POST", "/alder/organisation/keys/end", url.Values{"key": {body[i : i+16]}}, 303)
	h.want("GET", "/alder/organisation", nil, 200, "Key ended")

	h.as("")
	_, body = h.want("GET", "/alder/sign-in?to=/alder/patients", nil, 200, "Sign in with Alder Health", "signs in through its organisation")
	i = strings.Index(body, "/alder/sign-in/with/")
	link := body[i : i+strings.IndexByte(body[i:], '"')]
	r, _ = h.want("GET", strings.ReplaceAll(link, "&amp;", "&"), nil, 303)
	end = h.provider(r)
	if end.Header.Get("Location") != "/alder/patients" {
		t.Errorf("goes to %s", end.Header.Get("Location"))
	}
	h.want("GET", "/alder/patients", nil, 200, "Person ann")
	// Another site that plays a stolen answer into somebody's browser gets nowhere.
	session := h.jar["yarrow-session-alder"]
	h.as("")
	r, _ = h.want("GET", strings.ReplaceAll(link, "&amp;", "&"), nil, 303)
	to, _ := url.Parse(r.Header.Get("Location"))
	h.jar = map[string]string{}
	refused, words := h.ask("GET", strings.Split(link, "?")[0]+"/back?"+url.Values{"state": {to.Query().Get("state")}, "code": {"c"}}.Encode(), "cross-site", nil)
	if refused.StatusCode != 401 || !strings.Contains(words, "begun elsewhere") || h.jar["yarrow-session-alder"] != "" {
		t.Errorf("another browser: %d %.200s", refused.StatusCode, words)
	}
	// A password is refused with the words of any wrong one.
	h.want("POST", "/alder/sign-in", url.Values{"login": {"ann@alder.example"}, "password": {"violet tundra kettle 9"}, "code": {"000000"}}, 401, "This did not work.")
	// Who may not look after it sees nothing of it, and SAML's post opens nothing by itself.
	h.as(session)
	h.want("GET", "/alder/organisation", nil, 403)
	posted, words := h.ask("POST", strings.Split(link, "?")[0]+"/back", "cross-site", url.Values{"RelayState": {"x"}, "SAMLResponse": {"eA=="}})
	if posted.StatusCode != 401 || !strings.Contains(words, "begun elsewhere") {
		t.Errorf("a posted answer to no request: %d %.200s", posted.StatusCode, words)
	}
}
