package apps_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/web/apps"
)

// hub stands subscriptions on the world, and makes one of a program.
func (w *world) hub(t *testing.T) {
	t.Helper()
	program := auth.AsApp(w.ID, auth.Access{All: true})
	outside, err := egress.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	practice := auth.Practice{ID: w.ID, Slug: "millrace"}
	hub := subscription.New(subscription.Options{DB: w.DB.DB, Store: w.Store, Audit: w.Log, Queue: w.Events, Egress: outside, Origin: home,
		Practice:     func(context.Context, string) (auth.Practice, error) { return practice, nil },
		PracticeByID: func(context.Context, db.PracticeID) (auth.Practice, error) { return practice, nil },
		Hold:         func(context.Context, auth.Practice, string) ([]byte, error) { return []byte("x"), nil },
		Resume:       func(context.Context, auth.Practice, []byte) (db.Scope, error) { return program, nil },
	})
	apps.RegisterSubscriptions(w.router, hub, w.Patients)
	body := `{"resourceType":"Subscription","id":"s1","status":"requested","reason":"test","criteria":"` + subscription.AnyTopic + `",
		"_criteria":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria","valueString":"Observation?status=final"}]},
		"channel":{"type":"rest-hook","endpoint":"https://hooks.example.org/x?secret=1","payload":"application/fhir+json","header":["Authorization: very-secret"]}}`
	write := hub.Holding(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p, err := w.Store.Prepare(r.Context(), []byte(body))
		if err == nil {
			err = w.DB.Do(r.Context(), program, func(tx *db.Tx) error {
				_, err := hub.Owner().Create(r.Context(), tx, p)
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}))
	write.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/millrace/fhir/Subscription", nil))
}

// The administrator sees what programs are told and decides about it; nobody else does.
func TestSubscriptionsPage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := open(t, d)
		w.hub(t)
		page := func(says ...string) {
			t.Helper()
			r, body := w.ask("lind", "GET", "/apps/subscriptions", nil)
			if r.StatusCode != 200 {
				t.Fatalf("%d %.300s", r.StatusCode, body)
			}
			for _, s := range says {
				if !strings.Contains(body, s) {
					t.Errorf("the page does not say %q", s)
				}
			}
			for _, never := range []string{"⟨", "very-secret", "secret="} {
				if strings.Contains(body, never) {
					t.Errorf("the page says %q", never)
				}
			}
		}
		page("Subscriptions", "Waiting for the program", "Changes of records", "Observation?status=final", "to hooks.example.org", "which record it was", "not signed", "Nothing taken yet", "No host may be told anything yet.")
		do := func(status int, who string, pairs ...string) string {
			t.Helper()
			form := url.Values{}
			for i := 0; i+1 < len(pairs); i += 2 {
				form.Set(pairs[i], pairs[i+1])
			}
			r, body := w.ask(who, "POST", "/apps/subscriptions", form)
			if r.StatusCode != status {
				t.Fatalf("%v as %s: %d, not %d %.300s", pairs, who, r.StatusCode, status, body)
			}
			return body
		}
		if r, _ := w.ask("quill", "GET", "/apps/subscriptions", nil); r.StatusCode != 403 {
			t.Errorf("somebody who is no administrator: %d", r.StatusCode)
		}
		do(403, "quill", "do", "end", "id", "s1")
		for _, bad := range []string{"https://hooks.example.org", "localhost", "", "*.example.org"} {
			if body := do(422, "lind", "do", "allow", "host", bad, "agreement", "BAA 7"); !strings.Contains(body, "BAA 7") || !strings.Contains(body, "This is not the name of one host.") {
				t.Errorf("%q: %.300s", bad, body)
			}
		}
		do(422, "lind", "do", "allow", "host", "hooks.example.org", "agreement", " ")
		do(303, "lind", "do", "allow", "host", "Hooks.example.org", "agreement", "BAA 7 <i>")
		page("hooks.example.org", "BAA 7 &lt;i&gt;", "allowed by Ruth Lind")
		do(303, "lind", "do", "pause", "id", "s1")
		page("Paused", "Go on")
		do(303, "lind", "do", "resume", "id", "s1")
		page("Waiting for the program", "Pause")
		do(303, "lind", "do", "end", "id", "s1")
		page("Off", "An administrator of the practice ended it. It can be started again under Subscriptions.", "Try now")
		do(303, "lind", "do", "retry", "id", "s1")
		page("Waiting for the program")
		do(404, "lind", "do", "end", "id", "none")
		do(303, "lind", "do", "forbid", "host", "hooks.example.org")
		page("No host may be told anything yet.")
		all, err := w.Log.Find(ctx, auth.SystemScope(w.ID, "test"), audit.Filter{Action: audit.ActionAdmin, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, e := range all {
			said = append(said, e.Detail)
		}
		for _, want := range []string{"host allowed for subscriptions: hooks.example.org", "host taken off the list for subscriptions: hooks.example.org", "subscription paused", "subscription resumed", "subscription ended", "subscription tried again"} {
			if !strings.Contains(strings.Join(said, "|"), want) {
				t.Errorf("the audit does not say %q", want)
			}
		}
	})
}
