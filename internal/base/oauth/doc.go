// Package oauth lets other programs in: the OAuth 2.1 and OpenID Connect server of each practice as SMART App Launch 2.2 and
// SMART Backend Services shape it.
//
// It owns the registered clients, authorization requests and codes, launch contexts, grants, access and refresh tokens, the
// keys that identity tokens are signed with, and the rules by which scopes become an [auth.Access]. Everything lies in the
// practice's own store, so a token of one practice opens nothing in another. Secrets, codes and tokens are 256 random bits and
// are kept as hashes only; names, addresses and scopes are sealed.
//
// Access tokens are opaque, never signed texts: each use asks whether token, grant, client and person still stand, with an
// answer that is at most a second old, so that revocation acts within a second on every node.
//
// The package shows no screens (internal/web/apps does), reads no patient data, and never sends a browser to an address that
// is not registered.
package oauth
