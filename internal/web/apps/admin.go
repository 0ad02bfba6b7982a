package apps

import (
	"cmp"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// overview is one's own connections and, for administrators, the practice's programs.
type overview struct {
	Mine     []oauth.Grant
	Programs []*oauth.Client
	Names    map[string]string // of the patients that connections are about
}

func (s *Screens) shell(q *ui.Request, title string) (ui.Shell, error) {
	tabs, err := desk.Tabs(q.Context(), q, s.patients, q.OpenCharts(), "")
	return ui.Shell{Title: title, Active: "apps", Open: tabs}, err
}

func (s *Screens) list(w *ui.Reply, q *ui.Request) error {
	var o overview
	var err error
	if o.Mine, err = s.server.Grants(q.Context(), q.Practice, q.Staff); err != nil {
		return err
	}
	if q.Can(auth.PracticeAdmin) {
		if o.Programs, err = s.server.Clients(q.Context(), q.Practice.ID); err != nil {
			return err
		}
	}
	shell, err := s.shell(q, q.T("apps.title"))
	if err != nil {
		return err
	}
	return w.HTML(ok, listView(q, shell, o))
}

// disconnect ends one of the person's own connections, or anybody's for an administrator.
func (s *Screens) disconnect(w *ui.Reply, q *ui.Request) error {
	id, err := strconv.ParseInt(q.Form("grant"), 16, 64)
	if err != nil {
		return fhir.Problem("value", q.T("apps.grant.which"), q.T("error.again"))
	}
	if err := s.server.Revoke(q.Context(), q.Practice, q.Staff, id); err != nil {
		return err
	}
	w.Toast(q.T("apps.disconnected"), "")
	if p := q.Form("program"); p != "" && q.Can(auth.PracticeAdmin) {
		w.Redirect(q.URL("apps", "programs", p))
		return nil
	}
	w.Redirect(q.URL("apps"))
	return nil
}

// form is the registration form as it stands.
type form struct {
	In     oauth.Client
	JWKS   string
	Errors []ui.FieldError
	Edit   string // the program whose registration is changed; "" registers a new one
	Grants int    // connections that Edit has
}

func (f form) err(field string) string {
	for _, e := range f.Errors {
		if e.Field == field {
			return e.Words
		}
	}
	return ""
}

func (s *Screens) newProgram(w *ui.Reply, q *ui.Request) error {
	return s.showForm(w, q, ok, form{In: oauth.Client{Kind: oauth.Public, Scopes: "launch/patient openid fhirUser offline_access patient/*.rs"}})
}

func (s *Screens) showForm(w *ui.Reply, q *ui.Request, status int, f form) error {
	shell, err := s.shell(q, f.title(q))
	if err != nil {
		return err
	}
	return w.HTML(status, formView(q, shell, f))
}

func (f form) title(q *ui.Request) string {
	if f.Edit == "" {
		return q.T("apps.register")
	}
	return q.T("apps.edit")
}

// sent reads the form of a program of a kind.
func sent(q *ui.Request, kind oauth.Kind) form {
	f := form{In: oauth.Client{Kind: kind, Name: q.Form("name"), Publisher: q.Form("publisher"), Redirects: strings.Fields(q.Form("redirects")),
		LaunchURI: q.Form("launch"), Scopes: strings.Join(strings.Fields(q.Form("scopes")), " "), JWKSURL: ""}, JWKS: q.Form("jwks")}
	if f.In.Kind == oauth.Keys && strings.HasPrefix(f.JWKS, "{") {
		f.In.JWKS = json.RawMessage(f.JWKS)
		if !json.Valid(f.In.JWKS) {
			f.In.JWKS = json.RawMessage("{}") // the answer says what a key set is
		}
	} else if f.In.Kind == oauth.Keys || f.JWKS != "" {
		f.In.JWKSURL = f.JWKS
	}
	return f
}

// refused puts what is wrong beside the fields.
func (f *form) refused(err error) bool {
	var issues fhir.Issues
	if !errors.As(err, &issues) {
		return false
	}
	for _, i := range issues {
		f.Errors = append(f.Errors, ui.FieldError{Field: i.Path, Words: i.Text + " " + i.Fix})
	}
	return true
}

// editing is the form of a program that is registered.
func (s *Screens) editing(q *ui.Request) (form, error) {
	c, err := s.server.Client(q.Context(), q.Practice.ID, q.Path("program"))
	if err != nil {
		return form{}, err
	}
	grants, err := s.server.GrantsOf(q.Context(), q.Staff, c.ID)
	f := form{In: *c, JWKS: c.JWKSURL, Edit: c.ID, Grants: len(grants)}
	if f.JWKS == "" {
		f.JWKS = string(c.JWKS)
	}
	return f, err
}

func (s *Screens) editProgram(w *ui.Reply, q *ui.Request) error {
	f, err := s.editing(q)
	if err != nil {
		return err
	}
	return s.showForm(w, q, ok, f)
}

// change replaces a registration, which then waits for approval.
func (s *Screens) change(w *ui.Reply, q *ui.Request) error {
	old, err := s.editing(q)
	if err != nil {
		return err
	}
	f := sent(q, old.In.Kind)
	f.Edit, f.Grants = old.Edit, old.Grants
	f.In.Version, _ = strconv.ParseInt(q.Form("version"), 10, 64)
	if f.In.Version < 1 {
		return fhir.Problem("value", q.T("apps.grant.which"), q.T("error.again"))
	}
	err = s.server.Change(q.Context(), q.Staff, f.Edit, f.In)
	if f.refused(err) {
		return s.showForm(w, q, 422, f)
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("apps.edited"), "")
	w.Redirect(q.URL("apps", "programs", f.Edit))
	return nil
}

func (s *Screens) register(w *ui.Reply, q *ui.Request) error {
	f := sent(q, oauth.Kind(q.Form("kind")))
	c, secret, err := s.server.Register(q.Context(), q.Staff, f.In)
	if f.refused(err) {
		return s.showForm(w, q, 422, f)
	}
	if err != nil {
		return err
	}
	if secret != "" {
		return s.showProgram(w, q, c.ID, detail{Secret: secret})
	}
	w.Toast(q.T("apps.registered"), "")
	w.Redirect(q.URL("apps", "programs", c.ID))
	return nil
}

// detail is one program as an administrator sees it.
type detail struct {
	*oauth.Client
	Grants  []oauth.Grant
	Secret  string // shown once
	Problem string
	Stale   bool // the administrator has to prove to be themself first
	Secrets []oauth.Shared
}

// longestKeep is the most days that an old secret can be left working.
const longestKeep = int(oauth.LongestOverlap / (24 * time.Hour))

// overlaps are the choices for how long the present secret goes on working beside a new one.
func overlaps(q *ui.Request) []ui.Option {
	out := []ui.Option{{Value: "0", Label: q.T("apps.secret.keep.none")}}
	for _, days := range []int{1, 7, longestKeep} {
		out = append(out, ui.Option{Value: strconv.Itoa(days), Label: q.T("apps.secret.keep.days", strconv.Itoa(days))})
	}
	return out
}

func (s *Screens) program(w *ui.Reply, q *ui.Request) error {
	return s.showProgram(w, q, q.Path("program"), detail{})
}

func (s *Screens) showProgram(w *ui.Reply, q *ui.Request, id string, d detail) (err error) {
	if d.Client, err = s.server.Client(q.Context(), q.Practice.ID, id); err != nil {
		return err
	}
	if d.Grants, err = s.server.GrantsOf(q.Context(), q.Staff, id); err != nil {
		return err
	}
	d.Secrets = d.Client.Secrets(q.Now())
	d.Stale = s.auth.Recent(q.Staff, auth.StepUpWithin) != nil
	shell, err := s.shell(q, d.Name)
	if err != nil {
		return err
	}
	return w.HTML(ok, programView(q, shell, d))
}

// decide does what an administrator decided about a program.
func (s *Screens) decide(w *ui.Reply, q *ui.Request) (err error) {
	ctx, id := q.Context(), q.Path("program")
	done := ""
	switch q.Form("do") {
	case "approve":
		version, _ := strconv.ParseInt(q.Form("version"), 10, 64)
		err, done = s.server.Approve(ctx, q.Staff, id, version), "apps.approved"
	case "suspend":
		err, done = s.server.Suspend(ctx, q.Staff, id, q.Form("reason")), "apps.suspended"
	case "trust":
		err, done = s.server.Trust(ctx, q.Staff, id, true), "apps.trusted"
	case "ask":
		err, done = s.server.Trust(ctx, q.Staff, id, false), "apps.asking"
	case "secret":
		days, e := strconv.Atoi(cmp.Or(q.Form("keep"), "0"))
		if e != nil || days < 0 || days > longestKeep {
			days = -1 // the answer says what can be chosen
		}
		secret, e := s.server.NewSecret(ctx, q.Staff, id, time.Duration(days)*24*time.Hour)
		if e == nil {
			return s.showProgram(w, q, id, detail{Secret: secret})
		}
		err = e
	case "end":
		err, done = s.server.EndFormer(ctx, q.Staff, id), "apps.secret.ended"
	case "remove":
		if err = s.server.Remove(ctx, q.Staff, id); err == nil {
			w.Toast(q.T("apps.removed"), "")
			w.Redirect(q.URL("apps"))
			return nil
		}
	default:
		err = fhir.Problem("value", q.T("apps.grant.which"), q.T("error.again"))
	}
	var i *fhir.Issue
	if errors.As(err, &i) && i.Code != "not-found" {
		return s.showProgram(w, q, id, detail{Problem: i.Text + " " + i.Fix})
	}
	if err != nil {
		return err
	}
	w.Toast(q.T(done), "")
	w.Redirect(q.URL("apps", "programs", id))
	return nil
}
