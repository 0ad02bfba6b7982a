// Package subscription is how programs are told what happens in a practice: FHIR topic-based subscriptions in the form that the
// Subscriptions R5 Backport guide (version 1.1.0) gives them on R4. It owns the topics, the Subscriptions of programs and their state,
// the numbered events of each, and the ways to the receiver: REST hook, WebSocket and server-sent events.
//
// Events are made from the store's sequence of changes, in the transaction that moves the mark, so that nothing acknowledged is lost
// and numbers have no gaps. They are delivered in order, at least once.
//
// It never decides what somebody may see: whether the one who subscribed may see a resource is asked when the event is made and again
// when it is sent, under the authority that the program has then. Nothing is sent before the access is on record, and nothing leaves
// but through base/egress, to hosts that an administrator of the practice has put on its list.
package subscription

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// Options say what subscriptions stand on.
type Options struct {
	DB     *db.DB
	Store  *fhirstore.Store
	Audit  *audit.Log
	Queue  *jobs.Queue
	Egress *egress.Client // for hooks alone: its list is this package's
	Log    *slog.Logger
	// Origin is what addresses begin with.
	Origin string
	// Practice, PracticeByID and Authenticate find the practice of an address or a subscription, and say who asks.
	Practice     func(ctx context.Context, slug string) (auth.Practice, error)
	PracticeByID func(ctx context.Context, id db.PracticeID) (auth.Practice, error)
	Authenticate func(r *http.Request, p auth.Practice) (db.Scope, error)
	// Hold gives what a subscription keeps of an Authorization header, and Resume the scope of that again, as long as it stands. An
	// Issue of code login or forbidden says that it does not, or that who asks may not subscribe.
	Hold   func(ctx context.Context, p auth.Practice, authorization string) ([]byte, error)
	Resume func(ctx context.Context, p auth.Practice, held []byte) (db.Scope, error)
	// Private lets hooks reach addresses of this machine and plain HTTP: for tests, whose Egress allows it too.
	Private bool
}

// Hub keeps the subscriptions of all practices.
type Hub struct {
	o     Options
	clock *clock.Clock

	mu      sync.Mutex
	running context.Context // of Run; nil before
	posts   map[db.PracticeID]*post
}

// New returns the hub and registers its work with the queue.
func New(o Options) *Hub {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{o: o, clock: o.DB.Clock(), posts: map[db.PracticeID]*post{}}
	o.Queue.Handle(keepKind, h.keep)
	return h
}

// status of a subscription, as the resource has it too.
type status int64

const (
	requested status = iota
	active
	failing
	off
)

var statusCodes = [...]string{"requested", "active", "error", "off"}

func (s status) code() string { return statusCodes[s] }

// sub is a subscription: what was asked, who asked, and how far it is. The members with names are stored sealed.
type sub struct {
	ID    string `json:"id"`
	Asker string `json:"asker"`
	Name  string `json:"name"`          // of the program, for people
	For   string `json:"for,omitempty"` // forStaff, forPatient, or "" for a program that acts by itself
	Held  []byte `json:"held"`
	Terms terms  `json:"terms"`

	Since    int64  `json:"since"`              // only changes after this one are told
	Begun    bool   `json:"begun,omitempty"`    // it was active and has not been off since
	Paused   bool   `json:"paused,omitempty"`   // by an administrator: events are kept and not sent
	Shaken   bool   `json:"shaken,omitempty"`   // the receiver has taken a handshake
	Failures int    `json:"failures,omitempty"` // in a row
	Problem  string `json:"problem,omitempty"`  // why the last try failed, or why it is off
	Remedy   string `json:"remedy,omitempty"`
	FailedAt int64  `json:"failedAt,omitempty"`

	h         int64
	state     status
	step      int64
	n, sent   int64
	delivered int64
	due       int64
	lease     int64
}

// Whom a program acts for.
const (
	forStaff   = "staff"
	forPatient = "patient"
)

// behalf is whom a program acts for.
func behalf(by db.Actor) string {
	switch {
	case by.UserID != 0:
		return forStaff
	case by.OnBehalf != "":
		return forPatient
	}
	return ""
}

// live says whether events are made for the subscription.
func (s *sub) live() bool { return s.state != off && s.Begun }

// because notes why something failed or ended.
func (s *sub) because(why *fhir.Issue, at int64) {
	s.Problem, s.Remedy, s.FailedAt = why.Text, why.Fix, at
}

// event is one thing to be told.
type event struct {
	Ref     string `json:"ref"` // "Observation/x"
	Version int64  `json:"version"`
	Change  what   `json:"change"`

	n  int64
	at int64 // microseconds
}

const (
	keepKind  = "subscription.keep"
	keepEvery = 30 * time.Second
	keepFor   = 7 * 24 * time.Hour // events
)

func self(p db.PracticeID) auth.System { return auth.SystemScope(p, "subscriptions") }

// base is the address of a practice's interface.
func (h *Hub) base(p auth.Practice) string { return h.o.Origin + "/" + p.Slug + "/fhir" }

type heldKey struct{}

// held is what a request brings along for what outlasts it.
type held struct {
	kept []byte
	err  error
}

// Holding readies requests that write a Subscription: what the program is allowed is kept with it. It stands before the interface.
func (h *Hub) Holding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slug, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if typ, _, _ := strings.Cut(strings.TrimPrefix(rest, "fhir/"), "/"); typ == "Subscription" && (r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch) {
			var k held
			p, err := h.o.Practice(r.Context(), slug)
			if err == nil {
				k.kept, k.err = h.o.Hold(r.Context(), p, r.Header.Get("Authorization"))
				r = r.WithContext(context.WithValue(r.Context(), heldKey{}, k))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// authority is what the request in ctx brings along.
func authority(ctx context.Context) ([]byte, error) {
	k, ok := ctx.Value(heldKey{}).(held)
	if !ok {
		return nil, fhir.Problem("not-supported", "A Subscription is not written inside a Bundle.", "Send it by itself: POST [base]/Subscription.")
	}
	return k.kept, k.err
}

// plan has the practice looked after again in a while, for as long as it has subscriptions, by whichever node then is free.
func (h *Hub) plan(ctx context.Context, tx *db.Tx) error {
	at := tx.Now().Truncate(keepEvery).Add(keepEvery)
	_, err := h.o.Queue.Add(ctx, tx, jobs.Spec{Kind: keepKind, Key: fmt.Sprint(at.Unix()), RunAt: at})
	return err
}

// keep is the work that goes on after a restart: the practice's post is manned on this node, authorities that ended end their
// subscriptions even when nothing happens, and old events are deleted.
func (h *Hub) keep(ctx context.Context, j *jobs.Job) error {
	var all []*sub
	if err := h.o.DB.Do(ctx, self(j.Practice), func(tx *db.Tx) (err error) {
		if all, err = loadSubs(ctx, tx); err != nil {
			return err
		}
		if err := forgetEvents(ctx, tx, tx.Now().Add(-keepFor)); err != nil {
			return err
		}
		for _, s := range all {
			if s.state != off {
				if err := h.plan(ctx, tx); err != nil {
					return err
				}
				break
			}
		}
		return j.Complete(ctx, tx)
	}); err != nil {
		return err
	}
	h.man(j.Practice)
	p, err := h.o.PracticeByID(ctx, j.Practice)
	if err != nil {
		return nil // it is looked after again
	}
	for _, s := range all {
		if s.state == off {
			continue
		}
		if s.Terms.End != 0 && s.Terms.End <= h.clock.Now().UnixMicro() {
			_ = h.stop(ctx, j.Practice, s, overTime())
		} else if _, err := h.o.Resume(ctx, p, s.Held); ended(err) {
			_ = h.stop(ctx, j.Practice, s, overAuthority())
		}
	}
	return nil
}
