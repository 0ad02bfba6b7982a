package office_test

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/keeping"
)

// TestHolds is the day of an administrator who keeps records for a court, and changes for how long they are kept.
func TestHolds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := open(t, d)
		keeper := keeping.New(d.DB, b.Store, b.auth, b.Log)
		admin := auth.AsStaff(b.ID, b.users["okafor"], "Ada Okafor", "", auth.Administrator)
		number := func(lifted bool) string {
			t.Helper()
			list, err := keeper.Holds(ctx, admin)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range list {
				if h.Lifted.IsZero() != lifted {
					return strconv.FormatInt(h.ID, 10)
				}
			}
			return "1"
		}
		form := func(pairs ...string) url.Values {
			v := url.Values{}
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return v
		}
		const reason, over = "case 4711 of the county court", "the case was closed"
		rules := func(adult, minor, majority, other string) url.Values {
			return form("adult", adult, "minor", minor, "majority", majority, "other", other)
		}
		for _, c := range []struct {
			name, who, method, path string
			form                    url.Values
			status                  int
			says, never             []string
		}{
			{"a clinician may not look", "quill", "GET", "/holds", nil, 403, nil, []string{"Nothing is held"}},
			{"nor place", "quill", "POST", "/holds", form("patient", "ann", "reason", reason), 403, nil, nil},
			{"nor change rules", "vance", "POST", "/holds/rules", rules("12", "10", "18", "6"), 403, nil, nil},
			{"empty", "okafor", "GET", "/holds", nil, 200, []string{"Nothing is held", "Patient whose record is held", `value="10"`, `value="18"`}, []string{"ASH-OKORO", "Lifted"}},
			{"nobody has that name", "okafor", "POST", "/holds/patient", form("q", "zzyzx"), 200, []string{"Legal holds"}, []string{"ASH-OKORO"}},
			{"found", "okafor", "POST", "/holds/patient", form("q", "birch"), 303, nil, nil},
			{"chosen", "okafor", "GET", "/holds?patient=ann", nil, 200, []string{"ASH-OKORO, Ann", "Place hold"}, []string{"whole practice</summary>"}},
			{"nobody chosen", "okafor", "GET", "/holds?patient=none", nil, 404, []string{"no such chart"}, nil},
			{"no reason", "okafor", "POST", "/holds", form("patient", "ann", "reason", "x"), 400, []string{"reason is missing", "ASH-OKORO, Ann", `value="x"`}, nil},
			{"not said whose", "okafor", "POST", "/holds", form("reason", reason), 400, []string{"not said whose"}, nil},
			{"nobody's", "okafor", "POST", "/holds", form("patient", "none", "reason", reason), 404, nil, []string{reason}},
			{"still empty", "okafor", "GET", "/holds", nil, 200, []string{"Nothing is held"}, nil},
			{"placed", "okafor", "POST", "/holds", form("patient", "ann", "reason", reason), 303, nil, nil},
			{"in force", "okafor", "GET", "/holds", nil, 200, []string{"ASH-OKORO, Ann", reason, "Ada Okafor, since"}, []string{"Nothing is held", "BIRCH"}},
			{"lifted without a reason", "okafor", "POST", "/holds/{hold}/lift", form("reason", ""), 400, []string{"reason is missing", reason}, nil},
			{"no such hold", "okafor", "POST", "/holds/77/lift", form("reason", over), 404, nil, nil},
			{"not a hold", "okafor", "POST", "/holds/x/lift", form("reason", over), 404, nil, nil},
			{"a clinician may not lift", "quill", "POST", "/holds/{hold}/lift", form("reason", over), 403, nil, nil},
			{"lifted", "okafor", "POST", "/holds/{hold}/lift", form("reason", over), 303, nil, nil},
			{"lifted is told", "okafor", "GET", "/holds", nil, 200, []string{"Nothing is held", "ASH-OKORO, Ann", reason, over, "Lifted by Ada Okafor"}, nil},
			{"everything without a reason", "okafor", "POST", "/holds", form("everything", "yes"), 400, []string{"reason is missing", "<details class=\"pad\" open"}, nil},
			{"everything", "okafor", "POST", "/holds", form("everything", "yes", "reason", reason), 303, nil, nil},
			{"everything is held", "okafor", "GET", "/holds", nil, 200, []string{"The whole practice", reason}, []string{"Nothing is held"}},
			{"rules out of range", "okafor", "POST", "/holds/rules", rules("4", "10", "18", "6"), 400, []string{"out of range", `value="4"`}, nil},
			{"rules in words", "okafor", "POST", "/holds/rules", rules("long", "10", "18", "6"), 400, []string{"out of range"}, nil},
			{"rules", "okafor", "POST", "/holds/rules", rules("12", "9", "21", "7"), 303, nil, nil},
			{"rules are shown", "okafor", "GET", "/holds", nil, 200, []string{`value="12"`, `value="9"`, `value="21"`, `value="7"`}, nil},
		} {
			r, body := b.ask(t, c.who, c.method, strings.Replace(c.path, "{hold}", number(false), 1), c.form)
			if r.StatusCode != c.status {
				t.Errorf("%s: %d, not %d: %.600s", c.name, r.StatusCode, c.status, body)
			}
			for _, s := range c.says {
				if !strings.Contains(body, s) {
					t.Errorf("%s: does not say %q", c.name, s)
				}
			}
			for _, s := range append([]string{"⟨"}, c.never...) {
				if strings.Contains(body, s) {
					t.Errorf("%s: says %q", c.name, s)
				}
			}
		}
		entries, err := b.Log.Find(ctx, auth.SystemScope(b.ID, "test"), audit.Filter{UserID: b.users["okafor"], Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			action, patient, detail string
			times                   int
		}{{audit.ActionCreate, "Patient/ann", "legal hold placed", 1}, {audit.ActionCreate, "", "legal hold placed", 1}, {audit.ActionDelete, "Patient/ann", "legal hold lifted", 1},
			{audit.ActionUpdate, "", "records are kept 12 years, those of minors 9 years from 21", 1}} {
			n := 0
			for _, e := range entries {
				if e.Action == want.action && e.Patient == want.patient && e.Detail == want.detail {
					n++
				}
			}
			if n != want.times {
				t.Errorf("%d entries of %+v", n, want)
			}
		}
		if !slices.ContainsFunc(entries, func(e audit.Entry) bool {
			return e.Action == audit.ActionSearch && slices.Contains(e.Links, "Patient/ann")
		}) {
			t.Error("that the name of a held patient was shown is not on record")
		}
	})
}

// What was destroyed is listed with its receipt, which is a file that the practice signed.
func TestReceiptsOfRemovals(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := open(t, d)
		keeper := keeping.New(d.DB, b.Store, b.auth, b.Log)
		d.Clock.Set(time.Date(2040, 3, 2, 9, 0, 0, 0, time.UTC)) // nothing need be kept any more
		var admin auth.Staff
		for _, who := range []string{"quill", "okafor"} {
			var err error
			if b.tokens[who], admin, err = b.auth.DemoSignIn(ctx, b.ID, b.users[who]); err != nil {
				t.Fatal(err)
			}
		}
		if _, body := b.ask(t, "okafor", "GET", "/holds", nil); !strings.Contains(body, "Nothing has been destroyed") {
			t.Error("an empty list is not said to be empty")
		}
		r, err := keeper.Expunge(ctx, admin, keeping.Order{Type: "Patient", ID: "ann", Reason: "the time is over", Everything: true})
		if err != nil {
			t.Fatal(err)
		}
		at := "/holds/receipts/" + strconv.FormatInt(r.ID, 10)
		for _, c := range []struct {
			who, path string
			status    int
			says      string
		}{
			{"okafor", "/holds", 200, at}, {"okafor", "/holds", 200, "The whole record of a patient"}, {"okafor", "/holds", 200, "the time is over"}, {"okafor", at, 200, r.Signed},
			{"okafor", "/holds/receipts/77", 404, ""}, {"okafor", "/holds/receipts/x", 404, ""}, {"quill", at, 403, ""},
		} {
			got, body := b.ask(t, c.who, "GET", c.path, nil)
			if got.StatusCode != c.status || !strings.Contains(body, c.says) || c.status != 200 && strings.Contains(body, r.Digest) {
				t.Errorf("%s as %s: %d %.300s", c.path, c.who, got.StatusCode, body)
			}
			if c.path == at && c.status == 200 && !strings.Contains(got.Header.Get("Content-Disposition"), "attachment") {
				t.Error("the receipt is not a file")
			}
		}
		list, err := b.Log.Find(ctx, auth.SystemScope(b.ID, "test"), audit.Filter{Action: audit.ActionExport, Limit: 10})
		if err != nil || len(list) != 1 || list[0].Event.ID != strconv.FormatInt(r.ID, 10) {
			t.Errorf("that the receipt was taken is not on record: %v %v", list, err)
		}
	})
}
