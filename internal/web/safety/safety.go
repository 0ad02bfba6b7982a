// Package safety is how a practice looks after its own safety: the people and what their roles may do, restricted
// charts and their opening in an emergency, the hosting company's access, and the settings of sessions. It shows what
// base/auth knows and decides, and keeps nothing itself.
package safety

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// Safety holds what its pages stand on.
type Safety struct {
	auth     *auth.Auth
	patients *patient.Directory
	people   *practice.Profiles
	router   *ui.Router
}

// Register adds the pages of safety to the router.
func Register(r *ui.Router, a *auth.Auth, patients *patient.Directory, people *practice.Profiles) *Safety {
	o := &Safety{auth: a, patients: patients, people: people, router: r}
	r.Page("/{practice}/people", auth.UserAdmin, o.peoplePage)
	r.Page("/{practice}/people/new", auth.UserAdmin, o.invitePage)
	r.Act("/{practice}/people/new", auth.UserAdmin, o.invite)
	r.Page("/{practice}/people/{user}", auth.UserAdmin, o.personPage)
	r.Act("/{practice}/people/{user}/roles", auth.UserAdmin, o.setRoles)
	r.Act("/{practice}/people/{user}/disable", auth.UserAdmin, o.disable)
	r.Act("/{practice}/people/{user}/enable", auth.UserAdmin, o.enable)
	r.Act("/{practice}/people/{user}/sign-out", auth.UserAdmin, o.signOut)
	r.Act("/{practice}/people/{user}/devices/forget", auth.UserAdmin, o.forgetDevice)
	r.Act("/{practice}/people/{user}/reset", auth.UserAdmin, o.reset)

	r.Page("/{practice}/roles", auth.UserAdmin, o.rolesPage)
	r.Act("/{practice}/roles/preview", auth.UserAdmin, o.previewRoles)
	r.Act("/{practice}/roles", auth.UserAdmin, o.saveRoles)
	r.Act("/{practice}/roles/own", auth.UserAdmin, o.addRole)
	r.Act("/{practice}/roles/own/rename", auth.UserAdmin, o.renameRole)
	r.Act("/{practice}/roles/own/retire", auth.UserAdmin, o.retireRole)
	r.Page("/{practice}/roles/view", auth.UserAdmin, o.viewAs)

	r.Page("/{practice}/privacy", auth.PrivacyReview, o.privacyPage)
	r.Act("/{practice}/privacy/{opening}", auth.PrivacyReview, o.review)
	r.Page("/{practice}/patients/{patient}/privacy", auth.PatientRead, o.chartPrivacyPage)
	r.Act("/{practice}/patients/{patient}/privacy/restrict", auth.LabelWrite, o.restrict)
	r.Act("/{practice}/patients/{patient}/privacy/unrestrict", auth.LabelRemove, o.unrestrict)
	r.Act("/{practice}/patients/{patient}/privacy/consents", auth.ConsentWrite, o.recordConsent)
	r.Act("/{practice}/patients/{patient}/privacy/consents/{consent}/end", auth.ConsentWrite, o.endConsent)
	const record = "/{practice}/patients/{patient}/records/{type}/{record}/privacy"
	r.Page(record, auth.ChartRead, o.recordPage)
	r.Act(record+"/mark", auth.LabelWrite, o.markRecord)
	r.Act(record+"/unmark", auth.LabelRemove, o.unmarkRecord)
	r.Page("/{practice}/patients/{patient}/restricted", auth.BreakGlass, o.glassPage)
	r.Act("/{practice}/patients/{patient}/restricted", auth.BreakGlass, o.openGlass)
	r.Act("/{practice}/patients/{patient}/restricted/close", auth.AccountSecurity, o.closeGlass)
	r.Act("/{practice}/notices/{notice}", auth.AccountSecurity, o.seeNotice)

	r.Page("/{practice}/support", auth.SupportGrant, o.supportPage)
	r.Act("/{practice}/support", auth.SupportGrant, o.grantSupport)
	r.Act("/{practice}/support/{grant}/end", auth.SupportGrant, o.endSupport)
	r.Page("/{practice}/agreement", auth.PracticeAdmin, o.agreementPage)
	r.Act("/{practice}/agreement", auth.PracticeAdmin, o.signAgreement)
	r.Page("/{practice}/agreement/copy", auth.PracticeAdmin, o.agreementCopy)
	r.Page("/{practice}/security", auth.PracticeAdmin, o.securityPage)
	r.Act("/{practice}/security", auth.PracticeAdmin, o.setSecurity)

	r.AddCommands(
		ui.Command{ID: "chart-privacy", Title: "consent.title", Permission: auth.PatientRead, Group: ui.GroupPatient, Icon: "lock", Path: "/privacy", Beside: true},
		ui.Command{ID: "people", Title: "safety.people", Keys: "G U", Permission: auth.UserAdmin, Group: ui.GroupSettings, Icon: "users", Path: "/people", Office: "people"},
		ui.Command{ID: "roles", Title: "safety.roles", Keys: "G R", Permission: auth.UserAdmin, Group: ui.GroupSettings, Icon: "key-round", Path: "/roles", Office: "people"},
		ui.Command{ID: "privacy", Title: "safety.privacy", Keys: "G V", Permission: auth.PrivacyReview, Group: ui.GroupSettings, Icon: "eye", Path: "/privacy", Office: "privacy"},
		ui.Command{ID: "support", Title: "safety.support", Keys: "G H", Permission: auth.SupportGrant, Group: ui.GroupSettings, Icon: "door-open", Path: "/support", Office: "people"},
		ui.Command{ID: "security", Title: "safety.security", Keys: "G E", Permission: auth.PracticeAdmin, Group: ui.GroupSettings, Icon: "lock", Path: "/security", Office: "people"},
		ui.Command{ID: "agreement", Title: "agreement.title", Keys: "G Y", Permission: auth.PracticeAdmin, Group: ui.GroupSettings, Icon: "file-text", Path: "/agreement", Office: "people"},
	)
	return o
}

// Banners are what must be seen on every page: a restricted chart that is open, and what the person must be told.
func Banners(a *auth.Auth, patients *patient.Directory) func(ctx context.Context, q *ui.Request) ([]ui.Banner, error) {
	return func(ctx context.Context, q *ui.Request) ([]ui.Banner, error) {
		var out []ui.Banner
		open, err := a.OpenGlasses(ctx, q.Staff)
		if err != nil {
			return nil, err
		}
		for id, until := range open {
			known, err := patients.Get(ctx, q.Staff, id)
			if err != nil {
				return nil, err
			}
			h := known[id]
			out = append(out, ui.Banner{Words: q.T("glass.banner", h.Name.Display(), until.In(q.Zone()).Format("15:04")), Path: q.URL("patients", id),
				Post: q.URL("patients", id, "restricted", "close"), PostWords: q.T("glass.close")})
		}
		if q.Can(auth.PrivacyReview) {
			waiting, err := a.Openings(ctx, q.Staff, false)
			if err != nil {
				return nil, err
			}
			late := 0
			for _, x := range waiting {
				if x.Late(q.Now()) {
					late++
				}
			}
			if late > 0 {
				out = append(out, ui.Banner{Words: q.T("privacy.overdue", strconv.Itoa(late)), Path: q.URL("privacy")})
			}
		}
		strange, err := a.NewBrowsers(ctx, q.Staff)
		if err != nil {
			return nil, err
		}
		if len(strange) > 0 {
			out = append(out, ui.Banner{Words: q.T("browser.banner", strange[0].Browser, q.DayTime(strange[0].At)), Path: q.URL("account", "security")})
		}
		notices, err := a.Notices(ctx, q.Staff)
		if err != nil {
			return nil, err
		}
		for i, n := range notices {
			if i == 3 {
				break
			}
			out = append(out, ui.Banner{Words: noticeWords(q, n), Path: noticePath(q, n), Post: q.URL("notices", strconv.FormatInt(n.ID, 10)), PostWords: q.T("notice.seen"), Quiet: true})
		}
		return out, nil
	}
}

func noticeWords(q *ui.Request, n auth.Notice) string {
	who := n.Person
	if who == "" {
		who = q.T("notice.somebody")
	}
	return q.T("notice."+n.Kind, who, q.DayTime(n.At))
}

func noticePath(q *ui.Request, n auth.Notice) string {
	switch n.Kind {
	case auth.NoticeGlass:
		return q.URL("privacy")
	case auth.NoticeSupport:
		return q.URL("support")
	}
	if n.Ref != 0 {
		return q.URL("people", strconv.FormatInt(n.Ref, 10))
	}
	return q.URL("people")
}

func (o *Safety) seeNotice(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Path("notice"), 10, 64)
	if err != nil {
		return none(q)
	}
	if err := o.auth.SeeNotice(q.Context(), q.Staff, id); err != nil {
		return err
	}
	w.Redirect(q.Back(q.Form("from")))
	return nil
}

// shell is the frame of a page.
func (o *Safety) shell(q *ui.Request, title, active string) (ui.Shell, error) {
	tabs, err := desk.Tabs(q.Context(), q, o.patients, q.OpenCharts(), "")
	return ui.Shell{Title: title, Active: active, Open: tabs}, err
}

func none(q *ui.Request) *fhir.Issue {
	return fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix"))
}

// trouble is what a page says of a change that was refused.
type trouble struct {
	Words string
	Prove bool // the person must first prove again that it is them
}

// troubleOf tells an error for the person from a fault of the program.
func troubleOf(q *ui.Request, err error) (trouble, int, bool) {
	var i *fhir.Issue
	if !errors.As(err, &i) || fhir.HTTPStatus(i.Code) >= 500 {
		return trouble{}, 0, false
	}
	status := fhir.HTTPStatus(i.Code)
	if i.Code == "login" {
		status = http.StatusForbidden // the session is fine; only the proof is too old
	}
	return trouble{q.Says(i), i.Code == "login"}, status, true
}
