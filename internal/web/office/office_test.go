package office_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/keeping"
	"yarrow.health/internal/clinic/watch"
	"yarrow.health/internal/web/office"
	"yarrow.health/internal/web/ui"
	"yarrow.health/internal/web/webtest"
)

var ctx = context.Background()

// back is the office of a furnished practice with an administrator, a clinician and a nurse.
type back struct {
	*clinictest.Practice
	d      *dbtest.DB
	router *ui.Router
	tokens map[string]string
	users  map[string]int64
	watch  *watch.Watch
	auth   *auth.Auth
}

func open(t testing.TB, d *dbtest.DB) *back {
	t.Helper()
	d.Clock.Set(time.Date(2026, 3, 2, 14, 17, 0, 0, time.UTC))
	b := &back{d: d, tokens: map[string]string{}, users: map[string]int64{}}
	a := auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
	id, err := a.AddPractice(ctx, "millrace", "Millrace Family Health")
	if err != nil {
		t.Fatal(err)
	}
	b.auth = a
	b.Practice = clinictest.FurnishIn(t, d, id)
	for _, u := range []auth.User{
		{Login: "okafor", Display: "Ada Okafor", Roles: []auth.Role{auth.Administrator}},
		{Login: "quill", Display: "Amara Quill, MD", PractitionerID: "doc1", Roles: []auth.Role{auth.Clinician}},
		{Login: "vance", Display: "=Vance, RN", Roles: []auth.Role{auth.Nurse}},
	} {
		uid, err := a.AddUser(ctx, auth.SystemScope(id, "test"), u)
		if err != nil {
			t.Fatal(err)
		}
		b.users[u.Login] = uid
		if b.tokens[u.Login], _, err = a.DemoSignIn(ctx, id, uid); err != nil {
			t.Fatal(err)
		}
	}
	b.router = ui.NewRouter(a, b.Log, ui.Options{Demo: true, Clock: d.Clock, Zone: func(context.Context, auth.Staff) *time.Location { return time.UTC }})
	b.watch = watch.New(d.DB, b.Log, a, b.Store)
	office.New(b.router, a, b.Log, b.Patients, b.watch, keeping.New(d.DB, b.Store, a, b.Log))
	b.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	b.Patient(t, "ben", "Birch", "Ben", "2024-09-01", "male", "1002")
	return b
}

// did puts events on record as a person.
func (b *back) did(t testing.TB, who string, role auth.Role, e ...audit.Event) {
	t.Helper()
	b.d.Clock.Advance(time.Second)
	s := auth.AsStaff(b.ID, b.users[who], who, "", role).ForRequest("0123456789abcdef").From("10.0.0.7")
	if err := b.Log.Seen(ctx, s, e...); err != nil {
		t.Fatal(err)
	}
}

func (b *back) ask(t testing.TB, who, method, path string, form url.Values) (*http.Response, string) {
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
	r.AddCookie(&http.Cookie{Name: "yarrow-session-millrace", Value: b.tokens[who]})
	w := httptest.NewRecorder()
	b.router.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(text)
}

func (b *back) fill(t testing.TB) {
	b.did(t, "quill", auth.Clinician, audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "o1", Version: 2, Patient: "Patient/ann", Categories: []string{"results"}, Labels: 1 << 4})
	b.did(t, "quill", auth.Clinician, audit.Event{Action: audit.ActionRead, Type: "Composition", Patient: "Patient/ann", Categories: []string{"notes"}})
	b.did(t, "vance", auth.Nurse, audit.Event{Action: audit.ActionBreakGlass, Type: "Patient", ID: "ben", Patient: "Patient/ben", Purpose: "BTG", Detail: "=cmd|' /C calc'!A0"})
	b.did(t, "vance", auth.Nurse, audit.Event{Action: audit.ActionPrint, Type: "DocumentReference", Patient: "Patient/ann", Outcome: audit.OutcomeRefused})
	b.did(t, "okafor", auth.Administrator, audit.Event{Action: audit.ActionDisclose, Type: "DocumentReference", Patient: "Patient/ann", Purpose: "PUBHLTH", Detail: "County health department, 1 Main St", Categories: []string{"immunizations"}})
}

func TestTheAuditIsShown(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := open(t, d)
		b.fill(t)
		for _, c := range []struct {
			name, who, path string
			status          int
			says, never     []string
		}{
			{"all", "okafor", "/audit", 200, []string{"Who did what", "Amara Quill, MD", "ASH-OKORO, Ann", "Broke the glass", "Refused", "10.0.0.7", "Nurse"}, nil},
			{"one patient", "okafor", "/audit?patient=ben", 200, []string{"BIRCH, Ben", "=Vance, RN"}, []string{"ASH-OKORO"}},
			{"one person", "okafor", fmt.Sprintf("/audit?user=%d", b.users["quill"]), 200, []string{"ASH-OKORO, Ann"}, []string{"BIRCH"}},
			{"one action", "okafor", "/audit?action=print", 200, []string{"DocumentReference"}, []string{"Observation<"}},
			{"one outcome", "okafor", "/audit?outcome=refused", 200, []string{"Printed"}, []string{"BIRCH"}},
			{"emergency access", "okafor", "/audit?glass=yes", 200, []string{"BIRCH, Ben"}, []string{"ASH-OKORO"}},
			{"a day without entries", "okafor", "/audit?from=2026-02-01&to=2026-02-02", 200, []string{"Nothing on record"}, nil},
			{"not a date", "okafor", "/audit?from=soon", 400, []string{"not a date"}, nil},
			{"no such entry", "okafor", "/audit/entries/12", 404, []string{"no such entry"}, nil},
			{"a clinician may not", "quill", "/audit", 403, nil, []string{"Broke the glass"}},
			{"nor see who saw", "vance", "/patients/ann/access", 403, nil, []string{"Quill"}},
			{"who saw", "okafor", "/patients/ann/access", 200, []string{"Who saw the chart of ASH-OKORO, Ann", "Amara Quill, MD looked at results.", "Amara Quill, MD looked at notes.", "tried and was refused"}, []string{"BIRCH"}},
			{"who saw, on paper", "okafor", "/patients/ann/access/print", 200, []string{"Who saw the chart of ASH-OKORO, Ann", "Amara Quill, MD looked at results.", "Treatment", "Printed by Ada Okafor"}, []string{"BIRCH", "/audit/entries/", "10.0.0.7"}},
			{"nor print it", "vance", "/patients/ann/access/print", 403, nil, []string{"Quill"}},
			{"no such chart", "okafor", "/patients/zoe/access", 404, []string{"no such chart"}, nil},
			{"disclosures", "okafor", "/patients/ann/disclosures", 200, []string{"County health department", "immunizations", "PUBHLTH", "Ada Okafor"}, []string{"results"}},
			{"no disclosures", "okafor", "/patients/ben/disclosures", 200, []string{"No disclosure on record"}, nil},
		} {
			r, body := b.ask(t, c.who, "GET", c.path, nil)
			if r.StatusCode != c.status {
				t.Errorf("%s: status %d: %.300s", c.name, r.StatusCode, body)
			}
			for _, s := range c.says {
				if !strings.Contains(body, s) {
					t.Errorf("%s: does not say %q", c.name, s)
				}
			}
			for _, s := range c.never {
				if strings.Contains(body, s) {
					t.Errorf("%s: says %q", c.name, s)
				}
			}
		}
		// Looking at the audit is on record too.
		looks, err := b.Log.Find(ctx, auth.SystemScope(b.ID, "test"), audit.Filter{Type: "AuditEvent", UserID: b.users["okafor"]})
		if err != nil || len(looks) < 10 {
			t.Errorf("%d looks on record, %v", len(looks), err)
		}
		if r, _ := b.ask(t, "okafor", "POST", "/audit/patient", url.Values{"q": {"birch"}}); r.Header.Get("Location") != "/millrace/audit?patient=ben" {
			t.Errorf("led to %q", r.Header.Get("Location"))
		}
	})
}

func TestEveryColumnSortsBothWays(t *testing.T) {
	b := open(t, dbtest.SQLite(t, nil))
	b.fill(t)
	order := func(path string) (out []string) {
		_, body := b.ask(t, "okafor", "GET", path, nil)
		for _, part := range strings.Split(body, "/audit/entries/")[1:] {
			id, _, _ := strings.Cut(part, `"`)
			out = append(out, id)
		}
		return out
	}
	period := "/audit?from=2026-03-02&to=2026-03-02&type=DocumentReference"
	for _, c := range []string{"time", "who", "role", "action", "type", "patient", "outcome", "address"} {
		down, up := order(period+"&sort="+c), order(period+"&sort="+c+"&dir=up")
		if len(down) != 2 || len(up) != 2 {
			t.Fatalf("%s: %v %v", c, down, up)
		}
		if c != "type" && c != "patient" && c != "address" && slices.Equal(down, up) {
			t.Errorf("%s sorts the same both ways", c)
		}
	}
}

func TestEntriesAreProved(t *testing.T) {
	b := open(t, dbtest.SQLite(t, nil))
	b.fill(t)
	s := auth.SystemScope(b.ID, "test")
	list, err := b.Log.Find(ctx, s, audit.Filter{Action: audit.ActionBreakGlass})
	if err != nil || len(list) != 1 {
		t.Fatal(len(list), err)
	}
	path := fmt.Sprintf("/audit/entries/%d", list[0].ID)
	says := func(want string) {
		t.Helper()
		if _, body := b.ask(t, "okafor", "GET", path, nil); !strings.Contains(body, want) {
			t.Errorf("does not say %q", want)
		}
	}
	says("within a second")
	if _, _, err := b.Log.Sequence(ctx, s); err != nil {
		t.Fatal(err)
	}
	says("Sealed at position")
	r, body := b.ask(t, "okafor", "GET", path+"/receipt", nil)
	if r.StatusCode != 200 || !strings.Contains(r.Header.Get("Content-Disposition"), "audit-receipt-") {
		t.Fatalf("%d %v", r.StatusCode, r.Header)
	}
	receipt, err := audit.ReadReceipt([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.Log.Key(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Check(key); err != nil || receipt.Entry.Says.Action != audit.ActionBreakGlass {
		t.Errorf("%v %+v", err, receipt.Entry)
	}
	says("signed 02 Mar 2026")
	_, note := b.ask(t, "okafor", "GET", "/audit/checkpoint", nil)
	if c, err := audit.OpenCheckpoint(note, key); err != nil || c.Position == 0 {
		t.Errorf("%v %q", err, note)
	}
}

func TestExportsAreHarmless(t *testing.T) {
	b := open(t, dbtest.SQLite(t, nil))
	b.fill(t)
	r, body := b.ask(t, "okafor", "GET", "/audit/export/csv?action=break-glass", nil)
	lines, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(lines) != 2 || r.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%v %q", err, lines)
	}
	if !slices.Contains(lines[1], "'=Vance, RN") || !slices.Contains(lines[1], "'=cmd|' /C calc'!A0") {
		t.Errorf("%q", lines[1])
	}
	for _, cell := range slices.Concat(lines...) {
		if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
			t.Errorf("%q is a formula", cell)
		}
	}
	if _, body := b.ask(t, "okafor", "GET", "/audit/export/ndjson?user="+fmt.Sprint(b.users["quill"]), nil); strings.Count(body, "\n") < 2 || !strings.Contains(body, `"role":"clinician"`) && !strings.Contains(body, `"action":"read"`) {
		t.Errorf("%s", body)
	}
	if r, _ := b.ask(t, "okafor", "GET", "/audit/export/xls", nil); r.StatusCode != 404 {
		t.Errorf("%d", r.StatusCode)
	}
	exports, err := b.Log.Find(ctx, auth.SystemScope(b.ID, "test"), audit.Filter{Action: audit.ActionExport})
	if err != nil || len(exports) != 2 {
		t.Errorf("%d exports on record, %v", len(exports), err)
	}
}

func TestFeedJoinsSittings(t *testing.T) {
	say := func(key string, args ...any) string { return fmt.Sprint(append([]any{key}, args...)...) }
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	entry := func(minute int, who, action string) audit.Entry {
		return audit.Entry{ID: int64(minute), At: at.Add(time.Duration(minute) * time.Minute), Actor: db.Actor{Display: who}, Event: audit.Event{Action: action, Categories: []string{"results"}}}
	}
	feed := audit.Feed(say, []audit.Entry{entry(60, "a", "read"), entry(52, "b", "read"), entry(50, "a", "print"), entry(49, "a", "read"), entry(9, "a", "read")}, func(e audit.Entry) string { return e.Actor.Display })
	if len(feed) != 3 || feed[0].Times != 3 || len(feed[0].Words) != 2 || feed[1].Who != "b" || feed[2].Times != 1 || !feed[0].From.Equal(at.Add(49*time.Minute)) {
		t.Errorf("%+v", feed)
	}
}

func TestFindingsAreWorkedOff(t *testing.T) {
	b := open(t, dbtest.SQLite(t, nil))
	for range 3 {
		b.did(t, "vance", auth.Nurse, audit.Event{Action: audit.ActionBreakGlass, Type: "Patient", ID: "ben", Patient: "Patient/ben", Purpose: "BTG"})
	}
	day := b.d.Clock.Now()
	b.d.Clock.Advance(5 * time.Minute)
	sys := auth.SystemScope(b.ID, "test")
	if n, err := b.watch.Daily(ctx, sys, day, time.UTC); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	queue, err := b.watch.Queue(ctx, sys, time.Time{})
	if err != nil || len(queue) != 1 {
		t.Fatal(queue, err)
	}
	if r, body := b.ask(t, "okafor", "GET", "/audit/review", nil); r.StatusCode != 200 || !strings.Contains(body, "Emergency access again and again") || !strings.Contains(body, "=Vance, RN") || !strings.Contains(body, "1 open") {
		t.Errorf("%d %.2000s", r.StatusCode, body)
	}
	if r, _ := b.ask(t, "quill", "GET", "/audit/review", nil); r.StatusCode != 403 {
		t.Errorf("a clinician: %d", r.StatusCode)
	}
	if r, _ := b.ask(t, "okafor", "POST", "/audit/review/"+queue[0].ID, url.Values{"words": {""}}); r.StatusCode != 422 && r.StatusCode != 400 {
		t.Errorf("without words: %d", r.StatusCode)
	}
	if r, body := b.ask(t, "okafor", "POST", "/audit/review/"+queue[0].ID, url.Values{"words": {"Was on call"}}); r.StatusCode != 303 {
		t.Errorf("%d %.500s", r.StatusCode, body)
	}
	if _, body := b.ask(t, "okafor", "GET", "/audit/review", nil); !strings.Contains(body, "Was on call") || !strings.Contains(body, "0 open") {
		t.Errorf("%.2000s", body)
	}
}
