package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/standards/fhir"
)

const bearer = "of-the-program"

// TestSubscriptions has other people's programs subscribe, receive, verify and read what they are told. The demonstration sends nothing
// to addresses of this machine, so the interface stands here with an egress that may.
func TestSubscriptions(t *testing.T) {
	if !packages(t) {
		return
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		// What is signed is refused when it is five minutes old, so the time must be the world's.
		o := d.Options()
		o.Clock = clock.System()
		if err := d.DB.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if d.DB, err = db.Open(ctx, o); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0") // a port for the receiver
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		outside, err := egress.New([]egress.Destination{{Host: "127.0.0.1", Ports: []int{port}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)

		home := auth.Practice{ID: 1, Slug: "north"}
		app := auth.AsApp(1, auth.Access{All: true})
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		store.Labels = auth.Sensitivity
		queue := jobs.New(d.DB, jobs.Options{})
		practice := func(context.Context, string) (auth.Practice, error) { return home, nil }
		authenticate := func(r *http.Request, _ auth.Practice) (db.Scope, error) {
			if r.Header.Get("Authorization") != "Bearer "+bearer {
				return nil, fhir.Problem("login", "No.", "Sign in.")
			}
			return app, nil
		}
		hub := subscription.New(subscription.Options{DB: d.DB, Store: store, Audit: log, Queue: queue, Egress: outside, Origin: server.URL, Private: true,
			Practice: practice, Authenticate: authenticate,
			PracticeByID: func(context.Context, db.PracticeID) (auth.Practice, error) { return home, nil },
			Hold:         func(context.Context, auth.Practice, string) ([]byte, error) { return []byte("held"), nil },
			Resume:       func(context.Context, auth.Practice, []byte) (db.Scope, error) { return app, nil }})
		if err := hub.Allow(ctx, auth.AsStaff(1, 7, "Ruth", "", auth.Administrator), fmt.Sprintf("127.0.0.1:%d", port), "test agreement"); err != nil {
			t.Fatal(err)
		}
		api := fhirapi.New(fhirapi.Options{DB: d.DB, Store: store, Audit: log, Origin: server.URL, Practice: practice, Authenticate: authenticate, Extension: subscription.Extension,
			Owners: map[string]fhirapi.Owner{"Subscription": hub.Owner()}})
		api.Register(hub.Operations()...)
		mux.Handle("/north/fhir/", hub.Holding(api))
		for _, pattern := range subscription.Routes() {
			mux.Handle(pattern, hub)
		}
		// The network breaks when the script says so.
		mux.HandleFunc("POST /break", func(http.ResponseWriter, *http.Request) { server.CloseClientConnections() })

		ended := make(chan error, 2)
		go func() { ended <- hub.Run(ctx) }()
		go func() { ended <- queue.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			for range 2 {
				if err := <-ended; err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		out := node(t, nil, []string{"YARROW_BASE=" + server.URL + "/north/fhir", "YARROW_TOKEN=" + bearer, fmt.Sprintf("HOOK_PORT=%d", port)}, "subscriptions.mjs")
		if n := bytes.Count(out, []byte("ok ")); n != 5 {
			t.Errorf("%d of 5 parts: %s", n, strings.TrimSpace(string(out)))
		}
	})
}
