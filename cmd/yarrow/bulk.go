package main

import (
	"context"
	"net/http"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/edge/bulk"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/standards/fhir"
)

// newExports stands bulk exports on the house. Programs with a token may export; people at a screen ask for their data otherwise,
// after they have proved once more to be themselves.
func (h *house) newExports(authenticate func(r *http.Request, p auth.Practice) (db.Scope, error), owners map[string]fhirapi.Owner) *bulk.Exports {
	return bulk.New(bulk.Options{
		DB: h.db, Store: h.store, Audit: h.audit, Queue: h.queue, Log: h.log, Origin: h.origin,
		Practice: h.auth.PracticeBySlug, PracticeByID: h.auth.PracticeByID, Authenticate: authenticate, Owners: owners,
		Reach: h.hub.Reach, Fetch: h.hub.Fetch,
		Hold: h.hold("Exports and imports are for programs with an access token.", "Register a program and ask for a token with system scopes, or use `yarrow export` and `yarrow import`."),
		Resume: func(ctx context.Context, p auth.Practice, held []byte) (db.Scope, error) {
			return h.oauth.Resume(ctx, p, held)
		},
	})
}

// hold keeps what work needs that outlasts a program's access token; people are told what to do instead.
func (h *house) hold(text, fix string) func(ctx context.Context, p auth.Practice, authorization string) ([]byte, error) {
	return func(ctx context.Context, p auth.Practice, authorization string) ([]byte, error) {
		scheme, bearer, _ := strings.Cut(authorization, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, fhir.Problem("forbidden", text, fix)
		}
		return h.oauth.Hold(ctx, p, strings.TrimSpace(bearer))
	}
}

// newHub stands subscriptions on the house. Hooks leave through a client of their own, whose list is that of the practices' hosts.
func (h *house) newHub(authenticate func(r *http.Request, p auth.Practice) (db.Scope, error)) *subscription.Hub {
	outside, err := egress.New(nil)
	if err != nil {
		h.log.Error("hooks have no way out", "error", err) // an empty list cannot be wrong
	}
	return subscription.New(subscription.Options{
		DB: h.db, Store: h.store, Audit: h.audit, Queue: h.queue, Egress: outside, Log: h.log, Origin: h.origin,
		Practice: h.auth.PracticeBySlug, PracticeByID: h.auth.PracticeByID, Authenticate: authenticate,
		Hold: h.hold("Subscriptions are for programs with an access token.", "Register a program and ask for a token with Subscription.cruds and the scopes of what it is to be told."),
		Resume: func(ctx context.Context, p auth.Practice, held []byte) (db.Scope, error) {
			return h.oauth.Resume(ctx, p, held)
		},
	})
}
