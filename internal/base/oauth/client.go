package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Kind is how a client proves to be itself at the token endpoint.
type Kind string

// The kinds of clients (SMART App Launch 2.2 §3).
const (
	Public Kind = "public" // cannot keep a secret: PKCE alone
	Secret Kind = "secret" // confidential, with a shared secret
	Keys   Kind = "keys"   // confidential, signs with its own private key (private_key_jwt)
)

// State is whether a client may be used.
type State string

// The states of a client. It becomes usable when an administrator approves it.
const (
	Pending   State = "pending"
	Approved  State = "approved"
	Suspended State = "suspended"
)

// Client is a registered program.
type Client struct {
	ID          string
	Kind        Kind
	State       State
	Name        string          // as people see it when they are asked
	Publisher   string          // who makes it
	Redirects   []string        // addresses that answers are sent to, compared character by character
	LaunchURI   string          // where it is started from a chart; "" if it is not
	Scopes      string          // the most it may ask for
	JWKSURL     string          // where its public keys are, for Kind Keys
	JWKS        json.RawMessage // or the keys themselves
	Trusted     bool            // started from a chart it does not ask staff again: the administrator has decided for them
	Introspects bool            // a resource server: may ask about every token of the practice
	Reason      string          // why it is suspended
	ApprovedBy  string
	Approved    time.Time
	Created     time.Time
	Used        time.Time // last token; zero: never
	Version     int64     // of the registration; approval is for one version

	secret, former   [sha256.Size]byte // the one before works too, until its end
	present, earlier Shared
	scopes           []Scope
}

// Usable says whether the client may take part in anything now.
func (c *Client) Usable() bool { return c.State == Approved }

// Backend says that the client acts by itself: it has no place to send a browser to.
func (c *Client) Backend() bool { return c.Kind == Keys && len(c.Redirects) == 0 }

// Asks gives the scopes the client may ask for, read.
func (c *Client) Asks() []Scope { return c.scopes }

// clientBody is what is sealed in oauth_client.body.
type clientBody struct {
	Kind        Kind            `json:"kind"`
	Name        string          `json:"name"`
	Publisher   string          `json:"publisher,omitempty"`
	Redirects   []string        `json:"redirects,omitempty"`
	LaunchURI   string          `json:"launch,omitempty"`
	Scopes      string          `json:"scopes"`
	JWKSURL     string          `json:"jwksUrl,omitempty"`
	JWKS        json.RawMessage `json:"jwks,omitempty"`
	Trusted     bool            `json:"trusted,omitempty"`
	Introspects bool            `json:"introspects,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	ApprovedBy  string          `json:"approvedBy,omitempty"`
	Approved    time.Time       `json:"approved,omitzero"`
	Since       time.Time       `json:"since,omitzero"` // when the secret was given out
	Former      *formerBody     `json:"former,omitempty"`
}

// Limits of a registration.
const (
	maxName      = 80
	maxRedirects = 20
	maxAddress   = 1000
)

// check reads a registration and says field by field what is wrong with it. Names are made plain: one line, no control or
// direction characters that could make one program look like another.
func (c *Client) check() fhir.Issues {
	var out fhir.Issues
	wrong := func(field, text, fix string) { out = append(out, *fhir.Problem("value", text, fix).At(field)) }
	for field, name := range map[string]*string{"name": &c.Name, "publisher": &c.Publisher} {
		*name = plain(*name)
		if utf8.RuneCountInString(*name) > maxName {
			wrong(field, "This name is too long.", fmt.Sprintf("Use at most %d characters.", maxName))
		}
	}
	if c.Name == "" {
		wrong("name", "The program has no name.", "Give the name people know it by.")
	}
	if c.Kind != Public && c.Kind != Secret && c.Kind != Keys {
		wrong("kind", "This kind of program is not known.", "Choose public, secret or keys.")
	}
	if len(c.Redirects) > maxRedirects {
		wrong("redirects", "There are too many return addresses.", fmt.Sprintf("Give at most %d.", maxRedirects))
	}
	for _, r := range c.Redirects {
		if why := badRedirect(r, c.Kind); why != "" {
			wrong("redirects", fmt.Sprintf("The return address %q cannot be used: %s.", clip(r), why), "Give the exact https address that the program answers at.")
		}
	}
	if len(c.Redirects) == 0 && c.Kind != Keys {
		wrong("redirects", "The program has no return address.", "Give at least one; only programs that act by themselves with keys go without.")
	}
	if c.LaunchURI != "" {
		if u, err := url.Parse(c.LaunchURI); err != nil || !webAddress(u) || u.Fragment != "" || len(c.LaunchURI) > maxAddress {
			wrong("launch", "The launch address cannot be used.", "Give an https address without a fragment.")
		} else if len(c.Redirects) == 0 {
			wrong("launch", "A program that is launched needs a return address too.", "Give its return address.")
		}
	}
	var unknown []string
	c.scopes, unknown = ParseScopes(c.Scopes)
	switch {
	case len(unknown) > 0:
		wrong("scopes", fmt.Sprintf("%q is no scope.", clip(unknown[0])), "Write scopes as in SMART App Launch 2, such as patient/Observation.rs, with spaces between them.")
	case len(c.scopes) == 0:
		wrong("scopes", "The program may ask for nothing.", "Name the scopes it needs.")
	case HasLevel(c.scopes, LevelSystem) && c.Kind != Keys:
		wrong("scopes", "Only a program with keys may act by itself.", "Leave out scopes that begin with system/, or choose a program with keys.")
	case len(c.Redirects) == 0 && (HasLevel(c.scopes, LevelUser) || HasLevel(c.scopes, LevelPatient)):
		wrong("scopes", "A program without a return address acts by itself.", "Use scopes that begin with system/.")
	}
	c.Scopes = JoinScopes(c.scopes)
	if c.Kind == Keys {
		c.checkKeys(wrong)
	} else if c.JWKSURL != "" || len(c.JWKS) > 0 {
		wrong("jwks", "This kind of program signs nothing.", "Leave its keys out, or choose a program with keys.")
	}
	return out
}

func (c *Client) checkKeys(wrong func(field, text, fix string)) {
	switch {
	case c.JWKSURL == "" && len(c.JWKS) == 0:
		wrong("jwks", "The program has no keys.", "Give the address of its key set, or the key set itself.")
	case c.JWKSURL != "" && len(c.JWKS) > 0:
		wrong("jwks", "There are two key sets.", "Give the address or the key set itself.")
	case c.JWKSURL != "":
		if u, err := url.Parse(c.JWKSURL); err != nil || !webAddress(u) || len(c.JWKSURL) > maxAddress {
			wrong("jwks", "The address of the key set cannot be used.", "Give an https address.")
		}
	default:
		if _, err := publicKeys(c.JWKS); err != nil {
			wrong("jwks", "The key set cannot be used.", "Give a JSON Web Key Set with public RSA (2048 bits or more) or P-384 keys only, each with its own kid.")
		}
	}
}

// plain is a name as one line of printable characters.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	return strings.Join(strings.Fields(s), " ")
}

func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// webAddress says whether an address is https, or http on this machine.
func webAddress(u *url.URL) bool {
	return u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// badRedirect says what is wrong with a return address; "" if nothing is. Apart from https only a program on the person's own
// machine is reached: over loopback, or by a scheme of its own in reverse-domain form (RFC 8252 §7.1, §7.3).
func badRedirect(r string, k Kind) string {
	if strings.ContainsFunc(r, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' || c == '*' }) || len(r) > maxAddress {
		return "it has characters that no address has, or is too long"
	}
	u, err := url.Parse(r)
	switch {
	case err != nil || !u.IsAbs():
		return "it is not a whole address"
	case u.Fragment != "" || strings.Contains(r, "#"):
		return "it has a fragment"
	case u.User != nil:
		return "it holds a user or password"
	case webAddress(u):
		return ""
	case u.Scheme == "http":
		return "it is not encrypted"
	case k == Public && strings.Contains(u.Scheme, ".") && u.Opaque == "" && u.Host == "":
		return ""
	}
	return "it is neither https nor a scheme of the program's own"
}

// Returns says whether an address is one that answers may be sent to: exactly a registered one. The one exception is the port of
// a registered http address on 127.0.0.1 or [::1], which a program on the person's machine is given anew each time (RFC 8252 §7.3).
func (c *Client) Returns(to string) bool {
	for _, r := range c.Redirects {
		if r == to {
			return true
		}
		for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
			rest, ok := strings.CutPrefix(r, host)
			given, same := strings.CutPrefix(to, host)
			if ok && same && withoutPort(rest) == withoutPort(given) && given != "" && (rest == "" || strings.ContainsAny(rest[:1], ":/?")) {
				return true
			}
		}
	}
	return false
}

// withoutPort removes ":" and the digits of a port at the beginning of what follows a host.
func withoutPort(s string) string {
	rest, ok := strings.CutPrefix(s, ":")
	if !ok {
		return s
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	if end == 0 || end > 5 {
		return s
	}
	return rest[end:]
}

// Origins gives the origins from which the client's own pages ask.
func (c *Client) Origins() (out []string) {
	for _, r := range append(slices.Clone(c.Redirects), c.LaunchURI) {
		if u, err := url.Parse(r); err == nil && webAddress(u) {
			out = append(out, u.Scheme+"://"+strings.ToLower(u.Host))
		}
	}
	return out
}

// publicKeys reads a key set and refuses whatever a client may not sign with, private keys first of all.
func publicKeys(raw []byte) (jwk.Set, error) {
	if len(raw) > maxKeySet {
		return nil, fmt.Errorf("oauth: the key set has %d bytes", len(raw))
	}
	set, err := jwk.Parse(raw)
	if err != nil {
		return nil, err
	}
	if set.Len() == 0 || set.Len() > 20 {
		return nil, fmt.Errorf("oauth: the key set has %d keys", set.Len())
	}
	seen := map[string]bool{}
	for i := range set.Len() {
		k, _ := set.Key(i)
		if private, err := jwk.IsPrivateKey(k); err != nil || private {
			return nil, fmt.Errorf("oauth: key %d is not a public key", i)
		}
		if kid, ok := k.KeyID(); !ok || kid == "" || seen[kid] {
			return nil, fmt.Errorf("oauth: key %d has no kid of its own", i)
		} else {
			seen[kid] = true
		}
	}
	return set, nil
}

const maxKeySet = 64 << 10

// Register adds a client, to be approved. The secret is returned once, for Kind Secret, and is kept as a hash only. An id may be
// given by Yarrow itself; people get a random one. The error is fhir.Issues that name the fields.
func (s *Server) Register(ctx context.Context, by db.Scope, c Client) (registered Client, secret string, err error) {
	if err := may(by); err != nil {
		return Client{}, "", err
	}
	if issues := c.check(); len(issues) > 0 {
		return Client{}, "", issues
	}
	if _, sys := by.(auth.System); !sys || c.ID == "" {
		var b [16]byte
		rand.Read(b[:])
		c.ID = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
	}
	c.State, c.Reason, c.ApprovedBy, c.Approved, c.Used, c.Version, c.Created = Pending, "", "", time.Time{}, time.Time{}, 1, s.clock.Now()
	if c.Kind == Secret {
		secret = random(prefixSecret)
		c.secret, c.present = digest(secret), Shared{Since: c.Created}
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: c.ID, Detail: "program registered"}
	err = s.change(ctx, by, e, func(tx *db.Tx) error { return insertClient(ctx, tx, &c) })
	return c, secret, err
}

// Approve lets a client be used as it stands at a version of its registration.
func (s *Server) Approve(ctx context.Context, by db.Scope, id string, version int64) error {
	if err := s.auth.RecentIfStaff(by); err != nil {
		return err
	}
	return s.edit(ctx, by, id, "program approved", func(c *Client) error {
		if c.Version != version {
			return fhir.Problem("conflict", "The registration was changed meanwhile.", "Look at it again before you approve it.")
		}
		c.State, c.Reason, c.Approved, c.ApprovedBy = Approved, "", s.clock.Now(), by.Actor().Display
		return nil
	})
}

// Suspend stops a client: none of its tokens opens anything within a second, and it gets no new ones.
func (s *Server) Suspend(ctx context.Context, by db.Scope, id, reason string) error {
	reason = plain(reason)
	if reason == "" || len(reason) > 300 {
		return fhir.Problem("required", "A suspension needs a reason.", "Write in a few words why; it is kept with the program.").At("reason")
	}
	return s.edit(ctx, by, id, "program suspended", func(c *Client) error {
		c.State, c.Reason = Suspended, reason
		return nil
	})
}

// Trust sets whether staff who start the client from a chart are asked again.
func (s *Server) Trust(ctx context.Context, by db.Scope, id string, trusted bool) error {
	if err := s.auth.RecentIfStaff(by); err != nil {
		return err
	}
	return s.edit(ctx, by, id, "trust in a program changed", func(c *Client) error { c.Trusted = trusted; return nil })
}

// Change replaces what a client is: name, addresses, scopes, keys. It has to be approved again: until then its connections open
// nothing, and afterwards only what the new scopes still hold. A Version other than 0 must be the one that stands.
func (s *Server) Change(ctx context.Context, by db.Scope, id string, to Client) error {
	return s.edit(ctx, by, id, "program changed", func(c *Client) error {
		if to.Version != 0 && to.Version != c.Version {
			return fhir.Problem("conflict", "The registration was changed meanwhile.", "Look at it again before you change it.")
		}
		to.Kind = c.Kind
		if issues := to.check(); len(issues) > 0 {
			return issues
		}
		c.Name, c.Publisher, c.Redirects, c.LaunchURI, c.Scopes, c.JWKSURL, c.JWKS = to.Name, to.Publisher, to.Redirects, to.LaunchURI, to.Scopes, to.JWKSURL, to.JWKS
		c.scopes = to.scopes
		c.State, c.Trusted, c.ApprovedBy, c.Approved = Pending, false, "", time.Time{}
		return nil
	})
}

// Remove deletes a client and ends its grants.
func (s *Server) Remove(ctx context.Context, by db.Scope, id string) error {
	if err := may(by); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: id, Detail: "program removed"}
	return s.change(ctx, by, e, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, deleteClient, int64(tx.Practice()), id)
		if err == nil && n == 0 {
			err = noSuchClient()
		}
		if err == nil {
			_, err = tx.Exec(ctx, endClientGrants, int64(tx.Practice()), id, "the program was removed")
		}
		return err
	})
}

// edit changes one client on record.
func (s *Server) edit(ctx context.Context, by db.Scope, id, what string, change func(*Client) error) error {
	if err := may(by); err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: id, Detail: what}
	return s.change(ctx, by, e, func(tx *db.Tx) error {
		c, err := lockClient(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := change(&c); err != nil {
			return err
		}
		return updateClientRow(ctx, tx, &c)
	})
}

func noSuchClient() *fhir.Issue {
	return fhir.Problem("not-found", "There is no such program.", "Choose from the list of programs.")
}

// clientList is the clients of a practice as they were read.
type clientList struct {
	all  []*Client
	read time.Time
}

// Clients lists the clients of a practice by name. They are shared: do not change them.
func (s *Server) Clients(ctx context.Context, p db.PracticeID) ([]*Client, error) {
	s.mu.Lock()
	known, ok := s.clients[p]
	s.mu.Unlock()
	if ok && s.fresh(known.read) {
		return known.all, nil
	}
	return s.readClients(ctx, p)
}

func (s *Server) readClients(ctx context.Context, p db.PracticeID) ([]*Client, error) {
	s.mu.Lock()
	forgets := s.forgets
	s.mu.Unlock()
	known := clientList{read: s.clock.Now()}
	err := s.db.View(ctx, work(p), func(tx *db.Tx) error {
		var err error
		known.all, err = loadClients(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(known.all, func(a, b *Client) int {
		if n := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgets == forgets {
		s.clients[p] = known
	}
	return known.all, nil
}

// Client finds a client by its id; an Issue of code "not-found" when there is none. What is remembered never decides that a program is
// not there or stopped: another process may have registered it, or let it in again, a moment ago.
func (s *Server) Client(ctx context.Context, p db.PracticeID, id string) (*Client, error) {
	all, err := s.Clients(ctx, p)
	if c := named(all, id); c != nil && c.Usable() {
		return c, nil
	}
	if err == nil {
		all, err = s.readClients(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	if c := named(all, id); c != nil {
		return c, nil
	}
	return nil, noSuchClient()
}

func named(all []*Client, id string) *Client {
	if i := slices.IndexFunc(all, func(c *Client) bool { return c.ID == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// Launchable lists the clients that can be started from a chart.
func (s *Server) Launchable(ctx context.Context, p db.PracticeID) (out []*Client, err error) {
	all, err := s.Clients(ctx, p)
	for _, c := range all {
		if c.Usable() && c.LaunchURI != "" {
			out = append(out, c)
		}
	}
	return out, err
}
