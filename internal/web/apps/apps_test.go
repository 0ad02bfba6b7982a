package apps_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/web/apps"
	"yarrow.health/internal/web/ui"
)

var ctx = context.Background()

// world is a practice with people who are signed in, one program, and the screens.
type world struct {
	*clinictest.Practice
	server  *oauth.Server
	router  *ui.Router
	tokens  map[string]string // by login
	cookies map[string]string // of the browser that asks
	app     oauth.Client
}

const (
	home   = "http://localhost"
	verify = "this-is-a-verifier-with-more-than-43-characters-0123"
)

func open(t *testing.T, d *dbtest.DB) *world {
	t.Helper()
	w := &world{tokens: map[string]string{}, cookies: map[string]string{}}
	log := audit.New(d.DB)
	a := auth.New(d.DB, log, auth.Options{Demo: true})
	id, err := a.AddPractice(ctx, "millrace", "Millrace Family Health")
	if err != nil {
		t.Fatal(err)
	}
	w.Practice = clinictest.FurnishIn(t, d, id)
	for _, u := range []auth.User{{Login: "quill", Display: "Amara Quill, MD", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}},
		{Login: "lind", Display: "Ruth Lind", Roles: []auth.Role{auth.Administrator}}} {
		uid, err := a.AddUser(ctx, auth.SystemScope(id, "test"), u)
		if err != nil {
			t.Fatal(err)
		}
		if w.tokens[u.Login], _, err = a.DemoSignIn(ctx, id, uid); err != nil {
			t.Fatal(err)
		}
	}
	w.server = oauth.New(oauth.Options{DB: d.DB, Auth: a, Audit: log, Base: home})
	w.router = ui.NewRouter(a, log, ui.Options{Demo: true, Clock: d.Clock})
	apps.Register(w.router, a, w.server, w.Patients, func(context.Context, auth.Staff, string) (string, error) { return "enc-1", nil })
	by := auth.SystemScope(id, "test")
	w.app, _, err = w.server.Register(ctx, by, oauth.Client{Kind: oauth.Public, Name: `Growth <b>Chart</b>`, Publisher: "Test Works", Redirects: []string{"https://app.example.com/cb"},
		LaunchURI: "https://app.example.com/launch", Scopes: "launch launch/patient openid fhirUser offline_access patient/*.cruds user/Practitioner.rs"})
	if err == nil {
		err = w.server.Approve(ctx, by, w.app.ID, w.app.Version)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	w.Put(t, `{"resourceType":"Patient","id":"rex","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},"name":[{"family":"Hidden","given":["Rex"]}],"birthDate":"1990-01-01","gender":"male"}`)
	return w
}

// ask sends a request from one browser, which keeps its cookies.
func (w *world) ask(who, method, path string, form url.Values, header ...string) (*http.Response, string) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if !strings.HasPrefix(path, "http") {
		path = home + "/millrace" + path
	}
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if who != "" {
		r.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: w.tokens[who]})
	}
	for n, v := range w.cookies {
		r.AddCookie(&http.Cookie{Name: n, Value: v})
	}
	rec := httptest.NewRecorder()
	w.router.ServeHTTP(rec, r)
	out := rec.Result()
	for _, c := range out.Cookies() {
		if strings.Contains(c.Name, "ask-") {
			w.cookies[c.Name] = c.Value
		}
	}
	b, _ := io.ReadAll(out.Body)
	return out, string(b)
}

func (w *world) request(scope string, more ...string) url.Values {
	sum := sha256.Sum256([]byte(verify))
	v := url.Values{"response_type": {"code"}, "client_id": {w.app.ID}, "redirect_uri": {"https://app.example.com/cb"}, "scope": {scope}, "state": {"state-0123456789"},
		"aud": {home + "/millrace/fhir"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

// begin sends a program's request and gives the path of the screen that asks.
func (w *world) begin(t *testing.T, scope string, more ...string) string {
	t.Helper()
	r, body := w.ask("", "GET", "/oauth/authorize?"+w.request(scope, more...).Encode(), nil)
	to := r.Header.Get("Location")
	if r.StatusCode != 303 || !strings.HasPrefix(to, "/millrace/apps/ask/ask-") {
		t.Fatalf("%d to %q: %.300s", r.StatusCode, to, body)
	}
	return strings.TrimPrefix(to, "/millrace")
}

// goes gives where a page leads by itself.
func goes(r *http.Response) *url.URL {
	u, err := url.Parse(strings.TrimPrefix(r.Header.Get("Refresh"), "0; url="))
	if err != nil {
		return &url.URL{}
	}
	return u
}

func TestConsent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := open(t, d)
		path := w.begin(t, "launch/patient openid fhirUser offline_access patient/Observation.rs patient/AllergyIntolerance.cruds patient/Condition.read user/Practitioner.rs")

		r, _ := w.ask("", "GET", path, nil)
		if to := r.Header.Get("Location"); !strings.HasPrefix(to, "/millrace/sign-in?to=") {
			t.Errorf("somebody who is not signed in is led to %q", to)
		}
		r, body := w.ask("quill", "GET", path, nil)
		if r.StatusCode != 200 || !strings.Contains(body, "Whose record?") || !strings.Contains(body, "ASH-OKORO, Ann") || strings.Contains(body, "Hidden") || strings.Contains(body, "<b>Chart</b>") {
			t.Errorf("the choice of a patient: %d %s", r.StatusCode, body)
		}
		if h := r.Header; h.Get("X-Frame-Options") != "DENY" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("Cache-Control") != "no-store" {
			t.Errorf("the screen may be framed or kept: %v", h)
		}
		if r, body = w.ask("quill", "POST", path, url.Values{"patient": {"rex"}}); r.StatusCode != 404 || strings.Contains(body, "Hidden") {
			t.Errorf("a patient out of reach was chosen: %d", r.StatusCode)
		}
		_, body = w.ask("quill", "POST", path, url.Values{"patient": {"ann"}})
		for _, words := range []string{"Ash-Okoro", "See vital signs and test results", "See, add, change and delete allergies", "See health problems", "See doctors and nurses", "Know who you are", "Stay connected when you are not here", "makes changes", "Laboratory results"} {
			if !strings.Contains(body, words) && !strings.Contains(strings.ToLower(body), strings.ToLower(words)) {
				t.Errorf("the screen does not say %q", words)
			}
		}
		for _, never := range []string{">patient/Observation", "offline_access<", "<b>Chart</b>"} {
			if strings.Contains(body, never) {
				t.Errorf("the screen says %q", never)
			}
		}
		if r, _ = w.ask("quill", "POST", path, url.Values{"do": {"allow"}, "patient": {"ann"}, "scope": {"patient/Observation.rs"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); r.StatusCode != 403 {
			t.Errorf("another site answered: %d", r.StatusCode)
		}
		if r, _ = w.ask("quill", "POST", path, url.Values{"do": {"allow"}, "patient": {"rex"}, "scope": {"patient/Observation.rs"}}); r.StatusCode != 404 {
			t.Errorf("a patient out of reach was let through: %d", r.StatusCode)
		}
		kept := w.cookies
		w.cookies = map[string]string{}
		if r, body = w.ask("quill", "POST", path, url.Values{"do": {"allow"}, "patient": {"ann"}}); !strings.Contains(body, "has ended") {
			t.Errorf("another browser answered: %d", r.StatusCode)
		}
		w.cookies = kept
		on := url.Values{"do": {"allow"}, "patient": {"ann"}, "scope": {"patient/Observation.rs", "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs", "openid fhirUser"}}
		r, body = w.ask("quill", "POST", path, on)
		to := goes(r)
		if r.StatusCode != 200 || to.Host != "app.example.com" || to.Query().Get("code") == "" || to.Query().Get("state") != "state-0123456789" || to.Query().Get("iss") != home+"/millrace" || !strings.Contains(body, "Opening Growth") {
			t.Fatalf("the answer leads to %s: %d", to, r.StatusCode)
		}
		all, err := w.server.GrantsOf(ctx, auth.SystemScope(w.ID, "test"), w.app.ID)
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		granted := strings.Fields(oauth.JoinScopes(all[0].Scopes))
		want := []string{"openid", "fhirUser", "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs", "launch/patient"}
		slices.Sort(granted)
		slices.Sort(want)
		if !slices.Equal(granted, want) || all[0].Patient != "ann" {
			t.Errorf("granted %v for %s", granted, all[0].Patient)
		}
		seen, err := w.Log.Find(ctx, auth.SystemScope(w.ID, "test"), audit.Filter{Patient: "Patient/ann"})
		if err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, e := range seen {
			actions = append(actions, e.Action)
		}
		for _, a := range []string{audit.ActionSearch, audit.ActionRead, audit.ActionPrivilege} {
			if !slices.Contains(actions, a) {
				t.Errorf("on record for the patient: %v", actions)
			}
		}
		path = w.begin(t, "launch/patient patient/Observation.rs")
		if r, _ = w.ask("quill", "POST", path, url.Values{"do": {"deny"}}); goes(r).Query().Get("error") != "access_denied" {
			t.Errorf("a no leads to %s", goes(r))
		}
	})
}

// Errors before the address is trusted are pages; later ones go to the program. Nothing leads anywhere else.
func TestAuthorize(t *testing.T) {
	w := open(t, dbtest.SQLite(t, nil))
	for _, c := range []struct {
		name   string
		v      url.Values
		status int
		to     string
	}{
		{"unknown program", w.request("openid", "client_id", "x"), 400, ""},
		{"unregistered address", w.request("openid", "redirect_uri", "https://evil.example/cb"), 400, ""},
		{"another site's path", w.request("openid", "redirect_uri", "https://app.example.com/cb/../x"), 400, ""},
		{"no PKCE", w.request("openid", "code_challenge", ""), 303, "https://app.example.com/cb?error=invalid_request"},
		{"wrong audience", w.request("openid", "aud", "https://evil.example/fhir"), 303, "https://app.example.com/cb?error=invalid_request"},
		{"prompt none without a session", w.request("openid", "prompt", "none"), 303, "https://app.example.com/cb?error=login_required"},
		{"good", w.request("openid"), 303, "/millrace/apps/ask/"},
	} {
		for _, method := range []string{"GET", "POST"} {
			path, form := "/oauth/authorize?"+c.v.Encode(), url.Values(nil)
			var header []string
			if method == "POST" {
				path, form = "/oauth/authorize", c.v
				header = []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://app.example.com"}
			}
			r, body := w.ask("", method, path, form, header...)
			if r.StatusCode != c.status || !strings.HasPrefix(r.Header.Get("Location"), c.to) || c.to == "" && r.Header.Get("Location")+r.Header.Get("Refresh") != "" || strings.Contains(body, "evil.example") {
				t.Errorf("%s by %s: %d to %q", c.name, method, r.StatusCode, r.Header.Get("Location"))
			}
		}
	}
	path := w.begin(t, "openid", "prompt", "consent")
	if r, _ := w.ask("quill", "GET", path, nil); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	r, _ := w.ask("quill", "GET", "/oauth/authorize?"+w.request("openid", "prompt", "none").Encode(), nil)
	r, _ = w.ask("quill", "GET", strings.TrimPrefix(r.Header.Get("Location"), "/millrace"), nil)
	if !strings.HasPrefix(r.Header.Get("Location"), "https://app.example.com/cb?error=consent_required") {
		t.Errorf("prompt=none skipped the question: %d %s", r.StatusCode, r.Header.Get("Location"))
	}
}

func TestLaunchFromChart(t *testing.T) {
	w := open(t, dbtest.SQLite(t, nil))
	r, body := w.ask("quill", "GET", "/patients/ann/apps", nil)
	if r.StatusCode != 200 || !strings.Contains(body, w.app.ID) {
		t.Errorf("the chart's programs: %d", r.StatusCode)
	}
	if r, _ = w.ask("lind", "GET", "/patients/ann/apps", nil); r.StatusCode != 403 {
		t.Errorf("somebody without charts: %d", r.StatusCode)
	}
	if r, _ = w.ask("quill", "GET", "/patients/rex/apps", nil); r.StatusCode != 404 {
		t.Errorf("a chart out of reach: %d", r.StatusCode)
	}
	start := func() url.Values {
		t.Helper()
		r, body := w.ask("quill", "POST", "/patients/ann/apps", url.Values{"patient": {"ann"}, "program": {w.app.ID}})
		u := goes(r)
		if r.StatusCode != 200 || u.Query().Get("iss") != home+"/millrace/fhir" || !strings.HasPrefix(u.String(), "https://app.example.com/launch?") {
			t.Fatalf("%d to %s: %.200s", r.StatusCode, u, body)
		}
		return u.Query()
	}
	if r, _ = w.ask("quill", "POST", "/patients/ann/apps", url.Values{"patient": {"ben"}, "program": {w.app.ID}}); r.StatusCode != 409 {
		t.Errorf("the form of another chart: %d", r.StatusCode)
	}
	path := w.begin(t, "launch openid patient/Observation.rs", "launch", start().Get("launch"))
	if r, body = w.ask("quill", "GET", path, nil); r.StatusCode != 200 || !strings.Contains(strings.ToLower(body), "ash-okoro") || strings.Contains(body, "Whose record?") {
		t.Errorf("the open chart is asked for: %d", r.StatusCode)
	}
	if r, _ = w.ask("lind", "GET", path, nil); r.StatusCode != 403 {
		t.Errorf("somebody else's launch: %d", r.StatusCode)
	}
	// The administrator has decided for staff: no question, also for prompt=none, but for prompt=consent.
	if err := w.server.Trust(ctx, auth.SystemScope(w.ID, "test"), w.app.ID, true); err != nil {
		t.Fatal(err)
	}
	for prompt, asked := range map[string]bool{"": false, "none": false, "consent": true} {
		more := []string{"launch", start().Get("launch")}
		if prompt != "" {
			more = append(more, "prompt", prompt)
		}
		v := w.request("launch openid patient/Observation.rs", more...)
		r, _ := w.ask("quill", "GET", "/oauth/authorize?"+v.Encode(), nil)
		r, _ = w.ask("quill", "GET", strings.TrimPrefix(r.Header.Get("Location"), "/millrace"), nil)
		if got := !strings.HasPrefix(r.Header.Get("Location"), "https://app.example.com/cb?code="); got != asked {
			t.Errorf("prompt %q: asked %v, %d %s", prompt, got, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

func TestProgramsPages(t *testing.T) {
	w := open(t, dbtest.SQLite(t, nil))
	for path, want := range map[string]int{"/apps": 200, "/apps/programs/new": 403, "/apps/programs/" + w.app.ID: 403} {
		if r, body := w.ask("quill", "GET", path, nil); r.StatusCode != want || strings.Contains(body, "Programs of this practice") {
			t.Errorf("a clinician at %s: %d", path, r.StatusCode)
		}
		if r, _ := w.ask("lind", "GET", path, nil); r.StatusCode != 200 {
			t.Errorf("the administrator at %s: %d", path, r.StatusCode)
		}
	}
	form := url.Values{"name": {"Care Gaps"}, "kind": {"secret"}, "redirects": {"https://gaps.example/cb\nhttps://gaps.example/cb2"}, "scopes": {"openid patient/*.rs"}}
	bad := url.Values{"name": {""}, "kind": {"secret"}, "redirects": {"javascript:alert(1)"}, "scopes": {"all"}}
	if r, body := w.ask("lind", "POST", "/apps/programs/new", bad); r.StatusCode != 422 || !strings.Contains(body, "There is a problem") || !strings.Contains(body, "javascript:alert(1)</textarea>") {
		t.Errorf("a bad form: %d", r.StatusCode)
	}
	if r, _ := w.ask("quill", "POST", "/apps/programs/new", form); r.StatusCode != 403 {
		t.Errorf("a clinician registered a program: %d", r.StatusCode)
	}
	_, body := w.ask("lind", "POST", "/apps/programs/new", form)
	secret := regexp.MustCompile(`yrw-cs\.[\w-]+`).FindString(body)
	id := regexp.MustCompile(`/apps/programs/([a-z2-7]{26})"`).FindStringSubmatch(body)
	if secret == "" || id == nil {
		t.Fatalf("no secret or id: %.500s", body)
	}
	page := "/apps/programs/" + id[1]
	act := func(do string, more ...string) (int, string) {
		f := url.Values{"do": {do}}
		for i := 0; i+1 < len(more); i += 2 {
			f.Set(more[i], more[i+1])
		}
		r, body := w.ask("lind", "POST", page, f)
		return r.StatusCode, body
	}
	if _, body := w.ask("lind", "GET", page, nil); strings.Contains(body, "yrw-cs.") || !strings.Contains(body, "Waiting for approval") {
		t.Error("the secret is shown again, or the program is not waiting")
	}
	if status, body := act("approve", "version", "7"); status != 200 || !strings.Contains(body, "changed meanwhile") {
		t.Errorf("another version was approved: %d", status)
	}
	if status, _ := act("approve", "version", "1"); status != 303 {
		t.Errorf("approval: %d", status)
	}
	edit := func(version, scopes, redirect string) (int, string) {
		r, body := w.ask("lind", "POST", page+"/edit", url.Values{"version": {version}, "name": {"Care Gaps Two"}, "kind": {"public"}, "redirects": {redirect}, "scopes": {scopes}})
		return r.StatusCode, body
	}
	if r, _ := w.ask("quill", "GET", page+"/edit", nil); r.StatusCode != 403 {
		t.Errorf("a clinician changes a registration: %d", r.StatusCode)
	}
	if r, body := w.ask("lind", "GET", page+"/edit", nil); r.StatusCode != 200 || !strings.Contains(body, "waits for approval again") || !strings.Contains(body, "closed to these connections too") || !strings.Contains(body, "https://gaps.example/cb2") || strings.Contains(body, `name="kind"`) {
		t.Errorf("the form of a change: %d", r.StatusCode)
	}
	if status, body := edit("2", "openid", "javascript:alert(1)"); status != 422 || !strings.Contains(body, "Care Gaps Two") || !strings.Contains(body, "waits for approval again") {
		t.Errorf("a bad change: %d", status)
	}
	if status, _ := edit("1", "openid", "https://gaps.example/new"); status != 409 {
		t.Errorf("a change of another version: %d", status)
	}
	if status, _ := edit("", "openid", "https://gaps.example/new"); status != 400 {
		t.Errorf("a change of no version: %d", status)
	}
	if status, _ := edit("2", "openid patient/*.rs", "https://gaps.example/new"); status != 303 {
		t.Errorf("a change: %d", status)
	}
	if _, body := w.ask("lind", "GET", page, nil); !strings.Contains(body, "Waiting for approval") || !strings.Contains(body, "Care Gaps Two") || !strings.Contains(body, "https://gaps.example/new") || strings.Contains(body, "cb2") || !strings.Contains(body, "with a secret") {
		t.Error("the change is not shown, or stands without approval")
	}
	if status, _ := act("approve", "version", "3"); status != 303 {
		t.Errorf("approval after a change: %d", status)
	}
	if status, body := act("suspend", "reason", " "); status != 200 || !strings.Contains(body, "needs a reason") {
		t.Errorf("stopped without a reason: %d", status)
	}
	if status, body := act("secret"); status != 200 || strings.Contains(body, secret) || !strings.Contains(body, "yrw-cs.") || strings.Contains(body, "The secret before it") {
		t.Errorf("another secret: %d", status)
	}
	if status, body := act("secret", "keep", "31"); status != 200 || strings.Contains(body, "yrw-cs.") || !strings.Contains(body, "at most 30 days") {
		t.Errorf("an overlap that is too long: %d", status)
	}
	if status, body := act("secret", "keep", "7"); status != 200 || !strings.Contains(body, "The secret before it") || !strings.Contains(body, "works until") || !strings.Contains(body, "not used yet") {
		t.Errorf("a secret with an overlap: %d", status)
	}
	if r, _ := w.ask("quill", "POST", page, url.Values{"do": {"end"}}); r.StatusCode != 403 {
		t.Errorf("a clinician ended a secret: %d", r.StatusCode)
	}
	if status, _ := act("end"); status != 303 {
		t.Errorf("ending the old secret: %d", status)
	}
	if status, body := act("end"); status != 200 || !strings.Contains(body, "No earlier secret") || strings.Contains(body, "The secret before it") {
		t.Errorf("ending it again: %d", status)
	}
	if status, _ := act("suspend", "reason", "Contract ended"); status != 303 {
		t.Errorf("stopping: %d", status)
	}
	if _, body := w.ask("lind", "GET", page, nil); !strings.Contains(body, "Stopped: Contract ended") {
		t.Error("the reason is not shown")
	}
	w.Clock.Advance(auth.StepUpWithin + time.Minute)
	if status, body := act("approve", "version", fmt.Sprint(6)); status != 200 || !strings.Contains(body, "prove again") {
		t.Errorf("approved without a fresh proof: %d", status)
	}
	if status, _ := act("remove"); status != 303 {
		t.Errorf("removal: %d", status)
	}
	if r, _ := w.ask("lind", "GET", page, nil); r.StatusCode != 404 {
		t.Errorf("a removed program: %d", r.StatusCode)
	}
}
