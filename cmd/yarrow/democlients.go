package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/oauth"
)

// demoClient is a program of the demonstration in demo.json, with whatever a script needs to be it.
type demoClient struct {
	ID         string            `json:"clientId"`
	Name       string            `json:"name"`
	Kind       oauth.Kind        `json:"kind"`
	Scopes     string            `json:"scopes"`
	Redirects  []string          `json:"redirectUris,omitempty"`
	Launch     string            `json:"launchUrl,omitempty"`
	PrivateKey map[string]string `json:"privateKey,omitempty"` // JWK; sign with ES384
}

const (
	demoBackend = "demo-backend"
	demoApp     = "demo-app"
)

// programs makes the demonstration's programs where they are not there yet: one that acts by itself with a key, and one that runs
// at the user. The key is in demo.json alone, so a demo.json that was lost gets another.
func programs(ctx context.Context, g *ground, f *demoFile, sys auth.System) error {
	was := map[string]demoClient{}
	for _, o := range f.Clients {
		was[o.ID] = o
	}
	app := demoClient{ID: demoApp, Name: "Demo SMART app", Kind: oauth.Public,
		Scopes: "launch launch/patient openid fhirUser profile offline_access online_access patient/*.cruds user/*.cruds",
		Redirects: []string{"http://127.0.0.1/callback", "http://localhost:3000/callback", "http://localhost:9000/callback", "http://localhost/custom/smart/redirect",
			"http://localhost:4567/custom/smart/redirect"},
		Launch: "http://localhost:9000/launch"}
	backend := demoClient{ID: demoBackend, Name: "Demo backend service", Kind: oauth.Keys, Scopes: "system/*.cruds", PrivateKey: was[demoBackend].PrivateKey}
	fresh := backend.PrivateKey == nil
	if fresh {
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			return err
		}
		part := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
		point, err := k.PublicKey.Bytes() // 0x04, x, y
		if err != nil {
			return err
		}
		secret, err := k.Bytes()
		if err != nil {
			return err
		}
		backend.PrivateKey = map[string]string{"kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": "demo-1",
			"x": part(point[1:49]), "y": part(point[49:]), "d": part(secret)}
	}
	f.Clients = []demoClient{backend, app}
	for _, d := range f.Clients {
		if _, err := g.oauth.Client(ctx, sys.Practice(), d.ID); err == nil {
			if d.ID != demoBackend || !fresh {
				continue
			}
			if err := g.oauth.Remove(ctx, sys, d.ID); err != nil {
				return err
			}
		}
		in := oauth.Client{ID: d.ID, Kind: d.Kind, Name: d.Name, Publisher: "Yarrow", Redirects: d.Redirects, LaunchURI: d.Launch, Scopes: d.Scopes}
		if d.PrivateKey != nil {
			public := map[string]string{}
			for k, v := range d.PrivateKey {
				if k != "d" {
					public[k] = v
				}
			}
			set, err := json.Marshal(map[string]any{"keys": []any{public}})
			if err != nil {
				return err
			}
			in.JWKS = set
		}
		made, _, err := g.oauth.Register(ctx, sys, in)
		if err != nil {
			return err
		}
		if err := g.oauth.Approve(ctx, sys, made.ID, made.Version); err != nil {
			return err
		}
	}
	return nil
}
