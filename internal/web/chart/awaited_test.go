package chart_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
)

// The chart says which visit of today is awaited, also one whose time is over and whose patient has not come, and of other days none.
func TestAwaitedVisit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		patients(t, h)
		noon := time.Date(2026, 3, 2, 17, 0, 0, 0, time.UTC) // of the practice
		staff, _, err := h.auth.Resume(ctx, "millrace", h.tokens["doctor"])
		if err != nil {
			t.Fatal(err)
		}
		d.Clock.Set(noon)
		if h.tokens["doctor"], _, err = h.auth.DemoSignIn(ctx, h.ID, staff.UserID()); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, status string
			at           time.Duration
			says, never  string
		}{
			{"later today", "booked", 2 * time.Hour, "Expected", "No visit is open"},
			{"its time is over", "booked", -time.Hour, "Not here yet", "No visit is open"},
			{"over and done", "fulfilled", -time.Hour, "No visit is open", "Expected"},
			{"cancelled", "cancelled", 2 * time.Hour, "No visit is open", "Expected"},
			{"next week", "booked", 7 * 24 * time.Hour, "No visit is open", "Expected"},
		} {
			at := noon.Add(c.at)
			h.Put(t, fmt.Sprintf(`{"resourceType":"Appointment","id":"a1","status":%q,"description":"Cough","appointmentType":{"text":"Sick visit"},"start":%q,"end":%q,
				"participant":[{"actor":{"reference":"Patient/ann"},"status":"accepted"},{"actor":{"reference":"Practitioner/doc1"},"status":"accepted"}]}`, c.status, at.Format(time.RFC3339), at.Add(20*time.Minute).Format(time.RFC3339)))
			for _, page := range []string{"", "/notes"} {
				_, body := h.ask(t, "doctor", "GET", "/patients/ann"+page, nil, false)
				if !strings.Contains(body, c.says) || strings.Contains(body, c.never) || c.says != "No visit is open" && !strings.Contains(body, "· Cough") {
					t.Errorf("%s%s: does not say %q, or says %q", c.name, page, c.says, c.never)
				}
			}
		}
	})
}
