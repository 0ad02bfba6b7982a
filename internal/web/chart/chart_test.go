package chart_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/web/chart"
	"yarrow.health/internal/web/ui"
	"yarrow.health/internal/web/webtest"
)

var ctx = context.Background()

// house is a practice with its screens behind HTTP.
type house struct {
	*clinictest.Practice
	auth   *auth.Auth
	router *ui.Router
	twin   *ui.Router        // another node on the same data
	tokens map[string]string // by login
}

func open(t testing.TB, d *dbtest.DB) *house {
	t.Helper()
	h := &house{tokens: map[string]string{}}
	h.auth = auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
	id, err := h.auth.AddPractice(ctx, "millrace", "Millrace Family Health")
	if err != nil {
		t.Fatal(err)
	}
	h.Practice = clinictest.FurnishIn(t, d, id)
	sys := auth.SystemScope(id, "test")
	for _, u := range []auth.User{
		{Login: "doctor", Display: "Amara Quill, MD", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}},
		{Login: "other", Display: "Bela Strand, NP", PractitionerID: "doc2", Roles: []auth.Role{auth.Clinician}},
		{Login: "desk", Display: "Dot Ferris", Roles: []auth.Role{auth.FrontDesk}},
		{Login: "biller", Display: "Bill Marsh", Roles: []auth.Role{auth.Biller}},
	} {
		uid, err := h.auth.AddUser(ctx, sys, u)
		if err != nil {
			t.Fatal(err)
		}
		if h.tokens[u.Login], _, err = h.auth.DemoSignIn(ctx, id, uid); err != nil {
			t.Fatal(err)
		}
	}
	h.router, h.twin = h.screens(d), h.screens(d)
	return h
}

// screens makes the routes anew, as after a restart or on another node.
func (h *house) screens(d *dbtest.DB) *ui.Router {
	r := ui.NewRouter(h.auth, h.Log, ui.Options{Demo: true, Clock: d.Clock, Answered: jobs.New(d.DB, jobs.Options{}).Answered})
	chart.Register(r, chart.Modules{Record: h.Record, Notes: h.Notes, Book: h.Book, Patients: h.Patients, People: h.People,
		Search: func(ctx context.Context, who auth.Staff, kind, text string, n int) (chart.Codes, error) {
			return chart.Codes{Edition: "ICD-10-CM FY2026", List: []chart.Code{{System: "http://hl7.org/fhir/sid/icd-10-cm", Code: "I10", Display: "Essential (primary) hypertension"}}}, nil
		}})
	return r
}

// ask sends a request as a person and returns status, headers and body. A form that is carried out is sent again to a twin that
// shares nothing but the data, and must get the same answer.
func (h *house) ask(t testing.TB, who, method, path string, form url.Values, fragment bool) (*http.Response, string) {
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
	if fragment {
		r.Header.Set("HX-Request", "true")
	}
	r.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: h.tokens[who]})
	out := webtest.Twice(t, h.router, h.twin, r, form)
	b, _ := io.ReadAll(out.Body)
	return out, string(b)
}

func patients(t testing.TB, h *house) {
	t.Helper()
	h.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	h.Patient(t, "ben", "Birch", "Ben", "1990-03-14", "male", "1002")
	h.Put(t,
		`{"resourceType":"Condition","id":"c1","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"I10"}],"text":"Essential hypertension"},"subject":{"reference":"Patient/ann"},"onsetDateTime":"2009"}`,
		`{"resourceType":"Observation","id":"k1","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"2823-3"}],"text":"Potassium"},"subject":{"reference":"Patient/ann"},"effectiveDateTime":"2026-03-01T20:48:00Z","interpretation":[{"coding":[{"code":"HH"}]}],"valueQuantity":{"value":6.10,"unit":"mmol/L"},"referenceRange":[{"low":{"value":3.5},"high":{"value":5.1}}]}`,
		`{"resourceType":"Observation","id":"k0","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"2823-3"}],"text":"Potassium"},"subject":{"reference":"Patient/ann"},"effectiveDateTime":"2025-11-01T20:48:00Z","valueQuantity":{"value":5.0,"unit":"mmol/L"}}`,
		`{"resourceType":"DocumentReference","id":"d1","status":"current","docStatus":"final","description":"Letter <b>of</b> 2024","subject":{"reference":"Patient/ann"},"date":"2024-05-06T10:00:00Z","content":[{"attachment":{"contentType":"text/plain","data":"SGVsbG8gPHNjcmlwdD4="}}]}`,
	)
}

func TestPages(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d)
	patients(t, h)
	for _, c := range []struct {
		who, path    string
		status       int
		must, mustNo []string
		seen         bool // an audit entry about Ann was written
	}{
		{"doctor", "/patients/ann", 200, []string{"<title>AA ·", "14 Mar 1968", "57 y", "00482913", "Essential hypertension", "I10", "6.10", "Critical high", "Critical: Potassium 6.10 mmol/L", "Acknowledge", "Allergies: not asked", "None on record"}, []string{"⟨", "Birch", "style="}, true},
		{"doctor", "/patients/ann/timeline", 200, []string{"Letter &lt;b&gt;of&lt;/b&gt; 2024", "Essential hypertension", "Start of the record"}, []string{"⟨", "<b>of</b>"}, true},
		{"doctor", "/patients/ann/notes", 200, []string{"Letter &lt;b&gt;of", "New note"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/notes/d1", 200, []string{"Hello &lt;script&gt;", "Addendum"}, []string{"⟨", "<script>"}, true},
		{"doctor", "/patients/ann/notes/d1/print", 200, []string{"Hello &lt;script&gt;", "ASH-OKORO", "Printed by Amara Quill"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/results", 200, []string{"Potassium", "6.10", "↑", "5.0", "3.5–5.1"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/results/k0", 200, []string{"<svg class=\"big\"", "6.10", "5.0"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/vitals", 200, []string{"No vital signs on record", "Record vitals"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/vitals/new", 200, []string{"ASH-OKORO", "Heart rate", `name="patient" value="ann"`}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/lists", 200, []string{"Essential hypertension", "Allergies: not asked"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/problems/c1", 200, []string{"Essential hypertension", "2009", "Entered in error"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/problems/new", 200, []string{"Add a problem"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/medications/statement/new", 200, []string{"Add a medication"}, []string{"⟨"}, true},
		{"doctor", "/patients/ann/allergies/new", 200, []string{"Add an allergy", "life"}, []string{"⟨"}, true},
		{"doctor", "/patients/nobody", 404, nil, []string{"Ash"}, false},
		{"doctor", "/patients/ben/notes/d1", 409, []string{"another patient"}, []string{"Hello"}, false},
		{"doctor", "/patients/ben/results/k0", 409, []string{"another patient"}, []string{"6.10"}, false},
		{"doctor", "/patients/ben/problems/c1", 404, nil, []string{"hypertension"}, false},
		{"desk", "/patients/ann", 403, nil, []string{"ASH", "Potassium"}, false},
		{"biller", "/patients/ann/notes", 403, nil, []string{"Letter"}, false},
	} {
		t.Run(c.who+c.path, func(t *testing.T) {
			before := entries(t, h)
			r, body := h.ask(t, c.who, "GET", c.path, nil, false)
			if r.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %.300s", r.StatusCode, c.status, body)
			}
			for _, m := range c.must {
				if !strings.Contains(body, m) {
					t.Errorf("%q is missing", m)
				}
			}
			for _, m := range c.mustNo {
				if i := strings.Index(body, m); i >= 0 {
					t.Errorf("%q appears: …%s…", m, body[max(0, i-40):min(len(body), i+60)])
				}
			}
			if seen := entries(t, h) > before; seen != c.seen {
				t.Errorf("audit entry written: %v, want %v", seen, c.seen)
			}
			if r.Header.Get("Cache-Control") != "no-store" {
				t.Error("a page with patient data may be stored")
			}
		})
	}
}

// entries counts what the audit knows about Ann.
func entries(t testing.TB, h *house) int {
	t.Helper()
	list, err := h.Log.Find(ctx, auth.SystemScope(h.ID, "test"), audit.Filter{Patient: "Patient/ann"})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestForms(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d)
	patients(t, h)
	f := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v
	}
	for _, c := range []struct {
		name, who, path string
		form            url.Values
		status          int
		must            string
		then, has       string // page that shows the effect, and what it must show
	}{
		{"a problem", "doctor", "/patients/ann/problems/new", f("patient", "ann", "name", "Gout", "onset", "2024-05"), 303, "", "/patients/ann", "Gout"},
		{"the same problem again", "doctor", "/patients/ann/problems/new", f("patient", "ann", "do", "save", "name", "gout"), 422, "already on the problem list", "", ""},
		{"a bad date keeps what was typed", "doctor", "/patients/ann/problems/new", f("patient", "ann", "do", "save", "name", "Asthma", "onset", "yesterday"), 422, `value="yesterday"`, "", ""},
		{"a problem for the wrong patient", "doctor", "/patients/ben/problems/new", f("patient", "ann", "name", "Migraine"), 409, "another patient", "/patients/ben", ""},
		{"a form without a patient", "doctor", "/patients/ann/problems/new", f("name", "Migraine"), 409, "another patient", "", ""},
		{"no known allergies", "doctor", "/patients/ann/allergies/none", f("patient", "ann"), 303, "", "/patients/ann", "Asked by Amara Quill, MD"},
		{"an allergy", "doctor", "/patients/ann/allergies/new", f("patient", "ann", "substance", "Latex", "reaction", "Hives", "severity", "severe"), 303, "", "/patients/ann", "Latex"},
		{"a medication", "doctor", "/patients/ann/medications/statement/new", f("patient", "ann", "name", "Losartan 100 mg", "sig", "1 tablet daily"), 303, "", "/patients/ann", "Losartan 100 mg"},
		{"vital signs", "doctor", "/patients/ann/vitals", f("patient", "ann", "systolic", "152", "diastolic", "91", "hr", "78"), 303, "", "/patients/ann", "152/91"},
		{"an impossible value", "doctor", "/patients/ann/vitals", f("patient", "ann", "hr", "780"), 422, "cannot be 780", "", ""},
		{"an unlikely value asks", "doctor", "/patients/ann/vitals", f("patient", "ann", "hr", "205"), 422, "Please check", "", ""},
		{"an unlikely value confirmed", "doctor", "/patients/ann/vitals", f("patient", "ann", "hr", "205", "confirm", "hr=205"), 303, "", "/patients/ann/vitals", "205"},
		{"a critical result acknowledged", "doctor", "/patients/ann/results/review", f("patient", "ann", "result", "k1"), 303, "", "/patients/ann", ""},
		{"a result of another patient", "doctor", "/patients/ben/results/review", f("patient", "ben", "result", "k1"), 409, "another patient", "", ""},
		{"a laboratory's result is not ours to strike", "doctor", "/patients/ann/wrong/Observation/k1", f("patient", "ann"), 400, "Only vital signs", "/patients/ann/results", "6.10"},
		{"a front desk may not", "desk", "/patients/ann/problems/new", f("patient", "ann", "name", "Gout"), 403, "", "", ""},
		{"codes", "doctor", "/patients/ann/codes", f("kind", "problem", "q", "hyper"), 200, "Essential (primary) hypertension", "", ""},
		{"an addendum", "doctor", "/patients/ann/notes/d1/addendum", f("patient", "ann", "text", "Seen & filed"), 303, "", "/patients/ann/notes/d1", "Seen &amp; filed"},
		{"another patient's note", "doctor", "/patients/ben/notes/d1/addendum", f("patient", "ben", "text", "x"), 409, "another patient", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, body := h.ask(t, c.who, "POST", c.path, c.form, false)
			if r.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %.400s", r.StatusCode, c.status, body)
			}
			if !strings.Contains(body, c.must) {
				t.Errorf("%q is missing", c.must)
			}
			if c.then != "" {
				_, page := h.ask(t, c.who, "GET", c.then, nil, false)
				if !strings.Contains(page, c.has) {
					t.Errorf("afterwards %q is missing", c.has)
				}
				if strings.Contains(page, "Migraine") {
					t.Error("a refused form had an effect")
				}
			}
		})
	}
}

func TestNoteFromTemplateToSignature(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d)
	patients(t, h)
	r, body := h.ask(t, "doctor", "POST", "/patients/ann/notes", url.Values{"patient": {"ann"}, "template": {"follow-up"}}, false)
	drafts, err := h.Notes.OfPatient(ctx, h.Doctor, "ann")
	if err != nil || len(drafts) != 1 {
		t.Fatalf("%v %v", drafts, err)
	}
	at := "/patients/ann/drafts/" + drafts[0].ID
	if r.StatusCode != 303 || r.Header.Get("Location") != "/millrace/patients/ann" {
		t.Fatalf("%d %s %.300s", r.StatusCode, r.Header.Get("Location"), body)
	}
	_, body = h.ask(t, "doctor", "GET", "/patients/ann", nil, false)
	if !strings.Contains(body, "<note-editor") || !strings.Contains(body, "[___ how it has been]") {
		t.Error("the draft is not beside the chart")
	}
	post := func(who, what string, form url.Values) (int, string) {
		t.Helper()
		form.Set("patient", "ann")
		r, body := h.ask(t, who, "POST", at+"/"+what, form, true)
		if to := r.Header.Get("HX-Redirect"); to != "" {
			return 303, to
		}
		return r.StatusCode, body
	}
	text := func(pen, seq int, first string) url.Values {
		v := url.Values{"writer": {"aaaaaaaa-1"}, "pen": {fmt.Sprint(pen)}, "seq": {fmt.Sprint(seq)}}
		for _, s := range []string{first, "Better", "Well", "Back in a month."} {
			v.Add("title", "T")
			v.Add("code", "34109-9")
			v.Add("text", s)
		}
		return v
	}
	status, body := post("doctor", "open", url.Values{"writer": {"aaaaaaaa-1"}})
	if status != 200 || !strings.Contains(body, `data-mine="yes"`) {
		t.Fatalf("open: %d %s", status, body)
	}
	if status, body = post("doctor", "save", text(2, 1, "Knee [___ side]\n  indented")); status != 200 || !strings.Contains(body, `data-mine="yes"`) {
		t.Fatalf("save: %d %s", status, body)
	}
	if status, body = post("other", "open", url.Values{"writer": {"bbbbbbbb-1"}}); !strings.Contains(body, `data-mine="no"`) || !strings.Contains(body, "Take over") || !strings.Contains(body, "indented") {
		t.Errorf("second editor: %d %s", status, body)
	}
	if status, body = post("doctor", "sign", text(2, 2, "Knee [___ side]")); status != 422 || !strings.Contains(body, "[___ side]") {
		t.Errorf("signed with a blank: %d %.300s", status, body)
	}
	wrong := text(2, 3, "Knee")
	wrong.Set("patient", "ben")
	if r, _ := h.ask(t, "doctor", "POST", at+"/save", wrong, true); r.StatusCode != 409 {
		t.Errorf("a save whose patients differ: %d", r.StatusCode)
	}
	if r, _ := h.ask(t, "doctor", "POST", strings.Replace(at, "/ann/", "/ben/", 1)+"/save", wrong, true); r.StatusCode != 409 {
		t.Errorf("a draft under another patient: %d", r.StatusCode)
	}
	status, to := post("doctor", "sign", text(2, 4, "Left knee"))
	if status != 303 || !strings.Contains(to, "/notes/") {
		t.Fatalf("sign: %d %s", status, to)
	}
	_, body = h.ask(t, "doctor", "GET", strings.TrimPrefix(to, "/millrace"), nil, false)
	if !strings.Contains(body, "Left knee") || strings.Contains(body, "<note-editor") {
		t.Error("the signed note is not shown alone")
	}
}
