package fhirapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

type obj = map[string]any

// openapi answers GET [base]/openapi.json: the interface in OpenAPI 3.1, from the same tables as the capability statement. Like
// that, it is nobody's secret.
func (x *exchange) openapi() {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.w.Header().Set("Allow", "GET, HEAD")
		x.refuse(withStatus(http.StatusMethodNotAllowed, fhir.Problem("not-supported", x.r.Method+" does nothing at this address.", "Use GET.")))
		return
	}
	if err := x.throttle(); err != nil {
		x.refuse(err)
		return
	}
	b := &bundleWriter{b: make([]byte, 0, len(x.api.openapiBody())+512)}
	b.raw(`{"openapi":"3.1.0","info":{"title":`).text("FHIR interface of " + x.practice.Name).raw(`,"version":`).text(x.api.o.Version)
	b.raw(`,"summary":"FHIR R4 (4.0.1) REST"},"servers":[{"url":`).text(x.base).raw(`}],`).bytes(x.api.openapiBody()[1:])
	x.w.Header().Set("Cache-Control", public.Get("Cache-Control"))
	x.write(http.StatusOK, "application/json", b.b)
}

// openapiBody is the part that is the same for every practice. It is made once.
func (a *API) openapiBody() []byte {
	a.openapiOnce.Do(func() {
		paths := obj{}
		all := a.Describe("")
		for _, i := range all.Interactions {
			describe(paths, i.Path, i.Method, a.openapiAct("", i, nil))
		}
		a.openapiOps(paths, all)
		for _, typ := range fhir.ResourceTypes() {
			d := a.Describe(typ)
			for _, i := range d.Interactions {
				describe(paths, i.Path, i.Method, a.openapiAct(typ, i, d.Params))
			}
			describe(paths, typeSearch.path(typ), "POST", obj{"tags": []string{typ}, "operationId": "searchByPost" + typ, "summary": "search-type, parameters in the body",
				"requestBody": obj{"content": obj{"application/x-www-form-urlencoded": obj{"schema": obj{"type": "object"}}}}, "responses": answers("200")})
			a.openapiOps(paths, d)
		}
		params := obj{
			"id":      obj{"name": "id", "in": "path", "required": true, "schema": obj{"type": "string", "pattern": `^[A-Za-z0-9\-.]{1,64}$`}},
			"version": obj{"name": "version", "in": "path", "required": true, "schema": obj{"type": "integer", "minimum": 1}},
		}
		for _, p := range all.Params {
			params[p.Name] = obj{"name": p.Name, "in": "query", "description": p.Type, "schema": obj{"type": "string"}}
		}
		for _, name := range []string{"_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total"} {
			params[name] = obj{"name": name, "in": "query", "description": "result parameter", "schema": obj{"type": "string"}}
		}
		body, _ := json.Marshal(obj{ // maps of strings, numbers and lists always marshal
			"paths":    paths,
			"security": []obj{{"token": []string{}}, {"session": []string{}}},
			"components": obj{
				"parameters": params,
				"securitySchemes": obj{
					"token":   obj{"type": "http", "scheme": "bearer", "description": "An access token of SMART App Launch 2; see .well-known/smart-configuration."},
					"session": obj{"type": "apiKey", "in": "cookie", "name": "session", "description": "Somebody who is signed in, from this server's own pages only."},
				},
				"headers": obj{
					"RateLimit-Limit":     obj{"description": "Requests a client may send within a window.", "schema": obj{"type": "integer"}},
					"RateLimit-Remaining": obj{"description": "Requests that are left.", "schema": obj{"type": "integer"}},
					"RateLimit-Reset":     obj{"description": "Seconds until the budget is whole again.", "schema": obj{"type": "integer"}},
				},
				"schemas": obj{
					"Resource":         obj{"type": "object", "required": []string{"resourceType"}, "properties": obj{"resourceType": obj{"type": "string"}, "id": obj{"type": "string"}}},
					"OperationOutcome": obj{"type": "object", "required": []string{"resourceType", "issue"}, "properties": obj{"resourceType": obj{"const": "OperationOutcome"}, "issue": obj{"type": "array", "minItems": 1}}},
				},
				"responses": obj{
					"Resource": answer("What was asked for.", "Resource"),
					"Created":  answer("It was stored; Location and ETag name it.", "Resource"),
					"None":     obj{"description": "Done; there is nothing to show."},
					"Problem":  answer("What is wrong, where, and what to do about it.", "OperationOutcome"),
				},
			},
		})
		a.openapiBytes = body
	})
	return a.openapiBytes
}

func describe(paths obj, path, method string, what obj) {
	at, ok := paths[path].(obj)
	if !ok {
		at = obj{}
		var places []obj
		for _, name := range []string{"id", "version"} {
			if strings.Contains(path, "{"+name+"}") {
				places = append(places, ref("parameters", name))
			}
		}
		if places != nil {
			at["parameters"] = places
		}
		paths[path] = at
	}
	at[strings.ToLower(method)] = what
}

func ref(kind, name string) obj { return obj{"$ref": "#/components/" + kind + "/" + name} }

func answer(words, schema string) obj {
	budget := obj{}
	for _, h := range []string{"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} {
		budget[h] = ref("headers", h)
	}
	s := obj{"schema": ref("schemas", schema)}
	return obj{"description": words, "headers": budget, "content": obj{"application/fhir+json": s, "application/fhir+xml": obj{}}}
}

// answers lists the statuses of an interaction; everything else is a problem.
func answers(status ...string) obj {
	out := obj{"default": ref("responses", "Problem")}
	for _, s := range status {
		out[s] = ref("responses", map[string]string{"200": "Resource", "201": "Created", "204": "None", "304": "None"}[s])
	}
	return out
}

func (a *API) openapiAct(typ string, i Interaction, params []SearchParam) obj {
	tag := typ
	if tag == "" {
		tag = "System"
	}
	o := obj{"tags": []string{tag}, "operationId": strings.ReplaceAll(i.Code, "-", "") + typ, "summary": i.Code}
	body := obj{"required": true, "content": obj{"application/fhir+json": obj{"schema": ref("schemas", "Resource")}, "application/fhir+xml": obj{}}}
	switch i.Code {
	case "capabilities":
		o["security"], o["responses"] = []obj{}, answers("200", "304")
	case "create":
		o["requestBody"], o["responses"] = body, answers("200", "201")
	case "update":
		o["requestBody"], o["responses"] = body, answers("200", "201")
	case "patch":
		o["requestBody"] = obj{"required": true, "content": obj{"application/json-patch+json": obj{"schema": obj{"type": "array"}}, "application/fhir+json": obj{"schema": ref("schemas", "Resource")}}}
		o["responses"] = answers("200")
	case "delete":
		o["responses"] = answers("200", "204")
	case "transaction":
		o["requestBody"], o["responses"] = body, answers("200")
	case "search-type":
		var in []obj
		for _, p := range params {
			q := obj{"name": p.Name, "in": "query", "description": p.Type, "schema": obj{"type": "string"}}
			if n := len(p.Targets); n > 0 && n < 6 {
				q["description"] = p.Type + " to " + strings.Join(p.Targets, ", ")
			}
			in = append(in, q)
		}
		for _, name := range []string{"_id", "_lastUpdated", "_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total"} {
			in = append(in, ref("parameters", name))
		}
		o["parameters"], o["responses"] = in, answers("200")
	case "read":
		o["responses"] = answers("200", "304")
	default:
		o["responses"] = answers("200")
	}
	return o
}

func (a *API) openapiOps(paths obj, d Described) {
	for _, op := range d.Operations {
		for _, path := range op.Paths(d.Type) {
			tag, what := d.Type, "type"
			switch {
			case tag == "":
				tag, what = "System", "system"
			case strings.Contains(path, "{id}"):
				what = "instance"
			}
			var in []obj
			for _, p := range op.Params {
				if !p.Out && p.Type != "" && p.Type != "Resource" {
					in = append(in, obj{"name": p.Name, "in": "query", "description": strings.TrimSpace(p.Type + ". " + p.Doc), "schema": obj{"type": "string"}})
				}
			}
			id := strings.TrimPrefix(op.Name, "$")
			o := func(method string) obj {
				o := obj{"tags": []string{tag}, "operationId": id + "-" + method + "-" + what + "-" + tag, "summary": op.Name, "responses": answers("200", "204")}
				if op.Doc != "" {
					o["description"] = op.Doc
				}
				return o
			}
			post := o("post")
			post["requestBody"] = obj{"content": obj{"application/fhir+json": obj{"schema": ref("schemas", "Resource")}, "application/fhir+xml": obj{}}}
			describe(paths, path, "POST", post)
			if !op.Affects {
				get := o("get")
				if in != nil {
					get["parameters"] = in
				}
				describe(paths, path, "GET", get)
			}
		}
	}
}
