package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// held is what work that outlasts an access token keeps of it: the grant it stands on and what it allowed. It opens nothing by itself.
type held struct {
	Grant  int64  `json:"grant"`
	Scopes string `json:"scopes"`
	Token  []byte `json:"token"` // SHA-256
}

// Hold gives what work started with an access token, such as a bulk export, keeps so that it can go on after the token's minutes
// are over; [Server.Resume] turns it into a scope again. The error is that of [Server.Authenticate].
func (s *Server) Hold(ctx context.Context, p auth.Practice, bearer string) ([]byte, error) {
	t, err := s.live(ctx, p, bearer)
	if err != nil {
		return nil, err
	}
	h := digest(bearer)
	return json.Marshal(held{t.grant.id, t.Scopes, h[:]})
}

// Resume makes the scope of work that goes on: never more than the token allowed, and only as long as its grant, its client and its
// person stand and nobody has revoked it; that its minutes are over does not matter. Otherwise the error is an Issue of code "login".
func (s *Server) Resume(ctx context.Context, p auth.Practice, kept []byte) (auth.App, error) {
	var h held
	if err := json.Unmarshal(kept, &h); err != nil || len(h.Token) != sha256.Size {
		return auth.App{}, unauthorized().Because(err)
	}
	var g grant
	var revoked bool
	if err := s.db.View(ctx, work(p.ID), func(tx *db.Tx) (err error) {
		if revoked, err = tokenRevoked(ctx, tx, h.Token); err != nil {
			return err
		}
		g, err = loadGrant(ctx, tx, h.Grant)
		return err
	}); errors.Is(err, db.ErrNoRows) {
		return auth.App{}, unauthorized().Because(err)
	} else if err != nil { // what is only not known at present goes on later
		return auth.App{}, err
	}
	if revoked || g.ended != "" || g.expires <= s.clock.Now().UnixMicro() {
		return auth.App{}, unauthorized()
	}
	c, ok, err := s.stands(ctx, p, &g)
	if err != nil {
		return auth.App{}, err
	}
	if !ok {
		return auth.App{}, unauthorized()
	}
	scopes, _ := ParseScopes(h.Scopes)
	scopes = Limit(scopes, c.Asks()) // as for tokens: what was taken out of the registration since is closed
	return s.auth.AppScope(ctx, auth.AppGrant{Practice: p.ID, ClientID: c.ID, ClientName: c.Name, TokenID: hex.EncodeToString(h.Token[:8]), User: g.user, Granted: g.created, Patient: g.Granter, Proxy: g.Proxy,
		Access: accessOf(scopes, g.Patient, g.FHIRUser)})
}
