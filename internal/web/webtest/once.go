// Package webtest is what tests of screens share. It is never part of the program.
package webtest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Keyed gives a form the key that every form of the screens carries.
func Keyed(method string, form url.Values) url.Values {
	if method == http.MethodPost && form != nil && form.Get("once") == "" {
		form = maps.Clone(form)
		form.Set("once", rand.Text())
	}
	return form
}

// Twice sends a request. When it was a form that was carried out, its repeat goes to twin, which shares only the stored data with
// first: it must give the same answer. form is the request's body.
func Twice(t testing.TB, first, twin http.Handler, r *http.Request, form url.Values) *http.Response {
	t.Helper()
	repeat := httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(form.Encode()))
	repeat.Header = r.Header.Clone()
	w := httptest.NewRecorder()
	first.ServeHTTP(w, r)
	out := w.Result()
	if r.Method != http.MethodPost || form.Get("once") == "" || answer(out) == "" || ends(out) {
		return out
	}
	again := httptest.NewRecorder()
	twin.ServeHTTP(again, repeat)
	if a, b := answer(out), answer(again.Result()); a != b {
		t.Errorf("%s %s: a repeat after a restart was answered %d %q, not %d %q: %.300s", r.Method, r.URL.Path, again.Code, b, w.Code, a, again.Body)
	}
	return out
}

// answer is where a form leads and what it says there.
func answer(r *http.Response) string {
	to := r.Header.Get("Location") + r.Header.Get("HX-Redirect")
	for _, c := range r.Cookies() {
		if to != "" && strings.HasPrefix(strings.TrimPrefix(c.Name, "__Host-"), "yarrow-toast-") {
			to += " " + c.Value
		}
	}
	return to
}

// ends says that the answer ends or begins the session that a repeat would need.
func ends(r *http.Response) bool {
	for _, c := range r.Cookies() {
		if strings.Contains(c.Name, "yarrow-session-") {
			return true
		}
	}
	return false
}
