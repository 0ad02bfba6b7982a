package safety

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// chartPrivacy is the page of what restricts one chart, with the form as it was filled in.
type chartPrivacy struct {
	Patient patient.Hit
	patient.Privacy
	Staff   []practice.Member
	Roles   []auth.Role // that people here can have
	In      patient.Consent
	Trouble trouble
}

// person is the name of a Practitioner reference.
func (v chartPrivacy) person(ref string) string {
	for _, m := range v.Staff {
		if "Practitioner/"+m.ID == ref {
			return m.Given + " " + m.Family
		}
	}
	return ref
}

// who says whom a consent is about.
func (v chartPrivacy) who(q *ui.Request, c patient.Consent) string {
	switch {
	case c.Person != "":
		return v.person(c.Person)
	case c.Role != "":
		return q.Role(c.Role)
	}
	return q.T("consent.everybody")
}

// what says which records a consent is about.
func (v chartPrivacy) what(q *ui.Request, c patient.Consent) string {
	if len(c.Labels) == 0 {
		return q.T("consent.whole")
	}
	var out []string
	for _, l := range c.Labels {
		out = append(out, q.T("label."+l))
	}
	return strings.Join(out, ", ")
}

func (v chartPrivacy) choices(q *ui.Request) []ui.Option {
	out := []ui.Option{{Value: "", Label: q.T("consent.everybody")}}
	for _, r := range v.Roles {
		out = append(out, ui.Option{Value: "role:" + string(r), Label: q.Role(string(r))})
	}
	for _, m := range v.Staff {
		out = append(out, ui.Option{Value: "Practitioner/" + m.ID, Label: m.Given + " " + m.Family})
	}
	return out
}

func (v chartPrivacy) chosen() string {
	if v.In.Role != "" {
		return "role:" + v.In.Role
	}
	return v.In.Person
}

func (o *Safety) chartPrivacyPage(w *ui.Reply, q *ui.Request) error {
	return o.showChartPrivacy(w, q, http.StatusOK, chartPrivacy{})
}

func (o *Safety) showChartPrivacy(w *ui.Reply, q *ui.Request, status int, v chartPrivacy) error {
	id := q.Path("patient")
	h, err := desk.Seen(q, o.patients, id)
	if err != nil {
		return err
	}
	v.Patient = h
	if v.Privacy, err = o.patients.Privacy(q.Context(), q.Staff, id); err != nil {
		return err
	}
	profile, err := o.people.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	v.Staff = profile.Staff
	if v.Roles, err = o.auth.RolesIn(q.Context(), q.Practice.ID); err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "Consent", Patient: "Patient/" + id, Categories: []string{"consents"}})
	s, err := o.shell(q, q.T("consent.title"), "patients")
	if err != nil {
		return err
	}
	s.Patient = id
	return w.HTML(status, chartPrivacyView(q, s, v))
}

// kept answers a change of what restricts a chart.
func (o *Safety) kept(w *ui.Reply, q *ui.Request, err error, in patient.Consent, done string) error {
	var many fhir.Issues
	if errors.As(err, &many) && len(many) > 0 {
		err = &many[0]
	}
	if t, status, ok := troubleOf(q, err); ok {
		return o.showChartPrivacy(w, q, status, chartPrivacy{In: in, Trouble: t})
	}
	if err != nil {
		return err
	}
	w.Toast(q.T(done), "")
	w.Redirect(q.URL("patients", q.Path("patient"), "privacy"))
	return nil
}

// sameChart refuses a form that was filled in for another patient than its address names.
func sameChart(q *ui.Request) error {
	if q.Form("patient") != q.Path("patient") {
		return fhir.Problem("conflict", q.T("glass.other"), q.T("glass.other.fix"))
	}
	return nil
}

func (o *Safety) restrict(w *ui.Reply, q *ui.Request) error {
	if err := sameChart(q); err != nil {
		return err
	}
	return o.kept(w, q, o.patients.Restrict(q.Context(), q.Staff, q.Path("patient"), q.Form("label")), patient.Consent{}, "consent.restricted")
}

func (o *Safety) unrestrict(w *ui.Reply, q *ui.Request) error {
	if err := sameChart(q); err != nil {
		return err
	}
	return o.kept(w, q, o.patients.Unrestrict(q.Context(), q.Staff, q.Path("patient"), q.Form("label"), q.Form("reason")), patient.Consent{}, "consent.unrestricted")
}

func (o *Safety) recordConsent(w *ui.Reply, q *ui.Request) error {
	if err := sameChart(q); err != nil {
		return err
	}
	in := patient.Consent{Deny: q.Form("kind") != "permit", Labels: q.Forms("labels"), Until: q.Form("until")}
	if role, ok := strings.CutPrefix(q.Form("who"), "role:"); ok {
		in.Role = role
	} else {
		in.Person = q.Form("who")
	}
	_, err := o.patients.RecordConsent(q.Context(), q.Staff, q.Path("patient"), in)
	return o.kept(w, q, err, in, "consent.recorded")
}

func (o *Safety) endConsent(w *ui.Reply, q *ui.Request) error {
	if err := sameChart(q); err != nil {
		return err
	}
	version, _ := strconv.ParseInt(q.Form("version"), 10, 64)
	return o.kept(w, q, o.patients.EndConsent(q.Context(), q.Staff, q.Path("patient"), q.Path("consent"), version), patient.Consent{}, "consent.ended")
}
