package breakin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// sqlPairs are injections in pairs that an injectable statement would answer differently: the first makes its condition true, the
// second false. A statement that takes them as values answers both alike.
func sqlPairs() (pairs [][2]string) {
	for _, quote := range []string{"", "'", `"`, "`", "''", "\\'", "%27", "')", "'))", "\")", "0)", "\u02bc", "\uff07", "$1", "?", "1;", "'--\n"} {
		for _, c := range [][2]string{{"1=1", "1=2"}, {"'a'='a", "'a'='b"}, {"EXISTS(SELECT 1)", "EXISTS(SELECT 1 WHERE 1=0)"}} {
			for _, end := range []string{"", " -- ", " #", "/*", "\x00"} {
				pairs = append(pairs, [2]string{"x" + quote + " OR " + c[0] + end, "x" + quote + " OR " + c[1] + end})
			}
		}
	}
	return pairs
}

// sqlSleeps would make a statement last half a minute, do harm, or fail.
var sqlSleeps = []string{
	"1;SELECT pg_sleep(30)--", "x'||pg_sleep(30)--", "'; SELECT pg_sleep(30) --", "1 AND (SELECT 1 FROM pg_sleep(30))=1", "$$||pg_sleep(30)||$$",
	"'||(SELECT hex(randomblob(2000000000)))||'", "' UNION SELECT sql,2,3,4,5,6 FROM sqlite_master--", "'; ATTACH DATABASE '/tmp/x' AS y--", "'; PRAGMA writable_schema=1--",
	"'; DROP TABLE resource--", "'; SET app.practice_id='2'--", "'; RESET ROLE--", "'||(SELECT string_agg(tablename,',') FROM pg_tables)||'", "'; COPY (SELECT 1) TO PROGRAM 'id'--",
	"\\", "'", "\"", "''", ");--", "%", "_", "*", "{0}", "$1", "$999", ":name", "@p1", "?1", strings.Repeat("'", 3000), strings.Repeat("(", 3000), "\xbf\x27 OR 1=1",
}

// searchParams reads from the capability statement what can be asked for of each type.
func searchParams(t *testing.T, h *house, token string) map[string][]string {
	t.Helper()
	var c struct {
		Rest []struct {
			Resource []struct {
				Type        string
				SearchParam []struct{ Name string }
			}
		}
	}
	if err := json.Unmarshal([]byte(h.fhir(token, "GET", "/metadata", "").body), &c); err != nil || len(c.Rest) == 0 {
		t.Fatalf("no capability statement: %v", err)
	}
	out := map[string][]string{}
	for _, r := range c.Rest[0].Resource {
		for _, p := range r.SearchParam {
			out[r.Type] = append(out[r.Type], p.Name)
		}
	}
	return out
}

// found is what a search answered, without what may differ: the status, the number of hits and what was found.
func found(a answer) string {
	var b struct {
		Total *int
		Entry []struct{ FullURL string }
		Issue []struct{ Code string }
	}
	_ = json.Unmarshal([]byte(a.body), &b)
	total := -1
	if b.Total != nil {
		total = *b.Total
	}
	return fmt.Sprint(a.status, total, b.Entry, b.Issue)
}

// T-20. What is written where a value or a name belongs stays a value or is refused: no fault of the server, no statement that
// lasts, no answer that depends on what an injected condition says, nothing of the other practice.
func TestSQLStaysOut(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.token("willow")
		for i := range 3 {
			patient := h.put(token, fmt.Sprintf(`{"resourceType":"Patient","name":[{"family":"Heron%d"}],"birthDate":"1980-01-0%d","gender":"female"}`, i, i+1))
			h.put(token, `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2160-0"}]},"subject":{"reference":"Patient/`+patient+`"},"valueQuantity":{"value":1.5}}`)
		}
		other := h.token("elm")
		if a := h.ask("POST", "/elm/fhir/Patient", `{"resourceType":"Patient","name":[{"family":"Elmcanary"}]}`, "Authorization", "Bearer "+other, "Content-Type", "application/fhir+json"); a.status != http.StatusCreated {
			t.Fatal(a.text())
		}
		pairs, params := sqlPairs(), searchParams(t, h, token)
		types := []string{}
		for typ := range params {
			types = append(types, typ)
		}
		slices.Sort(types)
		var sent atomic.Int64
		ask := func(method, path, body string, headers ...string) answer {
			sent.Add(1)
			a := h.fhir(token, method, path, body, headers...)
			if a.err != nil || a.status >= 500 || a.took > 15*time.Second || strings.Contains(a.body, "Elmcanary") || strings.Contains(a.body, "sqlite3:") || strings.Contains(a.body, "SQLSTATE") {
				t.Errorf("%s %s %q: %d after %v %s %v", method, path, body, a.status, a.took, a.text(), a.err)
			}
			return a
		}
		var crowd errgroup.Group
		crowd.SetLimit(16)
		pair := func(typ, name string, p [2]string) {
			crowd.Go(func() error {
				var seen [2]string
				for i, v := range p {
					seen[i] = found(ask("GET", "/"+typ+"?"+url.QueryEscape(name)+"="+url.QueryEscape(v), ""))
				}
				if seen[0] != seen[1] {
					t.Errorf("%s?%s: %q is answered %s, and %q %s", typ, name, p[0], seen[0], p[1], seen[1])
				}
				return nil
			})
		}
		n := 0
		for _, typ := range types {
			for _, name := range params[typ] { // each parameter gets some; they go round
				for range 1 {
					pair(typ, name, pairs[(n*7)%len(pairs)])
					n++
				}
				v := sqlSleeps[n%len(sqlSleeps)]
				crowd.Go(func() error { ask("GET", "/"+typ+"?"+name+"="+url.QueryEscape(v), ""); return nil })
			}
		}
		for _, p := range pairs { // and some places get all
			for _, name := range []string{"family", "_id", "identifier", "birthdate", "_lastUpdated", "_tag", "general-practitioner.name", "_has:Observation:patient:code", "name:exact", "family:contains"} {
				pair("Patient", name, p)
			}
			pair("Observation", "value-quantity", p)
			pair("Observation", "code-value-quantity", p)
			pair("Observation", "subject:Patient.name", p)
		}
		for _, v := range append(sqlSleeps, pairs[0][0], pairs[16][0], pairs[70][0]) {
			q := url.QueryEscape(v)
			for _, path := range []string{"_sort=" + q, "_sort=-birthdate," + q, "_elements=" + q, "_summary=" + q, "_count=" + q, "_offset=" + q, "_include=" + q, "_revinclude=" + q, "_total=" + q,
				"_cursor=" + q, "_page=" + q, "page=" + q, "_filter=" + q, "_type=" + q, "_list=" + q, "_text=" + q, "_content=" + q, "_format=" + q, "name:" + q + "=x", q + "=x", "family:" + q + "=x", "subject." + q + "=x", "_has:" + q + "=x", "_has:Observation:" + q + ":code=x"} {
				crowd.Go(func() error { ask("GET", "/Patient?"+path, ""); return nil })
			}
			crowd.Go(func() error {
				p := url.PathEscape(v)
				ask("GET", "/Patient/"+p, "")
				ask("GET", "/Patient/"+p+"/_history/"+p, "")
				ask("GET", "/"+p, "")
				ask("GET", "/Patient/$"+p, "")
				ask("POST", "/Patient/_search", url.Values{"name": {v}, v: {"x"}, "_sort": {v}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
				for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "Prefer", "Accept", "Accept-Language", "X-Request-Id", "Idempotency-Key", "X-Provenance", "Content-Location"} {
					if strings.ContainsAny(v, "\n\x00") {
						continue
					}
					ask("GET", "/Patient?_count=1", "", name, v)
				}
				raw, _ := json.Marshal(strings.ToValidUTF8(v, "?"))
				ask("POST", "/Patient", `{"resourceType":"Patient","name":[{"family":`+string(raw)+`}],"identifier":[{"system":"urn:oid:1.2.3","value":`+string(raw)+`}]}`, "If-None-Exist", "identifier="+q)
				return nil
			})
		}
		// The addresses of the screens, their forms and cookies.
		ann := h.signIn("willow", "ann")
		for _, v := range append(sqlSleeps, pairs[16][0], pairs[16][1]) {
			q, p := url.QueryEscape(v), url.PathEscape(v)
			crowd.Go(func() error {
				see := func(a answer, what string) {
					sent.Add(1)
					if a.err != nil || a.status >= 500 || a.took > 15*time.Second || strings.Contains(a.body, "Elmcanary") {
						t.Errorf("%s with %q: %d after %v %s %v", what, v, a.status, a.took, a.text(), a.err)
					}
				}
				browser := *ann
				browser.cookies = map[string]string{}
				for k, c := range ann.cookies {
					browser.cookies[k] = c
				}
				for _, path := range []string{"/audit?who=" + q + "&action=" + q + "&from=" + q + "&to=" + q + "&sort=" + q + "&page=" + q, "/patients/" + p, "/patients/" + p + "/privacy", "/people/" + p, "/schedule?day=" + q + "&with=" + q,
					"/audit/entries/" + p, "/roles/view?role=" + q, "/apps/programs/" + p, "/docs/api/" + p, "/patients?p=" + q, "/audit/export/" + p + "?who=" + q} {
					see(browser.get(path), path)
				}
				for _, path := range []string{"/patients", "/find", "/audit/patient"} {
					see(browser.post(path, url.Values{"q": {v}, "text": {v}, "name": {v}, "patient": {v}, "sort": {v}}), path)
				}
				for _, name := range []string{"theme", "lang", "density", "__Host-yarrow-session-willow", "__Host-yarrow-device-willow"} {
					stranger := h.visitor("willow", "192.0.2.99")
					stranger.cookies[name] = q
					see(stranger.get("/schedule"), "cookie "+name)
				}
				return nil
			})
		}
		_ = crowd.Wait()
		if a := h.fhir(token, "GET", "/Patient?family:exact=Heron0&_total=accurate", ""); !strings.Contains(found(a), "200 1 ") {
			t.Errorf("afterwards the record is not found: %s", a.text())
		}
		t.Logf("%d requests", sent.Load())
	})
}
