package desk_test

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/web/ui"
)

// request is one to the screens and what must come of it.
type request struct {
	name, who, method, path string
	form                    url.Values
	header                  []string
	status                  int
	says                    []string
	never                   []string
	to                      string
}

func (f *front) check(t *testing.T, list []request) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			r, body := f.ask(t, c.who, c.method, c.path, c.form, c.header...)
			if r.StatusCode != c.status {
				t.Errorf("status %d, want %d: %.600s", r.StatusCode, c.status, body)
			}
			for _, s := range c.says {
				if !strings.Contains(body, s) {
					t.Errorf("does not say %q", s)
				}
			}
			for _, s := range c.never {
				if strings.Contains(body, s) {
					t.Errorf("says %q", s)
				}
			}
			if to := r.Header.Get("Location"); c.to != "" && !strings.HasPrefix(to, c.to) {
				t.Errorf("leads to %q, want %q", to, c.to)
			}
		})
	}
}

func (f *front) looks(t *testing.T, patient string) (actions []string) {
	t.Helper()
	list, err := f.Log.Find(ctx, auth.SystemScope(f.ID, "test"), audit.Filter{Patient: "Patient/" + patient})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		actions = append(actions, e.Action)
	}
	return actions
}

func TestSchedulePages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		f := open(t, d)
		f.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
		f.Patient(t, "ben", "Birch", "Ben", "2024-09-01", "male", "1002")
		f.Put(t, `{"resourceType":"Patient","id":"rex","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"name":[{"family":"Hidden","given":["Rex"]}],"birthDate":"1990-01-01","gender":"male"}`)
		a := f.visit(t, "ann", "doc1", 60, 40, "Follow-up", "Blood pressure", scheduling.Roomed)
		f.visit(t, "ben", "doc1", 120, 20, "Office visit", "Cough", scheduling.Booked)
		r := f.Put(t, `{"resourceType":"Appointment","id":"therapy","status":"booked","start":"2026-03-02T16:00:00Z","end":"2026-03-02T16:50:00Z","reasonCode":[{"text":"Trauma"}],
			"participant":[{"actor":{"reference":"Patient/rex","display":"Hidden, Rex"},"status":"accepted"},{"actor":{"reference":"Practitioner/doc1"},"status":"accepted"}]}`)[0]
		f.check(t, []request{
			{name: "the day", who: "quill", method: "GET", path: "/schedule", status: 200, says: []string{"Ash-Okoro, Ann", "57 F", "18 mo M", "Room 1", "Mon 02 Mar", "Restricted", "nowl"}, never: []string{"Hidden", "Trauma"}},
			{name: "another day", who: "quill", method: "GET", path: "/schedule?date=2026-03-03", status: 200, says: []string{"Tue 03 Mar"}, never: []string{"Ash-Okoro", "nowl"}},
			{name: "a date nobody can read", who: "quill", method: "GET", path: "/schedule?date=soon", status: 400, says: []string{"not a date"}},
			{name: "one visit", who: "quill", method: "GET", path: "/schedule?open=" + a + "&part=detail", header: []string{"HX-Request", "true"}, status: 200,
				says: []string{"born 14 Mar 1968", "00482913", "9:00–9:40 with Amara Quill, MD", "Start visit"}, never: []string{"<html", "Birch"}},
			{name: "a restricted visit", who: "quill", method: "GET", path: "/schedule?open=" + r + "&part=detail", header: []string{"HX-Request", "true"}, status: 200, says: []string{"Restricted"}, never: []string{"Hidden", "1990"}},
			{name: "the front desk", who: "ferris", method: "GET", path: "/schedule?open=" + r, status: 200, says: []string{"Ash-Okoro, Ann", "Restricted"}, never: []string{"Hidden", "Trauma"}},
			{name: "the biller looks", who: "marsh", method: "GET", path: "/schedule", status: 200, never: []string{"/schedule/new"}},
			{name: "the biller may not book", who: "marsh", method: "GET", path: "/schedule/new", status: 403, says: []string{"closed to your role"}},
			{name: "nobody", method: "GET", path: "/schedule", status: 303, to: "/millrace/sign-in"},
		})
		if got := f.looks(t, "ann"); len(got) < 3 || !slices.Contains(got, audit.ActionRead) || !slices.Contains(got, audit.ActionSearch) {
			t.Errorf("on record for ann: %v", got)
		}
	})
}

func TestMovingAVisitOn(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	f := open(t, d)
	f.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	id := f.visit(t, "ann", "doc1", 60, 20, "Follow-up", "Blood pressure", scheduling.Booked)
	now := func() scheduling.Block {
		b, err := f.Book.Appointment(ctx, f.Desk, id)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	version := func() string { return strconv.FormatInt(now().Version, 10) }
	news := f.screen(t)
	f.check(t, []request{{name: "arrives", who: "ferris", method: "POST", path: "/schedule/" + id + "/status", form: url.Values{"status": {"arrived"}, "version": {version()}, "back": {"/millrace/schedule?date=2026-03-02"}}, status: 303, to: "/millrace/schedule?date=2026-03-02"}})
	if told := news(); now().Status != scheduling.Arrived || !slices.Contains(told, "Appointment") {
		t.Fatalf("%+v, told %v", now(), told)
	}
	f.check(t, []request{
		{name: "an old page", who: "ferris", method: "POST", path: "/schedule/" + id + "/status", form: url.Values{"status": {"no-show"}, "version": {"1"}}, status: 409},
		{name: "undo", who: "ferris", method: "POST", path: "/schedule/" + id + "/status?status=booked&version=" + version(), form: url.Values{}, status: 303},
		{name: "back to another site", who: "ferris", method: "POST", path: "/schedule/" + id + "/status", form: url.Values{"status": {"booked"}, "version": {"0"}, "back": {"https://evil.example"}}, status: 303, to: "/millrace/schedule"},
	})
	if now().Status != scheduling.Booked {
		t.Fatalf("%+v", now())
	}
	f.check(t, []request{
		{name: "the form", who: "ferris", method: "GET", path: "/schedule/" + id + "/move?date=2026-03-02", status: 200, says: []string{"9:00 am", "Ash-Okoro"}},
		{name: "a time nobody can read", who: "ferris", method: "POST", path: "/schedule/" + id + "/move", form: url.Values{"date": {"2026-03-02"}, "time": {"noonish"}, "minutes": {"20"}, "staff": {"doc1"}, "version": {version()}}, status: 422, says: []string{"There is a problem"}},
		{name: "moved", who: "ferris", method: "POST", path: "/schedule/" + id + "/move", form: url.Values{"date": {"2026-03-03"}, "time": {"2:30"}, "minutes": {"30"}, "staff": {"doc2"}, "version": {version()}}, status: 303, to: "/millrace/schedule?date=2026-03-03&open="},
	})
	if b := now(); b.From != 14*60+30 || b.StaffID != "doc2" || b.Minutes() != 30 {
		t.Fatalf("%+v", b)
	}
}

func TestBooking(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	f := open(t, d)
	f.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	f.Patient(t, "anne", "Ash-Okoro", "Anne", "1968-04-13", "female", "00482914")
	at := func(time string, more ...string) url.Values {
		v := url.Values{"patient": {"ann"}, "date": {"2026-03-02"}, "time": {time}, "staff": {"doc1"}, "type": {"Follow-up"}, "reason": {"Cough"}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	f.check(t, []request{
		{name: "looking for the patient", who: "ferris", method: "POST", path: "/schedule", form: url.Values{"step": {"find"}, "find": {"ash"}}, status: 200, says: []string{"ASH-OKORO, Anne", "13 Apr 1968", "Similar name"}},
		{name: "nobody chosen", who: "ferris", method: "POST", path: "/schedule", form: at("10", "patient", ""), status: 422, says: []string{"There is a problem"}},
		{name: "no time", who: "ferris", method: "POST", path: "/schedule", form: at("later"), status: 422},
		{name: "booked", who: "ferris", method: "POST", path: "/schedule", form: at("10"), status: 303, to: "/millrace/schedule?date=2026-03-02"},
		{name: "taken", who: "ferris", method: "POST", path: "/schedule", form: at("10:10"), status: 409, says: []string{"Amara Quill", "10:00"}},
		{name: "taken, in the dialog", who: "ferris", method: "POST", path: "/schedule", form: at("10:10"), header: []string{"HX-Request", "true"}, status: 409, never: []string{"<html"}},
		{name: "on purpose", who: "ferris", method: "POST", path: "/schedule", form: at("10:10", "double", "yes"), status: 303},
		{name: "the biller", who: "marsh", method: "POST", path: "/schedule", form: at("11"), status: 403},
	})
}

func TestPatientsAndRegistration(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		f := open(t, d)
		f.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
		f.Patient(t, "anne", "Ash-Okoro", "Anne", "1968-04-13", "female", "00482914")
		f.Patient(t, "ben", "Birch", "Ben", "1990-09-01", "male", "1002")
		twin := url.Values{"family": {"Ash-Okoro"}, "given": {"Ann"}, "birthDate": {"3/14/68"}, "sex": {"female"}}
		sure := url.Values{"family": {"Ash-Okoro"}, "given": {"Ann"}, "birthDate": {"3/14/68"}, "sex": {"female"}, "confirmed": {"yes"}}
		f.check(t, []request{
			{name: "all", who: "quill", method: "GET", path: "/patients", status: 200, says: []string{"ASH-OKORO, Ann", "BIRCH, Ben", "Similar name", "3 people"}},
			{name: "some", who: "quill", method: "POST", path: "/patients", form: url.Values{"q": {"birch"}}, header: []string{"HX-Request", "true"}, status: 200, says: []string{"BIRCH"}, never: []string{"ASH", "<html"}},
			{name: "none", who: "quill", method: "POST", path: "/patients", form: url.Values{"q": {"zzzzqq"}}, status: 200, says: []string{"/patients/new"}, never: []string{"ASH"}},
			{name: "names stay out of addresses", who: "quill", method: "GET", path: "/patients?q=birch", status: 200, says: []string{"ASH-OKORO"}},
			{name: "palette", who: "quill", method: "POST", path: "/find", form: url.Values{"q": {"ash an"}}, header: []string{"HX-Request", "true"}, status: 200, says: []string{"57 y F · 14 Mar 1968", "Similar name"}, never: []string{"BIRCH"}},
			{name: "palette, commands only", who: "quill", method: "POST", path: "/find", form: url.Values{"q": {"/sch"}}, header: []string{"HX-Request", "true"}, status: 200, says: []string{"G S"}, never: []string{"ASH"}},
			{name: "nothing filled in", who: "ferris", method: "POST", path: "/patients/new", form: url.Values{}, status: 422, says: []string{"There is a problem", "#f-family", "#f-birthDate"}},
			{name: "what was typed stays", who: "ferris", method: "POST", path: "/patients/new", form: url.Values{"family": {"O'Brian <b>"}}, status: 422, says: []string{"O&#39;Brian &lt;b&gt;"}},
			{name: "a twin", who: "ferris", method: "POST", path: "/patients/new", form: twin, status: 409, says: []string{"00482913", `name="confirmed"`}},
			{name: "someone else after all", who: "ferris", method: "POST", path: "/patients/new", form: sure, status: 303, to: "/millrace/patients/"},
			{name: "the biller", who: "marsh", method: "GET", path: "/patients/new", status: 403},
			{name: "a new telephone", who: "ferris", method: "POST", path: "/patients/ben/registration", form: url.Values{"patient": {"ben"}, "version": {"1"}, "family": {"Birch"}, "given": {"Ben"},
				"birthDate": {"1990-09-01"}, "sex": {"male"}, "phone": {"(413) 555-0162"}}, status: 303, to: "/millrace/patients/ben/registration"},
			{name: "is there", who: "ferris", method: "GET", path: "/patients/ben/registration", status: 200, says: []string{`value="(413) 555-0162"`}},
		})
		if got := f.looks(t, "ben"); len(got) == 0 {
			t.Error("a list with ben on it left no record")
		}
	})
}

func TestSigningIn(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	f := open(t, d)
	code, err := auth.TOTPCode(secret, d.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, []request{
		{name: "the page", method: "GET", path: "/sign-in", status: 200, says: []string{"demonstration practice", "Amara Quill, MD", "passkey"}},
		{name: "signed in already", who: "quill", method: "GET", path: "/sign-in?to=/millrace/patients", status: 303, to: "/millrace/patients"},
		{name: "wrong password", method: "POST", path: "/sign-in", form: url.Values{"login": {"quill"}, "password": {"wrong"}, "code": {code}}, status: 401, says: []string{"quill"}, never: []string{"wrong"}},
		{name: "elsewhere", who: "", method: "POST", path: "/sign-in", form: url.Values{"login": {"quill"}, "password": {password}, "code": {code}, "to": {"https://evil.example/"}}, status: 303, to: "/millrace/schedule"},
	})
	r, _ := f.ask(t, "", "POST", "/sign-in/demo", url.Values{"person": {"1"}})
	var names []string
	for _, c := range r.Cookies() {
		names = append(names, c.Name)
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%+v", c)
		}
	}
	if r.StatusCode != 303 || !slices.Contains(names, "yarrow-session-millrace") {
		t.Errorf("demo: %d %v", r.StatusCode, names)
	}
	d.Clock.Advance(16 * time.Minute)
	f.check(t, []request{
		{name: "idle", who: "quill", method: "GET", path: "/schedule", status: 303, to: "/millrace/unlock?to="},
		{name: "locked", who: "quill", method: "GET", path: "/unlock?to=/millrace/patients", status: 200, says: []string{"Amara Quill, MD", "Locked"}, never: []string{"rail"}},
		{name: "sign-in leads to the lock", who: "quill", method: "GET", path: "/sign-in", status: 303, to: "/millrace/unlock"},
		{name: "wrong again", who: "quill", method: "POST", path: "/unlock", form: url.Values{"password": {"wrong"}}, status: 401, says: []string{"Amara Quill"}},
		{name: "open", who: "quill", method: "POST", path: "/unlock", form: url.Values{"password": {password}, "to": {"/millrace/patients"}}, status: 303, to: "/millrace/patients"},
		{name: "the old token", who: "quill", method: "GET", path: "/schedule", status: 303, to: "/millrace/sign-in"},
		{name: "nothing to unlock", method: "GET", path: "/unlock", status: 303, to: "/millrace/sign-in"},
		{name: "out", who: "ferris", method: "POST", path: "/sign-out", form: url.Values{}, status: 303, to: "/millrace/sign-in"},
	})
}

func TestAccount(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	f := open(t, d)
	f.check(t, []request{
		{name: "the page", who: "quill", method: "GET", path: "/account/security", status: 200, says: []string{"Add a passkey", "This one", "Sign out everywhere"}},
		{name: "an authenticator", who: "ferris", method: "POST", path: "/account/totp", form: url.Values{}, status: 200, says: []string{`class="qr"`, `name="ticket"`}},
		{name: "a passkey begins", who: "quill", method: "POST", path: "/account/passkey/begin", form: url.Values{}, status: 200, says: []string{`"ticket"`, `"challenge"`}},
		{name: "a passkey that is none", who: "quill", method: "POST", path: "/account/passkey/finish", form: url.Values{"x": {"y"}}, status: 400},
	})
}

func TestKeysDoNotClash(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	if c := ui.Clashes(f.router.Commands()); len(c) > 0 {
		t.Error(c)
	}
}

func TestRouteTable(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	anyone := map[string]bool{}
	for _, r := range f.router.Routes() {
		if !strings.HasPrefix(r.Pattern, "/{practice}/") {
			t.Errorf("%s stands outside a practice", r.Pattern)
		}
		if r.Permission == "" {
			anyone[r.Method+" "+strings.TrimPrefix(r.Pattern, "/{practice}")] = true
		}
	}
	for _, open := range []string{"GET /sign-in", "POST /sign-in", "POST /sign-in/demo", "POST /sign-in/passkey/begin", "POST /sign-in/passkey/finish", "GET /join", "POST /join", "GET /unlock", "POST /unlock",
		"POST /sign-out", "POST /theme", "POST /language", "POST /density", "POST /keys", "POST /lock"} {
		if !anyone[open] {
			t.Errorf("%s is not open", open)
		}
		delete(anyone, open)
	}
	for r := range anyone {
		t.Errorf("%s is open to anybody", r)
	}
}
