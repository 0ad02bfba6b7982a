// Package signon lets the people of a practice sign in through their organisation: OpenID Connect (authorization code with PKCE)
// and SAML 2.0 (a service provider that takes signed assertions only). It owns the connections to identity providers, the requests
// that are under way, and the proof of what comes back. Who a proven subject is, and the session, belong to package auth.
//
// Nothing that an identity provider sends is read before its signature was checked, and then only what the signature covers.
// The package gives nobody rights, keeps no tokens of the provider, and speaks to it only through package egress.
package signon
