package safety

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/web/ui"
)

func (o *Safety) peoplePage(w *ui.Reply, q *ui.Request) error {
	people, err := o.auth.Users(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	s, err := o.shell(q, q.T("safety.people"), "people")
	if err != nil {
		return err
	}
	return w.HTML(http.StatusOK, peopleView(q, s, people))
}

// invitation is the form for a new person, and the link once it was sent.
type invitation struct {
	Login, Display, Practitioner string
	Free                         []practice.Member // those on record as practitioners who have no sign-in
	Roles                        []auth.Role
	Choice                       []auth.Role // those there are
	Trouble                      trouble
	Link                         string
}

func (i invitation) has(r auth.Role) bool {
	for _, x := range i.Roles {
		if x == r {
			return true
		}
	}
	return false
}

func (o *Safety) invitePage(w *ui.Reply, q *ui.Request) error {
	return o.showInvite(w, q, http.StatusOK, invitation{})
}

func (o *Safety) showInvite(w *ui.Reply, q *ui.Request, status int, i invitation) error {
	if i.Trouble.Words == "" && i.Link == "" {
		if t, _, ok := troubleOf(q, o.auth.Recent(q.Staff, auth.StepUpWithin)); ok {
			i.Trouble = t
		}
	}
	staff, err := o.people.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	here, err := o.auth.Users(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	for _, m := range staff.Staff {
		if !slices.ContainsFunc(here, func(u auth.User) bool { return u.PractitionerID == m.ID }) {
			i.Free = append(i.Free, m)
		}
	}
	if i.Choice, err = o.auth.RolesIn(q.Context(), q.Practice.ID); err != nil {
		return err
	}
	s, err := o.shell(q, q.T("people.invite"), "people")
	if err != nil {
		return err
	}
	return w.HTML(status, inviteView(q, s, i))
}

// choices are the practitioners who cannot sign in yet, and nobody: who treats no patients has no record of their own.
func (i invitation) choices(q *ui.Request) []ui.Option {
	out := []ui.Option{{Value: "", Label: q.T("people.practitioner.none")}}
	for _, m := range i.Free {
		out = append(out, ui.Option{Value: m.ID, Label: m.Name()})
	}
	return out
}

func rolesIn(q *ui.Request) (out []auth.Role) {
	for _, r := range q.Forms("role") {
		out = append(out, auth.Role(r))
	}
	return out
}

func (o *Safety) invite(w *ui.Reply, q *ui.Request) error {
	i := invitation{Login: q.Form("login"), Display: q.Form("display"), Practitioner: strings.TrimPrefix(q.Form("practitioner"), "Practitioner/"), Roles: rolesIn(q)}
	_, token, err := o.auth.InviteUser(q.Context(), q.Staff, auth.User{Login: i.Login, Display: i.Display, PractitionerID: i.Practitioner, Roles: i.Roles})
	if t, status, ok := troubleOf(q, err); ok {
		i.Trouble = t
		return o.showInvite(w, q, status, i)
	}
	if err != nil {
		return err
	}
	i.Link = token
	return o.showInvite(w, q, http.StatusOK, i)
}

// profile is one person's page.
type profile struct {
	User     auth.User
	Choice   []auth.Role // the roles there are
	Sessions []auth.SessionEntry
	Devices  []auth.Device
	SignIns  []audit.Entry
	Trouble  trouble
	Link     string // an invitation, the only time it is shown
}

func userID(q *ui.Request) (int64, error) {
	id, err := strconv.ParseInt(q.Path("user"), 10, 64)
	if err != nil {
		return 0, none(q)
	}
	return id, nil
}

func (o *Safety) personPage(w *ui.Reply, q *ui.Request) error {
	return o.showPerson(w, q, http.StatusOK, profile{})
}

func (o *Safety) showPerson(w *ui.Reply, q *ui.Request, status int, p profile) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	ctx := q.Context()
	if p.User, err = o.auth.Person(ctx, q.Staff, id); err != nil {
		return err
	}
	if p.Choice, err = o.auth.RolesIn(ctx, q.Practice.ID); err != nil {
		return err
	}
	if p.Sessions, err = o.auth.SessionsOf(ctx, q.Staff, id); err != nil {
		return err
	}
	if p.Devices, err = o.auth.DevicesOf(ctx, q.Staff, id); err != nil {
		return err
	}
	if p.SignIns, err = o.auth.SignIns(ctx, q.Staff, id, 20); err != nil {
		return err
	}
	s, err := o.shell(q, p.User.Display, "people")
	if err != nil {
		return err
	}
	return w.HTML(status, personView(q, s, p))
}

// done ends a change of a person: back to their page, or the page with what is wrong.
func (o *Safety) done(w *ui.Reply, q *ui.Request, err error, words string) error {
	if t, status, ok := troubleOf(q, err); ok {
		return o.showPerson(w, q, status, profile{Trouble: t})
	}
	if err != nil {
		return err
	}
	w.Toast(q.T(words), "")
	w.Redirect(q.URL("people", q.Path("user")))
	return nil
}

func (o *Safety) setRoles(w *ui.Reply, q *ui.Request) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	return o.done(w, q, o.auth.SetRoles(q.Context(), q.Staff, id, rolesIn(q)...), "people.roles.done")
}

func (o *Safety) disable(w *ui.Reply, q *ui.Request) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	return o.done(w, q, o.auth.Disable(q.Context(), q.Staff, id), "people.disabled.done")
}

func (o *Safety) enable(w *ui.Reply, q *ui.Request) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	return o.done(w, q, o.auth.Enable(q.Context(), q.Staff, id), "people.enabled.done")
}

// forgetDevice signs somebody out of one of their browsers, which is then a new one.
func (o *Safety) forgetDevice(w *ui.Reply, q *ui.Request) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	return o.done(w, q, o.auth.ForgetDevice(q.Context(), q.Staff, id, q.Form("device")), "device.forgotten")
}

func (o *Safety) signOut(w *ui.Reply, q *ui.Request) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	if id == q.Staff.UserID() {
		w.Redirect(q.URL("account", "security"))
		return nil
	}
	if _, err := o.auth.Person(q.Context(), q.Staff, id); err != nil {
		return err
	}
	return o.done(w, q, o.auth.SignOutEverywhere(q.Context(), q.Staff, id), "people.signedout.done")
}

func (o *Safety) reset(w *ui.Reply, q *ui.Request) error {
	id, err := userID(q)
	if err != nil {
		return err
	}
	token, err := o.auth.ResetCredentials(q.Context(), q.Staff, id)
	if t, status, ok := troubleOf(q, err); ok {
		return o.showPerson(w, q, status, profile{Trouble: t})
	}
	if err != nil {
		return err
	}
	return o.showPerson(w, q, http.StatusOK, profile{Link: token})
}
