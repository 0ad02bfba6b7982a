// Package desk is the front of the house: signing in and out, one's own account, the day's schedule, the list of patients and
// registration. It shows what clinic/scheduling, clinic/patient and clinic/practice know, and keeps nothing itself.
package desk

import (
	"context"
	"net/http"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/web/ui"
)

// Desk holds what its pages stand on.
type Desk struct {
	auth     *auth.Auth
	book     *scheduling.Book
	people   *practice.Profiles
	patients *patient.Directory
	signOn   *signon.SignOn // nil: nobody signs in through an organisation
}

// New registers the desk's pages.
func New(r *ui.Router, a *auth.Auth, book *scheduling.Book, people *practice.Profiles, patients *patient.Directory) *Desk {
	d := &Desk{auth: a, book: book, people: people, patients: patients}
	r.Open("GET", "/{practice}/sign-in", d.signInPage)
	r.Open("POST", "/{practice}/sign-in", d.signIn)
	r.Open("POST", "/{practice}/sign-in/demo", d.demoSignIn)
	r.Open("POST", "/{practice}/sign-in/passkey/begin", d.beginPasskey)
	r.Open("POST", "/{practice}/sign-in/passkey/finish", d.finishPasskey)
	r.Open("GET", "/{practice}/join", d.joinPage)
	r.Open("POST", "/{practice}/join", d.join)
	r.Open("GET", "/{practice}/unlock", d.unlockPage)
	r.Open("POST", "/{practice}/unlock", d.unlock)
	r.Open("POST", "/{practice}/sign-out", d.signOut)

	r.Page("/{practice}/account/security", auth.AccountSecurity, d.accountPage)
	r.Act("/{practice}/account/prove", auth.AccountSecurity, d.prove)
	r.Act("/{practice}/account/prove/begin", auth.AccountSecurity, d.beginProof)
	r.Act("/{practice}/account/prove/finish", auth.AccountSecurity, d.finishProof)
	r.Act("/{practice}/account/totp", auth.AccountSecurity, d.beginTOTP)
	r.Act("/{practice}/account/totp/finish", auth.AccountSecurity, d.finishTOTP)
	r.Act("/{practice}/account/codes", auth.AccountSecurity, d.newCodes)
	r.Act("/{practice}/account/passkey/begin", auth.AccountSecurity, d.beginRegistration)
	r.Act("/{practice}/account/passkey/finish", auth.AccountSecurity, d.finishRegistration)
	r.Act("/{practice}/account/passkey/remove", auth.AccountSecurity, d.removePasskey)
	r.Act("/{practice}/account/sessions/end", auth.AccountSecurity, d.endSession)
	r.Act("/{practice}/account/devices/forget", auth.AccountSecurity, d.forgetDevice)
	r.Act("/{practice}/account/browsers", auth.AccountSecurity, d.ownBrowser)
	r.Act("/{practice}/account/password", auth.AccountSecurity, d.changePassword)
	r.Act("/{practice}/account/sessions/end-all", auth.AccountSecurity, d.endAll)

	r.Page("/{practice}/schedule", auth.ScheduleRead, d.schedulePage)
	r.Page("/{practice}/schedule/new", auth.ScheduleWrite, d.bookPage)
	r.Act("/{practice}/schedule", auth.ScheduleWrite, d.bookVisit)
	r.Act("/{practice}/schedule/{appointment}/status", auth.ScheduleWrite, d.setStatus)
	r.Page("/{practice}/schedule/{appointment}/move", auth.ScheduleWrite, d.movePage)
	r.Act("/{practice}/schedule/{appointment}/move", auth.ScheduleWrite, d.moveVisit)

	r.Page("/{practice}/patients", auth.PatientRead, d.patientsPage)
	r.Act("/{practice}/patients", auth.PatientRead, d.patientsFound)
	r.Page("/{practice}/patients/new", auth.PatientRegister, d.registerPage)
	r.Act("/{practice}/patients/new", auth.PatientRegister, d.register)
	r.Page("/{practice}/patients/{patient}/registration", auth.PatientRead, d.registrationPage)
	r.Act("/{practice}/patients/{patient}/registration", auth.DemographicsWrite, d.correct)

	r.AddCommands(
		ui.Command{ID: "schedule", Title: "cmd.schedule", Keys: "G S", Permission: auth.ScheduleRead, Group: ui.GroupGo, Icon: "calendar-days", Path: "/schedule", Rail: true},
		ui.Command{ID: "patients", Title: "cmd.patients", Keys: "G P", Permission: auth.PatientRead, Group: ui.GroupGo, Icon: "users", Path: "/patients", Rail: true},
		ui.Command{ID: "register", Title: "cmd.register", Keys: "G N", Permission: auth.PatientRegister, Group: ui.GroupGo, Icon: "user-plus", Path: "/patients/new"},
		ui.Command{ID: "book", Title: "cmd.book", Keys: "B", Permission: auth.ScheduleWrite, Group: ui.GroupGo, Icon: "plus", Path: "/schedule/new", Hidden: true},
		ui.Command{ID: "registration", Title: "registration.title", Keys: "E", Permission: auth.PatientRead, Group: ui.GroupPatient, Icon: "contact", Path: "/registration", Beside: true},
		ui.Command{ID: "account", Title: "account.security", Keys: "G A", Permission: auth.AccountSecurity, Group: ui.GroupSettings, Icon: "shield-check", Path: "/account/security"},
	)
	return d
}

// Offer has the sign-in page offer the organisations through which people may sign in.
func (d *Desk) Offer(s *signon.SignOn) { d.signOn = s }

// Find answers what is typed into the palette with patients: by name, birth date, MRN or telephone.
func Find(patients *patient.Directory) func(ctx context.Context, q *ui.Request, text string) ([]ui.Found, error) {
	return func(ctx context.Context, q *ui.Request, text string) ([]ui.Found, error) {
		if !q.Can(auth.PatientRead) {
			return nil, nil
		}
		var hits []patient.Hit
		if text == "" {
			open := q.OpenCharts()
			known, err := patients.Get(ctx, q.Staff, open...)
			if err != nil {
				return nil, err
			}
			for i := len(open) - 1; i >= 0; i-- {
				if h, ok := known[open[i]]; ok {
					hits = append(hits, h)
				}
			}
		} else {
			var err error
			if hits, err = patients.Search(ctx, q.Staff, text, 8); err != nil {
				return nil, err
			}
		}
		var out []ui.Found
		for _, h := range hits {
			if h.Closed {
				if q.Can(auth.BreakGlass) {
					out = append(out, ui.Found{Title: h.Name.Display(), Path: q.URL("patients", h.ID, "restricted"), Note: q.T("patient.closed"), Record: "Patient/" + h.ID})
				}
				continue
			}
			out = append(out, ui.Found{Title: h.Name.Display(), Detail: detail(q, h), Path: q.ChartURL(h.ID), Note: alike(q, h), Record: "Patient/" + h.ID})
		}
		return out, nil
	}
}

// detail is what tells two people apart: age, sex, birth date, MRN.
func detail(q *ui.Request, h patient.Hit) string {
	s := q.Age(h.Age) + " " + h.Sex + " · " + q.Partial(h.BirthDate)
	if h.MRN != "" {
		s += " · " + h.MRN
	}
	if h.Deceased {
		s += " · " + q.T("patient.deceased")
	}
	return s
}

func alike(q *ui.Request, h patient.Hit) string {
	if h.Alike {
		return q.T("patient.alike")
	}
	return ""
}

// Tabs gives the open charts as tabs; current is the id of the one that is shown.
func Tabs(ctx context.Context, q *ui.Request, patients *patient.Directory, ids []string, current string) ([]ui.OpenChart, error) {
	if len(ids) == 0 || !q.Can(auth.ChartRead) {
		return nil, nil
	}
	known, err := patients.Get(ctx, q.Staff, ids...)
	if err != nil {
		return nil, err
	}
	var out []ui.OpenChart
	for _, id := range ids {
		if h, ok := known[id]; ok {
			out = append(out, ui.OpenChart{ID: id, Label: h.Name.Tab(), Path: q.URL("patients", id), Current: id == current})
		}
	}
	return out, nil
}

// shell is the frame of a page of the desk.
func (d *Desk) shell(q *ui.Request, title, active string, wide bool) (ui.Shell, error) {
	tabs, err := Tabs(q.Context(), q, d.patients, q.OpenCharts(), "")
	return ui.Shell{Title: title, Active: active, Open: tabs, Wide: wide}, err
}

const ok = http.StatusOK
