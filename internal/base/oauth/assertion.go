package oauth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhirjson"
)

// Rules for client assertions (SMART App Launch 2.2 §4.1, RFC 7523).
const (
	assertionType  = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	maxAssertion   = 8 << 10
	assertionLasts = 5 * time.Minute
	clockSkew      = 30 * time.Second
	maxJTI         = 256
)

// assertion is a client's signed statement, its text read but nothing of it proven.
type assertion struct {
	raw           string
	alg, kid      string
	iss, sub, jti string
	aud           []string
	exp, nbf, iat int64 // seconds; 0 for none
}

var errAssertion = errors.New("oauth: not a client assertion")

// readAssertion reads a compact JWT strictly: three parts, one algorithm of two, a kid, no header that would bring its own key or
// ask for something we do not understand, no member twice.
func readAssertion(text string) (a assertion, err error) {
	if len(text) > maxAssertion || strings.Count(text, ".") != 2 {
		return a, errAssertion
	}
	a.raw = text
	parts := strings.Split(text, ".")
	head, err := jsonPart(parts[0])
	if err != nil {
		return a, err
	}
	for _, m := range head.Members() {
		switch m.Name {
		case "alg", "kid":
		case "typ":
			if t := m.Value.Text(); !strings.EqualFold(t, "JWT") && !strings.EqualFold(t, "client-authentication+jwt") {
				return a, fmt.Errorf("%w: typ", errAssertion)
			}
		case "jku": // allowed by SMART; it is never followed, the registered keys count
		default:
			return a, fmt.Errorf("%w: header member", errAssertion)
		}
	}
	a.alg, a.kid = stringOf(head, "alg"), stringOf(head, "kid")
	if a.alg != "RS384" && a.alg != "ES384" || a.kid == "" || len(a.kid) > 200 {
		return a, fmt.Errorf("%w: alg or kid", errAssertion)
	}
	body, err := jsonPart(parts[1])
	if err != nil {
		return a, err
	}
	a.iss, a.sub, a.jti = stringOf(body, "iss"), stringOf(body, "sub"), stringOf(body, "jti")
	switch aud := body.Get("aud"); {
	case aud == nil:
	case aud.Kind() == fhirjson.String:
		a.aud = []string{aud.Text()}
	case aud.Kind() == fhirjson.Array:
		for _, v := range aud.Items() {
			if v.Kind() == fhirjson.String {
				a.aud = append(a.aud, v.Text())
			}
		}
	}
	for name, into := range map[string]*int64{"exp": &a.exp, "nbf": &a.nbf, "iat": &a.iat} {
		if v := body.Get(name); v != nil {
			f, err := strconv.ParseFloat(v.Text(), 64)
			if v.Kind() != fhirjson.Number || err != nil || f < 1 || f > 1<<40 {
				return a, fmt.Errorf("%w: %s", errAssertion, name)
			}
			*into = int64(f)
		}
	}
	if a.iss == "" || a.iss != a.sub || a.jti == "" || len(a.jti) > maxJTI || len(a.aud) == 0 || a.exp == 0 {
		return a, fmt.Errorf("%w: claims", errAssertion)
	}
	return a, nil
}

func jsonPart(s string) (*fhirjson.Node, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAssertion, err)
	}
	n, err := fhirjson.Parse(b, fhirjson.Limits{Bytes: maxAssertion, Depth: 8})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAssertion, err)
	}
	if n.Kind() != fhirjson.Object {
		return nil, errAssertion
	}
	return n, nil
}

func stringOf(n *fhirjson.Node, name string) string {
	if v := n.Get(name); v != nil && v.Kind() == fhirjson.String {
		return v.Text()
	}
	return ""
}

// timely says whether an assertion is valid now and not for longer than allowed.
func (a assertion) timely(now time.Time) bool {
	exp := time.Unix(a.exp, 0)
	switch {
	case !now.Before(exp), exp.Sub(now) > assertionLasts+clockSkew:
		return false
	case a.nbf != 0 && time.Unix(a.nbf, 0).Sub(now) > clockSkew, a.iat != 0 && time.Unix(a.iat, 0).Sub(now) > clockSkew:
		return false
	}
	return true
}

// signedBy says whether a key of the set signed the assertion. The algorithm follows from the key's own kind, never from the text.
func (a assertion) signedBy(set jwk.Set) bool {
	k, ok := set.LookupKeyID(a.kid)
	if !ok {
		return false
	}
	if use, ok := k.KeyUsage(); ok && use != "sig" {
		return false
	}
	if alg, ok := k.Algorithm(); ok && alg.String() != a.alg {
		return false
	}
	var raw any
	if err := jwk.Export(k, &raw); err != nil {
		return false
	}
	var alg jwa.SignatureAlgorithm
	switch key := raw.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
			return false
		}
		alg = jwa.RS384()
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P384() {
			return false
		}
		alg = jwa.ES384()
	default:
		return false
	}
	if alg.String() != a.alg {
		return false
	}
	_, err := jws.Verify([]byte(a.raw), jws.WithKey(alg, raw))
	return err == nil
}

// proveKeys finds the client whose assertion this is, after everything about it was checked; nil for any that proves nothing.
// Each is good for one use.
func (s *Server) proveKeys(ctx context.Context, p auth.Practice, f url.Values) (*Client, error) {
	if f.Get("client_assertion_type") != assertionType {
		return nil, nil
	}
	a, err := readAssertion(f.Get("client_assertion"))
	if err != nil || !a.timely(s.clock.Now()) || !s.meant(p, a.aud) {
		return nil, nil
	}
	if id := f.Get("client_id"); id != "" && id != a.sub {
		return nil, nil
	}
	c, err := s.Client(ctx, p.ID, a.sub)
	if err != nil || c.Kind != Keys || !c.Usable() {
		return nil, notFoundIsNil(err)
	}
	set, err := s.clientKeys(ctx, c, a.kid)
	if err != nil {
		s.log.Warn("the keys of a program could not be had", "practice", p.ID, "client", c.ID, "error", err)
		return nil, nil
	}
	if !a.signedBy(set) {
		return nil, nil
	}
	once, err := s.spend(ctx, p.ID, c.ID, a)
	if err != nil || !once {
		return nil, err
	}
	return c, nil
}

// meant says whether an assertion names us: the token endpoint, or the issuer as newer profiles write it.
func (s *Server) meant(p auth.Practice, aud []string) bool {
	for _, v := range aud {
		if v == s.Issuer(p)+"/oauth/token" || v == s.Issuer(p) {
			return true
		}
	}
	return false
}

// spend notes an assertion as used; false if it was before.
func (s *Server) spend(ctx context.Context, p db.PracticeID, client string, a assertion) (once bool, err error) {
	hash := digest(client + "\x00" + a.jti)
	err = s.db.Do(ctx, work(p), func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, insertAssertion, int64(p), hash[:], time.Unix(a.exp, 0).Add(clockSkew).UnixMicro())
		once = n == 1
		return err
	})
	return once, err
}

// How long a fetched key set is used at most, and how soon it is fetched again for a kid that it lacks. An answer whose Cache-Control
// allows less is used for less: (g)(10) has the keys of programs kept no longer than they say.
const (
	keySetLasts = time.Hour
	keySetAgain = time.Minute
)

// clientKeys gives a client's keys: those registered, or those at its address.
func (s *Server) clientKeys(ctx context.Context, c *Client, kid string) (jwk.Set, error) {
	if c.JWKSURL == "" {
		return publicKeys(c.JWKS)
	}
	s.mu.Lock()
	known, ok := s.sets[c.JWKSURL]
	s.mu.Unlock()
	if ok {
		_, has := keyOf(known.set, kid)
		if age := s.clock.Since(known.read); age >= 0 && age < known.lasts && (age < keySetAgain || has) {
			if known.set == nil {
				return nil, errors.New("oauth: the key set could not be fetched a moment ago")
			}
			return known.set, nil
		}
	}
	set, lasts, err := s.fetchKeys(ctx, c.JWKSURL)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sets) > 1000 {
		s.sets = map[string]keySet{}
	}
	s.sets[c.JWKSURL] = keySet{set: set, read: s.clock.Now(), lasts: lasts} // a failure too: nobody makes us ask again and again
	return set, err
}

// keptFor is how long an answer may be kept (RFC 9111 §5.2.2), keySetLasts at most.
func keptFor(h http.Header) time.Duration {
	lasts := keySetLasts
	for _, d := range strings.Split(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && n >= 0 && n < int(keySetLasts/time.Second) {
				lasts = time.Duration(n) * time.Second
			}
		}
	}
	return lasts
}

func keyOf(set jwk.Set, kid string) (jwk.Key, bool) {
	if set == nil {
		return nil, false
	}
	return set.LookupKeyID(kid)
}

// fetchKeys asks for a key set through the one way out. The address was approved with the client; redirects are not followed and
// addresses inside our own network are refused there.
func (s *Server) fetchKeys(ctx context.Context, address string) (set jwk.Set, lasts time.Duration, err error) {
	if s.egress == nil {
		return nil, keySetAgain, errors.New("oauth: outside connections are off")
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, keySetAgain, err
	}
	d := egress.Destination{Host: strings.ToLower(u.Hostname()), Purpose: "keys of programs", Agreement: "none: no patient data"}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		d.Ports = []int{n}
	}
	if err := s.egress.Allow(d); err != nil {
		return nil, keySetAgain, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := s.egress.Do(ctx, egress.Request{Method: http.MethodGet, URL: address, Header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return nil, keySetAgain, err
	}
	if r.Status != http.StatusOK {
		return nil, keySetAgain, fmt.Errorf("oauth: the key set answered %d", r.Status)
	}
	if set, err = publicKeys(bytes.TrimSpace(r.Body)); err != nil {
		return nil, keySetAgain, err
	}
	return set, keptFor(r.Header), nil
}
