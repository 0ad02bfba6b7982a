package operations

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
)

func TestViews(t *testing.T) {
	const columns = `"select":[{"column":[{"name":"id","path":"id"},{"name":"code","path":"code.coding.first().code"},{"name":"whose","path":"subject.getReferenceKey(Patient)"}]}]`
	const view = `{"resourceType":"ViewDefinition","resource":"Observation","status":"active",` + columns + `}`
	run := func(view, more string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"viewResource","resource":` + view + `}` + more + `]}`
	}
	named := func(name string) string { return `,{"name":"_format","valueCode":"` + name + `"}` }
	each(t, func(t *testing.T, r room) {
		r.fill()
		r.put(`{"resourceType":"Patient","id":"odd","name":[{"family":"=HYPERLINK(\"x\")"}]}`)
		for _, c := range []struct {
			as, body   string
			status     int
			has, lacks string
		}{
			{"clinician", run(view, ""), 200, `{"id":"o1","code":"a","whose":"Patient/ann"}` + "\n", ","},
			{"clinician", view, 200, `"id":"p1"`, ""},
			{"clinician", run(view, named("json")), 200, `[{"id":`, ""},
			{"clinician", run(view, named("csv")), 200, "id,code,whose\r\n", ""},
			{"clinician", run(view, named("csv")+`,{"name":"header","valueBoolean":false}`), 200, "o3,b,Patient/ann\r\n", "id,code"},
			{"clinician", run(`{"resource":"Patient","select":[{"column":[{"name":"f","path":"name.family"}]}]}`, named("csv")), 200, `"'=HYPERLINK(""x"")"`, ""},
			{"clinician", run(view, `,{"name":"patient","valueReference":{"reference":"Patient/bob"}}`), 200, `"p1"`, `"o1"`},
			{"clinician", run(view, `,{"name":"_since","valueInstant":"2100-01-01T00:00:00Z"}`), 200, "", `"o1"`},
			{"clinician", run(view, `,{"name":"resource","resource":{"resourceType":"Observation","id":"sent","code":{"coding":[{"code":"q"}]}}}`), 200, `{"id":"sent","code":"q","whose":null}`, `"o1"`},
			{"plain", run(view, ""), 200, `"o1"`, `"o4"`}, // a label hides it
			{"ann", run(view, ""), 200, `"o4"`, `"p1"`},
			{"desk", run(view, ""), 403, "forbidden", `"o1"`},
			{"clinician", run(view, named("parquet")), 400, "ndjson, json or csv", `"o1"`},
			{"clinician", run(view, `,{"name":"_limit","valueInteger":0}`), 400, "_limit", `"o1"`},
			{"clinician", run(view, `,{"name":"patient","valueReference":{"reference":"Group/g"}}`), 400, "Patient/id", `"o1"`},
			{"clinician", run(`{"resource":"Observation","select":[]}`, ""), 400, "selects nothing", ""},
			{"clinician", run(`{"resource":"Observation","select":[{"column":[{"name":"x","path":"code.coding"}]}]}`, ""), 422, "element with parts", ""},
			{"clinician", `{"resourceType":"Parameters"}`, 400, "viewResource", ""},
		} {
			code, body := r.ask(c.as, "POST", "$viewdefinition-run", c.body)
			if lacks := c.lacks; lacks == "," { // every line an object of its own
				for line := range strings.Lines(body) {
					if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}\n") {
						t.Errorf("a line of ndjson: %q", line)
					}
				}
			} else if lacks != "" && strings.Contains(body, lacks) {
				t.Errorf("%s %s: with %s\n%s", c.as, c.body, lacks, body)
			}
			if code != c.status || !strings.Contains(body, c.has) {
				t.Errorf("%s %s: %d, want %d with %q\n%.700s", c.as, c.body, code, c.status, c.has, body)
			}
		}
		if _, body := r.ask("clinician", "POST", "$viewdefinition-run", run(view, `,{"name":"_limit","valueInteger":2}`)); strings.Count(body, "\n") != 2 {
			t.Errorf("two rows: %s", body)
		}
		r.ask("ann", "POST", "$viewdefinition-run", run(view, ""))
		if e := r.last(); e.Action != audit.ActionSearch || e.Patient != "Patient/ann" || !slices.Contains(e.Links, "Observation/o4") || slices.Contains(e.Links, "Observation/p1") {
			t.Errorf("audit: %+v", e)
		}
		for _, c := range []struct{ query, accept, media string }{
			{"", "text/csv", "text/csv"}, {"?_format=csv", "", "text/csv"}, {"", "application/x-ndjson, */*", "application/x-ndjson"}, {"?_format=json", "", "application/json"}, {"", "application/fhir+json", "application/x-ndjson"},
		} {
			q := httptest.NewRequest("POST", "/north/fhir/$viewdefinition-run"+c.query, strings.NewReader(run(view, "")))
			q.Header.Set("X-As", "clinician")
			q.Header.Set("Content-Type", "application/fhir+json")
			if c.accept != "" {
				q.Header.Set("Accept", c.accept)
			}
			w := httptest.NewRecorder()
			r.api.ServeHTTP(w, q)
			if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), c.media) {
				t.Errorf("%s %s: %d %s", c.query, c.accept, w.Code, w.Header().Get("Content-Type"))
			}
		}
		code, body := r.ask("clinician", "POST", "", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"POST","url":"$viewdefinition-run"},"resource":`+run(view, "")+`}]}`)
		if code != 200 || !strings.Contains(body, `"resourceType":"Binary","contentType":"application/x-ndjson","data":"`) {
			t.Errorf("in a batch: %d %.600s", code, body)
		}
	})
}
