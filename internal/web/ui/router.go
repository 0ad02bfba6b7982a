// Package ui is how screens are made: the router that turns a session into a scope, the reply that makes an access durable before
// its first byte, the shell around every page, components, words in two languages, dates, pictures drawn by the server, and the
// assets. It knows nothing of patients; a page of web/desk or web/chart fills it.
//
// Handlers never see a bare request: they get a Request that carries who is asking and in which practice.
package ui

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// Options say how the screens are served.
type Options struct {
	Demo   bool // marks every page as a demonstration and offers its people for sign-in
	Secure bool // behind TLS: cookies are __Host- and never sent in clear
	Clock  *clock.Clock
	Zone   func(ctx context.Context, s auth.Staff) *time.Location // the practice's own clock; nil: this machine's
	Log    *slog.Logger
	Live   func(ctx context.Context, s auth.Staff, after int64) (Stream, error) // the feed of the outbox; nil switches live updates off
	// Banners gives what must be seen on every page of somebody who is signed in; nil: nothing.
	Banners func(ctx context.Context, q *Request) ([]Banner, error)
	// Find answers what is typed into the palette, beside the commands: patients, mostly.
	Find func(ctx context.Context, q *Request, text string) ([]Found, error)
	// Answered looks up how a form was answered when its change was stored (jobs.Queue.Answered); see Reply.Once. Without it a
	// repeat of a form is known only to the process that took the first.
	Answered func(ctx context.Context, s db.Scope, k jobs.Key, late bool) (*jobs.Reply, error)
}

// Router serves the screens of all practices. Register routes before it serves.
type Router struct {
	auth   *auth.Auth
	audit  *audit.Log
	o      Options
	mux    *http.ServeMux
	cross  *http.CrossOriginProtection
	across map[string]bool // routes that other origins may post to
	routes []Route
	words  *Words

	sayings map[string]sayings
	assets  *Assets
	cmds    []Command
	once    *once
}

// bodyLimit is the most that a form may send, in bytes.
const bodyLimit = 2 << 20

// Route is one line of the route table, which a golden file shows to reviewers.
type Route struct {
	Method, Pattern string
	Permission      auth.Permission // empty: anybody, signed in or not
}

// NewRouter gives a router with its own routes: assets, palette, live updates, theme, keeping a session awake.
func NewRouter(a *auth.Auth, l *audit.Log, o Options) *Router {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	r := &Router{auth: a, audit: l, o: o, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(), across: map[string]bool{}, words: loadWords(), sayings: map[string]sayings{"es": loadSayings("es")}, assets: loadAssets(), once: newOnce(o.Clock)}
	r.mux.Handle("GET /-/assets/{name}", r.assets)
	r.Open("POST", "/{practice}/theme", r.switchTheme)
	r.Open("POST", "/{practice}/language", r.switchLanguage)
	r.Open("POST", "/{practice}/density", r.switchDensity)
	r.Open("POST", "/{practice}/keys", r.switchKeys)
	r.Open("POST", "/{practice}/lock", r.lock)
	r.Act("/{practice}/stay", auth.AccountSecurity, func(w *Reply, q *Request) error { w.Text(http.StatusOK, "ok"); return nil })
	r.Act("/{practice}/find", auth.AccountSecurity, r.find)
	r.Page("/{practice}/find", auth.AccountSecurity, r.findPage)
	r.Page("/{practice}/keys", auth.AccountSecurity, r.keysPage)
	r.Page("/{practice}/practice", auth.AccountSecurity, r.officePage)
	r.Page("/{practice}/components", auth.AccountSecurity, r.gallery)
	r.liveRoute()
	r.AddCommands(
		Command{ID: "lock", Title: "cmd.lock", Keys: "G L", Permission: auth.AccountSecurity, Group: GroupSettings, Icon: "lock", Path: "/lock", Post: true},
		Command{ID: "keys", Title: "cmd.keys", Keys: "?", Permission: auth.AccountSecurity, Group: GroupSettings, Icon: "list-checks", Path: "/keys"},
		Command{ID: "practice", Title: "cmd.practice", Keys: "G O", Permission: auth.AccountSecurity, Group: GroupSettings, Icon: "building-2", Path: "/practice"},
		Command{ID: "palette", Title: "cmd.palette", Keys: "Ctrl K", Permission: auth.AccountSecurity, Group: GroupSettings, Icon: "search", Hidden: true},
	)
	return r
}

// Routes is the route table, sorted.
func (r *Router) Routes() []Route {
	out := slices.Clone(r.routes)
	slices.SortFunc(out, func(a, b Route) int {
		return strings.Compare(a.Pattern+" "+a.Method, b.Pattern+" "+b.Method)
	})
	return out
}

// Handler answers a request of somebody who is signed in.
type Handler func(w *Reply, q *Request) error

// Page registers a screen or fragment that is read. Pattern begins with "/{practice}".
func (r *Router) Page(pattern string, p auth.Permission, h Handler) { r.handle("GET", pattern, p, h) }

// Act registers something that changes. Requests from other sites are refused.
func (r *Router) Act(pattern string, p auth.Permission, h Handler) { r.handle("POST", pattern, p, h) }

func (r *Router) handle(method, pattern string, p auth.Permission, h Handler) {
	if p == "" {
		panic("ui: " + pattern + " names no permission")
	}
	r.register(method, pattern, p, func(w *Reply, q *Request) {
		token := r.token(q)
		staff, state, err := r.auth.Resume(q.Context(), q.slug, token)
		switch {
		case state.Locked: // also when putting the lock on record failed
			r.locked(w, q, state)
			return
		case signedOut(err):
			r.signIn(w, q)
			return
		case err != nil:
			r.finish(w, q, err)
			return
		}
		q.Staff, q.State = staff.ForRequest(q.ID).From(q.Remote()), state
		if l := staff.Locale(); l != "" && q.cookie("lang") == "" {
			q.locale = l
		}
		if state.MustEnrol && p != auth.AccountSecurity {
			w.Redirect(q.URL("account", "security"))
			w.send(nil)
			return
		}
		if !staff.Can(p) {
			r.denied(w, q, p)
			return
		}
		q.permission = p
		if method == http.MethodPost && q.Form(onceField) != "" {
			r.once.do(w, onceKey(q), func() { r.carryOut(w, q, h) })
			return
		}
		r.finish(w, q, h(w, q))
	})
}

// signedOut says that a session token opens nothing, which is for the person to mend; any other failure is ours.
func signedOut(err error) bool {
	var i *fhir.Issue
	return errors.As(err, &i) && i.Code == "login"
}

// Open registers a page for people who are not signed in (or may not be). The handler's Request carries no scope.
func (r *Router) Open(method, pattern string, h Handler) {
	r.register(method, pattern, "", func(w *Reply, q *Request) { r.finish(w, q, h(w, q)) })
}

// Public registers a page that everybody may read and that shows more to somebody who is signed in: their Request carries a scope when
// their session stands and they may p, anybody else's carries none.
func (r *Router) Public(pattern string, p auth.Permission, h Handler) {
	if p == "" {
		panic("ui: " + pattern + " names no permission")
	}
	r.register("GET", pattern, "", func(w *Reply, q *Request) {
		staff, state, err := r.auth.Resume(q.Context(), q.slug, r.token(q))
		if err != nil && !signedOut(err) && !state.Locked {
			r.finish(w, q, err)
			return
		}
		if err == nil && !state.Locked && !state.MustEnrol && staff.Can(p) {
			q.Staff, q.State, q.permission = staff.ForRequest(q.ID).From(q.Remote()), state, p
			if l := staff.Locale(); l != "" && q.cookie("lang") == "" {
				q.locale = l
			}
		}
		r.finish(w, q, h(w, q))
	})
}

// OpenAcross is Open for the one form that pages of other origins may send here: a program's request for authorization, which
// changes nothing by itself and is sent without our cookies.
func (r *Router) OpenAcross(method, pattern string, h Handler) {
	r.across[method+" "+pattern] = true
	r.Open(method, pattern, h)
}

func (r *Router) register(method, pattern string, p auth.Permission, serve func(w *Reply, q *Request)) {
	r.routes = append(r.routes, Route{method, pattern, p})
	full := method + " " + pattern
	r.mux.HandleFunc(full, func(hw http.ResponseWriter, hr *http.Request) {
		q := r.request(hr)
		q.route = full
		w := &Reply{r: r, hw: hw, q: q, header: http.Header{}}
		if err := r.cross.Check(hr); err != nil && !r.across[full] {
			w.Problem(http.StatusForbidden, fhir.Problem("forbidden", q.T("error.cross"), q.T("error.cross.fix")))
			w.send(nil)
			return
		}
		hr.Body = http.MaxBytesReader(hw, hr.Body, bodyLimit)
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				// What was thrown may hold what a patient said; the runtime's own words and the way there do not.
				what := fmt.Sprintf("%T", v)
				if e, ok := v.(runtime.Error); ok {
					what = e.Error()
				}
				r.o.Log.Error("a page failed", "request", q.ID, "route", full, "panic", what, "stack", string(debug.Stack()))
				w = &Reply{r: r, hw: hw, q: q, header: http.Header{}}
				w.Problem(http.StatusInternalServerError, fhir.Problem("exception", q.T("error.broken"), q.T("error.broken.fix", q.ID)))
				w.send(nil)
			}
		}()
		practice, err := r.auth.PracticeBySlug(hr.Context(), q.slug)
		if auth.NoPractice(err) {
			w.Problem(http.StatusNotFound, fhir.Problem("not-found", q.T("error.practice"), q.T("error.practice.fix")))
			w.send(nil)
			return
		}
		if err != nil {
			r.o.Log.Error("the practices cannot be read", "request", q.ID, "error", err.Error())
			w.Problem(http.StatusServiceUnavailable, fhir.Problem("transient", q.T("error.broken"), q.T("error.broken.fix", q.ID)))
			w.send(nil)
			return
		}
		q.Practice = practice
		if i := q.readForm(); i != nil {
			w.Problem(http.StatusRequestEntityTooLarge, i)
			w.send(nil)
			return
		}
		serve(w, q)
	})
}

// finish sends what the handler made, after the access is on record.
func (r *Router) finish(w *Reply, q *Request, err error) {
	if w.hijacked {
		return
	}
	w.send(err)
}

// ServeHTTP serves a screen. Anything that is not a route gets a page that says so.
func (r *Router) ServeHTTP(hw http.ResponseWriter, hr *http.Request) {
	if _, pattern := r.mux.Handler(hr); pattern == "" {
		q := r.request(hr)
		w := &Reply{r: r, hw: hw, q: q, header: http.Header{}}
		if hr.URL.Path == "/" || strings.Trim(hr.URL.Path, "/") == q.slug {
			if p, err := r.auth.PracticeBySlug(hr.Context(), q.slug); err == nil {
				w.Redirect("/" + p.Slug + "/schedule")
				w.send(nil)
				return
			}
			if all, err := r.auth.Practices(hr.Context()); err == nil && len(all) == 1 {
				w.Redirect("/" + all[0].Slug + "/schedule")
				w.send(nil)
				return
			}
		}
		w.Problem(http.StatusNotFound, fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix")))
		w.send(nil)
		return
	}
	r.mux.ServeHTTP(hw, hr)
}

func requestID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// remote is the caller's address without its port.
func remote(hr *http.Request) string {
	if host, _, err := net.SplitHostPort(hr.RemoteAddr); err == nil {
		return host
	}
	return hr.RemoteAddr
}
