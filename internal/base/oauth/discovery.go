package oauth

import (
	"yarrow.health/internal/base/auth"
)

// Routes are the paths that ServeHTTP answers, as patterns of http.ServeMux, and the one of the authorization endpoint, which
// internal/web/apps answers with screens. cmd mounts them; a test compares them with what the configuration promises.
func Routes() []string {
	return []string{
		"/{practice}/.well-known/smart-configuration",
		"/{practice}/.well-known/openid-configuration",
		"/{practice}/fhir/.well-known/smart-configuration",
		"/{practice}/oauth/token",
		"/{practice}/oauth/introspect",
		"/{practice}/oauth/revoke",
		"/{practice}/oauth/jwks",
		"/{practice}/oauth/userinfo",
		"/{practice}/oauth/style.json",
	}
}

// AuthorizePath is the path of the authorization endpoint within a practice.
const AuthorizePath = "/oauth/authorize"

// scopesSupported is what the configuration names: the plain scopes, and those on the types that programs mostly ask for.
var scopesSupported = append([]string{ScopeOpenID, ScopeFHIRUser, ScopeProfile, ScopeLaunch, ScopeLaunchPatient, ScopeOffline, ScopeOnline,
	"patient/*.cruds", "user/*.cruds", "system/*.cruds", "patient/Subscription.cruds", "user/Subscription.cruds", "system/Subscription.cruds"}, perType()...)

// Kinds are the resource types that are shown as choices of their own where a program asks for everything.
var Kinds = []string{"Patient", "AllergyIntolerance", "Appointment", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
	"DocumentReference", "Encounter", "Goal", "Immunization", "Location", "Media", "Medication", "MedicationDispense", "MedicationRequest",
	"MedicationStatement", "Observation", "Organization", "Practitioner", "PractitionerRole", "Procedure", "Provenance", "QuestionnaireResponse",
	"RelatedPerson", "ServiceRequest", "Specimen"}

func perType() (out []string) {
	for _, t := range Kinds {
		out = append(out, "patient/"+t+".rs", "user/"+t+".rs")
	}
	return out
}

// capabilities of SMART App Launch 2.2 §8.1.1 that hold here, each kept by a test.
var capabilities = []string{"launch-ehr", "launch-standalone", "authorize-post", "client-public", "client-confidential-symmetric",
	"client-confidential-asymmetric", "sso-openid-connect", "context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter",
	"context-standalone-patient", "permission-offline", "permission-online", "permission-patient", "permission-user", "permission-v1", "permission-v2"}

// configuration is what programs learn of the server (SMART App Launch 2.2 §8, OpenID Connect Discovery §3).
func (s *Server) configuration(p auth.Practice) map[string]any {
	at := s.Issuer(p)
	return map[string]any{
		"issuer":                                           at,
		"jwks_uri":                                         at + "/oauth/jwks",
		"authorization_endpoint":                           at + AuthorizePath,
		"token_endpoint":                                   at + "/oauth/token",
		"introspection_endpoint":                           at + "/oauth/introspect",
		"revocation_endpoint":                              at + "/oauth/revoke",
		"userinfo_endpoint":                                at + "/oauth/userinfo",
		"management_endpoint":                              at + "/apps",
		"grant_types_supported":                            []string{"authorization_code", "refresh_token", "client_credentials"},
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query"},
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            []string{"none", "client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS384", "ES384"},
		"introspection_endpoint_auth_methods_supported":    []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"revocation_endpoint_auth_methods_supported":       []string{"none", "client_secret_basic", "client_secret_post", "private_key_jwt"},
		"scopes_supported":                                 scopesSupported,
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            []string{"RS256"},
		"claims_supported":                                 []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser", "name"},
		"prompt_values_supported":                          []string{"none", "consent"},
		"authorization_response_iss_parameter_supported":   true,
		"request_parameter_supported":                      false,
		"request_uri_parameter_supported":                  false,
		"claims_parameter_supported":                       false,
		"capabilities":                                     capabilities,
	}
}

// style is how programs may dress to look at home (SMART App Launch 2.2, smart_style_url).
var style = map[string]any{
	"color_background": "#ffffff", "color_error": "#b3261e", "color_highlight": "#1d6b57", "color_modal_backdrop": "", "color_success": "#1d6b57",
	"color_text": "#1c2321", "dim_border_radius": "8px", "dim_font_size": "15px", "dim_spacing_size": "16px",
	"font_family_body": "'Atkinson Hyperlegible Next', system-ui, sans-serif", "font_family_heading": "'Atkinson Hyperlegible Next', system-ui, sans-serif",
}
