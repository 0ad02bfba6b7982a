package graphql

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// room is an interface with $graphql over a test database. The header X-As says who asks.
type room struct {
	t   *testing.T
	api *fhirapi.API
	log *audit.Log
	as  map[string]db.Scope
}

func each(t *testing.T, fn func(t *testing.T, r room)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		log := audit.New(d.DB)
		look := auth.CanRead | auth.CanSearch
		r := room{t: t, log: log, as: map[string]db.Scope{
			"system": auth.SystemScope(1, "test"), "desk": auth.AsStaff(1, 8, "Front", "Practitioner/front", "frontdesk"),
			"ann": auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": look, "Observation": look, "Practitioner": look}, Compartment: "Patient/ann"}),
		}}
		r.api = fhirapi.New(fhirapi.Options{DB: d.DB, Store: fhirstore.New(d.DB, log), Audit: log, Origin: "https://ehr.example.org",
			Practice: func(context.Context, string) (auth.Practice, error) { return auth.Practice{ID: 1, Slug: "north"}, nil },
			Authenticate: func(q *http.Request, p auth.Practice) (db.Scope, error) {
				if s := r.as[q.Header.Get("X-As")]; s != nil {
					return s, nil
				}
				return nil, fhir.Problem("login", "You are not signed in.", "Send an access token.")
			}})
		r.api.Register(Operation())
		fn(t, r)
	})
}

func (r room) ask(as, method, path, media, body string) (int, string) {
	q := httptest.NewRequest(method, "/north/fhir/"+path, strings.NewReader(body))
	q.Header.Set("X-As", as)
	if media != "" {
		q.Header.Set("Content-Type", media)
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
		if code, body := r.ask("system", "PUT", head.ResourceType+"/"+head.ID, "application/fhir+json", x); code != 201 && code != 200 {
			r.t.Fatalf("%s: %d %s", x, code, body)
		}
	}
}

// query asks at the root, or at a resource with "Patient/ann {…}".
func (r room) query(as, text string) (int, string) {
	at, q, _ := strings.Cut(text, "{")
	if at = strings.TrimSpace(at); strings.Contains(at, "/") && !strings.HasPrefix(at, "query") {
		return r.ask(as, "GET", at+"/$graphql?query="+url.QueryEscape("{"+q), "", "")
	}
	return r.ask(as, "POST", "$graphql", "application/graphql", text)
}

const chalmers = `{"resourceType":"Patient","id":"ann","identifier":[{"system":"urn:oid:1.2","value":"12345"}],"active":true,"birthDate":"1974-12-25",
	"_birthDate":{"extension":[{"url":"http://x.test/time","valueDateTime":"1974-12-25T14:35:45-05:00"}]},
	"name":[{"use":"official","family":"Chalmers","given":["Peter","James"]},{"use":"usual","given":["Jim"]},{"use":"maiden","family":"Windsor","given":["Peter","James"]}],
	"generalPractitioner":[{"reference":"Practitioner/kind"}]}`

func (r room) fill() {
	r.put(`{"resourceType":"Practitioner","id":"kind","name":[{"family":"Kind"}]}`, chalmers, `{"resourceType":"Patient","id":"bob","name":[{"family":"Birch"}]}`,
		`{"resourceType":"Observation","id":"o1","status":"final","code":{"coding":[{"system":"s","code":"a"}],"text":"A, b"},"subject":{"reference":"Patient/ann"},"performer":[{"reference":"Practitioner/kind"}],"effectiveDateTime":"2026-01-10","valueQuantity":{"value":1.50,"unit":"kg"}}`,
		`{"resourceType":"Observation","id":"o2","status":"preliminary","code":{"coding":[{"system":"s","code":"b"}]},"subject":{"reference":"https://ehr.example.org/north/fhir/Patient/ann"},"effectiveDateTime":"2026-02-10","valueString":"x"}`,
		`{"resourceType":"Observation","id":"p1","status":"final","code":{"coding":[{"system":"s","code":"a"}]},"subject":{"reference":"Patient/bob"},"effectiveDateTime":"2026-03-10"}`,
		`{"resourceType":"Observation","id":"lost","status":"final","code":{"text":"lost"},"subject":{"reference":"#p"},"performer":[{"reference":"Practitioner/gone"}],"contained":[{"resourceType":"Patient","id":"p","birthDate":"2001"}]}`)
}

// TestQueries is the table of what queries answer.
func TestQueries(t *testing.T) {
	answers := []struct{ query, want string }{
		// fields
		{`Patient/ann {id resourceType active birthDate gender}`, `{"id":"ann","resourceType":"Patient","active":true,"birthDate":"1974-12-25","gender":null}`},
		{`Patient/ann {birthDate _birthDate {extension {valueDateTime}}}`, `{"birthDate":"1974-12-25","_birthDate":{"extension":[{"valueDateTime":"1974-12-25T14:35:45-05:00"}]}}`},
		{`Patient/ann {__typename name(use: official) {__typename family}}`, `{"__typename":"Patient","name":[{"__typename":"HumanName","family":"Chalmers"}]}`},
		{`{Observation(id: "o1") {valueQuantity {value unit} valueString}}`, `{"Observation":{"valueQuantity":{"value":1.50,"unit":"kg"},"valueString":null}}`},
		{`{a: Patient(id: "ann") {id} b: Patient(id: "bob") {who: id}}`, `{"a":{"id":"ann"},"b":{"who":"bob"}}`},
		// narrowed lists
		{`Patient/ann {name(fhirpath: "family.exists()", _offset: 1) {family}}`, `{"name":[{"family":"Windsor"}]}`},
		{`Patient/ann {name(use: [usual, maiden], _count: 1) {given}}`, `{"name":[{"given":["Jim"]}]}`},
		{`Patient/ann {name(fhirpath: "$index = 1") {given @first}}`, `{"name":[{"given":["Jim"]}]}`},
		{`Patient/ann {name @first {given @first family @singleton}}`, `{"name":[{"given":["Peter"],"family":"Chalmers"}]}`},
		{`Patient/ann {name(use: old) {family} identifier(system: "urn:oid:1.2") {value}}`, `{"name":null,"identifier":[{"value":"12345"}]}`},
		// directives that rearrange
		{`Patient/ann {identifier @flatten {system value} active name @flatten {text given family}}`,
			`{"system":["urn:oid:1.2"],"value":["12345"],"active":true,"given":["Peter","James","Jim","Peter","James"],"family":["Chalmers","Windsor"]}`},
		{`Patient/ann {identifier @flatten {system @singleton value @singleton} name @flatten @first {given family @singleton}}`,
			`{"system":"urn:oid:1.2","value":"12345","given":["Peter","James"],"family":"Chalmers"}`},
		{`Patient/ann {name @flatten @slice(path: "use") {given family @singleton}}`,
			`{"given.official":["Peter","James"],"family.official":"Chalmers","given.usual":["Jim"],"given.maiden":["Peter","James"],"family.maiden":"Windsor"}`},
		{`Patient/ann {name @flatten @slice(path: "$index") {given @first @singleton}}`, `{"given.0":"Peter","given.1":"Jim","given.2":"Peter"}`},
		{`Patient/ann {name @skip(if: true) {family} id @include(if: true)}`, `{"id":"ann"}`},
		// references
		{`{Observation(id: "o1") {subject {resource {id ... on Patient {birthDate} ... on Group {quantity}}} performer {resource(type: Practitioner) {name {family}}}}}`,
			`{"Observation":{"subject":{"resource":{"id":"ann","birthDate":"1974-12-25"}},"performer":[{"resource":{"name":[{"family":"Kind"}]}}]}}`},
		{`{Observation(id: "o2") {subject {resource(type: Group) {name} resource(type: Patient) {active}}}}`, `{"Observation":{"subject":{"resource":{"active":true}}}}`},
		{`{Observation(id: "lost") {subject {resource {... on Patient {birthDate}}} performer {reference resource(optional: true) {id}}}}`,
			`{"Observation":{"subject":{"resource":{"birthDate":"2001"}},"performer":[{"reference":"Practitioner/gone","resource":null}]}}`},
		{`{Patient(id: "ann") {generalPractitioner {resource {... on Practitioner {PatientList(_reference: general_practitioner) {id}}}}}}`,
			`{"Patient":{"generalPractitioner":[{"resource":{"PatientList":[{"id":"ann"}]}}]}}`},
		{`Patient/ann {ObservationList(_reference: patient, status: final, _sort: "date") {id code {coding {code}}}}`, `{"ObservationList":[{"id":"o1","code":{"coding":[{"code":"a"}]}}]}`},
		// searches
		{`{ObservationList(code: "s|a", _sort: "date") {id}}`, `{"ObservationList":[{"id":"o1"},{"id":"p1"}]}`},
		{`{ObservationList(_id: ["o1", o2], _sort: "-date") {id}}`, `{"ObservationList":[{"id":"o2"},{"id":"o1"}]}`},
		{`{ObservationList(_filter: "subject:Patient.family eq Birch") {id}}`, `{"ObservationList":[{"id":"p1"}]}`},
		{`{ObservationList(fhirpath: "value.exists()", _sort: "date") {id}}`, `{"ObservationList":[{"id":"o1"},{"id":"o2"}]}`},
		{`{ObservationList(_count: 1, _offset: 1, _sort: "date", code: ["s|a", "s|b"]) {id}}`, `{"ObservationList":[{"id":"o2"}]}`},
		{`{PatientList(general_practitioner: "Practitioner/kind") {id} PatientConnection(name: "birch") {count pagesize offset next edges {mode score resource {id}}}}`,
			`{"PatientList":[{"id":"ann"}],"PatientConnection":{"count":1,"pagesize":50,"offset":0,"next":null,"edges":[{"mode":"match","score":null,"resource":{"id":"bob"}}]}}`},
		{`{PatientList(name: "Chalmers, Windsor") {id}}`, `{"PatientList":[]}`},
		// fragments, variables, merging
		{`query q {ObservationList(status: final, patient: "bob") {...o ... on Observation {status}}} fragment o on Observation {id status}`, `{"ObservationList":[{"id":"p1","status":"final"}]}`},
		{`query ($p: String = "Patient/bob", $n: Int) {ObservationList(patient: $p, _count: $n) {id}}`, `{"ObservationList":[{"id":"p1"}]}`},
		{`Patient/ann {name(use: usual) {given} name(use: usual) {use}}`, `{"name":[{"given":["Jim"],"use":"usual"}]}`},
		{`{__type(name: "HumanName") {kind fields {name type {kind name ofType {name}}}}}`,
			`{"__type":{"kind":"OBJECT","fields":[{"name":"id","type":{"kind":"SCALAR","name":"String","ofType":null}},{"name":"_id","type":{"kind":"OBJECT","name":"Element","ofType":null}},{"name":"extension","type":{"kind":"LIST","name":null,"ofType":{"name":"Extension"}}}`},
	}
	each(t, func(t *testing.T, r room) {
		r.fill()
		for _, c := range answers {
			code, body := r.query("system", c.query)
			got := strings.TrimSuffix(strings.TrimPrefix(body, `{"data":`), "}")
			if code != 200 || got != c.want && !(strings.Contains(c.query, "__type(") && strings.HasPrefix(got, c.want)) {
				t.Errorf("%s: %d\n got %s\nwant %s", c.query, code, body, c.want)
			}
		}
	})
}

// TestRefusals is the table of what is refused, with its status and what is said.
func TestRefusals(t *testing.T) {
	deep := strings.Repeat("generalPractitioner {resource(type: Practitioner) {PatientList(_reference: general_practitioner) {", 3)
	bomb := "{Patient(id: ann) {...a0}}" // each fragment eight times the next
	for i := range 8 {
		next := strings.Repeat(fmt.Sprintf("...a%d ", i+1), 8)
		if i == 7 {
			next = "id"
		}
		bomb += fmt.Sprintf(" fragment a%d on Patient {%s}", i, next)
	}
	refusals := []struct {
		as, query string
		status    int
		must      string
	}{
		{"", `{PatientList {id}}`, 401, "not signed in"},
		{"system", ``, 400, "no query"},
		{"system", `{PatientList {id}`, 400, `"locations":[{"line":1`},
		{"system", `mutation {PatientCreate {id}}`, 400, "for reading"},
		{"system", `{PatientList {nome}}`, 400, "Did you mean name?"},
		{"system", `{PatientList {name}}`, 400, "no plain value"},
		{"system", `{PatientList {id {x}}}`, 400, "plain value without fields"},
		{"system", `{PatientList {birthDate(x: 1)}}`, 400, "takes no arguments"},
		{"system", `{PatientList(famly: "x") {id}}`, 400, "Did you mean family?"},
		{"system", `{PatientList(birthdate: "never") {id}}`, 400, "birthdate"},
		{"system", `{PatientLst {id}}`, 400, "no query"},
		{"system", `{PateintList {id}}`, 400, "Did you mean Patient?"},
		{"system", `{Patient {id}}`, 400, "needs an id"},
		{"system", `{Patient(id: "none") {id}}`, 404, "no such Patient"},
		{"system", `{Observation(id: "lost") {performer {resource {id}}}}`, 404, "leads to nothing"},
		{"system", `{Patient(id: "ann") {ObservationList {id}}}`, 400, "needs _reference"},
		{"system", `{Patient(id: "ann") {ObservationList(_reference: code) {id}}}`, 400, "no reference"},
		{"system", `{Patient(id: "ann") {ObservationConnection(_reference: patient, cursor: "x") {count}}}`, 400, "no argument"},
		{"system", `{PatientConnection(cursor: "AAAA") {count}}`, 400, "does not belong"},
		{"system", `{Patient(id: "ann") {name @upper {family}}}`, 400, "no directive"},
		{"system", `{Patient(id: "ann") {name @flatten {given family @singleton}}}`, 400, "more than one value"},
		{"system", `{Patient(id: "ann") {name(fhirpath: "family.(") {family}}}`, 400, "FHIRPath"},
		{"system", `{Patient(id: "ann") {x: id x: active}}`, 400, "twice"},
		{"system", `{Patient(id: "ann") {...f}} fragment f on Patient {...f}`, 413, "levels deep"},
		{"system", `{Patient(id: "ann") {...f}}`, 400, "no fragment"},
		{"system", `query ($p: String!) {Patient(id: $p) {id}}`, 400, "has no value"},
		{"system", `{Patient(id: $p) {id}}`, 400, "no variable"},
		{"system", `{Patient(id: ann) {` + deep + `id`, 400, "well formed"},
		{"system", `{Patient(id: ann) {` + deep + `id` + strings.Repeat("}", 11), 413, "levels deep"},
		{"system", `{PatientList {` + strings.Repeat("id ", 6000) + `}}`, 413, "more than 5000 fields"},
		{"system", `{PatientList {` + strings.Repeat("id ", 12000) + `}}`, 413, "words and signs"},
		{"system", bomb, 413, "more than 5000 fields"},
		{"desk", `{ObservationList {id}}`, 403, "may not"},
		{"desk", `{Observation(id: "o1") {id}}`, 403, "may not"},
		{"ann", `{Observation(id: "p1") {id}}`, 404, "no such Observation"},
		{"ann", `Patient/bob {id}`, 404, "no such Patient"},
	}
	each(t, func(t *testing.T, r room) {
		r.fill()
		for _, c := range refusals {
			code, body := r.query(c.as, c.query)
			var answer struct {
				Data   any
				Errors []struct {
					Message    string
					Extensions struct{ Resource struct{ ResourceType string } }
				}
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err, body)
			}
			if len(answer.Errors) == 0 || answer.Data != nil || answer.Errors[0].Extensions.Resource.ResourceType != "OperationOutcome" {
				t.Errorf("%.200s: not the form of an error: %s", c.query, body)
			}
			if code != c.status || !strings.Contains(body, c.must) {
				t.Errorf("%s %.200s: %d without %q\n%.600s", c.as, c.query, code, c.must, body)
			}
		}
	})
}

// TestWaysToAsk sends one query in every way there is, in a Bundle too, and looks at the audit.
func TestWaysToAsk(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		const want = `{"data":{"PatientList":[{"id":"bob"}]}}`
		const q = `query a($n: String) {PatientList(name: $n) {id}} query b {PatientList {id}}`
		for _, w := range []struct{ method, path, media, body string }{
			{"GET", "$graphql?operationName=a&variables=" + url.QueryEscape(`{"n":"birch"}`) + "&query=" + url.QueryEscape(q), "", ""},
			{"POST", "$graphql", "application/json", `{"query":` + quoted(q) + `,"operationName":"a","variables":{"n":"birch"}}`},
			{"POST", "$graphql?operationName=a&variables=" + url.QueryEscape(`{"n":"birch"}`), "application/graphql", q},
			{"POST", "$graphql", "application/fhir+json", `{"resourceType":"Parameters","parameter":[{"name":"query","valueString":"{PatientList(name: birch) {id}}"}]}`},
			{"POST", "$graphql", "application/json", `{"resourceType":"Parameters","parameter":[{"name":"query","valueString":"{PatientList(name: birch) {id}}"}]}`},
		} {
			code, body := r.ask("system", w.method, w.path, w.media, w.body)
			if code != 200 || body != want {
				t.Errorf("%s %s %s: %d %s", w.method, w.path, w.media, code, body)
			}
		}
		code, body := r.ask("system", "POST", "", "application/fhir+json", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"$graphql?query=%7BPatientList(name:birch)%7Bid%7D%7D"}}]}`)
		if code != 200 || !strings.Contains(body, `"resourceType":"Binary","contentType":"application/json"`) {
			t.Error(code, body)
		}
		r.query("system", `{ObservationList(_id: [o1, p1]) {id subject {resource {id}}}}`)
		e, err := r.log.Find(context.Background(), auth.SystemScope(1, "test"), audit.Filter{Limit: 1})
		if err != nil || len(e) != 1 {
			t.Fatal(err)
		}
		for _, ref := range []string{"Observation/o1", "Observation/p1", "Patient/ann", "Patient/bob"} {
			if !slices.Contains(e[0].Links, ref) {
				t.Errorf("the audit lacks %s: %+v", ref, e[0])
			}
		}
	})
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestConnections goes through pages with cursors.
func TestConnections(t *testing.T) {
	each(t, func(t *testing.T, r room) {
		r.fill()
		var ids []string
		query := `ObservationConnection(_count: 2, _sort: "_id", code: ["s|a", "s|b"])`
		for n := 0; query != "" && n < 5; n++ {
			code, body := r.query("system", `{c: `+query+` {count offset pagesize next edges {resource {id}}}}`)
			var a struct {
				Data struct {
					C struct {
						Count, Offset, Pagesize int
						Next                    string
						Edges                   []struct{ Resource struct{ ID string } }
					}
				}
			}
			if err := json.Unmarshal([]byte(body), &a); err != nil || code != 200 {
				t.Fatal(code, body)
			}
			c := a.Data.C
			if c.Count != 3 || c.Offset != len(ids) || c.Pagesize != 2 {
				t.Errorf("page %d: %s", n, body)
			}
			for _, e := range c.Edges {
				ids = append(ids, e.Resource.ID)
			}
			if query = ""; c.Next != "" {
				query = `ObservationConnection(cursor: "` + c.Next + `")`
				if code, _ := r.query("system", `{PatientConnection(cursor: "`+c.Next+`") {count}}`); code != 400 {
					t.Error("a cursor opens another search")
				}
			}
		}
		if strings.Join(ids, " ") != "o1 o2 p1" {
			t.Error(ids)
		}
	})
}

// TestSchema asks for the whole schema, as editors and generators do: it shows what the caller may ask for and nothing else.
func TestSchema(t *testing.T) {
	const whole = `query IntrospectionQuery {__schema {queryType {name} mutationType {name} subscriptionType {name} types {...FullType} directives {name description locations args {...InputValue}}}}
		fragment FullType on __Type {kind name description fields(includeDeprecated: true) {name description args {...InputValue} type {...TypeRef} isDeprecated deprecationReason}
			inputFields {...InputValue} interfaces {...TypeRef} enumValues(includeDeprecated: true) {name description isDeprecated deprecationReason} possibleTypes {...TypeRef}}
		fragment InputValue on __InputValue {name description type {...TypeRef} defaultValue}
		fragment TypeRef on __Type {kind name ofType {kind name ofType {kind name ofType {kind name ofType {kind name ofType {kind name ofType {kind name ofType {kind name}}}}}}}}`
	type typ struct {
		Kind, Name string
		OfType     *typ
	}
	type field struct {
		Name string
		Type typ
		Args []struct {
			Name string
			Type typ
		}
	}
	each(t, func(t *testing.T, r room) {
		for who, most := range map[string]int{"system": 64 << 20, "ann": 4 << 20} {
			code, body := r.query(who, whole)
			if code != 200 || len(body) > most {
				t.Fatalf("%s: %d, %d bytes %.300s", who, code, len(body), body)
			}
			t.Logf("%s: %d bytes", who, len(body))
			var a struct {
				Data struct {
					Schema struct {
						Types []struct {
							Kind, Name    string
							Fields        []field
							PossibleTypes []typ
						}
					} `json:"__schema"`
				}
			}
			if err := json.Unmarshal([]byte(body), &a); err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for _, t := range a.Data.Schema.Types {
				names[t.Name] = true
			}
			if !names["Patient"] || !names["PatientContact"] || !names["PatientConnection"] || names["Condition"] != (who == "system") || names["ConditionEdge"] != (who == "system") {
				t.Errorf("%s: types are not those that may be seen", who)
			}
			var known func(in string, x *typ)
			known = func(in string, x *typ) {
				if x.OfType != nil {
					known(in, x.OfType)
				} else if !names[x.Name] {
					t.Errorf("%s: %s has the type %q, which is not in the schema", who, in, x.Name)
				}
			}
			for _, x := range a.Data.Schema.Types {
				seen := map[string]bool{}
				for i := range x.Fields {
					f := &x.Fields[i]
					if seen[f.Name] {
						t.Errorf("%s.%s is there twice", x.Name, f.Name)
					}
					seen[f.Name] = true
					known(x.Name+"."+f.Name, &f.Type)
					args := map[string]bool{}
					for j := range f.Args {
						if args[f.Args[j].Name] {
							t.Errorf("%s.%s(%s) is there twice", x.Name, f.Name, f.Args[j].Name)
						}
						args[f.Args[j].Name] = true
						known(x.Name+"."+f.Name, &f.Args[j].Type)
					}
				}
			}
		}
	})
}
