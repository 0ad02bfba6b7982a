// Package scim lets a practice's directory keep its people up to date: a subset of SCIM 2.0 (RFC 7643, RFC 7644) under
// /{practice}/scim/v2. It owns the directory's keys. People, memberships and roles belong to package auth, whose rules hold here too:
// a directory adds people without rights, moves them between the practice's roles as groups, and takes them away at once; it makes no
// administrators, reads no patient data and sees no credentials.
package scim

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Options are what the package stands on.
type Options struct {
	DB    *db.DB
	Auth  *auth.Auth
	Audit *audit.Log
	Base  string // address that people and programs use, without a slash at its end
	Log   *slog.Logger
}

// Server answers directories. It is safe for concurrent use.
type Server struct {
	db    *db.DB
	auth  *auth.Auth
	audit *audit.Log
	clock *clock.Clock
	base  string
	log   *slog.Logger
}

// New returns the server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{db: o.DB, auth: o.Auth, audit: o.Audit, clock: o.DB.Clock(), base: strings.TrimRight(o.Base, "/"), log: o.Log}
}

// Route is the address to register the server under.
const Route = "/{practice}/scim/v2/"

// Address is what an administrator tells the directory.
func (s *Server) Address(p auth.Practice) string { return s.base + "/" + p.Slug + "/scim/v2" }

const (
	maxBody = 1 << 20
	maxPage = 200
)

// failure is an answer that is an error (RFC 7644 §3.12).
type failure struct {
	status int
	kind   string // scimType
	detail string
}

// Error makes it an error.
func (f *failure) Error() string { return "scim: " + f.detail }

func fail(status int, kind, detail string) error { return &failure{status, kind, detail} }

// call is one request of a directory.
type call struct {
	*Server
	r     *http.Request
	p     auth.Practice
	scope auth.System
	kind  string // Users, Groups, …
	id    string
	body  *fhirjson.Node
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, location, err := s.serve(r)
	var f *failure
	var i *fhir.Issue
	switch {
	case err == nil:
	case errors.As(err, &f):
		status, body = f.status, problem(f.status, f.kind, f.detail)
		if f.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="scim"`)
		}
	case errors.As(err, &i) && fhir.HTTPStatus(i.Code) < 500:
		status = fhir.HTTPStatus(i.Code)
		kind := ""
		switch i.Code {
		case "conflict":
			status, kind = http.StatusConflict, "uniqueness"
		case "value", "required":
			status, kind = http.StatusBadRequest, "invalidValue"
		case "business-rule":
			status, kind = http.StatusBadRequest, "mutability"
		}
		body = problem(status, kind, i.Text+" "+i.Fix)
	default:
		s.log.Error("a directory could not be answered", "error", err)
		status, body = http.StatusInternalServerError, problem(http.StatusInternalServerError, "", "Something broke here. Try again later.")
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if location != "" {
		h.Set("Location", location)
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	h.Set("Content-Type", "application/scim+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who has gone away is not told
}

func problem(status int, kind, detail string) map[string]any {
	out := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": itoa(status), "detail": detail}
	if kind != "" {
		out["scimType"] = kind
	}
	return out
}

// serve finds out who asks and what for.
func (s *Server) serve(r *http.Request) (status int, body any, location string, err error) {
	unknown := fail(http.StatusUnauthorized, "", "A key of this practice's directory is needed as bearer token.")
	p, err := s.auth.PracticeBySlug(r.Context(), r.PathValue("practice"))
	if auth.NoPractice(err) {
		return 0, nil, "", unknown // no practice, no key: the same answer
	}
	if err != nil {
		return 0, nil, "", err
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return 0, nil, "", unknown
	}
	if err := s.opens(r.Context(), p.ID, bearer); err != nil {
		if errors.Is(err, errKey) {
			return 0, nil, "", unknown
		}
		return 0, nil, "", err
	}
	c := &call{Server: s, r: r, p: p, scope: auth.SystemScope(p.ID, "directory")}
	_, path, _ := strings.Cut(r.URL.Path, "/scim/v2/")
	c.kind, c.id, _ = strings.Cut(strings.Trim(path, "/"), "/")
	if err := c.readBody(); err != nil {
		return 0, nil, "", err
	}
	return c.answer()
}

func (c *call) readBody() error {
	if c.r.Method != http.MethodPost && c.r.Method != http.MethodPut && c.r.Method != http.MethodPatch {
		return nil
	}
	media, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	if media = strings.TrimSpace(media); media != "application/scim+json" && media != "application/json" {
		return fail(http.StatusUnsupportedMediaType, "", "Send application/scim+json.")
	}
	text, err := io.ReadAll(io.LimitReader(c.r.Body, maxBody+1))
	if err != nil {
		return fail(http.StatusBadRequest, "invalidSyntax", "The body broke off.")
	}
	if len(text) > maxBody {
		return fail(http.StatusRequestEntityTooLarge, "", "A body has at most a megabyte.")
	}
	n, err := fhirjson.Parse(text, fhirjson.Limits{Bytes: maxBody, Depth: 12})
	if err != nil || n.Kind() != fhirjson.Object {
		return fail(http.StatusBadRequest, "invalidSyntax", "The body is no JSON object, or names a member twice.")
	}
	c.body = n
	return nil
}

// answer does what is asked.
func (c *call) answer() (status int, body any, location string, err error) {
	m := c.r.Method
	ok := http.StatusOK
	switch {
	case m == http.MethodGet && c.kind == "ServiceProviderConfig" && c.id == "":
		return ok, c.config(), "", nil
	case m == http.MethodGet && c.kind == "ResourceTypes":
		return c.described(c.resourceTypes())
	case m == http.MethodGet && c.kind == "Schemas":
		return c.described(schemas())
	case c.kind == "Users":
		return c.users()
	case c.kind == "Groups":
		return c.groups()
	}
	return 0, nil, "", fail(http.StatusNotFound, "", "There is nothing at this address.")
}

// see puts on record that the directory was shown people.
func (c *call) see(action, id string) error {
	return c.audit.Seen(c.r.Context(), c.scope, audit.Event{Action: action, Type: "User", ID: id, Detail: "by the directory"})
}

// at is the address of something.
func (c *call) at(kind, id string) string { return c.Address(c.p) + "/" + kind + "/" + id }
