package docs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/edge/endpoints"
	"yarrow.health/internal/web/docs"
	"yarrow.health/internal/web/ui"
	"yarrow.health/internal/web/webtest"
)

// An administrator puts the practice on the public list and takes it off again, and what they see is what the list says.
func TestListed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := context.Background()
		a := auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
		id, err := a.AddPractice(ctx, "millrace", "Millrace Family Health")
		if err != nil {
			t.Fatal(err)
		}
		p := clinictest.FurnishIn(t, d, id)
		tokens := map[string]string{}
		for login, role := range map[string]auth.Role{"okafor": auth.Administrator, "ferris": auth.FrontDesk} {
			uid, err := a.AddUser(ctx, auth.SystemScope(id, "test"), auth.User{Login: login, Display: login, Roles: []auth.Role{role}})
			if err != nil {
				t.Fatal(err)
			}
			if tokens[login], _, err = a.DemoSignIn(ctx, id, uid); err != nil {
				t.Fatal(err)
			}
		}
		list := endpoints.New(endpoints.Options{DB: d.DB, Store: p.Store, Auth: a, People: p.People, Origin: "https://ehr.example.org"})
		r := ui.NewRouter(a, p.Log, ui.Options{Clock: d.DB.Clock()})
		docs.RegisterListed(r, list)
		public := func() string {
			w := httptest.NewRecorder()
			list.ServeHTTP(w, httptest.NewRequest(http.MethodGet, endpoints.Path, nil))
			return w.Body.String()
		}
		for _, c := range []struct {
			name, who, method, path string
			status                  int
			has, not                []string
			listed                  bool
		}{
			{"not the front desk's", "ferris", "GET", "", 403, nil, []string{"fhir-endpoints"}, false},
			{"nor to choose", "ferris", "POST", "", 403, nil, nil, false},
			{"before", "okafor", "GET", "", 200, []string{"Not on the list", "What everybody would see", "https://ehr.example.org/millrace/fhir", "Put this practice"}, []string{"Take this practice"}, false},
			{"not on it", "okafor", "POST", "/off", 404, []string{"was not put on the list"}, nil, false},
			{"put on", "okafor", "POST", "", 303, nil, nil, true},
			{"on it", "okafor", "GET", "", 200, []string{"On the list", "What everybody sees", "&#34;resourceType&#34;: &#34;Endpoint&#34;", "Take this practice"}, []string{"Put this practice"}, true},
			{"taken off", "okafor", "POST", "/off", 303, nil, nil, false},
			{"off it", "okafor", "GET", "", 200, []string{"Not on the list"}, nil, false},
		} {
			var form url.Values
			if c.method == http.MethodPost {
				form = webtest.Keyed(c.method, url.Values{})
			}
			hr := httptest.NewRequest(c.method, "http://localhost/millrace/docs/listed"+c.path, strings.NewReader(form.Encode()))
			hr.Header.Set("Sec-Fetch-Site", "same-origin")
			hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			hr.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: tokens[c.who]})
			w := httptest.NewRecorder()
			r.ServeHTTP(w, hr)
			page := w.Body.String()
			if w.Code != c.status {
				t.Errorf("%s: %d, want %d: %.300s", c.name, w.Code, c.status, page)
			}
			for _, s := range c.has {
				if !strings.Contains(page, s) {
					t.Errorf("%s lacks %q", c.name, s)
				}
			}
			for _, s := range append(c.not, "⟨") {
				if strings.Contains(page, s) {
					t.Errorf("%s shows %q", c.name, s)
				}
			}
			if strings.Contains(public(), "millrace/fhir") != c.listed {
				t.Errorf("%s: the public list says %s", c.name, public())
			}
		}
	})
}
