package safety_test

import (
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// Who reads the audit is told that it goes unwitnessed, and nobody else is.
func TestUnwitnessed(t *testing.T) {
	h := open(t, dbtest.SQLite(t, nil))
	const late, forked = "has not been witnessed since 02 Mar 08:02", "does not continue what was witnessed (found 02 Mar 08:02)"
	at := h.d.Clock.Now().Add(-375 * time.Minute)
	h.walk(t, step{"all is well", "okafor", "GET", "/people", nil, 200, nil, []string{late, forked}})
	h.lapse = func(p db.PracticeID) (audit.Lapse, bool) { return audit.Lapse{Since: at}, p == h.ID }
	h.walk(t,
		step{"the folder is gone", "okafor", "GET", "/people", nil, 200, []string{late}, []string{forked}},
		step{"not the front desk's business", "ferris", "GET", "/schedule", nil, 200, nil, []string{late}})
	h.lapse = func(p db.PracticeID) (audit.Lapse, bool) { return audit.Lapse{Since: at, Forked: true}, p == h.ID }
	h.walk(t, step{"rolled back", "okafor", "GET", "/people", nil, 200, []string{forked}, []string{late}})
	h.lapse = func(p db.PracticeID) (audit.Lapse, bool) { return audit.Lapse{Since: at}, p != h.ID }
	h.walk(t, step{"another practice", "okafor", "GET", "/people", nil, 200, nil, []string{late, forked}})
}
