package oauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// How long a signing key signs, and how long after that its public half is still shown. Identity tokens last an hour.
const (
	keySigns = 90 * 24 * time.Hour
	keyShown = keySigns + 7*24*time.Hour
)

// signingKey is one RSA key of a practice. RS256 is what OpenID Connect and SMART want every server to have.
type signingKey struct {
	kid     string
	created time.Time
	private *rsa.PrivateKey
}

// keyList is the signing keys of a practice as they were read, the newest first.
type keyList struct {
	all  []signingKey
	read time.Time
}

// signingKeys gives the keys of a practice that are still shown. With sign, a new one is made when none signs any more.
func (s *Server) signingKeys(ctx context.Context, p db.PracticeID, sign bool) ([]signingKey, error) {
	s.mu.Lock()
	known, ok := s.keys[p]
	forgets := s.forgets
	s.mu.Unlock()
	if !ok || !s.fresh(known.read) {
		known = keyList{read: s.clock.Now()}
		err := s.db.View(ctx, work(p), func(tx *db.Tx) error {
			var err error
			known.all, err = loadKeys(ctx, tx)
			return err
		})
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if s.forgets == forgets {
			s.keys[p] = known
		}
		s.mu.Unlock()
	}
	now := s.clock.Now()
	shown := slices.DeleteFunc(slices.Clone(known.all), func(k signingKey) bool { return now.Sub(k.created) >= keyShown })
	if !sign || len(shown) > 0 && now.Sub(shown[0].created) < keySigns {
		return shown, nil
	}
	k, err := s.makeKey(ctx, p)
	if err != nil {
		return nil, err
	}
	return append([]signingKey{k}, shown...), nil
}

func (s *Server) makeKey(ctx context.Context, p db.PracticeID) (signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return signingKey{}, err
	}
	var id [9]byte
	rand.Read(id[:])
	k := signingKey{kid: base64.RawURLEncoding.EncodeToString(id[:]), created: s.clock.Now(), private: private}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Key", ID: k.kid, Detail: "signing key made"}
	return k, s.change(ctx, work(p), e, func(tx *db.Tx) error { return insertKey(ctx, tx, k) })
}

func (k signingKey) bytes() []byte { return x509.MarshalPKCS1PrivateKey(k.private) }

// sign gives the compact form of claims, signed with RS256.
func (k signingKey) sign(claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	h := jws.NewHeaders()
	for name, v := range map[string]any{jws.KeyIDKey: k.kid, jws.TypeKey: "JWT"} {
		if err := h.Set(name, v); err != nil {
			return "", err
		}
	}
	out, err := jws.Sign(body, jws.WithKey(jwa.RS256(), k.private, jws.WithProtectedHeaders(h)))
	return string(out), err
}

// keySetJSON is the public half of a practice's signing keys (RFC 7517 §5).
func (s *Server) keySetJSON(ctx context.Context, p auth.Practice) (map[string]any, error) {
	all, err := s.signingKeys(ctx, p.ID, true)
	if err != nil {
		return nil, err
	}
	set := []map[string]string{}
	for _, k := range all {
		set = append(set, map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": k.kid,
			"n": base64.RawURLEncoding.EncodeToString(k.private.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.private.E)).Bytes())})
	}
	return map[string]any{"keys": set}, nil
}

// keySet is the keys of a client as they were fetched.
type keySet struct {
	set   jwk.Set
	read  time.Time
	lasts time.Duration
}
