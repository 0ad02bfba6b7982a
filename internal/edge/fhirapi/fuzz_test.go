package fhirapi

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// FuzzServe sends anything: the answer is never a fault of the server, and every refusal is an OperationOutcome.
func FuzzServe(f *testing.F) {
	for _, s := range [][5]string{
		{"GET", "Patient/ann", "_elements=id&_format=xml", "application/fhir+json", ""},
		{"GET", "Patient/ann/*", "_count=1", "*/*", ""},
		{"POST", "Patient", "", "application/fhir+json", ann},
		{"POST", "", "", "application/fhir+json", bundleOf("batch", entryOf("GET", "Patient?name=a", ""))},
		{"POST", "", "", "application/fhir+json", bundleOf("transaction", entryOf("PATCH", "Patient/ann", `{"resourceType":"Parameters"}`))},
		{"PATCH", "Patient/ann", "", "application/json-patch+json", `[{"op":"add","path":"/gender","value":"male"}]`},
		{"POST", "Patient/_search", "_sort=-birthdate", "application/x-www-form-urlencoded", "name=a"},
		{"PUT", "Patient", "identifier=a|b", "application/fhir+xml", `<Patient xmlns="http://hl7.org/fhir"/>`},
		{"GET", "Patient/_history", "_since=2020&_page=x", "text/html", ""},
		{"DELETE", "Patient", "_has:Observation:subject:code=1", "", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4])
	}
	d := dbtest.SQLite(f, nil)
	k := deskOn(f, d, nil)
	k.fill()
	f.Fuzz(func(t *testing.T, method, path, query, media, body string) {
		switch method {
		case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		default:
			method = "GET"
		}
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: "/north/fhir/" + path, RawQuery: query}
		r.Header["X-As"], r.Header["Content-Type"], r.Header["Accept"] = []string{"system"}, []string{media}, []string{media}
		w := httptest.NewRecorder()
		k.api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s?%s: %d %s", method, path, query, w.Code, w.Body)
		}
		if w.Code >= 400 && method != "HEAD" && strings.HasPrefix(w.Header().Get("Content-Type"), "application/fhir+json") {
			if n, issues := fhir.Parse(w.Body.Bytes()); issues.HasErrors() || n.Get("resourceType").Text() != "OperationOutcome" {
				t.Fatalf("%s %s?%s: %v %s", method, path, query, issues, w.Body)
			}
		}
	})
}
