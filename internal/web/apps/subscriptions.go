package apps

import (
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// told is the administrator's page of what programs are told about.
type told struct {
	hub *subscription.Hub
	s   *Screens
}

// RegisterSubscriptions registers the page of the subscriptions of programs.
func RegisterSubscriptions(r *ui.Router, hub *subscription.Hub, patients *patient.Directory) {
	t := &told{hub: hub, s: &Screens{patients: patients}}
	r.Page("/{practice}/apps/subscriptions", auth.PracticeAdmin, t.list)
	r.Act("/{practice}/apps/subscriptions", auth.PracticeAdmin, t.decide)
	r.AddCommands(ui.Command{ID: "subscriptions", Title: "subs.title", Keys: "G F", Permission: auth.PracticeAdmin, Group: ui.GroupSettings, Icon: "link", Path: "/apps/subscriptions", Office: "programs"})
}

// hostForm is the form of a host as it stands.
type hostForm struct {
	Host, Agreement string
	Errors          []ui.FieldError
}

func (f hostForm) err(field string) string {
	for _, e := range f.Errors {
		if e.Field == field {
			return e.Words
		}
	}
	return ""
}

func (t *told) list(w *ui.Reply, q *ui.Request) error { return t.show(w, q, ok, hostForm{}) }

func (t *told) show(w *ui.Reply, q *ui.Request, status int, f hostForm) error {
	all, hosts, err := t.hub.List(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	shell, err := t.s.shell(q, q.T("subs.title"))
	if err != nil {
		return err
	}
	shell.Active = "subscriptions"
	return w.HTML(status, subscriptionsView(q, shell, all, hosts, f))
}

// decide does what the administrator decided: about a subscription, or about a host.
func (t *told) decide(w *ui.Reply, q *ui.Request) error {
	ctx, id := q.Context(), q.Form("id")
	var err error
	do := q.Form("do")
	switch do {
	case "pause":
		err = t.hub.Pause(ctx, q.Staff, id)
	case "resume":
		err = t.hub.Resume(ctx, q.Staff, id)
	case "retry":
		err = t.hub.Retry(ctx, q.Staff, id)
	case "end":
		err = t.hub.End(ctx, q.Staff, id)
	case "forbid":
		err = t.hub.Forbid(ctx, q.Staff, q.Form("host"))
	case "allow":
		f := hostForm{Host: q.Form("host"), Agreement: q.Form("agreement")}
		err = t.hub.Allow(ctx, q.Staff, f.Host, f.Agreement)
		if i, wrong := err.(*fhir.Issue); wrong && i.Path != "" {
			f.Errors = []ui.FieldError{{Field: i.Path, Words: q.Says(i)}}
			return t.show(w, q, 422, f)
		}
	default:
		err = fhir.Problem("value", q.T("apps.grant.which"), q.T("error.again"))
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("subs.done."+do), "")
	w.Redirect(q.URL("apps", "subscriptions"))
	return nil
}
