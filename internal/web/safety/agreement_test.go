package safety_test

import (
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/safety"
	"yarrow.health/internal/web/ui"
)

// real serves the house as a practice that is no demonstration; its people stay signed in.
func (h *house) real() {
	h.auth = auth.New(h.d.DB, h.Log, auth.Options{})
	h.Store.HoldsReal = h.auth.HoldsReal
	h.Patients = patient.NewDirectory(h.d.DB, h.Store)
	h.router = ui.NewRouter(h.auth, h.Log, ui.Options{Clock: h.d.Clock, Banners: safety.Banners(h.auth, h.Patients)})
	desk.New(h.router, h.auth, h.Book, h.People, h.Patients)
	safety.Register(h.router, h.auth, h.Patients, h.People)
}

func TestNoAgreementNoPatients(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		h.walk(t, step{"a demonstration is not signed", "okafor", "GET", "/agreement", nil, 200, []string{"Demo"}, []string{`name="hash"`}})
		h.real()
		_, hash := auth.AgreementText()
		ann := form("family", "Real", "given", "Rita", "birthDate", "1970-01-01", "sex", "female", "phone", "617-482-1234", "email", "rita@gmail.com", "confirmed", "yes")
		sign := form("hash", hash, "entity", "Millrace PLLC", "person", "Ada Okafor", "position", "Owner", "authority", "on")
		h.walk(t,
			step{"every page is marked", "ferris", "GET", "/patients", nil, 200, []string{"Invented data only"}, []string{`href="/millrace/agreement"`}},
			step{"an administrator is led there", "okafor", "GET", "/security", nil, 200, []string{"Invented data only", `href="/millrace/agreement"`}, nil},
			step{"the desk cannot sign", "ferris", "GET", "/agreement", nil, 403, nil, []string{hash}},
			step{"real-looking fields are named", "ferris", "POST", "/patients/new", ann, 422, []string{"real telephone number", "real e-mail address", "f-phone", "f-email"}, nil},
			step{"the text and its hash", "okafor", "GET", "/agreement", nil, 200, []string{"BUSINESS ASSOCIATE AGREEMENT", hash, "No agreement is in force"}, []string{"/agreement/copy"}},
			step{"no copy of what was not signed", "okafor", "GET", "/agreement/copy", nil, 404, nil, nil},
			step{"a missing field", "okafor", "POST", "/agreement", form("hash", hash, "entity", "Millrace PLLC", "authority", "on"), 400, []string{"Your full name is missing", "Millrace PLLC"}, nil},
			step{"signed", "okafor", "POST", "/agreement", sign, 303, nil, nil},
			step{"seen", "okafor", "GET", "/agreement", nil, 200, []string{"in force since", "Millrace PLLC", "/agreement/copy"}, []string{"Invented data only", `name="hash"`}},
			step{"the copy", "okafor", "GET", "/agreement/copy", nil, 200, []string{"BUSINESS ASSOCIATE AGREEMENT", "Signed by: Ada Okafor, Owner", hash}, nil},
			step{"the desk registers", "ferris", "POST", "/patients/new", ann, 303, nil, nil},
			step{"no mark", "ferris", "GET", "/patients", nil, 200, nil, []string{"Invented data only"}},
		)
		if r, _ := h.ask(t, "okafor", "GET", "/agreement/copy", nil); !strings.Contains(r.Header.Get("Content-Disposition"), "attachment") {
			t.Error("the copy is not a file")
		}
	})
}

// What was signed on paper is shown as that: the day on it, when it was recorded, where it is, and what its scan must be.
func TestAgreementOnPaper(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		d.Clock.Set(time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC))
		h.signIn(t, "okafor")
		h.real()
		scan := strings.Repeat("ab12", 16)
		if _, err := h.auth.RecordAgreement(ctx, auth.SystemScope(h.ID, "test"), auth.Paper{Version: auth.AgreementVersion, Scan: scan, Day: d.Clock.Now(), Entity: "Millrace PLLC", Person: "Ada Okafor", Position: "Owner"}); err != nil {
			t.Fatal(err)
		}
		h.walk(t,
			step{"the page", "okafor", "GET", "/agreement", nil, 200, []string{"Millrace PLLC", "Signed by Ada Okafor, Owner", "Signed on paper", "With the operator of this server", scan}, []string{"No agreement is in force"}},
			step{"the copy", "okafor", "GET", "/agreement/copy", nil, 200, []string{"Signed on paper on: 20", "Recorded by the operator: ", "SHA-256 of the scan: " + scan}, []string{"\nFrom: "}},
		)
	})
}
