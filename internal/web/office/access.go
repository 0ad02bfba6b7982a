package office

import (
	"net/http"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// chart is the patient an address names.
type chart struct {
	id, name string
}

func (o *Office) chart(q *ui.Request) (chart, error) {
	id := q.Path("patient")
	known, err := o.patients.Get(q.Context(), reader(q), id)
	if err != nil {
		return chart{}, err
	}
	h, ok := known[id]
	if !ok {
		return chart{}, fhir.Problem("not-found", q.T("access.none"), q.T("access.none.fix"))
	}
	return chart{id, h.Name.Display()}, nil
}

// whoSaw tells in plain words who looked at one patient's chart.
func (o *Office) whoSaw(w *ui.Reply, q *ui.Request) error {
	c, feed, err := o.feed(q)
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "AuditEvent", Patient: "Patient/" + c.id, Categories: []string{"audit"}})
	return w.HTML(http.StatusOK, whoSawView(q, shell(q, q.T("cmd.access"), "audit"), c, feed))
}

// printWhoSaw is the same to be handed to the patient.
func (o *Office) printWhoSaw(w *ui.Reply, q *ui.Request) error {
	c, feed, err := o.feed(q)
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionPrint, Type: "AuditEvent", Patient: "Patient/" + c.id, Categories: []string{"audit"}, Purpose: "PATRQT"})
	return w.HTML(http.StatusOK, whoSawSheet(q, shell(q, q.T("cmd.access"), "audit"), c, feed))
}

func (o *Office) feed(q *ui.Request) (chart, []audit.Seen, error) {
	c, err := o.chart(q)
	if err != nil {
		return c, nil, err
	}
	found, err := o.log.Find(q.Context(), q.Staff, audit.Filter{Patient: "Patient/" + c.id, Limit: 2000})
	if err != nil {
		return c, nil, err
	}
	n, err := o.names(q.Context(), q, nil)
	return c, audit.Feed(q.T, found, func(e audit.Entry) string { return n.who(e.Actor) }), err
}

// lookBack is how far an accounting of disclosures reaches: six years (45 CFR 164.528(a)(1)).
const lookBackYears = 6

// disclosures is the accounting of disclosures of one patient: date, recipient, what, purpose (45 CFR 164.528(b)(2)).
func (o *Office) disclosures(w *ui.Reply, q *ui.Request) error {
	c, err := o.chart(q)
	if err != nil {
		return err
	}
	now := q.Now()
	found, err := o.log.Find(q.Context(), q.Staff, audit.Filter{Patient: "Patient/" + c.id, Action: audit.ActionDisclose, From: now.AddDate(-lookBackYears, 0, 0), Limit: audit.MaxFound})
	if err != nil {
		return err
	}
	n, err := o.names(q.Context(), q, nil)
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "AuditEvent", Patient: "Patient/" + c.id, Categories: []string{"audit"}})
	return w.HTML(http.StatusOK, disclosuresView(q, shell(q, q.T("cmd.disclosures"), "audit"), c, found, n, now.AddDate(-lookBackYears, 0, 0), now))
}

// span writes when a sitting was.
func span(q *ui.Request, from, to time.Time) string {
	from, to = from.In(q.Zone()), to.In(q.Zone())
	s := q.Date(from) + " " + from.Format("15:04")
	if to.Sub(from) >= time.Minute {
		s += "–" + to.Format("15:04")
	}
	return s
}
