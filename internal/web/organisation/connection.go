package organisation

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// page is one connection with its form.
type page struct {
	In       signon.Connection
	Groups   string // as they are written in the form
	Metadata string // pasted
	Links    []auth.SignOnLink
	People   []auth.User
	Errors   []ui.FieldError
	Trouble  string
	Prove    bool
	Back     string // addresses that the provider is told
	Entity   string
}

func (p page) err(field string) string {
	for _, e := range p.Errors {
		if e.Field == field {
			return e.Words
		}
	}
	return ""
}

func (s *Screens) fresh(w *ui.Reply, q *ui.Request) error {
	kind := signon.OIDC
	if q.Query("kind") == string(signon.SAML) {
		kind = signon.SAML
	}
	return s.show(w, q, http.StatusOK, page{In: signon.Connection{Kind: kind}})
}

func (s *Screens) connection(w *ui.Reply, q *ui.Request) error {
	c, err := s.on.Connection(q.Context(), q.Staff, q.Path("connection"))
	if err != nil {
		return err
	}
	return s.show(w, q, http.StatusOK, page{In: c, Groups: groupsText(c.Groups)})
}

func (s *Screens) show(w *ui.Reply, q *ui.Request, status int, p page) (err error) {
	p.Prove = s.stale(q)
	title := q.T("signon.new." + string(p.In.Kind))
	if id := p.In.ID; id != "" {
		title = p.In.Name
		p.Back, p.Entity = s.on.Return(q.Practice, id), s.on.Entity(q.Practice, id)
		if q.Can(auth.UserAdmin) {
			if p.Links, err = s.auth.SignOnLinks(q.Context(), q.Staff, id); err != nil {
				return err
			}
			if p.People, err = s.auth.Users(q.Context(), q.Staff); err != nil {
				return err
			}
		}
	}
	shell, err := s.shell(q, title)
	if err != nil {
		return err
	}
	return w.HTML(status, connectionView(q, shell, p, title))
}

// groupsText and readGroups write and read the groups as a form has them: a group a line, an equals sign, its roles.
func groupsText(list []signon.Mapped) string {
	var lines []string
	for _, m := range list {
		var roles []string
		for _, r := range m.Roles {
			roles = append(roles, string(r))
		}
		lines = append(lines, m.Group+" = "+strings.Join(roles, " "))
	}
	return strings.Join(lines, "\n")
}

func readGroups(text string) (out []signon.Mapped) {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		m := signon.Mapped{Group: strings.TrimSpace(line)}
		if i := strings.LastIndexByte(line, '='); i >= 0 {
			m.Group = strings.TrimSpace(line[:i])
			for _, r := range strings.FieldsFunc(line[i+1:], func(r rune) bool { return r == ' ' || r == ',' || r == '\r' || r == '\n' || r == '\t' }) {
				m.Roles = append(m.Roles, auth.Role(strings.ToLower(r)))
			}
		}
		out = append(out, m)
	}
	return out
}

// read takes the form.
func (s *Screens) read(q *ui.Request) (p page, err error) {
	on := func(name string) bool { return q.Form(name) == "on" }
	c := signon.Connection{ID: q.Path("connection"), Kind: signon.Kind(q.Form("kind")), Name: q.Form("name"), Domains: strings.FieldsFunc(q.Form("domains"), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' }),
		TrustMail: on("trustMail"), Issuer: q.Form("issuer"), ClientID: q.Form("client"), Secret: q.Raw("secret"), Entity: q.Form("entity"), Address: q.Form("address"),
		Certificates: q.Raw("certificates"), MailAttribute: q.Form("mailAttribute"), GroupsFrom: q.Form("groupsFrom"), TrustFactors: on("trustFactors"),
		Contexts: strings.Fields(q.Form("contexts")), Groups: readGroups(q.Raw("groups")), Create: on("create")}
	if c.ID != "" {
		old, err := s.on.Connection(q.Context(), q.Staff, c.ID)
		if err != nil {
			return p, err
		}
		c.Kind, c.Enabled, c.Test, c.Trouble = old.Kind, old.Enabled, old.Test, old.Trouble
		if c.Secret == "" {
			c.Secret = old.Secret // stands for the one that is kept
		}
	}
	p = page{In: c, Groups: q.Raw("groups")}
	if text := strings.TrimSpace(q.Raw("metadata")); text != "" && c.Kind == signon.SAML {
		p.In.Entity, p.In.Address, p.In.Certificates, err = signon.ReadMetadata([]byte(text))
		if err != nil {
			p.In.Entity, p.In.Address, p.In.Certificates, p.Metadata = c.Entity, c.Address, c.Certificates, text
		}
	}
	return p, err
}

func (s *Screens) save(w *ui.Reply, q *ui.Request) error {
	p, err := s.read(q)
	id := ""
	if err == nil {
		id, err = s.on.Save(q.Context(), q.Staff, p.In)
	}
	var many fhir.Issues
	var one *fhir.Issue
	switch {
	case errors.As(err, &many):
		for _, i := range many {
			p.Errors = append(p.Errors, ui.FieldError{Field: i.Path, Words: q.Says(&i)})
		}
		return s.show(w, q, http.StatusUnprocessableEntity, p)
	case errors.As(err, &one) && one.Code != "not-found" && fhir.HTTPStatus(one.Code) < 500:
		p.Errors = []ui.FieldError{{Field: one.Path, Words: q.Says(one)}}
		return s.show(w, q, refused(one), p)
	case err != nil:
		return err
	}
	w.Toast(q.T("signon.saved"), "")
	w.Redirect(q.URL("organisation", id))
	return nil
}

// do is what else an administrator does with a connection.
func (s *Screens) do(w *ui.Reply, q *ui.Request) (err error) {
	ctx, id := q.Context(), q.Path("connection")
	user, _ := strconv.ParseInt(q.Form("user"), 10, 64)
	to := q.URL("organisation", id)
	done := "signon.saved"
	switch q.Form("do") {
	case "on":
		err, done = s.on.Switch(ctx, q.Staff, id, true), "signon.on"
	case "off":
		err, done = s.on.Switch(ctx, q.Staff, id, false), "signon.off"
	case "remove":
		err, done, to = s.on.Remove(ctx, q.Staff, id), "signon.removed", q.URL("organisation")
	case "expect":
		err, done = s.auth.ExpectSignOn(ctx, q.Staff, id, user, q.Form("mail")), "signon.expected"
	case "unlink":
		err, done = s.auth.UnlinkSignOn(ctx, q.Staff, id, user), "signon.unlinked"
	default:
		err = fhir.Problem("value", q.T("error.page"), q.T("error.again"))
	}
	var i *fhir.Issue
	if errors.As(err, &i) && i.Code != "not-found" && fhir.HTTPStatus(i.Code) < 500 {
		c, cerr := s.on.Connection(ctx, q.Staff, id)
		if cerr != nil {
			return cerr
		}
		return s.show(w, q, refused(i), page{In: c, Groups: groupsText(c.Groups), Trouble: q.Says(i)})
	}
	if err != nil {
		return err
	}
	w.Toast(q.T(done), "")
	w.Redirect(to)
	return nil
}
