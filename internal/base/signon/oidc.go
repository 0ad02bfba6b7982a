package signon

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhirjson"
)

// How long what a provider says about itself is used, how soon its keys are asked for again when one is missing, and the most it
// may send.
const (
	providerLasts = time.Hour
	keysAgain     = time.Minute
	maxDocument   = 256 << 10
	maxToken      = 32 << 10
	tokenLasts    = 24 * time.Hour // an identity token older than that is not the answer to a request of ours
)

// provider is what an OpenID provider says about itself (OpenID Connect Discovery 1.0 §3), with its keys.
type provider struct {
	issuer, authorization, token, jwks string
	post                               bool // the secret goes into the form
	read                               time.Time
	keys                               jwk.Set
	keysRead                           time.Time
}

// ask asks an address of a provider. With secretive, what it answered is not quoted.
func (s *SignOn) ask(ctx context.Context, r egress.Request, secretive bool) (*fhirjson.Node, int, error) {
	if s.egress == nil {
		return nil, 0, wrongf("outside connections are off")
	}
	u, err := url.Parse(r.URL)
	if err != nil || !webAddress(u) {
		return nil, 0, wrongf("the provider names an address that is not https")
	}
	d := egress.Destination{Host: strings.ToLower(u.Hostname()), Purpose: "sign-on", Agreement: "none: no patient data"}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		d.Ports = []int{n}
	}
	if err := s.egress.Allow(d); err != nil {
		return nil, 0, &wrong{"the provider cannot be asked", err}
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Accept", "application/json")
	reply, err := s.egress.Do(ctx, r)
	if err != nil {
		return nil, 0, &wrong{"the provider cannot be asked", err}
	}
	if len(reply.Body) > maxDocument {
		return nil, 0, wrongf("the provider's answer is too long")
	}
	n, err := fhirjson.Parse(bytes.TrimSpace(reply.Body), fhirjson.Limits{Bytes: maxDocument, Depth: 16})
	if err != nil || n.Kind() != fhirjson.Object {
		if secretive {
			err = nil // the place of the fault could quote what was sent
		}
		return nil, reply.Status, &wrong{"the provider's answer, status " + strconv.Itoa(reply.Status) + ", is no JSON object", err}
	}
	return n, reply.Status, nil
}

func text(n *fhirjson.Node, name string) string {
	if v := n.Get(name); v != nil && v.Kind() == fhirjson.String {
		return v.Text()
	}
	return ""
}

// texts reads a text or a list of texts.
func texts(n *fhirjson.Node, name string) (out []string) {
	v := n.Get(name)
	switch {
	case v == nil:
	case v.Kind() == fhirjson.String:
		out = []string{v.Text()}
	case v.Kind() == fhirjson.Array:
		for _, i := range v.Items() {
			if i.Kind() == fhirjson.String {
				out = append(out, i.Text())
			}
		}
	}
	return out
}

// discover asks a provider about itself, or remembers.
func (s *SignOn) discover(ctx context.Context, issuer string) (provider, error) {
	s.mu.Lock()
	known, ok := s.providers[issuer]
	s.mu.Unlock()
	if age := s.clock.Since(known.read); ok && age >= 0 && age < providerLasts {
		return known, nil
	}
	n, status, err := s.ask(ctx, egress.Request{Method: http.MethodGet, URL: strings.TrimRight(issuer, "/") + "/.well-known/openid-configuration"}, false)
	if err != nil {
		return provider{}, err
	}
	d := provider{issuer: text(n, "issuer"), authorization: text(n, "authorization_endpoint"), token: text(n, "token_endpoint"), jwks: text(n, "jwks_uri"), read: s.clock.Now()}
	switch {
	case status != http.StatusOK:
		return d, wrongf("the provider's description was answered with status %d", status)
	case d.issuer != issuer:
		return d, wrongf("the provider calls itself %q, not %q", clip(d.issuer), clip(issuer))
	}
	for _, a := range []string{d.authorization, d.token, d.jwks} {
		if u, err := url.Parse(a); err != nil || !webAddress(u) {
			return d, wrongf("the provider's description lacks an https address")
		}
	}
	if methods := texts(n, "token_endpoint_auth_methods_supported"); len(methods) > 0 {
		d.post = !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post")
	}
	if pkce := texts(n, "code_challenge_methods_supported"); len(pkce) > 0 && !slices.Contains(pkce, "S256") {
		return d, wrongf("the provider does not support PKCE with S256")
	}
	d.keys, d.keysRead = known.keys, known.keysRead
	s.keep(issuer, d)
	return d, nil
}

func (s *SignOn) keep(issuer string, d provider) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.providers) > 1000 {
		clear(s.providers)
	}
	s.providers[issuer] = d
}

// askOIDC is the address that a person is sent to (OpenID Connect Core 1.0 §3.1.2.1, RFC 7636).
func (s *SignOn) askOIDC(ctx context.Context, p auth.Practice, c *Connection, state string, a ask) (string, error) {
	d, err := s.discover(ctx, c.Issuer)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(a.Verifier))
	v := url.Values{"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {s.Return(p, c.ID)}, "scope": {"openid email profile"}, "state": {state}, "nonce": {a.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	if a.fresh() {
		v.Set("prompt", "login")
		v.Set("max_age", "0")
	}
	if len(c.Contexts) > 0 {
		v.Set("acr_values", strings.Join(c.Contexts, " "))
	}
	u, err := url.Parse(d.authorization)
	if err != nil {
		return "", err
	}
	for name, values := range u.Query() {
		if !v.Has(name) {
			v[name] = values
		}
	}
	u.RawQuery = v.Encode()
	return u.String(), nil
}

// answerOIDC turns what came back into what the provider says about the person.
func (s *SignOn) answerOIDC(ctx context.Context, p auth.Practice, c *Connection, a ask, v url.Values) (statement, error) {
	switch {
	case v.Get("error") != "":
		return statement{}, wrongf("the provider answered %s: %s", clip(v.Get("error")), clip(v.Get("error_description")))
	case len(v["code"]) != 1 || v.Get("code") == "" || len(v.Get("code")) > 4096:
		return statement{}, wrongf("the provider sent no code")
	case v.Has("iss") && v.Get("iss") != c.Issuer: // RFC 9207: a code of another provider
		return statement{}, wrongf("the answer says that it comes from %q", clip(v.Get("iss")))
	}
	d, err := s.discover(ctx, c.Issuer)
	if err != nil {
		return statement{}, err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {v.Get("code")}, "redirect_uri": {s.Return(p, c.ID)}, "code_verifier": {a.Verifier}}
	r := egress.Request{Method: http.MethodPost, URL: d.token, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	switch {
	case c.Secret == "":
		form.Set("client_id", c.ClientID)
	case d.post:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", c.Secret)
	default:
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ClientID)+":"+url.QueryEscape(c.Secret))))
	}
	r.Body = []byte(form.Encode())
	n, status, err := s.ask(ctx, r, true)
	switch {
	case err != nil:
		return statement{}, err
	case status != http.StatusOK:
		return statement{}, wrongf("the provider refused the code: status %d, %s", status, clip(text(n, "error")))
	}
	return s.identity(ctx, c, d, a, text(n, "id_token"), text(n, "access_token"))
}

// identity checks an identity token (OpenID Connect Core 1.0 §3.1.3.7).
func (s *SignOn) identity(ctx context.Context, c *Connection, d provider, a ask, token, access string) (statement, error) {
	head, body, err := readToken(token)
	if err != nil {
		return statement{}, err
	}
	if err := s.signed(ctx, d, token, text(head, "alg"), text(head, "kid")); err != nil {
		return statement{}, err
	}
	now := s.clock.Now()
	aud := texts(body, "aud")
	exp, hasExp := instant(body, "exp")
	iat, hasIat := instant(body, "iat")
	nbf, hasNbf := instant(body, "nbf")
	at, hasAt := instant(body, "auth_time")
	switch {
	case text(body, "iss") != c.Issuer:
		return statement{}, wrongf("the identity token is of %q", clip(text(body, "iss")))
	case !slices.Contains(aud, c.ClientID):
		return statement{}, wrongf("the identity token is for another program")
	case len(aud) > 1 && body.Get("azp") == nil, body.Get("azp") != nil && text(body, "azp") != c.ClientID:
		return statement{}, wrongf("the identity token was asked for by another program (azp)")
	case !hasExp || !now.Before(exp.Add(clockSkew)):
		return statement{}, wrongf("the identity token has expired")
	case !hasIat || iat.Sub(now) > clockSkew || now.Sub(iat) > tokenLasts:
		return statement{}, wrongf("the identity token was made at another time")
	case hasNbf && nbf.Sub(now) > clockSkew:
		return statement{}, wrongf("the identity token is not valid yet")
	case subtle.ConstantTimeCompare([]byte(text(body, "nonce")), []byte(a.Nonce)) != 1 || a.Nonce == "":
		return statement{}, wrongf("the identity token answers another request (nonce)")
	case body.Get("at_hash") != nil && !accessHash(text(head, "alg"), access, text(body, "at_hash")):
		return statement{}, wrongf("the identity token is about another access token (at_hash)")
	}
	st := statement{subject: text(body, "sub"), mail: text(body, "email"), display: text(body, "name"), context: strings.Join(append(texts(body, "acr"), texts(body, "amr")...), " "),
		contexts: append(texts(body, "acr"), texts(body, "amr")...), groups: texts(body, c.groupsFrom())}
	if st.subject == "" || len(st.subject) > 255 {
		return statement{}, wrongf("the identity token names nobody")
	}
	switch v := body.Get("email_verified"); {
	case v == nil:
		st.vouched = c.TrustMail
	case v.Kind() == fhirjson.Bool:
		st.vouched = v.String() == "true"
	case v.Kind() == fhirjson.String: // some providers write it so
		st.vouched = v.Text() == "true"
	}
	if hasAt && !at.After(now.Add(clockSkew)) {
		st.at = at
		if at.After(now) {
			st.at = now
		}
	}
	if a.fresh() && (!hasAt || at.Before(a.Begun.Add(-clockSkew))) {
		return statement{}, wrongf("the provider did not ask the person again (auth_time)")
	}
	return st, nil
}

func (c *Connection) groupsFrom() string {
	if c.GroupsFrom == "" {
		return "groups"
	}
	return c.GroupsFrom
}

// readToken reads a compact JWT strictly: nothing in the header but what we understand, no member twice. Nothing is proven yet.
func readToken(token string) (head, body *fhirjson.Node, err error) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 {
		return nil, nil, wrongf("the provider sent no identity token")
	}
	var nodes [2]*fhirjson.Node
	for i := range nodes {
		b, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			return nil, nil, wrongf("the identity token is not in base64url")
		}
		nodes[i], err = fhirjson.Parse(b, fhirjson.Limits{Bytes: maxToken, Depth: 16})
		if err != nil || nodes[i].Kind() != fhirjson.Object {
			return nil, nil, wrongf("the identity token is no JSON object")
		}
	}
	for _, m := range nodes[0].Members() {
		switch m.Name {
		case "alg", "kid", "typ", "x5t", "x5t#S256", "x5c", "jku", "x5u": // keys that a token brings along are never used
		default:
			return nil, nil, wrongf("the identity token's header has %q", clip(m.Name))
		}
	}
	return nodes[0], nodes[1], nil
}

func instant(n *fhirjson.Node, name string) (time.Time, bool) {
	v := n.Get(name)
	if v == nil || v.Kind() != fhirjson.Number {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(v.Text(), 64)
	if err != nil || f < 1 || f > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

// accessHash checks at_hash: the left half of the access token's hash under the algorithm of the signature.
func accessHash(alg, access, said string) bool {
	var sum []byte
	switch {
	case strings.HasSuffix(alg, "256"):
		h := sha256.Sum256([]byte(access))
		sum = h[:16]
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(access))
		sum = h[:24]
	default:
		h := sha512.Sum512([]byte(access))
		sum = h[:32]
	}
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum)), []byte(said)) == 1
}

// signed checks that the provider signed a token. Which algorithms may be follows from the kind of its key.
func (s *SignOn) signed(ctx context.Context, d provider, token, alg, kid string) error {
	key, err := s.key(ctx, d, kid)
	if err != nil {
		return err
	}
	if use, ok := key.KeyUsage(); ok && use != "sig" {
		return wrongf("the provider's key is not for signing")
	}
	if a, ok := key.Algorithm(); ok && a.String() != alg {
		return wrongf("the provider's key is for another algorithm")
	}
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		return &wrong{"the provider's key cannot be read", err}
	}
	if !strongKey(raw) {
		return wrongf("the provider's key is too weak or of an unknown kind")
	}
	for _, a := range algorithms(raw) {
		if a.String() == alg {
			if _, err := jws.Verify([]byte(token), jws.WithKey(a, raw)); err != nil {
				return wrongf("the identity token's signature is wrong")
			}
			return nil
		}
	}
	return wrongf("the identity token is signed with %q, which does not fit the provider's key", clip(alg))
}

// strongKey says whether a public key is of a kind and strength that counts.
func strongKey(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	}
	return false
}

func algorithms(key any) []jwa.SignatureAlgorithm {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return []jwa.SignatureAlgorithm{jwa.RS256(), jwa.RS384(), jwa.RS512(), jwa.PS256(), jwa.PS384(), jwa.PS512()}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jwa.SignatureAlgorithm{jwa.ES256()}
		case elliptic.P384():
			return []jwa.SignatureAlgorithm{jwa.ES384()}
		}
		return []jwa.SignatureAlgorithm{jwa.ES512()}
	case ed25519.PublicKey:
		return []jwa.SignatureAlgorithm{jwa.EdDSA()}
	}
	return nil
}

// key finds the key a token names; a provider with one key need not name it.
func (s *SignOn) key(ctx context.Context, d provider, kid string) (jwk.Key, error) {
	find := func(set jwk.Set) (jwk.Key, bool) {
		switch {
		case set == nil:
			return nil, false
		case kid != "":
			return set.LookupKeyID(kid)
		case set.Len() == 1:
			return set.Key(0)
		}
		return nil, false
	}
	age := s.clock.Since(d.keysRead)
	if k, ok := find(d.keys); ok && age >= 0 && age < providerLasts {
		return k, nil
	}
	if d.keys != nil && age >= 0 && age < keysAgain {
		return nil, wrongf("the provider has no key %q", clip(kid))
	}
	n, status, err := s.ask(ctx, egress.Request{Method: http.MethodGet, URL: d.jwks}, false)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, wrongf("the provider's keys were answered with status %d", status)
	}
	set, err := jwk.Parse(n.AppendJSON(nil), jwk.WithIgnoreParseError(true)) // keys of kinds we do not know are left out
	if err != nil || set.Len() > 100 {
		return nil, &wrong{"the provider's keys cannot be read", err}
	}
	d.keys, d.keysRead = set, s.clock.Now()
	s.keep(d.issuer, d)
	if k, ok := find(set); ok {
		return k, nil
	}
	return nil, wrongf("the provider has no key %q", clip(kid))
}
