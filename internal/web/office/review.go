package office

import (
	"net/http"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/clinic/watch"
	"yarrow.health/internal/web/ui"
)

// reviewDays is how far back the queue of findings reaches.
const reviewDays = 90

// reviewPage is the queue of findings of the daily review: the open ones first.
func (o *Office) reviewPage(w *ui.Reply, q *ui.Request) error {
	list, err := o.watch.Queue(q.Context(), q.Staff, q.Now().AddDate(0, 0, -reviewDays))
	if err != nil {
		return err
	}
	var open, closed []watch.Open
	entries := make([]audit.Entry, 0, len(list))
	seen := audit.Event{Action: audit.ActionSearch, Type: "AuditEvent", Categories: []string{"audit"}}
	for _, f := range list {
		entries = append(entries, audit.Entry{Event: audit.Event{Patient: f.Patient}})
		if f.Patient != "" {
			seen.Links = append(seen.Links, f.Patient)
		}
		if f.Closed == nil {
			open = append(open, f)
		} else {
			closed = append(closed, f)
		}
	}
	n, err := o.names(q.Context(), q, entries)
	if err != nil {
		return err
	}
	w.See(seen)
	return w.HTML(http.StatusOK, reviewView(q, shell(q, q.T("cmd.review"), "review"), open, closed, n))
}

// closeFinding keeps what somebody found out.
func (o *Office) closeFinding(w *ui.Reply, q *ui.Request) error {
	if err := o.watch.Close(q.Context(), q.Staff, q.Path("finding"), q.Form("words")); err != nil {
		return err
	}
	w.Toast(q.T("review.closed"), "")
	w.Redirect(q.URL("audit", "review"))
	return nil
}
