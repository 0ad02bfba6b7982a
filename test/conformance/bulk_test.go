package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// bulk is one finished export of the group, and what it gave.
type bulk struct {
	why    verdict // why there is none
	kick   answer
	done   answer
	status resource
	files  map[string][]resource
	kinds  map[string]string // content types
	bare   map[string]int    // statuses without a token
}

// token is a fresh one of the program that acts by itself.
func (m *smart) systemToken() string {
	return text(m.p.backend(m.p.clients["backend"], "system/*.rs").json()["access_token"])
}

const groupExport = "/Group/conf-everybody/$export"

func (m *smart) start(query string, token string) answer {
	h := []string{"Accept", "application/fhir+json", "Prefer", "respond-async"}
	if token != "" {
		h = append(h, "Authorization", "Bearer "+token)
	}
	return m.p.ask("GET", m.p.base+groupExport+query, nil, h...)
}

// declared says whether the server promises the export of a group.
func (m *smart) declared() bool {
	for _, rest := range list(m.p.ask("GET", m.p.base+"/metadata", nil, "Accept", "application/fhir+json").json()["rest"]) {
		for _, r := range list(rest["resource"]) {
			for _, op := range list(r["operation"]) {
				if r["type"] == "Group" && strings.Contains(text(op["name"])+text(op["definition"]), "export") {
					return true
				}
			}
		}
	}
	return false
}

// export exports once.
func (m *smart) export() *bulk {
	if m.bulks != nil {
		return m.bulks
	}
	b := &bulk{files: map[string][]resource{}, kinds: map[string]string{}, bare: map[string]int{}}
	m.bulks = b
	if !m.declared() {
		b.why = left("the export of groups is being built")
		return b
	}
	token := m.systemToken()
	auth := []string{"Authorization", "Bearer " + token}
	b.kick = m.start("", token)
	at := b.kick.header.Get("Content-Location")
	if b.kick.status != 202 || at == "" {
		b.why = wrong("kick-off: %d %s", b.kick.status, b.kick.text())
		return b
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if b.done = m.p.ask("GET", at, nil, auth...); b.done.status != 202 && b.done.status != 429 {
			break
		}
	}
	b.status = b.done.json()
	if b.done.status != 200 || b.status == nil {
		b.why = wrong("status: %d %s", b.done.status, b.done.text())
		return b
	}
	for _, f := range list(b.status["output"]) {
		typ, u := text(f["type"]), text(f["url"])
		a := m.p.ask("GET", u, nil, append(auth, "Accept", "application/fhir+ndjson")...)
		b.bare[typ] = m.p.ask("GET", u, nil).status
		b.kinds[typ] = a.header.Get("Content-Type")
		for _, line := range bytes.Split(a.body, []byte("\n")) {
			var r resource
			d := json.NewDecoder(bytes.NewReader(line))
			d.UseNumber()
			if len(bytes.TrimSpace(line)) > 0 && d.Decode(&r) == nil {
				b.files[typ] = append(b.files[typ], r)
			}
		}
	}
	return b
}

// bulk judges the rows of Bulk Data 2 and of backend services.
func (m *smart) bulk(r g10, leaf string) verdict {
	backend := m.p.clients["backend"]
	ask := func(change func(url.Values)) answer {
		v := url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"}}
		m.p.proof(backend, v)
		change(v)
		return m.p.form("/willow/oauth/token", v)
	}
	refused := func(a answer) verdict {
		if a.status != 400 && a.status != 401 {
			return wrong("%d", a.status)
		}
		return fine
	}
	switch leaf {
	case "smart_backend_services_invalid_grant_type":
		return refused(ask(func(v url.Values) { v.Set("grant_type", "not_a_grant_type") }))
	case "smart_backend_services_invalid_client_assertion":
		return refused(ask(func(v url.Values) { v.Set("client_assertion_type", "not_an_assertion_type") }))
	case "smart_backend_services_invalid_jwt":
		return refused(ask(func(v url.Values) { v.Set("client_assertion", m.p.assertion(backend, "not-the-client", backend.id)) }))
	case "smart_backend_services_auth_request_success", "smart_backend_services_auth_response_body":
		a := ask(func(url.Values) {})
		if a.status != 200 && a.status != 201 {
			return wrong("%d %s", a.status, a.text())
		}
		return tokenBody(a.json())
	}
	b := m.export()
	if b.why != fine {
		return b.why
	}
	switch {
	case leaf == "g10_bulk_export_cancel" || leaf == "bulk_data_poll_cancelled_export":
		token := m.systemToken()
		at := m.start("", token).header.Get("Content-Location")
		if a := m.p.ask("DELETE", at, nil, "Authorization", "Bearer "+token); a.status != 202 {
			return wrong("DELETE: %d %s", a.status, a.text())
		}
		if a := m.p.ask("GET", at, nil, "Authorization", "Bearer "+token); a.status != 404 || a.json()["resourceType"] != "OperationOutcome" {
			return wrong("afterwards: %d %s", a.status, a.text())
		}
		return fine
	case leaf == "output_format_in_export_response":
		for _, f := range []string{"application/fhir+ndjson", "application/ndjson", "ndjson"} {
			if a := m.stop(m.start("?_outputFormat="+url.QueryEscape(f), m.systemToken())); a.status != 202 {
				return wrong("%s: %d %s", f, a.status, a.text())
			}
		}
		return fine
	case leaf == "g10_since_in_export_response":
		if a := m.stop(m.start("?_since=2020-01-01T00:00:00Z", m.systemToken())); a.status != 202 {
			return wrong("%d %s", a.status, a.text())
		}
		return fine
	case strings.Contains(r.id, "-bulk_data_group_export_stu2-"):
		return m.kickOff(b, leaf)
	}
	return m.lines(b, r, leaf)
}

// stop ends an export that was started for its answer only.
func (m *smart) stop(a answer) answer {
	if at := a.header.Get("Content-Location"); at != "" {
		m.p.ask("DELETE", at, nil, "Authorization", "Bearer "+m.systemToken())
	}
	return a
}

func (m *smart) kickOff(b *bulk, leaf string) verdict {
	switch leaf {
	case "Test02", "Test04": // declared, and answered with 202 and a place
		return fine
	case "Test03":
		if a := m.start("", ""); a.status != 400 && a.status != 401 {
			return wrong("%d", a.status)
		}
		return fine
	case "Test05":
		for _, k := range []string{"transactionTime", "request", "requiresAccessToken", "output", "error"} {
			if _, is := b.status[k]; !is {
				return wrong("%s is missing", k)
			}
		}
		if !strings.HasPrefix(b.done.header.Get("Content-Type"), "application/json") {
			return wrong("%s", b.done.header.Get("Content-Type"))
		}
		return fine
	case "Test06":
		for _, f := range list(b.status["output"]) {
			if text(f["type"]) == "" || !strings.HasPrefix(text(f["url"]), "https://") {
				return wrong("%v", f)
			}
		}
		if len(b.files) == 0 {
			return wrong("no output")
		}
		return fine
	}
	return left("the harness has no check for it")
}

// lines judges the files of an export.
func (m *smart) lines(b *bulk, r g10, leaf string) verdict {
	switch leaf {
	case "Test02":
		if b.status["requiresAccessToken"] != true {
			return wrong("requiresAccessToken is %v", b.status["requiresAccessToken"])
		}
		for typ, s := range b.bare {
			if s != 400 && s != 401 {
				return wrong("%s without a token: %d", typ, s)
			}
		}
		return fine
	case "Test04", "Test05":
		var ids []string
		for _, p := range b.files["Patient"] {
			ids = append(ids, text(p["id"]))
		}
		slices.Sort(ids)
		if !slices.Equal(ids, []string{robin, "example"}) {
			return wrong("%v", ids)
		}
		return fine
	}
	typ, _, _ := strings.Cut(r.asks, " lines")
	if i := strings.LastIndexByte(typ, ' '); i >= 0 {
		typ = typ[i+1:]
	}
	if len(b.files[typ]) == 0 {
		return wrong("no %s was exported", typ)
	}
	if !strings.HasPrefix(b.kinds[typ], "application/fhir+ndjson") {
		return wrong("the type of the content is %q", b.kinds[typ])
	}
	for _, o := range b.files[typ] {
		if o["resourceType"] != typ {
			return wrong("a %v stands among %s", o["resourceType"], typ)
		}
		meta, _ := o["meta"].(resource)
		for _, g := range m.all.groups {
			if g.Resource == typ && slices.Contains(texts(meta["profile"]), g.URL) {
				if s := m.all.problems(o, g.URL); s != "" {
					return wrong("%s: %s", key(o), s)
				}
			}
		}
	}
	return fine
}
