package fhirapi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// TestOpenAPITellsTheTruth holds the document against the router and against real answers.
func TestOpenAPITellsTheTruth(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	k := deskOn(t, d, nil)
	k.api.Register(Operation{Name: "$hello", Levels: Type | Instance | System, Types: []string{"Patient"}, Params: []Param{{Name: "name", Type: "string", Doc: "Whom to greet."}},
		Run: func(ctx context.Context, c *Call) (*Answer, error) { return &Answer{Resource: fhir.Outcome()}, nil }},
		Operation{Name: "$wave", Levels: Type, Types: []string{"Patient"}, Affects: true, Run: func(ctx context.Context, c *Call) (*Answer, error) { return nil, nil }})
	r := k.must(200, "", "GET", "openapi.json", "")
	t.Logf("%d KB", len(r.body)>>10)
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "public, max-age=300" || r.header.Get("RateLimit-Limit") == "" {
		t.Errorf("%v", r.header)
	}
	if o := k.must(200, "", "GET", "openapi.json", "", "Origin: https://elsewhere.example"); o.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", o.header)
	}
	k.must(405, "", "POST", "openapi.json", "{}")
	k.must(404, "", "GET", "/nowhere/fhir/openapi.json", "")
	doc := r.json(t)
	if doc["openapi"] != "3.1.0" || !strings.HasSuffix(doc["servers"].([]any)[0].(map[string]any)["url"].(string), "/north/fhir") {
		t.Errorf("%v %v", doc["openapi"], doc["servers"])
	}
	paths := doc["paths"].(map[string]any)
	ids := map[string]bool{}
	promised := map[string]bool{}
	for path, v := range paths {
		at := v.(map[string]any)
		declared := places(at["parameters"])
		if strings.Contains(path, "{id}") != slices.Contains(declared, "id") || strings.Contains(path, "{version}") != slices.Contains(declared, "version") {
			t.Errorf("%s: its places are %v", path, declared)
		}
		for method, v := range at {
			if method == "parameters" {
				continue
			}
			o := v.(map[string]any)
			id := o["operationId"].(string)
			if ids[id] {
				t.Errorf("operationId %s is there twice", id)
			}
			ids[id] = true
			method = strings.ToUpper(method)
			promised[method+" "+path] = true
			to, err := parsePath(strings.TrimPrefix(strings.NewReplacer("{id}", "x", "{version}", "1").Replace(path), "/"))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if _, _, err := k.api.resolve(method, to); err != nil {
				t.Errorf("%s %s is promised: %v", method, path, err)
			}
			if len(o["responses"].(map[string]any)) < 2 {
				t.Errorf("%s %s has no answers", method, path)
			}
		}
	}
	for _, typ := range []string{"Patient", "Observation"} { // what is routed is promised, but for conditional forms and HEAD
		for _, s := range []shape{instance, version, history, typeHistory, typeSearch} {
			for method := range k.api.acts(target{shape: s, typ: typ, id: "x", version: 1}) {
				if !promised[method+" "+s.path(typ)] {
					t.Errorf("%s %s is missing", method, s.path(typ))
				}
			}
		}
	}
	for _, p := range []string{"POST /$hello", "GET /Patient/$hello", "GET /Patient/{id}/$hello", "POST /Patient/$wave"} {
		if !promised[p] {
			t.Errorf("%s is missing", p)
		}
	}
	if promised["GET /Patient/$wave"] {
		t.Error("what changes something is promised for GET")
	}
	refs(t, doc, doc)

	// Real answers have the status, media type and headers that are promised.
	k.must(201, "system", "PUT", "Patient/ann", `{"resourceType":"Patient","id":"ann","name":[{"family":"Ash"}]}`)
	for _, c := range []struct {
		method, path, template, body string
		status                       string
	}{
		{"GET", "metadata", "/metadata", "", "200"},
		{"GET", "Patient/ann", "/Patient/{id}", "", "200"},
		{"GET", "Patient/ann/_history/1", "/Patient/{id}/_history/{version}", "", "200"},
		{"GET", "Patient/ann/_history", "/Patient/{id}/_history", "", "200"},
		{"GET", "Patient?family=ash&_count=1", "/Patient", "", "200"},
		{"GET", "Patient/none", "/Patient/{id}", "", "default"},
		{"GET", "Patient?colour=red", "/Patient", "", "default"},
		{"POST", "Patient", "/Patient", `{"resourceType":"Patient","name":[{"family":"Birch"}]}`, "201"},
		{"PUT", "Patient/ann", "/Patient/{id}", `{"resourceType":"Patient","id":"ann","name":[{"family":"Alder"}]}`, "200"},
		{"POST", "Patient", "/Patient", `{"resourceType":"Patient","nam":1}`, "default"},
		{"GET", "Patient/$hello?name=you", "/Patient/$hello", "", "200"},
		{"DELETE", "Patient/ann", "/Patient/{id}", "", "204"},
	} {
		a := k.ask("system", c.method, c.path, c.body)
		responses := paths[c.template].(map[string]any)[strings.ToLower(c.method)].(map[string]any)["responses"].(map[string]any)
		status := c.status
		if status != "default" && a.status != map[string]int{"200": 200, "201": 201, "204": 204}[status] || status == "default" && a.status < 400 {
			t.Errorf("%s %s: %d", c.method, c.path, a.status)
		}
		name, ok := responses[status].(map[string]any)
		if !ok {
			t.Errorf("%s %s: %s is not promised", c.method, c.path, status)
			continue
		}
		if a.header.Get("RateLimit-Remaining") == "" {
			t.Errorf("%s %s: no budget", c.method, c.path)
		}
		if a.status == 204 {
			continue
		}
		want := strings.TrimPrefix(name["$ref"].(string), "#/components/responses/")
		if !strings.HasPrefix(a.header.Get("Content-Type"), "application/fhir+json") {
			t.Errorf("%s %s: %s", c.method, c.path, a.header.Get("Content-Type"))
		}
		if is := a.json(t)["resourceType"]; (is == "OperationOutcome") != (want == "Problem") && c.template != "/Patient/$hello" {
			t.Errorf("%s %s: %v is no %s", c.method, c.path, is, want)
		}
	}
}

// places names the parameters that a path refers to.
func places(v any) (out []string) {
	list, _ := v.([]any)
	for _, p := range list {
		if r, ok := p.(map[string]any)["$ref"].(string); ok {
			out = append(out, strings.TrimPrefix(r, "#/components/parameters/"))
		}
	}
	return out
}

// refs follows every reference of the document.
func refs(t *testing.T, doc map[string]any, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if r, ok := v["$ref"].(string); ok {
			var at any = doc
			for _, step := range strings.Split(strings.TrimPrefix(r, "#/"), "/") {
				m, _ := at.(map[string]any)
				at = m[step]
			}
			if at == nil {
				b, _ := json.Marshal(v)
				t.Errorf("%s leads nowhere", b)
			}
		}
		for _, in := range v {
			refs(t, doc, in)
		}
	case []any:
		for _, in := range v {
			refs(t, doc, in)
		}
	}
}
