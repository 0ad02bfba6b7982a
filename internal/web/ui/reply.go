package ui

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// Reply collects an answer. Nothing leaves before the accesses that See collected are durable; if they cannot be written,
// nothing of the answer is shown.
type Reply struct {
	r        *Router
	hw       http.ResponseWriter
	q        *Request
	status   int
	header   http.Header
	body     bytes.Buffer
	seen     []audit.Event
	toast    *toast
	once     *jobs.Once
	page     bool // the body is a whole page
	hijacked bool
	sent     bool // the answer is the handler's own and has left
}

// Policy is the content security policy of every page: nothing but what this server serves, no inline anything.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"

// See notes an access, to be on record before the answer leaves.
func (w *Reply) See(e ...audit.Event) { w.seen = append(w.seen, e...) }

// HTML answers with a page or a fragment.
func (w *Reply) HTML(status int, c templ.Component) error {
	w.body.Reset()
	w.status = status
	w.header.Set("Content-Type", "text/html; charset=utf-8")
	w.page = !w.q.Fragment()
	if err := c.Render(w.q.Context(), &w.body); err != nil {
		return err
	}
	if t := w.toast; t != nil && !w.page {
		w.toast = nil
		return freshToast(w.q, t.words, t.undo).Render(w.q.Context(), &w.body)
	}
	return nil
}

// Text answers with a few plain words.
func (w *Reply) Text(status int, words string) {
	w.body.Reset()
	w.status = status
	w.header.Set("Content-Type", "text/plain; charset=utf-8")
	w.body.WriteString(words)
}

// Bytes answers with something else, such as a picture.
func (w *Reply) Bytes(status int, mediaType string, b []byte) {
	w.body.Reset()
	w.status = status
	w.header.Set("Content-Type", mediaType)
	w.body.Write(b)
}

// Redirect sends the browser on, also out of a fragment.
func (w *Reply) Redirect(to string) {
	w.body.Reset()
	if w.q.Fragment() {
		w.status = http.StatusNoContent
		w.header.Set("HX-Redirect", to)
		return
	}
	w.status = http.StatusSeeOther
	w.header.Set("Location", to)
}

// Toast shows words at the bottom of the page that comes next, or with a fragment when it is called before HTML; undo, when not
// empty, is an address to post to. The words name no patient: they wait in a cookie for the next page.
func (w *Reply) Toast(words, undo string) {
	w.toast = &toast{words, undo}
}

type toast struct{ words, undo string }

// keepToast leaves the toast for the next page, and clears one that this page has shown.
func (w *Reply) keepToast() {
	switch {
	case w.toast != nil:
		w.SetCookie("toast", url.QueryEscape(w.toast.words)+"|"+url.QueryEscape(w.toast.undo), 60)
	case w.page && w.q.Cookie("toast") != "":
		w.SetCookie("toast", "", -1)
	}
}

// Header sets a header of the answer.
func (w *Reply) Header(name, value string) { w.header.Set(name, value) }

// SetCookie sets a cookie of this practice for so many seconds (0: while the browser is open; negative: removes it).
func (w *Reply) SetCookie(name, value string, seconds int) {
	http.SetCookie(cookieJar{w.header}, &http.Cookie{Name: w.r.cookieName(name, w.q.slug), Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, Secure: w.r.o.Secure, SameSite: http.SameSiteLaxMode})
}

type cookieJar struct{ h http.Header }

func (c cookieJar) Header() http.Header       { return c.h }
func (c cookieJar) Write([]byte) (int, error) { return 0, nil }
func (c cookieJar) WriteHeader(int)           {}

// Problem answers with a page, or a panel inside the page, that says what is wrong and what to do.
func (w *Reply) Problem(status int, i *fhir.Issue) {
	w.seen = nil
	i = w.q.Issue(i)
	if w.q.Fragment() {
		_ = w.HTML(status, ProblemPanel(w.q, i, status))
		return
	}
	_ = w.HTML(status, ProblemPage(w.q, i, status))
}

// IssueOf gives the Issue inside an error, or one that says that something broke here, with the number to quote.
func (w *Reply) IssueOf(err error) *fhir.Issue {
	var one *fhir.Issue
	var many fhir.Issues
	switch {
	case errors.As(err, &one):
		if fhir.HTTPStatus(one.Code) >= 500 && one.Cause != nil {
			w.r.o.Log.Error("a page failed", "request", w.q.ID, "route", w.q.route, "code", one.Code, "error", one.Cause)
		}
		return one
	case errors.As(err, &many) && len(many) > 0:
		return &many[0]
	case errors.Is(err, context.Canceled):
		return fhir.Problem("transient", w.q.T("error.gone"), w.q.T("error.again"))
	}
	w.r.o.Log.Error("a page failed", "request", w.q.ID, "route", w.q.route, "error", err)
	return fhir.Problem("exception", w.q.T("error.broken"), w.q.T("error.broken.fix", w.q.ID))
}

// Elsewhere is what a handler returns when another page deals with why it cannot answer.
type Elsewhere struct{ Path string }

// Error says where.
func (e *Elsewhere) Error() string { return "see " + e.Path }

// send makes the accesses durable, then answers.
func (w *Reply) send(err error) {
	w.sent = err == nil
	if w.once != nil && err == nil && !w.once.Done() && w.status == 0 { // there was nothing to change
		_, _ = w.once.Reply(nil)
	}
	var to *Elsewhere
	if errors.As(err, &to) {
		w.unsay()
		w.Redirect(to.Path)
	} else if err != nil {
		w.unsay()
		i := w.IssueOf(err)
		w.Problem(fhir.HTTPStatus(i.Code), i)
	}
	if len(w.seen) > 0 {
		if err := w.r.audit.Seen(w.q.Context(), w.q.Staff, w.seen...); err != nil {
			w.r.o.Log.Error("an access could not be put on record, nothing was shown", "request", w.q.ID, "error", err)
			w.header, w.sent = http.Header{}, false
			w.Problem(http.StatusServiceUnavailable, fhir.Problem("exception", w.q.T("error.audit"), w.q.T("error.audit.fix", w.q.ID)))
		}
	}
	w.keepToast()
	h := w.hw.Header()
	for k, v := range w.header {
		h[k] = v
	}
	secure(h, w.r.o.Secure)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", w.q.ID)
	if w.status == 0 {
		w.status = http.StatusNoContent
	}
	body := w.body.Bytes()
	if len(body) > 1200 && accepts(w.q.hr.Header.Get("Accept-Encoding"), "gzip") && strings.HasPrefix(h.Get("Content-Type"), "text/") {
		z := zippers.Get().(*zipper)
		z.out.Reset()
		z.gz.Reset(&z.out)
		z.gz.Write(body)
		z.gz.Close()
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		body = bytes.Clone(z.out.Bytes())
		zippers.Put(z)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.hw.WriteHeader(w.status)
	if w.q.hr.Method != http.MethodHead {
		w.hw.Write(body)
	}
}

type zipper struct {
	out bytes.Buffer
	gz  *gzip.Writer
}

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return &zipper{gz: z}
}}

// secure sets what every answer carries.
func secure(h http.Header, tls bool) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Set("X-Frame-Options", "DENY")
	if tls {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}
