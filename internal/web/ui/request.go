package ui

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

// Request is what a handler learns of a request: who asks, in which practice, and what was sent.
type Request struct {
	ID       string // to be quoted when something fails
	Staff    auth.Staff
	State    auth.SessionState
	Practice auth.Practice

	hr         *http.Request
	router     *Router
	slug       string
	route      string
	permission auth.Permission
	locale     string
	zone       *time.Location
}

func (r *Router) request(hr *http.Request) *Request {
	first, _, _ := strings.Cut(strings.TrimPrefix(hr.URL.Path, "/"), "/")
	q := &Request{ID: requestID(), hr: hr, router: r, slug: strings.ToLower(first)}
	q.locale = r.words.pick(q.cookie("lang"), hr.Header.Get("Accept-Language"))
	return q
}

// Context ends when the browser has gone.
func (q *Request) Context() context.Context { return q.hr.Context() }

// Path gives a part of the address by its name in the pattern.
func (q *Request) Path(name string) string { return q.hr.PathValue(name) }

// Query gives a value after the question mark. Such values hold no patient data: dates, tabs, opaque ids.
func (q *Request) Query(name string) string { return q.hr.URL.Query().Get(name) }

// Queries gives all values of a name after the question mark.
func (q *Request) Queries(name string) []string { return q.hr.URL.Query()[name] }

// Form gives a field that was sent, without spaces around it.
func (q *Request) Form(name string) string { return strings.TrimSpace(q.hr.PostFormValue(name)) }

// Raw gives a field as it was typed.
func (q *Request) Raw(name string) string { return q.hr.PostFormValue(name) }

// Forms gives all values of a field.
func (q *Request) Forms(name string) []string {
	q.hr.PostFormValue(name)
	return q.hr.PostForm[name]
}

// Fields gives everything that was sent, so that a form that is refused can be shown again as it was filled in.
func (q *Request) Fields() url.Values {
	q.hr.PostFormValue("")
	return q.hr.PostForm
}

// Sent gives the parameters of a request as other programs make them: those of the address, or, of a form, those in its body alone.
func (q *Request) Sent() url.Values {
	if q.hr.Method == http.MethodPost {
		return q.Fields()
	}
	return q.hr.URL.Query()
}

// readForm reads what was sent, once, so that a body that is too large is refused instead of looking like an empty form.
func (q *Request) readForm() *fhir.Issue {
	if q.hr.Method != http.MethodPost || !strings.HasPrefix(q.hr.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil
	}
	if err := q.hr.ParseForm(); err != nil {
		return fhir.Problem("too-long", q.T("error.large"), q.T("error.large.fix")).Because(err)
	}
	return nil
}

// HTTP gives the request itself to code that speaks another protocol (passkeys). It carries no more rights than q.
func (q *Request) HTTP() *http.Request { return q.hr }

// Fragment says that htmx asks for a part of a page.
func (q *Request) Fragment() bool { return q.hr.Header.Get("HX-Request") == "true" }

// Slug is the practice's name in addresses.
func (q *Request) Slug() string { return q.slug }

// URL builds an address inside the practice: URL("patients", id).
func (q *Request) URL(parts ...string) string {
	b := strings.Builder{}
	if q.slug != "" {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(q.slug)) // as it was asked for: whether there is such a practice is found out later
	}
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// Can says whether the person may do something; screens leave out what would be refused.
func (q *Request) Can(p auth.Permission) bool { return q.Staff.Can(p) }

// Now is the time, in the practice's zone.
func (q *Request) Now() time.Time { return q.router.o.Clock.Now().In(q.Zone()) }

// Zone is the practice's time zone.
func (q *Request) Zone() *time.Location {
	if q.zone == nil {
		q.zone = time.Local
		if f := q.router.o.Zone; f != nil && q.Staff.Valid() {
			q.zone = f(q.Context(), q.Staff)
		}
	}
	return q.zone
}

// Remote is the address the request came from.
func (q *Request) Remote() string { return remote(q.hr) }

// UserAgent is what the browser calls itself.
func (q *Request) UserAgent() string { return q.hr.UserAgent() }

// Demo says that this is a demonstration.
func (q *Request) Demo() bool { return q.router.o.Demo }

func (q *Request) cookie(name string) string {
	c, err := q.hr.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Cookie gives a cookie that Reply.SetCookie set for this practice.
func (q *Request) Cookie(name string) string { return q.cookie(q.router.cookieName(name, q.slug)) }

// cookieName keeps practices apart in one browser, since a path is no wall between cookies.
func (r *Router) cookieName(name, slug string) string {
	n := "yarrow-" + name + "-" + slug
	if r.o.Secure {
		return "__Host-" + n
	}
	return n
}

func (r *Router) token(q *Request) string { return q.Cookie("session") }

// Token is the session's token, for signing out and unlocking.
func (q *Request) Token() string { return q.router.token(q) }
