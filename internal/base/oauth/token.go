package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// How long access tokens last: short for staff, whose reach is wide, longer for a patient's own record and for programs that act by
// themselves, which ask for another one without a person.
const (
	staffToken   = 15 * time.Minute
	patientToken = time.Hour
	systemToken  = 15 * time.Minute
	longestToken = time.Hour
)

// oauthError is an answer of the token endpoint that is no token (RFC 6749 §5.2).
type oauthError struct {
	status int
	code   string
	why    string
}

func (e *oauthError) Error() string { return "oauth: " + e.code + ": " + e.why }

func invalidRequest(why string) error {
	return &oauthError{http.StatusBadRequest, "invalid_request", why}
}

// invalidClient and invalidGrant say nothing about what exactly was wrong: whoever guesses learns nothing from them.
func invalidClient() error {
	return &oauthError{http.StatusUnauthorized, "invalid_client", "the client did not prove to be itself"}
}

func invalidGrant() error {
	return &oauthError{http.StatusBadRequest, "invalid_grant", "this code or token is not valid, was used already, or is not this client's"}
}

// credentials is what came with a request to an endpoint for clients.
type credentials struct {
	form            url.Values
	basicID, secret string
	basic           bool
}

// identify finds the client that asks, after it proved to be itself in the one way that is registered for it.
func (s *Server) identify(ctx context.Context, p auth.Practice, cr credentials) (*Client, error) {
	f := cr.form
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if len(f[name]) > 1 {
			return nil, invalidRequest(name + " is given twice")
		}
	}
	ways := 0
	for _, used := range []bool{cr.basic, f.Has("client_secret"), f.Has("client_assertion")} {
		if used {
			ways++
		}
	}
	if ways > 1 {
		return nil, invalidRequest("the client proves to be itself in several ways at once")
	}
	if f.Has("client_assertion") {
		c, err := s.proveKeys(ctx, p, f)
		if err == nil && c == nil {
			err = invalidClient()
		}
		return c, err
	}
	id, secret, kind := f.Get("client_id"), f.Get("client_secret"), Public
	if cr.basic {
		if id != "" && id != cr.basicID {
			return nil, invalidRequest("two clients are named")
		}
		id, secret = cr.basicID, cr.secret
	}
	if ways == 1 {
		kind = Secret
	}
	c, err := s.Client(ctx, p.ID, id)
	if err = notFoundIsNil(err); err != nil {
		return nil, err
	}
	if c == nil {
		c = &Client{}
	}
	which, same := c.opens(secret, s.clock.Now())
	if c.Kind != kind || !c.Usable() || kind == Secret && !same {
		return nil, invalidClient()
	}
	if kind == Secret {
		err = s.noteSecret(ctx, p.ID, c, which)
	}
	return c, err
}

// bearer finds the client of a refresh token that came without a client_id. SMART App Launch asks for none when a token is refreshed
// (2.2.0, "Refresh access token"), and a public client cannot prove anything with it; whoever has a key or secret must use it.
func (s *Server) bearer(ctx context.Context, p auth.Practice, text string) (*Client, error) {
	var g grant
	err := s.db.View(ctx, work(p.ID), func(tx *db.Tx) (err error) {
		_, g, _, err = tokenAndGrant(ctx, tx, kindRefresh, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := s.Client(ctx, p.ID, g.client)
	if err = notFoundIsNil(err); err != nil {
		return nil, err
	}
	if c == nil || c.Kind != Public || !c.Usable() {
		return nil, invalidClient()
	}
	return c, nil
}

// exchange answers the token endpoint.
func (s *Server) exchange(ctx context.Context, p auth.Practice, cr credentials) (map[string]any, error) {
	f := cr.form
	for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope"} {
		if len(f[name]) > 1 {
			return nil, invalidRequest(name + " is given twice")
		}
	}
	switch f.Get("grant_type") {
	case "authorization_code", "refresh_token", "client_credentials":
	case "":
		return nil, invalidRequest("grant_type is required")
	default:
		return nil, &oauthError{http.StatusBadRequest, "unsupported_grant_type", "authorization_code, refresh_token and client_credentials are supported"}
	}
	var c *Client
	var err error
	if f.Get("grant_type") == "refresh_token" && !cr.basic && !f.Has("client_id") && !f.Has("client_secret") && !f.Has("client_assertion") {
		c, err = s.bearer(ctx, p, f.Get("refresh_token"))
	} else {
		c, err = s.identify(ctx, p, cr)
	}
	if err != nil {
		return nil, err
	}
	switch f.Get("grant_type") {
	case "authorization_code":
		return s.redeem(ctx, p, c, f)
	case "refresh_token":
		return s.refresh(ctx, p, c, f)
	}
	return s.backend(ctx, p, c, f.Get("scope"))
}

// redeem turns a code into tokens. A code is burnt by any attempt, and used twice it ends all that came of it.
func (s *Server) redeem(ctx context.Context, p auth.Practice, c *Client, f url.Values) (map[string]any, error) {
	var t token
	var g grant
	var ok bool
	err := s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		var once bool
		var err error
		ok = false
		t, once, err = spend(ctx, tx, kindCode, f.Get("code"))
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if g, err = loadGrant(ctx, tx, t.grant); err != nil {
			return err
		}
		now := tx.NowMicro()
		switch {
		case !once:
			s.audit.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: c.ID, Outcome: audit.OutcomeRefused, Detail: "a code was used twice; its tokens are void"})
			return finishGrant(ctx, tx, g.id, "its code was used twice")
		case t.expires <= now || g.ended != "" || g.client != c.ID || t.Redirect != f.Get("redirect_uri") || !verified(t.Challenge, f.Get("code_verifier")):
			return finishGrant(ctx, tx, g.id, "its code was refused")
		}
		ok = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		s.forget(p.ID)
		return nil, invalidGrant()
	}
	if _, ok, err = s.stands(ctx, p, &g); err != nil || !ok {
		return nil, firstError(err, invalidGrant())
	}
	scopes, _ := ParseScopes(g.Scopes)
	return s.issue(ctx, p, c, &g, scopes, true)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// verified compares a verifier with the challenge (RFC 7636 §4.6).
func verified(challenge, verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// refresh turns a refresh token into new tokens. Each is good for one use; one that is used again ends its whole family, since
// either the one or the other user has stolen it.
func (s *Server) refresh(ctx context.Context, p auth.Practice, c *Client, f url.Values) (map[string]any, error) {
	text := f.Get("refresh_token")
	var g grant
	var t token
	var ok bool
	err := s.db.View(ctx, work(p.ID), func(tx *db.Tx) error {
		var err error
		t, g, ok, err = tokenAndGrant(ctx, tx, kindRefresh, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	if t.spent != 0 && g.client == c.ID {
		err = s.change(ctx, work(p.ID), audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: c.ID, Outcome: audit.OutcomeRefused,
			Detail: "a refresh token was used twice; its tokens are void"}, func(tx *db.Tx) error {
			return finishGrant(ctx, tx, g.id, "a refresh token was used twice")
		})
		return nil, firstError(err, invalidGrant())
	}
	if !ok || g.client != c.ID {
		return nil, invalidGrant()
	}
	granted, _ := ParseScopes(g.Scopes)
	scopes := granted
	if f.Get("scope") != "" {
		asked, unknown := ParseScopes(f.Get("scope"))
		more := slices.ContainsFunc(asked, func(a Scope) bool {
			return !slices.ContainsFunc(granted, func(g Scope) bool { return g.Covers(a) })
		})
		if len(unknown) > 0 || more || len(asked) == 0 {
			return nil, &oauthError{http.StatusBadRequest, "invalid_scope", "a refreshed token has the scopes that were granted, or fewer"}
		}
		scopes = asked
	}
	if _, ok, err = s.stands(ctx, p, &g); err != nil || !ok {
		return nil, firstError(err, invalidGrant())
	}
	once := false
	err = s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		var err error
		if _, once, err = spend(ctx, tx, kindRefresh, text); err == nil && !once {
			err = finishGrant(ctx, tx, g.id, "a refresh token was used twice")
		}
		return err
	})
	if err == nil && !once {
		s.forget(p.ID)
		err = invalidGrant()
	}
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, p, c, &g, scopes, false)
}

// backend gives a program that acts by itself its token (SMART Backend Services).
func (s *Server) backend(ctx context.Context, p auth.Practice, c *Client, scope string) (map[string]any, error) {
	if c.Kind != Keys {
		return nil, &oauthError{http.StatusBadRequest, "unauthorized_client", "client_credentials is for clients that sign with their own key"}
	}
	asked, _ := ParseScopes(scope)
	granted := Limit(asked, c.Asks())
	system := granted[:0:0]
	for _, g := range granted {
		if g.Level == LevelSystem {
			system = append(system, g)
		}
	}
	if len(system) == 0 {
		return nil, &oauthError{http.StatusBadRequest, "invalid_scope", "none of these scopes is a system scope that this client may have"}
	}
	g, err := s.systemGrant(ctx, p, c, system)
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, p, c, g, system, false)
}

// systemGrant finds or makes the one grant under which a client acts by itself.
func (s *Server) systemGrant(ctx context.Context, p auth.Practice, c *Client, scopes []Scope) (*grant, error) {
	var g *grant
	err := s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		all, err := loadGrants(ctx, tx, grantsOfClient, c.ID)
		if err != nil {
			return err
		}
		g = nil
		for i := range all {
			if all[i].user == 0 && all[i].Granter == "" {
				g = &all[i]
				have, _ := ParseScopes(g.Scopes)
				for _, n := range scopes {
					if len(Limit([]Scope{n}, have)) == 0 {
						have = append(have, n)
					}
				}
				g.Scopes, g.expires = JoinScopes(have), tx.Now().Add(systemLasts).UnixMicro()
				return changeGrant(ctx, tx, g)
			}
		}
		g = &grant{id: randomID(), client: c.ID, created: tx.NowMicro(), expires: tx.Now().Add(systemLasts).UnixMicro(), grantBody: grantBody{Scopes: JoinScopes(scopes)}}
		return insertGrant(ctx, tx, g)
	})
	return g, err
}

// lasts is how long an access token of a grant is good for.
func (g *grant) lasts() time.Duration {
	switch {
	case g.user != 0:
		return staffToken
	case g.Granter != "":
		return patientToken
	}
	return systemToken
}

// issue makes the tokens of a grant and the answer that carries them. first is true when a code was redeemed: then there is an
// identity token too, and the nonce in it.
func (s *Server) issue(ctx context.Context, p auth.Practice, c *Client, g *grant, scopes []Scope, first bool) (map[string]any, error) {
	granted, _ := ParseScopes(g.Scopes)
	access, lasts := random(prefixAccess), g.lasts()
	out := map[string]any{"access_token": access, "token_type": "Bearer", "scope": JoinScopes(scopes)}
	refresh := ""
	if Has(granted, ScopeOffline) || Has(granted, ScopeOnline) {
		refresh = random(prefixRefresh)
		out["refresh_token"] = refresh
	}
	if g.Patient != "" {
		out["patient"] = g.Patient
		out["need_patient_banner"] = true // a program opens in a window of its own, where our banner is not
	}
	if g.Encounter != "" && (Has(granted, ScopeLaunch) || Has(granted, ScopeLaunchEncounter)) {
		out["encounter"] = g.Encounter
	}
	if g.user != 0 || g.Granter != "" {
		out["smart_style_url"] = s.Issuer(p) + "/oauth/style.json"
	}
	if Has(scopes, ScopeOpenID) {
		id, err := s.identity(ctx, p, c, g, scopes, first)
		if err != nil {
			return nil, err
		}
		out["id_token"] = id
	}
	seconds := int64(lasts / time.Second)
	err := s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		expires := min(tx.Now().Add(lasts).UnixMicro(), g.expires)
		seconds = (expires - tx.NowMicro()) / 1e6
		if err := insertToken(ctx, tx, access, token{kind: kindAccess, grant: g.id, expires: expires, tokenBody: tokenBody{Scopes: JoinScopes(scopes)}}); err != nil {
			return err
		}
		if least := tx.Now().Add(offlineLeast).UnixMicro(); !first && Has(granted, ScopeOffline) && g.expires < least {
			g.expires = least
			if err := changeGrant(ctx, tx, g); err != nil {
				return err
			}
		}
		if refresh != "" {
			if err := insertToken(ctx, tx, refresh, token{kind: kindRefresh, grant: g.id, expires: g.expires}); err != nil {
				return err
			}
		}
		e := audit.Event{Action: audit.ActionSignIn, Type: "Client", ID: c.ID, Detail: fmt.Sprintf("token issued, %d scopes", len(scopes))}
		if g.Patient != "" {
			e.Patient = "Patient/" + g.Patient
		}
		s.audit.Record(tx, e)
		tx.Queue(useClient, int64(p.ID), c.ID, tx.NowMicro())
		tx.Queue(useGrant, int64(p.ID), g.id, tx.NowMicro())
		return nil
	})
	out["expires_in"] = seconds
	return out, err
}

// identity makes the identity token (OpenID Connect Core §2, SMART App Launch 2.2 §2.0.13).
func (s *Server) identity(ctx context.Context, p auth.Practice, c *Client, g *grant, scopes []Scope, first bool) (string, error) {
	all, err := s.signingKeys(ctx, p.ID, true)
	if err != nil {
		return "", err
	}
	sub, err := s.subjectID(ctx, p, g)
	if err != nil {
		return "", err
	}
	now := s.clock.Now()
	claims := map[string]any{"iss": s.Issuer(p), "sub": sub, "aud": c.ID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if g.AuthTime != 0 {
		claims["auth_time"] = g.AuthTime
	}
	if first && g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	for k, v := range s.personClaims(p, g, scopes) {
		claims[k] = v
	}
	return all[0].sign(claims)
}

// personClaims is what a program may know of who the person is.
func (s *Server) personClaims(p auth.Practice, g *grant, scopes []Scope) map[string]any {
	out := map[string]any{}
	if (Has(scopes, ScopeFHIRUser) || Has(scopes, ScopeProfile)) && g.FHIRUser != "" {
		out["fhirUser"] = s.FHIRBase(p) + "/" + g.FHIRUser
	}
	if Has(scopes, ScopeProfile) && g.Name != "" {
		out["name"] = g.Name
	}
	return out
}

// subjectID is what a person is called towards programs: always the same in a practice, and no number of ours.
func (s *Server) subjectID(ctx context.Context, p auth.Practice, g *grant) (sub string, err error) {
	err = s.db.View(ctx, work(p.ID), func(tx *db.Tx) error {
		who := g.Granter
		if g.user != 0 {
			who = fmt.Sprint("user/", g.user)
		}
		a, b := tx.Keys().Hash("oauth.sub", who), tx.Keys().Hash("oauth.sub.more", who)
		sub = fmt.Sprintf("%016x%016x", uint64(a), uint64(b))
		return nil
	})
	return sub, err
}

// Mint gives out a token for the program of whoever has the command line: the sealed data and the keys lie before them anyway. It
// is on record in the practice's audit, and the program stands in its list, where it can be suspended.
func (s *Server) Mint(ctx context.Context, by auth.System, p auth.Practice, scope string, ttl time.Duration) (string, error) {
	scopes, unknown := ParseScopes(scope)
	if len(unknown) > 0 || len(scopes) == 0 {
		return "", fhir.Problem("value", fmt.Sprintf("%q is no list of scopes.", clip(scope)), "Write scopes as in SMART App Launch 2, such as 'system/*.cruds'.")
	}
	for _, n := range scopes {
		if n.Level != LevelSystem {
			return "", fhir.Problem("value", fmt.Sprintf("%q is about a person, and the command line is nobody.", n.Text), "Use scopes that begin with system/.")
		}
	}
	if ttl < time.Second || ttl > longestToken {
		return "", fhir.Problem("value", "A token lasts between one second and one hour.", "Give --ttl, such as --ttl 15m.")
	}
	const id = "command-line"
	c, err := s.Client(ctx, p.ID, id)
	if c == nil {
		if err = notFoundIsNil(err); err != nil {
			return "", err
		}
		body := Client{ID: id, Kind: Keys, State: Approved, Name: "Command line", Publisher: "Yarrow", Scopes: "system/*.cruds", Version: 1, Created: s.clock.Now(), ApprovedBy: by.Actor().Display, Approved: s.clock.Now()}
		e := audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: id, Detail: "program registered"}
		if err := s.change(ctx, by, e, func(tx *db.Tx) error { return insertClient(ctx, tx, &body) }); err != nil {
			return "", err
		}
		c = &body
	}
	if !c.Usable() {
		return "", fhir.Problem("forbidden", "The practice has stopped tokens from the command line.", "An administrator can allow them again in the list of programs.")
	}
	g, err := s.systemGrant(ctx, p, c, scopes)
	if err != nil {
		return "", err
	}
	access := random(prefixAccess)
	e := audit.Event{Action: audit.ActionSignIn, Type: "Client", ID: id, Detail: "token made on the command line: " + clip(strings.Join(strings.Fields(scope), " "))}
	err = s.change(ctx, by, e, func(tx *db.Tx) error {
		tx.Queue(useClient, int64(p.ID), c.ID, tx.NowMicro())
		return insertToken(ctx, tx, access, token{kind: kindAccess, grant: g.id, expires: tx.Now().Add(ttl).UnixMicro(), tokenBody: tokenBody{Scopes: JoinScopes(scopes)}})
	})
	return access, err
}
