package conformance_test

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// openID judges an identity token and what it stands on.
func (m *smart) openID(s *session, leaf string) verdict {
	set := m.p.ask("GET", text(m.conf["jwks_uri"]), nil)
	head, body, signed := claims(text(s.token["id_token"]), set.body)
	if body == nil {
		return wrong("the token cannot be read: %v", signed)
	}
	switch leaf {
	case "smart_openid_decode_id_token":
		return fine
	case "smart_openid_retrieve_configuration", "smart_openid_required_configuration_fields":
		a := m.p.ask("GET", text(body["iss"])+"/.well-known/openid-configuration", nil)
		o := a.json()
		if a.status != 200 || o == nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			return wrong("%d %s", a.status, a.header.Get("Content-Type"))
		}
		for _, n := range []string{"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported", "subject_types_supported",
			"id_token_signing_alg_values_supported"} {
			if len(texts(o[n])) == 0 {
				return wrong("%s is %v", n, o[n])
			}
		}
		if !slices.Contains(texts(o["id_token_signing_alg_values_supported"]), "RS256") {
			return wrong("RS256 is not supported")
		}
		return fine
	case "smart_openid_retrieve_jwks":
		if set.status != 200 || len(list(set.json()["keys"])) == 0 {
			return wrong("%d %s", set.status, set.text())
		}
		return fine
	case "smart_openid_token_header":
		if head["alg"] != "RS256" || !slices.ContainsFunc(list(set.json()["keys"]), func(k resource) bool { return k["kid"] == head["kid"] }) {
			return wrong("%v", head)
		}
		return fine
	case "smart_openid_token_payload":
		exp, _ := body["exp"].(float64)
		sub := text(body["sub"])
		if signed != nil || body["iss"] != m.conf["issuer"] || !slices.Contains(texts(body["aud"]), s.app.id) || int64(exp) <= time.Now().Unix() ||
			body["iat"] == nil || sub == "" || len(sub) > 255 {
			return wrong("%v %v", signed, body)
		}
		return fine
	}
	who := text(body["fhirUser"])
	u, err := url.Parse(who)
	if err != nil || who == "" {
		return wrong("fhirUser is %q", who)
	}
	if !u.IsAbs() {
		who = m.p.base + "/" + who
	}
	at, _ := url.Parse(s.app.callback)
	origin := at.Scheme + "://" + at.Host
	a := m.p.ask("GET", who, nil, "Authorization", "Bearer "+s.access, "Origin", origin, "Accept", "application/fhir+json")
	typ := text(a.json()["resourceType"])
	if a.status != 200 || !strings.Contains(who, "/"+typ+"/") || !slices.Contains([]string{"Patient", "Practitioner", "RelatedPerson", "Person"}, typ) {
		return wrong("%s: %d %s", who, a.status, a.text())
	}
	if leaf == "smart_cors_openid_fhir_user_claim" {
		return cors(a.header, origin)
	}
	return fine
}
