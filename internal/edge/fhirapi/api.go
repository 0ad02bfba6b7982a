package fhirapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/standards/fhir"
)

// Owner is the module that keeps the rules of a resource type. Every write of the type goes through it, in the caller's
// transaction, so that a Bundle stays one transaction.
type Owner = fhirstore.Owner

// Options say what the interface stands on.
type Options struct {
	DB    *db.DB
	Store *fhirstore.Store
	Audit *audit.Log
	Clock *clock.Clock
	Log   *slog.Logger
	// Practice finds a practice by its slug; an Issue of code "not-found" when there is none.
	Practice func(ctx context.Context, slug string) (auth.Practice, error)
	// Authenticate says who asks. Its error is answered with 401 (an Issue of code login, unknown or expired), or with the
	// status of the Issue's code. RequestID gives the request's id for the audit.
	Authenticate func(r *http.Request, p auth.Practice) (db.Scope, error)
	// Owners by resource type.
	Owners map[string]Owner
	// Origin is what addresses begin with, "https://ehr.example.org"; "" takes it from each request.
	Origin string
	// Security is the JSON of CapabilityStatement.rest.security for a practice; nil leaves it out.
	Security func(p auth.Practice, base string) []byte
	// Terminology is the TerminologyCapabilities of a practice as JSON; nil for none.
	Terminology func(p auth.Practice, base string) []byte
	// Instantiates and Guides list the canonical URLs of capability statements and implementation guides that the server keeps to.
	Instantiates, Guides []string
	// Profiles lists the canonical URLs of the profiles that resources of a type are checked against everywhere; nil for none.
	Profiles func(typ string) []string
	// Supported tells what a practice checks beyond that, and by which guides; nil for nothing.
	Supported func(ctx context.Context, p auth.Practice) (*guides.Supported, error)
	// Extension is what CapabilityStatement.rest.resource.extension says of a type, a JSON array; nil for nothing.
	Extension func(typ string) []byte
	// Version of the program.
	Version string
	// AllowOrigin says whether a web application from another origin may use the practice's interface with a token of its own;
	// nil allows none.
	AllowOrigin func(ctx context.Context, p auth.Practice, origin string) bool
	// Budget is how many requests one client may send: nil means [DefaultBudget].
	Budget *Budget
}

// API serves the FHIR interface of all practices. Register operations before it serves. It is safe for concurrent use.
type API struct {
	o          Options
	operations map[string][]*Operation
	buckets    *buckets
	started    time.Time

	restMu    sync.Mutex
	restBytes map[*guides.Supported][]byte // one for all practices that support the same

	openapiOnce  sync.Once
	openapiBytes []byte
}

// New returns the interface with the operations of this package.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = o.DB.Clock()
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Budget == nil {
		o.Budget = &DefaultBudget
	}
	return &API{o: o, operations: map[string][]*Operation{}, buckets: newBuckets(o.Clock, *o.Budget), started: o.Clock.Now()}
}

type contextKey struct{}

// RequestID is the id of the request being answered, for the audit and for whoever asks about a failure; "" outside one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newRequestID()
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, id))
	x := &exchange{api: a, w: w, r: r, id: id}
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
			a.o.Log.Error("a FHIR request failed", "request", id, "panic", what, "stack", string(debug.Stack()))
			x.broken()
		}
	}()
	x.serve()
}

// serve goes through a request from its address to its answer.
func (x *exchange) serve() {
	x.secure()
	slug, rest, _ := strings.Cut(strings.TrimPrefix(x.r.URL.Path, "/"), "/")
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, "fhir"), "/")
	p, err := x.api.o.Practice(x.r.Context(), slug)
	if err != nil {
		x.refuse(err)
		return
	}
	x.practice, x.base = p, x.api.base(x.r, p)
	if x.cors() {
		return
	}
	if rest == "openapi.json" {
		x.openapi()
		return
	}
	if x.query, err = queryOf(x.r.URL.RawQuery); err != nil {
		x.refuse(err)
		return
	}
	t, wrong := parsePath(rest)
	if wrong == nil {
		x.op = x.api.operation(t)
		x.form = x.ownForm()
	}
	if err := x.negotiate(); err != nil {
		if x.native = errors.Is(err, errNoForm) && wrong == nil && (t.isBinary() || x.form != ""); !x.native {
			x.refuse(err)
			return
		}
	}
	if wrong != nil {
		x.refuse(wrong)
		return
	}
	if x.r.Method == http.MethodOptions {
		x.options(t)
		return
	}
	act, open, err := x.api.resolve(x.r.Method, t)
	if err != nil {
		x.refuse(err)
		return
	}
	if open {
		err = x.throttle()
	} else {
		err = x.authenticate()
	}
	if err != nil {
		x.refuse(err)
		return
	}
	c := &Call{Practice: p, Scope: x.scope, Base: x.base, Type: t.typ, ID: t.id, Version: t.version, x: x, at: t}
	c.Query = x.query
	if err := x.read(c); err != nil {
		x.refuse(err)
		return
	}
	ctx := x.r.Context()
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		if ctx, err = x.api.o.Store.Checking(ctx, x.scope); err != nil {
			x.refuse(err)
			return
		}
		if x.targets, err = x.api.o.Store.TargetPolicy(ctx, x.scope); err != nil {
			x.refuse(err)
			return
		}
	}
	ans, err := act(ctx, c)
	x.finish(c, ans, err)
}

// authenticate finds out who asks and whether they have requests left.
func (x *exchange) authenticate() error {
	s, err := x.api.o.Authenticate(x.r, x.practice)
	if err != nil {
		return err
	}
	if s == nil || !s.Valid() || s.Practice() != x.practice.ID {
		return fhir.Problem("login", "You are not signed in.", "Send an access token in the Authorization header, as Bearer.")
	}
	x.scope = s
	return x.throttle()
}

// base is the address of a practice's interface, without a slash at the end.
func (a *API) base(r *http.Request, p auth.Practice) string {
	origin := a.o.Origin
	if origin == "" {
		origin = "http://" + r.Host
		if r.TLS != nil {
			origin = "https://" + r.Host
		}
	}
	return origin + "/" + p.Slug + "/fhir"
}
