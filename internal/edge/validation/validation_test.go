package validation

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/edge/fhirapi"
)

const (
	good   = `{"resourceType":"Patient","name":[{"family":"Kind"}],"gender":"female"}`
	flawed = "{\"resourceType\":\"Patient\",\n\"contact\":[{\"gender\":\"female\"}]}"
	uscore = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
)

// row is a request, its status, and what must and must not appear in the answer.
type row struct {
	as, method, path, body, media string
	status                        int
	has, lacks                    string
}

func TestValidate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		g := guides.New(d.DB, store, codes.New(d.DB, store, codes.Options{}))
		store.Judge, store.Targets = g.Checker, g.Targets
		as := map[string]db.Scope{"clinician": auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", "clinician"), "system": auth.SystemScope(1, "test"),
			"app": auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead}, Compartment: "Patient/ann"})}
		api := fhirapi.New(fhirapi.Options{DB: d.DB, Store: store, Audit: log, Origin: "https://ehr.example.org",
			Practice: func(context.Context, string) (auth.Practice, error) { return auth.Practice{ID: 1, Slug: "north"}, nil },
			Authenticate: func(r *http.Request, p auth.Practice) (db.Scope, error) {
				return as[r.Header.Get("X-As")], nil
			}})
		api.Register(Operation(g))
		ask := func(x row) *httptest.ResponseRecorder {
			r := httptest.NewRequest(x.method, "/north/fhir/"+x.path, strings.NewReader(x.body))
			r.Header.Set("X-As", x.as)
			if x.media == "" {
				x.media = "application/fhir+json"
			}
			r.Header.Set("Content-Type", x.media)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			return w
		}
		for _, id := range []string{"ann", "bob"} {
			if w := ask(row{as: "system", method: "PUT", path: "Patient/" + id, body: strings.Replace(good, `"name"`, `"id":"`+id+`","name"`, 1)}); w.Code >= 300 {
				t.Fatal(w.Body)
			}
		}
		if w := ask(row{as: "system", method: "PUT", path: "Measure/m", body: `{"resourceType":"Measure","id":"m","url":"https://ehr.example.org/Measure/m","status":"active","group":[{"population":[{"code":{"text":"a"},"criteria":{"language":"text/cql","expression":"x"}}]}]}`}); w.Code >= 300 {
			t.Fatal(w.Body)
		}
		counted := func(code string) string {
			return `{"resourceType":"MeasureReport","status":"complete","type":"summary","measure":"https://ehr.example.org/Measure/m","period":{"start":"2024","end":"2024"},"group":[{"population":[{"code":{"text":"` + code + `"},"count":1}]}]}`
		}
		params := func(parts string) string {
			return `{"resourceType":"Parameters","parameter":[` + parts + `]}`
		}
		for name, x := range map[string]row{
			"valid":               {"clinician", "POST", "Patient/$validate", good, "", 200, `"severity":"information"`, `"error"`},
			"broken rule":         {"clinician", "POST", "Patient/$validate", flawed, "", 200, "pat-1", ""},
			"its place":           {"clinician", "POST", "Patient/$validate", flawed, "", 200, "Line[2] Col[12]", ""},
			"XML":                 {"clinician", "POST", "Patient/$validate", `<Patient xmlns="http://hl7.org/fhir"><contact><gender value="female"/></contact></Patient>`, "application/fhir+xml", 200, "pat-1", ""},
			"profile asked":       {"clinician", "POST", "Patient/$validate?profile=" + uscore, good, "", 200, "Patient.identifier", ""},
			"profile in body":     {"clinician", "POST", "Patient/$validate", params(`{"name":"resource","resource":` + good + `},{"name":"profile","valueCanonical":"` + uscore + `"}`), "", 200, "Patient.identifier", ""},
			"by its measure":      {"clinician", "POST", "MeasureReport/$validate", counted("a"), "", 200, "warning", `"error"`},
			"not its measure":     {"clinician", "POST", "MeasureReport/$validate", counted("b"), "", 200, "nothing with this code", ""},
			"name of a code":      {"clinician", "POST", "Patient/$validate", strings.Replace(good, `"gender"`, `"maritalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Widowed"}]},"gender"`, 1), "", 200, "not what the code system calls the code", `"error"`},
			"name, strictly":      {"clinician", "POST", "Patient/$validate?mode=profile&profile=http://hl7.org/fhir/StructureDefinition/Patient", strings.Replace(good, `"gender"`, `"maritalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Widowed"}]},"gender"`, 1), "", 200, `"error"`, ""},
			"unknown profile":     {"clinician", "POST", "Patient/$validate?profile=https://nobody.example.org/p", good, "", 200, "import guide", ""},
			"wrong type":          {"clinician", "POST", "Observation/$validate", good, "", 200, "not of the type of the address", ""},
			"update without id":   {"clinician", "POST", "Patient/$validate?mode=update", good, "", 200, "An update names the id", ""},
			"update, other id":    {"clinician", "POST", "Patient/ann/$validate?mode=update", strings.Replace(good, `"name"`, `"id":"bob","name"`, 1), "", 200, "not that of the address", ""},
			"stored":              {"clinician", "GET", "Patient/ann/$validate", "", "", 200, "The resource is valid", ""},
			"stored, by profile":  {"clinician", "GET", "Patient/ann/$validate?profile=" + uscore, "", "", 200, "Patient.identifier", ""},
			"delete":              {"clinician", "GET", "Patient/ann/$validate?mode=delete", "", "", 200, "can be deleted", ""},
			"delete what is not":  {"clinician", "GET", "Patient/nobody/$validate?mode=delete", "", "", 404, "", "can be deleted"},
			"not yours":           {"app", "GET", "Patient/bob/$validate", "", "", 404, "", "valid"},
			"unknown mode":        {"clinician", "POST", "Patient/$validate?mode=perhaps", good, "", 400, "create, update, delete or profile", ""},
			"mode without it":     {"clinician", "POST", "Patient/$validate?mode=profile", good, "", 400, "needs a profile", ""},
			"nothing to check":    {"clinician", "POST", "Patient/$validate", "", "", 400, "no resource to check", ""},
			"not JSON":            {"clinician", "POST", "Patient/$validate", "{", "", 400, "", ""},
			"unknown parameter":   {"clinician", "POST", "Patient/$validate?profil=x", good, "", 400, "profile", ""},
			"leads nowhere":       {"clinician", "POST", "Patient/$validate", strings.Replace(good, `"name"`, `"link":[{"type":"seealso","other":{"reference":"Patient/none"}}],"name"`, 1), "", 200, "Patient.link[0].other.reference", `"error"`},
			"leads somewhere":     {"clinician", "POST", "Patient/$validate", strings.Replace(good, `"name"`, `"link":[{"type":"seealso","other":{"reference":"Patient/bob"}}],"name"`, 1), "", 200, "The resource is valid", `"warning"`},
			"not a resource type": {"clinician", "POST", "Patient/$validate", `{"resourceType":"Patint"}`, "", 200, `Write \"Patient\"`, ""},
		} {
			w := ask(x)
			body := w.Body.String()
			if w.Code != x.status || !strings.Contains(body, x.has) || x.lacks != "" && strings.Contains(body, x.lacks) {
				t.Errorf("%s: %d, want %d with %q without %q\n%s", name, w.Code, x.status, x.has, x.lacks, body)
			}
		}
		// What is stored is judged by the same rules.
		for name, x := range map[string]row{
			"broken rule":      {"system", "POST", "Patient", flawed, "", 422, "pat-1", ""},
			"declared profile": {"system", "POST", "Patient", `{"resourceType":"Patient","meta":{"profile":["` + uscore + `"]},"gender":"female"}`, "", 400, "us-core-patient", ""},
			"unknown profile":  {"system", "POST", "Patient", `{"resourceType":"Patient","meta":{"profile":["https://nobody.example.org/p"]},"gender":"female"}`, "", 201, "", ""},
		} {
			if w := ask(x); w.Code != x.status || !strings.Contains(w.Body.String(), x.has) {
				t.Errorf("write, %s: %d %s", name, w.Code, w.Body)
			}
		}
	})
}
