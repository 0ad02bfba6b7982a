package docs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/edge/operations"
	"yarrow.health/internal/web/docs"
	"yarrow.health/internal/web/ui"
)

// TestPages looks at the pages as somebody who may do nothing special, in both languages.
func TestPages(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	ctx := context.Background()
	log := audit.New(d.DB)
	a := auth.New(d.DB, log, auth.Options{Demo: true})
	id, err := a.AddPractice(ctx, "millrace", "Millrace Family Health")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := a.AddUser(ctx, auth.SystemScope(id, "test"), auth.User{Login: "quill", Display: "Amara Quill", Roles: []auth.Role{auth.FrontDesk}})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := a.DemoSignIn(ctx, id, uid)
	if err != nil {
		t.Fatal(err)
	}
	api := fhirapi.New(fhirapi.Options{DB: d.DB, Store: fhirstore.New(d.DB, log), Audit: log})
	api.Register(operations.Operations()...)
	r := ui.NewRouter(a, log, ui.Options{Clock: d.DB.Clock()})
	docs.Register(r, api, "https://ehr.example.org")
	for _, c := range []struct {
		path, lang string
		status     int
		has, not   []string
	}{
		{"/docs/api", "", 200, []string{"openapi.json", "https://ehr.example.org/millrace/fhir/Patient?", "/docs/api/Observation", "MolecularSequence", "Requests go out as Amara Quill", "429", "RateLimit-Limit", "120000 requests within 60 seconds"}, nil},
		{"/docs/api?q=everything", "", 200, []string{"/docs/api/Patient", "$everything"}, []string{"MolecularSequence"}},
		{"/docs/api?q=%3Cscript%3E", "", 200, []string{"Nothing is called so"}, []string{"<script>\""}},
		{"/docs/api/Observation", "", 200, []string{"code-value-quantity", "GET /Observation/{id}/_history/{version}", "$lastn", "&#34;resourceType&#34;: &#34;Observation&#34;"}, nil},
		{"/docs/api/Patient", "es", 200, []string{"birthdate", "Parámetros de búsqueda", "$everything"}, nil},
		{"/docs/api/MolecularSequence", "", 200, []string{"The invented practice has none of these"}, nil},
		{"/docs/api/Nothing", "", 404, []string{"There is no such type"}, nil},
	} {
		hr := httptest.NewRequest(http.MethodGet, "http://localhost/millrace"+c.path, nil)
		hr.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: token})
		if c.lang != "" {
			hr.AddCookie(&http.Cookie{Name: "lang", Value: c.lang})
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, hr)
		if w.Code != c.status {
			t.Errorf("%s: %d", c.path, w.Code)
		}
		for _, s := range c.has {
			if !strings.Contains(w.Body.String(), s) {
				t.Errorf("%s lacks %q", c.path, s)
			}
		}
		for _, s := range c.not {
			if strings.Contains(w.Body.String(), s) {
				t.Errorf("%s shows %q", c.path, s)
			}
		}
	}
	// Anybody may read; nobody in particular has no console, no menus and nothing to send.
	for _, path := range []string{"/docs/api", "/docs/api/Patient", "/docs/api?q=everything", "/docs/api/Nothing"} {
		for _, cookie := range []string{"", "made-up"} {
			hr := httptest.NewRequest(http.MethodGet, "http://localhost/millrace"+path, nil)
			if cookie != "" {
				hr.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: cookie})
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, hr)
			page := w.Body.String()
			if want := map[bool]int{true: 404, false: 200}[strings.HasSuffix(path, "Nothing")]; w.Code != want {
				t.Errorf("%s to nobody: %d", path, w.Code)
			}
			for _, never := range []string{"data-console", "data-try", "Quill", "data-palette"} {
				if strings.Contains(page, never) {
					t.Errorf("%s shows %q to nobody in particular", path, never)
				}
			}
			if path == "/docs/api" && (!strings.Contains(page, "Terms for programs") || !strings.Contains(page, "RateLimit-Remaining") || !strings.Contains(page, "openapi.json") || !strings.Contains(page, "/millrace/sign-in?to=/millrace/docs/api")) {
				t.Error("the page lacks its terms, its links or the way in")
			}
		}
	}
}
