package operations

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/keeping"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// archive is a room whose people are signed in for real, so that they can prove themselves again.
type archive struct {
	room
	d     *dbtest.DB
	auth  *auth.Auth
	store *fhirstore.Store
	id    db.PracticeID
	users map[string]int64
	as    map[string]db.Scope
}

func (a *archive) signIn(who string) {
	a.t.Helper()
	_, s, err := a.auth.DemoSignIn(context.Background(), a.id, a.users[who])
	if err != nil {
		a.t.Fatal(err)
	}
	a.as[who] = s
}

func eachArchive(t *testing.T, fn func(t *testing.T, a *archive)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		log := audit.New(d.DB)
		a := &archive{d: d, auth: auth.New(d.DB, log, auth.Options{Demo: true}), store: fhirstore.New(d.DB, log), users: map[string]int64{}, as: map[string]db.Scope{}}
		var err error
		if a.id, err = a.auth.AddPractice(context.Background(), "north", "North"); err != nil {
			t.Fatal(err)
		}
		sys := auth.SystemScope(a.id, "test")
		a.as["system"] = sys
		a.room = room{t: t, log: log, api: fhirapi.New(fhirapi.Options{DB: d.DB, Store: a.store, Audit: log, Clock: d.Clock, Origin: "https://ehr.example.org",
			Practice: func(context.Context, string) (auth.Practice, error) {
				return auth.Practice{ID: a.id, Slug: "north"}, nil
			},
			Authenticate: func(q *http.Request, p auth.Practice) (db.Scope, error) {
				if s := a.as[q.Header.Get("X-As")]; s != nil {
					return s, nil
				}
				return nil, fhir.Problem("login", "You are not signed in.", "Send an access token.")
			}})}
		a.api.Register(Keeping(keeping.New(d.DB, a.store, a.auth, log))...)
		for who, role := range map[string]auth.Role{"zoe": auth.Administrator, "bob": auth.FrontDesk} {
			if a.users[who], err = a.auth.AddUser(context.Background(), sys, auth.User{Login: who, Display: who, Roles: []auth.Role{role}}); err != nil {
				t.Fatal(err)
			}
			a.signIn(who)
		}
		fn(t, a)
	})
}

func order(pairs ...string) string {
	var ps []string
	for i := 0; i < len(pairs); i += 2 {
		kind := "valueBoolean"
		value := pairs[i+1]
		switch pairs[i] {
		case "reason", "hold":
			kind, value = "valueString", `"`+value+`"`
		case "action":
			kind, value = "valueCode", `"`+value+`"`
		case "limit":
			kind = "valueInteger"
		}
		ps = append(ps, `{"name":"`+pairs[i]+`","`+kind+`":`+value+`}`)
	}
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(ps, ",") + `]}`
}

func (a *archive) must(status int, must, as, method, path, body string) string {
	a.t.Helper()
	code, answer := a.ask(as, method, path, body)
	if code != status || !strings.Contains(answer, must) {
		a.t.Fatalf("%s %s %s: %d without %q\n%s", as, path, body, code, must, answer)
	}
	return answer
}

// TestExpunge destroys what may be destroyed, and nothing that rules or holds protect.
func TestExpunge(t *testing.T) {
	eachArchive(t, func(t *testing.T, a *archive) {
		const versions, deleted, everything, reason = "expungePreviousVersions", "expungeDeletedResources", "expungeEverything", "the retention period is over"
		put := func(old string, more ...string) { a.t.Helper(); a.put(append([]string{old}, more...)...) }
		a.d.Clock.Set(time.Date(2012, 1, 1, 9, 0, 0, 0, time.UTC))
		put(`{"resourceType":"Patient","id":"ann","birthDate":"1950"}`, `{"resourceType":"Patient","id":"kid","birthDate":"2005-06-01"}`, `{"resourceType":"Patient","id":"held","birthDate":"1950"}`,
			observation("o1", "ann", `{"code":"a"}`, "2011-01-10", ``), observation("o1", "ann", `{"code":"b"}`, "2011-01-10", ``),
			observation("k1", "kid", `{"code":"a"}`, "2011-01-10", ``), observation("h1", "held", `{"code":"a"}`, "2011-01-10", ``),
			// it was about somebody else once
			observation("mixed", "held", `{"code":"a"}`, "2011-01-10", ``), observation("mixed", "ann", `{"code":"a"}`, "2011-01-10", ``),
			`{"resourceType":"Organization","id":"lab","name":"Lab"}`)
		for _, ref := range []string{"Observation/k1", "Observation/h1", "Observation/mixed", "Organization/lab"} {
			a.must(204, "", "system", "DELETE", ref, "")
		}

		// who may
		a.must(403, "Only a person", "system", "POST", "Observation/o1/$expunge", order(versions, "true", "reason", reason))
		a.must(403, "may not decide", "bob", "POST", "Observation/o1/$expunge", order(versions, "true", "reason", reason))
		a.signIn("zoe")
		a.d.Clock.Advance(auth.StepUpWithin + time.Second)
		a.must(401, "prove again", "zoe", "POST", "Observation/o1/$expunge", order(versions, "true", "reason", reason))
		a.must(405, "", "zoe", "GET", "Observation/o1/$expunge?"+versions+"=true", "")
		now := func(y int) { a.d.Clock.Set(time.Date(y, 3, 2, 9, 0, 0, 0, time.UTC)); a.signIn("zoe") }
		now(2015)
		// what an order says
		a.must(400, "not said what", "zoe", "POST", "Observation/o1/$expunge", order("reason", reason))
		a.must(400, "not said what", "zoe", "POST", "Observation/o1/$expunge", order(versions, "true", deleted, "true", "reason", reason))
		a.must(400, "reason is missing", "zoe", "POST", "Observation/o1/$expunge", order(versions, "true"))
		a.must(400, "one resource at a time", "zoe", "POST", "Observation/$expunge", order(versions, "true", "reason", reason))
		a.must(400, "one patient", "zoe", "POST", "Observation/o1/$expunge", order(everything, "true", "reason", reason))
		a.must(409, "not deleted", "zoe", "POST", "Observation/o1/$expunge", order(deleted, "true", "reason", reason))
		a.must(400, "limit", "zoe", "POST", "$expunge", order(deleted, "true", "limit", "0", "reason", reason))
		a.must(404, "", "zoe", "POST", "Observation/none/$expunge", order(versions, "true", "reason", reason))
		// too early: the reason and the day
		a.must(422, "must be kept until 2022-01-01 by the practice's rules: records 10 years after the last care", "zoe", "POST", "Observation/o1/$expunge", order(versions, "true", "reason", reason))
		a.must(422, "must be kept until 2033-06-01 by the practice's rules: records of minors 10 years after they come of age at 18", "zoe", "POST", "Observation/k1/$expunge", order(deleted, "true", "reason", reason))
		a.must(422, "must be kept until 2018-01-01 by the practice's rules: what is in no patient's record 6 years after its last change", "zoe", "POST", "Organization/lab/$expunge", order(deleted, "true", "reason", reason))
		a.must(422, "must be kept until 2022-01-01", "zoe", "POST", "Patient/ann/$expunge", order(everything, "true", "reason", reason))
		a.must(200, `"name":"kept","valueInteger":4`, "zoe", "POST", "$expunge", order(deleted, "true", "reason", reason))

		// late enough, but held
		now(2024)
		hold := a.must(200, `"reference":"Patient/held"`, "zoe", "POST", "Patient/held/$legal-hold", order("action", "place", "reason", "an inquiry of the court"))
		a.must(404, "", "zoe", "POST", "Patient/none/$legal-hold", order("action", "place", "reason", "an inquiry of the court"))
		a.must(403, "may not decide", "bob", "POST", "Patient/held/$legal-hold", order("action", "list"))
		a.must(422, "the record is held", "zoe", "POST", "Observation/h1/$expunge", order(deleted, "true", "reason", reason))
		a.must(422, "the record is held", "zoe", "POST", "Observation/mixed/$expunge", order(deleted, "true", "reason", reason))
		a.must(422, "the record is held", "zoe", "POST", "Patient/held/$expunge", order(everything, "true", "reason", reason))
		answer := a.must(200, `"removed","valueString":"Organization/lab"`, "zoe", "POST", "$expunge", order(deleted, "true", "reason", reason))
		if !strings.Contains(answer, `"kept","valueInteger":3`) || !strings.Contains(answer, `"earliest","valueDate":"2033-06-01"`) || strings.Contains(answer, "Observation") {
			t.Error(answer)
		}
		a.must(200, `"count","valueInteger":1`, "zoe", "POST", "Observation/o1/$expunge", order(versions, "true", "reason", reason))
		a.must(404, "", "system", "GET", "Observation/o1/_history/1", "")
		a.must(200, `"code":"b"`, "system", "GET", "Observation/o1", "")

		// the receipt stands in the audit, and so does who ordered it
		var out struct {
			Parameter []struct{ Name, ValueString string }
		}
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatal(err)
		}
		entries, err := a.log.Find(context.Background(), auth.SystemScope(a.id, "test"), audit.Filter{Limit: 30})
		if err != nil {
			t.Fatal(err)
		}
		found, ordered := false, false
		for _, e := range entries {
			found = found || strings.Contains(e.Detail, out.Parameter[0].ValueString+" "+out.Parameter[1].ValueString)
			ordered = ordered || e.Actor.UserID == a.users["zoe"] && strings.HasSuffix(e.Detail, "receipt "+out.Parameter[0].ValueString)
		}
		if !found || !ordered {
			t.Errorf("the audit does not tell of the receipt %v: %v %v", out.Parameter[:2], found, ordered)
		}

		// a hold on everything, then none
		a.d.Clock.Advance(time.Second)
		a.must(200, "", "zoe", "POST", "$legal-hold", order("action", "place", "reason", "merger of the practice"))
		a.must(422, "everything is held", "zoe", "POST", "Patient/ann/$expunge", order(everything, "true", "reason", reason))
		list := a.must(200, "merger", "zoe", "POST", "$legal-hold", order("action", "list"))
		if strings.Count(list, `"name":"hold"`) != 2 {
			t.Error(list)
		}
		for _, h := range []string{hold, list} {
			_, id, _ := strings.Cut(h, `"name":"id","valueString":"`)
			id, _, _ = strings.Cut(id, `"`)
			a.must(200, "lifted", "zoe", "POST", "$legal-hold", order("action", "lift", "hold", id, "reason", "the inquiry is over"))
			a.must(404, "no such hold", "zoe", "POST", "$legal-hold", order("action", "lift", "hold", id, "reason", "the inquiry is over"))
		}
		a.must(200, `"what","valueCode":"record"`, "zoe", "POST", "Patient/ann/$expunge", order(everything, "true", "reason", reason))
		a.must(404, "", "system", "GET", "Patient/ann", "")
		a.must(404, "", "system", "GET", "Observation/o1", "")
		a.must(404, "", "system", "GET", "Observation/o1/_history", "")
		a.must(404, "", "zoe", "POST", "Patient/ann/$expunge", order(everything, "true", "reason", reason))
		if all := a.must(200, "Bundle", "system", "GET", "_history?_count=1000", ""); strings.Contains(all, "/ann") || strings.Contains(all, "/o1") {
			t.Error("the history still tells of what was destroyed: " + all)
		}
		a.must(200, `"kid"`, "system", "GET", "Patient/kid", "")

		// invented patients may go at any time
		a.store.HoldsReal = func(db.PracticeID) bool { return false }
		a.must(200, `"count","valueInteger":1`, "zoe", "POST", "Observation/k1/$expunge", order(deleted, "true", "reason", "a demonstration is over"))
	})
}
