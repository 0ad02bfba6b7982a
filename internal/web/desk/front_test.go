package desk_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/web/chart"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
	"yarrow.health/internal/web/webtest"
)

var ctx = context.Background()

// front is a practice with the desk's screens, and the charts they lead to, behind HTTP. It is a quarter past nine on a Monday.
type front struct {
	*clinictest.Practice
	auth   *auth.Auth
	router *ui.Router
	twin   *ui.Router        // another node on the same data
	tokens map[string]string // by login
	bells  chan *bell        // screens that begin to listen
}

// bell is the live feed of one browser.
type bell struct {
	ring chan struct{}
	gone chan struct{}
}

func (b *bell) Ring() <-chan struct{} { return b.ring }
func (b *bell) Close()                { close(b.gone) }
func (b *bell) Next(context.Context, auth.Staff) ([]string, []int64, error) {
	return []string{"Appointment"}, []int64{1}, nil
}

const (
	password = "violet tundra kettle 9"
	secret   = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)

func open(t testing.TB, d *dbtest.DB) *front {
	t.Helper()
	d.Clock.Set(time.Date(2026, 3, 2, 14, 17, 0, 0, time.UTC))
	f := &front{tokens: map[string]string{}, bells: make(chan *bell, 8)}
	f.auth = auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true, RPID: "localhost", Origins: []string{"http://localhost"}})
	id, err := f.auth.AddPractice(ctx, "millrace", "Millrace Family Health")
	if err != nil {
		t.Fatal(err)
	}
	f.Practice = clinictest.FurnishIn(t, d, id)
	for _, u := range []auth.User{
		{Login: "quill", Display: "Amara Quill, MD", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}, Password: password, TOTPSecret: secret},
		{Login: "ferris", Display: "Dot Ferris", Roles: []auth.Role{auth.FrontDesk}},
		{Login: "marsh", Display: "Bill Marsh", Roles: []auth.Role{auth.Biller}},
	} {
		uid, err := f.auth.AddUser(ctx, auth.SystemScope(id, "test"), u)
		if err != nil {
			t.Fatal(err)
		}
		if f.tokens[u.Login], _, err = f.auth.DemoSignIn(ctx, id, uid); err != nil {
			t.Fatal(err)
		}
	}
	f.router, f.twin = f.screens(t, d), f.screens(t, d)
	return f
}

// screens makes the routes anew, as after a restart or on another node.
func (f *front) screens(t testing.TB, d *dbtest.DB) *ui.Router {
	r := ui.NewRouter(f.auth, f.Log, ui.Options{Demo: true, Clock: d.Clock, Answered: jobs.New(d.DB, jobs.Options{}).Answered, Find: desk.Find(f.Patients), Live: f.listen, Zone: func(ctx context.Context, s auth.Staff) *time.Location {
		p, err := f.People.Get(ctx, s)
		if err != nil {
			t.Error(err)
			return time.UTC
		}
		return p.Zone
	}})
	desk.New(r, f.auth, f.Book, f.People, f.Patients)
	chart.Register(r, chart.Modules{Record: f.Record, Notes: f.Notes, Book: f.Book, Patients: f.Patients, People: f.People,
		Search: func(context.Context, auth.Staff, string, string, int) (chart.Codes, error) { return chart.Codes{}, nil }})
	return r
}

func (f *front) listen(context.Context, auth.Staff, int64) (ui.Stream, error) {
	b := &bell{make(chan struct{}, 1), make(chan struct{})}
	select {
	case f.bells <- b:
	default: // no test waits for this screen
	}
	return b, nil
}

// ask sends a request as a person.
func (f *front) ask(t testing.TB, who, method, path string, form url.Values, header ...string) (*http.Response, string) {
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
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if who != "" {
		r.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: f.tokens[who]})
	}
	out := webtest.Twice(t, f.router, f.twin, r, form)
	b, _ := io.ReadAll(out.Body)
	return out, string(b)
}

// visit books an appointment in minutes after eight and takes it to a status.
func (f *front) visit(t testing.TB, patient, staff string, at, minutes int, kind, reason string, to scheduling.Status) string {
	t.Helper()
	id, err := f.Book.Book(ctx, f.Desk, scheduling.Request{PatientID: patient, StaffID: staff, SiteID: "site1", Type: kind, Reason: reason, Double: true,
		Start: time.Date(2026, 3, 2, 13, at, 0, 0, time.UTC), Minutes: minutes, Video: kind == "Video visit"})
	if err != nil {
		t.Fatal(err)
	}
	path := []scheduling.Status{scheduling.Arrived, scheduling.Roomed, scheduling.InVisit, scheduling.Done}
	if to == scheduling.NoShow || to == scheduling.Confirmed {
		path = []scheduling.Status{to}
	}
	if to == scheduling.Booked {
		return id
	}
	for _, s := range path {
		b, err := f.Book.Appointment(ctx, f.Desk, id)
		if err != nil {
			t.Fatal(err)
		}
		room := ""
		if s == scheduling.Roomed {
			room = "Room 1"
		}
		if _, err := f.Book.SetStatus(ctx, f.Desk, id, b.Version, s, room); err != nil {
			t.Fatal(err)
		}
		if s == to {
			break
		}
	}
	return id
}

// day fills the book so that a picture of it shows every kind of block. Everybody is invented.
func (f *front) day(t testing.TB) (ids []string) {
	t.Helper()
	for _, p := range []struct{ id, family, given, cred, role, specialty string }{
		{"doc3", "Okonjo", "Peter", "DO", "Physician", "Family medicine"}, {"doc4", "Lindahl", "Priya", "PA-C", "Physician assistant", "Same-day"},
		{"doc5", "Sørby", "Helen", "PsyD", "Psychologist", "Behavioral health"}, {"doc6", "Tran", "Kim", "RN", "Nurse practitioner", "Injections, lab"},
	} {
		f.Put(t, fmt.Sprintf(`{"resourceType":"Practitioner","id":%q,"active":true,"name":[{"family":%q,"given":[%q],"suffix":[%q]}]}`, p.id, p.family, p.given, p.cred),
			fmt.Sprintf(`{"resourceType":"PractitionerRole","id":"r-%s","active":true,"practitioner":{"reference":"Practitioner/%s"},"organization":{"reference":"Organization/org1"},
			"code":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/practitioner-role","code":"doctor"}],"text":%q}],"specialty":[{"text":%q}],"location":[{"reference":"Location/site1"}],
			"availableTime":[{"daysOfWeek":["mon","tue","wed"],"availableStartTime":"08:00:00","availableEndTime":"17:00:00"}]}`, p.id, p.id, p.role, p.specialty))
	}
	for i, p := range [][4]string{
		{"Vantongeren-Oduya", "Marisol", "1968-03-14", "female"}, {"Ashgrove", "Lucille", "1951-07-01", "female"}, {"Nakamori", "Theo", "2019-11-20", "male"}, {"Castelbrook", "Ray", "1980-05-05", "male"},
		{"Hallvard", "Ingrid", "1992-02-11", "female"}, {"Mbekwe", "Daniel", "1974-09-30", "male"}, {"Trance", "Olivia", "1997-12-01", "female"}, {"Fitzwarren", "Noah", "1963-04-18", "male"},
		{"Adebayor", "Grace", "1986-10-10", "female"}, {"Kowalyk", "Piotr", "1976-08-23", "male"}, {"Ramirova", "Xiomara", "1989-01-29", "female"}, {"Chenoweth", "Wei", "1965-06-16", "male"},
		{"Abbotsley", "June", "1948-05-03", "female"}, {"Gallowglass", "Finn", "2013-03-03", "male"}, {"Vantongeren-Oduya", "Marisa", "1968-04-13", "female"}, {"Petrovna", "Anya", "1970-11-11", "female"},
		{"Schultheiss", "Katrin", "1984-02-24", "female"}, {"Alvarenga", "Noemi", "1991-07-19", "female"}, {"Woodhouse", "Charlotte", "2003-09-09", "female"}, {"Grantley", "Oliver", "2016-06-01", "male"},
		{"Pricewell", "Dorothy", "1942-12-12", "female"}, {"Costabile", "Bruno", "1973-03-28", "male"}, {"Webberley", "Zoe", "2008-10-31", "female"}, {"Larsmont", "Pia", "2022-08-08", "female"},
	} {
		f.Patient(t, fmt.Sprintf("p%d", i), p[0], p[1], p[2], p[3], fmt.Sprintf("00%d", 48213+i*717))
	}
	n := 0
	add := func(staff string, at, minutes int, kind, reason string, to scheduling.Status) {
		ids = append(ids, f.visit(t, fmt.Sprintf("p%d", n), staff, at, minutes, kind, reason, to))
		n++
	}
	f.Clock.Set(time.Date(2026, 3, 2, 14, 5, 0, 0, time.UTC))
	add("doc1", 60, 40, "Chronic care", "Diabetes, blood pressure, labs", scheduling.Roomed)
	add("doc1", 0, 20, "Follow-up", "Blood pressure check, refills", scheduling.Done)
	add("doc1", 20, 20, "Annual physical", "Six-year check", scheduling.Done)
	add("doc1", 40, 20, "Office visit", "Low back pain", scheduling.InVisit)
	add("doc1", 100, 20, "Same-day", "Sinus pressure", scheduling.Arrived)
	add("doc1", 120, 20, "Follow-up", "Lipids", scheduling.Confirmed)
	add("doc1", 140, 20, "Video visit", "Anxiety, four-week check", scheduling.Confirmed)
	add("doc1", 160, 40, "New patient", "Establish care", scheduling.Booked)
	add("doc1", 200, 20, "Follow-up", "Migraine", scheduling.Confirmed)
	add("doc3", 0, 40, "Procedure", "Skin lesion excision", scheduling.Done)
	add("doc3", 40, 20, "Follow-up", "Thyroid", scheduling.Done)
	add("doc3", 60, 20, "Same-day", "Chest wall pain", scheduling.InVisit)
	add("doc3", 80, 20, "Follow-up", "Osteoporosis", scheduling.Roomed)
	add("doc3", 60, 15, "Office visit", "School form", scheduling.NoShow)
	f.Clock.Set(time.Date(2026, 3, 2, 14, 10, 0, 0, time.UTC))
	add("doc3", 120, 20, "Same-day", "Burning urine", scheduling.Booked)
	add("doc3", 120, 20, "Same-day", "Sore throat", scheduling.Arrived)
	add("doc4", 60, 30, "Annual physical", "Well woman", scheduling.InVisit)
	add("doc4", 90, 30, "Follow-up", "31 weeks", scheduling.Arrived)
	add("doc4", 120, 30, "New patient", "Contraception", scheduling.Confirmed)
	add("doc2", 0, 15, "Same-day", "Ear ache", scheduling.Done)
	add("doc2", 45, 30, "Same-day", "Fall, wrist pain", scheduling.InVisit)
	add("doc2", 75, 15, "Same-day", "Rash", scheduling.Booked)
	add("doc5", 60, 50, "Therapy", "", scheduling.Confirmed)
	add("doc6", 60, 15, "Nurse visit", "Immunizations", scheduling.Confirmed)
	f.Clock.Set(time.Date(2026, 3, 2, 14, 17, 0, 0, time.UTC))
	return ids
}

// screen begins to listen as an open screen of the doctor does, and gives what it is told from then on.
func (f *front) screen(t testing.TB) (news func() []string) {
	t.Helper()
	l, err := f.Store.Listen(t.Context(), f.Doctor, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return func() []string {
		t.Helper()
		types, _, err := l.Next(t.Context(), f.Doctor)
		if err != nil {
			t.Fatal(err)
		}
		return types
	}
}
