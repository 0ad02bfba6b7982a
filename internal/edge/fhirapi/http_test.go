package fhirapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// fill stores two patients in practice north and one in south.
func (k *desk) fill() {
	k.must(201, "system", "PUT", "Patient/ann", ann)
	k.must(201, "system", "PUT", "Patient/bob", `{"resourceType":"Patient","id":"bob","name":[{"family":"Birch"}],"birthDate":"1980"}`)
	k.must(201, "system", "PUT", "Observation/o1", observation("o1", "Patient/ann", "1-1"))
	k.must(201, "system", "PUT", "Observation/o2", observation("o2", "Patient/bob", "1-1"))
	k.must(201, "south", "PUT", "/south/fhir/Patient/cid", `{"resourceType":"Patient","id":"cid"}`)
}

// TestAnswers is the table of what the interface says: who asks what, the status, what must appear and what must not.
func TestAnswers(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded"
	answers := []struct {
		as, method, path, body string
		headers                []string
		status                 int
		must, mustNot          string // "|" between
	}{
		// who asks
		{"", "GET", "Patient/ann", "", nil, 401, "login|WWW-Authenticate: Bearer realm=\"north\"", "Alder"},
		{"", "GET", "Patient", "", []string{"Authorization: Bearer x"}, 401, `error="invalid_token"`, ""},
		{"south", "GET", "Patient/ann", "", nil, 401, "login", "Alder"}, // a scope of another practice is none
		{"system", "GET", "/south/fhir/Patient/cid", "", nil, 401, "login", ""},
		{"system", "GET", "/nowhere/fhir/Patient/ann", "", nil, 404, "no such practice", ""},
		{"desk", "GET", "Observation/o1", "", nil, 403, "forbidden", "kg"},
		{"desk", "GET", "Observation?subject=Patient/ann", "", nil, 403, "forbidden", "kg"},
		{"clinician", "DELETE", "Observation/o1", "", nil, 403, "forbidden", ""},
		// addresses
		{"system", "GET", "Pirate", "", nil, 404, "not a resource type|Use a type", ""},
		{"system", "GET", "Pateint/ann", "", nil, 404, "Did you mean Patient?", ""},
		{"system", "GET", "Patient/ann/extra/thing/more", "", nil, 404, "nothing at this address", ""},
		{"system", "GET", "Patient/a_b", "", nil, 404, "no such Patient", ""},
		{"system", "GET", "Patient/ann/_history/x", "", nil, 404, "no such version", ""},
		{"system", "GET", "Patient/ann/_history/99", "", nil, 404, "no such", ""},
		{"system", "GET", "_nothing", "", nil, 404, "nothing at this address", ""},
		{"system", "GET", "Patient/$nothing", "", nil, 404, "no operation", ""},
		// methods
		{"system", "PUT", "metadata", "{}", nil, 405, "Allow: GET, HEAD, OPTIONS", ""},
		{"system", "DELETE", "Patient/ann/_history", "", nil, 405, "Allow: GET, HEAD, OPTIONS", ""},
		{"system", "POST", "Patient/ann", "{}", nil, 405, "Allow: DELETE, GET, HEAD, OPTIONS, PATCH, PUT", ""},
		{"system", "TRACE", "Patient/ann", "", nil, 405, "not-supported", ""},
		{"system", "GET", "Patient/_search", "", nil, 405, "Allow: OPTIONS, POST", ""},
		{"system", "OPTIONS", "Patient/ann", "", nil, 204, "Allow: DELETE, GET, HEAD, OPTIONS, PATCH, PUT", ""},
		{"system", "HEAD", "Patient/ann", "", nil, 200, `ETag: W/"1"|Content-Length: `, "Alder"},
		// forms of answers
		{"system", "GET", "Patient/ann", "", []string{"Accept: text/csv"}, 406, "application/fhir+xml", "Alder"},
		{"system", "GET", "Patient/ann?_format=ttl", "", nil, 406, "_format", "Alder"},
		{"system", "GET", "Patient/ann", "", []string{"Accept: application/fhir+json; fhirVersion=5.0"}, 406, "FHIR version 4.0", "Alder"},
		{"system", "GET", "Patient/ann", "", []string{"Accept: application/fhir+json; fhirVersion=4.0"}, 200, "Alder", ""},
		{"system", "GET", "Patient/ann", "", []string{"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, 200, "Content-Type: application/fhir+json", ""},
		{"system", "GET", "Patient/ann", "", []string{"Accept: application/fhir+xml;q=0.5, application/fhir+json;q=0.4"}, 200, "<Patient xmlns=", ""},
		{"system", "GET", "Patient/ann?_format=xml", "", []string{"Accept: application/fhir+json"}, 200, "<Patient xmlns=", ""},
		{"system", "GET", "Patient/ann?_format=application/fhir+xml", "", nil, 200, "<Patient xmlns=", ""},
		{"system", "GET", "Patient/ann?_pretty=true", "", nil, 200, "{\n  \"resourceType\"", ""},
		{"system", "GET", "Patient/ann?_pretty=yes", "", nil, 400, "_pretty", "Alder"},
		{"system", "GET", "Patient/ann?_elements=birthDate", "", nil, 200, "1970-03|SUBSETTED", "Alder"},
		{"system", "GET", "Patient/ann?_elements=nome", "", nil, 400, "Did you mean name?", "Alder"},
		{"system", "GET", "Patient?_elements=deceasedBoolean,name&family=alder", "", nil, 200, "Alder", "birthDate"},
		{"system", "GET", "Patient/ann?_summary=text", "", nil, 200, "SUBSETTED", "Alder"},
		{"system", "GET", "Patient/ann?_summary=count", "", nil, 400, "for searches", "Alder"},
		{"system", "GET", "Patient/ann?nonsense=1", "", nil, 400, "means nothing", "Alder"},
		{"system", "GET", "Patient/ann?nonsense=1", "", []string{"Prefer: handling=lenient"}, 200, "Alder", ""},
		{"system", "GET", "Patient/ann?%zz", "", nil, 400, "not well formed", "Alder"},
		// searches
		{"system", "GET", "Patient?family=alder", "", nil, 200, "Alder|searchset|Patient?family=alder", "Birch"},
		{"system", "GET", "Patient?famly=alder", "", nil, 400, "Did you mean family", "Alder"},
		{"system", "GET", "Patient?famly=alder&birthdate=1980", "", []string{"Prefer: handling=lenient"}, 200, `"mode":"outcome"|Birch|famly`, "Alder"},
		{"system", "GET", "Patient?birthdate=never", "", []string{"Prefer: handling=lenient"}, 400, "birthdate", "Alder"},
		{"system", "GET", "Patient?_summary=count", "", nil, 200, `"total":2`, "Alder"},
		{"system", "GET", "Patient?_count=0", "", nil, 200, `"total":2`, "Alder"},
		{"system", "GET", "Patient?family=alder&_summary=true", "", nil, 200, "SUBSETTED|Alder", ""},
		{"system", "GET", "Observation?code=1-1&_include=Observation:subject", "", nil, 200, `"mode":"include"|Alder|1.50`, ""},
		{"system", "POST", "Patient/_search", "family=alder", []string{form}, 200, "Alder", "family=alder"},
		{"system", "POST", "Patient/_search?birthdate=1980", "family=alder", []string{form}, 200, "searchset", "Alder"},
		{"system", "POST", "Patient/_search", `{}`, nil, 415, "form", ""},
		{"system", "POST", "_search", "_type=Patient&_lastUpdated=gt2000", []string{form}, 200, "Alder|Birch", ""},
		{"system", "GET", "?_type=Patient,Observation", "", nil, 200, "Alder|1.50", ""},
		{"system", "GET", "Patient?_page=AAAA", "", nil, 400, "page link", ""},
		// bodies
		{"system", "POST", "Patient", "", nil, 400, "no body", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"`, nil, 400, "structure|Line[1]", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient","nome":1}`, nil, 400, "Patient.nome", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient","gender":"male","gender":"female"}`, nil, 400, "gender", ""},
		{"system", "POST", "Patient", `{"resourceType":"Basic","code":{"text":"x"}}`, nil, 400, "address is that of a Patient", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"Content-Type: text/plain"}, 415, "type this server does not read", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"Content-Encoding: br"}, 415, "compressed|Accept-Encoding: gzip, identity", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"Content-Encoding: gzip"}, 400, "not what Content-Encoding says", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"Content-Type: application/fhir+json; fhirVersion=3.0"}, 415, "FHIR version 4.0", ""},
		{"system", "PUT", "Patient/ann", strings.Replace(ann, `"id":"ann"`, `"id":"bob"`, 1), nil, 400, "not the one of the address", ""},
		{"system", "PUT", "Patient/ann", strings.Replace(ann, `"id":"ann",`, ``, 1), nil, 400, "not the one of the address", ""},
		// conditions
		{"system", "PUT", "Patient/ann", ann, []string{"If-Match: three"}, 400, "If-Match", ""},
		{"system", "PUT", "Patient/none", strings.Replace(ann, `"id":"ann"`, `"id":"none"`, 1), []string{`If-Match: W/"1"`}, 412, "no such", ""},
		{"system", "PUT", "Patient/ann", ann, []string{"If-None-Match: *"}, 412, "already a Patient", ""},
		{"system", "DELETE", "Patient/ann", "", []string{`If-Match: W/"4"`}, 412, "version 1", ""},
		{"system", "PUT", "Patient", ann, nil, 400, "needs a condition", ""},
		{"system", "DELETE", "Patient", "", nil, 400, "needs a condition", ""},
		{"system", "DELETE", "Patient?_lastUpdated=gt2000", "", nil, 412, "More than one", ""},
		{"system", "PUT", "Patient?_lastUpdated=gt2000", `{"resourceType":"Patient"}`, nil, 412, "More than one", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"If-None-Exist: _lastUpdated=gt2000"}, 412, "More than one", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"If-None-Exist: famly=x"}, 400, "famly", ""},
		{"system", "POST", "Patient", `{"resourceType":"Patient"}`, []string{"If-None-Exist: family=alder"}, 200, "Alder", ""},
		{"system", "GET", "Patient/ann", "", []string{`If-None-Match: "1"`}, 304, `ETag: W/"1"`, "Alder"},
		{"system", "GET", "Patient/ann", "", []string{`If-None-Match: W/"7", W/"1"`}, 304, "", "Alder"},
		{"system", "GET", "Patient/ann", "", []string{`If-None-Match: W/"2"`}, 200, "Alder", ""},
		{"system", "GET", "Patient/ann", "", []string{"If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT"}, 304, "", "Alder"},
		{"system", "GET", "Patient/ann", "", []string{"If-Modified-Since: Fri, 31 Dec 1999 00:00:00 GMT"}, 200, "Alder", ""},
		{"system", "DELETE", "Observation?code=1-1", "", []string{"X-Delete-Count: 3"}, 412, "2 resources answer the condition, not 3: nothing was deleted", ""},
		{"system", "DELETE", "Observation?code=1-1", "", []string{"X-Delete-Count: 1"}, 412, "more than 1 resources answer", ""},
		{"system", "DELETE", "Observation?code=1-1", "", []string{"X-Delete-Count: all"}, 400, "not a number of resources", ""},
		{"system", "DELETE", "Observation?_count=5", "", []string{"X-Delete-Count: 2"}, 400, "", ""},
		{"ann", "DELETE", "Observation?code=1-1", "", []string{"X-Delete-Count: 2"}, 412, "1 resources answer the condition", ""}, // the other is not hers
		{"clinician", "DELETE", "Observation?code=1-1", "", []string{"X-Delete-Count: 2"}, 403, "forbidden", ""},
		{"system", "GET", "Observation?code=1-1&_total=accurate", "", nil, 200, `"total":2`, ""},
		{"system", "DELETE", "Observation?code=1-1", "", []string{"X-Delete-Count: 2"}, 200, "2 resources were deleted", ""},
		{"system", "GET", "Observation?code=1-1&_total=accurate", "", nil, 200, `"total":0`, ""},
		{"system", "GET", "Observation/o2", "", nil, 410, "deleted", ""},
		// histories
		{"system", "GET", "Patient/_history", "", nil, 200, `"type":"history"|Alder|Birch`, "Observation"},
		{"system", "GET", "_history?_count=2", "", nil, 200, `"type":"history"|"relation":"next"`, ""},
		{"system", "GET", "Patient/_history?_since=soon", "", nil, 400, "_since", ""},
		{"system", "GET", "Patient/ann/_history?_at=2000", "", nil, 200, `"total":0`, "Alder"},
	}
	each(t, func(t *testing.T, k *desk) {
		k.fill()
		for _, c := range answers {
			name := fmt.Sprintf("%s %s %s %s", c.as, c.method, c.path, strings.Join(c.headers, " "))
			r := k.ask(c.as, c.method, c.path, c.body, c.headers...)
			whole := r.body
			for h, v := range r.header {
				whole += "\n" + h + ": " + strings.Join(v, ", ")
			}
			whole = strings.ReplaceAll(whole, "Etag: ", "ETag: ")
			whole = strings.ReplaceAll(whole, "Www-Authenticate: ", "WWW-Authenticate: ")
			if r.status != c.status {
				t.Errorf("%s: status %d, not %d\n%.600s", name, r.status, c.status, r.body)
				continue
			}
			for _, want := range strings.Split(c.must, "|") {
				if !strings.Contains(whole, want) {
					t.Errorf("%s: without %q\n%.800s", name, want, whole)
				}
			}
			for _, not := range strings.Split(c.mustNot, "|") {
				if not != "" && strings.Contains(whole, not) {
					t.Errorf("%s: with %q\n%.800s", name, not, whole)
				}
			}
			if c.status >= 400 {
				checkOutcome(t, name, r)
			}
			if r.header.Get("Cache-Control") != "no-store" || r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("X-Request-Id") == "" {
				t.Errorf("%s: headers %v", name, r.header)
			}
		}
	})
}

// checkOutcome insists that every refusal is a valid OperationOutcome with text and remedy.
func checkOutcome(t *testing.T, name string, r reply) {
	t.Helper()
	if !strings.HasPrefix(r.header.Get("Content-Type"), "application/fhir+json") {
		t.Errorf("%s: a refusal as %s", name, r.header.Get("Content-Type"))
		return
	}
	n, issues := fhir.Parse([]byte(r.body))
	if err := issues.Err(); err != nil || n.Get("resourceType").Text() != "OperationOutcome" {
		t.Errorf("%s: not an OperationOutcome: %v\n%s", name, err, r.body)
		return
	}
	for i := range n.Get("issue").Items() {
		issue := &n.Get("issue").Items()[i]
		if issue.At("details", "text").Text() == "" || issue.Get("diagnostics").Text() == "" {
			t.Errorf("%s: an issue without text or remedy: %s", name, issue)
		}
	}
}

// TestNotYoursLooksLikeNotThere compares, byte for byte, what is answered about somebody else's resource and about none.
func TestNotYoursLooksLikeNotThere(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.fill()
		for _, c := range []struct{ method, path, body string }{
			{"GET", "Observation/%s", ""},
			{"GET", "Observation/%s/_history", ""},
			{"GET", "Observation/%s/_history/1", ""},
			{"DELETE", "Observation/%s", ""},
			{"PUT", "Observation/%s", observation("%s", "Patient/ann", "1")},
			{"PATCH", "Observation/%s", ""},
			{"GET", "Observation?_id=%s", ""},
			{"GET", "Observation/_history", ""},
			{"GET", "Patient/bob/Observation?_id=%s", ""},
			{"GET", "Patient?_has:Observation:subject:_id=%s", ""},
			{"POST", "", bundleOf("transaction", entryOf("DELETE", "Observation/%s", ""))},
			{"POST", "", bundleOf("transaction", entryOf("GET", "Observation/%s", ""))},
			{"POST", "", bundleOf("transaction", entryOf("PUT", "Observation/%s", observation("%s", "Patient/ann", "1")))},
			{"POST", "", bundleOf("batch", entryOf("GET", "Observation/%s", ""), entryOf("DELETE", "Observation/%s", ""))},
		} {
			ask := func(id string) string {
				headers := []string{}
				body := strings.ReplaceAll(c.body, "%s", id)
				if c.method == "PATCH" {
					headers, body = append(headers, "Content-Type: application/json-patch+json"), `[{"op":"add","path":"/language","value":"en"}]`
				}
				r := k.ask("ann", c.method, strings.ReplaceAll(c.path, "%s", id), body, headers...)
				return fmt.Sprint(r.status, " ", strings.ReplaceAll(r.body, id, "ID"))
			}
			theirs, nobodys := ask("o2"), ask("none")
			if theirs != nobodys {
				t.Errorf("%s %s tells:\n%s\n%s", c.method, c.path, theirs, nobodys)
			}
			if strings.Contains(theirs, "Birch") || strings.Contains(theirs, "Patient/bob\"") {
				t.Errorf("%s %s shows somebody else's record: %s", c.method, c.path, theirs)
			}
		}
		if r := k.must(200, "ann", "GET", "Observation", ""); strings.Contains(r.body, "o2") || !strings.Contains(r.body, "o1") {
			t.Errorf("a search: %s", r.body)
		}
		// what the attempts left behind
		refused := 0
		for _, e := range k.events(100) {
			if e.Outcome == audit.OutcomeRefused {
				refused++
			}
		}
		if refused < 4 {
			t.Errorf("%d refused attempts are on record", refused)
		}
	})
}

func TestPagesKeepTheirSecret(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.fill()
		for i := range 5 {
			k.must(201, "system", "POST", "Patient", fmt.Sprintf(`{"resourceType":"Patient","name":[{"family":"Canary","given":["n%d"]}]}`, i))
		}
		long := "&_id:not=" + strings.Repeat("00000000-0000-0000-0000-000000000000,", 100) + "x"
		for _, ask := range []func() reply{
			func() reply {
				return k.must(200, "system", "GET", "Patient?family=canary&_count=2&_total=accurate"+long, "")
			},
			func() reply {
				return k.must(200, "system", "GET", "Patient?family=canary&_count=2&_total=accurate", "")
			},
			func() reply {
				return k.must(200, "system", "POST", "Patient/_search", "family=canary&_count=2&_total=accurate", "Content-Type: application/x-www-form-urlencoded")
			},
		} {
			r := ask()
			seen := map[string]bool{}
			pages := 0
			for {
				pages++
				m := r.json(t)
				if m["total"] != 5.0 {
					t.Errorf("total %v", m["total"])
				}
				for _, e := range m["entry"].([]any) {
					seen[e.(map[string]any)["fullUrl"].(string)] = true
				}
				next := linkOf(m, "next")
				if next == "" {
					break
				}
				if strings.Contains(strings.ToLower(next), "canary") || strings.Contains(next, "family") {
					t.Errorf("a page link tells what was searched: %s", next)
				}
				path := strings.TrimPrefix(next, "https://ehr.example.org")
				if r := k.ask("south", "GET", strings.Replace(path, "/north/", "/south/", 1), ""); r.status != 400 {
					t.Errorf("the link opens in another practice: %d", r.status)
				}
				u, _ := url.Parse(path)
				if r := k.ask("system", "GET", "Observation?"+u.RawQuery, ""); r.status != 400 {
					t.Errorf("the link opens for another type: %d", r.status)
				}
				r = k.must(200, "system", "GET", path, "")
			}
			if len(seen) != 5 || pages != 3 {
				t.Errorf("%d patients on %d pages", len(seen), pages)
			}
		}
	})
}

func TestEveryAccessIsOnRecord(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.fill()
		for _, c := range []struct {
			method, path string
			want         audit.Event
			links        string
		}{
			{"GET", "Patient/ann", audit.Event{Action: "read", Type: "Patient", ID: "ann", Version: 1, Patient: "Patient/ann"}, ""},
			{"GET", "Observation/o1", audit.Event{Action: "read", Type: "Observation", ID: "o1", Version: 1, Patient: "Patient/ann"}, ""},
			{"HEAD", "Observation/o1", audit.Event{Action: "read", Type: "Observation", ID: "o1", Version: 1, Patient: "Patient/ann"}, ""},
			{"GET", "Observation/o1/_history/1", audit.Event{Action: "read", Type: "Observation", ID: "o1", Version: 1, Patient: "Patient/ann"}, ""},
			{"GET", "Observation?code=1-1", audit.Event{Action: "search", Type: "Observation"}, "Observation/o1 Observation/o2 Patient/ann Patient/bob"},
			{"GET", "Observation?subject=Patient/ann", audit.Event{Action: "search", Type: "Observation", Patient: "Patient/ann"}, "Observation/o1"},
			{"GET", "Patient/ann/*", audit.Event{Action: "search", Patient: "Patient/ann"}, "Observation/o1"},
			{"GET", "Patient?family=nobody", audit.Event{Action: "search", Type: "Patient"}, ""},
			{"GET", "Observation/o1/_history", audit.Event{Action: "read", Type: "Observation", ID: "o1", Patient: "Patient/ann"}, "Observation/o1"},
			{"GET", "Observation/none", audit.Event{Action: "read", Type: "Observation", ID: "none", Outcome: audit.OutcomeRefused}, ""},
		} {
			k.ask("clinician", c.method, c.path, "")
			e := k.events(1)[0]
			if e.Actor.UserID != 7 || e.Action != c.want.Action || e.Type != c.want.Type || e.Event.ID != c.want.ID || e.Version != c.want.Version || e.Patient != c.want.Patient || e.Outcome != c.want.Outcome {
				t.Errorf("%s %s: %+v", c.method, c.path, e)
			}
			for _, l := range strings.Fields(c.links) {
				if !strings.Contains(" "+strings.Join(e.Links, " ")+" "+e.Patient+" ", " "+l+" ") {
					t.Errorf("%s %s: links %v without %s", c.method, c.path, e.Links, l)
				}
			}
		}
	})
}

func TestRacesHaveOneWinner(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.fill()
		race := func(ask func(i int) reply) map[int]int {
			var mu sync.Mutex
			var wg sync.WaitGroup
			got := map[int]int{}
			for i := range 8 {
				wg.Go(func() {
					r := ask(i)
					mu.Lock()
					got[r.status]++
					mu.Unlock()
				})
			}
			wg.Wait()
			return got
		}
		made := race(func(i int) reply {
			return k.ask("system", "POST", "Patient", `{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"1"}]}`, "If-None-Exist: identifier=urn:x|1")
		})
		if made[201] != 1 || made[200] != 7 {
			t.Errorf("conditional creates: %v", made)
		}
		if r := k.must(200, "system", "GET", "Patient?identifier=urn:x%7C1&_summary=count", ""); !strings.Contains(r.body, `"total":1`) {
			t.Errorf("%s", r.body)
		}
		upserts := race(func(i int) reply {
			return k.ask("system", "PUT", "Patient?identifier=urn:y%7C1", `{"resourceType":"Patient","identifier":[{"system":"urn:y","value":"1"}]}`)
		})
		if upserts[201] != 1 || upserts[200] != 7 {
			t.Errorf("conditional updates: %v", upserts)
		}
		changed := race(func(i int) reply {
			return k.ask("system", "PUT", "Patient/ann", strings.Replace(ann, "Alder", fmt.Sprint("Alder", i), 1), `If-Match: W/"1"`)
		})
		if changed[200] != 1 || changed[412] != 7 {
			t.Errorf("changes of one version: %v", changed)
		}
		keyed := race(func(i int) reply {
			return k.ask("system", "POST", "Patient", `{"resourceType":"Patient","gender":"other"}`, "Idempotency-Key: once")
		})
		if keyed[201]+keyed[409] != 8 || keyed[201] == 0 {
			t.Errorf("one idempotency key: %v", keyed)
		}
		if r := k.must(200, "system", "GET", "Patient?gender=other&_summary=count", ""); !strings.Contains(r.body, `"total":1`) {
			t.Errorf("one idempotency key made more: %s", r.body)
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.fill()
		const key = "Idempotency-Key: k1"
		body := `{"resourceType":"Patient","gender":"other"}`
		first := k.must(201, "system", "POST", "Patient", body, key)
		again := k.must(201, "system", "POST", "Patient", body, key)
		for _, h := range []string{"Location", "ETag", "Last-Modified"} {
			if first.header.Get(h) != again.header.Get(h) {
				t.Errorf("%s: %q, then %q", h, first.header.Get(h), again.header.Get(h))
			}
		}
		if first.body != again.body {
			t.Errorf("%s\n%s", first.body, again.body)
		}
		if r := k.must(409, "system", "POST", "Patient", `{"resourceType":"Patient","gender":"male"}`, key); !strings.Contains(r.body, "different request") {
			t.Errorf("%s", r.body)
		}
		other := k.must(201, "clinician", "POST", "Patient", body, key) // keys belong to who sends them
		if other.header.Get("Location") == first.header.Get("Location") {
			t.Error("somebody else's key was answered")
		}
		k.must(400, "system", "POST", "Patient", body, "Idempotency-Key: "+strings.Repeat("k", 256))
		k.must(204, "system", "DELETE", "Observation/o2", "", "Idempotency-Key: d")
		k.must(204, "system", "DELETE", "Observation/o2", "", "Idempotency-Key: d")
		k.must(200, "system", "PATCH", "Observation/o1", `[{"op":"add","path":"/note","value":[{"text":"x"}]}]`, "Content-Type: application/json-patch+json", "Idempotency-Key: p")
		k.must(200, "system", "PATCH", "Observation/o1", `[{"op":"add","path":"/note","value":[{"text":"x"}]}]`, "Content-Type: application/json-patch+json", "Idempotency-Key: p")
		if r := k.must(200, "system", "GET", "Observation/o1", ""); r.header.Get("ETag") != `W/"2"` {
			t.Errorf("a patch counted twice: %s", r.header.Get("ETag"))
		}
		for _, kind := range []string{"transaction", "batch"} {
			b := bundleOf(kind, entryOf("POST", "Organization", `{"resourceType":"Organization","name":"`+kind+`"}`))
			one := k.must(200, "system", "POST", "", b, "Idempotency-Key: b-"+kind)
			two := k.must(200, "system", "POST", "", b, "Idempotency-Key: b-"+kind)
			if one.body != two.body {
				t.Errorf("%s:\n%s\n%s", kind, one.body, two.body)
			}
			if r := k.must(200, "system", "GET", "Organization?name="+kind+"&_summary=count", ""); !strings.Contains(r.body, `"total":1`) {
				t.Errorf("a %s counted twice: %s", kind, r.body)
			}
		}
	})
}

func TestPreferences(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		r := k.must(201, "system", "PUT", "Patient/ann", ann, "Prefer: return=minimal")
		if r.body != "" || r.header.Get("Preference-Applied") != "return=minimal" || r.header.Get("ETag") == "" || r.header.Get("Location") == "" {
			t.Errorf("minimal: %v %q", r.header, r.body)
		}
		r = k.must(200, "system", "PUT", "Patient/ann", ann, "Prefer: return=OperationOutcome")
		if !strings.Contains(r.body, "OperationOutcome") || strings.Contains(r.body, "Alder") {
			t.Errorf("outcome: %s", r.body)
		}
		r = k.must(200, "system", "PUT", "Patient/ann", ann, "Prefer: handling=strict; return=representation")
		if !strings.Contains(r.body, "Alder") {
			t.Errorf("representation: %s", r.body)
		}
		r = k.must(200, "system", "POST", "", bundleOf("transaction", entryOf("PUT", "Patient/ann", ann)), "Prefer: return=representation")
		if !strings.Contains(r.body, "Alder") {
			t.Errorf("representation of a transaction: %s", r.body)
		}
	})
}

func TestBudget(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := deskOn(t, d, func(o *Options) { o.Budget = &Budget{Requests: 3, Window: time.Minute} })
		k.must(201, "system", "PUT", "Patient/ann", ann)
		r := k.must(200, "system", "GET", "Patient/ann", "")
		if r.header.Get("RateLimit-Limit") != "3" || r.header.Get("RateLimit-Remaining") != "1" || r.header.Get("RateLimit-Reset") != "40" {
			t.Errorf("%v", r.header)
		}
		k.must(200, "system", "GET", "Patient/ann", "")
		r = k.must(429, "system", "GET", "Patient/ann", "")
		if r.header.Get("Retry-After") != "20" || !strings.Contains(r.body, "Wait 20 seconds") || strings.Contains(r.body, "Alder") {
			t.Errorf("%v %s", r.header, r.body)
		}
		k.must(200, "clinician", "GET", "Patient/ann", "") // everybody has their own
		k.must(429, "clinician", "POST", "", bundleOf("batch", entryOf("GET", "Patient/ann", ""), entryOf("GET", "Patient/ann", ""), entryOf("GET", "Patient/ann", "")))
		d.Clock.Advance(20 * time.Second)
		k.must(200, "system", "GET", "Patient/ann", "")
	})
}

func TestOtherOrigins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := deskOn(t, d, func(o *Options) {
			o.AllowOrigin = func(_ context.Context, _ auth.Practice, origin string) bool {
				return origin == "https://app.example.org"
			}
		})
		k.fill()
		for _, c := range []struct{ origin, method, path, want string }{
			{"https://app.example.org", "GET", "Patient/ann", "https://app.example.org"},
			{"https://evil.example.org", "GET", "Patient/ann", ""},
			{"https://evil.example.org", "GET", "metadata", "*"},
			{"https://app.example.org", "OPTIONS", "Patient/ann", "https://app.example.org"},
			{"https://evil.example.org", "OPTIONS", "Patient/ann", ""},
		} {
			r := k.ask("system", c.method, c.path, "", "Origin: "+c.origin, "Access-Control-Request-Method: PUT")
			if got := r.header.Get("Access-Control-Allow-Origin"); got != c.want || r.header.Get("Access-Control-Allow-Credentials") != "" || r.header.Get("Vary") != "Origin" {
				t.Errorf("%s %s %s: %v", c.origin, c.method, c.path, r.header)
			}
		}
	})
}

// TestAuditGoesFirst breaks the audit: nothing may be shown then.
func TestAuditGoesFirst(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := deskOn(t, d, nil)
		k.fill()
		k.api.o.Audit = audit.New(d.DB)
		k.as["mute"] = auth.AsStaff(1, 9, "Mute", "", "clinician")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		r := k.ask("mute", "GET", "Patient/ann", "")
		if r.status < 500 || strings.Contains(r.body, "Alder") {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestPanicsAreAnswered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := deskOn(t, d, func(o *Options) {
			o.Authenticate = func(*http.Request, auth.Practice) (db.Scope, error) { panic("canary") }
		})
		r := k.must(500, "system", "GET", "Patient/ann", "")
		checkOutcome(t, "panic", r)
		if strings.Contains(r.body, "canary") {
			t.Errorf("%s", r.body)
		}
	})
}

func TestBinaryAsBytes(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		r := k.must(201, "system", "POST", "Binary", "<script>hello</script>", "Content-Type: text/html; charset=utf-8", "Prefer: return=minimal")
		at := strings.TrimPrefix(r.header.Get("Location"), "https://ehr.example.org")
		r = k.must(200, "system", "GET", at, "")
		if !strings.Contains(r.body, `"contentType":"text/html; charset=utf-8","data":"PHNjcmlwdD5oZWxsbzwvc2NyaXB0Pg=="`) {
			t.Errorf("as a resource: %s", r.body)
		}
		r = k.must(200, "system", "GET", at, "", "Accept: text/html")
		if r.body != "<script>hello</script>" || r.header.Get("Content-Disposition") != "attachment" || !strings.Contains(r.header.Get("Content-Security-Policy"), "sandbox") || r.header.Get("ETag") == "" {
			t.Errorf("as bytes: %v %s", r.header, r.body)
		}
		k.must(406, "system", "GET", at, "", "Accept: image/png")
		k.must(406, "system", "GET", "Patient/ann", "", "Accept: image/png")
		k.must(404, "system", "GET", "Binary/none", "", "Accept: text/html")
		k.must(201, "system", "PUT", "Binary/doc", "%PDF-", "Content-Type: application/pdf", "X-Security-Context: Patient/ann")
		if r := k.must(200, "system", "GET", "Binary/doc", "", "Accept: application/*"); !strings.Contains(r.body, "securityContext") && r.body != "%PDF-" {
			t.Errorf("%s", r.body)
		}
		k.must(400, "system", "PUT", "Binary/doc", "%PDF-", "Content-Type: application/pdf", "X-Security-Context: nobody")
	})
}
