package office

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/clinic/keeping"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// holds is the page of what is kept: legal holds, and for how long records are. Its forms come back as they were filled in.
type holds struct {
	names
	InForce, Lifted []keeping.Hold
	Receipts        []keeping.Receipt // of what was destroyed
	Patient         string            // chosen for a new hold
	Reason          string
	Years           years
	Trouble         string
	At              string // what the trouble is about: place, rules, or the number of a hold
}

// years are the rules as they stand in their form.
type years struct{ Adult, Minor, Majority, Other string }

func (o *Office) holdsPage(w *ui.Reply, q *ui.Request) error {
	return o.showHolds(w, q, http.StatusOK, holds{Patient: q.Query("patient")})
}

func (o *Office) showHolds(w *ui.Reply, q *ui.Request, status int, v holds) error {
	ctx := q.Context()
	list, err := o.keeper.Holds(ctx, q.Staff)
	if err != nil {
		return err
	}
	var about []audit.Entry
	seen := audit.Event{Action: audit.ActionSearch, Type: "Patient", Categories: []string{"demographics"}}
	note := func(patient string) {
		if patient != "" {
			about = append(about, audit.Entry{Event: audit.Event{Patient: "Patient/" + patient}})
			seen.Links = append(seen.Links, "Patient/"+patient)
		}
	}
	note(v.Patient)
	for _, h := range list {
		note(h.Patient)
		if h.Lifted.IsZero() {
			v.InForce = append(v.InForce, h)
		} else {
			v.Lifted = append(v.Lifted, h)
		}
	}
	if v.names, err = o.names(ctx, q, about); err != nil {
		return err
	}
	if _, known := v.patients[v.Patient]; v.Patient != "" && !known {
		return fhir.Problem("not-found", q.T("access.none"), q.T("access.none.fix"))
	}
	if v.At != "rules" {
		r, err := o.keeper.Rules(ctx, q.Staff)
		if err != nil {
			return err
		}
		v.Years = years{strconv.Itoa(r.Adult), strconv.Itoa(r.Minor), strconv.Itoa(r.Majority), strconv.Itoa(r.Other)}
	}
	if v.Receipts, err = o.keeper.Receipts(ctx, q.Staff); err != nil {
		return err
	}
	if len(seen.Links) > 0 {
		w.See(seen)
	}
	return w.HTML(status, holdsView(q, shell(q, q.T("cmd.holds"), "holds"), v))
}

// whose says what a hold is about.
func (v holds) whose(q *ui.Request, h keeping.Hold) string {
	if h.Patient == "" {
		return q.T("holds.everything")
	}
	return v.patient("Patient/" + h.Patient)
}

func (v holds) by(user int64) string { return v.who(db.Actor{UserID: user}) }

// holdPatient finds the patient of a new hold by name.
func (o *Office) holdPatient(w *ui.Reply, q *ui.Request) error {
	return o.findPatient(w, q, "holds", q.T("cmd.holds"))
}

// again shows the page with what was refused; other errors are none of the form's.
func (o *Office) again(w *ui.Reply, q *ui.Request, err error, v holds) error {
	var i *fhir.Issue
	if !errors.As(err, &i) || i.Code != "required" && i.Code != "value" && i.Code != "not-found" {
		return err
	}
	v.Trouble = q.Says(i)
	return o.showHolds(w, q, fhir.HTTPStatus(i.Code), v)
}

// done answers a form that took effect.
func done(w *ui.Reply, q *ui.Request, words string) func([]string) {
	return func([]string) {
		w.Toast(q.T(words), "")
		w.Redirect(q.URL("holds"))
	}
}

func (o *Office) placeHold(w *ui.Reply, q *ui.Request) error {
	v := holds{Patient: q.Form("patient"), Reason: q.Form("reason"), At: "place"}
	if v.Patient == "" && q.Form("everything") != "yes" {
		return fhir.Problem("required", q.T("holds.nobody"), q.T("holds.nobody.fix"))
	}
	if v.Patient == "" {
		v.At = "everything"
	}
	if _, err := o.keeper.Place(w.Once(done(w, q, "holds.placed")), q.Staff, v.Patient, v.Reason); err != nil {
		return o.again(w, q, err, v)
	}
	return nil
}

func (o *Office) liftHold(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Path("hold"), 10, 64)
	if err != nil {
		return fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix"))
	}
	if err := o.keeper.Lift(w.Once(done(w, q, "holds.lifted.done")), q.Staff, id, q.Form("reason")); err != nil {
		return o.again(w, q, err, holds{At: q.Path("hold")})
	}
	return nil
}

func (o *Office) setRules(w *ui.Reply, q *ui.Request) error {
	v := holds{Years: years{q.Form("adult"), q.Form("minor"), q.Form("majority"), q.Form("other")}, At: "rules"}
	var r keeping.Rules
	for _, f := range []struct {
		text string
		into *int
	}{{v.Years.Adult, &r.Adult}, {v.Years.Minor, &r.Minor}, {v.Years.Majority, &r.Majority}, {v.Years.Other, &r.Other}} {
		n, err := strconv.Atoi(f.text)
		if err != nil {
			n = -1 // out of range, which the rules say in words
		}
		*f.into = n
	}
	if err := o.keeper.SetRules(w.Once(done(w, q, "holds.rules.saved")), q.Staff, r); err != nil {
		return o.again(w, q, err, v)
	}
	return nil
}

// removalReceipt gives the signed receipt of a removal as a file, to be kept outside. It can be checked with the practice's public key
// and nothing else.
func (o *Office) removalReceipt(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Path("receipt"), 10, 64)
	if err != nil {
		return fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix"))
	}
	all, err := o.keeper.Receipts(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(r keeping.Receipt) bool { return r.ID == id })
	if i < 0 || all[i].Signed == "" {
		return fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix"))
	}
	w.See(audit.Event{Action: audit.ActionExport, Type: "Removal", ID: q.Path("receipt"), Detail: "receipt of a removal"})
	w.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="removal-receipt-%d.txt"`, id))
	w.Bytes(http.StatusOK, "text/plain; charset=utf-8", []byte(all[i].Signed))
	return nil
}

// registerHolds adds the pages.
func (o *Office) registerHolds(r *ui.Router) {
	r.Page("/{practice}/holds", auth.RecordDestroy, o.holdsPage)
	r.Page("/{practice}/holds/receipts/{receipt}", auth.RecordDestroy, o.removalReceipt)
	r.Act("/{practice}/holds", auth.RecordDestroy, o.placeHold)
	r.Act("/{practice}/holds/patient", auth.RecordDestroy, o.holdPatient)
	r.Act("/{practice}/holds/rules", auth.RecordDestroy, o.setRules)
	r.Act("/{practice}/holds/{hold}/lift", auth.RecordDestroy, o.liftHold)
	r.AddCommands(ui.Command{ID: "holds", Title: "cmd.holds", Permission: auth.RecordDestroy, Group: ui.GroupSettings, Icon: "lock", Path: "/holds", Office: "privacy"})
}

// chosen is the address at which a patient is chosen.
func chosen(q *ui.Request, where, id string) string {
	return q.URL(where) + "?" + url.Values{"patient": {id}}.Encode()
}
