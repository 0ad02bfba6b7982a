package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// How long a person may take to sign in and answer, and how long a code is good for.
const (
	askLasts  = 15 * time.Minute
	codeLasts = time.Minute
)

// Refusal is an authorization request that is answered with an error at the client's registered address (RFC 6749 §4.1.2.1).
type Refusal struct {
	Code string // the OAuth error code
	To   string // where the browser goes
}

func (r *Refusal) Error() string { return "oauth: " + r.Code }

// ask is an authorization request that waits for a person's answer.
type ask struct {
	Client    string    `json:"client"`
	Version   int64     `json:"version"` // of the client's registration
	Redirect  string    `json:"redirect"`
	State     string    `json:"state"`
	Challenge string    `json:"challenge"`
	Nonce     string    `json:"nonce,omitempty"`
	Scopes    string    `json:"scopes"`
	Silent    bool      `json:"silent,omitempty"` // prompt=none: answer without asking, or not at all
	Again     bool      `json:"again,omitempty"`  // prompt=consent: ask also when it need not be
	Launch    *launched `json:"launch,omitempty"`
	Browser   []byte    `json:"browser"` // SHA-256 of what the browser that began holds
}

// Begun is an authorization request that was accepted: the screen at which a person answers it is named by ID, and only the browser
// that holds Browser may show it.
type Begun struct{ ID, Browser string }

// The parameters of an authorization request that must not be given twice (RFC 6749 §3.1).
var askParams = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "code_challenge", "code_challenge_method",
	"aud", "resource", "launch", "nonce", "prompt", "request", "request_uri"}

// Begin checks an authorization request. Errors: *[Refusal], to be sent to the client; otherwise an Issue for the person in front of
// the screen, when client or return address are wrong: then no address is trusted.
func (s *Server) Begin(ctx context.Context, p auth.Practice, v url.Values) (Begun, error) {
	if !s.paced(p.ID) {
		return Begun{}, fhir.Problem("throttled", "Too many programs ask for access at this moment.", "Try again in a few seconds.")
	}
	c, err := s.askingClient(ctx, p, v)
	if err != nil {
		return Begun{}, err
	}
	a := ask{Client: c.ID, Version: c.Version, Redirect: v.Get("redirect_uri"), State: v.Get("state"), Challenge: v.Get("code_challenge"), Nonce: v.Get("nonce")}
	refuse := func(code, why string) (Begun, error) { return Begun{}, s.refusal(p, a, code, why) }
	for _, name := range askParams {
		if len(v[name]) > 1 {
			return refuse("invalid_request", name+" is given twice")
		}
	}
	if len(a.State) < 8 || len(a.State) > 1024 || strings.ContainsFunc(a.State, func(r rune) bool { return r < ' ' || r > '~' }) {
		if len(a.State) > 1024 {
			a.State = ""
		}
		return refuse("invalid_request", "state is required, with 8 to 1024 printable characters")
	}
	switch {
	case v.Get("request") != "":
		return refuse("request_not_supported", "request objects are not supported")
	case v.Get("request_uri") != "":
		return refuse("request_uri_not_supported", "request objects are not supported")
	case v.Get("response_type") == "":
		return refuse("invalid_request", "response_type is required")
	case v.Get("response_type") != "code":
		return refuse("unsupported_response_type", "only response_type=code is supported")
	case v.Get("response_mode") != "" && v.Get("response_mode") != "query":
		return refuse("invalid_request", "only response_mode=query is supported")
	case v.Get("code_challenge_method") != "S256" || !challenge(a.Challenge):
		return refuse("invalid_request", "PKCE with code_challenge_method=S256 is required")
	case !s.audience(p, v.Get("aud")):
		return refuse("invalid_request", "aud must be "+s.FHIRBase(p))
	case v.Get("resource") != "" && !s.audience(p, v.Get("resource")):
		return refuse("invalid_target", "resource must be "+s.FHIRBase(p))
	case len(a.Nonce) > 512:
		return refuse("invalid_request", "nonce is too long")
	}
	asked, _ := ParseScopes(v.Get("scope"))
	asked = slices.DeleteFunc(asked, func(s Scope) bool { return s.Level == LevelSystem })
	asked = Limit(asked, c.Asks())
	if len(asked) == 0 {
		return refuse("invalid_scope", "none of these scopes is known and allowed for this client")
	}
	switch v.Get("prompt") {
	case "":
	case "none":
		a.Silent = true
	case "consent":
		a.Again = true
	default:
		return refuse("invalid_request", "prompt may be none or consent")
	}
	switch token := v.Get("launch"); {
	case token == "" && Has(asked, ScopeLaunch):
		// An app that asks for both ways of starting was not started from a chart.
		asked = slices.DeleteFunc(asked, func(s Scope) bool { return s.Text == ScopeLaunch })
		if !HasLevel(asked, LevelUser) && !Has(asked, ScopeLaunchPatient) {
			return refuse("invalid_request", "the scope launch needs the launch parameter")
		}
	case token != "":
		if !Has(asked, ScopeLaunch) {
			return refuse("invalid_scope", "the launch parameter needs the scope launch")
		}
		if a.Launch, err = s.takeLaunch(ctx, p, c.ID, token); err != nil {
			return Begun{}, err
		} else if a.Launch == nil {
			return refuse("invalid_request", "this launch was used, has expired or is another program's")
		}
	}
	if HasLevel(asked, LevelPatient) && a.Launch == nil && !Has(asked, ScopeLaunchPatient) {
		asked = append(asked, Scope{Text: ScopeLaunchPatient}) // patient scopes are about somebody: ask who
	}
	a.Scopes = JoinScopes(asked)
	id, browser := random(prefixAsk), random("")
	held := digest(browser)
	a.Browser = held[:]
	err = s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		tx.Queue(sweepAsks, int64(p.ID), tx.NowMicro()) // anybody may ask: what nobody answered does not pile up
		return insertAsk(ctx, tx, id, a)
	})
	return Begun{id, browser}, err
}

// asksAtOnce is how many requests a practice takes within a second on one node. Anybody can send them, and each is a row.
const asksAtOnce = 50

// paced says whether there is room for one more request in this second.
func (s *Server) paced(p db.PracticeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now().Unix()
	if s.second != now {
		s.second = now
		clear(s.asks)
	}
	s.asks[p]++
	return s.asks[p] <= asksAtOnce
}

// askingClient finds the client and says whether its answers may go to the address it names.
func (s *Server) askingClient(ctx context.Context, p auth.Practice, v url.Values) (*Client, error) {
	unknown := func() error {
		return fhir.Problem("value", "The program that sent you here is not registered with this practice.", "Start it again from where you got it. If that does not help, ask its makers.")
	}
	if len(v["client_id"]) != 1 || len(v["redirect_uri"]) != 1 {
		return nil, unknown()
	}
	c, err := s.Client(ctx, p.ID, v.Get("client_id"))
	var i *fhir.Issue
	switch {
	case errors.As(err, &i) && i.Code == "not-found":
		return nil, unknown()
	case err != nil:
		return nil, err
	case !c.Returns(v.Get("redirect_uri")):
		return nil, fhir.Problem("value", "The program that sent you here wants the answer at an address that is not registered for it.", "Nothing was sent there. Ask the makers of the program; they have to register the address.")
	case c.State == Pending:
		return nil, fhir.Problem("forbidden", "This program was not approved by the practice yet.", "Ask an administrator of the practice.")
	case !c.Usable():
		return nil, fhir.Problem("forbidden", "The practice has stopped this program.", "Ask an administrator of the practice.")
	}
	return c, nil
}

// challenge says whether a text can be the SHA-256 of a verifier in base64url.
func challenge(t string) bool {
	return len(t) == 43 && !strings.ContainsFunc(t, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// audience says whether an aud names the practice's FHIR API; a slash at its end makes no difference.
func (s *Server) audience(p auth.Practice, aud string) bool {
	return strings.TrimSuffix(aud, "/") == s.FHIRBase(p)
}

// refusal builds the answer with an error. The issuer stands in it, so that a client that talks to several servers knows whose
// answer it is (RFC 9207).
func (s *Server) refusal(p auth.Practice, a ask, code, why string) *Refusal {
	v := url.Values{"error": {code}, "iss": {s.Issuer(p)}}
	if why != "" {
		v.Set("error_description", why)
	}
	if a.State != "" {
		v.Set("state", a.State)
	}
	return &Refusal{Code: code, To: answerAt(a.Redirect, v)}
}

// answerAt adds the answer to a return address, which may have a query of its own.
func answerAt(redirect string, v url.Values) string {
	sep := "?"
	if strings.Contains(redirect, "?") {
		sep = "&"
	}
	return redirect + sep + v.Encode()
}

// expired is the answer to a request that is not there any more, was answered, or belongs to another browser.
func expired() *fhir.Issue {
	return fhir.Problem("not-found", "This request to connect a program has ended.", "Start the program again. A request is good for a quarter of an hour, in the browser that began it, and is answered once.")
}

// open reads a request for the browser that began it.
func (s *Server) open(ctx context.Context, p auth.Practice, id, browser string) (ask, *Client, error) {
	var a ask
	err := s.db.View(ctx, work(p.ID), func(tx *db.Tx) error {
		var err error
		a, err = loadAsk(ctx, tx, id)
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return a, nil, expired()
	}
	if err != nil {
		return a, nil, err
	}
	held := digest(browser)
	if subtle.ConstantTimeCompare(held[:], a.Browser) != 1 {
		return a, nil, expired()
	}
	c, err := s.Client(ctx, p.ID, a.Client)
	if err != nil || !c.Usable() || c.Version != a.Version && !c.Returns(a.Redirect) {
		return a, nil, expired().Because(err)
	}
	return a, c, nil
}
