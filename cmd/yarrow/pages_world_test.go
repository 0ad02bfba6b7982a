package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/watch"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/webtest"
)

// People of the demonstration.
const (
	amara  = "aosei"      // a doctor
	daniel = "dwhitfield" // a third
	marcus = "mlee"       // another, whose session is locked
	priya  = "pnatarajan" // a nurse practitioner
	tess   = "tmoreau"    // at the front desk
	ruth   = "rlindgren"  // the administrator
)

// visit is one look at a page: by whom ("" for nobody), where, and what is clicked there first.
type visit struct {
	who, path string
	then      string // JavaScript that opens a part of the page
	until     string // JavaScript that is true when it is open
	status    int    // 0: 200
}

// pages is a small demonstration in which everything that a page can show is there.
type pages struct {
	*house
	base   string
	tokens map[string]string // by login
	users  map[string]int64
	ids    map[string]string // by the place they have in addresses
}

func newPages(t *testing.T) *pages {
	t.Helper()
	ctx := t.Context()
	srv := httptest.NewUnstartedServer(nil)
	t.Cleanup(srv.Close)
	h := &pages{base: strings.Replace("http://"+srv.Listener.Addr().String(), "127.0.0.1", "localhost", 1), tokens: map[string]string{}, users: map[string]int64{}, ids: map[string]string{}}
	out := &output{text: io.Discard, errs: io.Discard, log: slog.New(slog.DiscardHandler)}
	data := filepath.Join(t.TempDir(), "demo")
	g, err := place{Data: data}.open(ctx, out, who{Demo: true, RPID: "localhost", Origin: h.base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.close() })
	h.house = g.build(out, true, false)
	c := demo{Patients: 20, Seed: 1, Data: data}
	f, w, sys, err := c.plan(ctx, g, h.base)
	if err != nil {
		t.Fatal(err)
	}
	load := demoLoad{db: g.db, store: g.store, clock: clock.System(), scope: sys, file: f}
	for b := range w.First() {
		if err := load.put(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	users, err := g.auth.Users(ctx, sys)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		h.users[u.Login] = u.ID
		if h.tokens[u.Login], _, err = g.auth.DemoSignIn(ctx, sys.Practice(), u.ID); err != nil {
			t.Fatal(err)
		}
	}
	srv.Config.Handler = h.handler()
	srv.Start()
	h.fill(t, sys)
	return h
}

// fill makes what the pages show beside the simulated records.
func (h *pages) fill(t *testing.T, sys auth.System) {
	ctx := t.Context()
	p, err := h.auth.PracticeBySlug(ctx, demoSlug)
	if err != nil {
		t.Fatal(err)
	}
	admin, _, err := h.auth.Resume(ctx, demoSlug, h.tokens[ruth])
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.furnish(ctx, p, admin, "Orchard")
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(h.ids, f.IDs)
	h.ids["{user}"] = strconv.FormatInt(h.users[tess], 10)
	token, err := h.oauth.Mint(ctx, sys, p, "system/*.cruds", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h.ids["{closed}"] = h.write(t, token, `{"resourceType":"Patient","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"CEL"}]},"name":[{"family":"Quiet","given":["Una"]}],"birthDate":"1980-01-01","gender":"female"}`)
	err = h.db.View(ctx, sys, func(tx *db.Tx) error {
		first := func(place, typ string, query ...string) *fhirstore.Resource {
			all, err := h.store.Find(ctx, tx, typ, append(query, "_count", "1")...)
			if err != nil || len(all) == 0 {
				t.Fatalf("no %s %v: %v", typ, query, err)
			}
			h.ids[place] = all[0].ID
			return all[0]
		}
		lab := first("{observation}", "Observation", "code", "2345-7")
		_, h.ids["{patient}"], _ = fhir.ParseReference(lab.Node().At("subject", "reference").Text())
		of := "Patient/" + h.ids["{patient}"]
		first("{problem}", "Condition", "patient", of, "category", "problem-list-item")
		first("{medication}", "MedicationRequest", "patient", of)
		allergy := first("{allergy}", "AllergyIntolerance", "criticality", "high")
		_, h.ids["{allergic}"], _ = fhir.ParseReference(allergy.Node().At("patient", "reference").Text())
		first("{note}", "DocumentReference", "patient", of)
		first("{appointment}", "Appointment", "status", "booked", "date", "ge"+h.db.Clock().Now().UTC().Format(time.RFC3339))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.ids["{record}"] = h.ids["{observation}"]
	ann := h.ids["{patient}"]
	h.send(t, amara, "/patients/"+ann+"/notes", "patient", ann, "template", "follow-up", "page", "1")
	h.ids["{draft}"] = path.Base(h.send(t, amara, "/patients/"+ann+"/notes", "patient", ann, "template", "phone", "page", "1"))
	h.send(t, daniel, "/patients/"+h.ids["{closed}"]+"/restricted", "patient", h.ids["{closed}"], "reason", "emergency", "text", "unconscious in room 2")
	h.send(t, amara, "/patients/"+ann+"/privacy/consents", "patient", ann, "kind", "permit", "who", "role:biller")
	h.send(t, ruth, "/support", "operator", "ops", "reason", "ticket 4711", "hours", "1")
	h.send(t, ruth, "/roles/own", "name", "Scribe", "like", "nurse")
	h.send(t, ruth, "/people/new", "login", "newt", "display", "Nia Newt", "role", "nurse")
	h.send(t, ruth, "/holds", "patient", ann, "reason", "a letter of 3 March")
	h.send(t, marcus, "/lock")
	h.write(t, token, `{"resourceType":"Subscription","status":"requested","reason":"test","criteria":"`+subscription.AnyTopic+`","_criteria":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria","valueString":"Observation?category=laboratory"}]},
		"channel":{"type":"rest-hook","endpoint":"https://hooks.example.org/here","payload":"application/fhir+json"}}`)
	if err := h.db.Do(ctx, sys, func(tx *db.Tx) error {
		h.audit.Record(tx, audit.Event{Action: "finding", Type: "Finding", ID: "f1", Patient: "Patient/" + ann, Detail: fmt.Sprintf("%s %x 3 1 2026-03-02", watch.Patterns[0], h.users[tess])})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if list, err := h.auth.Openings(ctx, sys, false); err != nil || len(list) != 1 {
		t.Fatal("no restricted chart was opened: ", list, err)
	}
	found, err := h.audit.Find(ctx, sys, audit.Filter{Patient: "Patient/" + ann, Limit: 1})
	if err != nil || len(found) == 0 {
		t.Fatal("nothing on record about the patient: ", err)
	}
	h.ids["{entry}"] = strconv.FormatInt(found[0].ID, 10)
}

// write has a program store a resource, and gives its id.
func (h *pages) write(t *testing.T, token, body string) string {
	t.Helper()
	typ := regexp.MustCompile(`"resourceType":"(\w+)"`).FindStringSubmatch(body)[1]
	r := httptest.NewRequest(http.MethodPost, h.base+"/"+demoSlug+"/fhir/"+typ, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/fhir+json")
	r.Header.Set("Authorization", "Bearer "+token)
	w := h.serve("", r)
	if w.Code != http.StatusCreated {
		t.Fatalf("a %s: %d %s", typ, w.Code, w.Body)
	}
	return strings.Split(w.Header().Get("Location"), "/_history")[0][len(h.base+"/"+demoSlug+"/fhir/"+typ+"/"):]
}

func (h *pages) serve(who string, r *http.Request) *httptest.ResponseRecorder {
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "yarrow-session-" + demoSlug, Value: h.tokens[who]})
	w := httptest.NewRecorder()
	h.handler().ServeHTTP(w, r)
	return w
}

// send sends a form, which must be carried out, and gives where it leads.
func (h *pages) send(t *testing.T, who, path string, pairs ...string) string {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, h.base+"/"+demoSlug+path, strings.NewReader(webtest.Keyed(http.MethodPost, form).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := h.serve(who, r)
	if w.Code >= 400 {
		t.Fatalf("%s as %s: %d %s", path, who, w.Code, w.Body)
	}
	return w.Header().Get("Location")
}

// pages says who looks at what.
func (h *pages) pages() map[string][]visit {
	sum := sha256.Sum256([]byte("verifier"))
	ask := "/oauth/authorize?" + url.Values{"response_type": {"code"}, "client_id": {demoApp}, "redirect_uri": {"http://localhost:3000/callback"}, "scope": {"openid fhirUser patient/*.rs launch/patient offline_access"}, "state": {"state-0123456789"},
		"aud": {h.base + "/" + demoSlug + "/fhir"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}.Encode()
	at := func(who string, rest ...string) []visit {
		var out []visit
		for _, path := range rest {
			out = append(out, visit{who: who, path: path})
		}
		return out
	}
	chart := "/patients/" + h.ids["{patient}"]
	all := map[string][]visit{
		"/account/security": {{who: amara, path: "/account/security"}},
		"/agreement":        at(ruth, "/agreement"),
		"/apps":             {{who: ruth, path: "/apps"}, {who: amara, path: "/apps"}},
		"/apps/ask/{ask}":   {{who: amara, path: ask}},
		"/audit":            at(ruth, "/audit"),
		"/docs/api":         {{who: ruth, path: "/docs/api"}, {path: "/docs/api"}, {who: ruth, path: "/docs/api?q=birthdate"}},
		"/docs/api/{type}":  {{who: ruth, path: "/docs/api/Patient"}, {path: "/docs/api/Observation"}, {who: ruth, path: "/docs/api/Nothing", status: 404}},
		"/docs/graphql": {{path: "/docs/graphql"}, {who: ruth, path: "/docs/graphql", then: `{ const t = setInterval(() => { if (!document.querySelector("[data-types] details")) return; clearInterval(t);
			document.querySelector("#f-query").value = "{PatientList(nmae: 1) {id}}"; document.querySelector("[data-commit]").click(); }, 50); }`, until: `!!document.querySelector("#gql-errors li") && !!document.querySelector("[data-types] details")`}},
		"/drafts":                            at(amara, "/drafts"),
		"/find":                              at(amara, "/find", "/find?q=a"),
		"/holds":                             at(ruth, "/holds", "/holds?patient="+h.ids["{patient}"]),
		"/join":                              {{path: "/join"}},
		"/patients/{patient}":                {{who: amara, path: chart}, {who: tess, path: chart, status: 403}, {who: amara, path: "/patients/nobody", status: 404}},
		"/patients/{patient}/access":         at(ruth, chart+"/access"),
		"/patients/{patient}/access/print":   at(ruth, chart+"/access/print"),
		"/patients/{patient}/allergies/{id}": at(amara, "/patients/"+h.ids["{allergic}"]+"/allergies/"+h.ids["{allergy}"], chart+"/allergies/new"),
		"/patients/{patient}/disclosures":    at(ruth, chart+"/disclosures"),
		"/patients/{patient}/medications/{kind}/{id}":         at(amara, chart+"/medications/request/"+h.ids["{medication}"], chart+"/medications/statement/new"),
		"/patients/{patient}/problems/{id}":                   at(amara, chart+"/problems/"+h.ids["{problem}"], chart+"/problems/new"),
		"/patients/{patient}/records/{type}/{record}/privacy": at(amara, chart+"/records/Observation/"+h.ids["{observation}"]+"/privacy"),
		"/patients/{patient}/restricted":                      {{who: priya, path: "/patients/" + h.ids["{closed}"] + "/restricted"}},
		"/roles/view":                                         at(ruth, "/roles/view?role=nurse"),
		"/schedule":                                           {{who: tess, path: "/schedule"}, {who: tess, path: "/schedule?open=" + h.ids["{appointment}"]}},
		"/sign-in":                                            {{path: "/sign-in"}},
		"/sign-in/with/{connection}/back":                     {{path: "/sign-in/with/" + h.ids["{connection}"] + "/back?state=gone", status: 401}},
		"/unlock":                                             {{who: marcus, path: "/unlock"}},
	}
	// Pages of one person and one state.
	for who, patterns := range map[string][]string{
		ruth: {"/apps/programs/new", "/apps/programs/{program}", "/apps/programs/{program}/edit", "/apps/subscriptions", "/docs/listed", "/audit/entries/{entry}", "/audit/review", "/components", "/keys", "/organisation", "/organisation/new",
			"/organisation/{connection}", "/people", "/people/new", "/people/{user}", "/practice", "/privacy", "/roles", "/security", "/support"},
		amara: {"/patients", "/patients/{patient}/apps", "/patients/{patient}/drafts/{draft}", "/patients/{patient}/lists", "/patients/{patient}/notes", "/patients/{patient}/notes/{note}", "/patients/{patient}/notes/{note}/print", "/patients/{patient}/privacy",
			"/patients/{patient}/registration", "/patients/{patient}/results", "/patients/{patient}/results/{observation}", "/patients/{patient}/timeline", "/patients/{patient}/vitals", "/patients/{patient}/vitals/new"},
		tess: {"/patients/new", "/schedule/new", "/schedule/{appointment}/move"},
	} {
		for _, pattern := range patterns {
			path := pattern
			for place, id := range h.ids {
				path = strings.ReplaceAll(path, place, id)
			}
			all[pattern] = at(who, path)
		}
	}
	return all
}
