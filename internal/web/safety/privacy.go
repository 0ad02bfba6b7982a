package safety

import (
	"net/http"
	"strconv"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// openings is what the privacy officer sees.
type openings struct {
	Waiting, Reviewed []auth.Opening
	Names             map[string]string // of patients, by id
	Trouble           trouble
	At                int64 // the opening the trouble is about
}

func (o *Safety) privacyPage(w *ui.Reply, q *ui.Request) error {
	return o.showPrivacy(w, q, http.StatusOK, trouble{}, 0)
}

func (o *Safety) showPrivacy(w *ui.Reply, q *ui.Request, status int, t trouble, at int64) (err error) {
	ctx := q.Context()
	v := openings{Names: map[string]string{}, Trouble: t, At: at}
	if v.Waiting, err = o.auth.Openings(ctx, q.Staff, false); err != nil {
		return err
	}
	if v.Reviewed, err = o.auth.Openings(ctx, q.Staff, true); err != nil {
		return err
	}
	seen := audit.Event{Action: audit.ActionSearch, Type: "Patient", Purpose: "HOPERAT", Categories: []string{"emergency access"}}
	for _, list := range [][]auth.Opening{v.Waiting, v.Reviewed} {
		for _, x := range list {
			if _, known := v.Names[x.Patient]; known {
				continue
			}
			if v.Names[x.Patient], err = o.name(q, x.Patient); err != nil {
				return err
			}
			seen.Links = append(seen.Links, "Patient/"+x.Patient)
		}
	}
	if len(seen.Links) > 0 {
		w.See(seen)
	}
	s, err := o.shell(q, q.T("safety.privacy"), "privacy")
	if err != nil {
		return err
	}
	return w.HTML(status, privacyView(q, s, v))
}

// name is what a person may know a patient by, be the record open or closed to them.
func (o *Safety) name(q *ui.Request, id string) (string, error) {
	known, err := o.patients.Get(q.Context(), q.Staff, id)
	if err != nil {
		return "", err
	}
	if h, ok := known[id]; ok {
		return h.Name.Display(), nil
	}
	h, ok, err := o.patients.Closed(q.Context(), q.Staff, id)
	if err != nil || !ok {
		return q.T("privacy.unknown"), err
	}
	return h.Name.Display(), nil
}

func (o *Safety) review(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Path("opening"), 10, 64)
	if err != nil {
		return none(q)
	}
	err = o.auth.ReviewOpening(q.Context(), q.Staff, id, q.Form("finding") == "justified", q.Form("note"))
	if t, status, ok := troubleOf(q, err); ok {
		return o.showPrivacy(w, q, status, t, id)
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("privacy.done"), "")
	w.Redirect(q.URL("privacy"))
	return nil
}

// glass is the dialog that opens a restricted chart.
type glass struct {
	Patient      patient.Hit
	Reason, Text string
	Trouble      trouble
}

func (o *Safety) glassPage(w *ui.Reply, q *ui.Request) error {
	return o.showGlass(w, q, http.StatusOK, glass{})
}

func (o *Safety) showGlass(w *ui.Reply, q *ui.Request, status int, g glass) error {
	id := q.Path("patient")
	h, closed, err := o.patients.Closed(q.Context(), q.Staff, id)
	if err != nil {
		return err
	}
	if !closed {
		known, err := o.patients.Get(q.Context(), q.Staff, id)
		if err != nil {
			return err
		}
		if _, open := known[id]; open {
			w.Redirect(q.URL("patients", id))
			return nil
		}
		return fhir.Problem("not-found", q.T("glass.nobody"), q.T("glass.nobody.fix"))
	}
	g.Patient = h
	w.See(audit.Event{Action: audit.ActionSearch, Type: "Patient", Patient: "Patient/" + id, Categories: []string{"name"}})
	if q.Fragment() {
		return w.HTML(status, glassForm(q, g))
	}
	s, err := o.shell(q, q.T("glass.title"), "patients")
	if err != nil {
		return err
	}
	return w.HTML(status, glassView(q, s, g))
}

func (o *Safety) openGlass(w *ui.Reply, q *ui.Request) error {
	id := q.Path("patient")
	if q.Form("patient") != id {
		return fhir.Problem("conflict", q.T("glass.other"), q.T("glass.other.fix"))
	}
	if _, closed, err := o.patients.Closed(q.Context(), q.Staff, id); err != nil {
		return err
	} else if !closed {
		w.Redirect(q.URL("patients", id))
		return nil
	}
	_, err := o.auth.OpenGlass(q.Context(), q.Staff, id, q.Form("reason"), q.Form("text"))
	if t, status, ok := troubleOf(q, err); ok {
		return o.showGlass(w, q, status, glass{Reason: q.Form("reason"), Text: q.Form("text"), Trouble: t})
	}
	if err != nil {
		return err
	}
	w.Redirect(q.URL("patients", id))
	return nil
}

func (o *Safety) closeGlass(w *ui.Reply, q *ui.Request) error {
	if err := o.auth.CloseGlass(q.Context(), q.Staff, q.Path("patient")); err != nil {
		return err
	}
	w.Toast(q.T("glass.closed"), "")
	w.Redirect(q.URL("patients"))
	return nil
}
