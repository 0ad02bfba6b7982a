package ui

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

const slug = "alder"

// house is a router over a real database with a clinician and somebody of the front desk, each signed in.
type house struct {
	t   *testing.T
	d   *dbtest.DB
	log *audit.Log
	a   *auth.Auth
	r   *Router
	id  db.PracticeID

	doctor, desk string // session tokens
}

func open(t *testing.T, d *dbtest.DB, o Options) *house {
	t.Helper()
	h := &house{t: t, d: d, log: audit.New(d.DB)}
	h.a = auth.New(d.DB, h.log, auth.Options{Demo: true})
	var err error
	if h.id, err = h.a.AddPractice(t.Context(), slug, "Alder Family Practice"); err != nil {
		t.Fatal(err)
	}
	h.doctor = h.person("ann", "Dr. Ann Ash", auth.Clinician)
	h.desk = h.person("bob", "Bob Birch", auth.FrontDesk)
	o.Clock = d.Clock
	h.r = NewRouter(h.a, h.log, o)
	return h
}

func (h *house) person(login, name string, role auth.Role) string {
	h.t.Helper()
	id, err := h.a.AddUser(h.t.Context(), auth.SystemScope(h.id, "test"), auth.User{Login: login, Display: name, Roles: []auth.Role{role}})
	if err != nil {
		h.t.Fatal(err)
	}
	token, _, err := h.a.DemoSignIn(h.t.Context(), h.id, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

func (h *house) do(method, path, token string, form url.Values, header ...string) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req := httptest.NewRequest(method, path, body)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		req.AddCookie(&http.Cookie{Name: "yarrow-session-" + slug, Value: token})
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.r.ServeHTTP(w, req)
	return w
}

// looks are the accesses on record for a patient.
func (h *house) looks(patient string) []audit.Entry {
	h.t.Helper()
	list, err := h.log.Find(context.Background(), auth.SystemScope(h.id, "test"), audit.Filter{Patient: patient})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *house) rooms() {
	h.r.Page("/{practice}/chart/{id}", auth.ChartRead, func(w *Reply, q *Request) error {
		w.See(audit.Event{Action: audit.ActionRead, Type: "Patient", ID: q.Path("id"), Patient: "Patient/" + q.Path("id")})
		w.Text(http.StatusOK, "Okafor-Reyes, allergic to penicillin. "+strings.Repeat("More of the chart. ", 100))
		return nil
	})
	h.r.Page("/{practice}/broken", auth.ChartRead, func(w *Reply, q *Request) error { panic("a secret of Okafor-Reyes") })
	h.r.Page("/{practice}/missing", auth.ChartRead, func(w *Reply, q *Request) error {
		w.See(audit.Event{Action: audit.ActionRead, Patient: "Patient/none"})
		return fhir.Problem("not-found", "There is no such note.", "Reload the chart.").Because(fmt.Errorf("a secret of Okafor-Reyes"))
	})
	h.r.Act("/{practice}/write", auth.ChartWrite, func(w *Reply, q *Request) error {
		w.Text(http.StatusOK, "written "+q.Form("a"))
		return nil
	})
}

func TestWhoGetsWhat(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d, Options{Demo: true})
		h.rooms()
		big := url.Values{"a": {strings.Repeat("x", bodyLimit)}}
		for _, c := range []struct {
			name, method, path, token string
			form                      url.Values
			header                    []string
			status                    int
			says, never               string
			to                        string // Location or HX-Redirect
		}{
			{name: "chart", method: "GET", path: "/alder/chart/p1", token: h.doctor, status: 200, says: "penicillin"},
			{name: "not signed in", method: "GET", path: "/alder/chart/p1", status: 303, never: "penicillin", to: "/alder/sign-in?to=%2Falder%2Fchart%2Fp1"},
			{name: "not signed in, fragment", method: "GET", path: "/alder/chart/p1", header: []string{"HX-Request", "true"}, status: 401, never: "penicillin", to: "/alder/sign-in"},
			{name: "not signed in, script", method: "POST", path: "/alder/stay", header: []string{"X-Yarrow", "1"}, form: url.Values{}, status: 401, says: "session has ended"},
			{name: "a made-up session", method: "GET", path: "/alder/chart/p1", token: "made-up", status: 303, never: "penicillin"},
			{name: "a role without the permission", method: "GET", path: "/alder/chart/p1", token: h.desk, status: 403, says: "closed to your role", never: "penicillin"},
			{name: "another practice", method: "GET", path: "/birch/chart/p1", token: h.doctor, status: 404, says: "no such practice", never: "penicillin"},
			{name: "no such page", method: "GET", path: "/alder/nowhere/at/all", token: h.doctor, status: 404, says: "no such page"},
			{name: "wrong method", method: "GET", path: "/alder/write", token: h.doctor, status: 404},
			{name: "panic", method: "GET", path: "/alder/broken", token: h.doctor, status: 500, says: "failed on our side", never: "Okafor"},
			{name: "issue", method: "GET", path: "/alder/missing", token: h.doctor, status: 404, says: "Reload the chart", never: "Okafor"},
			{name: "issue in a fragment", method: "GET", path: "/alder/missing", token: h.doctor, header: []string{"HX-Request", "true"}, status: 404, says: "Reload the chart", never: "<html"},
			{name: "write", method: "POST", path: "/alder/write", token: h.doctor, form: url.Values{"a": {"b"}}, status: 200, says: "written b"},
			{name: "write from our own page", method: "POST", path: "/alder/write", token: h.doctor, form: url.Values{"a": {"b"}}, header: []string{"Sec-Fetch-Site", "same-origin"}, status: 200},
			{name: "write from another site", method: "POST", path: "/alder/write", token: h.doctor, form: url.Values{"a": {"b"}}, header: []string{"Sec-Fetch-Site", "cross-site"}, status: 403, says: "another site", never: "written"},
			{name: "write from another site, old browser", method: "POST", path: "/alder/write", token: h.doctor, form: url.Values{"a": {"b"}}, header: []string{"Origin", "https://evil.example"}, status: 403, never: "written"},
			{name: "too much", method: "POST", path: "/alder/write", token: h.doctor, form: big, status: 413, says: "too large", never: "written"},
			{name: "Spanish", method: "GET", path: "/alder/nowhere", header: []string{"Accept-Language", "es-MX,es;q=0.9"}, status: 404, says: "Esta página no existe"},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := h.do(c.method, c.path, c.token, c.form, c.header...)
				body := w.Body.String()
				if w.Code != c.status {
					t.Errorf("status %d, want %d: %.300s", w.Code, c.status, body)
				}
				if !strings.Contains(body, c.says) {
					t.Errorf("does not say %q: %.400s", c.says, body)
				}
				if c.never != "" && strings.Contains(body, c.never) {
					t.Errorf("says %q", c.never)
				}
				if to := w.Header().Get("Location") + w.Header().Get("HX-Redirect"); c.to != "" && to != c.to {
					t.Errorf("sends to %q, want %q", to, c.to)
				}
				for k, v := range map[string]string{"Content-Security-Policy": Policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
					"Cache-Control": "no-store", "X-Frame-Options": "DENY"} {
					if got := w.Header().Get(k); got != v {
						t.Errorf("%s: %q", k, got)
					}
				}
				if len(w.Header().Get("X-Request-Id")) != 16 {
					t.Errorf("request id %q", w.Header().Get("X-Request-Id"))
				}
			})
		}
		if n := len(h.looks("Patient/p1")); n != 1 {
			t.Errorf("%d looks at p1 on record, want the one that was shown", n)
		}
		if n := len(h.looks("Patient/none")); n != 0 {
			t.Errorf("%d looks on record at what was not shown", n)
		}
	})
}

func TestNothingIsShownThatCannotBeRecorded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d, Options{})
		h.rooms()
		if w := h.do("GET", "/alder/chart/p1", h.doctor, nil); w.Code != 200 {
			t.Fatal(w.Code)
		}
		if err := d.Close(); err != nil { // session and practice are still in memory, the record is gone
			t.Fatal(err)
		}
		w := h.do("GET", "/alder/chart/p1", h.doctor, nil)
		if body := w.Body.String(); w.Code != http.StatusServiceUnavailable || strings.Contains(body, "penicillin") || !strings.Contains(body, "cannot be written") {
			t.Errorf("%d %.300s", w.Code, body)
		}
	})
}

func TestLockedSession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d, Options{})
		h.rooms()
		d.Clock.Advance(16 * time.Minute)
		w := h.do("GET", "/alder/chart/p1", h.doctor, nil)
		if to := w.Header().Get("Location"); to != "/alder/unlock?to=%2Falder%2Fchart%2Fp1" {
			t.Errorf("idle: %d to %q", w.Code, to)
		}
		if w := h.do("POST", "/alder/lock", h.desk, url.Values{}); w.Header().Get("Location") != "/alder/unlock" {
			t.Errorf("lock: %d %v", w.Code, w.Header())
		}
		if w := h.do("GET", "/alder/find", h.desk, nil, "HX-Request", "true"); w.Code != 401 || w.Header().Get("HX-Redirect") != "/alder/unlock" {
			t.Errorf("fragment of a locked session: %d %v", w.Code, w.Header())
		}
	})
}

func TestFormsTakeEffectOnce(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d, Options{})
	var n atomic.Int64
	gate := make(chan struct{})
	h.r.Act("/{practice}/count", auth.ChartWrite, func(w *Reply, q *Request) error {
		<-gate
		if q.Form("bad") != "" {
			return fhir.Problem("value", "This is wrong.", "Put it right.")
		}
		w.See(audit.Event{Action: audit.ActionUpdate, Patient: "Patient/p9"})
		w.Toast("Counted.", "")
		w.Redirect(fmt.Sprintf("/alder/counted/%d", n.Add(1)))
		return nil
	})
	var wg sync.WaitGroup
	seen := make([]string, 8)
	for i := range seen {
		wg.Go(func() {
			w := h.do("POST", "/alder/count", h.doctor, url.Values{"once": {"k1"}, "a": {"1"}})
			seen[i] = w.Header().Get("Location") + w.Header().Get("Set-Cookie")[:12]
		})
	}
	close(gate)
	wg.Wait()
	for _, s := range seen {
		if s != seen[0] {
			t.Errorf("answers differ: %q and %q", s, seen[0])
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d effects", n.Load())
	}
	for _, c := range []struct {
		name, token string
		form        url.Values
		want        int64
	}{
		{"other content", h.doctor, url.Values{"once": {"k1"}, "a": {"2"}}, 2},
		{"other key", h.doctor, url.Values{"once": {"k2"}, "a": {"1"}}, 3},
		{"no key", h.doctor, url.Values{"a": {"1"}}, 4},
		{"refused", h.doctor, url.Values{"once": {"k3"}, "bad": {"1"}}, 4},
		{"refused again, not remembered", h.doctor, url.Values{"once": {"k3"}, "bad": {"1"}}, 4},
		{"may not", h.desk, url.Values{"once": {"k1"}, "a": {"1"}}, 4},
	} {
		h.do("POST", "/alder/count", c.token, c.form)
		if n.Load() != c.want {
			t.Errorf("%s: %d effects, want %d", c.name, n.Load(), c.want)
		}
	}
	if len(h.r.once.by) != 3 {
		t.Errorf("%d answers remembered", len(h.r.once.by))
	}
}

func TestCompressedPages(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d, Options{})
	h.rooms()
	w := h.do("GET", "/alder/chart/p1", h.doctor, nil, "Accept-Encoding", "gzip, br")
	if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Fatal(w.Header())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(z); !strings.Contains(string(b), "penicillin") {
		t.Errorf("%.100s", b)
	}
}

func TestCookies(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	for _, secure := range []bool{false, true} {
		name := "yarrow-session-alder="
		h := &house{r: NewRouter(nil, nil, Options{Secure: secure, Clock: d.Clock})}
		w := &Reply{r: h.r, q: &Request{router: h.r, slug: slug}, header: http.Header{}}
		w.Begin("token")
		if secure {
			name = "__Host-" + name
		}
		c := w.header.Get("Set-Cookie")
		for _, must := range []string{name, "Path=/", "HttpOnly", "SameSite=Lax"} {
			if !strings.Contains(c, must) {
				t.Errorf("%q lacks %q", c, must)
			}
		}
		if strings.Contains(c, "Secure") != secure {
			t.Errorf("%q", c)
		}
	}
}
