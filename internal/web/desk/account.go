package desk

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// account is what the page of one's own credentials shows.
type account struct {
	Passkeys []auth.Passkey
	Sessions []auth.SessionEntry
	Devices  []auth.Device
	New      []auth.NewBrowser
	History  []audit.Entry // the latest sign-ins
	TOTP     *auth.TOTPEnrolment
	QR       square
	Codes    []string
	Problem  string
	Login    string
	Second   bool
	Ways     []signon.Way
	Stale    bool // the person has to prove again that it is them before anything here is changed
}

// square is a QR code as the path of an SVG: one unit a module.
type square struct {
	Size int
	Path string
}

func (d *Desk) accountPage(w *ui.Reply, q *ui.Request) error { return d.showAccount(w, q, account{}) }

func (d *Desk) showAccount(w *ui.Reply, q *ui.Request, a account) (err error) {
	ctx := q.Context()
	if a.Passkeys, err = d.auth.Passkeys(ctx, q.Staff); err != nil {
		return err
	}
	if a.Sessions, err = d.auth.Sessions(ctx, q.Staff); err != nil {
		return err
	}
	if a.Devices, err = d.auth.Devices(ctx, q.Staff, q.Cookie("device")); err != nil {
		return err
	}
	if a.New, err = d.auth.NewBrowsers(ctx, q.Staff); err != nil {
		return err
	}
	if a.History, err = d.auth.SignIns(ctx, q.Staff, q.Staff.UserID(), 10); err != nil {
		return err
	}
	if d.signOn != nil {
		if a.Ways, err = d.signOn.Ways(ctx, q.Practice.ID); err != nil {
			return err
		}
	}
	a.Stale = d.auth.Recent(q.Staff, auth.StepUpWithin) != nil
	s, err := d.shell(q, q.T("account.security"), "account", false)
	if err != nil {
		return err
	}
	return w.HTML(ok, accountView(q, s, a))
}

func (d *Desk) beginTOTP(w *ui.Reply, q *ui.Request) error {
	t, err := d.auth.BeginTOTP(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	return d.offerTOTP(w, q, t, "")
}

func (d *Desk) offerTOTP(w *ui.Reply, q *ui.Request, t auth.TOTPEnrolment, problem string) error {
	code, err := qr.Encode(t.URL, qr.M, qr.Auto)
	if err != nil {
		return err
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	return d.showAccount(w, q, account{TOTP: &t, QR: square{size, path.String()}, Problem: problem})
}

func (d *Desk) finishTOTP(w *ui.Reply, q *ui.Request) error {
	err := d.auth.FinishTOTP(q.Context(), q.Staff, q.Form("ticket"), strings.ReplaceAll(q.Form("code"), " ", ""))
	var i *fhir.Issue
	if errors.As(err, &i) && q.Form("secret") != "" {
		return d.offerTOTP(w, q, auth.TOTPEnrolment{Secret: q.Form("secret"), URL: q.Form("url"), Ticket: q.Form("ticket")}, q.Says(i))
	}
	if err != nil {
		return err
	}
	return d.newCodes(w, q) // the way back in, should the telephone be lost
}

func (d *Desk) newCodes(w *ui.Reply, q *ui.Request) error {
	codes, err := d.auth.NewRecoveryCodes(q.Context(), q.Staff)
	if err != nil {
		return d.orStepUp(w, q, err)
	}
	return d.showAccount(w, q, account{Codes: codes})
}

// orStepUp shows on the page what the person must do first.
func (d *Desk) orStepUp(w *ui.Reply, q *ui.Request, err error) error {
	var i *fhir.Issue
	if errors.As(err, &i) {
		return d.showAccount(w, q, account{Problem: q.Says(i)})
	}
	return err
}

func (d *Desk) beginRegistration(w *ui.Reply, q *ui.Request) error {
	options, ticket, err := d.auth.BeginPasskeyRegistration(q.Context(), q.Staff)
	if err != nil {
		return refuse(w, err)
	}
	return reply(w, begun{ticket, options})
}

func (d *Desk) finishRegistration(w *ui.Reply, q *ui.Request) error {
	a, err := readAnswer(q)
	if err != nil {
		return refuse(w, err)
	}
	name := a.Name
	if name == "" {
		name = q.T("account.passkey.of", q.Date(q.Now()))
	}
	if err := d.auth.FinishPasskeyRegistration(q.Context(), q.Staff, a.Ticket, name, a.Answer); err != nil {
		return refuse(w, err)
	}
	w.Toast(q.T("account.passkey.added"), "")
	return reply(w, map[string]string{"next": q.URL("account", "security")})
}

// once gives the context for the one change of a form of this page; see ui.Reply.Once.
func once(w *ui.Reply, q *ui.Request, done string) context.Context {
	return w.Once(func([]string) {
		w.Toast(q.T(done), "")
		w.Redirect(q.URL("account", "security"))
	})
}

func (d *Desk) removePasskey(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Form("id"), 10, 64)
	if err != nil {
		return fhir.Problem("value", q.T("account.passkey.which"), q.T("error.again"))
	}
	if err := d.auth.RemovePasskey(once(w, q, "account.passkey.removed"), q.Staff, id); err != nil {
		return d.orStepUp(w, q, err)
	}
	return nil
}

// forgetDevice signs the person out of one of their browsers, which is then a new one.
func (d *Desk) forgetDevice(w *ui.Reply, q *ui.Request) error {
	return d.auth.ForgetDevice(once(w, q, "device.forgotten"), q.Staff, q.Staff.UserID(), q.Form("device"))
}

// ownBrowser takes the answer to whether it was the person who signed in with a new browser.
func (d *Desk) ownBrowser(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Form("notice"), 10, 64)
	if err != nil {
		return fhir.Problem("value", q.T("account.session.which"), q.T("error.again"))
	}
	mine, words, part := q.Form("answer") == "mine", "browser.theirs.done", "#password"
	if mine {
		words, part = "browser.mine.done", ""
	}
	if err := d.auth.OwnBrowser(q.Context(), q.Staff, id, mine); err != nil {
		return err
	}
	w.Toast(q.T(words), "")
	w.Redirect(q.URL("account", "security") + part)
	return nil
}

// changePassword takes a new password of somebody who has just proved to be themself.
func (d *Desk) changePassword(w *ui.Reply, q *ui.Request) error {
	if q.Raw("new") != q.Raw("again") {
		return d.showAccount(w, q, account{Problem: q.T("password.differ")})
	}
	if err := d.auth.ChangePassword(once(w, q, "password.done"), q.Staff, q.Raw("new")); err != nil {
		return d.orStepUp(w, q, err)
	}
	return nil
}

func (d *Desk) endSession(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseUint(q.Form("id"), 16, 64)
	if err != nil {
		return fhir.Problem("value", q.T("account.session.which"), q.T("error.again"))
	}
	return d.auth.EndSession(once(w, q, "account.session.ended"), q.Staff, auth.SessionID(id))
}

func (d *Desk) endAll(w *ui.Reply, q *ui.Request) error {
	if err := d.auth.SignOutEverywhere(q.Context(), q.Staff, q.Staff.UserID()); err != nil {
		return err
	}
	w.End()
	w.Redirect(q.URL("sign-in"))
	return nil
}

// prove takes password and code of somebody whose last proof is too old for what they want to change.
func (d *Desk) prove(w *ui.Reply, q *ui.Request) error {
	err := d.auth.StepUp(once(w, q, "account.proved"), q.Staff, auth.StepUpRequest{Password: q.Raw("password"), Code: strings.ReplaceAll(q.Form("code"), " ", ""),
		Device: q.Cookie("device"), RemoteAddr: q.Remote(), UserAgent: q.UserAgent()})
	if err != nil {
		return d.orStepUp(w, q, err)
	}
	return nil
}

func (d *Desk) beginProof(w *ui.Reply, q *ui.Request) error {
	options, ticket, err := d.auth.BeginPasskeyStepUp(q.Context(), q.Staff)
	if err != nil {
		return refuse(w, err)
	}
	return reply(w, begun{ticket, options})
}

func (d *Desk) finishProof(w *ui.Reply, q *ui.Request) error {
	a, err := readAnswer(q)
	if err != nil {
		return refuse(w, err)
	}
	if err := d.auth.FinishPasskeyStepUp(q.Context(), q.Staff, a.Ticket, a.Answer); err != nil {
		return refuse(w, err)
	}
	w.Toast(q.T("account.proved"), "")
	return reply(w, map[string]string{"next": q.URL("account", "security")})
}
