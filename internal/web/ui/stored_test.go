package ui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// node is one process that serves the house: it shares nothing with others but the data.
type node struct {
	*house
	crash, wait chan struct{} // crash: the process dies between the commit and the answer; wait: effects begin together
}

// join starts a node on the house's data. Its form publishes an event, which tests count.
func (h *house) join() *node {
	n := &node{house: &house{t: h.t, d: h.d, log: h.log, a: h.a, id: h.id, doctor: h.doctor, desk: h.desk}}
	q := jobs.New(h.d.DB, jobs.Options{})
	n.r = NewRouter(h.a, h.log, Options{Clock: h.d.Clock, Answered: q.Answered})
	for pattern, p := range map[string]auth.Permission{"/{practice}/add": auth.ChartWrite, "/{practice}/account/add": auth.AccountSecurity} {
		n.r.Act(pattern, p, func(w *Reply, q2 *Request) error {
			ctx := w.Once(func(made []string) {
				w.Toast("Added "+made[0]+".", "/alder/undo/"+made[0])
				w.Redirect("/alder/added/" + made[0])
			})
			if n.wait != nil {
				<-n.wait
			}
			var s db.Scope = q2.Staff
			if p == auth.AccountSecurity {
				s = auth.SystemScope(db.System, "test")
			}
			err := h.d.Do(ctx, s, func(tx *db.Tx) error {
				jobs.Made(ctx, newKey())
				if q2.Form("bad") != "" {
					return fhir.Problem("value", "This is wrong.", "Put it right.")
				}
				if p == auth.AccountSecurity {
					return nil
				}
				return q.Publish(ctx, tx, "test.Added", nil)
			})
			if n.crash != nil {
				panic(http.ErrAbortHandler)
			}
			return err
		})
	}
	return n
}

// effects counts what the forms did.
func (h *house) effects() (n int64) {
	h.t.Helper()
	err := h.d.View(h.t.Context(), h.d.Scope(h.id), func(tx *db.Tx) error {
		return tx.QueryRow(h.t.Context(), db.SQL(`SELECT count(*) FROM outbox WHERE practice_id = $1`), int64(h.id)).Scan(&n)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func replied(w *httptest.ResponseRecorder) string {
	return fmt.Sprint(w.Code, w.Header().Get("Location"), w.Header().Get("HX-Redirect"), w.Header().Values("Set-Cookie"))
}

func TestStoredAnswers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d, Options{})
		form := func(key, a string) url.Values { return url.Values{"once": {key}, "a": {a}} }

		// Refused: nothing is stored; put right under the same key, it counts.
		bad := form("k0", "1")
		bad.Set("bad", "1")
		if w := h.join().do("POST", "/alder/add", h.doctor, bad); w.Code != 422 && w.Code != 400 || w.Header().Get("Location") != "" || strings.Contains(replied(w), "Added") {
			t.Errorf("refused: %s", replied(w))
		}
		for i, path := range []string{"/alder/add", "/alder/account/add"} {
			first := h.join().do("POST", path, h.doctor, form("k0", "1"))
			if first.Code != 303 || !strings.HasPrefix(first.Header().Get("Location"), "/alder/added/") {
				t.Fatalf("%s: %s", path, replied(first))
			}
			for _, n := range []*node{h.join(), h.join()} {
				if w := n.do("POST", path, h.doctor, form("k0", "1")); replied(w) != replied(first) {
					t.Errorf("%s repeated: %s, first %s", path, replied(w), replied(first))
				}
			}
			if w := h.join().do("POST", path, h.doctor, form("k0", "1"), "HX-Request", "true"); w.Header().Get("HX-Redirect") != first.Header().Get("Location") {
				t.Errorf("%s repeated by a script: %s", path, replied(w))
			}
			other := h.join().do("POST", path, h.doctor, form("k0", "two <b>"))
			if body := other.Body.String(); other.Code != 409 || !strings.Contains(body, `value="two &lt;b&gt;"`) || strings.Contains(body, `value="k0"`) {
				t.Errorf("%s with other content: %d %s", path, other.Code, body)
			}
			if n := h.effects(); n != 1 {
				t.Errorf("round %d: %d effects", i, n)
			}
		}

		// The same key of somebody else, or for another address, is another form.
		colleague := h.person("cal", "Dr. Cal Cedar", auth.Clinician)
		h.join().do("POST", "/alder/add", colleague, form("k0", "1"))
		h.join().do("POST", "/alder/add?x=1", h.doctor, form("k0", "1"))
		if n := h.effects(); n != 3 {
			t.Errorf("%d effects of three forms", n)
		}

		// A process that dies between the commit and the answer.
		dying := h.join()
		dying.crash = make(chan struct{})
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("it lived")
				}
			}()
			dying.do("POST", "/alder/add", h.doctor, form("k9", "1"))
		}()
		w := h.join().do("POST", "/alder/add", h.doctor, form("k9", "1"))
		if w.Code != 303 || !strings.HasPrefix(w.Header().Get("Location"), "/alder/added/") || !strings.Contains(replied(w), "Added") || h.effects() != 4 {
			t.Errorf("after the crash: %s, %d effects", replied(w), h.effects())
		}
	})
}

// TestFormsRace sends one form to many nodes at the same moment.
func TestFormsRace(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d, Options{})
		wait := make(chan struct{})
		var wg sync.WaitGroup
		answers := make([]string, 6)
		for i := range answers {
			n := h.join()
			n.wait = wait
			wg.Go(func() {
				answers[i] = replied(n.do("POST", "/alder/add", h.doctor, url.Values{"once": {"k"}, "a": {"1"}}))
			})
		}
		close(wait)
		wg.Wait()
		for _, a := range answers {
			if a != answers[0] || !strings.HasPrefix(a, "303") {
				t.Errorf("%s, another got %s", a, answers[0])
			}
		}
		if n := h.effects(); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// TestTwoChangesUnderOneKey: half of a request would be stored under its key, so the second change is refused.
func TestTwoChangesUnderOneKey(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d, Options{})
	h.r.Act("/{practice}/both", auth.ChartWrite, func(w *Reply, q *Request) error {
		ctx := w.Once(func([]string) { w.Redirect("/alder/done") })
		nothing := func(*db.Tx) error { return nil }
		if err := d.Do(jobs.Apart(ctx), q.Staff, nothing); err != nil {
			return err
		}
		if err := d.Do(ctx, q.Staff, nothing); err != nil {
			return err
		}
		w.See(audit.Event{Action: audit.ActionRead, Type: "Patient", ID: "p1", Patient: "Patient/p1"}) // is no change of the form's
		return d.Do(ctx, q.Staff, nothing)
	})
	if w := h.do("POST", "/alder/both", h.doctor, url.Values{"once": {"k"}}); w.Code != 500 || w.Header().Get("Location") != "" {
		t.Errorf("%s", replied(w))
	}
}

// TestEveryFormHasAKey reads the screens' sources: a form that changes something carries a key.
func TestEveryFormHasAKey(t *testing.T) {
	// Looking, signing in and out, starting a program in a window of its own (each start is another one), and switches that are the
	// same however often they are pressed. New recovery codes and an
	// authenticator's codes are shown once and stored nowhere readable, so their answers are not kept.
	free := regexp.MustCompile(`q\.URL\("(theme|language|density|lock|sign-out|find|keys|sign-in|join|unlock|patients)"(, "demo")?\)|"audit", "patient"|role="search"|target="_blank"|c\.At\(|"account", ("totp"|"codes"|"totp", "finish"|"sessions", "end-all")\)`)
	files, err := filepath.Glob("../*/*.templ")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	n := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range regexp.MustCompile(`(?s)<form.*?</form>`).FindAllString(string(b), -1) {
			if !strings.Contains(part, `method="post"`) || free.MatchString(part) {
				continue
			}
			n++
			if !strings.Contains(part, "Once()") && !strings.Contains(part, "@hidden(") {
				t.Errorf("%s: this form has no key: %.150s", f, part)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d forms found", n)
	}
}

// TestOpenChartsAreOnesOwn: tabs name charts that this session opened, and nothing that somebody wrote into the cookie.
func TestOpenChartsAreOnesOwn(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d, Options{})
	var got []string
	h.r.Page("/{practice}/opens/{id}", auth.ChartRead, func(w *Reply, q *Request) error {
		got = w.KeepOpen(q.Path("id"))
		w.Text(200, "ok")
		return nil
	})
	h.r.Page("/{practice}/tabs", auth.ChartRead, func(w *Reply, q *Request) error {
		got = q.OpenCharts()
		w.Text(200, "ok")
		return nil
	})
	cookie := func(w *httptest.ResponseRecorder) string {
		for _, c := range w.Result().Cookies() {
			if c.Name == "yarrow-open-alder" {
				return c.Value
			}
		}
		return ""
	}
	session := "yarrow-session-alder=" + h.doctor
	kept := cookie(h.do("GET", "/alder/opens/p1", "", nil, "Cookie", session))
	kept = cookie(h.do("GET", "/alder/opens/p2", "", nil, "Cookie", session+"; yarrow-open-alder="+kept))
	again, _, err := h.a.DemoSignIn(t.Context(), h.id, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, session, cookie string
		want                  int
	}{
		{"one's own", session, kept, 2},
		{"made up", session, "1:p1.p2.p3", 0},
		{"added to", session, kept + ".p3", 0},
		{"of another session", "yarrow-session-alder=" + again, kept, 0},
		{"none", session, "", 0},
	} {
		h.do("GET", "/alder/tabs", "", nil, "Cookie", c.session+"; yarrow-open-alder="+c.cookie)
		if len(got) != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
