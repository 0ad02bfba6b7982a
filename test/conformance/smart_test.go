package conformance_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// types are those whose scopes the kit asks for.
var types = strings.Fields(`Patient AllergyIntolerance CarePlan CareTeam Condition Coverage Device DiagnosticReport DocumentReference Encounter
	Endpoint Goal Immunization Location Media Medication MedicationDispense MedicationRequest Observation Organization Practitioner PractitionerRole
	Procedure Provenance QuestionnaireResponse RelatedPerson ServiceRequest Specimen`)

func scopes(plain, level, letters string) string {
	for _, t := range types {
		plain += " " + level + "/" + t + "." + letters
	}
	return plain
}

const (
	robin      = "conf-robin"
	standalone = "launch/patient openid fhirUser offline_access"
	atEHR      = "launch openid fhirUser offline_access"
	condition  = "http://terminology.hl7.org/CodeSystem/condition-category|"
	concern    = "http://hl7.org/fhir/us/core/CodeSystem/condition-category|"
	observed   = "http://terminology.hl7.org/CodeSystem/observation-category|"
	usCore     = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|"
)

// The categories of the kit's two sets of granular scopes.
var granular = map[string]map[string][]string{
	"granular1": {"Condition": {condition + "encounter-diagnosis", concern + "health-concern"}, "Observation": {observed + "laboratory", observed + "social-history"}},
	"granular2": {"Condition": {condition + "problem-list-item"}, "Observation": {observed + "vital-signs", observed + "survey", usCore + "sdoh"}},
}

func granularScopes(set string) string {
	s := standalone + " patient/Patient.rs"
	for _, t := range []string{"Condition", "Observation"} {
		for _, c := range granular[set][t] {
			s += " patient/" + t + ".rs?category=" + c
		}
	}
	return s
}

// session is a launch and what came of it.
type session struct {
	begun
	err    error
	answer answer
	token  resource
	access string
}

func (s *session) granted() []string { return strings.Fields(text(s.token["scope"])) }

// smart keeps the launches of a run.
type smart struct {
	p     *place
	w     *person
	all   *core // with a token of the system, to see what there is
	by    map[string]*session
	conf  resource
	rows  map[string]verdict // of US Core, by id
	bulks *bulk
}

func newSmart(p *place, w *person, all *core, judged table) *smart {
	m := &smart{p: p, w: w, all: all, by: map[string]*session{}, rows: map[string]verdict{}}
	for _, r := range judged {
		v := fine
		if r.state != green {
			v = wrong("%s", r.why)
		}
		m.rows[r.id] = v
	}
	m.conf = p.ask("GET", p.base+"/.well-known/smart-configuration", nil).json()
	return m
}

// programs registers what the launches need; before the server has the data.
func (p *place) programs() {
	everything := standalone + " launch patient/*.cruds user/*.cruds"
	p.register("secret", "secret", everything)
	p.register("public", "public", everything)
	p.register("asymmetric", "keys", everything)
	p.register("backend", "keys", "system/*.cruds")
}

// wish tells how each launch goes.
func (m *smart) wish(name string) wish {
	apps := m.p.clients
	switch strings.TrimSuffix(name, "+refresh") {
	case "limited":
		return wish{app: apps["secret"], scopes: scopes(standalone, "patient", "rs"), patient: robin, off: func(s string) bool {
			return strings.HasPrefix(s, "patient/") && !strings.HasPrefix(s, "patient/Patient.") && !strings.HasPrefix(s, "patient/Condition.") && !strings.HasPrefix(s, "patient/Observation.")
		}}
	case "ehr":
		return wish{app: apps["secret"], scopes: scopes(atEHR, "user", "rs"), patient: robin, ehr: true}
	case "ehr-patient":
		return wish{app: apps["secret"], scopes: scopes(atEHR, "patient", "rs"), patient: robin, ehr: true}
	case "public":
		return wish{app: apps["public"], scopes: scopes(standalone, "patient", "rs"), patient: robin, post: true}
	case "asymmetric":
		return wish{app: apps["asymmetric"], scopes: scopes(standalone, "patient", "rs"), patient: robin}
	case "v1":
		return wish{app: apps["secret"], scopes: scopes(standalone, "patient", "read"), patient: robin}
	case "granular1", "granular2":
		return wish{app: apps["secret"], scopes: granularScopes(name), patient: robin}
	case "selection":
		keep := []string{"encounter-diagnosis", "vital-signs"}
		return wish{app: apps["secret"], scopes: standalone + " patient/Patient.rs patient/Condition.rs patient/Observation.rs", patient: robin, off: func(s string) bool {
			return strings.Contains(s, "?") && !slices.ContainsFunc(keep, func(k string) bool { return strings.HasSuffix(s, "|"+k) })
		}}
	}
	return wish{app: apps["secret"], scopes: scopes(standalone, "patient", "rs"), patient: robin}
}

// session launches once by each name.
func (m *smart) session(name string) *session {
	if s := m.by[name]; s != nil {
		return s
	}
	s := &session{}
	m.by[name] = s
	if s.begun, s.err = m.w.begin(m.wish(name)); s.err == nil && s.back.Get("code") != "" {
		s.answer = m.p.exchange(s.begun, nil)
		s.token = s.answer.json()
		s.access = text(s.token["access_token"])
	}
	return s
}

// launched says what went wrong before there was a token.
func (s *session) launched() verdict {
	switch {
	case s.err != nil:
		return wrong("%v", s.err)
	case s.back.Get("code") == "":
		return wrong("no code came back: %v %.300s", s.back, strings.Join(strings.Fields(s.shown), " "))
	}
	return fine
}

func (m *smart) with(s *session, path string, more ...string) answer {
	return m.p.ask("GET", m.p.base+"/"+path, nil, append([]string{"Authorization", "Bearer " + s.access, "Accept", "application/fhir+json"}, more...)...)
}

// tlsOnly connects with each version.
func (m *smart) tlsOnly() verdict {
	at := strings.TrimPrefix(m.p.origin, "https://")
	for v, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", at, &tls.Config{RootCAs: m.p.pool, MinVersion: v, MaxVersion: v})
		if err == nil {
			c.Close()
		}
		if (err == nil) != want {
			return wrong("%s: %v", tls.VersionName(v), err)
		}
	}
	if strings.HasPrefix(text(m.conf["token_endpoint"]), "https://") && strings.HasPrefix(text(m.conf["authorization_endpoint"]), "https://") {
		return fine
	}
	return wrong("the endpoints are not https")
}

// tokenBody judges a token answer.
func tokenBody(t resource) verdict {
	for _, n := range []string{"access_token", "token_type", "scope"} {
		if v, is := t[n].(string); !is || v == "" {
			return wrong("%s is %v", n, t[n])
		}
	}
	if !strings.EqualFold(text(t["token_type"]), "bearer") {
		return wrong("token_type is %v", t["token_type"])
	}
	if _, is := t["expires_in"].(interface{ Int64() (int64, error) }); !is {
		return wrong("expires_in is %v", t["expires_in"])
	}
	for _, c := range list(t["fhirContext"]) {
		if c["reference"] == nil && c["canonical"] == nil && c["identifier"] == nil {
			return wrong("fhirContext has %v", c)
		}
	}
	return fine
}

func noStore(h http.Header) verdict {
	if !strings.Contains(h.Get("Cache-Control"), "no-store") || !strings.Contains(h.Get("Pragma"), "no-cache") {
		return wrong("Cache-Control %q, Pragma %q", h.Get("Cache-Control"), h.Get("Pragma"))
	}
	return fine
}

// patientContext reads the patient of the launch.
func (m *smart) patientContext(s *session, access string) verdict {
	id := text(s.token["patient"])
	if id != s.patient {
		return wrong("patient is %q", id)
	}
	a := m.p.ask("GET", m.p.base+"/Patient/"+id, nil, "Authorization", "Bearer "+access)
	if a.status != 200 || key(a.json()) != "Patient/"+id {
		return wrong("%d %s", a.status, a.text())
	}
	return fine
}

// scopesGranted judges the scopes of a scenario.
func (m *smart) scopesGranted(s *session, name string) verdict {
	got := s.granted()
	want := strings.Fields(s.scopes)
	if name == "selection" {
		want = append(strings.Fields(standalone), "patient/Patient.rs")
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			return wrong("%s was not granted", w)
		}
	}
	return fine
}

// refreshed refreshes with or without scopes and judges the answer.
func (m *smart) refreshed(name, leaf string) verdict {
	s := m.session(name + "+refresh")
	if v := s.launched(); v != fine {
		return v
	}
	if leaf == "g10_invalid_token_refresh" {
		v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"made-up"}}
		if a := m.p.form("/willow/oauth/token", v, m.p.proof(s.app, v)...); a.status != 400 && a.status != 401 {
			return wrong("%d", a.status)
		}
		return fine
	}
	v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(s.token["refresh_token"])}}
	if strings.HasSuffix(leaf, "with_scopes") {
		v.Set("scope", text(s.token["scope"]))
	}
	a := m.p.form("/willow/oauth/token", v, m.p.proof(s.app, v)...)
	t := a.json()
	if a.status != 200 {
		return wrong("%d %s", a.status, a.text())
	}
	if r := text(t["refresh_token"]); r != "" { // it changes with each use
		s.token["refresh_token"] = t["refresh_token"]
	}
	s.access = text(t["access_token"])
	if v := noStore(a.header); v != fine {
		return v
	}
	if v := tokenBody(t); v != fine {
		return v
	}
	for _, sc := range strings.Fields(text(t["scope"])) {
		if !slices.Contains(s.granted(), sc) {
			return wrong("%s is more than was granted", sc)
		}
	}
	if leaf == "g10_patient_context" {
		return m.patientContext(s, s.access)
	}
	return fine
}

// typed gives the resource type that a snake-case name means.
func typed(snake string) string {
	out := ""
	for _, w := range strings.Split(snake, "_") {
		if w != "" {
			out += strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return out
}

// access searches a type with the launch's token: 200 and only that type when the scope was granted, 401 or 403 when it was not.
func (m *smart) access(s *session, typ string) verdict {
	q := typ + "?patient=" + s.patient
	if typ == "Patient" {
		q = "Patient?_id=" + s.patient
	}
	a := m.with(s, q)
	may := slices.ContainsFunc(s.granted(), func(g string) bool {
		return strings.HasPrefix(g, "patient/"+typ+".") && !strings.Contains(g, "?")
	})
	if !may {
		if a.status != 401 && a.status != 403 {
			return wrong("%s was not granted and answers %d", typ, a.status)
		}
		return fine
	}
	if a.status != 200 {
		return wrong("%d %s", a.status, a.text())
	}
	for _, e := range list(a.json()["entry"]) {
		r, _ := e["resource"].(resource)
		if r["resourceType"] != typ {
			return wrong("a %v came back", r["resourceType"])
		}
	}
	mine := newCore(m.p, s.access, nil, nil)
	if want, got := len(m.all.everything(typ, s.patient)), len(mine.everything(typ, s.patient)); got != want {
		return wrong("%d of %d %s come back", got, want, typ)
	}
	return fine
}

// inside gives what of a type falls into the categories of a set.
func inside(set, typ string, r resource) bool {
	for _, c := range granular[set][typ] {
		for _, v := range walk(r, "category", nil) {
			if tokenMatches(c, v) {
				return true
			}
		}
	}
	return false
}

// granularSearch repeats searches under granular scopes: exactly what falls into the categories comes back.
func (m *smart) granularSearch(s *session, set, typ, leaf string) verdict {
	everything := m.all.everything(typ, robin)
	var queries []string
	seen := map[string]bool{}
	add := func(q string) {
		if !seen[q] {
			seen[q] = true
			queries = append(queries, q)
		}
	}
	for _, r := range everything {
		for _, c := range walk(r, "category.coding", nil) {
			o, _ := c.(resource)
			switch {
			case strings.Contains(leaf, "category_date"):
				add("&date=ge2000-01-01&category=" + url.QueryEscape(text(o["system"])+"|"+text(o["code"])))
			case strings.Contains(leaf, "category"):
				add("&category=" + url.QueryEscape(text(o["system"])+"|"+text(o["code"])))
			}
		}
		for _, c := range walk(r, "code.coding.code", nil) {
			if strings.Contains(leaf, "code") {
				add("&code=" + text(c))
			}
		}
	}
	if strings.Contains(leaf, "_patient_granular") {
		add("")
	}
	if len(queries) == 0 {
		return wrong("nothing to ask")
	}
	narrow := &core{p: m.p, token: s.access}
	for _, q := range queries {
		v, _ := url.ParseQuery("patient=" + robin + q)
		want, got := map[string]bool{}, map[string]bool{}
		for _, r := range m.all.find(typ, v, false).match {
			if inside(set, typ, r) {
				want[key(r)] = true
			}
		}
		f := narrow.find(typ, v, false)
		if f.status != 200 {
			return wrong("%s: %d %s", q, f.status, f.text)
		}
		for _, r := range f.match {
			got[key(r)] = true
		}
		if fmt.Sprint(want) != fmt.Sprint(got) {
			return wrong("%s gives %v instead of %v", q, got, want)
		}
	}
	return fine
}

// granularRead reads what is inside and what is outside.
func (m *smart) granularRead(s *session, set, typ string) verdict {
	in, out := 0, 0
	for _, r := range m.all.everything(typ, robin) {
		a := m.with(s, key(r))
		if inside(set, typ, r) {
			in++
			if a.status != 200 {
				return wrong("%s, which is inside, answers %d", key(r), a.status)
			}
		} else {
			out++
			if a.status == 200 {
				return wrong("%s, which is outside, answers 200", key(r))
			}
		}
	}
	if in == 0 || out == 0 {
		return wrong("%d inside, %d outside", in, out)
	}
	return fine
}
