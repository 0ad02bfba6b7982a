package main

import (
	"context"
	"net/http"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/bulk"
	"yarrow.health/internal/standards/fhir"
)

// newExports stands bulk exports on the house. Programs with a token may export; people at a screen ask for their data otherwise,
// after they have proved once more to be themselves.
func (h *house) newExports(authenticate func(r *http.Request, p auth.Practice) (db.Scope, error)) *bulk.Exports {
	return bulk.New(bulk.Options{
		DB: h.db, Store: h.store, Audit: h.audit, Queue: h.queue, Log: h.log, Origin: h.origin,
		Practice: h.auth.PracticeBySlug, PracticeByID: h.auth.PracticeByID, Authenticate: authenticate,
		Hold: func(ctx context.Context, p auth.Practice, authorization string) ([]byte, error) {
			scheme, bearer, _ := strings.Cut(authorization, " ")
			if !strings.EqualFold(scheme, "Bearer") {
				return nil, fhir.Problem("forbidden", "Exports are for programs with an access token.", "Register a program and ask for a token with system scopes, or use `yarrow export`.")
			}
			return h.oauth.Hold(ctx, p, strings.TrimSpace(bearer))
		},
		Resume: func(ctx context.Context, p auth.Practice, held []byte) (db.Scope, error) {
			return h.oauth.Resume(ctx, p, held)
		},
	})
}
