package ui

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

// signIn sends somebody without a session to the sign-in page. Where they wanted to go is kept only for a page inside the
// practice, and holds opaque ids at most.
func (r *Router) signIn(w *Reply, q *Request) {
	to := q.URL("sign-in")
	if q.hr.Method == http.MethodGet && !q.Fragment() && strings.HasPrefix(q.hr.URL.Path, "/"+q.slug+"/") {
		to += "?to=" + url.QueryEscape(q.hr.URL.Path)
	}
	r.away(w, q, to)
}

// away sends the browser on, also out of a fragment or a script, which get status 401.
func (r *Router) away(w *Reply, q *Request, to string) {
	switch {
	case q.hr.Header.Get("X-Yarrow") != "": // asked by a script of a page that is still open
		w.Text(http.StatusUnauthorized, q.T("session.ended"))
	case q.Fragment():
		w.Redirect(to)
		w.status = http.StatusUnauthorized
	default:
		w.Redirect(to)
	}
	w.send(nil)
}

// locked shows who is signed in and nothing else, until they prove to be themselves again.
func (r *Router) locked(w *Reply, q *Request, s auth.SessionState) {
	to := q.URL("unlock")
	if q.hr.Method == http.MethodGet && !q.Fragment() {
		to += "?to=" + url.QueryEscape(q.hr.URL.Path)
	}
	r.away(w, q, to)
}

// denied names what is closed and why, and the way on. The attempt is on record.
func (r *Router) denied(w *Reply, q *Request, p auth.Permission) {
	i := fhir.Problem("forbidden", q.T("error.denied"), q.T("error.denied.fix"))
	w.Problem(http.StatusForbidden, i)
	w.See(audit.Event{Action: audit.ActionRead, Outcome: audit.OutcomeRefused, Detail: string(p)})
	w.send(nil)
}

// Back gives where a person wanted to go before they were asked to sign in: a page of this practice, or its first one.
func (q *Request) Back(to string) string {
	if u, err := url.Parse(to); err == nil && u.Host == "" && u.Scheme == "" && strings.HasPrefix(u.Path, "/"+q.slug+"/") && !strings.HasPrefix(to, "//") && !strings.Contains(to, `\`) && path.Clean(u.Path) == u.Path {
		return u.Path
	}
	return q.URL("schedule")
}

// Begin sets the cookie of a new session.
func (w *Reply) Begin(token string) { w.SetCookie("session", token, 0) }

// End removes it, and whatever the browser may have kept.
func (w *Reply) End() {
	w.SetCookie("session", "", -1)
	w.SetCookie("open", "", -1)
	w.header.Set("Clear-Site-Data", `"cache", "storage"`)
}

// switchTheme goes round light, dark and what the system says.
func (r *Router) switchTheme(w *Reply, q *Request) error {
	next := map[string]string{"": "dark", "dark": "light", "light": ""}[q.cookie("theme")]
	if t := q.Form("theme"); t == "dark" || t == "light" || t == "system" {
		next = strings.TrimPrefix(t, "system")
	}
	r.plainCookie(w, "theme", next)
	w.Redirect(q.from())
	return nil
}

// switchDensity goes round the heights of rows: as the table is made, compact, comfortable.
func (r *Router) switchDensity(w *Reply, q *Request) error {
	next := map[string]string{"": "compact", "compact": "comfortable", "comfortable": ""}[q.density()]
	if d := q.Form("density"); d == "default" || d == "compact" || d == "comfortable" {
		next = strings.TrimPrefix(d, "default")
	}
	r.plainCookie(w, "density", next)
	w.Redirect(q.from())
	return nil
}

// switchKeys turns single-letter keys off and on again (WCAG 2.1.4): somebody who dictates may trigger them by speaking.
func (r *Router) switchKeys(w *Reply, q *Request) error {
	next := "off"
	if q.keysOff() {
		next = ""
	}
	r.plainCookie(w, "keys", next)
	w.Redirect(q.URL("keys"))
	return nil
}

// lock hides everything until the person proves again that it is them. What they had begun to write is kept.
func (r *Router) lock(w *Reply, q *Request) error {
	if err := r.auth.Lock(q.Context(), q.slug, q.Token()); err != nil && !signedOut(err) {
		return err
	}
	w.Redirect(q.URL("unlock"))
	return nil
}

func (r *Router) switchLanguage(w *Reply, q *Request) error {
	if l := q.Form("language"); r.words.by[l] != nil {
		r.plainCookie(w, "lang", l)
	}
	w.Redirect(q.from())
	return nil
}

// plainCookie keeps a preference that says nothing about anybody, for all practices of the browser.
func (r *Router) plainCookie(w *Reply, name, value string) {
	age := 365 * 24 * 3600
	if value == "" {
		age = -1
	}
	http.SetCookie(cookieJar{w.header}, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.o.Secure, SameSite: http.SameSiteLaxMode})
}

// from is the page a form was sent from, if it is one of this practice.
func (q *Request) from() string { return q.Back(q.Form("from")) }

// Here is the address of the page, without its query. It is always one of this server: "//example.org" and "/\example.org", which
// browsers take for other hosts, are written so that they are not.
func (q *Request) Here() string {
	return "/" + strings.TrimLeft((&url.URL{Path: path.Clean("/" + q.hr.URL.Path)}).EscapedPath(), "/")
}

func (r *Router) gallery(w *Reply, q *Request) error {
	if !r.o.Demo {
		return fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix"))
	}
	return w.HTML(http.StatusOK, Gallery(q))
}
