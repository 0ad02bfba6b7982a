package bulk

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// station is an interface with exports and those who may ask.
type station struct {
	t       testing.TB
	d       *dbtest.DB
	api     *fhirapi.API
	exports *Exports
	queue   *jobs.Queue
	store   *fhirstore.Store
	audit   *audit.Log
	as      map[string]db.Scope
	mux     *http.ServeMux
	outside *egress.Client // nil: nothing is fetched
}

func newStation(t testing.TB, d *dbtest.DB) *station {
	k := &station{t: t, d: d, as: map[string]db.Scope{
		"system": auth.SystemScope(1, "test"),
		"other":  auth.AsStaff(1, 8, "Dr. Other", "Practitioner/other", "clinician"),
		"few":    auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead, "Group": auth.CanRead, "Observation": auth.CanRead}}),
		"own":    auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead, "Observation": auth.CanRead}, Compartment: "Patient/ann"}),
		"desk":   auth.AsStaff(1, 5, "Frida", "Practitioner/frida", "frontdesk"),
	}}
	k.stand()
	return k
}

// stand makes everything anew on the database, as a start of the program does.
func (k *station) stand() {
	k.audit = audit.New(k.d.DB)
	k.store = fhirstore.New(k.d.DB, k.audit)
	k.store.Labels = auth.Sensitivity
	k.queue = jobs.New(k.d.DB, jobs.Options{})
	practice := func(context.Context, string) (auth.Practice, error) { return auth.Practice{ID: 1, Slug: "north"}, nil }
	authenticate := func(r *http.Request, p auth.Practice) (db.Scope, error) {
		if s := k.as[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; s != nil {
			return s, nil
		}
		return nil, fhir.Problem("login", "No.", "Sign in.")
	}
	k.api = fhirapi.New(fhirapi.Options{DB: k.d.DB, Store: k.store, Audit: k.audit, Origin: "https://ehr.example.org", Practice: practice, Authenticate: authenticate})
	o := Options{DB: k.d.DB, Store: k.store, Audit: k.audit, Queue: k.queue, Origin: "https://ehr.example.org", Practice: practice, Authenticate: authenticate,
		PracticeByID: func(context.Context, db.PracticeID) (auth.Practice, error) { return practice(nil, "") },
		Hold: func(_ context.Context, _ auth.Practice, header string) ([]byte, error) {
			return []byte(strings.TrimPrefix(header, "Bearer ")), nil
		},
		Resume: func(_ context.Context, _ auth.Practice, held []byte) (db.Scope, error) {
			if s := k.as[string(held)]; s != nil {
				return s, nil
			}
			return nil, fhir.Problem("login", "No more.", "Sign in.")
		},
	}
	if k.outside != nil {
		o.Reach = func(_ context.Context, _ db.PracticeID, address string) error {
			if strings.Contains(address, "elsewhere") {
				return fhir.Problem("forbidden", "The host is not allowed.", "Allow it.")
			}
			return nil
		}
		o.Fetch = func(ctx context.Context, _ db.PracticeID, address string) (*egress.Reply, error) {
			return k.outside.Do(ctx, egress.Request{Method: "GET", URL: address})
		}
	}
	k.exports = New(o)
	k.api.Register(k.exports.Operations()...)
	k.mux = http.NewServeMux()
	k.mux.Handle("/north/fhir/", k.api)
	for _, pattern := range Routes() {
		k.mux.Handle(pattern, k.exports)
	}
}

func (k *station) ask(as, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	path = strings.TrimPrefix(path, "https://ehr.example.org")
	if !strings.HasPrefix(path, "/") {
		path = "/north/fhir/" + path
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if as != "" {
		r.Header.Set("Authorization", "Bearer "+as)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/fhir+json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	k.mux.ServeHTTP(w, r)
	return w
}

func (k *station) must(status int, as, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	k.t.Helper()
	w := k.ask(as, method, path, body, headers...)
	if w.Code != status {
		k.t.Fatalf("%s %s as %s: %d, not %d\n%.600s", method, path, as, w.Code, status, w.Body)
	}
	return w
}

func (k *station) run() {
	k.t.Helper()
	if _, err := k.queue.RunDue(context.Background()); err != nil {
		k.t.Fatal(err)
	}
}

// export asks, works and gives the manifest with the address it came from.
func (k *station) export(as, path string) (m manifest, at string) {
	k.t.Helper()
	at = k.must(202, as, "GET", path, "", "Prefer: respond-async").Header().Get("Content-Location")
	k.run()
	w := k.must(200, as, "GET", at, "")
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		k.t.Fatal(err)
	}
	if !m.RequiresAccessToken || w.Header().Get("Expires") == "" || m.TransactionTime == "" {
		k.t.Errorf("manifest %+v %v", m, w.Header())
	}
	return m, at
}

// lines fetches all files of a list and gives "Type/id" of each line, sorted, after it compared the counts.
func (k *station) lines(as string, files []manifestFile) (out []string) {
	k.t.Helper()
	for _, f := range files {
		w := k.must(200, as, "GET", f.URL, "")
		if w.Header().Get("Content-Type") != "application/fhir+ndjson" || w.Header().Get("Cache-Control") != "no-store" {
			k.t.Errorf("%v", w.Header())
		}
		n := 0
		for l := range strings.Lines(w.Body.String()) {
			node, issues := fhir.Parse([]byte(l))
			if err := issues.Err(); err != nil || node.Get("resourceType").Text() != f.Type {
				k.t.Fatalf("%s: %v %s", f.URL, err, l)
			}
			out = append(out, f.Type+"/"+node.Get("id").Text())
			n++
		}
		if n != f.Count {
			k.t.Errorf("%s has %d lines, the manifest says %d", f.URL, n, f.Count)
		}
	}
	slices.Sort(out)
	return out
}

func observation(id, patient, more string) string {
	return `{"resourceType":"Observation","id":"` + id + `","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1-1"}]},"subject":{"reference":"Patient/` + patient + `"}` + more + `}`
}

const restricted = `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}`

func (k *station) fill() {
	for _, id := range []string{"ann", "bob", "cid"} {
		k.must(201, "system", "PUT", "Patient/"+id, `{"resourceType":"Patient","id":"`+id+`","name":[{"family":"Canary`+id+`"}],"gender":"other"}`)
		k.must(201, "system", "PUT", "Observation/o-"+id, observation("o-"+id, id, `,"valueString":"Canary`+id+`"`))
	}
	k.must(201, "system", "PUT", "Practitioner/kind", `{"resourceType":"Practitioner","id":"kind"}`)
	k.must(201, "system", "PUT", "Questionnaire/q", `{"resourceType":"Questionnaire","id":"q","status":"draft"}`)
	k.must(201, "system", "PUT", "Provenance/p-ann", `{"resourceType":"Provenance","id":"p-ann","target":[{"reference":"Observation/o-ann"}],"recorded":"2026-01-01T00:00:00Z","agent":[{"who":{"reference":"Practitioner/kind"}}]}`)
	k.must(201, "system", "PUT", "Device/d-ann", `{"resourceType":"Device","id":"d-ann","patient":{"reference":"Patient/ann"}}`)
	k.must(201, "system", "PUT", "Device/d-bob", `{"resourceType":"Device","id":"d-bob","patient":{"reference":"Patient/bob"}}`)
	k.must(201, "system", "PUT", "Group/inner", `{"resourceType":"Group","id":"inner","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/ann"}}]}`)
	k.must(201, "system", "PUT", "Group/g", `{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Group/inner"}},
		{"entity":{"reference":"Patient/bob"},"inactive":true},{"entity":{"reference":"Patient/cid"},"period":{"end":"2026-02"}}]}`)
	k.must(201, "system", "PUT", "Group/kinds", `{"resourceType":"Group","id":"kinds","type":"person","actual":false}`)
}

func TestExport(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		ann := "Device/d-ann Observation/o-ann Patient/ann Practitioner/kind Provenance/p-ann"
		for path, want := range map[string]string{
			"$export": "Device/d-ann Device/d-bob Group/g Group/inner Group/kinds Observation/o-ann Observation/o-bob Observation/o-cid Patient/ann Patient/bob Patient/cid Practitioner/kind Provenance/p-ann Questionnaire/q",
			"$export?_type=Patient,Questionnaire&_outputFormat=ndjson": "Patient/ann Patient/bob Patient/cid Questionnaire/q",
			"Patient/$export":                     "Device/d-ann Device/d-bob Observation/o-ann Observation/o-bob Observation/o-cid Patient/ann Patient/bob Patient/cid Practitioner/kind Provenance/p-ann",
			"Patient/$export?patient=Patient/ann": ann,
			"Group/g/$export":                     ann,
			"Group/g/$export?_type=Observation":   "Observation/o-ann",
			"Group/g/$export?_type=Patient&includeAssociatedData=LatestProvenanceResources":                         "Patient/ann Provenance/p-ann",
			"$export?_type=Observation,Patient&_typeFilter=Observation?subject=Patient/bob":                         "Observation/o-bob Patient/ann Patient/bob Patient/cid",
			"$export?_type=Observation&_typeFilter=Observation%3Fsubject%3DPatient%2Fbob%2CPatient%2Fcid":           "Observation/o-bob Observation/o-cid",
			"$export?_type=Observation&_typeFilter=Observation?subject=Patient/bob,Observation?subject=Patient/ann": "Observation/o-ann Observation/o-bob",
			"$export?_type=Observation&_typeFilter=Observation?status=amended":                                      "",
		} {
			m, _ := k.export("system", path)
			if got := strings.Join(k.lines("system", m.Output), " "); got != want {
				t.Errorf("%s:\n%s, not\n%s", path, got, want)
			}
			if m.Request != "https://ehr.example.org/north/fhir/"+path && !strings.Contains(path, "?") {
				t.Errorf("%s: request %s", path, m.Request)
			}
		}
		m, _ := k.export("system", "$export?_type=Patient&_elements=Patient.gender")
		body := k.must(200, "system", "GET", m.Output[0].URL, "").Body.String()
		if strings.Contains(body, "Canary") || !strings.Contains(body, "SUBSETTED") || !strings.Contains(body, "other") {
			t.Errorf("_elements: %s", body)
		}
		packed := k.must(200, "system", "GET", m.Output[0].URL, "", "Accept-Encoding: br, gzip", "Range: bytes=0-10")
		z, err := gzip.NewReader(bytes.NewReader(packed.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if plain, _ := io.ReadAll(z); string(plain) != body {
			t.Errorf("gzip: %s", plain)
		}
		post := k.must(202, "system", "POST", "Patient/$export", `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/bob"}},{"name":"_type","valueString":"Patient"}]}`)
		k.run()
		if err := json.Unmarshal(k.must(200, "system", "GET", post.Header().Get("Content-Location"), "").Body.Bytes(), &m); err != nil || strings.Join(k.lines("system", m.Output), " ") != "Patient/bob" {
			t.Errorf("POST: %v %+v", err, m)
		}
		m, _ = k.export("system", "$export?_type=Patient,Practitioner&_since=2026-03-02T09:00:00.000003Z&_until=2036-01-01T00:00:00%2B01:00")
		if len(m.Deleted) != 0 {
			t.Errorf("%+v", m)
		}
		for path, want := range map[string]string{
			"$export?_type=Pirate":      "not a resource type",
			"$export?_outputFormat=csv": "NDJSON",
			"$export?_since=yesterday":  "instant",
			"$export?_since=2027-01-01T00:00:00Z&_until=2026-01-01T00:00:00Z": "not after",
			"$export?_typeFilter=Observation?nonsense=1":                      "nonsense",
			"$export?_typeFilter=Observation?subject.name=x":                  "more than one resource",
			"$export?_typeFilter=perhaps":                                     "does not begin",
			"$export?_type=Patient&_typeFilter=Observation?status=final":      "does not name",
			"$export?_elements=nome":                                          "there is not",
			"$export?includeAssociatedData=everything":                        "does not know",
			"$export?organizeOutputBy=Practitioner":                           "organised by Patient",
			"$export?sort=1":                                                  "no parameter",
			"$export?patient=Patient/ann":                                     "takes no patients",
			"Patient/$export?_type=Questionnaire":                             "not part of patients",
			"Patient/$export?patient=Group/g":                                 "not a reference to a Patient",
			"Group/kinds/$export":                                             "no members",
			"Group/none/$export":                                              "no such Group",
			"Group/g/$export?patient=Patient/bob":                             "not a member",
		} {
			if w := k.ask("system", "GET", path, ""); w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		at := k.must(202, "system", "GET", "$export?_type=Patient,Pirate", "", "Prefer: respond-async, handling=lenient").Header().Get("Content-Location")
		k.run()
		_ = json.Unmarshal(k.must(200, "system", "GET", at, "").Body.Bytes(), &m)
		if len(m.Error) != 1 || !strings.Contains(k.must(200, "system", "GET", m.Error[0].URL, "").Body.String(), "Pirate") {
			t.Errorf("errors: %+v", m)
		}
	})
}

func TestDeletionsSince(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		first, _ := k.export("system", "$export")
		d.Clock.Advance(time.Minute)
		k.must(204, "system", "DELETE", "Observation/o-ann", "")
		k.must(204, "system", "DELETE", "Observation/o-bob", "")
		k.must(200, "system", "PUT", "Patient/ann", `{"resourceType":"Patient","id":"ann","name":[{"family":"New"}]}`)
		for path, want := range map[string][]string{"$export": {"o-ann", "o-bob"}, "Group/g/$export": {"o-ann"}} {
			m, _ := k.export("system", path+"?_since="+first.TransactionTime)
			if got := k.lines("system", m.Output); strings.Join(got, " ") != "Patient/ann" {
				t.Errorf("%s since: %v", path, got)
			}
			var all string
			for _, f := range m.Deleted {
				all += k.must(200, "system", "GET", f.URL, "").Body.String()
			}
			if strings.Count(all, "\n") != len(want) || !strings.Contains(all, `"method":"DELETE","url":"Observation/o-ann"`) {
				t.Errorf("%s deleted: %s", path, all)
			}
		}
		m, _ := k.export("system", "$export?_until="+first.TransactionTime)
		if got := k.lines("system", m.Output); len(got) != 14 {
			t.Errorf("until: %v", got)
		}
	})
}

// TestOnlyWhatTheCallerMaySee compares an export with what the same caller reads one by one, and tries every way to somebody else's.
func TestOnlyWhatTheCallerMaySee(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		k.must(201, "system", "PUT", "Observation/secret", observation("secret", "ann", restricted))
		k.as["closed"] = auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead, "Observation": auth.CanRead}, Forbidden: ^0,
			Narrow: map[string][]auth.Narrowing{"Patient": {{Params: "_id=ann", Bits: auth.CanRead}}}})
		for _, as := range []string{"system", "other", "few", "own", "desk", "closed"} {
			m, _ := k.export(as, "$export?_type=Patient")
			if as != "desk" {
				m, _ = k.export(as, "$export?_type=Patient,Observation")
			}
			var want []string
			for _, ref := range []string{"Observation/o-ann", "Observation/o-bob", "Observation/o-cid", "Observation/secret", "Patient/ann", "Patient/bob", "Patient/cid"} {
				if k.ask(as, "GET", ref, "").Code == 200 {
					want = append(want, ref)
				}
			}
			if got := k.lines(as, m.Output); !slices.Equal(got, want) {
				t.Errorf("%s exports %v and reads %v", as, got, want)
			}
		}
		k.must(403, "few", "GET", "$export?_type=Condition", "")
		k.must(401, "", "GET", "$export", "")
		k.must(403, "own", "GET", "Group/g/$export", "")
	})
}

func TestFilesAreGuarded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		m, at := k.export("few", "$export")
		url := m.Output[0].URL
		if len(strings.TrimPrefix(at, "https://ehr.example.org/north/bulk/")) != 43 {
			t.Errorf("the address %s has no 256 random bits", at)
		}
		check := func(when string, want int, as, method, path string, headers ...string) {
			t.Helper()
			w := k.ask(as, method, path, "", headers...)
			if w.Code != want || strings.Contains(w.Body.String(), "Canary") {
				t.Errorf("%s: %s %s as %q: %d %s", when, method, path, as, w.Code, w.Body)
			}
		}
		for _, path := range []string{at, url} {
			check("without a token", 401, "", "GET", path)
			check("with Range", 401, "", "GET", path, "Range: bytes=0-10")
			check("another's token", 404, "system", "GET", path)
			check("another's token", 404, "other", "DELETE", path)
			check("another method", 405, "few", "POST", path)
			check("guessed", 404, "few", "GET", path[:len(path)-1]+"x")
		}
		check("guessed", 404, "few", "GET", at+"/99.Patient.ndjson")
		check("guessed", 404, "few", "GET", at+"/-1.Patient.ndjson")
		check("other name", 404, "few", "GET", at+"/0.Secret.ndjson")
		check("head", 200, "few", "HEAD", url)
		// Rights that are taken away afterwards are taken from the files too.
		before := k.as["few"]
		k.as["few"] = auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Group": auth.CanRead}})
		check("without the right", 200, "few", "GET", url)
		for _, f := range m.Output {
			if f.Type != "Group" && k.ask("few", "GET", f.URL, "").Body.Len() != 0 {
				t.Errorf("%s came without the right", f.URL)
			}
		}
		k.as["few"] = before
		k.must(200, "system", "PUT", "Patient/ann", `{"resourceType":"Patient","id":"ann","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}}`)
		// After DELETE and after the time is over the bytes are gone.
		m, at = k.export("few", "$export")
		check("delete", 202, "few", "DELETE", at)
		check("deleted", 404, "few", "GET", at)
		check("deleted", 404, "few", "GET", m.Output[0].URL)
		d.Clock.Advance(kept + time.Second)
		check("expired", 404, "few", "GET", url)
		k.run()
		if err := d.View(context.Background(), d.Scope(1), func(tx *db.Tx) error {
			n, err := storedParts(context.Background(), tx)
			if n != 0 {
				t.Errorf("%d parts are left", n)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAuditOfFiles wants every patient of a file on record as exported before it left.
func TestAuditOfFiles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		m, _ := k.export("other", "Group/g/$export?_type=Observation")
		count := func(patient string) int {
			found, err := k.audit.Find(context.Background(), d.Scope(1), audit.Filter{Patient: patient, Action: audit.ActionExport})
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		if count("Patient/ann") != 0 {
			t.Error("on record before anything left")
		}
		k.lines("other", m.Output)
		if count("Patient/ann") != 1 || count("Patient/bob") != 0 {
			t.Errorf("on record: ann %d, bob %d", count("Patient/ann"), count("Patient/bob"))
		}
	})
}

// TestWorkGoesOn stops the worker after every commit, as a kill does, changes records meanwhile, and wants the export of one moment,
// each resource once.
func TestWorkGoesOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		for i := range 40 {
			k.must(201, "system", "PUT", fmt.Sprintf("Observation/n%d", i), observation(fmt.Sprintf("n%d", i), "bob", ""))
		}
		at := k.must(202, "system", "GET", "$export?_type=Observation", "").Header().Get("Content-Location")
		steps := 0
		for ; ; steps++ {
			if w := k.must2xx("system", at); w.Code == 200 {
				break
			} else if w.Header().Get("X-Progress") == "" || w.Header().Get("Retry-After") == "" {
				t.Fatalf("%v", w.Header())
			}
			if steps > 100 {
				t.Fatal("it does not end")
			}
			d.Reopen(t)
			k.stand()
			k.exports.flushAt, k.exports.pageSize = 1, 7
			k.exports.afterCommit = func() { panic("killed") }
			k.run()
			d.Clock.Advance(6 * time.Minute) // the lease of the one that was killed ends
			k.must(200, "system", "PUT", fmt.Sprintf("Observation/n%d", steps), observation(fmt.Sprintf("n%d", steps), "ann", `,"valueString":"later"`))
			k.must(201, "system", "PUT", fmt.Sprintf("Observation/later%d", steps), observation(fmt.Sprintf("later%d", steps), "ann", ""))
		}
		if steps < 4 {
			t.Errorf("only %d steps", steps)
		}
		var m manifest
		if err := json.Unmarshal(k.must(200, "system", "GET", at, "").Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		got := k.lines("system", m.Output)
		if len(got) != 43 || len(slices.Compact(slices.Clone(got))) != 43 {
			t.Errorf("%d resources: %v", len(got), got)
		}
		for _, f := range m.Output {
			if body := k.must(200, "system", "GET", f.URL, "").Body.String(); strings.Contains(body, "later") {
				t.Errorf("a version from after the moment: %s", body)
			}
		}
	})
}

func (k *station) must2xx(as, at string) *httptest.ResponseRecorder {
	k.t.Helper()
	w := k.ask(as, "GET", at, "")
	if w.Code >= 300 {
		k.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w
}

func TestEndsOfExports(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		// Deleted before it is done: nothing is made.
		at := k.must(202, "few", "GET", "$export", "").Header().Get("Content-Location")
		k.must(202, "few", "DELETE", at, "")
		k.run()
		k.must(404, "few", "GET", at, "")
		// Revoked before it is done.
		at = k.must(202, "few", "GET", "$export", "").Header().Get("Content-Location")
		few := k.as["few"]
		delete(k.as, "few")
		k.run()
		k.must(401, "few", "GET", at, "")
		k.as["few"] = few
		if w := k.must(500, "few", "GET", at, ""); !strings.Contains(w.Body.String(), "may not read this any more") {
			t.Errorf("%s", w.Body)
		}
		// Revoked while it is at work, between two commits: what was made is deleted, and nothing more is.
		at = k.must(202, "few", "GET", "$export", "").Header().Get("Content-Location")
		commits := 0
		k.exports.flushAt, k.exports.pageSize = 1, 2
		k.exports.afterCommit = func() { commits++; delete(k.as, "few") }
		k.run()
		k.exports.afterCommit = nil
		k.as["few"] = few
		if w := k.must(500, "few", "GET", at, ""); commits != 1 || !strings.Contains(w.Body.String(), "may not read this any more") {
			t.Errorf("%d commits; %s", commits, w.Body)
		}
		k.must(404, "few", "GET", at+"/0.Observation.ndjson", "")
		k.must(202, "few", "DELETE", at, "")
		// Too many at once.
		for range atOnce {
			k.must(202, "few", "GET", "$export", "")
		}
		if w := k.ask("few", "GET", "$export", ""); w.Code != 429 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		k.must(202, "other", "GET", "$export", "")
	})
}

func TestDump(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		k.must(204, "system", "DELETE", "Observation/o-bob", "")
		for patient, want := range map[string]int{"": 13, "ann": 5} {
			var out bytes.Buffer
			n, err := Dump(context.Background(), d.DB, k.store, k.audit, auth.SystemScope(1, "export"), patient, &out, nil)
			if err != nil || int(n) != want || strings.Count(out.String(), "\n") != want || patient != "" && strings.Contains(out.String(), "Canarycid") {
				t.Errorf("%q: %d %v\n%s", patient, n, err, &out)
			}
		}
		if _, err := Dump(context.Background(), d.DB, k.store, k.audit, auth.SystemScope(1, "export"), "none", io.Discard, nil); err == nil {
			t.Error("a patient who is not there was exported")
		}
	})
}
