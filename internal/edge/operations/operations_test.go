package operations

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// room is an interface with these operations over a test database. The header X-As says who asks.
type room struct {
	t   *testing.T
	api *fhirapi.API
	log *audit.Log
}

// ask sends a request; path may be a whole address from an answer.
func (r room) ask(as, method, path, body string) (int, string) {
	path = strings.TrimPrefix(path, "https://ehr.example.org/north/fhir/")
	q := httptest.NewRequest(method, "/north/fhir/"+path, strings.NewReader(body))
	q.Header.Set("X-As", as)
	if body != "" {
		q.Header.Set("Content-Type", "application/fhir+json")
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, q)
	return w.Code, w.Body.String()
}

func (r room) put(resources ...string) {
	r.t.Helper()
	for _, x := range resources {
		var head struct{ ResourceType, ID string }
		if err := json.Unmarshal([]byte(x), &head); err != nil {
			r.t.Fatal(err)
		}
		if code, body := r.ask("system", "PUT", head.ResourceType+"/"+head.ID, x); code != 201 && code != 200 {
			r.t.Fatalf("%s: %d %s", x, code, body)
		}
	}
}

// set is a searchset as a test looks at it.
type set struct {
	Total *int
	Link  []struct{ Relation, URL string }
	Entry []struct {
		Resource struct{ ResourceType, ID string }
		Search   struct {
			Mode  string
			Score float64
		}
	}
}

func (s set) next() string {
	for _, l := range s.Link {
		if l.Relation == "next" {
			return l.URL
		}
	}
	return ""
}

// refs are the entries of a mode, sorted.
func (s set) refs(mode string) string {
	var out []string
	for _, e := range s.Entry {
		if e.Search.Mode == mode {
			out = append(out, e.Resource.ResourceType+"/"+e.Resource.ID)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (r room) set(as, path string) (s set) {
	r.t.Helper()
	code, body := r.ask(as, "GET", path, "")
	if code != 200 {
		r.t.Fatalf("%s: %d %s", path, code, body)
	}
	if issues := valid(body); issues != nil {
		r.t.Errorf("%s is not valid FHIR: %v", path, issues)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func valid(body string) error {
	_, issues := fhir.Parse([]byte(body))
	return issues.Err()
}

// last is the newest entry of the audit.
func (r room) last() audit.Entry {
	r.t.Helper()
	out, err := r.log.Find(context.Background(), auth.SystemScope(1, "test"), audit.Filter{Limit: 1})
	if err != nil || len(out) != 1 {
		r.t.Fatal(out, err)
	}
	return out[0]
}

func each(t *testing.T, fn func(t *testing.T, r room)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		look := auth.CanRead | auth.CanSearch
		as := map[string]db.Scope{
			"system": auth.SystemScope(1, "test"), "clinician": auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", "clinician"),
			"desk": auth.AsStaff(1, 8, "Front", "Practitioner/front", "frontdesk"),
			"ann":  auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": look, "Observation": look, "Practitioner": look}, Compartment: "Patient/ann"}),
			"plain": auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": look | auth.CanUpdate, "Observation": look | auth.CanUpdate, "Encounter": look,
				"DocumentReference": look}, Forbidden: auth.LabelRestricted}),
		}
		r := room{t: t, log: log, api: fhirapi.New(fhirapi.Options{DB: d.DB, Store: store, Audit: log, Origin: "https://ehr.example.org",
			Practice: func(context.Context, string) (auth.Practice, error) { return auth.Practice{ID: 1, Slug: "north"}, nil },
			Authenticate: func(q *http.Request, p auth.Practice) (db.Scope, error) {
				if s := as[q.Header.Get("X-As")]; s != nil {
					return s, nil
				}
				return nil, fhir.Problem("login", "You are not signed in.", "Send an access token.")
			}})}
		r.api.Register(Operations()...)
		r.api.Register(Match(patient.NewDirectory(d.DB, store)))
		fn(t, r)
	})
}

const restricted = `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},`

func observation(id, patient, code, day, more string) string {
	return `{"resourceType":"Observation","id":"` + id + `",` + more + `"status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"coding":[` + code +
		`]},"subject":{"reference":"Patient/` + patient + `"},"effectiveDateTime":"` + day + `"}`
}

func (r room) fill() {
	r.put(`{"resourceType":"Organization","id":"clinic","name":"Clinic"}`, `{"resourceType":"Practitioner","id":"kind","name":[{"family":"Kind"}]}`,
		`{"resourceType":"PractitionerRole","id":"role","practitioner":{"reference":"Practitioner/kind"},"organization":{"reference":"Organization/clinic"}}`,
		`{"resourceType":"Patient","id":"ann","name":[{"family":"Alder"}],"generalPractitioner":[{"reference":"PractitionerRole/role"}]}`,
		`{"resourceType":"Patient","id":"bob","name":[{"family":"Birch"}]}`,
		`{"resourceType":"Encounter","id":"visit","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"},"period":{"start":"2026-01-10T09:00:00Z","end":"2026-01-10T10:00:00Z"}}`,
		observation("o1", "ann", `{"system":"s","code":"a"}`, "2026-01-10", `"encounter":{"reference":"Encounter/visit"},`),
		observation("o2", "ann", `{"system":"s","code":"a"},{"system":"t","code":"b"}`, "2026-02-10", ``),
		observation("o3", "ann", `{"system":"t","code":"b"}`, "2026-03-10", ``),
		observation("o4", "ann", `{"system":"s","code":"c"}`, "2025-03-10", restricted),
		observation("p1", "bob", `{"system":"s","code":"a"}`, "2026-01-10", ``))
}

func TestEverything(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		const whole = "Encounter/visit Observation/o1 Observation/o2 Observation/o3 Observation/o4 Patient/ann"
		s := r.set("clinician", "Patient/ann/$everything")
		if got := s.refs("match"); got != whole || *s.Total != 6 || s.Entry[0].Resource.ID != "ann" {
			t.Errorf("the record: %s", got)
		}
		if got := s.refs("include"); got != "Organization/clinic Practitioner/kind PractitionerRole/role" {
			t.Errorf("named in it: %s", got)
		}
		e := r.last()
		if e.Action != audit.ActionRead || e.Type != "Patient" || e.Event.ID != "ann" || e.Patient != "Patient/ann" || e.Labels&auth.LabelRestricted == 0 {
			t.Errorf("audit: %+v", e)
		}
		for _, ref := range strings.Fields(whole + " Organization/clinic PractitionerRole/role") {
			if !slices.Contains(e.Links, ref) {
				t.Errorf("audit without %s: %v", ref, e.Links)
			}
		}
		// page by page the same
		var all []string
		path := "Patient/ann/$everything?_count=2"
		for n := 0; path != "" && n < 9; n++ {
			s := r.set("clinician", path)
			if got := strings.Fields(s.refs("match")); len(got) > 2 {
				t.Errorf("a page of 2 has %v", got)
			} else {
				all = append(all, got...)
			}
			if s.Total != nil {
				t.Error("a page tells a total")
			}
			path = s.next()
		}
		slices.Sort(all)
		if got := strings.Join(all, " "); got != whole {
			t.Errorf("the pages: %s", got)
		}
		for _, c := range []struct{ as, path, want string }{
			{"clinician", "Patient/ann/$everything?start=2026-02-01&_type=Observation", "Observation/o2 Observation/o3"},
			{"clinician", "Patient/ann/$everything?start=2026-01-01&end=2026-01-31", "Encounter/visit Observation/o1 Patient/ann"},
			{"clinician", "Patient/ann/$everything?end=2025", "Observation/o4 Patient/ann"},
			{"clinician", "Patient/ann/$everything?_type=Observation,Encounter&_since=2000-01-01T00:00:00Z", "Encounter/visit Observation/o1 Observation/o2 Observation/o3 Observation/o4"},
			{"clinician", "Patient/ann/$everything?_since=2100-01-01T00:00:00Z", ""},
			{"clinician", "Patient/$everything?_type=Observation,Organization", "Observation/o1 Observation/o2 Observation/o3 Observation/o4 Observation/p1"},
			{"desk", "Patient/ann/$everything", "Encounter/visit Patient/ann"},
			{"plain", "Patient/ann/$everything?_type=Observation", "Observation/o1 Observation/o2 Observation/o3"},
			{"ann", "Patient/$everything", "Observation/o1 Observation/o2 Observation/o3 Observation/o4 Patient/ann"},
			{"clinician", "Encounter/visit/$everything", "Encounter/visit Observation/o1"},
		} {
			if got := r.set(c.as, c.path).refs("match"); got != c.want {
				t.Errorf("%s %s: %s, not %s", c.as, c.path, got, c.want)
			}
		}
		if got := r.set("plain", "Encounter/visit/$everything").refs("include"); got != "Patient/ann" {
			t.Errorf("a visit's patient: %s", got)
		}
		page := r.set("clinician", "Patient/ann/$everything?_count=2").next()
		refusals(t, r, []refusal{
			{"ann", "GET", "Patient/bob/$everything", "", 404, "no such"},
			{"clinician", "GET", "Patient/none/$everything", "", 404, "no such"},
			{"clinician", "GET", "Patient/ann/$everything?_type=Observations", "", 400, "_type"},
			{"clinician", "GET", "Patient/ann/$everything?start=2026-02&end=2026-01", "", 400, "before the start"},
			{"clinician", "GET", "Patient/ann/$everything?_since=2026", "", 400, "_since"},
			{"clinician", "GET", "Patient/ann/$everything?_count=none", "", 400, "_count"},
			{"clinician", "GET", "Patient/ann/$everything?nonsense=1", "", 400, "nonsense"},
			{"clinician", "GET", strings.Replace(page, "Patient/ann", "Patient/bob", 1), "", 400, "page link"},
		})
	})
}

type refusal struct {
	as, method, path, body string
	status                 int
	has                    string
}

func refusals(t *testing.T, r room, list []refusal) {
	t.Helper()
	for _, c := range list {
		code, body := r.ask(c.as, c.method, c.path, c.body)
		if code != c.status || !strings.Contains(body, c.has) || strings.Contains(body, "Alder") || strings.Contains(body, "Birch") {
			t.Errorf("%s %s %s: %d, want %d with %q\n%.500s", c.as, c.method, c.path, code, c.status, c.has, body)
		}
	}
}

func TestLastN(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		for _, c := range []struct{ as, path, want string }{
			// o1 and o3 share their codes through o2
			{"clinician", "Observation/$lastn?patient=ann&category=vital-signs", "Observation/o3 Observation/o4"},
			{"clinician", "Observation/$lastn?patient=ann&category=vital-signs&max=2", "Observation/o2 Observation/o3 Observation/o4"},
			{"clinician", "Observation/$lastn?patient=ann&code=s|a", "Observation/o2"},
			{"clinician", "Observation/$lastn?patient=ann,bob&code=s|a", "Observation/o2 Observation/p1"},
			{"plain", "Observation/$lastn?patient=ann&category=vital-signs", "Observation/o3"},
			{"ann", "Observation/$lastn?patient=ann,bob&code=s|a", "Observation/o2"},
		} {
			if got := r.set(c.as, c.path).refs("match"); got != c.want {
				t.Errorf("%s %s: %s, not %s", c.as, c.path, got, c.want)
			}
		}
		r.set("clinician", "Observation/$lastn?patient=ann&code=s|a")
		if e := r.last(); e.Patient != "Patient/ann" || !slices.Contains(e.Links, "Observation/o2") || slices.Contains(e.Links, "Observation/o1") {
			t.Errorf("audit: %+v", e)
		}
		refusals(t, r, []refusal{
			{"clinician", "GET", "Observation/$lastn?patient=ann", "", 400, "category or a code"},
			{"clinician", "GET", "Observation/$lastn?code=a", "", 400, "needs a patient"},
			{"clinician", "GET", "Observation/$lastn?patient=ann&code=a&max=0", "", 400, "max"},
			{"clinician", "GET", "Observation/$lastn?patient=ann&code=a&_sort=date", "", 400, "_sort"},
			{"desk", "GET", "Observation/$lastn?patient=ann&code=a", "", 403, "forbidden"},
		})
	})
}

func TestDocref(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		document := func(id, code, made, from, to, status string) string {
			return `{"resourceType":"DocumentReference","id":"` + id + `","status":"` + status + `","type":{"coding":[{"system":"http://loinc.org","code":"` + code + `"}]},"subject":{"reference":"Patient/ann"},"date":"` + made +
				`","content":[{"attachment":{"contentType":"text/plain"}}],"context":{"period":{"start":"` + from + `","end":"` + to + `"}}}`
		}
		r.put(document("d1", "34133-9", "2025-01-02T00:00:00Z", "2026-01-01", "2026-01-31", "current"), document("d2", "34133-9", "2025-06-02T00:00:00Z", "2024-01-01", "2024-12-31", "current"),
			document("d3", "11506-3", "2026-01-02T00:00:00Z", "2026-01-01", "2026-01-02", "current"), document("d4", "34133-9", "2026-01-02T00:00:00Z", "2026-01-01", "2026-01-02", "superseded"))
		for _, c := range []struct{ path, want string }{
			{"DocumentReference/$docref?patient=ann", "DocumentReference/d2"},
			{"DocumentReference/$docref?patient=Patient/ann&type=http://loinc.org|11506-3", "DocumentReference/d3"},
			{"DocumentReference/$docref?patient=ann&start=2023-01-01", "DocumentReference/d1 DocumentReference/d2"},
			{"DocumentReference/$docref?patient=ann&start=2025-01-01&end=2026-06-01", "DocumentReference/d1"},
			{"DocumentReference/$docref?patient=ann&on-demand=true", ""},
			{"DocumentReference/$docref?patient=ann&profile=http://example.org/p", ""},
		} {
			if got := r.set("clinician", c.path).refs("match"); got != c.want {
				t.Errorf("%s: %s, not %s", c.path, got, c.want)
			}
		}
		code, body := r.ask("clinician", "POST", "DocumentReference/$docref", `{"resourceType":"Parameters","parameter":[{"name":"patient","valueId":"ann"},{"name":"type","valueCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"11506-3"}]}}]}`)
		if code != 200 || !strings.Contains(body, `"d3"`) || strings.Contains(body, `"d1"`) {
			t.Errorf("posted: %d %s", code, body)
		}
		if e := r.last(); e.Patient != "Patient/ann" || !slices.Contains(e.Links, "DocumentReference/d3") || e.Detail != "$docref" {
			t.Errorf("audit: %+v", e)
		}
		refusals(t, r, []refusal{
			{"clinician", "GET", "DocumentReference/$docref", "", 400, "patient"},
			{"clinician", "GET", "DocumentReference/$docref?patient=none", "", 404, "no such"},
			{"clinician", "GET", "DocumentReference/$docref?patient=ann&start=soon", "", 400, "not a date"},
			{"ann", "GET", "DocumentReference/$docref?patient=ann", "", 403, "forbidden"},
		})
	})
}

// TestMetaOfMany asks what occurs in the meta of a type and of everything: only what the caller may see.
func TestMetaOfMany(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		r.put(observation("t1", "ann", `{"code":"a"}`, "2026-01-10", `"meta":{"profile":["http://x.test/p"],"tag":[{"system":"s","code":"t"}]},`), observation("t2", "bob", `{"code":"a"}`, "2026-01-10", `"meta":{"tag":[{"system":"s","code":"t"},{"system":"s","code":"u"}]},`))
		for _, c := range []struct{ as, path, want string }{
			{"clinician", "Observation/$meta", `{"profile":["http://x.test/p"],"tag":[{"system":"s","code":"t"},{"system":"s","code":"u"}],"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}`},
			{"plain", "Observation/$meta", `{"profile":["http://x.test/p"],"tag":[{"system":"s","code":"t"},{"system":"s","code":"u"}]}`},
			{"ann", "$meta", `{"profile":["http://x.test/p"],"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}],"tag":[{"system":"s","code":"t"}]}`},
			{"plain", "Patient/$meta", ``},
		} {
			code, body := r.ask(c.as, "GET", c.path, "")
			var got, want struct {
				Parameter []struct {
					ValueMeta struct {
						Profile       []string
						Tag, Security []struct{ System, Code string }
					}
				}
			}
			in := `{"parameter":[{"valueMeta":` + c.want + `}]}`
			if c.want == "" {
				in = `{}`
			}
			if err := errors.Join(json.Unmarshal([]byte(body), &got), json.Unmarshal([]byte(in), &want)); err != nil {
				t.Fatal(err)
			}
			for i := range got.Parameter {
				m := &got.Parameter[i].ValueMeta
				slices.SortFunc(m.Tag, func(a, b struct{ System, Code string }) int { return strings.Compare(a.Code, b.Code) })
			}
			if code != 200 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: %d %s, not %s", c.as, c.path, code, body, c.want)
			}
		}
		if code, _ := r.ask("desk", "GET", "Observation/$meta", ""); code != 403 {
			t.Errorf("the front desk learns the labels of observations: %d", code)
		}
	})
}

func TestMeta(t *testing.T) {
	meta := func(inner, more string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{` + inner + `}}` + more + `]}`
	}
	const (
		tag   = `"tag":[{"system":"http://example.org","code":"t"}],"profile":["http://example.org/p"]`
		label = `"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]`
		why   = `,{"name":"reason","valueString":"entered by mistake"}`
	)
	each(t, func(t *testing.T, r room) {
		r.fill()
		for _, c := range []struct {
			as, path, body string
			status         int
			has, hasNot    string
		}{
			{"clinician", "Observation/o1/$meta", "", 200, `"versionId":"1"`, "example.org"},
			{"clinician", "Observation/o1/$meta-add", meta(tag, ""), 200, `"versionId":"2"`, ""},
			{"clinician", "Observation/o1/$meta-add", meta(tag, ""), 200, `"versionId":"2"`, ""}, // nothing new, no version
			{"clinician", "Observation/o1/$meta", "", 200, "http://example.org/p", ""},
			{"clinician", "Observation?_tag=http://example.org|t", "", 200, `"o1"`, `"o2"`},
			{"clinician", "Observation/o1/$meta-delete", meta(`"tag":[{"system":"http://example.org","code":"t"}]`, ""), 200, "http://example.org/p", `"tag"`},
			{"clinician", "Observation/o1/$meta-add", meta(label, ""), 200, `"R"`, ""},
			{"plain", "Observation/o1/$meta", "", 404, "no such", ""},
			{"plain", "Observation/o1/$meta-add", meta(tag, ""), 404, "no such", ""},
			{"plain", "Observation/o2/$meta-add", meta(tag, ""), 200, "example.org", ""},
			{"ann", "Observation/p1/$meta", "", 404, "no such", ""},
			{"ann", "Observation/o2/$meta-add", meta(label, ""), 403, "forbidden", ""},
			{"clinician", "Observation/o1/$meta-delete", meta(label, ""), 400, "why", ""},
			{"desk", "Encounter/visit/$meta-add", meta(label, ""), 403, "forbidden", ""}, // nobody hides what they see from themself
			{"desk", "Encounter/visit/$meta-delete", meta(label, why), 200, `"versionId":"1"`, ""},
			{"clinician", "Encounter/visit/$meta-add", meta(label, ""), 200, `"R"`, ""},
			{"desk", "Encounter/visit/$meta-delete", meta(label, why), 404, "no such", ""},
			{"system", "Observation/o1/$meta-delete", meta(label, why), 200, "DECLASSIFYLABEL", `"R"`},
			{"plain", "Observation/o1/$meta", "", 200, "DECLASSIFYLABEL", ""},
			{"system", "Observation/o1/$meta-add", meta(`"lastUpdated":"2020-01-01T00:00:00Z"`, ""), 400, "Only profile, tag and security", ""},
			{"system", "Observation/o1/$meta-add", meta(`"tag":"x"`, ""), 400, "list", ""},
			{"system", "Observation/none/$meta-add", meta(tag, ""), 404, "no such", ""},
		} {
			method := "POST"
			if c.body == "" {
				method = "GET"
			}
			code, body := r.ask(c.as, method, c.path, c.body)
			if code != c.status || !strings.Contains(body, c.has) || c.hasNot != "" && strings.Contains(body, c.hasNot) {
				t.Errorf("%s %s %s: %d, want %d with %q without %q\n%.600s", c.as, c.path, c.body, code, c.status, c.has, c.hasNot, body)
			}
		}
		if code, _ := r.ask("clinician", "GET", "Observation/o1/$meta-add", ""); code != 405 {
			t.Errorf("a GET that changes something: %d", code)
		}
	})
}

func TestMatch(t *testing.T) {
	const who = `"name":[{"family":"Okafor","given":["Maria"]}],"birthDate":"1968-03-14","gender":"female"`
	ask := func(inner, more string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"resource","resource":{"resourceType":"Patient",` + inner + `}}` + more + `]}`
	}
	const reach = `,"telecom":[{"system":"phone","value":"555 010 2030"}]`
	each(t, func(t *testing.T, r room) {
		r.put(`{"resourceType":"Patient","id":"maria",`+who+reach+`,"identifier":[{"system":"urn:m","value":"77"}]}`,
			`{"resourceType":"Patient","id":"mario","name":[{"family":"Okafor","given":["Mario"]}],"birthDate":"1968-03-14","gender":"male"}`,
			`{"resourceType":"Patient","id":"hidden",`+restricted+who+reach+`}`,
			`{"resourceType":"Patient","id":"other","name":[{"family":"Lindqvist","given":["Per"]}],"birthDate":"1990-01-01"}`)
		for _, c := range []struct {
			as, body   string
			status     int
			has, lacks string
		}{
			{"clinician", ask(who+reach, ""), 200, `"valueCode":"certain"|same date of birth|"maria"|"hidden"`, "other"},
			{"plain", ask(who+reach, ""), 200, `"valueCode":"certain"|"maria"`, `"hidden"`},
			{"plain", ask(who+reach, `,{"name":"onlyCertainMatches","valueBoolean":true}`), 200, `"total":1`, `"mario"`},
			{"clinician", ask(who+reach, `,{"name":"onlyCertainMatches","valueBoolean":true}`), 200, `"total":0|multiple-matches`, `"maria"`},
			{"plain", ask(who, ""), 200, `"probable"`, `"certain"`},
			{"plain", ask(`"identifier":[{"system":"urn:m","value":"77"}]`, ""), 200, `"maria"|same identifier`, `"mario"`},
			{"plain", ask(`"name":[{"family":"Nobody","given":["Here"]}]`, ""), 200, `"total":0`, `"entry"`},
			{"plain", ask(who, `,{"name":"count","valueInteger":1}`), 200, `"total":1`, `"mario"`},
			{"plain", `{"resourceType":"Patient",` + who + `}`, 200, `"maria"`, ""},
			{"plain", ask(`"nome":1`, ""), 400, "nome", ""},
			{"plain", `{"resourceType":"Parameters"}`, 400, "resource", ""},
			{"ann", ask(who, ""), 403, "forbidden", "Okafor"},
		} {
			code, body := r.ask(c.as, "POST", "Patient/$match", c.body)
			ok := code == c.status && (c.lacks == "" || !strings.Contains(body, c.lacks))
			for has := range strings.SplitSeq(c.has, "|") {
				ok = ok && strings.Contains(body, has)
			}
			if !ok || valid(body) != nil {
				t.Errorf("%s %s: %d, want %d with %s without %s (%v)\n%.1500s", c.as, c.body, code, c.status, c.has, c.lacks, valid(body), body)
			}
		}
		r.ask("plain", "POST", "Patient/$match", ask(who+reach, `,{"name":"onlyCertainMatches","valueBoolean":true}`))
		if e := r.last(); e.Patient != "Patient/maria" || e.Action != audit.ActionSearch || e.Detail != "$match" {
			t.Errorf("audit: %+v", e)
		}
	})
}

func TestDiff(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		r.put(observation("o1", "ann", `{"system":"s","code":"z"}`, "2026-01-10", `"encounter":{"reference":"Encounter/visit"},`))
		r.put(observation("o5", "ann", `{"system":"s","code":"z"}`, "2026-01-11", restricted), observation("o5", "ann", `{"system":"s","code":"y"}`, "2026-01-11", ``))
		for _, c := range []struct {
			as, path   string
			status     int
			has, lacks string
		}{
			{"clinician", "Observation/o1/$diff", 200, `{"name":"path","valueString":"Observation.code.coding[0].code"},{"name":"value","valueCode":"z"}`, "lastUpdated"},
			{"clinician", "Observation/o1/$diff?fromVersion=2&toVersion=1", 200, `"valueCode":"a"`, `"valueCode":"z"`},
			{"clinician", "Observation/o1/$diff?includeMeta=true", 200, "Observation.meta.versionId", ""},
			{"clinician", "$diff?from=Observation/o1/_history/1&to=Observation/o2", 200, "Observation.id", ""},
			{"clinician", "$diff?from=Observation/o1&to=Patient/ann", 400, "different types", ""},
			{"clinician", "$diff?from=Observation/o1&to=nonsense", 400, "Type/id", ""},
			{"clinician", "Observation/o2/$diff", 422, "before the first", ""},
			{"clinician", "Observation/o1/$diff?fromVersion=9", 404, "no such", ""},
			{"clinician", "Observation/o1/$diff?fromVersion=x", 400, "fromVersion", ""},
			{"plain", "Observation/o5/$diff", 404, "no such", "coding"},
			{"ann", "Observation/p1/$diff", 404, "no such", "coding"},
			{"ann", "$diff?from=Observation/o1&to=Observation/p1", 404, "no such", "coding"},
		} {
			code, body := r.ask(c.as, "GET", c.path, "")
			if code != c.status || !strings.Contains(body, c.has) || c.lacks != "" && strings.Contains(body, c.lacks) || valid(body) != nil {
				t.Errorf("%s %s: %d, want %d with %s without %s\n%.800s", c.as, c.path, code, c.status, c.has, c.lacks, body)
			}
		}
		r.ask("clinician", "GET", "$diff?from=Observation/o1/_history/1&to=Observation/o2", "")
		if e := r.last(); e.Type != "Observation" || e.Patient != "Patient/ann" {
			t.Errorf("audit: %+v", e)
		}
	})
}
