package fhirapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Call is one interaction that somebody asks for. It lives as long as the request.
type Call struct {
	Practice auth.Practice
	Scope    db.Scope   // who asks; zero for what is open to all
	Base     string     // "https://host/practice/fhir"
	Type, ID string     // of the address; "" above that level
	Version  int64      // of the address, 0 for none
	Query    url.Values // parameters after the question mark, and those of a form
	Body     []byte     // as it was sent, decompressed
	// Parameters are those of an operation, from the address or from a Parameters resource; nil otherwise.
	Parameters Parameters

	x      *exchange
	at     target
	form   url.Values // of a POST with a form
	node   *fhirjson.Node
	bare   bool // Body is for the operation to read
	events []audit.Event
	hints  fhir.Issues // warnings to go with the answer
	nested bool        // an entry of a Bundle: its caller puts the accesses on record
	tx     *db.Tx      // of the transaction Bundle the call is part of, nil for none
	key    string      // idempotency key of an entry
}

// Request is the id of the request.
func (c *Call) Request() string { return c.x.id }

// Store is where resources are.
func (c *Call) Store() *fhirstore.Store { return c.x.api.o.Store }

// Owner keeps the rules of a type.
func (c *Call) Owner(typ string) Owner {
	if o := c.x.api.o.Owners[typ]; o != nil {
		return o
	}
	return c.x.api.o.Store
}

// Now is the time of the server.
func (c *Call) Now() time.Time { return c.x.api.o.Clock.Now() }

// See notes accesses. They are on record before the first byte of the answer leaves.
func (c *Call) See(e ...audit.Event) { c.events = append(c.events, e...) }

// SeeResource notes that a resource is shown.
func (c *Call) SeeResource(action string, r *fhirstore.Resource) {
	c.See(audit.Event{Action: action, Type: r.Type, ID: r.ID, Version: r.Version, Patient: patientOf(r), Labels: r.Labels})
}

// Warn adds an issue that goes with the answer where there is room for one.
func (c *Call) Warn(i ...fhir.Issue) {
	for _, w := range i {
		if w.Severity == "" || w.Severity == "error" || w.Severity == "fatal" {
			w.Severity = "warning"
		}
		c.hints = append(c.hints, w)
	}
}

// View runs fn in a snapshot of the practice, as the one who asks; inside a transaction Bundle, in its transaction.
func (c *Call) View(ctx context.Context, fn func(tx *db.Tx) error) error {
	if c.tx != nil {
		return fn(c.tx)
	}
	return c.x.api.o.DB.View(ctx, c.Scope, fn)
}

// glance is View for what one statement answers.
func (c *Call) glance(ctx context.Context, fn func(tx *db.Tx) error) error {
	if c.tx != nil {
		return fn(c.tx)
	}
	return c.x.api.o.DB.Glance(ctx, c.Scope, fn)
}

// Header is a header of the request.
func (c *Call) Header(name string) string { return c.x.r.Header.Get(name) }

// empty says that nothing was sent.
func (c *Call) empty() bool { return len(c.Body) == 0 && c.node == nil }

// Resource is the body as a tree, from JSON or XML. The caller may change it.
func (c *Call) Resource() (*fhirjson.Node, error) {
	if c.node != nil {
		return c.node, nil
	}
	if len(c.Body) == 0 {
		return nil, fhir.Problem("required", "The request has no body.", "Send a FHIR resource.")
	}
	n, err := decode(c.Body, c.x.sent)
	if err != nil {
		return nil, err
	}
	c.node = n
	return n, nil
}

// Answer is what an interaction gives.
type Answer struct {
	Status   int         // 0: 200
	Resource []byte      // a FHIR resource as JSON; nil for none
	Version  int64       // for ETag; 0 for none
	Updated  time.Time   // for Last-Modified; zero for none
	Location string      // below the base: "Patient/x/_history/1"
	Header   http.Header // further headers
	// Media and Body are an answer that is not a FHIR resource.
	Media string
	Body  []byte

	wrote  bool        // obeys Prefer: return
	unmet  fhir.Issues // references of what was written that lead nowhere
	narrow bool        // may be narrowed by _summary and _elements
	typ    string
}

// answerWith gives a resource as it is stored.
func answerWith(r *fhirstore.Resource) *Answer {
	return &Answer{Resource: r.Raw, Version: r.Version, Updated: r.Updated, narrow: true, typ: r.Type}
}

// Asker names who may have what they asked for later: the same program, for the same person.
func Asker(s db.Scope) string {
	a := s.Actor()
	if a.Client == "" {
		return strings.Join([]string{a.Kind, strconv.FormatInt(a.UserID, 10), a.FHIR, a.Display}, "|")
	}
	return strings.Join([]string{a.Kind, a.Client, strconv.FormatInt(a.UserID, 10), a.FHIR}, "|")
}

// Bare is the body when it is of one of the operation's own Bodies; nil otherwise.
func (c *Call) Bare() []byte {
	if !c.bare {
		return nil
	}
	return c.Body
}
