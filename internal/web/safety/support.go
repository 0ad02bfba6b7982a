package safety

import (
	"net/http"
	"strconv"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/web/ui"
)

// support is the page of the hosting company's access, with the form as it was filled in.
type support struct {
	Grants           []auth.Support
	Operator, Reason string
	Patients         bool
	Hours            string
	Trouble          trouble
	Now              time.Time
}

// hours are the lengths offered.
func hours() (out []ui.Option) {
	for _, h := range []string{"1", "2", "4"} {
		out = append(out, ui.Option{Value: h, Label: h})
	}
	return out
}

func (o *Safety) supportPage(w *ui.Reply, q *ui.Request) error {
	return o.showSupport(w, q, http.StatusOK, support{Hours: "1"})
}

func (o *Safety) showSupport(w *ui.Reply, q *ui.Request, status int, v support) (err error) {
	if v.Grants, err = o.auth.Supports(q.Context(), q.Staff); err != nil {
		return err
	}
	v.Now = q.Now()
	s, err := o.shell(q, q.T("safety.support"), "support")
	if err != nil {
		return err
	}
	return w.HTML(status, supportView(q, s, v))
}

func (o *Safety) grantSupport(w *ui.Reply, q *ui.Request) error {
	v := support{Operator: q.Form("operator"), Reason: q.Form("reason"), Patients: q.Form("patients") == "on", Hours: q.Form("hours")}
	hours, _ := strconv.Atoi(v.Hours)
	_, err := o.auth.GrantSupport(q.Context(), q.Staff, v.Operator, v.Reason, v.Patients, time.Duration(hours)*time.Hour)
	if t, status, ok := troubleOf(q, err); ok {
		v.Trouble = t
		return o.showSupport(w, q, status, v)
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("support.granted"), "")
	w.Redirect(q.URL("support"))
	return nil
}

func (o *Safety) endSupport(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Path("grant"), 10, 64)
	if err != nil {
		return none(q)
	}
	if err := o.auth.EndSupport(q.Context(), q.Staff, id); err != nil {
		return err
	}
	w.Toast(q.T("support.ended"), "")
	w.Redirect(q.URL("support"))
	return nil
}

// session is the page of how sessions behave.
type session struct {
	Idle, Absolute string // minutes, hours
	MFA            bool
	Trouble        trouble
}

func (o *Safety) securityPage(w *ui.Reply, q *ui.Request) error {
	s := q.Practice.Settings
	return o.showSecurity(w, q, http.StatusOK, session{Idle: strconv.Itoa(int(s.Idle / time.Minute)), Absolute: strconv.Itoa(int(s.Absolute / time.Hour)), MFA: s.MFA})
}

func (o *Safety) showSecurity(w *ui.Reply, q *ui.Request, status int, v session) error {
	s, err := o.shell(q, q.T("safety.security"), "security")
	if err != nil {
		return err
	}
	return w.HTML(status, securityView(q, s, v))
}

func (o *Safety) setSecurity(w *ui.Reply, q *ui.Request) error {
	v := session{Idle: q.Form("idle"), Absolute: q.Form("absolute"), MFA: q.Form("mfa") == "on"}
	idle, _ := strconv.Atoi(v.Idle)
	absolute, _ := strconv.Atoi(v.Absolute)
	err := o.auth.SetSettings(q.Context(), q.Staff, auth.Settings{Idle: time.Duration(idle) * time.Minute, Absolute: time.Duration(absolute) * time.Hour, MFA: v.MFA})
	if t, status, ok := troubleOf(q, err); ok {
		v.Trouble = t
		return o.showSecurity(w, q, status, v)
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("security.saved"), "")
	w.Redirect(q.URL("security"))
	return nil
}
