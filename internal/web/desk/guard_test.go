package desk_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/web/ui"
)

// two puts two patients and a visit of the first into the practice.
func (f *front) two(t testing.TB) (visit string) {
	t.Helper()
	f.Patient(t, "ann", "Ashgrove", "Ann", "1968-03-14", "female", "00482913")
	f.Patient(t, "ben", "Castelbrook", "Ben", "1990-03-14", "male", "1002")
	return f.visit(t, "ann", "doc1", 120, 20, "Follow-up", "Lipids <b>twice</b>", scheduling.Booked)
}

// neighbour is a second practice behind the same door, with its own patient, visit and doctor.
func (f *front) neighbour(t testing.TB) (token, visit string) {
	t.Helper()
	id, err := f.auth.AddPractice(ctx, "saltmarsh", "Saltmarsh Clinic")
	if err != nil {
		t.Fatal(err)
	}
	p := clinictest.FurnishIn(t, f.DB, id)
	p.Patient(t, "zed", "Zyxomma", "Zed", "1977-07-07", "male", "777")
	p.Put(t, `{"resourceType":"Condition","id":"zc","code":{"text":"Zyxitis"},"subject":{"reference":"Patient/zed"}}`,
		`{"resourceType":"DocumentReference","id":"zn","status":"current","docStatus":"final","description":"Zyxletter","subject":{"reference":"Patient/zed"},"date":"2024-05-06T10:00:00Z","content":[{"attachment":{"contentType":"text/plain","data":"WnlYdGV4dA=="}}]}`)
	visit, err = p.Book.Book(ctx, p.Desk, scheduling.Request{PatientID: "zed", StaffID: "doc1", SiteID: "site1", Type: "Follow-up", Reason: "Zyxreason",
		Start: time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC), Minutes: 20})
	if err != nil {
		t.Fatal(err)
	}
	uid, err := f.auth.AddUser(ctx, auth.SystemScope(id, "test"), auth.User{Login: "zola", Display: "Zola Zyxdoctor", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}})
	if err != nil {
		t.Fatal(err)
	}
	if token, _, err = f.auth.DemoSignIn(ctx, id, uid); err != nil {
		t.Fatal(err)
	}
	return token, visit
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// about lists the actions on record that concern a patient.
func (f *front) about(t testing.TB, patient string) []audit.Entry {
	t.Helper()
	list, err := f.Log.Find(ctx, auth.SystemScope(f.ID, "test"), audit.Filter{Patient: "Patient/" + patient, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWhatIsShownToWhom(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		f := open(t, d)
		visit := f.two(t)
		for _, c := range []struct {
			name, who, method, path string
			form                    url.Values
			status                  int
			must, mustNo            []string
			seen                    string // action on record about Ann afterwards; empty: none
		}{
			{"the day", "ferris", "GET", "/schedule?date=2026-03-02", nil, 200, []string{"Ashgrove", "Lipids &lt;b&gt;twice"}, []string{"<b>twice", "Castelbrook", "⟨", "style="}, audit.ActionSearch},
			{"a day without visits", "ferris", "GET", "/schedule?date=2026-03-03", nil, 200, []string{"Amara Quill"}, []string{"Ashgrove"}, ""},
			{"a visit's details", "ferris", "GET", "/schedule?date=2026-03-02&open=" + visit, nil, 200, []string{"Ashgrove", visit}, []string{"<b>twice"}, audit.ActionRead},
			{"a day that is none", "ferris", "GET", "/schedule?date=soon", nil, 400, nil, []string{"Ashgrove"}, ""},
			{"an address that breaks out of its attribute", "ferris", "GET", `/schedule?date=2026-03-02&staff=%22%3E%3Cscript%3Ex()`, nil, 200, nil, []string{"<script>x()", `"><script>x`}, ""},
			{"the list of patients", "ferris", "GET", "/patients", nil, 200, []string{"ASHGROVE", "CASTELBROOK", "00482913"}, []string{"⟨"}, audit.ActionSearch},
			{"a search by name", "ferris", "POST", "/patients", form("q", "castel"), 200, []string{"CASTELBROOK"}, []string{"ASHGROVE"}, ""},
			{"a search with markup", "ferris", "POST", "/patients", form("q", `"><img src=x>`), 200, nil, []string{"<img src=x"}, ""},
			{"the palette", "ferris", "POST", "/find", form("q", "ashg"), 200, []string{"ASHGROVE", "00482913"}, []string{"CASTELBROOK"}, audit.ActionSearch},
			{"the palette finds only commands", "ferris", "POST", "/find", form("q", "/ashg"), 200, nil, []string{"Ashgrove"}, ""},
			{"the form for a visit", "ferris", "GET", "/schedule/new?date=2026-03-02&patient=ann", nil, 200, []string{"ASHGROVE"}, []string{"⟨"}, audit.ActionSearch},
			{"a visit for nobody", "ferris", "POST", "/schedule", form("date", "2026-03-02", "time", "9:40", "staff", "doc1", "type", "Follow-up"), 422, nil, []string{"Ashgrove"}, ""},
			{"a visit where there is one", "ferris", "POST", "/schedule", form("patient", "ben", "date", "2026-03-02", "time", "10:00", "staff", "doc1", "site", "site1", "type", "Follow-up"), 409, []string{"CASTELBROOK"}, nil, ""},
			{"a visit of a patient there is not", "ferris", "POST", "/schedule", form("patient", "nobody", "date", "2026-03-02", "time", "15:00", "staff", "doc1", "site", "site1", "type", "Follow-up"), 422, nil, []string{"Ashgrove"}, ""},
			{"a visit that is not there", "ferris", "POST", "/schedule/nothing/status", form("status", "arrived", "version", "1"), 404, nil, nil, ""},
			{"a status that is none", "ferris", "POST", "/schedule/" + visit + "/status", form("status", "lost", "version", "1"), 400, nil, nil, ""},
			{"a change of what has changed", "ferris", "POST", "/schedule/" + visit + "/status", form("status", "arrived", "version", "99"), 409, nil, nil, ""},
			{"registration asks about twins", "ferris", "POST", "/patients/new", form("family", "Ashgrove", "given", "Ann", "birthDate", "1968-03-14", "sex", "female"), 409, []string{"00482913", `value="Ashgrove"`}, nil, audit.ActionSearch},
			{"registration keeps what was typed", "ferris", "POST", "/patients/new", form("family", "Dunlin", "given", "Di", "birthDate", "last year", "sex", "female"), 422, []string{`value="last year"`, `value="Dunlin"`}, nil, ""},
			{"an MRN that is taken", "ferris", "POST", "/patients/new", form("family", "Dunlin", "given", "Di", "birthDate", "1999-01-01", "sex", "female", "mrn", "00482913"), 422, []string{"MRN"}, nil, ""},
			{"the front desk is led to who a patient is", "ferris", "POST", "/find", form("q", "ashg"), 200, []string{"/patients/ann/registration"}, nil, audit.ActionSearch},
			{"who a patient is", "ferris", "GET", "/patients/ann/registration", nil, 200, []string{"ASHGROVE", `value="Ashgrove"`, "00482913"}, []string{"⟨"}, audit.ActionRead},
			{"a biller reads it and has no form", "marsh", "GET", "/patients/ann/registration", nil, 200, []string{"ASHGROVE"}, []string{"data-commit", "⟨"}, audit.ActionRead},
			{"nobody's registration", "ferris", "GET", "/patients/nobody/registration", nil, 404, nil, []string{"Ashgrove"}, ""},
			{"a correction that cannot be read keeps what was typed", "ferris", "POST", "/patients/ann/registration", form("patient", "ann", "version", "1", "family", "Ashgrove <b>", "given", "Ann", "birthDate", "soon", "sex", "female"), 422, []string{`value="soon"`, "Ashgrove &lt;b&gt;"}, nil, audit.ActionRead},
			{"a correction of what has changed shows both", "ferris", "POST", "/patients/ann/registration", form("patient", "ann", "version", "99", "family", "Ashgrave", "given", "Ann", "birthDate", "1968-03-14", "sex", "female"), 409, []string{`value="Ashgrave"`, "Somebody changed this", "Ashgrove"}, nil, audit.ActionRead},
			{"a correction of another patient than the page's", "ferris", "POST", "/patients/ann/registration", form("patient", "ben", "version", "1", "family", "X", "given", "Ann", "birthDate", "1968-03-14", "sex", "female"), 409, nil, []string{"Ashgrove"}, ""},
			{"a biller corrects nothing", "marsh", "POST", "/patients/ann/registration", form("patient", "ann", "version", "1", "family", "X", "given", "Ann", "birthDate", "1968-03-14", "sex", "female"), 403, nil, []string{"Ashgrove"}, ""},
			{"a front desk opens no chart", "ferris", "GET", "/patients/ann", nil, 403, nil, []string{"Ashgrove"}, ""},
			{"a biller moves no visit", "marsh", "POST", "/schedule/" + visit + "/status", form("status", "arrived", "version", "1"), 403, nil, []string{"Ashgrove"}, ""},
			{"a biller registers nobody", "marsh", "GET", "/patients/new", nil, 403, nil, nil, ""},
			{"a doctor opens the chart", "quill", "GET", "/patients/ann", nil, 200, []string{"ASHGROVE"}, []string{"⟨"}, audit.ActionRead},
			{"nobody is sent to sign in", "", "GET", "/patients/ann", nil, 303, nil, []string{"Ashgrove"}, ""},
			{"a page there is not", "ferris", "GET", "/nothing", nil, 404, nil, []string{"Ashgrove"}, ""},
			{"one's own account", "ferris", "GET", "/account/security", nil, 200, []string{"Dot Ferris"}, []string{"⟨", "Ashgrove"}, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := f.about(t, "ann")
				r, body := f.ask(t, c.who, c.method, c.path, c.form)
				if r.StatusCode != c.status {
					t.Fatalf("status %d, want %d: %.600s", r.StatusCode, c.status, words(body))
				}
				for _, m := range c.must {
					if !strings.Contains(body, m) {
						t.Errorf("%q is missing: %.2000s", m, words(body))
					}
				}
				for _, m := range c.mustNo {
					if i := strings.Index(strings.ToLower(body), strings.ToLower(m)); i >= 0 {
						t.Errorf("%q appears: …%s…", m, body[max(0, i-60):min(len(body), i+60)])
					}
				}
				after := f.about(t, "ann")
				switch n := len(after) - len(before); {
				case c.seen == "" && n != 0:
					t.Errorf("%d entries about Ann, although nothing about her was shown: %+v", n, after[0])
				case c.seen != "" && n == 0:
					t.Error("nothing about Ann is on record")
				case c.seen != "" && after[0].Action != c.seen:
					t.Errorf("on record as %q, want %q", after[0].Action, c.seen)
				}
				if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Content-Security-Policy") != ui.Policy {
					t.Error("the page may be stored, or has no policy")
				}
			})
		}
	})
}

// words is a page without its tags, for messages of tests.
func words(page string) string {
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")), " ")
}

// TestDayOfAVisit books a visit, checks the patient in, takes that back, and looks at what is on record and what screens are told.
func TestDayOfAVisit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		f := open(t, d)
		f.two(t)
		news := f.screen(t)
		booking := form("patient", "ben", "date", "2026-03-02", "time", "3pm", "staff", "doc1", "site", "site1", "type", "Follow-up", "once", "k1")
		for range 2 { // the second is a slip of the finger
			if r, body := f.ask(t, "ferris", "POST", "/schedule", booking); r.StatusCode != 303 || r.Header.Get("Location") != "/millrace/schedule?date=2026-03-02" {
				t.Fatalf("%d %s %s", r.StatusCode, r.Header.Get("Location"), words(body))
			}
		}
		visits := f.Find(t, "Appointment", "patient", "Patient/ben")
		if len(visits) != 1 {
			t.Fatalf("%d appointments", len(visits))
		}
		if told := news(); !slices.Equal(told, []string{"Appointment"}) {
			t.Errorf("screens were told %q", told)
		}
		at := "/schedule/" + visits[0].ID + "/status"
		r, body := f.ask(t, "ferris", "POST", at, form("status", "arrived", "version", "1", "back", "https://example.org/"))
		if r.StatusCode != 303 || r.Header.Get("Location") != "/millrace/schedule" {
			t.Fatalf("%d %s %s", r.StatusCode, r.Header.Get("Location"), words(body))
		}
		toast := ""
		for _, c := range r.Cookies() {
			if c.Name == "yarrow-toast-millrace" {
				toast = c.Value
				if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
					t.Error("the message's cookie can be read by scripts or sent by other sites")
				}
			}
		}
		message, undo, _ := strings.Cut(toast, "|")
		if undo, _ = url.QueryUnescape(undo); !strings.HasPrefix(undo, "/millrace"+at+"?") || strings.Contains(message, "Castelbrook") {
			t.Fatalf("undo goes to %q, the message is %q", undo, message)
		}
		if n := len(f.Find(t, "Encounter", "patient", "Patient/ben")); n != 1 {
			t.Errorf("%d encounters after arrival", n)
		}
		if r, body := f.ask(t, "ferris", "POST", strings.TrimPrefix(undo, "/millrace"), form()); r.StatusCode != 303 {
			t.Fatalf("undo: %d %s", r.StatusCode, words(body))
		}
		if n := f.Read(t, "Appointment", visits[0].ID).Node(); n.Get("status").Text() != "booked" {
			t.Errorf("after undo the appointment is %s", n.Get("status").Text())
		}
		got := map[string]bool{}
		for _, e := range f.about(t, "ben") {
			if e.Actor.UserID != 0 {
				got[e.Type+" "+e.Action] = true
			}
		}
		for _, want := range []string{"Appointment create", "Appointment update", "Encounter create"} {
			if !got[want] {
				t.Errorf("%s is not on record by a person: %v", want, got)
			}
		}
	})
}

// TestSessions signs in with password and code, and looks at the cookies and at what a wrong try tells.
func TestSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		f := open(t, d)
		r, page := f.ask(t, "", "POST", "/sign-in", form("login", "quill", "password", "not it", "code", "000000"))
		_, unknown := f.ask(t, "", "POST", "/sign-in", form("login", "quilt", "password", "not it", "code", "000000"))
		if r.StatusCode != 401 || len(r.Cookies()) != 0 || strings.Contains(page, "not it") {
			t.Errorf("a wrong password: %d %v", r.StatusCode, r.Cookies())
		}
		if strings.ReplaceAll(words(page), "quill", "") != strings.ReplaceAll(words(unknown), "quilt", "") {
			t.Errorf("an unknown login is told apart:\n%s\n%s", words(page), words(unknown))
		}
		code, err := auth.TOTPCode(secret, d.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		in := form("login", "quill", "password", password, "code", code, "to", "https://example.org/millrace/x")
		planted := "yarrow-session-millrace=" + strings.Repeat("a", 43)
		r, page = f.ask(t, "", "POST", "/sign-in", in, "Cookie", planted)
		if r.StatusCode != 303 || r.Header.Get("Location") != "/millrace/schedule" {
			t.Fatalf("%d %s %s", r.StatusCode, r.Header.Get("Location"), words(page))
		}
		token := ""
		for _, c := range r.Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("cookie %s: %+v", c.Name, c)
			}
			if c.Name == "yarrow-session-millrace" {
				token = c.Value
			}
		}
		if token == "" || strings.Contains(planted, token) {
			t.Fatal("the session has a token that was there before")
		}
		if r, _ := f.ask(t, "", "POST", "/sign-in", in); r.StatusCode != 401 {
			t.Errorf("a code worked twice: %d", r.StatusCode)
		}
		f.tokens["new"] = token
		if r, _ := f.ask(t, "new", "GET", "/schedule", nil); r.StatusCode != 200 {
			t.Errorf("signed in: %d", r.StatusCode)
		}
		if r, _ := f.ask(t, "new", "POST", "/lock", form()); r.StatusCode != 303 {
			t.Errorf("lock: %d", r.StatusCode)
		}
		if r, page := f.ask(t, "new", "GET", "/patients", nil); !strings.HasPrefix(r.Header.Get("Location"), "/millrace/unlock?") || page != "" {
			t.Errorf("a locked session goes to %s", r.Header.Get("Location"))
		}
		if r, _ := f.ask(t, "new", "POST", "/unlock", form("password", "not it")); r.StatusCode != 401 {
			t.Errorf("unlocked with a wrong password: %d", r.StatusCode)
		}
		r, _ = f.ask(t, "new", "POST", "/unlock", form("password", password))
		if r.StatusCode != 303 || r.Header.Get("Location") != "/millrace/schedule" {
			t.Fatalf("unlock: %d %s", r.StatusCode, r.Header.Get("Location"))
		}
		for _, c := range r.Cookies() {
			if c.Name == "yarrow-session-millrace" {
				f.tokens["new"] = c.Value
			}
		}
		if r, _ := f.ask(t, "new", "POST", "/sign-out", form()); r.Header.Get("Clear-Site-Data") == "" {
			t.Errorf("sign-out: %d %v", r.StatusCode, r.Header)
		}
		for _, old := range []string{f.tokens["new"], token} {
			f.tokens["old"] = old
			if r, _ := f.ask(t, "old", "GET", "/schedule", nil); !strings.HasPrefix(r.Header.Get("Location"), "/millrace/sign-in") {
				t.Errorf("after sign-out: %d %s", r.StatusCode, r.Header.Get("Location"))
			}
		}
		got := map[string]int{}
		list, err := f.Log.Find(ctx, auth.SystemScope(f.ID, "test"), audit.Filter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			got[e.Action]++
		}
		if got[audit.ActionSignInFailed] < 3 || got[audit.ActionSignIn] == 0 || got[audit.ActionSignOut] == 0 {
			t.Errorf("on record: %v", got)
		}
	})
}

// TestProvingAgain changes one's credentials a while after signing in: the page asks for a new proof, takes it, and goes on.
func TestProvingAgain(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	code, err := auth.TOTPCode(secret, f.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := f.ask(t, "", "POST", "/sign-in", form("login", "quill", "password", password, "code", code))
	for _, c := range r.Cookies() {
		if c.Name == "yarrow-session-millrace" {
			f.tokens["new"] = c.Value
		}
	}
	if _, page := f.ask(t, "new", "GET", "/account/security", nil); strings.Contains(page, "Is it you?") {
		t.Error("asked for a proof at once")
	}
	f.Clock.Advance(auth.StepUpWithin + time.Minute)
	r, page := f.ask(t, "new", "POST", "/account/codes", form())
	if strings.Contains(page, `class="codes`) || !strings.Contains(page, "Is it you?") || !strings.Contains(page, `action="/millrace/account/prove"`) {
		t.Fatalf("%d %s", r.StatusCode, words(page))
	}
	if code, err = auth.TOTPCode(secret, f.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, page := f.ask(t, "new", "POST", "/account/prove", form("password", "not it", "code", code)); !strings.Contains(page, "This did not work") {
		t.Errorf("a wrong password: %s", words(page))
	}
	f.Clock.Advance(time.Minute)
	if code, err = auth.TOTPCode(secret, f.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	if r, page := f.ask(t, "new", "POST", "/account/prove", form("password", password, "code", code)); r.StatusCode != 303 {
		t.Fatalf("%d %s", r.StatusCode, words(page))
	}
	if _, page := f.ask(t, "new", "POST", "/account/codes", form()); !strings.Contains(page, `class="codes`) {
		t.Errorf("no codes after the proof: %s", words(page))
	}
}

// TestEveryRouteIsGuarded asks for every route as nobody, from another site, as every role, and with the session of another practice.
func TestEveryRouteIsGuarded(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	visit := f.two(t)
	foreign, _ := f.neighbour(t)
	f.tokens["zola"] = foreign
	fill := strings.NewReplacer("/{practice}", "", "{patient}", "ann", "{appointment}", visit, "{kind}", "statement")
	rest := regexp.MustCompile(`\{\w+\}`)
	for _, r := range f.router.Routes() {
		if r.Permission == "" {
			continue
		}
		path := rest.ReplaceAllString(fill.Replace(r.Pattern), "x")
		var sent url.Values
		if r.Method == "POST" {
			sent = form("patient", "ben") // not the patient of the address
		}
		for _, who := range []string{"", "zola"} {
			a, body := f.ask(t, who, r.Method, path, sent)
			if a.StatusCode != 303 || !strings.HasPrefix(a.Header.Get("Location"), "/millrace/sign-in") || body != "" {
				t.Errorf("%s %s as %q: %d %s", r.Method, path, who, a.StatusCode, a.Header.Get("Location"))
			}
		}
		if r.Method == "POST" {
			if a, _ := f.ask(t, "quill", r.Method, path, sent, "Sec-Fetch-Site", "cross-site", "Origin", "https://example.org"); a.StatusCode != 403 {
				t.Errorf("%s from another site: %d", path, a.StatusCode)
			}
		}
		for _, who := range []string{"quill", "ferris", "marsh"} {
			staff, _, err := f.auth.Resume(ctx, "millrace", f.tokens[who])
			if err != nil {
				t.Fatal(err)
			}
			if staff.Can(r.Permission) {
				continue
			}
			a, body := f.ask(t, who, r.Method, path, sent)
			if a.StatusCode != 403 || strings.Contains(strings.ToLower(body), "ashgrove") {
				t.Errorf("%s %s as %s: %d", r.Method, path, who, a.StatusCode)
			}
		}
		// Whatever a chart's form says, it changes nothing when its patient is not the one of its address.
		if r.Method == "POST" && strings.Contains(r.Pattern, "{patient}") && !strings.HasSuffix(r.Pattern, "/codes") {
			before := f.about(t, "ann")
			a, _ := f.ask(t, "quill", r.Method, path, sent)
			if a.StatusCode < 400 {
				t.Errorf("%s took a form of another patient: %d", path, a.StatusCode)
			}
			for _, e := range f.about(t, "ann")[:len(f.about(t, "ann"))-len(before)] {
				if e.Action == audit.ActionCreate || e.Action == audit.ActionUpdate {
					t.Errorf("%s changed something: %+v", path, e)
				}
			}
		}
	}
}

// TestPracticesStayApart asks practice after practice for what belongs to the other: ids of the other give what ids of nobody
// give, and nothing of it appears anywhere.
func TestPracticesStayApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		f := open(t, d)
		f.two(t)
		foreign, visit := f.neighbour(t)
		for _, r := range f.router.Routes() {
			if !strings.HasPrefix(r.Pattern, "/{practice}/") || r.Method != "GET" || r.Pattern == "/{practice}/live" { // the stream never ends; it has a test of its own
				continue
			}
			at := func(patient, visit, note, id string) string {
				return regexp.MustCompile(`\{\w+\}`).ReplaceAllString(strings.NewReplacer("/{practice}", "", "{patient}", patient, "{appointment}", visit, "{note}", note, "{id}", id, "{kind}", "statement").Replace(r.Pattern), "x")
			}
			theirs, body := f.ask(t, "quill", "GET", at("zed", visit, "zn", "zc"), nil)
			nobodys, _ := f.ask(t, "quill", "GET", at("nobody", "no", "no", "no"), nil)
			if theirs.StatusCode != nobodys.StatusCode || strings.Contains(strings.ToLower(body), "zyx") {
				t.Errorf("%s: theirs %d, nobody's %d: %s", r.Pattern, theirs.StatusCode, nobodys.StatusCode, words(body))
			}
		}
		for _, text := range []string{"zyxomma", "777", "zed", "1977-07-07"} {
			for _, path := range []string{"/patients", "/find"} {
				if _, body := f.ask(t, "quill", "POST", path, form("q", text)); strings.Contains(body, "Zyxomma") {
					t.Errorf("%s finds the neighbour's patient by %q", path, text)
				}
			}
		}
		if r, _ := f.ask(t, "ferris", "POST", "/schedule/"+visit+"/status", form("status", "arrived", "version", "1")); r.StatusCode != 404 {
			t.Errorf("the neighbour's visit: %d", r.StatusCode)
		}
		if r, body := f.ask(t, "ferris", "POST", "/schedule", form("patient", "zed", "date", "2026-03-02", "time", "15:00", "staff", "doc1", "site", "site1", "type", "Follow-up")); r.StatusCode < 400 || strings.Contains(body, "Zyxomma") {
			t.Errorf("booked the neighbour's patient: %d", r.StatusCode)
		}
		// A session opens its own practice only, under whatever name its token is sent.
		for _, c := range []struct {
			practice, token string
			opens           bool
		}{{"millrace", f.tokens["quill"], true}, {"saltmarsh", foreign, true}, {"saltmarsh", f.tokens["quill"], false}, {"millrace", foreign, false}} {
			for _, path := range []string{"/schedule", "/patients", "/patients/zed", "/patients/ann", "/account/security"} {
				r := httptest.NewRequest("GET", "http://localhost/"+c.practice+path, nil)
				for _, p := range []string{"millrace", "saltmarsh"} {
					r.AddCookie(&http.Cookie{Name: "yarrow-session-" + p, Value: c.token})
				}
				w := httptest.NewRecorder()
				f.router.ServeHTTP(w, r)
				if signIn := strings.HasPrefix(w.Header().Get("Location"), "/"+c.practice+"/sign-in"); signIn == c.opens {
					t.Errorf("%s%s: %d %s", c.practice, path, w.Code, w.Header().Get("Location"))
				}
			}
		}
		if r, _ := f.ask(t, "", "GET", "/../nowhere/schedule", nil); r.StatusCode == 200 {
			t.Error("a practice there is not was opened")
		}
	})
}

// TestChangingThePassword needs a recent proof, the same word twice and a good one; the new one opens, the old one does not.
func TestChangingThePassword(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	const better = "a lantern over the mill pond"
	enter := func(word string) bool {
		t.Helper()
		f.Clock.Advance(time.Minute) // a code counts once
		code, err := auth.TOTPCode(secret, f.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		r, _ := f.ask(t, "", "POST", "/sign-in", form("login", "quill", "password", word, "code", code))
		for _, c := range r.Cookies() {
			if c.Name == "yarrow-session-millrace" {
				f.tokens["new"] = c.Value
				return true
			}
		}
		return false
	}
	if !enter(password) {
		t.Fatal("not signed in")
	}
	for _, c := range []struct{ name, first, again, says string }{
		{"two words", better, better + "x", "not the same"}, {"a weak one", "password", "password", "summary-err"},
	} {
		if r, page := f.ask(t, "new", "POST", "/account/password", form("new", c.first, "again", c.again)); r.StatusCode != 200 || !strings.Contains(page, c.says) || strings.Contains(page, c.first) && c.first == better {
			t.Errorf("%s: %d %s", c.name, r.StatusCode, words(page))
		}
	}
	f.Clock.Advance(auth.StepUpWithin + time.Minute)
	if _, page := f.ask(t, "new", "POST", "/account/password", form("new", better, "again", better)); !strings.Contains(page, "Is it you?") {
		t.Errorf("without a proof: %s", words(page))
	}
	if !enter(password) {
		t.Fatal("the password was changed without a proof")
	}
	if r, page := f.ask(t, "new", "POST", "/account/password", form("new", better, "again", better)); r.StatusCode != 303 {
		t.Fatalf("%d %s", r.StatusCode, words(page))
	}
	if enter(password) || !enter(better) {
		t.Error("the old password opens, or the new one does not")
	}
	if _, page := f.ask(t, "new", "GET", "/account/security", nil); !strings.Contains(page, "Latest sign-ins") || !strings.Contains(page, "Failed") {
		t.Errorf("what was tried is not in the history: %s", words(page))
	}
}
