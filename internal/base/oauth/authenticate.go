package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// tokenKey finds a token in memory: the same text may be looked for in every practice.
type tokenKey struct {
	practice db.PracticeID
	hash     [sha256.Size]byte
}

// liveToken is an access token that stood when it was read.
type liveToken struct {
	token
	grant  grant
	client *Client
	app    auth.AppGrant
	read   time.Time
}

// unauthorized is the one answer to every token that opens nothing, whatever the reason.
func unauthorized() *fhir.Issue {
	return fhir.Problem("login", "The access token is not valid.", "Ask the authorization server for a new one.")
}

// Authenticate turns the access token of a request into the scope of the program that sent it. A token that is wrong, expired,
// revoked, another practice's, or whose client or person may not act any more, is answered by the same work and words: an Issue of
// code "login".
func (s *Server) Authenticate(ctx context.Context, p auth.Practice, bearer string) (auth.App, error) {
	_, app, err := s.acting(ctx, p, bearer)
	return app, err
}

// acting finds an access token that stands, and the scope of the program that it makes now: what is remembered of the token says
// nothing of the person since.
func (s *Server) acting(ctx context.Context, p auth.Practice, text string) (liveToken, auth.App, error) {
	t, err := s.live(ctx, p, text)
	if err != nil {
		return t, auth.App{}, err
	}
	app, err := s.auth.AppScope(ctx, t.app)
	var i *fhir.Issue
	if errors.As(err, &i) && i.Code == "login" {
		return t, auth.App{}, unauthorized()
	}
	return t, app, err
}

// live finds an access token that stands.
func (s *Server) live(ctx context.Context, p auth.Practice, text string) (liveToken, error) {
	key := tokenKey{p.ID, digest(text)}
	s.mu.Lock()
	t, ok := s.tokens[key]
	forgets := s.forgets
	s.mu.Unlock()
	if ok && s.fresh(t.read) && s.clock.Now().UnixMicro() < t.expires {
		// The registration was remembered already when the token was read: together they would stand for two seconds.
		if c, err := s.Client(ctx, p.ID, t.client.ID); err == nil && c.Usable() && c.Version == t.client.Version {
			return t, nil
		}
	}
	t = liveToken{read: s.clock.Now()}
	err := s.db.View(ctx, work(p.ID), func(tx *db.Tx) error {
		var err error
		t.token, t.grant, ok, err = tokenAndGrant(ctx, tx, kindAccess, text)
		return err
	})
	if err != nil {
		return liveToken{}, err
	}
	if ok {
		if t.client, ok, err = s.stands(ctx, p, &t.grant); err != nil {
			return liveToken{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		delete(s.tokens, key)
		return liveToken{}, unauthorized()
	}
	scopes, _ := ParseScopes(t.Scopes)
	scopes = Limit(scopes, t.client.Asks()) // what was taken out of the registration since is closed to older tokens too
	t.app = auth.AppGrant{Practice: p.ID, ClientID: t.client.ID, ClientName: t.client.Name, TokenID: hex.EncodeToString(key.hash[:8]), User: t.grant.user,
		Granted: t.grant.created, Patient: t.grant.Granter, Proxy: t.grant.Proxy, Access: accessOf(scopes, t.grant.Patient, t.grant.FHIRUser)}
	if s.forgets == forgets {
		if len(s.tokens) >= maxRemembered {
			s.tokens = map[tokenKey]liveToken{}
		}
		s.tokens[key] = t
	}
	return t, nil
}

// maxRemembered bounds what is kept in memory; when full it starts over, since everything can be read again.
const maxRemembered = 20000

// stands says whether a grant's client may act, and whether the person it acts for is still there: not disabled and, for a grant
// without offline_access, still signed in.
func (s *Server) stands(ctx context.Context, p auth.Practice, g *grant) (*Client, bool, error) {
	c, err := s.Client(ctx, p.ID, g.client)
	if err != nil || !c.Usable() {
		return nil, false, notFoundIsNil(err)
	}
	if g.user != 0 && g.Session != 0 {
		open, err := s.auth.SessionOpen(ctx, p.ID, g.user, auth.SessionID(g.Session))
		if err != nil || !open {
			return nil, false, err
		}
	}
	_, err = s.auth.AppScope(ctx, auth.AppGrant{Practice: p.ID, ClientID: c.ID, ClientName: c.Name, User: g.user, Granted: g.created, Patient: g.Granter, Proxy: g.Proxy})
	var i *fhir.Issue
	if errors.As(err, &i) && i.Code == "login" {
		return nil, false, nil
	}
	return c, err == nil, err
}

// notFoundIsNil leaves out the error that only says that something is not there.
func notFoundIsNil(err error) error {
	var i *fhir.Issue
	if errors.As(err, &i) && i.Code == "not-found" {
		return nil
	}
	return err
}
