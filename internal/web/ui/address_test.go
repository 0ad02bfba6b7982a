package ui

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
)

// TestAddressesStayHere asks for pages in ways that make careless links point to other hosts.
func TestAddressesStayHere(t *testing.T) {
	h := open(t, dbtest.SQLite(t, nil), Options{})
	for _, target := range []string{"/%5Cexample.org/x", "//example.org/x", "/%2Fexample.org/x", "/%5C/example.org", "/alder/%2F%2Fexample.org", "/alder/../%5Cexample.org", "/Alder/nothing"} {
		w := httptest.NewRecorder()
		h.r.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+target, nil))
		body := w.Body.String()
		for _, bad := range []string{`="//`, `="/\`, `="/%2F`, `="http`} {
			for rest := body; ; {
				i := strings.Index(rest, bad)
				if i < 0 {
					break
				}
				if !strings.HasPrefix(rest[i:], `="http://www.w3.org/`) {
					t.Errorf("%s: a link leaves this server: %.60s", target, rest[i:])
				}
				rest = rest[i+1:]
			}
		}
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) || strings.HasPrefix(to, "http") {
			t.Errorf("%s: sent to %s", target, to)
		}
	}
}

func TestBackStaysHere(t *testing.T) {
	q := &Request{slug: "alder"}
	for to, want := range map[string]string{
		"/alder/patients/ann": "/alder/patients/ann", "/alder/patients?x=1": "/alder/patients", "": "/alder/schedule", "//example.org/alder/": "/alder/schedule",
		"https://example.org/alder/": "/alder/schedule", `/\example.org`: "/alder/schedule", `/alder/\..\x`: "/alder/schedule", "/alder/../other/x": "/alder/schedule",
		"/other/schedule": "/alder/schedule", "javascript:alert(1)": "/alder/schedule", "/alderx/y": "/alder/schedule", "/alder/%2e%2e/other": "/alder/schedule",
	} {
		if got := q.Back(to); got != want {
			t.Errorf("Back(%q) = %q, want %q", to, got, want)
		}
	}
}

// TestForeignToast plants a message whose undo leads elsewhere: it is shown as words, and its button is not.
func TestForeignToast(t *testing.T) {
	h := open(t, dbtest.SQLite(t, nil), Options{})
	h.r.Page("/{practice}/plain", auth.ScheduleRead, func(w *Reply, q *Request) error { return w.HTML(http.StatusOK, KeysPage(q, nil)) })
	for undo, kept := range map[string]bool{"/alder/x?version=3": true, "https://example.org/": false, "//example.org/": false, `/alder/\example.org`: false, "javascript:alert(1)": false, "/birch/x": false} {
		r := httptest.NewRequest("GET", "http://localhost/alder/plain", nil)
		r.AddCookie(&http.Cookie{Name: "yarrow-session-alder", Value: h.doctor})
		r.AddCookie(&http.Cookie{Name: "yarrow-toast-alder", Value: url.QueryEscape("<b>Saved</b>") + "|" + url.QueryEscape(undo)})
		w := httptest.NewRecorder()
		h.r.ServeHTTP(w, r)
		body := w.Body.String()
		if !strings.Contains(body, "&lt;b&gt;Saved") {
			t.Fatalf("no message: %d", w.Code)
		}
		if got := strings.Contains(body, `class="toast"`) && strings.Contains(body[strings.Index(body, `class="toast"`):], "<form"); got != kept {
			t.Errorf("undo to %s is offered: %v", undo, got)
		}
	}
}

// TestWhatFailedIsLoggedWithoutWords throws what a patient said: the log gets the request and the way there, not the words.
func TestWhatFailedIsLoggedWithoutWords(t *testing.T) {
	var log strings.Builder
	h := open(t, dbtest.SQLite(t, nil), Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	h.r.Page("/{practice}/throws", auth.ScheduleRead, func(w *Reply, q *Request) error { panic("Hesperia Quillfeather has a rash") })
	r := httptest.NewRequest("GET", "http://localhost/alder/throws", nil)
	r.AddCookie(&http.Cookie{Name: "yarrow-session-alder", Value: h.doctor})
	w := httptest.NewRecorder()
	h.r.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "Quillfeather") {
		t.Errorf("%d %.200s", w.Code, w.Body.String())
	}
	if strings.Contains(log.String(), "Quillfeather") || !strings.Contains(log.String(), w.Header().Get("X-Request-Id")) || !strings.Contains(log.String(), "address_test.go") {
		t.Errorf("the log says %s", log.String())
	}
}
