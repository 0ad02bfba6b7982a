package conformance_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// contexts say which launch the rows of a group of the kit are about, by a part of their ids; the first that fits holds.
var contexts = []struct{ part, name string }{
	{"g10_smart_standalone_patient_app", "standalone"}, {"g10_smart_limited_app", "limited"}, {"g10_smart_ehr_practitioner_app", "ehr"},
	{"g10_public_standalone_launch", "public"}, {"g10_token_revocation", "revoked"}, {"g10_smart_invalid_aud", "aud"},
	{"g10_smart_invalid_token_request", "standalone"}, {"g10_smart_invalid_pkce", "pkce"}, {"g10_ehr_patient_launch", "ehr-patient"},
	{"g10_token_introspection", "standalone"}, {"g10_asymmetric_launch", "asymmetric"}, {"g10_smart_v1_scopes", "v1"},
	{"granular_scope_selection", "selection"}, {"fine_grained_scopes-Group01", "granular1"}, {"fine_grained_scopes_stu2_2-Group01", "granular1"},
	{"fine_grained_scopes-Group02", "granular2"}, {"fine_grained_scopes_stu2_2-Group02", "granular2"}, {"multi_patient_api", "bulk"},
}

// standaloneCapabilities and ehrCapabilities are those that the kit wants advertised.
var (
	standaloneCapabilities = strings.Fields(`launch-standalone client-public client-confidential-symmetric client-confidential-asymmetric
		sso-openid-connect context-standalone-patient permission-offline permission-patient authorize-post permission-v2 permission-v1`)
	ehrCapabilities = strings.Fields(`launch-ehr client-confidential-symmetric client-confidential-asymmetric sso-openid-connect context-banner
		context-style context-ehr-patient permission-offline permission-user authorize-post permission-v2 permission-v1`)
)

// old says that a row is of SMART App Launch 1, which has no PKCE.
func old(id string) bool {
	for _, g := range []string{"smart_discovery-", "smart_standalone_launch-", "smart_ehr_launch-", "g10_public_standalone_launch-", "g10_ehr_patient_launch-",
		"g10_smart_invalid_token_request-"} {
		if strings.Contains(id, g) {
			return true
		}
	}
	return strings.HasSuffix(id, "-smart_app_redirect")
}

// judge gives the rows of the certification kit.
func (m *smart) judge(rows []g10) (out table) {
	for _, r := range rows {
		part := "(g)(10) " + partName(r.id)
		out = append(out, m.test(r).row(part, r.id, r.asks))
	}
	return out
}

func partName(id string) string {
	head, _, _ := strings.Cut(id, "-")
	if name, is := map[string]string{"g10_smart_standalone_patient_app": "standalone patient app", "g10_smart_limited_app": "limited app",
		"g10_smart_ehr_practitioner_app": "EHR practitioner app", "g10_single_patient_us_core_6_api": "single patient, US Core 6.1.0",
		"g10_single_patient_us_core_7_api": "single patient, US Core 7.0.0", "multi_patient_api": "Bulk Data 1", "multi_patient_api_stu2": "Bulk Data 2",
		"Group06": "additional", "g10_visual_inspection_and_attestations": "attestations"}[head]; is {
		return name
	}
	return head
}

// shows names, for each row that people attest on the certified system, where they see what they attest.
var shows = map[string]string{
	"Test01": "docs/apps.md, the screen Register a program, `yarrow client add`",
	"Test02": "docs/apps.md, `yarrow client add --kind keys` with scopes of system/",
	"Test03": "the consent screen; TestSMARTApp of test/e2e keeps its pictures",
	"Test04": "the consent screen has a switch of its own for access while the person is away",
	"Test05": "a refresh token lasts a year: docs/apps.md, TestRefreshLasts of base/oauth",
	"Test06": "opaque tokens are looked up for each request; the introspection rows",
	"Test07": "the records of the harness are compared with what the searches give",
	"Test08": "the rows of Bulk Data 2, and `yarrow prove isolation`",
	"Test09": "the pages of the FHIR interface, which need no sign-in",
	"Test10": "docs/apps.md, TestKeySets of base/oauth",
	"Test11": "US Core rows of Patient: name.suffix is stored and given back",
	"Test13": "a public program gets refresh tokens of the same length: the public standalone launch rows",

	"g10_public_url_attestation":            "`/fhir-endpoints.json`, for practices that chose to be listed",
	"g10_tls_version_attestation":           "the rows about TLS",
	"g10_refresh_token_refresh_attestation": "each use leaves three months at least: TestRefreshLasts of base/oauth",
	"g10_bulk_v2_since_attestation":         "docs/bulk.md says what _since means; its tests are in edge/bulk",
}

// attested leaves a row to people and says what they look at.
func attested(leaf string) verdict {
	where := shows[leaf]
	if strings.Contains(leaf, "clinical_test_scope") {
		where = "the rows about fine-grained scopes; a scope takes any category"
	}
	if where == "" {
		return wrong("nothing is named that people could look at")
	}
	return left("attested by people, who look at: %s", where)
}

func (m *smart) test(r g10) verdict {
	leaf := r.id[strings.LastIndexByte(r.id, '-')+1:]
	switch {
	case strings.HasPrefix(r.id, "g10_visual"):
		return attested(leaf)
	case strings.HasPrefix(r.id, "multi_patient_api-"):
		return left("not offered: Bulk Data 1 is superseded by Bulk Data 2, whose rows are asked")
	case old(r.id):
		return left("not offered: SMART App Launch 1 has no PKCE, which is required of everybody here; the rows of SMART 2 are asked")
	case strings.Contains(leaf, "tls"):
		return m.tlsOnly()
	}
	if v, is := m.rows[leaf]; is {
		return v
	}
	if strings.HasPrefix(leaf, "us_core_") && !strings.Contains(leaf, "granular") {
		return m.statement(leaf)
	}
	name := ""
	for _, c := range contexts {
		if strings.Contains(r.id, c.part) {
			name = c.name
			break
		}
	}
	switch name {
	case "":
		return left("the harness has no check for it")
	case "bulk":
		return m.bulk(r, leaf)
	case "aud":
		b, err := m.w.begin(wish{app: m.p.clients["secret"], scopes: standalone + " patient/Patient.rs", patient: robin, aud: "https://elsewhere.example.org/fhir"})
		if err != nil || b.back.Get("code") != "" {
			return wrong("a code came back: %v", err)
		}
		return fine
	case "pkce":
		return m.pkce(leaf)
	case "revoked":
		return m.revoked(leaf)
	}
	if strings.Contains(r.id, "_token_refresh-") {
		return m.refreshed(name, leaf)
	}
	if strings.Contains(r.id, "g10_token_introspection") && strings.HasPrefix(leaf, "Test") {
		return m.introspected(strings.Contains(r.id, "request_group"), leaf)
	}
	if strings.Contains(r.id, "invalid_token_request") && strings.HasPrefix(leaf, "Test") {
		return m.spoiled(leaf)
	}
	return m.launch(name, leaf, r.id)
}

// launch judges the rows of a launch.
func (m *smart) launch(name, leaf, id string) verdict {
	if v, is := m.published(name, leaf); is {
		return v
	}
	s := m.session(name)
	if v := s.launched(); v != fine {
		return v
	}
	switch leaf {
	case "smart_app_launch", "smart_launch_received":
		if s.begun.launch == "" || s.iss != m.p.base {
			return wrong("launch %q, iss %q", s.begun.launch, s.iss)
		}
		return fine
	case "smart_app_redirect_stu2", "smart_app_redirect_stu2_2", "smart_code_received":
		if !s.wellFormed || s.back.Get("error") != "" {
			return wrong("%v", s.back)
		}
		return fine
	case "smart_token_exchange", "smart_token_exchange_stu2_2":
		if s.answer.status != 200 || s.access == "" {
			return wrong("%d %s", s.answer.status, s.answer.text())
		}
		return fine
	case "smart_token_response_body", "smart_token_response_body_stu2_2":
		return tokenBody(s.token)
	case "smart_token_response_headers":
		return noStore(s.answer.header)
	case "smart_cors_token_exchange":
		u, _ := url.Parse(s.app.callback)
		return cors(s.answer.header, u.Scheme+"://"+u.Host)
	case "g10_smart_scopes":
		return m.scopesGranted(s, name)
	case "g10_unauthorized_access":
		if a := m.p.ask("GET", m.p.base+"/Patient/"+robin, nil); a.status != 401 {
			return wrong("%d", a.status)
		}
		return fine
	case "g10_patient_context":
		return m.patientContext(s, s.access)
	case "g10_encounter_context", "g10_encounter_context_us_core_6", "g10_encounter_context_us_core_7":
		e := text(s.token["encounter"])
		if a := m.with(s, "Encounter/"+e); e == "" || a.status != 200 {
			return wrong("encounter %q: %d", e, a.status)
		}
		return fine
	case "g10_smart_style_url":
		a := m.p.ask("GET", text(s.token["smart_style_url"]), nil)
		if a.status != 200 || a.json() == nil {
			return wrong("%v: %d", s.token["smart_style_url"], a.status)
		}
		return fine
	case "g10_smart_need_patient_banner":
		if _, is := s.token["need_patient_banner"].(bool); !is {
			return wrong("%v", s.token["need_patient_banner"])
		}
		return fine
	case "g10_limited_scope_grant":
		for _, t := range types {
			is := slices.Contains(s.granted(), "patient/"+t+".rs")
			if want := t == "Patient" || t == "Condition" || t == "Observation"; is != want {
				return wrong("%s granted: %t", t, is)
			}
		}
		return fine
	case "g10_patient_scope":
		if !slices.Contains(s.granted(), "patient/Patient.rs") {
			return wrong("%s", s.token["scope"])
		}
		return fine
	case "g10_public_launch_id_token", "g10_asymmetric_launch_id_token":
		if text(s.token["id_token"]) == "" {
			return wrong("no id_token")
		}
		return fine
	case "us_core_granted_granular_scopes":
		if v := m.scopesGranted(s, name); v != fine {
			return v
		}
		for _, g := range s.granted() {
			if g == "patient/*.rs" || strings.HasPrefix(g, "patient/Condition.") && !strings.Contains(g, "?") || strings.HasPrefix(g, "patient/Observation.") && !strings.Contains(g, "?") {
				return wrong("%s was granted", g)
			}
		}
		return fine
	case "g10_smart_granular_scope_selection", "g10_granular_scope_selection_v2_scopes", "g10_granular_scope_selection_v2_2_scopes":
		return selected(s)
	case "Test01":
		for _, t := range types {
			if !slices.Contains(s.granted(), "patient/"+t+".rs") && !slices.Contains(s.granted(), "patient/"+t+".read") {
				return wrong("%s is not granted", t)
			}
		}
		return fine
	}
	if strings.HasPrefix(leaf, "smart_openid_") || leaf == "smart_cors_openid_fhir_user_claim" {
		return m.openID(s, leaf)
	}
	if kind, is := strings.CutSuffix(leaf, "_access"); is {
		for _, drop := range []string{"_unrestricted", "_restricted"} {
			kind = strings.TrimSuffix(kind, drop)
		}
		for _, drop := range []string{"g10_", "us_core_6_", "us_core_7_"} {
			kind = strings.TrimPrefix(kind, drop)
		}
		return m.access(s, typed(kind))
	}
	if strings.Contains(leaf, "granular_scope") {
		typ := "Condition"
		if strings.Contains(leaf, "Observation") {
			typ = "Observation"
		}
		if strings.HasSuffix(leaf, "_read_test") {
			return m.granularRead(s, name, typ)
		}
		return m.granularSearch(s, name, typ, leaf)
	}
	return left("the harness has no check for it")
}

// selected judges a grant of which the person chose parts.
func selected(s *session) verdict {
	parts := map[string]bool{}
	for _, g := range s.granted() {
		if g == "patient/Condition.rs" || g == "patient/Observation.rs" {
			return wrong("%s was granted", g)
		}
		for _, t := range []string{"Condition", "Observation"} {
			if strings.HasPrefix(g, "patient/"+t+".rs?category=") {
				parts[t] = true
			}
		}
	}
	if !parts["Condition"] || !parts["Observation"] || !slices.Contains(s.granted(), "patient/Patient.rs") {
		return wrong("%s", s.token["scope"])
	}
	return fine
}

func cors(h http.Header, origin string) verdict {
	if got := h.Get("Access-Control-Allow-Origin"); got != "*" && got != origin {
		return wrong("Access-Control-Allow-Origin is %q", got)
	}
	return fine
}

// published judges what anybody may read.
func (m *smart) published(name, leaf string) (verdict, bool) {
	origin := "https://secret.example.org"
	switch leaf {
	case "well_known_endpoint":
		a := m.p.ask("GET", m.p.base+"/.well-known/smart-configuration", nil)
		if a.status != 200 || a.json() == nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			return wrong("%d %s", a.status, a.header.Get("Content-Type")), true
		}
		return fine, true
	case "well_known_capabilities_stu2":
		for _, n := range []string{"authorization_endpoint", "token_endpoint", "issuer", "jwks_uri"} {
			if text(m.conf[n]) == "" {
				return wrong("%s is %v", n, m.conf[n]), true
			}
		}
		has := func(n, v string) bool { return slices.Contains(texts(m.conf[n]), v) }
		if !has("grant_types_supported", "authorization_code") || !has("code_challenge_methods_supported", "S256") || has("code_challenge_methods_supported", "plain") {
			return wrong("%v %v", m.conf["grant_types_supported"], m.conf["code_challenge_methods_supported"]), true
		}
		return fine, true
	case "g10_smart_well_known_capabilities":
		want := standaloneCapabilities
		if name == "ehr" {
			want = ehrCapabilities
		}
		for _, c := range want {
			if !slices.Contains(texts(m.conf["capabilities"]), c) {
				return wrong("%s is not advertised", c), true
			}
		}
		return fine, true
	case "smart_cors_well_known_endpoint":
		return cors(m.p.ask("GET", m.p.base+"/.well-known/smart-configuration", nil, "Origin", origin).header, origin), true
	case "smart_cors_metadata_request":
		return cors(m.p.ask("GET", m.p.base+"/metadata", nil, "Origin", origin).header, origin), true
	case "g10_us_core_7_smart_version_check":
		return left("about the choice of versions within the kit"), true
	}
	return fine, false
}

// statement judges the capability statement, and the categories of screening.
func (m *smart) statement(leaf string) verdict {
	a := m.p.ask("GET", m.p.base+"/metadata", nil, "Accept", "application/fhir+json")
	s := a.json()
	profiles := map[string]bool{}
	for _, rest := range list(s["rest"]) {
		for _, r := range list(rest["resource"]) {
			for _, p := range texts(r["supportedProfile"]) {
				profiles[p] = true
			}
		}
	}
	switch leaf {
	case "us_core_conformance_support":
		if a.status != 200 || s["resourceType"] != "CapabilityStatement" {
			return wrong("%d", a.status)
		}
	case "us_core_fhir_version":
		if s["fhirVersion"] != "4.0.1" {
			return wrong("%v", s["fhirVersion"])
		}
	case "us_core_json_support":
		if f := texts(s["format"]); !slices.Contains(f, "json") && !slices.Contains(f, "application/fhir+json") {
			return wrong("%v", f)
		}
	case "us_core_profile_support":
		for _, g := range m.all.groups {
			if !profiles[g.URL] {
				return wrong("%s is not listed", g.URL)
			}
		}
	case "us_core_instantiate":
		if !slices.Contains(texts(s["instantiates"]), "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server") {
			return wrong("%v", s["instantiates"])
		}
	case "us_core_screening_assessment_category":
		for _, c := range []string{"sdoh", "functional-status", "disability-status", "cognitive-status"} {
			n := 0
			for _, t := range []string{"Observation", "Condition"} {
				n += len(m.all.find(t, url.Values{"category": {usCore + c}}, false).match)
			}
			if n == 0 {
				return wrong("nothing in %s", c)
			}
		}
	default:
		return left("the harness has no check for it")
	}
	return fine
}

// pkce spoils the verifier.
func (m *smart) pkce(leaf string) verdict {
	b, err := m.w.begin(m.wish("public"))
	if err != nil || b.back.Get("code") == "" {
		return wrong("no code: %v", err)
	}
	if !strings.HasSuffix(leaf, "_token_request") {
		return fine
	}
	a := m.p.exchange(b, func(v url.Values) {
		switch {
		case strings.Contains(leaf, "_no_"):
			v.Del("code_verifier")
		case strings.Contains(leaf, "_blank_"):
			v.Set("code_verifier", "")
		case strings.Contains(leaf, "_plain_"):
			v.Set("code_verifier", b.asked.Get("code_challenge"))
		default:
			v.Set("code_verifier", strings.Repeat("wrong-", 10))
		}
	})
	if a.status != 400 && a.status != 401 {
		return wrong("%d", a.status)
	}
	return fine
}

// spoiled sends a wrong code or a wrong client.
func (m *smart) spoiled(leaf string) verdict {
	b, err := m.w.begin(m.wish("public"))
	if err != nil || b.back.Get("code") == "" {
		return wrong("no code: %v", err)
	}
	a := m.p.exchange(b, func(v url.Values) {
		if leaf == "Test03" {
			v.Set("code", "made-up")
		} else {
			v.Set("client_id", "made-up")
		}
	})
	if a.status != 400 && (leaf == "Test03" || a.status != 401) {
		return wrong("%d", a.status)
	}
	return fine
}

// revoked revokes once and judges what the tokens still open.
func (m *smart) revoked(leaf string) verdict {
	s := m.session("revoked")
	if v := s.launched(); v != fine {
		return v
	}
	if m.by["revoked done"] == nil {
		m.by["revoked done"] = s
		if v := m.patientContext(s, s.access); v != fine {
			return v
		}
		v := url.Values{"token": {text(s.token["refresh_token"])}}
		if a := m.p.form("/willow/oauth/revoke", v, m.p.proof(s.app, v)...); a.status != 200 {
			return wrong("revocation: %d %s", a.status, a.text())
		}
	}
	switch leaf {
	case "Test01":
		return left("attested by people, who look at: revocation is immediate, see the next rows")
	case "Test02":
		if a := m.with(s, "Patient/"+robin); a.status != 401 && a.status != 403 && a.status != 404 {
			return wrong("%d", a.status)
		}
		return fine
	}
	v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(s.token["refresh_token"])}}
	if a := m.p.form("/willow/oauth/token", v, m.p.proof(s.app, v)...); a.status != 400 && a.status != 401 {
		return wrong("%d", a.status)
	}
	return fine
}

// introspected asks about a live and a made-up token.
func (m *smart) introspected(request bool, leaf string) verdict {
	s := m.session("standalone")
	if v := s.launched(); v != fine {
		return v
	}
	live := leaf == "Test01"
	token := s.access
	if !live {
		token = "made-up"
	}
	v := url.Values{"token": {token}}
	a := m.p.form("/willow/oauth/introspect", v, m.p.proof(s.app, v)...)
	o := a.json()
	switch {
	case a.status != 200 || o == nil:
		return wrong("%d %s", a.status, a.text())
	case request:
		return fine
	case !live:
		if o["active"] != false || len(o) > 1 {
			return wrong("%s", a.text())
		}
		return fine
	}
	part := strings.Split(text(s.token["id_token"]), ".")
	sub := ""
	if len(part) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(part[1])
		sub = text(answer{body: raw}.json()["sub"])
	}
	got, want := strings.Fields(text(o["scope"])), s.granted()
	slices.Sort(got)
	slices.Sort(want)
	if o["active"] != true || o["client_id"] != s.app.id || !slices.Equal(got, want) || o["patient"] != robin || text(o["exp"]) == "" ||
		o["iss"] != m.conf["issuer"] || sub == "" || o["sub"] != sub {
		return wrong("%s", a.text())
	}
	return fine
}
