// openid-client signs in with PKCE, refreshes, introspects and revokes; as a program that acts by itself it proves itself with a
// signed assertion. jose checks the identity token by itself.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { createRemoteJWKSet, importJWK, jwtVerify } from 'jose'
import { app, backend, base, consent, demo, say } from './place.mjs'

const open = { execute: [client.allowInsecureRequests] } // http on this machine only
const issuer = new URL(demo.url + '/demo')
const config = await client.discovery(issuer, app.clientId, undefined, client.None(), open)
assert.equal(config.serverMetadata().issuer, issuer.href)
const verifier = client.randomPKCECodeVerifier(), state = client.randomState(), nonce = client.randomNonce()
const redirect_uri = 'http://localhost:3000/callback'
const patient = demo.patients[0].id
const url = client.buildAuthorizationUrl(config, { redirect_uri, scope: 'launch/patient openid fhirUser offline_access patient/*.rs', state, nonce, aud: base,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' })
const back = await consent(url.href, patient)
const tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true })
assert.equal(tokens.patient, patient)
assert.equal(tokens.claims().aud, app.clientId)
say('openid-client: discovery, PKCE, state and nonce, identity token')

const { payload, protectedHeader } = await jwtVerify(tokens.id_token, createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri)), { issuer: issuer.href, audience: app.clientId })
assert.equal(protectedHeader.alg, 'RS256')
assert.ok(payload.sub && payload.fhirUser)
say('jose: the signature of the identity token')

const r = await client.fetchProtectedResource(config, tokens.access_token, new URL(base + '/Patient/' + patient), 'GET')
assert.equal(r.status, 200)
const info = await client.fetchUserInfo(config, tokens.access_token, payload.sub)
assert.equal(info.sub, payload.sub)
const next = await client.refreshTokenGrant(config, tokens.refresh_token)
assert.notEqual(next.refresh_token, tokens.refresh_token)
await client.tokenRevocation(config, next.refresh_token)
await assert.rejects(client.fetchProtectedResource(config, next.access_token, new URL(base + '/Patient/' + patient), 'GET'), e => e.status === 401)
await assert.rejects(client.refreshTokenGrant(config, next.refresh_token))
say('openid-client: user information, refresh, revocation')

const key = await importJWK(backend.privateKey, 'ES384')
const self = await client.discovery(issuer, backend.clientId, undefined, client.PrivateKeyJwt({ key, kid: backend.privateKey.kid },
  { [client.modifyAssertion]: (_, body) => { body.aud = demo.url + '/demo/oauth/token' } }), open)
const own = await client.clientCredentialsGrant(self, { scope: 'system/Patient.rs' })
assert.equal(own.scope, 'system/Patient.rs')
assert.equal((await client.fetchProtectedResource(self, own.access_token, new URL(base + '/Patient?_count=1'), 'GET')).status, 200)
const no = await fetch(base + '/Observation?_count=1', { headers: { Authorization: 'Bearer ' + own.access_token } })
assert.equal(no.status, 403)
const alive = await client.tokenIntrospection(self, own.access_token)
assert.equal(alive.active, true)
assert.equal(alive.scope, own.scope)
await client.tokenRevocation(self, own.access_token)
assert.equal((await client.tokenIntrospection(self, own.access_token)).active, false)
say('openid-client: private_key_jwt, introspection')
