// Package organisation is how a practice's people come in through their organisation: signing in at an identity provider and coming
// back, and the administrator's pages of connections, of who is linked, and of the rule that nothing else counts. It shows what
// base/signon and base/auth know and decide, and keeps nothing itself.
package organisation

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/edge/scim"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// Screens holds what the pages stand on.
type Screens struct {
	auth     *auth.Auth
	on       *signon.SignOn
	scim     *scim.Server
	desk     *desk.Desk
	patients *patient.Directory
}

// Register adds the pages.
func Register(r *ui.Router, a *auth.Auth, on *signon.SignOn, directory *scim.Server, d *desk.Desk, patients *patient.Directory) {
	s := &Screens{auth: a, on: on, scim: directory, desk: d, patients: patients}
	d.Offer(on)
	r.Open("GET", "/{practice}/sign-in/with/{connection}", s.begin)
	r.Open("GET", "/{practice}/sign-in/with/{connection}/back", s.finish)
	r.OpenAcross("POST", "/{practice}/sign-in/with/{connection}/back", s.receive)
	r.Open("GET", "/{practice}/sign-in/with/{connection}/metadata", s.metadata)
	r.Page("/{practice}/account/prove/with/{connection}", auth.AccountSecurity, s.prove)

	r.Page("/{practice}/organisation", auth.PracticeAdmin, s.list)
	r.Act("/{practice}/organisation/rule", auth.PracticeAdmin, s.setRule)
	r.Act("/{practice}/organisation/keys", auth.UserAdmin, s.newKey)
	r.Act("/{practice}/organisation/keys/end", auth.UserAdmin, s.endKey)
	r.Page("/{practice}/organisation/new", auth.PracticeAdmin, s.fresh)
	r.Act("/{practice}/organisation/new", auth.PracticeAdmin, s.save)
	r.Page("/{practice}/organisation/{connection}", auth.PracticeAdmin, s.connection)
	r.Act("/{practice}/organisation/{connection}", auth.PracticeAdmin, s.save)
	r.Act("/{practice}/organisation/{connection}/do", auth.PracticeAdmin, s.do)
	r.Page("/{practice}/organisation/{connection}/test", auth.PracticeAdmin, s.test)

	r.AddCommands(ui.Command{ID: "organisation", Title: "signon.title", Keys: "G I", Permission: auth.PracticeAdmin, Group: ui.GroupSettings, Icon: "log-in", Path: "/organisation", Office: "people"})
}

// heldCookie is the cookie that lets only the browser that began come back; one for each time, so that two windows do not get into
// each other's way.
func heldCookie(state string) string {
	return "on-" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, state[:min(len(state), 12)])
}

// send sends the browser to a provider.
func (s *Screens) send(w *ui.Reply, q *ui.Request, why signon.Purpose, to string) error {
	b, err := s.on.Begin(q.Context(), q.Practice, q.Path("connection"), why, to)
	if err != nil {
		return s.failed(w, q, why, err)
	}
	w.SetCookie(heldCookie(b.State), b.Browser, 900)
	w.Redirect(b.To)
	return nil
}

// begin is the button of the sign-in page, and of the page of a locked session.
func (s *Screens) begin(w *ui.Reply, q *ui.Request) error {
	why := signon.In
	switch _, state, err := s.auth.Peek(q.Context(), q.Slug(), q.Token()); {
	case state.Locked:
		why = signon.Unlock
	case err == nil:
		w.Redirect(q.Back(q.Query("to")))
		return nil
	}
	return s.send(w, q, why, q.Query("to"))
}

func (s *Screens) prove(w *ui.Reply, q *ui.Request) error {
	return s.send(w, q, signon.Prove, q.URL("account", "security"))
}

func (s *Screens) test(w *ui.Reply, q *ui.Request) error {
	return s.send(w, q, signon.Test, "")
}

// receive takes what a SAML provider had the browser post, and goes on to a page of our own, with our cookies.
func (s *Screens) receive(w *ui.Reply, q *ui.Request) error {
	state, err := s.on.Receive(q.Context(), q.Practice, q.Path("connection"), q.Sent())
	if err != nil {
		return s.failed(w, q, signon.In, err)
	}
	w.Redirect(q.URL("sign-in", "with", q.Path("connection"), "back") + "?state=" + url.QueryEscape(state))
	return nil
}

// finish takes what came back.
func (s *Screens) finish(w *ui.Reply, q *ui.Request) error {
	v := q.Sent()
	id, cookie := q.Path("connection"), heldCookie(v.Get("state"))
	by := signon.Browser{Held: q.Cookie(cookie), Session: q.Token(), Remote: q.Remote(), Agent: q.UserAgent()}
	if staff, _, err := s.auth.Peek(q.Context(), q.Slug(), q.Token()); err == nil {
		by.Staff = staff.ForRequest(q.ID).From(q.Remote())
	}
	out, err := s.on.Finish(q.Context(), q.Practice, id, v, by)
	w.SetCookie(cookie, "", -1)
	if err != nil {
		return s.failed(w, q, out.Purpose, err)
	}
	switch out.Purpose {
	case signon.Prove:
		w.Toast(q.T("account.proved"), "")
		w.Redirect(out.To)
	case signon.Test:
		w.Toast(q.T("signon.tested"), "")
		w.Redirect(q.URL("organisation", id))
	default:
		w.Redirect(s.desk.Enter(w, q, out.Token, out.Staff, out.To))
	}
	return nil
}

// failed says what went wrong where the person came from.
func (s *Screens) failed(w *ui.Reply, q *ui.Request, why signon.Purpose, err error) error {
	var i *fhir.Issue
	if !errors.As(err, &i) {
		return err
	}
	switch why {
	case signon.Test:
		w.Redirect(q.URL("organisation", q.Path("connection")))
		return nil
	case signon.Prove:
		return w.HTML(http.StatusForbidden, failedView(q, q.Issue(i), q.URL("account", "security")))
	}
	return w.HTML(fhir.HTTPStatus(i.Code), failedView(q, q.Issue(i), q.URL("sign-in")))
}

func (s *Screens) metadata(w *ui.Reply, q *ui.Request) error {
	text, err := s.on.Metadata(q.Context(), q.Practice, q.Path("connection"))
	if err != nil {
		return err
	}
	w.Header("Content-Disposition", `attachment; filename="yarrow-metadata.xml"`)
	w.Bytes(http.StatusOK, "application/samlmetadata+xml", text)
	return nil
}

// overview is the page of all connections.
type overview struct {
	Connections []signon.Connection
	People      []auth.User
	Only        bool
	Recovery    []int64
	Keys        []scim.Key
	Address     string // of SCIM
	Secret      string // a new key, the only time it is shown
	KeyName     string
	Trouble     string
	Prove       bool // the administrator has to prove first that it is them
}

func (o overview) keeps(id int64) bool {
	for _, r := range o.Recovery {
		if r == id {
			return true
		}
	}
	return false
}

func (s *Screens) shell(q *ui.Request, title string) (ui.Shell, error) {
	tabs, err := desk.Tabs(q.Context(), q, s.patients, q.OpenCharts(), "")
	return ui.Shell{Title: title, Active: "organisation", Open: tabs}, err
}

// stale says that a change needs a new proof.
func (s *Screens) stale(q *ui.Request) bool { return s.auth.Recent(q.Staff, auth.StepUpWithin) != nil }

func (s *Screens) list(w *ui.Reply, q *ui.Request) error {
	return s.showList(w, q, http.StatusOK, overview{Only: q.Practice.SignOn.Only, Recovery: q.Practice.SignOn.Recovery})
}

func (s *Screens) showList(w *ui.Reply, q *ui.Request, status int, o overview) (err error) {
	if o.Connections, err = s.on.Connections(q.Context(), q.Staff); err != nil {
		return err
	}
	o.Prove = s.stale(q)
	o.Address = s.scim.Address(q.Practice)
	if q.Can(auth.UserAdmin) {
		if o.Keys, err = s.scim.Keys(q.Context(), q.Staff); err != nil {
			return err
		}
		all, err := s.auth.Users(q.Context(), q.Staff)
		if err != nil {
			return err
		}
		for _, u := range all {
			if u.Active && u.SecondFactor {
				for _, r := range u.Roles {
					if r == auth.Administrator {
						o.People = append(o.People, u)
						break
					}
				}
			}
		}
	}
	shell, err := s.shell(q, q.T("signon.title"))
	if err != nil {
		return err
	}
	return w.HTML(status, listView(q, shell, o))
}

func (s *Screens) setRule(w *ui.Reply, q *ui.Request) error {
	o := overview{Only: q.Form("only") == "on"}
	for _, v := range q.Forms("recovery") {
		if id, err := strconv.ParseInt(v, 10, 64); err == nil {
			o.Recovery = append(o.Recovery, id)
		}
	}
	err := s.tested(q, o.Only)
	if err == nil {
		err = s.auth.SetSignOnRule(q.Context(), q.Staff, auth.SignOnRule{Only: o.Only, Recovery: o.Recovery})
	}
	var i *fhir.Issue
	if errors.As(err, &i) && fhir.HTTPStatus(i.Code) < 500 {
		o.Trouble = q.Says(i)
		return s.showList(w, q, refused(i), o)
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("signon.rule.saved"), "")
	w.Redirect(q.URL("organisation"))
	return nil
}

// newKey makes a key for the practice's directory and shows it once.
func (s *Screens) newKey(w *ui.Reply, q *ui.Request) error {
	o := overview{Only: q.Practice.SignOn.Only, Recovery: q.Practice.SignOn.Recovery}
	secret, err := s.scim.NewKey(q.Context(), q.Staff, q.Form("name"))
	var i *fhir.Issue
	if errors.As(err, &i) && fhir.HTTPStatus(i.Code) < 500 {
		o.Trouble, o.KeyName = q.Says(i), q.Form("name")
		return s.showList(w, q, refused(i), o)
	}
	if err != nil {
		return err
	}
	o.Secret = secret
	return s.showList(w, q, http.StatusOK, o)
}

func (s *Screens) endKey(w *ui.Reply, q *ui.Request) error {
	if err := s.scim.EndKey(q.Context(), q.Staff, q.Form("key")); err != nil {
		return err
	}
	w.Toast(q.T("scim.ended"), "")
	w.Redirect(q.URL("organisation"))
	return nil
}

// tested refuses to rely on connections alone of which none was seen to work.
func (s *Screens) tested(q *ui.Request, only bool) error {
	if !only {
		return nil
	}
	all, err := s.on.Connections(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Enabled && c.Tested() {
			return nil
		}
	}
	return fhir.Problem("business-rule", "No connection that is switched on was tested.", "Test one first: otherwise nobody could get in.")
}

func refused(i *fhir.Issue) int {
	if i.Code == "login" {
		return http.StatusForbidden // the session is fine; only the proof is too old
	}
	return fhir.HTTPStatus(i.Code)
}
