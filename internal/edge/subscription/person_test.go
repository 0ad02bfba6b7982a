package subscription

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/oauth"
)

// people is a station where programs act for people, with the true authorization server.
type people struct {
	*station
	auth         *auth.Auth
	client       oauth.Client
	doctor, desk auth.Staff
}

const (
	returnTo = "https://app.example.com/cb"
	verifier = "this-is-a-verifier-with-more-than-43-characters-0123"
	asks     = "launch/patient openid fhirUser offline_access patient/*.cruds user/*.cruds"
)

func newPeople(t *testing.T, d *dbtest.DB) *people {
	k := &people{station: newStation(t, d)}
	k.auth = auth.New(d.DB, k.audit, auth.Options{Demo: true})
	id, err := k.auth.AddPractice(t.Context(), "north", "The North")
	if err == nil {
		k.home, err = k.auth.PracticeByID(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.oauth = oauth.New(oauth.Options{DB: d.DB, Auth: k.auth, Audit: k.audit, Base: "https://ehr.example.org"})
	self := auth.SystemScope(id, "test")
	k.as = map[string]db.Scope{"system": self}
	k.admin = auth.AsStaff(id, 7, "Ruth", "", auth.Administrator)
	k.stand()
	c, _, err := k.oauth.Register(t.Context(), self, oauth.Client{Kind: oauth.Public, Name: "Growth Chart", Redirects: []string{returnTo}, Scopes: asks})
	if err == nil {
		err = k.oauth.Approve(t.Context(), self, c.ID, c.Version)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.client = c
	k.doctor, k.desk = k.person("ann", "p-ann", auth.Clinician), k.person("fay", "", auth.FrontDesk)
	return k
}

func (k *people) person(login, practitioner string, role auth.Role) auth.Staff {
	k.t.Helper()
	id, err := k.auth.AddUser(k.t.Context(), auth.SystemScope(k.home.ID, "test"), auth.User{Login: login, Display: "Dr. " + login, PractitionerID: practitioner, Roles: []auth.Role{role}, Password: "violet tundra kettle 9"})
	if err == nil {
		_, staff, err := k.auth.DemoSignIn(k.t.Context(), k.home.ID, id)
		if err == nil {
			return staff
		}
	}
	k.t.Fatal(err)
	return auth.Staff{}
}

func (k *people) patientAtPortal(id string) auth.Patient {
	k.t.Helper()
	p, err := k.auth.PatientScope(k.t.Context(), auth.PatientGrant{Practice: k.home.ID, User: 77, Name: "Pat", Patient: "Patient/" + id, Session: "s", Access: auth.Access{All: true}})
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

// answer calls the token endpoint.
func (k *people) answer(form url.Values) map[string]any {
	k.t.Helper()
	mux := http.NewServeMux()
	for _, r := range oauth.Routes() {
		mux.Handle(r, k.oauth)
	}
	r := httptest.NewRequest("POST", "/north/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	out := map[string]any{}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		k.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return out
}

// token has somebody let the program in.
func (k *people) token(who db.Scope, scope, patient string) (access, refresh string) {
	k.t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	b, err := k.oauth.Begin(k.t.Context(), k.home, url.Values{"response_type": {"code"}, "client_id": {k.client.ID}, "redirect_uri": {returnTo}, "scope": {scope}, "state": {"state-0123456789"},
		"aud": {"https://ehr.example.org/north/fhir"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}})
	if err != nil {
		k.t.Fatal(err)
	}
	to, err := k.oauth.Grant(k.t.Context(), k.home, who, b.ID, b.Browser, oauth.Answer{Scopes: strings.Fields(scope), Patient: patient})
	if err != nil {
		k.t.Fatal(err)
	}
	u, _ := url.Parse(to)
	out := k.answer(url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {returnTo}, "client_id": {k.client.ID}, "code_verifier": {verifier}})
	access, _ = out["access_token"].(string)
	refresh, _ = out["refresh_token"].(string)
	if access == "" {
		k.t.Fatalf("no token: %v", out)
	}
	return access, refresh
}

// A program that acts for a person is told what both the person and its scopes reach, at the event and when it is sent, and reaches no
// Subscription but its own.
func TestPeopleSubscribe(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newPeople(t, d)
		k.patient("pat")
		k.patient("bob")
		own, _ := k.token(k.patientAtPortal("pat"), "launch/patient offline_access patient/Subscription.cruds patient/Observation.rs", "")
		bob, _ := k.token(k.patientAtPortal("bob"), "launch/patient offline_access patient/*.cruds", "")
		doctor, _ := k.token(k.doctor, "offline_access user/Subscription.cruds user/Observation.rs user/Task.rs", "")
		desk, _ := k.token(k.desk, "offline_access user/*.cruds", "")
		chart, _ := k.token(k.doctor, "launch/patient offline_access patient/Observation.rs patient/Subscription.cr", "bob")
		without, _ := k.token(k.doctor, "offline_access user/Observation.rs", "")
		ids := map[string]string{}
		for name, as := range map[string]string{"own": own, "bob": bob, "doctor": doctor, "desk": desk, "chart": chart} {
			ids[name] = k.subscribed(as, k.asked(AnyTopic, "Observation?status=final", showIDs))
		}
		if w := k.ask(without, "POST", "Subscription", k.asked(AnyTopic, "Observation?status=final", showIDs)); w.Code != 403 {
			t.Errorf("without the scope: %d %s", w.Code, w.Body)
		}
		// Whose a Subscription is stands in it; what the sender says of it counts for nothing.
		forged := strings.Replace(k.asked(AnyTopic, "Observation?status=final", showIDs), `{"resourceType":"Subscription"`,
			`{"resourceType":"Subscription","meta":{"tag":[{"system":"`+auth.SubscriberSystem+`","code":"`+auth.Subscriber(db.Actor{Client: k.client.ID, OnBehalf: "Patient/bob"})+`"},{"code":"mine"}]}`, 1)
		id := k.must(201, own, "POST", "Subscription", forged).Get("id").Text()
		k.must(404, bob, "GET", "Subscription/"+id, "")
		if n := k.must(200, own, "GET", "Subscription?_tag=mine", ""); n.Get("total").Text() == "0" || !contains(n.AppendJSON(nil), id) {
			t.Errorf("%s", n.AppendJSON(nil))
		}
		k.must(204, own, "DELETE", "Subscription/"+id, "")
		for name, as := range map[string]string{"own": own, "bob": bob, "doctor": doctor, "desk": desk} {
			n := k.must(200, as, "GET", "Subscription", "")
			for other, id := range ids {
				// The doctor's two tokens are of one program for one person.
				mine := other == name || name == "doctor" && other == "chart"
				if contains(n.AppendJSON(nil), id) != mine {
					t.Errorf("%s finds %s: %v", name, other, !mine)
				}
				want := map[bool]int{true: 200, false: 404}[mine]
				if w := k.ask(as, "GET", "Subscription/"+id, ""); w.Code != want {
					t.Errorf("%s reads %s: %d", name, other, w.Code)
				}
				if w := k.ask(as, "GET", "Subscription/"+id+"/$status", ""); w.Code != want {
					t.Errorf("%s asks for the status of %s: %d", name, other, w.Code)
				}
				if mine {
					continue
				}
				for _, path := range []string{"DELETE Subscription/" + id, "GET Subscription/" + id + "/_history", "GET Subscription/" + id + "/_history/1", "GET Subscription/" + id + "/$events"} {
					method, path, _ := strings.Cut(path, " ")
					if w := k.ask(as, method, path, ""); w.Code != 404 && !strings.Contains(path, "_history") || contains(w.Body.Bytes(), "resource-changed") {
						t.Errorf("%s: %s %s of %s: %d %s", name, method, path, other, w.Code, w.Body)
					}
				}
			}
		}
		for _, patient := range []string{"pat", "bob"} {
			k.result("o-"+patient, patient, "1")
		}
		k.work()
		told := map[string][]string{}
		for _, g := range k.rcv.take() {
			told[strings.TrimPrefix(parameter(statusIn(g.node), "subscription"), "https://ehr.example.org/north/fhir/Subscription/")] = eventsIn(g.node)
		}
		for name, want := range map[string][]string{"own": {"1 Observation/o-pat"}, "bob": {"1 Observation/o-bob"}, "doctor": {"1 Observation/o-pat", "2 Observation/o-bob"},
			"desk": nil, "chart": {"1 Observation/o-bob"}} {
			if !slices.Equal(told[ids[name]], want) {
				t.Errorf("%s is told %v, not %v", name, told[ids[name]], want)
			}
		}
		all, _, err := k.hub.List(t.Context(), k.admin)
		for _, v := range all {
			if want := map[string]string{ids["own"]: forPatient, ids["bob"]: forPatient}[v.ID]; err != nil || v.For != want && (want != "" || v.For != forStaff) {
				t.Errorf("%s acts for %q, %v", v.ID, v.For, err)
			}
		}
		// Notes kept apart are told to nobody's program.
		k.put("Observation/psy", `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/pat"}`)
		k.work()
		for _, g := range k.rcv.take() {
			if contains(g.body, "psy") {
				t.Errorf("a note kept apart is told: %s", g.body)
			}
		}
	})
}

// What a subscription of a person stands on: not the minutes of the token, but the grant, the person and the program.
func TestPeoplesSubscriptionsEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ends := map[string]func(k *people, access, refresh string){
			"the grant is taken back": func(k *people, _, _ string) {
				if err := k.oauth.Revoke(k.t.Context(), k.home, k.doctor, k.grantOf(k.doctor)); err != nil {
					k.t.Fatal(err)
				}
			},
			"the person is disabled": func(k *people, _, _ string) {
				if err := k.auth.Disable(k.t.Context(), auth.SystemScope(k.home.ID, "test"), k.doctor.UserID()); err != nil {
					k.t.Fatal(err)
				}
			},
			"a refresh token is used twice": func(k *people, _, refresh string) {
				for range 2 {
					k.answer(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {k.client.ID}})
				}
			},
			"the program is suspended": func(k *people, _, _ string) {
				if err := k.oauth.Suspend(k.t.Context(), auth.SystemScope(k.home.ID, "test"), k.client.ID, "review"); err != nil {
					k.t.Fatal(err)
				}
			},
		}
		k := newPeople(t, d)
		k.patient("pat")
		server := httptest.NewServer(k.mux)
		defer server.Close()
		for _, why := range []string{"the grant is taken back", "a refresh token is used twice", "the program is suspended", "the person is disabled"} {
			if why == "the person is disabled" {
				c, err := k.oauth.Client(t.Context(), k.home.ID, k.client.ID)
				if err == nil {
					err = k.oauth.Approve(t.Context(), auth.SystemScope(k.home.ID, "test"), c.ID, c.Version)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			access, refresh := k.token(k.doctor, "offline_access user/Subscription.cruds user/Observation.rs", "")
			hook := k.subscribed(access, k.asked(AnyTopic, "Observation?status=final", showIDs))
			stream := k.must(201, access, "POST", "Subscription", `{"resourceType":"Subscription","status":"requested","reason":"test","criteria":"`+AnyTopic+`",
				"_criteria":{"extension":[{"url":"`+extFilter+`","valueString":"Observation?status=final"}]},"channel":{"type":"websocket"}}`).Get("id").Text()
			r, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/north/subscriptions/"+stream+"/events", nil)
			r.Header.Set("Authorization", "Bearer "+access)
			w, err := http.DefaultClient.Do(r)
			if err != nil || w.StatusCode != 200 {
				t.Fatalf("%v %v", w, err)
			}
			lines := bufio.NewScanner(w.Body)
			next := func() (what string) {
				for lines.Scan() {
					if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
						return e
					}
				}
				return "end"
			}
			if next() != "notification" {
				t.Fatalf("%s: no handshake", why)
			}
			// The minutes of the token are over, the grant is not.
			d.Clock.Advance(16 * time.Minute)
			k.must(401, access, "GET", "Observation", "")
			k.result("a-"+stream, "pat", "1")
			k.work()
			if got := k.told(); !slices.Equal(got, []string{"1 Observation/a-" + stream}) {
				t.Errorf("%s: after the token's time %v", why, got)
			}
			if next() != "notification" {
				t.Errorf("%s: the stream tells nothing after the token's time", why)
			}
			ends[why](k, access, refresh)
			stop := ticking(d)
			got := next()
			stop()
			if got != "off" {
				t.Errorf("%s: the stream goes on with %s", why, got)
			}
			w.Body.Close()
			k.result("b-"+stream, "pat", "2")
			k.work()
			k.work()
			if got := k.told(); len(got) != 0 || k.state(hook) != "off" || k.state(stream) != "off" {
				t.Errorf("%s: told %v, the hook is %s, the stream %s", why, got, k.state(hook), k.state(stream))
			}
		}
	})
}

func (k *people) grantOf(who auth.Staff) int64 {
	k.t.Helper()
	all, err := k.oauth.Grants(context.Background(), k.home, who)
	if err != nil || len(all) == 0 {
		k.t.Fatalf("%v %v", all, err)
	}
	return all[0].ID
}

// Programs that act for different people, or none, are never one subscriber.
func TestSubscribersAreToldApart(t *testing.T) {
	seen := map[string]db.Actor{}
	for _, a := range []db.Actor{{Client: "c"}, {Client: "c", UserID: 1, OnBehalf: "Practitioner/a"}, {Client: "c", UserID: 2, OnBehalf: "Practitioner/a"},
		{Client: "c", OnBehalf: "Patient/a"}, {Client: "c", OnBehalf: "Patient/b"}, {Client: "d", OnBehalf: "Patient/a"}, {Client: "d"}, {Client: "d", UserID: 1}} {
		code := auth.Subscriber(a)
		if was, ok := seen[code]; ok {
			t.Errorf("%+v and %+v are one", was, a)
		}
		seen[code] = a
	}
	// Whoever becomes a Practitioner later is the same person.
	if auth.Subscriber(db.Actor{Client: "c", UserID: 1, OnBehalf: "User/1"}) != auth.Subscriber(db.Actor{Client: "c", UserID: 1, OnBehalf: "Practitioner/a"}) {
		t.Error("one person is two")
	}
}
