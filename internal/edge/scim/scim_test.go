package scim

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

type world struct {
	t     *testing.T
	d     *dbtest.DB
	auth  *auth.Auth
	log   *audit.Log
	s     *Server
	p     auth.Practice
	admin auth.Staff
	key   string
}

func newWorld(t *testing.T, d *dbtest.DB) *world {
	t.Helper()
	w := &world{t: t, d: d, log: audit.New(d.DB)}
	w.auth = auth.New(d.DB, w.log, auth.Options{Demo: true})
	w.s = New(Options{DB: d.DB, Auth: w.auth, Audit: w.log, Base: "https://ehr.example.org"})
	id, err := w.auth.AddPractice(t.Context(), "alder", "The Alder")
	if err != nil {
		t.Fatal(err)
	}
	if w.p, err = w.auth.PracticeByID(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	ruth, err := w.auth.AddUser(t.Context(), auth.SystemScope(id, "test"), auth.User{Login: "ruth", Display: "Ruth", Roles: []auth.Role{auth.Administrator}})
	if err != nil {
		t.Fatal(err)
	}
	if _, w.admin, err = w.auth.DemoSignIn(t.Context(), id, ruth); err != nil {
		t.Fatal(err)
	}
	if w.key, err = w.s.NewKey(t.Context(), w.admin, "Directory"); err != nil {
		t.Fatal(err)
	}
	return w
}

type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (r reply) str(name string) string { s, _ := r.body[name].(string); return s }

func (w *world) ask(method, path, body string) reply {
	w.t.Helper()
	r := httptest.NewRequest(method, "https://ehr.example.org/alder/scim/v2/"+path, strings.NewReader(body))
	r.SetPathValue("practice", "alder")
	r.Header.Set("Authorization", "Bearer "+w.key)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	rec := httptest.NewRecorder()
	w.s.ServeHTTP(rec, r)
	out := reply{status: rec.Code, header: rec.Header(), text: rec.Body.String()}
	if rec.Body.Len() > 0 && json.Unmarshal(rec.Body.Bytes(), &out.body) != nil {
		w.t.Fatalf("%s %s: no JSON: %s", method, path, rec.Body)
	}
	return out
}

func user(more string) string {
	return `{"schemas":["` + schemaUser + `"],` + more + `}`
}

func patch(ops string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + ops + `]}`
}

// The life of somebody in a directory: added without rights, given a role, known by the directory's own id, disabled, deleted, back.
func TestPeopleOfADirectory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := t.Context()
		r := w.ask("POST", "Users", user(`"userName":"ann@alder.example","externalId":"e-1","name":{"givenName":"Ann","familyName":"Ash"},"active":true,"emails":[{"value":"ann@alder.example","primary":true}],"title":"Dr."`))
		id := r.str("id")
		if r.status != 201 || id == "" || r.header.Get("Location") != "https://ehr.example.org/alder/scim/v2/Users/"+id || r.str("displayName") != "Ann Ash" {
			t.Fatalf("created: %d %s", r.status, r.text)
		}
		if r := w.ask("POST", "Users", user(`"userName":"ANN@alder.example"`)); r.status != 409 || r.str("scimType") != "uniqueness" || r.str("status") != "409" {
			t.Errorf("twice: %d %s", r.status, r.text)
		}
		for filter, n := range map[string]float64{`userName eq "Ann@Alder.example"`: 1, `externalId eq "e-1"`: 1, `externalId eq "e-2"`: 0, `id eq "` + id + `"`: 1, "": 2} {
			if r := w.ask("GET", "Users?filter="+url.QueryEscape(filter), ""); r.status != 200 || r.body["totalResults"] != n {
				t.Errorf("filter %s: %d %s", filter, r.status, r.text)
			}
		}
		if r := w.ask("GET", "Users?startIndex=2&count=1", ""); r.body["totalResults"] != 2.0 || r.body["itemsPerPage"] != 1.0 || r.body["startIndex"] != 2.0 {
			t.Errorf("a page: %s", r.text)
		}
		if r := w.ask("PATCH", "Groups/nurse", patch(`{"op":"Add","path":"members","value":[{"value":"`+id+`"}]}`)); r.status != 200 || !strings.Contains(r.text, `"value":"`+id+`"`) {
			t.Fatalf("into a group: %d %s", r.status, r.text)
		}
		if r := w.ask("GET", "Groups?excludedAttributes=members&filter="+url.QueryEscape(`displayName eq "nurse"`), ""); r.body["totalResults"] != 1.0 || strings.Contains(r.text, `"value":"`+id+`"`) {
			t.Errorf("groups: %s", r.text)
		}
		uid := int64(0)
		people, err := w.auth.Users(ctx, auth.SystemScope(w.p.ID, "test"))
		for _, u := range people {
			if u.Login == "ann@alder.example" {
				uid = u.ID
			}
		}
		if err != nil || uid == 0 {
			t.Fatal(err)
		}
		token, staff, err := w.auth.DemoSignIn(ctx, w.p.ID, uid)
		if err != nil || !staff.Can(auth.ChartRead) || staff.Can(auth.NoteSign) {
			t.Fatalf("as a nurse: %v", err)
		}
		grant := auth.AppGrant{Practice: w.p.ID, ClientID: "c", ClientName: "C", User: uid}
		if _, err := w.auth.AppScope(ctx, grant); err != nil {
			t.Fatal(err)
		}
		// Entra disables with a text; everything of the person ends at once.
		if r := w.ask("PATCH", "Users/"+id, patch(`{"op":"Replace","path":"active","value":"False"}`)); r.status != 200 || r.body["active"] != false {
			t.Fatalf("disabled: %d %s", r.status, r.text)
		}
		if _, _, err := w.auth.Resume(ctx, "alder", token); err == nil {
			t.Error("the session goes on")
		}
		if _, err := w.auth.AppScope(ctx, grant); err == nil {
			t.Error("programs go on")
		}
		if r := w.ask("PUT", "Users/"+id, user(`"userName":"ann@alder.example","displayName":"Ann B. Ash"`)); r.status != 200 || r.body["active"] != false || r.str("displayName") != "Ann B. Ash" {
			t.Errorf("replaced: %d %s", r.status, r.text)
		}
		if r := w.ask("PATCH", "Users/"+id, patch(`{"op":"replace","value":{"active":true,"userName":"ann.ash@alder.example"}}`)); r.status != 200 || r.body["active"] != true || r.str("userName") != "ann.ash@alder.example" {
			t.Errorf("enabled under another login: %d %s", r.status, r.text)
		}
		if r := w.ask("PATCH", "Groups/nurse", patch(`{"op":"remove","path":"members[value eq \"`+id+`\"]"}`)); r.status != 200 || strings.Contains(r.text, `"value":"`+id+`"`) {
			t.Errorf("out of the group: %d %s", r.status, r.text)
		}
		if _, staff, err := w.auth.DemoSignIn(ctx, w.p.ID, uid); err != nil || staff.Can(auth.PatientRead) {
			t.Errorf("without a role: %v", err)
		}
		if r := w.ask("DELETE", "Users/"+id, ""); r.status != 204 || r.text != "" {
			t.Errorf("deleted: %d %s", r.status, r.text)
		}
		for _, m := range []string{"GET", "DELETE"} {
			if r := w.ask(m, "Users/"+id, ""); r.status != 404 {
				t.Errorf("%s after that: %d", m, r.status)
			}
		}
		if r := w.ask("POST", "Users", user(`"userName":"ann.ash@alder.example","externalId":"e-9"`)); r.status != 201 || r.str("id") != id || r.body["active"] != true {
			t.Errorf("back: %d %s", r.status, r.text)
		}
		entries, err := w.log.Find(ctx, auth.SystemScope(w.p.ID, "test"), audit.Filter{Action: audit.ActionPrivilege, Limit: 50})
		by := 0
		for _, e := range entries {
			if e.Actor.Display == "directory" {
				by++
			}
		}
		if err != nil || by < 8 {
			t.Errorf("%d changes by the directory are on record: %v", by, err)
		}
	})
}

// The practice's own roles are groups too, by their code and the name that people know.
func TestOwnRolesAreGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := t.Context()
		ben := w.ask("POST", "Users", user(`"userName":"ben"`)).str("id")
		join := patch(`{"op":"add","path":"members","value":[{"value":"` + ben + `"}]}`)
		if r := w.ask("PATCH", "Groups/own-1", join); r.status != 404 {
			t.Errorf("a role that is not there yet: %d", r.status)
		}
		for _, r := range []auth.OwnRole{{Name: "Night scribe", Like: auth.Nurse}, {Name: "Manager", Like: auth.Administrator}} {
			if _, err := w.auth.AddRole(ctx, w.admin, r.Name, r.Like); err != nil {
				t.Fatal(err)
			}
		}
		if r := w.ask("GET", "Groups?filter="+url.QueryEscape(`displayName eq "night SCRIBE"`), ""); r.body["totalResults"] != 1.0 || !strings.Contains(r.text, `"id":"own-1"`) {
			t.Errorf("found by name: %s", r.text)
		}
		if r := w.ask("PATCH", "Groups/own-1", join); r.status != 200 || r.str("displayName") != "Night scribe" || !strings.Contains(r.text, `"value":"`+ben+`"`) {
			t.Errorf("joined: %d %s", r.status, r.text)
		}
		if r := w.ask("PUT", "Groups/own-1", `{"displayName":"Night scribe","members":[{"value":"`+ben+`"}]}`); r.status != 200 {
			t.Errorf("replaced: %d %s", r.status, r.text)
		}
		if r := w.ask("PATCH", "Groups/own-2", join); r.status != 403 {
			t.Errorf("made a manager: %d %s", r.status, r.text)
		}
		if r := w.ask("PUT", "Groups/own-1", `{"members":[]}`); r.status != 200 {
			t.Errorf("left: %d %s", r.status, r.text)
		}
		if err := w.auth.RetireRole(ctx, w.admin, "own-1"); err != nil {
			t.Fatal(err)
		}
		if r := w.ask("GET", "Groups/own-1", ""); r.status != 404 {
			t.Errorf("retired: %d", r.status)
		}
	})
}

// What a directory may not do, and what is no request.
func TestLimitsOfADirectory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := t.Context()
		ruth := userID(w.admin.UserID())
		r := w.ask("POST", "Users", user(`"userName":"ben"`))
		ben := r.str("id")
		for _, c := range []struct {
			name, method, path, body string
			status                   int
			kind                     string
		}{
			{"makes an administrator", "PATCH", "Groups/administrator", patch(`{"op":"add","path":"members","value":[{"value":"` + ben + `"}]}`), 403, ""},
			{"unmakes an administrator", "PUT", "Groups/administrator", `{"members":[]}`, 403, ""},
			{"disables the last administrator", "DELETE", "Users/" + ruth, "", 400, "mutability"},
			{"adds a group", "POST", "Groups", `{"displayName":"x"}`, 403, "mutability"},
			{"deletes a group", "DELETE", "Groups/nurse", "", 403, "mutability"},
			{"renames a group", "PUT", "Groups/nurse", `{"displayName":"x","members":[]}`, 400, "mutability"},
			{"a group that is not", "GET", "Groups/emperor", "", 404, ""},
			{"a member who is not", "PATCH", "Groups/nurse", patch(`{"op":"add","path":"members","value":[{"value":"999"}]}`), 400, "invalidValue"},
			{"a password", "POST", "Users", user(`"userName":"x","password":"y"`), 400, "mutability"},
			{"an unknown attribute", "POST", "Users", user(`"userName":"x","sudo":true`), 400, "invalidPath"},
			{"a member twice", "POST", "Users", user(`"userName":"x","userName":"y"`), 400, "invalidSyntax"},
			{"a member twice in other case", "POST", "Users", user(`"userName":"x","USERNAME":"y"`), 400, "invalidSyntax"},
			{"no schema", "POST", "Users", `{"userName":"x"}`, 400, "invalidSyntax"},
			{"no login", "POST", "Users", user(`"displayName":"x"`), 400, "invalidValue"},
			{"a number as login", "POST", "Users", user(`"userName":7`), 400, "invalidValue"},
			{"no JSON", "POST", "Users", `{`, 400, "invalidSyntax"},
			{"an empty patch", "PATCH", "Users/" + ben, patch(""), 400, "invalidSyntax"},
			{"an odd operation", "PATCH", "Users/" + ben, patch(`{"op":"move","path":"active"}`), 400, "invalidSyntax"},
			{"removes the login", "PATCH", "Users/" + ben, patch(`{"op":"remove","path":"userName"}`), 400, "invalidValue"},
			{"another filter", "GET", "Users?filter=" + url.QueryEscape(`userName sw "a"`), "", 400, "invalidFilter"},
			{"a filter of something else", "GET", "Users?filter=" + url.QueryEscape(`password eq "a"`), "", 400, "invalidFilter"},
			{"nobody", "GET", "Users/999", "", 404, ""},
			{"nothing", "GET", "Bulk", "", 404, ""},
		} {
			if r := w.ask(c.method, c.path, c.body); r.status != c.status || r.str("scimType") != c.kind || r.str("detail") == "" {
				t.Errorf("%s: %d %s", c.name, r.status, r.text)
			}
		}
		for _, path := range []string{"ServiceProviderConfig", "ResourceTypes", "ResourceTypes/User", "Schemas", "Schemas/" + schemaGroup} {
			if r := w.ask("GET", path, ""); r.status != 200 {
				t.Errorf("%s: %d", path, r.status)
			}
		}
		// Somebody of another practice is nobody here, and their login is taken.
		birch, err := w.auth.AddPractice(ctx, "birch", "Birch")
		if err != nil {
			t.Fatal(err)
		}
		eve, err := w.auth.AddUser(ctx, auth.SystemScope(birch, "test"), auth.User{Login: "eve", Display: "Eve", Roles: []auth.Role{auth.Nurse}})
		if err != nil {
			t.Fatal(err)
		}
		if r := w.ask("GET", "Users/"+userID(eve), ""); r.status != 404 {
			t.Errorf("somebody of another practice: %d", r.status)
		}
		if _, err := w.auth.AddMembership(ctx, auth.SystemScope(birch, "test"), "ben", "", auth.Nurse); err != nil {
			t.Fatal(err)
		}
		if r := w.ask("PATCH", "Users/"+ben, patch(`{"op":"replace","path":"userName","value":"other"}`)); r.status != 403 {
			t.Errorf("renames somebody who works elsewhere too: %d %s", r.status, r.text)
		}
		// Keys: of another practice, ended, expired, a session's, none.
		good := w.key
		refused := func(what string) {
			t.Helper()
			r := w.ask("GET", "Users", "")
			if r.status != 401 || r.header.Get("WWW-Authenticate") == "" || r.body["Resources"] != nil {
				t.Errorf("%s: %d %s", what, r.status, r.text)
			}
		}
		for _, k := range []string{"", "x", good[:len(good)-1] + "!", prefix + strings.Repeat("A", 43)} {
			w.key = k
			refused("the key " + k)
		}
		w.key = good
		w.d.Clock.Advance(keyLasts)
		refused("an expired key")
		w.d.Clock.Advance(-keyLasts)
		list, err := w.s.Keys(ctx, w.admin)
		if err != nil || len(list) != 1 || list[0].Name != "Directory" || list[0].By != "Ruth" {
			t.Fatalf("keys: %+v %v", list, err)
		}
		if err := w.s.EndKey(ctx, w.admin, list[0].ID); err != nil {
			t.Fatal(err)
		}
		refused("an ended key")
		nurse := auth.AsStaff(w.p.ID, 99, "Nora", "", auth.Nurse)
		var i *fhir.Issue
		if _, err := w.s.NewKey(ctx, nurse, "x"); !errors.As(err, &i) || i.Code != "forbidden" {
			t.Errorf("a nurse makes a key: %v", err)
		}
	})
}
