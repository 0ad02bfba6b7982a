package fhirapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// desk is an API over a test database with two practices, "north" (1) and "south" (2). The header X-As says who asks.
type desk struct {
	t   testing.TB
	d   *dbtest.DB
	api *API
	log *audit.Log
	as  map[string]db.Scope
}

func each(t *testing.T, fn func(t *testing.T, k *desk)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) { fn(t, deskOn(t, d, nil)) })
}

func deskOn(t testing.TB, d *dbtest.DB, change func(*Options)) *desk {
	log := audit.New(d.DB)
	k := &desk{t: t, d: d, log: log, as: map[string]db.Scope{
		"system":    auth.SystemScope(1, "test"),
		"south":     auth.SystemScope(2, "test"),
		"clinician": auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", "clinician"),
		"desk":      auth.AsStaff(1, 8, "Front", "Practitioner/front", "frontdesk"),
		"ann":       auth.AsApp(1, auth.Access{Types: annMay(), Compartment: "Patient/ann"}),
	}}
	o := Options{
		DB: d.DB, Store: fhirstore.New(d.DB, log), Audit: log, Origin: "https://ehr.example.org",
		Practice: func(ctx context.Context, slug string) (auth.Practice, error) {
			switch slug {
			case "north":
				return auth.Practice{ID: 1, Slug: slug, Name: "North"}, nil
			case "south":
				return auth.Practice{ID: 2, Slug: slug, Name: "South"}, nil
			}
			return auth.Practice{}, fhir.Problem("not-found", "There is no such practice here.", "Check the address.")
		},
		Authenticate: func(r *http.Request, p auth.Practice) (db.Scope, error) {
			s := k.as[r.Header.Get("X-As")]
			if s == nil {
				return nil, fhir.Problem("login", "You are not signed in.", "Send an access token.")
			}
			return s, nil
		},
	}
	if change != nil {
		change(&o)
	}
	k.api = New(o)
	return k
}

func annMay() map[string]auth.Bits {
	m := map[string]auth.Bits{}
	for _, t := range []string{"Patient", "Observation", "Condition", "Encounter"} {
		m[t] = auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate | auth.CanDelete
	}
	return m
}

// reply is an answer as a test looks at it.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, r.body)
	}
	return m
}

// ask sends a request to practice north unless path begins with a slash. Headers are given as "Name: value".
func (k *desk) ask(as, method, path, body string, headers ...string) reply {
	if !strings.HasPrefix(path, "/") {
		path = "/north/fhir/" + path
	}
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, in)
	r.Header.Set("X-As", as)
	if body != "" {
		r.Header.Set("Content-Type", "application/fhir+json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	k.api.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// must is ask that fails the test unless the status is the one expected.
func (k *desk) must(status int, as, method, path, body string, headers ...string) reply {
	k.t.Helper()
	r := k.ask(as, method, path, body, headers...)
	if r.status != status {
		k.t.Fatalf("%s %s: status %d, not %d\n%s", method, path, r.status, status, r.body)
	}
	return r
}

// events are the newest entries of the audit of practice 1, oldest first.
func (k *desk) events(n int) []audit.Entry {
	k.t.Helper()
	out, err := k.log.Find(context.Background(), auth.SystemScope(1, "test"), audit.Filter{Limit: n})
	if err != nil {
		k.t.Fatal(err)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

const ann = `{"resourceType":"Patient","id":"ann","name":[{"family":"Alder","given":["Ann"]}],"birthDate":"1970-03"}`

func TestLifeOfAResource(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		r := k.must(201, "system", "PUT", "Patient/ann", ann)
		if got := r.header.Get("Location"); got != "https://ehr.example.org/north/fhir/Patient/ann/_history/1" {
			t.Errorf("Location %q", got)
		}
		if r.header.Get("ETag") != `W/"1"` || r.header.Get("Last-Modified") == "" {
			t.Errorf("headers %v", r.header)
		}
		r = k.must(200, "clinician", "GET", "Patient/ann", "")
		if !strings.Contains(r.body, `"birthDate":"1970-03"`) || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("read: %v %s", r.header, r.body)
		}
		if e := k.events(1)[0]; e.Action != audit.ActionRead || e.Type != "Patient" || e.Event.ID != "ann" || e.Patient != "Patient/ann" || e.Actor.UserID != 7 {
			t.Errorf("audit of a read: %+v", e)
		}
		k.must(200, "system", "PUT", "Patient/ann", strings.Replace(ann, "1970-03", "1970-03-05", 1), `If-Match: W/"1"`)
		r = k.must(412, "system", "PUT", "Patient/ann", ann, `If-Match: W/"1"`)
		if r.header.Get("ETag") != `W/"2"` || !strings.Contains(r.body, "version 2") {
			t.Errorf("lost update: %v %s", r.header, r.body)
		}
		if r := k.must(200, "clinician", "GET", "Patient/ann/_history/1", ""); !strings.Contains(r.body, `"1970-03"`) {
			t.Errorf("version 1: %s", r.body)
		}
		k.must(304, "clinician", "GET", "Patient/ann", "", `If-None-Match: W/"2"`)
		r = k.must(200, "clinician", "GET", "Patient/ann/_history", "")
		if n := len(r.json(t)["entry"].([]any)); n != 2 {
			t.Errorf("history has %d entries", n)
		}
		k.must(204, "system", "DELETE", "Patient/ann", "")
		k.must(410, "clinician", "GET", "Patient/ann", "")
		k.must(204, "system", "DELETE", "Patient/ann", "")
		k.must(404, "system", "DELETE", "Patient/never", "")
	})
}

func TestPatchAndXML(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", ann)
		r := k.must(200, "system", "PATCH", "Patient/ann", `[{"op":"replace","path":"/birthDate","value":"1971"},{"op":"add","path":"/gender","value":"female"}]`, "Content-Type: application/json-patch+json", `If-Match: W/"1"`)
		if !strings.Contains(r.body, `"birthDate":"1971"`) || r.header.Get("ETag") != `W/"2"` {
			t.Errorf("%v %s", r.header, r.body)
		}
		r = k.must(412, "system", "PATCH", "Patient/ann", `[]`, "Content-Type: application/json-patch+json", `If-Match: W/"1"`)
		if r.header.Get("ETag") != `W/"2"` {
			t.Errorf("%v", r.header)
		}
		k.must(422, "system", "PATCH", "Patient/ann", `[{"op":"replace","path":"/id","value":"bob"}]`, "Content-Type: application/json-patch+json")
		k.must(400, "system", "PATCH", "Patient/ann", `[{"op":"add","path":"/nome","value":"bob"}]`, "Content-Type: application/json-patch+json")
		k.must(200, "system", "PATCH", "Patient?birthdate=1971", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Patient.gender"}]}]}`)
		k.must(404, "system", "PATCH", "Patient?birthdate=1931", `[]`, "Content-Type: application/json-patch+json")
		k.must(415, "system", "PATCH", "Patient/ann", `[]`, "Content-Type: text/plain")
		r = k.must(200, "system", "GET", "Patient/ann", "", "Accept: application/fhir+xml")
		if !strings.Contains(r.body, `<birthDate value="1971"/></Patient>`) || r.header.Get("Content-Type") != "application/fhir+xml; charset=utf-8" {
			t.Errorf("%v %s", r.header, r.body)
		}
		r = k.must(200, "system", "PUT", "Patient/ann?_format=json", strings.Replace(r.body, "1971", "1972", 1), "Content-Type: application/fhir+xml")
		if !strings.Contains(r.body, `"birthDate":"1972"`) {
			t.Errorf("%s", r.body)
		}
		r = k.must(400, "system", "POST", "Patient", `<!DOCTYPE x [<!ENTITY e "x">]><Patient xmlns="http://hl7.org/fhir"/>`, "Content-Type: application/fhir+xml", "Accept: application/fhir+xml")
		if !strings.HasPrefix(r.body, `<?xml version="1.0"`) || !strings.Contains(r.body, "DOCTYPE") {
			t.Errorf("%s", r.body)
		}
	})
}
