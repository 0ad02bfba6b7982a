package conformance_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// assertion signs a client assertion (RFC 7523) with ES384, by hand: the server's library must not judge itself.
func (p *place) assertion(a *app, iss, sub string) string {
	kid := ""
	for name, c := range p.clients {
		if c == a {
			kid = name
		}
	}
	jti := make([]byte, 12)
	rand.Read(jti)
	head, _ := json.Marshal(map[string]string{"alg": "ES384", "typ": "JWT", "kid": kid})
	now := time.Now()
	body, _ := json.Marshal(map[string]any{"iss": iss, "sub": sub, "aud": p.origin + "/willow/oauth/token", "exp": now.Add(4 * time.Minute).Unix(),
		"iat": now.Unix(), "jti": b64(jti)})
	text := b64(head) + "." + b64(body)
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, a.key, sum[:])
	if err != nil {
		p.t.Fatal(err)
	}
	sig := make([]byte, 96)
	r.FillBytes(sig[:48])
	s.FillBytes(sig[48:])
	return text + "." + b64(sig)
}

// backend gets a token for a program that acts by itself.
func (p *place) backend(a *app, scope string) answer {
	v := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	p.proof(a, v)
	return p.form("/willow/oauth/token", v)
}

// claims reads an identity token: its header and payload, and whether the signature is that of a key of the set.
func claims(token string, set []byte) (head, body map[string]any, signed error) {
	part := strings.Split(token, ".")
	if len(part) != 3 {
		return nil, nil, fmt.Errorf("%d parts", len(part))
	}
	for i, to := range []*map[string]any{&head, &body} {
		raw, err := unb64(part[i])
		if err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return nil, nil, err
		}
	}
	keys, err := jwk.Parse(set)
	if err != nil {
		return head, body, err
	}
	_, err = jws.Verify([]byte(token), jws.WithKeySet(keys))
	return head, body, err
}
