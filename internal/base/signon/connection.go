package signon

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base32"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

// Options are what the package stands on.
type Options struct {
	DB     *db.DB
	Auth   *auth.Auth
	Audit  *audit.Log
	Egress *egress.Client
	Base   string // address that people use, without a slash at its end: "https://ehr.example.org"
	Log    *slog.Logger
}

// SignOn is the sign-on of all practices. It is safe for concurrent use.
type SignOn struct {
	db     *db.DB
	auth   *auth.Auth
	audit  *audit.Log
	egress *egress.Client
	clock  *clock.Clock
	base   string
	log    *slog.Logger

	mu        sync.Mutex
	providers map[string]provider // OpenID providers by issuer
	known     map[db.PracticeID]heldConnections
	asks      map[db.PracticeID]int // people sent away in the second that runs
	second    int64
}

// New returns the sign-on.
func New(o Options) *SignOn {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &SignOn{db: o.DB, auth: o.Auth, audit: o.Audit, egress: o.Egress, clock: o.DB.Clock(), base: strings.TrimRight(o.Base, "/"), log: o.Log,
		providers: map[string]provider{}, known: map[db.PracticeID]heldConnections{}, asks: map[db.PracticeID]int{}}
}

// Kind is the protocol of a connection.
type Kind string

// The protocols.
const (
	OIDC Kind = "oidc"
	SAML Kind = "saml"
)

// Mapped says what membership of a provider's group stands for.
type Mapped struct {
	Group string      `json:"group"`
	Roles []auth.Role `json:"roles"`
}

// Connection is one identity provider of a practice.
type Connection struct {
	ID      string    `json:"-"`
	Created time.Time `json:"-"`

	Kind    Kind   `json:"kind"`
	Name    string `json:"name"` // as the button says it
	Enabled bool   `json:"enabled"`

	// Domains are those whose mail addresses this provider is believed about. A person is found by such an address once; after
	// that only the provider's own name of them counts.
	Domains   []string `json:"domains"`
	TrustMail bool     `json:"trustMail,omitempty"` // OpenID Connect: also addresses it does not call verified

	// OpenID Connect.
	Issuer   string `json:"issuer,omitempty"`
	ClientID string `json:"clientId,omitempty"`
	Secret   string `json:"secret,omitempty"` // "" for a public client

	// SAML.
	Entity        string `json:"entity,omitempty"`        // the provider's name
	Address       string `json:"address,omitempty"`       // where its sign-in is (HTTP-Redirect)
	Certificates  string `json:"certificates,omitempty"`  // PEM, those it signs with
	MailAttribute string `json:"mailAttribute,omitempty"` // "": the usual ones

	GroupsFrom   string   `json:"groupsFrom,omitempty"`   // claim or attribute; "": "groups"
	TrustFactors bool     `json:"trustFactors,omitempty"` // an administrator says that the provider always asks for two factors
	Contexts     []string `json:"contexts,omitempty"`     // acr or AuthnContextClassRef that mean two factors, beside the known ones
	Groups       []Mapped `json:"groups,omitempty"`       // not empty: roles follow the groups
	Create       bool     `json:"create,omitempty"`       // somebody whom the groups give a role is added

	Test    *Told    `json:"test,omitempty"`
	Trouble *Trouble `json:"trouble,omitempty"`
}

// Told is what a provider said in a test.
type Told struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Subject string    `json:"subject"`
	Mail    string    `json:"mail"`     // as it was said
	Believe bool      `json:"believed"` // and whether it counts
	Factors bool      `json:"factors"`
	Context string    `json:"context"` // what it said about how the person signed in
	Groups  []string  `json:"groups"`
	Roles   []string  `json:"roles"`
}

// Trouble is why the last answer of a provider was refused, for whoever looks after the connection.
type Trouble struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Tested says that a test went through since the connection was changed.
func (c *Connection) Tested() bool { return c.Test != nil }

// Way is a connection as the sign-in page offers it.
type Way struct{ ID, Name string }

const (
	maxConnections = 10
	maxText        = 1000
)

var hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

// check reads a connection and says field by field what is wrong with it. roles are those that people of the practice can be given.
func (c *Connection) check(roles []auth.Role) fhir.Issues {
	var out fhir.Issues
	wrong := func(field, text, fix string) { out = append(out, *fhir.Problem("value", text, fix).At(field)) }
	c.Name = plain(c.Name)
	if c.Name == "" || len([]rune(c.Name)) > 60 {
		wrong("name", "The connection has no name, or too long a one.", "Write in at most 60 characters what people call their organisation's sign-in.")
	}
	for i, d := range c.Domains {
		c.Domains[i] = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(d)), "@")
		if !hostForm.MatchString(c.Domains[i]) {
			wrong("domains", fmt.Sprintf("%q is no domain of mail addresses.", clip(d)), "Write what follows the @, such as example.org.")
		}
	}
	if len(c.Domains) == 0 || len(c.Domains) > 50 {
		wrong("domains", "No domain of mail addresses is named.", "Name those that belong to the organisation: only with them is anybody recognised the first time.")
	}
	switch c.Kind {
	case OIDC:
		if u, err := url.Parse(c.Issuer); err != nil || !webAddress(u) || u.RawQuery != "" || u.Fragment != "" || len(c.Issuer) > maxText {
			wrong("issuer", "The issuer is no https address.", "Copy it from the provider; it has a page /.well-known/openid-configuration beneath.")
		}
		if c.ClientID == "" || len(c.ClientID) > maxText {
			wrong("client", "The client id is missing.", "Register this practice at the provider, and copy the client id from there.")
		}
	case SAML:
		if c.Entity == "" || len(c.Entity) > maxText {
			wrong("entity", "The provider's entity ID is missing.", "Copy it from the provider, or paste its metadata.")
		}
		if u, err := url.Parse(c.Address); err != nil || !webAddress(u) || u.Fragment != "" || len(c.Address) > maxText {
			wrong("address", "The address of the provider's sign-in is no https address.", "Copy the address for HTTP-Redirect from the provider, or paste its metadata.")
		}
		if _, err := certificates(c.Certificates); err != nil {
			wrong("certificates", "The certificates cannot be used.", "Paste one to five certificates in PEM, with RSA keys of 2048 bits or more.")
		}
	default:
		wrong("kind", "This kind of connection is not known.", "Choose OpenID Connect or SAML.")
	}
	for i := range c.Groups {
		c.Groups[i].Group = strings.TrimSpace(c.Groups[i].Group)
		if g := c.Groups[i]; g.Group == "" || len(g.Group) > 200 || len(g.Roles) == 0 || slices.ContainsFunc(g.Roles, func(r auth.Role) bool { return !slices.Contains(roles, r) }) {
			wrong("groups", "A group needs a name and at least one role.", "Write one group a line: its name, an equals sign, and the roles.")
		}
	}
	if c.Create && len(c.Groups) == 0 {
		wrong("groups", "People cannot be added without groups that give them a role.", "Say what the provider's groups stand for, or add people by invitation.")
	}
	if len(c.Groups) > 100 || len(c.Contexts) > 20 || len(c.GroupsFrom) > 200 || len(c.MailAttribute) > 200 || len(c.Secret) > maxText {
		wrong("groups", "This is more than a connection may hold.", "Shorten it.")
	}
	return out
}

// plain is a name as one line of printable characters.
func plain(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))), " ")
}

func clip(s string) string { return clipTo(s, 120) }

func clipTo(s string, n int) string {
	if r := []rune(plain(s)); len(r) > n {
		return string(r[:n]) + "…"
	}
	return plain(s)
}

// webAddress says whether an address is https, or http on this machine.
func webAddress(u *url.URL) bool {
	if u == nil || u.Host == "" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && ip.IsLoopback())
}

// certificates reads the certificates that a provider signs with.
func certificates(text string) (out []*x509.Certificate, err error) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("signon: a %s is no certificate", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); !ok || !strongKey(k) {
			return nil, fmt.Errorf("signon: a certificate's key is too weak or of another kind than RSA")
		}
		out = append(out, c)
	}
	if len(out) == 0 || len(out) > 5 {
		return nil, fmt.Errorf("signon: %d certificates", len(out))
	}
	return out, nil
}

// believes says whether the connection is believed about an address.
func (c *Connection) believes(mail string) bool {
	at := strings.LastIndexByte(mail, '@')
	return at > 0 && slices.Contains(c.Domains, strings.ToLower(mail[at+1:]))
}

// roles are what the groups somebody is in stand for.
func (c *Connection) roles(groups []string) (out []auth.Role) {
	for _, m := range c.Groups {
		if slices.Contains(groups, m.Group) {
			for _, r := range m.Roles {
				if !slices.Contains(out, r) {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// may says whether a scope may look after the practice's connections.
func may(by db.Scope) error {
	if !auth.Allowed(by, auth.PracticeAdmin) {
		return fhir.Problem("forbidden", "Only an administrator of the practice decides how people sign in.", "Ask an administrator.")
	}
	return nil
}

// work is the scope of the package's own reading and writing.
func work(p db.PracticeID) auth.System { return auth.SystemScope(p, "sign-on") }

// Ways gives the connections that the sign-in page offers, by name.
func (s *SignOn) Ways(ctx context.Context, p db.PracticeID) (out []Way, err error) {
	all, err := s.connections(ctx, p)
	for _, c := range all {
		if c.Enabled {
			out = append(out, Way{c.ID, c.Name})
		}
	}
	return out, err
}

// heldConnections is the connections of a practice as they were read.
type heldConnections struct {
	all  []*Connection
	read time.Time
}

// connections lists the connections of a practice by name, at most a second old. They are shared.
func (s *SignOn) connections(ctx context.Context, p db.PracticeID) ([]*Connection, error) {
	s.mu.Lock()
	held, ok := s.known[p]
	s.mu.Unlock()
	if age := s.clock.Since(held.read); ok && age >= 0 && age < time.Second {
		return held.all, nil
	}
	return s.reread(ctx, p)
}

func (s *SignOn) reread(ctx context.Context, p db.PracticeID) ([]*Connection, error) {
	held := heldConnections{read: s.clock.Now()}
	err := s.db.View(ctx, work(p), func(tx *db.Tx) (err error) {
		held.all, err = loadConnections(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(held.all, func(a, b *Connection) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[p] = held
	return held.all, nil
}

// Connections lists the connections of the caller's practice, without secrets.
func (s *SignOn) Connections(ctx context.Context, by db.Scope) (out []Connection, err error) {
	if err := may(by); err != nil {
		return nil, err
	}
	all, err := s.reread(ctx, by.Practice())
	for _, c := range all {
		shown := *c
		if shown.Secret != "" {
			shown.Secret = SecretKept
		}
		out = append(out, shown)
	}
	return out, err
}

// SecretKept stands for a secret that is kept and not shown; saved as it is, it changes nothing.
const SecretKept = "••••••••"

// Connection gives one connection, without its secret.
func (s *SignOn) Connection(ctx context.Context, by db.Scope, id string) (Connection, error) {
	all, err := s.Connections(ctx, by)
	if err != nil {
		return Connection{}, err
	}
	if i := slices.IndexFunc(all, func(c Connection) bool { return c.ID == id }); i >= 0 {
		return all[i], nil
	}
	return Connection{}, noSuchConnection()
}

func noSuchConnection() *fhir.Issue {
	return fhir.Problem("not-found", "There is no such connection.", "Choose from the list.")
}

// one gives a connection for use.
func (s *SignOn) one(ctx context.Context, p db.PracticeID, id string) (*Connection, error) {
	all, err := s.connections(ctx, p)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(c *Connection) bool { return c.ID == id }); i >= 0 {
		return all[i], nil
	}
	return nil, noSuchConnection()
}

// Save stores a connection, a new one when it has no ID, and returns its ID. It needs a recent proof. What tests told is forgotten,
// except when only the switch was turned. The error may be fhir.Issues that name fields.
func (s *SignOn) Save(ctx context.Context, by db.Scope, c Connection) (id string, err error) {
	if err := may(by); err != nil {
		return "", err
	}
	if err := s.auth.RecentIfStaff(by); err != nil {
		return "", err
	}
	roles, err := s.auth.RolesIn(ctx, by.Practice())
	if err != nil {
		return "", err
	}
	if issues := c.check(roles); len(issues) > 0 {
		return "", issues
	}
	c.Test, c.Trouble = nil, nil
	what := "sign-on changed"
	err = s.change(ctx, by, &c, &what, func(tx *db.Tx) error {
		all, err := loadConnections(ctx, tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(o *Connection) bool { return o.ID == c.ID })
		switch {
		case c.ID == "" && len(all) >= maxConnections:
			return fhir.Problem("business-rule", "A practice has at most ten connections.", "Remove one first.")
		case c.ID == "":
			c.ID, what = newID(), "sign-on added"
			if c.Secret == SecretKept {
				c.Secret = ""
			}
			return insertConnection(ctx, tx, &c)
		case i < 0:
			return noSuchConnection()
		}
		old := all[i]
		if c.Secret == SecretKept {
			c.Secret = old.Secret
		}
		if c.Kind != old.Kind {
			return fhir.Problem("business-rule", "The protocol of a connection cannot be changed.", "Add another connection, and remove this one.").At("kind")
		}
		// A subject is a person's name at one provider: at another one the same name may be somebody else's.
		if c.Issuer != old.Issuer || c.Entity != old.Entity {
			return fhir.Problem("business-rule", "The provider of a connection cannot be changed, since people are linked to it.", "Add another connection, and remove this one.").At(map[Kind]string{OIDC: "issuer", SAML: "entity"}[c.Kind])
		}
		return updateConnection(ctx, tx, &c)
	})
	return c.ID, err
}

// change makes a change on record.
func (s *SignOn) change(ctx context.Context, by db.Scope, c *Connection, what *string, fn func(tx *db.Tx) error) error {
	defer s.forget(by.Practice())
	return s.db.Do(ctx, by, func(tx *db.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		s.audit.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "SignOn", ID: c.ID, Detail: *what})
		return nil
	})
}

func (s *SignOn) forget(p db.PracticeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, p)
}

// Switch turns a connection on or off. Off ends the sessions that came through a provider.
func (s *SignOn) Switch(ctx context.Context, by db.Scope, id string, on bool) error {
	if err := may(by); err != nil {
		return err
	}
	if err := s.auth.RecentIfStaff(by); err != nil {
		return err
	}
	if err := s.keepsWay(ctx, by, id, on); err != nil {
		return err
	}
	what := map[bool]string{true: "sign-on switched on", false: "sign-on switched off"}[on]
	err := s.change(ctx, by, &Connection{ID: id}, &what, func(tx *db.Tx) error {
		return edit(ctx, tx, id, func(c *Connection) { c.Enabled = on })
	})
	if err != nil || on {
		return err
	}
	return s.auth.EndSignOn(ctx, by, id, false)
}

// keepsWay refuses to take away the last connection while people may sign in nowhere else.
func (s *SignOn) keepsWay(ctx context.Context, by db.Scope, without string, on bool) error {
	p, err := s.auth.PracticeByID(ctx, by.Practice())
	if err != nil || on || !p.SignOn.Only {
		return err
	}
	ways, err := s.Ways(ctx, p.ID)
	if err == nil && !slices.ContainsFunc(ways, func(w Way) bool { return w.ID != without }) {
		err = fhir.Problem("business-rule", "People may sign in through this connection only.", "Let them sign in with credentials of their own first.")
	}
	return err
}

// Remove deletes a connection, who is linked to it, and the sessions that came through a provider.
func (s *SignOn) Remove(ctx context.Context, by db.Scope, id string) error {
	if err := may(by); err != nil {
		return err
	}
	if err := s.auth.RecentIfStaff(by); err != nil {
		return err
	}
	if err := s.keepsWay(ctx, by, id, false); err != nil {
		return err
	}
	what := "sign-on removed"
	err := s.change(ctx, by, &Connection{ID: id}, &what, func(tx *db.Tx) error { return deleteConnection(ctx, tx, id) })
	if err != nil {
		return err
	}
	return s.auth.EndSignOn(ctx, by, id, true)
}

// note keeps on a connection what a test told, or why an answer was refused.
func (s *SignOn) note(ctx context.Context, p db.PracticeID, id string, change func(*Connection)) error {
	defer s.forget(p)
	return s.db.Do(ctx, work(p), func(tx *db.Tx) error { return edit(ctx, tx, id, change) })
}

func newID() string {
	b := make([]byte, 10)
	rand.Read(b)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
