package safety

import (
	"context"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/web/ui"
)

// Unwitnessed tells those who read the audit, on every page before everything else, that it goes unwitnessed or does not continue what
// was witnessed. lapse knows, practice by practice.
func Unwitnessed(lapse func(db.PracticeID) (audit.Lapse, bool), others func(context.Context, *ui.Request) ([]ui.Banner, error)) func(context.Context, *ui.Request) ([]ui.Banner, error) {
	return func(ctx context.Context, q *ui.Request) ([]ui.Banner, error) {
		var out []ui.Banner
		if q.Can(auth.AuditRead) {
			if l, ok := lapse(q.Staff.Practice()); ok {
				words := "witness.late"
				if l.Forked {
					words = "witness.forked"
				}
				out = append(out, ui.Banner{Words: q.T(words, q.DayTime(l.Since)), Path: q.URL("audit")})
			}
		}
		more, err := others(ctx, q)
		return append(out, more...), err
	}
}
