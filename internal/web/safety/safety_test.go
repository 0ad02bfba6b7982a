package safety_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/web/chart"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/safety"
	"yarrow.health/internal/web/ui"
	"yarrow.health/internal/web/webtest"
)

var ctx = context.Background()

// house is a furnished practice with its screens: an administrator, two clinicians, a front desk.
type house struct {
	*clinictest.Practice
	d      *dbtest.DB
	auth   *auth.Auth
	router *ui.Router
	tokens map[string]string
	users  map[string]int64
	lapse  func(db.PracticeID) (audit.Lapse, bool) // of the witness; nil: none
}

func (h *house) unwitnessed(p db.PracticeID) (audit.Lapse, bool) {
	if h.lapse == nil {
		return audit.Lapse{}, false
	}
	return h.lapse(p)
}

func open(t testing.TB, d *dbtest.DB) *house {
	t.Helper()
	d.Clock.Set(time.Date(2026, 3, 2, 14, 17, 0, 0, time.UTC))
	h := &house{d: d, tokens: map[string]string{}, users: map[string]int64{}}
	h.auth = auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
	id, err := h.auth.AddPractice(ctx, "millrace", "Millrace Family Health")
	if err != nil {
		t.Fatal(err)
	}
	h.Practice = clinictest.FurnishIn(t, d, id)
	h.Store.Labels, h.Store.Rules = auth.Sensitivity, h.auth.FollowResource
	h.auth.OnNotice(func(ctx context.Context, tx *db.Tx, kind string) error {
		return h.Events.Publish(ctx, tx, "notice."+kind, nil)
	})
	for _, u := range []auth.User{
		{Login: "okafor", Display: "Ada Okafor", Roles: []auth.Role{auth.Administrator}},
		{Login: "quill", Display: "Amara Quill, MD", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}},
		{Login: "strand", Display: "Bela Strand, NP", PractitionerID: "doc2", Roles: []auth.Role{auth.Clinician}},
		{Login: "ferris", Display: "Dot Ferris", Roles: []auth.Role{auth.FrontDesk}},
	} {
		uid, err := h.auth.AddUser(ctx, auth.SystemScope(id, "test"), u)
		if err != nil {
			t.Fatal(err)
		}
		h.users[u.Login] = uid
		h.signIn(t, u.Login)
	}
	h.router = ui.NewRouter(h.auth, h.Log, ui.Options{Demo: true, Clock: d.Clock, Find: desk.Find(h.Patients), Banners: safety.Unwitnessed(h.unwitnessed, safety.Banners(h.auth, h.Patients)),
		Zone: func(context.Context, auth.Staff) *time.Location { return time.UTC }})
	desk.New(h.router, h.auth, h.Book, h.People, h.Patients)
	chart.Register(h.router, chart.Modules{Record: h.Record, Notes: h.Notes, Book: h.Book, Patients: h.Patients, People: h.People,
		Search: func(context.Context, auth.Staff, string, string, int) (chart.Codes, error) { return chart.Codes{}, nil }})
	safety.Register(h.router, h.auth, h.Patients, h.People)
	h.Put(t, `{"resourceType":"Appointment","id":"quietly","status":"booked","description":"Zyxreason","appointmentType":{"text":"Zyxtype"},"start":"2026-03-02T16:00:00Z","end":"2026-03-02T16:50:00Z",
		"participant":[{"actor":{"reference":"Patient/vip","display":"Quiet, Una"},"status":"accepted"},{"actor":{"reference":"Practitioner/doc1"},"status":"accepted"}]}`)
	h.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	h.Put(t, `{"resourceType":"Patient","id":"vip","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"CEL"}]},"name":[{"family":"Quiet","given":["Una"]}],"birthDate":"1980-01-01","gender":"female","generalPractitioner":[{"reference":"Practitioner/doc1"}]}`,
		`{"resourceType":"Condition","id":"vc","code":{"text":"Zyxitis"},"subject":{"reference":"Patient/vip"}}`)
	return h
}

func (h *house) signIn(t testing.TB, login string) {
	t.Helper()
	var err error
	if h.tokens[login], _, err = h.auth.DemoSignIn(ctx, h.ID, h.users[login]); err != nil {
		t.Fatal(err)
	}
}

func (h *house) ask(t testing.TB, who, method, path string, form url.Values) (*http.Response, string) {
	t.Helper()
	var body io.Reader
	form = webtest.Keyed(method, form)
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "http://localhost/millrace"+path, body)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: h.tokens[who]})
	w := httptest.NewRecorder()
	h.router.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(text)
}

type step struct {
	name, who, method, path string
	form                    url.Values
	status                  int
	must, never             []string
}

func (h *house) walk(t *testing.T, steps ...step) {
	t.Helper()
	for _, c := range steps {
		r, body := h.ask(t, c.who, c.method, c.path, c.form)
		if r.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %.300s", c.name, r.StatusCode, c.status, body)
		}
		for _, s := range append([]string{"⟨"}, c.never...) {
			if strings.Contains(body, s) {
				t.Errorf("%s: shows %q", c.name, s)
			}
		}
		for _, s := range c.must {
			if !strings.Contains(body, s) {
				t.Errorf("%s: does not show %q", c.name, s)
			}
		}
	}
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func (h *house) on(t testing.TB, f audit.Filter) []audit.Entry {
	t.Helper()
	list, err := h.Log.Find(ctx, auth.SystemScope(h.ID, "test"), f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A restricted chart is a stub by name, opens with a reason for an hour, shows on every page, is told and reviewed.
func TestOpeningARestrictedChart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		r := "/patients/vip/restricted"
		good := form("patient", "vip", "reason", "emergency", "text", "unconscious in room 2")
		h.walk(t,
			step{"a stub", "strand", "POST", "/patients", form("q", "quiet"), 200, []string{"QUIET", r, "Restricted"}, []string{"1980", "Jan"}},
			step{"a stub without a way in", "ferris", "POST", "/patients", form("q", "quiet"), 200, []string{"QUIET"}, []string{r, "1980"}},
			step{"not by birth date", "strand", "POST", "/patients", form("q", "1980-01-01"), 200, nil, []string{"QUIET"}},
			step{"not in the list", "strand", "GET", "/patients", nil, 200, []string{"ASH-OKORO"}, []string{"QUIET"}},
			step{"the palette", "strand", "POST", "/find", form("q", "quiet"), 200, []string{r}, []string{"1980"}},
			step{"the chart leads to the door", "strand", "GET", "/patients/vip", nil, 303, nil, []string{"QUIET", "Zyxitis"}},
			step{"so do its parts", "strand", "GET", "/patients/vip/results", nil, 303, nil, []string{"QUIET"}},
			step{"and what restricts it", "strand", "GET", "/patients/vip/privacy", nil, 303, nil, []string{"QUIET"}},
			step{"no door at the desk", "ferris", "GET", "/patients/vip/privacy", nil, 403, []string{"restricted"}, []string{"QUIET", r}},
			step{"nobody there", "strand", "GET", "/patients/nobody", nil, 404, nil, nil},
			step{"the time is taken", "ferris", "GET", "/schedule?date=2026-03-02", nil, 200, []string{`>Restricted<`}, []string{"Quiet", "QUIET", "Zyx", "vip"}},
			step{"its visit", "ferris", "GET", "/schedule?date=2026-03-02&open=quietly", nil, 200, nil, []string{"Quiet", "Zyx", "vip"}},
			step{"the desk may not", "ferris", "GET", r, nil, 403, nil, []string{"QUIET"}},
			step{"the dialog", "strand", "GET", r, nil, 200, []string{"QUIET", "60 minutes", "privacy officer"}, []string{"1980", "Zyxitis"}},
			step{"nobody", "strand", "GET", "/patients/nobody/restricted", nil, 404, nil, nil},
			step{"no reason", "strand", "POST", r, form("patient", "vip", "reason", "", "text", "unconscious in room 2"), 400, []string{"unconscious in room 2"}, []string{"Zyxitis"}},
			step{"no words", "strand", "POST", r, form("patient", "vip", "reason", "safety", "text", "x"), 400, []string{`value="safety" selected`}, nil},
			step{"another patient's form", "strand", "POST", r, form("patient", "ann", "reason", "safety", "text", "unconscious in room 2"), 409, nil, nil},
			step{"the chart is still closed", "strand", "GET", "/patients/vip", nil, 303, nil, []string{"Zyxitis"}},
			step{"the desk opens it", "ferris", "POST", r, good, 403, nil, nil},
			step{"opened", "strand", "POST", r, good, 303, nil, nil},
			step{"the chart", "strand", "GET", "/patients/vip", nil, 200, []string{"Zyxitis", "is open for you until 15:17"}, nil},
			step{"on every page", "strand", "GET", "/patients", nil, 200, []string{"is open for you until 15:17", "restricted/close"}, nil},
			step{"nobody else", "ferris", "GET", "/patients", nil, 200, nil, []string{"is open for you"}},
			step{"the privacy officer is told", "okafor", "GET", "/account/security", nil, 200, []string{"Bela Strand, NP opened a restricted chart"}, nil},
			step{"the queue", "okafor", "GET", "/privacy", nil, 200, []string{"Bela Strand, NP", "QUIET", "unconscious in room 2", "Due "}, nil},
			step{"not for others", "strand", "GET", "/privacy", nil, 403, nil, []string{"unconscious"}},
			step{"closed by hand", "strand", "POST", r + "/close", form(), 303, nil, nil},
			step{"closed again", "strand", "GET", "/patients/vip", nil, 303, nil, []string{"Zyxitis"}},
		)
		list, err := h.auth.Openings(ctx, auth.SystemScope(h.ID, "test"), false)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		at := fmt.Sprintf("/privacy/%d", list[0].ID)
		d.Clock.Advance(10 * time.Minute)
		h.walk(t, step{"not late yet", "okafor", "GET", "/patients", nil, 200, nil, []string{"should have been reviewed"}})
		d.Clock.Set(list[0].Due.Add(time.Minute))
		h.signIn(t, "okafor")
		h.walk(t,
			step{"late, and said on every page", "okafor", "GET", "/patients", nil, 200, []string{"1 opening", "should have been reviewed"}, nil},
			step{"a finding needs words", "okafor", "POST", at, form("finding", "not"), 400, []string{"Say what was found"}, nil},
			step{"reviewed", "okafor", "POST", at, form("finding", "not", "note", "covered by the doctor on duty"), 303, nil, nil},
			step{"not twice", "okafor", "POST", at, form("finding", "justified"), 409, nil, nil},
			step{"in the list", "okafor", "GET", "/privacy", nil, 200, []string{"covered by the doctor on duty", "Not justified", "Nothing waits"}, []string{"should have been reviewed"}},
		)
		n := 0
		for _, e := range h.on(t, audit.Filter{Patient: "Patient/vip", Action: audit.ActionBreakGlass}) {
			n++
			if strings.Contains(e.Detail, "unconscious") {
				t.Error("the free text is in the audit's words")
			}
		}
		if n != 3 {
			t.Errorf("%d entries: opened, closed, reviewed", n)
		}
		// Late after two business days: Monday's is due at the end of Wednesday.
		if due := list[0].Due; !due.Equal(time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)) || !list[0].Late(due.Add(time.Second)) || list[0].Late(due) {
			t.Errorf("due %v", due)
		}
	})
}

var matrixField = regexp.MustCompile(`<(?:input type="checkbox" name="([^"]+)"([^>]*)|select[^>]*name="([^"]+:[^"]+)"[^>]*>(?s:.*?)value="(\d+)" selected)`)

// matrix is the form of the matrix as the page shows it.
func (h *house) matrix(t *testing.T) url.Values {
	t.Helper()
	_, body := h.ask(t, "okafor", "GET", "/roles", nil)
	v := url.Values{}
	for _, m := range matrixField.FindAllStringSubmatch(body, -1) {
		switch {
		case m[3] != "":
			v.Set(m[3], m[4])
		case strings.Contains(m[2], "checked") && !strings.Contains(m[2], "disabled"):
			v.Set(m[1], "on")
		}
	}
	if len(v) < 100 {
		t.Fatalf("%d cells read", len(v))
	}
	return v
}

func TestChangingRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		same := h.matrix(t)
		change := h.matrix(t)
		change.Del("permission:clinician:note.sign")
		change.Set("permission:frontdesk:billing.write", "on")
		change.Set("type:frontdesk:Claim", "3")
		h.walk(t,
			step{"the matrix", "okafor", "GET", "/roles", nil, 200, []string{"Sign notes", "Claims and payments", "HIV"}, []string{`name="label:clinician:psychotherapy"`}},
			step{"not for clinicians", "quill", "GET", "/roles", nil, 403, nil, nil},
			step{"nothing changed", "okafor", "POST", "/roles/preview", same, 200, []string{"Nothing was changed"}, nil},
			step{"the preview", "okafor", "POST", "/roles/preview", change, 200, []string{"Amara Quill, MD", "Sign notes", "Dot Ferris", "Billing", "Claim (rs)", `value="clinician|permission|note.sign|0"`}, []string{"Ada Okafor</th>"}},
			step{"still as it was", "quill", "GET", "/patients/ann", nil, 200, nil, nil},
			step{"not by clinicians", "quill", "POST", "/roles", form("cell", "clinician|permission|user.admin|1"), 403, nil, nil},
			step{"not a lock-out", "okafor", "POST", "/roles", form("cell", "administrator|permission|user.admin|0"), 422, []string{"cannot be taken away"}, nil},
			step{"not what cannot be read", "okafor", "POST", "/roles", form("cell", "x"), 400, nil, nil},
			step{"saved", "okafor", "POST", "/roles", form("cell", "clinician|permission|chart.read|0", "cell", "clinician|permission|note.sign|0"), 303, nil, nil},
			step{"in force in the open session", "quill", "GET", "/patients/ann", nil, 403, nil, []string{"Ash-Okoro, Ann"}},
			step{"marked", "okafor", "GET", "/roles", nil, 200, []string{"differs from the usual"}, nil},
			step{"view as", "okafor", "GET", "/roles/view?role=clinician", nil, 200, []string{"Vital signs", "Psychotherapy notes"}, []string{"See charts"}},
		)
		if n := len(h.on(t, audit.Filter{Action: audit.ActionPrivilege, Limit: 100})); n < 2 {
			t.Errorf("%d changes on record", n)
		}
		d.Clock.Advance(auth.StepUpWithin + time.Second)
		h.walk(t, step{"an old proof", "okafor", "POST", "/roles", form("cell", "clinician|permission|chart.read|1"), 403, []string{"prove again", "/account/security"}, nil})
	})
}

// A practice makes a role of its own, gives it, decides about it, and retires it.
func TestRolesOfThePracticesOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		person := fmt.Sprintf("/people/%d", h.users["ferris"])
		h.walk(t,
			step{"a role of its own", "okafor", "POST", "/roles/own", form("name", "Scribe", "like", "nurse"), 303, nil, nil},
			step{"not by clinicians", "quill", "POST", "/roles/own", form("name", "Quill's", "like", "administrator"), 403, nil, nil},
			step{"not twice under a name", "okafor", "POST", "/roles/own", form("name", "scribe", "like", "nurse"), 409, []string{"Another role has this name"}, nil},
			step{"not of nothing", "okafor", "POST", "/roles/own", form("name", "Other", "like", "own-7"), 400, []string{"no such role"}, nil},
			step{"in the matrix", "okafor", "GET", "/roles", nil, 200, []string{"Scribe</th>", `name="permission:own-1:vitals.write"`, `<code>own-1</code>`}, []string{`name="label:own-1:psychotherapy"`}},
			step{"given", "okafor", "POST", person + "/roles", form("role", "own-1"), 303, nil, nil},
			step{"among the people", "okafor", "GET", "/people", nil, 200, []string{"<td>Scribe</td>"}, nil},
			step{"who gains and loses", "okafor", "POST", "/roles", form("cell", "own-1|permission|chart.read|0"), 303, nil, nil},
			step{"view as", "okafor", "GET", "/roles/view?role=own-1", nil, 200, []string{"Scribe", "Psychotherapy notes"}, []string{"See charts"}},
			step{"renamed", "okafor", "POST", "/roles/own/rename", form("role", "own-1", "name", "Note taker"), 303, nil, nil},
			step{"not those that everybody has", "okafor", "POST", "/roles/own/rename", form("role", "nurse", "name", "Sister"), 404, nil, nil},
			step{"still had", "okafor", "POST", "/roles/own/retire", form("role", "own-1"), 422, []string{"Dot Ferris"}, nil},
			step{"had no more", "okafor", "POST", person + "/roles", form("role", "frontdesk"), 303, nil, nil},
			step{"retired", "okafor", "POST", "/roles/own/retire", form("role", "own-1"), 303, nil, nil},
			step{"out of the matrix", "okafor", "GET", "/roles", nil, 200, []string{"Retired ", "Note taker</th>"}, []string{`name="permission:own-1:vitals.write"`}},
			step{"not given any more", "okafor", "GET", "/people/new", nil, 200, nil, []string{`value="own-1"`}})
		d.Clock.Advance(auth.StepUpWithin + time.Second)
		h.walk(t, step{"an old proof", "okafor", "POST", "/roles/own", form("name", "Intern", "like", "nurse"), 403, []string{"prove again"}, []string{"Intern</th>"}})
	})
}

func TestPeople(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		of := func(login string) string { return fmt.Sprintf("/people/%d", h.users[login]) }
		h.walk(t,
			step{"the list", "okafor", "GET", "/people", nil, 200, []string{"Amara Quill, MD", "Front desk"}, nil},
			step{"not for the desk", "ferris", "GET", "/people", nil, 403, nil, []string{"Quill"}},
			step{"a form without a role", "okafor", "POST", "/people/new", form("login", "newt", "display", "Nia Newt"), 400, []string{"at least one role", `value="newt"`}, nil},
			step{"an invitation", "okafor", "POST", "/people/new", form("login", "newt", "display", "Nia Newt", "role", "nurse"), 200, []string{"shown only now", "/millrace/join"}, nil},
			step{"a login that is taken", "okafor", "POST", "/people/new", form("login", "NEWT", "display", "Nia", "role", "nurse"), 409, []string{"taken"}, nil},
			step{"a person", "okafor", "GET", of("quill"), nil, 200, []string{"Amara Quill, MD", "Signed in", "Where they are signed in"}, nil},
			step{"nobody", "okafor", "GET", "/people/99999", nil, 404, nil, nil},
			step{"nonsense", "okafor", "GET", "/people/x", nil, 404, nil, nil},
			step{"the last administrator stays", "okafor", "POST", of("okafor") + "/disable", form(), 422, []string{"at least one administrator"}, nil},
			step{"roles", "okafor", "POST", of("ferris") + "/roles", form("role", "frontdesk", "role", "biller"), 303, nil, nil},
			step{"which end the session", "ferris", "GET", "/patients", nil, 303, nil, nil},
			step{"signed out", "okafor", "POST", of("strand") + "/sign-out", form(), 303, nil, nil},
			step{"which holds", "strand", "GET", "/patients", nil, 303, nil, nil},
			step{"disabled", "okafor", "POST", of("quill") + "/disable", form(), 303, nil, nil},
			step{"which holds at once", "quill", "GET", "/patients/ann", nil, 303, nil, []string{"Ash"}},
			step{"shown", "okafor", "GET", of("quill"), nil, 200, []string{"Disabled", "Not signed in anywhere"}, nil},
			step{"enabled", "okafor", "POST", of("quill") + "/enable", form(), 303, nil, nil},
			step{"whose session does not come back", "quill", "GET", "/patients", nil, 303, nil, nil},
			step{"reset", "okafor", "POST", of("quill") + "/reset", form(), 200, []string{"shown only now"}, nil},
			step{"settings", "okafor", "GET", "/security", nil, 200, []string{`value="15"`}, nil},
			step{"settings too wide", "okafor", "POST", "/security", form("idle", "600", "absolute", "12", "mfa", "on"), 400, []string{`value="600"`}, nil},
			step{"settings", "okafor", "POST", "/security", form("idle", "5", "absolute", "8", "mfa", "on"), 303, nil, nil},
			step{"support", "okafor", "GET", "/support", nil, 200, []string{"Nobody has been let in"}, nil},
			step{"support too long", "okafor", "POST", "/support", form("operator", "ops", "reason", "ticket 4711", "hours", "9"), 400, []string{"ticket 4711"}, nil},
			step{"support", "okafor", "POST", "/support", form("operator", "ops", "reason", "ticket 4711", "hours", "1"), 303, nil, nil},
			step{"support is seen", "okafor", "GET", "/support", nil, 200, []string{"Open now", "used 0 times"}, nil},
		)
		list, err := h.auth.Supports(ctx, auth.SystemScope(h.ID, "test"))
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		h.walk(t, step{"support ends", "okafor", "POST", fmt.Sprintf("/support/%d/end", list[0].ID), form(), 303, nil, nil},
			step{"which is seen", "okafor", "GET", "/support", nil, 200, []string{"Over"}, []string{"Open now"}})
	})
}
