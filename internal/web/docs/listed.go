package docs

import (
	"errors"
	"net/http"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/edge/endpoints"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// Listed is the page of the public list of FHIR addresses: what the public sees of this practice, and the choice to be there.
type Listed struct{ list *endpoints.List }

// RegisterListed registers the page.
func RegisterListed(r *ui.Router, list *endpoints.List) {
	p := &Listed{list}
	r.Page("/{practice}/docs/listed", auth.PracticeAdmin, p.page)
	r.Act("/{practice}/docs/listed", auth.PracticeAdmin, p.publish)
	r.Act("/{practice}/docs/listed/off", auth.PracticeAdmin, p.withdraw)
	r.AddCommands(ui.Command{ID: "listed", Title: "listed.title", Permission: auth.PracticeAdmin, Group: ui.GroupSettings, Icon: "contact", Path: "/docs/listed", Office: "programs"})
}

func (p *Listed) page(w *ui.Reply, q *ui.Request) error { return p.show(w, q, http.StatusOK, nil) }

func (p *Listed) show(w *ui.Reply, q *ui.Request, status int, trouble *fhir.Issue) error {
	l, err := p.list.Shows(q.Context(), q.Staff, q.Practice)
	if err != nil {
		return err
	}
	return w.HTML(status, listedView(q, l, trouble))
}

func (p *Listed) publish(w *ui.Reply, q *ui.Request) error {
	_, err := p.list.Publish(w.Once(listedDone(w, q, "listed.on")), q.Staff, q.Slug(), q.Practice.Name)
	return p.refused(w, q, err)
}

func (p *Listed) withdraw(w *ui.Reply, q *ui.Request) error {
	return p.refused(w, q, p.list.Withdraw(w.Once(listedDone(w, q, "listed.off")), q.Staff))
}

// refused shows the page with what is missing; other errors are none of the page's.
func (p *Listed) refused(w *ui.Reply, q *ui.Request, err error) error {
	var i *fhir.Issue
	if errors.As(err, &i) && (i.Code == "required" || i.Code == "not-found") {
		return p.show(w, q, fhir.HTTPStatus(i.Code), q.Issue(i))
	}
	return err
}

func listedDone(w *ui.Reply, q *ui.Request, words string) func([]string) {
	return func([]string) {
		w.Toast(q.T(words), "")
		w.Redirect(q.URL("docs", "listed"))
	}
}
