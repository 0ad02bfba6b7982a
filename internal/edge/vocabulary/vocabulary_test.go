package vocabulary

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
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

const (
	plants = `{"resourceType":"CodeSystem","id":"plants","url":"http://example.org/plants","version":"3","name":"Plants","status":"active","content":"complete","caseSensitive":true,"concept":[
{"code":"herb","display":"Herb","concept":[{"code":"yarrow","display":"Yarrow","designation":[{"language":"es","value":"Milenrama"}]},{"code":"mint","display":"Mint"}]},{"code":"oak","display":"Oak"}]}`
	herbs = `{"resourceType":"ValueSet","id":"herbs","url":"http://example.org/vs/herbs","name":"Herbs","status":"active","compose":{"include":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"is-a","value":"herb"}]}]}}`
	more  = `{"resourceType":"CodeSystem","id":"more","url":"http://example.org/plants-de","status":"active","content":"supplement","supplements":"http://example.org/plants","concept":[
{"code":"mint","designation":[{"language":"de","value":"Minze"}],"property":[{"code":"colour","valueString":"green"}]},{"code":"weed","display":"Weed"}]}`
	other = `{"resourceType":"CodeSystem","id":"other","url":"http://example.org/plants-old","status":"active","content":"supplement","supplements":"http://example.org/plants|2","concept":[{"code":"mint","designation":[{"language":"it","value":"Menta"}]}]}`
	uses  = `{"resourceType":"ConceptMap","id":"uses","url":"http://example.org/uses","status":"active","sourceCanonical":"http://example.org/vs/herbs|1","targetUri":"http://example.org/vs/uses","group":[{"source":"http://example.org/plants","target":"http://example.org/use","element":[{"code":"mint","target":[{"code":"tea","display":"Tea","equivalence":"wider"}]}]}]}`
)

type shop struct {
	t   *testing.T
	api *fhirapi.API
}

func (s shop) ask(as, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, "/north/fhir/"+path, strings.NewReader(body))
	r.Header.Set("X-As", as)
	if body != "" {
		r.Header.Set("Content-Type", "application/fhir+json")
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func each(t *testing.T, fn func(t *testing.T, s shop)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		log := audit.New(d.DB)
		store := fhirstore.New(d.DB, log)
		server := codes.New(d.DB, store, codes.Options{})
		as := map[string]db.Scope{"system": auth.SystemScope(1, "test"), "clinician": auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", "clinician"),
			"app": auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead}, Compartment: "Patient/ann"})}
		s := shop{t, fhirapi.New(fhirapi.Options{DB: d.DB, Store: store, Audit: log, Origin: "https://ehr.example.org", Terminology: Capabilities(server, "test"),
			Practice: func(ctx context.Context, slug string) (auth.Practice, error) {
				return auth.Practice{ID: 1, Slug: slug, Name: "North"}, nil
			},
			Authenticate: func(r *http.Request, p auth.Practice) (db.Scope, error) {
				if who := as[r.Header.Get("X-As")]; who != nil {
					return who, nil
				}
				return nil, fhir.Problem("login", "You are not signed in.", "Send an access token.")
			}})}
		s.api.Register(Operations(server)...)
		for _, x := range []string{plants, herbs, more, other, uses} {
			typ := x[len(`{"resourceType":"`):]
			typ = typ[:strings.IndexByte(typ, '"')]
			id := x[strings.Index(x, `"id":"`)+6:]
			id = id[:strings.IndexByte(id, '"')]
			if code, body := s.ask("system", "PUT", typ+"/"+id, x); code != 201 && code != 200 {
				t.Fatalf("%d %s", code, body)
			}
		}
		fn(t, s)
	})
}

func TestOperations(t *testing.T) {
	parameters := func(inner string) string { return `{"resourceType":"Parameters","parameter":[` + inner + `]}` }
	const p = "system=http://example.org/plants"
	each(t, func(t *testing.T, s shop) {
		for _, c := range []struct {
			as, method, path, body string
			status                 int
			has, hasNot            string
		}{
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=yarrow", "", 200, `"Milenrama"`, ""},
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=yarrow&displayLanguage=es", "", 200, `{"name":"display","valueString":"Milenrama"}`, ""},
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=yarrow&property=parent", "", 200, `"valueCode":"herb"`, "inactive"},
			{"clinician", "POST", "CodeSystem/$lookup", parameters(`{"name":"coding","valueCoding":{"system":"http://example.org/plants","code":"mint"}}`), 200, `"Mint"`, ""},
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=mint", "", 200, `"Minze"`, "Menta"},
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=mint&displayLanguage=de", "", 200, `{"name":"display","valueString":"Minze"}`, ""},
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=mint&property=colour", "", 200, `"green"`, ""},
			{"clinician", "GET", "ValueSet/herbs/$expand?displayLanguage=de", "", 200, `"Minze"`, "Weed"},
			{"clinician", "GET", "CodeSystem/$lookup?" + p + "&code=weed", "", 404, "not in Plants", ""},
			{"clinician", "GET", "CodeSystem/$lookup?system=http://example.org/none&code=a", "", 404, "yarrow import terminology", ""},
			{"clinician", "GET", "CodeSystem/$lookup?code=a", "", 400, "system", ""},
			{"clinician", "GET", "CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=male", "", 200, `"Male"`, ""},
			{"nobody", "GET", "CodeSystem/$lookup?" + p + "&code=yarrow", "", 401, "", "Milenrama"},
			{"app", "GET", "CodeSystem/$lookup?" + p + "&code=yarrow", "", 200, "Milenrama", ""},
			{"app", "GET", "ValueSet/herbs/$expand", "", 403, "", "yarrow"},

			{"clinician", "GET", "CodeSystem/$validate-code?url=http://example.org/plants&code=oak&display=Elm", "", 200, `its name is \"Oak\"`, `"valueBoolean":true`},
			{"clinician", "GET", "CodeSystem/$validate-code?url=http://example.org/plants&code=oak&display=oak", "", 200, `{"name":"result","valueBoolean":true}`, "its name is"},
			{"clinician", "GET", "CodeSystem/$validate-code?url=http://example.org/plants&code=oak&version=2", "", 200, `{"name":"result","valueBoolean":false}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=urn:iso:std:iso:3166&code=AU&display=Australia", "", 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=urn:iso:std:iso:3166&code=AUS", "", 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=urn:iso:std:iso:3166&code=au", "", 200, `{"name":"result","valueBoolean":false}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=urn:iso:std:iso:3166:-2&code=US-MN", "", 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=urn:iso:std:iso:3166:-2&code=ZZ-MN", "", 200, `{"name":"result","valueBoolean":false}`, ""},
			{"clinician", "GET", "CodeSystem/$subsumes?" + p + "&codeA=oak&codeB=mint", "", 200, `"valueCode":"not-subsumed"`, ""},
			{"clinician", "GET", "CodeSystem/$subsumes?" + p + "&codeA=oak&codeB=oak", "", 200, `"valueCode":"equivalent"`, ""},
			{"clinician", "GET", "ValueSet/herbs/$expand?count=0", "", 200, `"total":3`, `"contains"`},
			{"clinician", "GET", "ValueSet/herbs/$expand?offset=50&count=5", "", 200, `"total":3`, `"contains"`},
			{"clinician", "GET", "ValueSet/herbs/$expand?includeDesignations=true", "", 200, `"designation"`, ""},
			{"clinician", "GET", "ValueSet/herbs/$expand?activeOnly=true", "", 200, `"code":"mint"`, `"inactive":true`},
			{"clinician", "GET", "CodeSystem/plants/$validate-code?code=weed", "", 200, `{"name":"result","valueBoolean":false}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=http://unitsofmeasure.org&code=mcg", "", 200, "Write ug", ""},
			{"clinician", "POST", "CodeSystem/$validate-code", parameters(`{"name":"codeableConcept","valueCodeableConcept":{"coding":[{"system":"http://example.org/plants","code":"weed"},{"system":"http://example.org/plants","code":"oak"}]}}`), 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "POST", "CodeSystem/$validate-code", parameters(`{"name":"codeSystem","resource":{"resourceType":"CodeSystem","url":"http://example.org/own","status":"active","content":"complete","concept":[{"code":"a"}]}},{"name":"code","valueCode":"a"}`), 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "GET", "CodeSystem/$validate-code?url=http://example.org/plants", "", 400, "Which code", ""},

			{"clinician", "GET", "ValueSet/$validate-code?url=http://example.org/vs/herbs&" + p + "&code=mint", "", 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "GET", "ValueSet/herbs/$validate-code?" + p + "&code=oak", "", 200, "is not in Herbs", `"valueBoolean":true`},
			{"clinician", "GET", "ValueSet/$validate-code?url=http://example.org/vs/none&" + p + "&code=oak", "", 404, "is not here", ""},
			{"clinician", "GET", "ValueSet/$validate-code?url=http://hl7.org/fhir/us/core/ValueSet/omb-race-category&system=urn:oid:2.16.840.1.113883.6.238&code=2106-3", "", 200, `{"name":"result","valueBoolean":true}`, ""},
			{"clinician", "GET", "ValueSet/$validate-code?url=http://hl7.org/fhir/us/core/ValueSet/us-core-usps-state&system=https://www.usps.com/&code=ZZ", "", 200, `{"name":"result","valueBoolean":false}`, ""},

			{"clinician", "GET", "CodeSystem/$subsumes?" + p + "&codeA=herb&codeB=mint", "", 200, `"valueCode":"subsumes"`, ""},
			{"clinician", "GET", "CodeSystem/plants/$subsumes?codeA=mint&codeB=herb", "", 200, `"valueCode":"subsumed-by"`, ""},
			{"clinician", "POST", "CodeSystem/$subsumes", parameters(`{"name":"codingA","valueCoding":{"system":"http://example.org/plants","code":"oak"}},{"name":"codingB","valueCoding":{"system":"http://example.org/other","code":"a"}}`), 400, "different code systems", ""},

			{"clinician", "GET", "ValueSet/$expand?url=http://example.org/vs/herbs", "", 200, `"total":3`, "oak"},
			{"clinician", "GET", "ValueSet/herbs/$expand?filter=yar", "", 200, `"total":1`, "mint"},
			{"clinician", "GET", "ValueSet/herbs/$expand?count=1&offset=1", "", 200, `"code":"yarrow"`, `"code":"mint"`},
			{"clinician", "GET", "ValueSet/herbs/$expand?excludeNested=false", "", 200, `"contains":[{"system":"http://example.org/plants","version":"3","code":"yarrow"`, ""},
			{"clinician", "GET", "ValueSet/herbs/$expand?count=some", "", 400, "count", ""},
			{"clinician", "POST", "ValueSet/$expand", parameters(`{"name":"valueSet","resource":{"resourceType":"ValueSet","status":"active","compose":{"include":[{"valueSet":["http://example.org/vs/herbs"]}],"exclude":[{"system":"http://example.org/plants","concept":[{"code":"mint"}]}]}}}`), 200, `"total":2`, "mint"},
			{"clinician", "POST", "ValueSet/$expand", `{"resourceType":"ValueSet","status":"active","compose":{"include":[{"system":"http://example.org/plants"}]}}`, 200, `"total":4`, ""},
			{"clinician", "GET", "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender", "", 200, `"total":4`, ""},
			{"clinician", "GET", "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/ucum-units", "", 413, "grammar", ""},
			{"clinician", "GET", "ValueSet/none/$expand", "", 404, "", ""},

			{"clinician", "GET", "ConceptMap/$translate?url=http://example.org/uses&" + p + "&code=mint", "", 200, `"code":"tea"`, ""},
			{"clinician", "GET", "ConceptMap/uses/$translate?" + p + "&code=oak", "", 200, `{"name":"result","valueBoolean":false}`, "tea"},
			{"clinician", "GET", "ConceptMap/uses/$translate?system=http://example.org/use&code=tea&reverse=true", "", 200, `"code":"mint"`, ""},
			{"clinician", "GET", "ConceptMap/$translate?source=http://example.org/vs/herbs&target=http://example.org/vs/uses&" + p + "&code=mint", "", 200, `"code":"tea"`, ""},
			{"clinician", "GET", "ConceptMap/$translate?source=http://example.org/vs/herbs&" + p + "&code=mint", "", 200, `"code":"tea"`, ""},
			{"clinician", "GET", "ConceptMap/$translate?source=http://example.org/vs/herbs&target=http://example.org/vs/uses&reverse=true&system=http://example.org/use&code=tea", "", 404, "no map between", ""},
			{"clinician", "GET", "ConceptMap/$translate?source=http://example.org/vs/uses&target=http://example.org/vs/herbs&reverse=true&system=http://example.org/use&code=tea", "", 200, `"code":"mint"`, ""},
			{"clinician", "GET", "ConceptMap/$translate?source=http://example.org/vs/herbs&target=http://example.org/vs/none&" + p + "&code=mint", "", 404, "no map between", ""},
			{"clinician", "GET", "ConceptMap/$translate?url=http://example.org/uses&source=http://example.org/vs/herbs&" + p + "&code=oak", "", 200, `{"name":"result","valueBoolean":false}`, ""},
			{"clinician", "GET", "ConceptMap/$translate?url=http://example.org/uses&target=http://example.org/vs/herbs&" + p + "&code=mint", "", 200, `{"name":"result","valueBoolean":false}`, "tea"},
			{"clinician", "GET", "ConceptMap/$translate?url=http://example.org/uses&target=http://example.org/vs/unknown&" + p + "&code=mint", "", 200, `"code":"tea"`, ""},
			{"clinician", "GET", "ConceptMap/$translate?url=http://example.org/nothing&" + p + "&code=mint", "", 404, "is not here", ""},

			{"clinician", "POST", "$closure", parameters(`{"name":"name","valueString":"t"},{"name":"concept","valueCoding":{"system":"http://example.org/plants","code":"mint"}}`), 404, "Begin it", ""},
			{"clinician", "POST", "$closure", parameters(`{"name":"name","valueString":"t"}`), 200, `"version":"0"`, "group"},
			{"clinician", "POST", "$closure", parameters(`{"name":"name","valueString":"t"},{"name":"concept","valueCoding":{"system":"http://example.org/plants","code":"mint"}}`), 200, `"version":"1"`, "group"},
			{"clinician", "POST", "ConceptMap/$closure", parameters(`{"name":"name","valueString":"t"},{"name":"concept","valueCoding":{"system":"http://example.org/plants","code":"herb"}}`), 200, `"target":[{"code":"herb","equivalence":"subsumes"}]`, ""},
			{"clinician", "POST", "$closure", parameters(`{"name":"name","valueString":"t"},{"name":"version","valueString":"1"}`), 200, `"target":[{"code":"herb"`, ""},
			{"system", "POST", "$closure", parameters(`{"name":"name","valueString":"t"},{"name":"version","valueString":"1"}`), 404, "", "herb"},

			{"nobody", "GET", "metadata?mode=terminology", "", 200, "TerminologyCapabilities", ""},
		} {
			code, body := s.ask(c.as, c.method, c.path, c.body)
			if code != c.status || !strings.Contains(body, c.has) || c.hasNot != "" && strings.Contains(body, c.hasNot) {
				t.Errorf("%s %s %s: %d, want %d with %q without %q\n%.600s", c.as, c.method, c.path, code, c.status, c.has, c.hasNot, body)
			}
		}
		// What is stored now counts at once.
		s.ask("system", "PUT", "CodeSystem/plants", strings.Replace(plants, `{"code":"mint","display":"Mint"}`, `{"code":"sage","display":"Sage"}`, 1))
		if _, body := s.ask("clinician", "GET", "ValueSet/herbs/$expand", ""); !strings.Contains(body, "sage") || strings.Contains(body, "mint") {
			t.Errorf("the change of the code system does not show: %s", body)
		}
	})
}
