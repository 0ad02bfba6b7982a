package fhirapi

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// TestCapabilityStatementOfPractices: each practice's statement names the profiles and guides that it took in, and no other's.
func TestCapabilityStatementOfPractices(t *testing.T) {
	const theirs, all = "https://guide.example.org/born|1.0.0", "https://guide.example.org/all"
	south := &guides.Supported{Profiles: map[string][]string{"Patient": {theirs, all}}, Guides: []string{"https://guide.example.org/guide|1.0.0"}}
	k := deskOn(t, dbtest.SQLite(t, nil), func(o *Options) {
		o.Guides = []string{"https://guide.example.org/everywhere|1"}
		o.Profiles = func(typ string) []string { return map[string][]string{"Patient": {all}}[typ] }
		o.Supported = func(_ context.Context, p auth.Practice) (*guides.Supported, error) {
			if p.Slug == "south" {
				return south, nil
			}
			return &guides.Supported{}, nil
		}
	})
	for _, practice := range []string{"north", "south", "north", "south"} {
		r := k.ask("", "GET", "/"+practice+"/fhir/metadata", "")
		if has := strings.Contains(r.body, theirs) && strings.Contains(r.body, "https://guide.example.org/guide|1.0.0"); has != (practice == "south") || r.status != 200 {
			t.Errorf("%s: %d, the guide of south is named: %t", practice, r.status, has)
		}
		if strings.Count(r.body, `"`+all+`"`) != 1 || !strings.Contains(r.body, "everywhere|1") {
			t.Errorf("%s: what everybody has is named %d times", practice, strings.Count(r.body, `"`+all+`"`))
		}
	}
}

// TestCapabilityStatementTellsTheTruth asks for everything that the statement promises.
func TestCapabilityStatementTellsTheTruth(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := deskOn(t, d, nil)
		k.api.Register(Operation{Name: "$hello", Levels: Type | System, Types: []string{"Patient"}, Run: func(ctx context.Context, c *Call) (*Answer, error) { return &Answer{Resource: fhir.Outcome()}, nil }})
		r := k.must(200, "", "GET", "metadata", "")
		n, issues := fhir.Parse([]byte(r.body))
		if err := issues.Err(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d KB", len(r.body)>>10)
		if r.header.Get("Cache-Control") != "public, max-age=300" || r.header.Get("RateLimit-Limit") == "" {
			t.Errorf("%v", r.header)
		}
		if x := k.must(200, "", "GET", "metadata", "", "Accept: application/fhir+xml"); !strings.Contains(x.body, `<fhirVersion value="4.0.1"/>`) {
			t.Errorf("XML: %.300s", x.body)
		}
		rest := &n.Get("rest").Items()[0]
		types := 0
		for i := range rest.Get("resource").Items() {
			res := &rest.Get("resource").Items()[i]
			typ := res.Get("type").Text()
			types++
			for j := range res.Get("interaction").Items() {
				code := res.Get("interaction").Items()[j].Get("code").Text()
				method, path := http.MethodGet, typ+"/none"
				switch code {
				case "vread":
					path += "/_history/1"
				case "history-instance":
					path += "/_history"
				case "history-type":
					path = typ + "/_history"
				case "search-type":
					path = typ
				case "update":
					method = http.MethodPut
				case "patch":
					method = http.MethodPatch
				case "delete":
					method = http.MethodDelete
				case "create":
					method, path = http.MethodPost, typ
				}
				at, err := parsePath(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := k.api.resolve(method, at); err != nil {
					t.Errorf("%s %s is promised: %v", code, typ, err)
				}
			}
			for j := range res.Get("searchParam").Items() {
				p := &res.Get("searchParam").Items()[j]
				checkParam(t, typ, p)
			}
		}
		if types != len(fhir.ResourceTypes()) {
			t.Errorf("%d types", types)
		}
		for j := range rest.Get("searchParam").Items() {
			checkParam(t, "Patient", &rest.Get("searchParam").Items()[j])
		}
		if !strings.Contains(rest.Get("operation").String(), `"name":"hello"`) {
			t.Error("an operation of the system is missing")
		}
		k.must(200, "system", "POST", "$hello", "")
		k.must(200, "system", "GET", "Patient/$hello", "")
		k.must(404, "system", "GET", "Patient/x/$hello", "")
		k.must(400, "system", "GET", "Patient/$hello?name=x", "")
		if r := k.must(404, "system", "GET", "Observation/$hello", ""); !strings.Contains(r.body, "no operation $hello") {
			t.Errorf("%s", r.body)
		}
	})
}

// checkParam searches with a promised parameter.
func checkParam(t *testing.T, typ string, p *fhirjson.Node) {
	t.Helper()
	value := map[string]string{"date": "2020", "number": "1", "quantity": "1", "reference": typ + "/1", "uri": "http://x", "special": "x", "composite": ""}[p.Get("type").Text()]
	if value == "" {
		value = "x"
	}
	if p.Get("type").Text() == "composite" {
		return // its parts have types of their own
	}
	name := p.Get("name").Text()
	if _, issues := fhirsearch.ParseQuery(typ, map[string][]string{name: {value}}); issues.HasErrors() {
		for _, i := range issues {
			if i.Code == "not-supported" {
				t.Errorf("%s of %s is promised: %v", name, typ, i.Text)
			}
		}
	}
}
