package desk

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// gate is what the sign-in page shows.
type gate struct {
	To, Login, Problem, Fix string
	People                  []auth.User  // in a demonstration
	Ways                    []signon.Way // organisations one may sign in through
}

func (d *Desk) signInPage(w *ui.Reply, q *ui.Request) error {
	switch _, state, err := d.auth.Peek(q.Context(), q.Slug(), q.Token()); {
	case state.Locked:
		w.Redirect(q.URL("unlock"))
		return nil
	case err == nil:
		w.Redirect(q.Back(q.Query("to")))
		return nil
	}
	g := gate{To: q.Query("to")}
	if err := d.ways(q, &g); err != nil {
		return err
	}
	return w.HTML(ok, signInView(q, g))
}

// ways fills in how one may sign in here.
func (d *Desk) ways(q *ui.Request, g *gate) (err error) {
	if d.signOn != nil {
		if g.Ways, err = d.signOn.Ways(q.Context(), q.Practice.ID); err != nil {
			return err
		}
	}
	if q.Demo() {
		g.People, err = d.auth.DemoPeople(q.Context(), q.Practice.ID)
	}
	return err
}

func (d *Desk) signIn(w *ui.Reply, q *ui.Request) error {
	g := gate{To: q.Form("to"), Login: q.Form("login")}
	token, staff, err := d.auth.SignIn(q.Context(), auth.SignInRequest{Practice: q.Slug(), Login: g.Login, Password: q.Raw("password"),
		Code: strings.ReplaceAll(q.Form("code"), " ", ""), Device: q.Cookie("device"), RemoteAddr: q.Remote(), UserAgent: q.UserAgent()})
	var i *fhir.Issue
	if errors.As(err, &i) && (i.Code == "login" || i.Code == "throttled") {
		i = q.Issue(i)
		g.Problem, g.Fix = i.Text, i.Fix
		if err := d.ways(q, &g); err != nil {
			return err
		}
		return w.HTML(fhir.HTTPStatus(i.Code), signInView(q, g))
	}
	if err != nil {
		return err
	}
	w.Redirect(d.Enter(w, q, token, staff, g.To))
	return nil
}

// Enter begins the session in the browser, says where to go next, and remembers the device, so that it stands in the
// person's list and somebody else's failures cannot slow them.
func (d *Desk) Enter(w *ui.Reply, q *ui.Request, token string, staff auth.Staff, to string) string {
	w.Begin(token)
	if device, err := d.auth.RememberDevice(q.Context(), staff, q.Cookie("device"), q.Remote(), q.UserAgent()); err == nil && device != q.Cookie("device") {
		w.SetCookie("device", device, 180*24*3600)
	}
	return q.Back(to)
}

func (d *Desk) demoSignIn(w *ui.Reply, q *ui.Request) error {
	var id int64
	if err := json.Unmarshal([]byte(q.Form("person")), &id); err != nil {
		return fhir.Problem("value", q.T("signin.person"), q.T("error.again"))
	}
	token, staff, err := d.auth.DemoSignIn(q.Context(), q.Practice.ID, id)
	if err != nil {
		return err
	}
	w.Redirect(d.Enter(w, q, token, staff, q.Form("to")))
	return nil
}

// joinPage is where somebody who was invited sets a password.
func (d *Desk) joinPage(w *ui.Reply, q *ui.Request) error { return w.HTML(ok, joinView(q, gate{})) }

func (d *Desk) join(w *ui.Reply, q *ui.Request) error {
	err := d.auth.AcceptInvite(q.Context(), q.Slug(), q.Form("invite"), q.Raw("password"))
	var i *fhir.Issue
	if errors.As(err, &i) && fhir.HTTPStatus(i.Code) < 500 {
		i = q.Issue(i)
		return w.HTML(fhir.HTTPStatus(i.Code), joinView(q, gate{Login: q.Form("invite"), Problem: i.Text, Fix: i.Fix}))
	}
	if err != nil {
		return err
	}
	w.Redirect(q.URL("sign-in"))
	return nil
}

func (d *Desk) unlockPage(w *ui.Reply, q *ui.Request) error {
	_, state, err := d.auth.Peek(q.Context(), q.Slug(), q.Token())
	switch {
	case state.Locked:
	case err == nil:
		w.Redirect(q.Back(q.Query("to")))
		return nil
	default:
		w.Redirect(q.URL("sign-in"))
		return nil
	}
	g := gate{To: q.Query("to")}
	if err := d.ways(q, &g); err != nil {
		return err
	}
	return w.HTML(ok, unlockView(q, state, g))
}

func (d *Desk) unlock(w *ui.Reply, q *ui.Request) error {
	token, staff, err := d.auth.Unlock(q.Context(), auth.UnlockRequest{Practice: q.Slug(), Token: q.Token(), Password: q.Raw("password"),
		Device: q.Cookie("device"), RemoteAddr: q.Remote(), UserAgent: q.UserAgent()})
	var i *fhir.Issue
	if errors.As(err, &i) && (i.Code == "login" || i.Code == "throttled") {
		_, state, _ := d.auth.Peek(q.Context(), q.Slug(), q.Token())
		if !state.Locked {
			w.Redirect(q.URL("sign-in"))
			return nil
		}
		i = q.Issue(i)
		return w.HTML(fhir.HTTPStatus(i.Code), unlockView(q, state, gate{To: q.Form("to"), Problem: i.Text, Fix: i.Fix}))
	}
	if err != nil {
		w.Redirect(q.URL("sign-in"))
		return nil
	}
	w.Redirect(d.Enter(w, q, token, staff, q.Form("to")))
	return nil
}

func (d *Desk) signOut(w *ui.Reply, q *ui.Request) error {
	if t := q.Token(); t != "" {
		if err := d.auth.SignOut(q.Context(), q.Slug(), t); err != nil {
			var i *fhir.Issue
			if !errors.As(err, &i) || i.Code != "login" {
				return err
			}
		}
	}
	w.End()
	w.Redirect(q.URL("sign-in"))
	return nil
}

// Passkeys speak JSON with the page's script.

type begun struct {
	Ticket  string          `json:"ticket"`
	Options json.RawMessage `json:"options"`
}

type answered struct {
	Ticket string          `json:"ticket"`
	Name   string          `json:"name"`
	Answer json.RawMessage `json:"answer"`
}

func reply(w *ui.Reply, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Bytes(ok, "application/json", b)
	return nil
}

// refuse answers a script in plain words, which it shows.
func refuse(w *ui.Reply, err error) error {
	i := w.IssueOf(err)
	w.Text(fhir.HTTPStatus(i.Code), w.Says(i))
	return nil
}

func readAnswer(q *ui.Request) (a answered, err error) {
	b, err := io.ReadAll(http.MaxBytesReader(nil, q.HTTP().Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		err = fhir.Problem("structure", q.T("signin.passkey.unread"), q.T("error.again"))
	}
	return a, err
}

func (d *Desk) beginPasskey(w *ui.Reply, q *ui.Request) error {
	options, ticket, err := d.auth.BeginPasskeySignIn(q.Context(), q.Slug())
	if err != nil {
		return refuse(w, err)
	}
	return reply(w, begun{ticket, options})
}

func (d *Desk) finishPasskey(w *ui.Reply, q *ui.Request) error {
	a, err := readAnswer(q)
	if err != nil {
		return refuse(w, err)
	}
	token, staff, err := d.auth.FinishPasskeySignIn(q.Context(), auth.PasskeySignIn{Practice: q.Slug(), Ticket: a.Ticket, Response: a.Answer,
		Unlock: q.Token(), RemoteAddr: q.Remote(), UserAgent: q.UserAgent()})
	if err != nil {
		return refuse(w, err)
	}
	next := d.Enter(w, q, token, staff, q.Query("to"))
	return reply(w, map[string]string{"next": next})
}
