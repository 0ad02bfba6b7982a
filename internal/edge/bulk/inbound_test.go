package bulk

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
)

// shelf is a host of files on this machine, which the station may fetch from.
type shelf struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string // by path; "302", "503" and "401" are answered with that status
	asked map[string]int
}

func (k *station) shelf(files map[string]string) *shelf {
	s := &shelf{files: files, asked: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked[r.URL.Path]++
		text, ok := s.files[r.URL.Path]
		if status, err := strconv.Atoi(text); err == nil {
			w.Header().Set("Location", s.URL+"/patients")
			w.WriteHeader(status)
			return
		}
		if !ok || r.Header.Get("Authorization") != "" {
			w.WriteHeader(404)
			return
		}
		fmt.Fprint(w, text)
	}))
	k.t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		k.t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	k.outside, err = egress.New([]egress.Destination{{Host: "127.0.0.1", Ports: []int{port}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}})
	if err != nil {
		k.t.Fatal(err)
	}
	k.stand()
	return s
}

// inputs is the body of $import; each pair is a type and an address.
func inputs(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, `,{"name":"input","part":[{"name":"type","valueCode":%q},{"name":"url","valueUri":%q}]}`, pairs[i], pairs[i+1])
	}
	return `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueCode":"application/fhir+ndjson"},{"name":"inputSource","valueUri":"https://old.example.org/fhir"},
{"name":"storageDetail","part":[{"name":"type","valueCode":"https"}]}` + b.String() + `]}`
}

func (k *station) order(as, body string) string {
	k.t.Helper()
	return k.must(202, as, "POST", "$import", body, "Prefer: respond-async").Header().Get("Content-Location")
}

// Files at addresses are taken one after the other; what is wrong with one is told of beside its address, and stops none of the others.
func TestImportFromAddresses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		s := k.shelf(map[string]string{
			"/patients": `{"resourceType":"Patient","id":"ivy","name":[{"family":"Ash"}]}` + "\n" + `{"resourceType":"Patient","id":"oak"}` + "\n",
			"/results":  observation("one", "ivy", "") + "\n\n" + `{"resourceType":"Patient","id":"stray"}` + "\n" + observation("two", "oak", ""),
			"/moved":    "302", "/closed": "401",
		})
		at := k.order("system", inputs("Patient", s.URL+"/patients", "Observation", s.URL+"/results", "Observation", s.URL+"/moved", "Observation", s.URL+"/closed", "Observation", s.URL+"/none"))
		if w := k.must(202, "system", "GET", at, ""); w.Header().Get("X-Progress") != "0 of 5 files fetched" {
			t.Errorf("%v", w.Header())
		}
		k.must(404, "other", "GET", at, "")
		k.run()
		m := k.manifest("system", at)
		taken, refused := map[string]int{}, map[string]string{}
		for _, f := range m.Output {
			taken[f.Type+" "+strings.TrimPrefix(f.Input, s.URL)] = f.Count
		}
		for _, f := range m.Error {
			refused[strings.TrimPrefix(f.Input, s.URL)] = k.must(200, "system", "GET", f.URL, "").Body.String()
		}
		if want := map[string]int{"Patient /patients": 2, "Observation /results": 2}; !maps.Equal(taken, want) {
			t.Errorf("taken %v, not %v", taken, want)
		}
		for path, want := range map[string]string{"/results": "Line[3]", "/moved": "sends elsewhere", "/closed": "answered 401", "/none": "answered 404"} {
			if !strings.Contains(refused[path], want) {
				t.Errorf("of %s it is told %q, not %q", path, refused[path], want)
			}
		}
		if len(refused) != 4 || k.total("Patient") != 2 || k.total("Observation") != 2 || s.asked["/patients"] != 1 {
			t.Errorf("refused %v, asked %v", slices.Sorted(maps.Keys(refused)), s.asked)
		}
		found, err := k.audit.Find(t.Context(), d.Scope(1), audit.Filter{Action: audit.ActionImport})
		if err != nil || len(found) != 7 {
			t.Errorf("%d entries in the audit: %v", len(found), err)
		}
		for _, e := range found {
			if strings.Contains(e.Detail, "/patients") {
				t.Errorf("the audit has an address: %s", e.Detail)
			}
		}
		if err := k.d.View(t.Context(), auth.SystemScope(1, "test"), func(tx *db.Tx) error {
			all, err := k.store.Find(t.Context(), tx, "Provenance")
			for _, r := range all {
				if !strings.Contains(string(r.Raw), "https://old.example.org/fhir") {
					t.Errorf("Provenance does not name the source: %s", r.Raw)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// A host that is away for a while is asked again, and one that stays away is told of; a worker that is killed fetches nothing twice.
func TestImportFetchesAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		s := k.shelf(map[string]string{"/patients": `{"resourceType":"Patient","id":"ivy"}`, "/away": "503", "/late": "503"})
		at := k.order("system", inputs("Patient", s.URL+"/patients", "Patient", s.URL+"/late", "Patient", s.URL+"/away"))
		k.run()
		s.mu.Lock()
		s.files["/late"] = `{"resourceType":"Patient","id":"oak"}`
		s.mu.Unlock()
		steps := 0
		for ; k.must2xx("system", at).Code != 200; steps++ {
			if steps > 15 {
				t.Fatal("it does not end")
			}
			d.Reopen(t)
			k.stand()
			k.exports.afterCommit = func() { panic("killed") }
			d.Clock.Advance(10 * time.Minute)
			k.run()
		}
		m := k.manifest("system", at)
		if k.total("Patient") != 2 || len(m.Output) != 2 || len(m.Error) != 1 || m.Error[0].Input != s.URL+"/away" || s.asked["/patients"] != 1 || s.asked["/late"] != 2 {
			t.Errorf("%+v, asked %v", m, s.asked)
		}
	})
}

// NDJSON itself may be the body of $import; a key makes a request that is sent twice one import.
func TestImportOfABody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		send := func() string {
			return k.must(202, "system", "POST", "$import", `{"resourceType":"Patient"}`+"\n"+`{"resourceType":"Patient"}`, "Content-Type: application/fhir+ndjson", "Idempotency-Key: once").Header().Get("Content-Location")
		}
		at := send()
		if again := send(); again != at {
			t.Errorf("the second request began another import: %s, %s", at, again)
		}
		k.run()
		if m := k.manifest("system", at); len(m.Output) != 1 || m.Output[0].Count != 2 || m.Output[0].Input != "" || k.total("Patient") != 2 {
			t.Errorf("%+v", m)
		}
	})
}

func TestImportsThatAreRefused(t *testing.T) {
	k := newStation(t, dbtest.SQLite(t, nil))
	good := inputs("Patient", "https://files.example.org/x")
	k.must(400, "system", "POST", "$import", good) // nothing is fetched
	k.shelf(nil)
	for _, c := range []struct {
		name, as, method, body, says string
		want                         int
	}{
		{"nobody", "", "POST", good, "", 401},
		{"GET", "system", "GET", "", "", 405},
		{"a host nobody allowed", "system", "POST", inputs("Patient", "https://elsewhere.example.org/x"), "not allowed", 403},
		{"no inputs", "system", "POST", inputs(), "1 to 100 inputs", 400},
		{"too many", "system", "POST", inputs(slices.Repeat([]string{"Patient", "https://files.example.org/x"}, 101)...), "1 to 100 inputs", 400},
		{"no type", "system", "POST", inputs("Resource", "https://files.example.org/x"), "resource type", 400},
		{"no address", "system", "POST", inputs("Patient", "files"), "no address", 400},
		{"a password in it", "system", "POST", inputs("Patient", "https://a:b@files.example.org/x"), "no address", 400},
		{"another format", "system", "POST", strings.Replace(good, "fhir+ndjson", "fhir+parquet", 1), "NDJSON only", 400},
		{"no format", "system", "POST", strings.Replace(good, "inputFormat", "inputformat", 1), "", 400},
		{"another storage", "system", "POST", strings.Replace(good, `"valueCode":"https"`, `"valueCode":"aws-s3"`, 1), "over https", 400},
		{"a source that is no address", "system", "POST", strings.Replace(good, "https://old.example.org/fhir", "old", 1), "whole address", 400},
		{"a Patient", "system", "POST", `{"resourceType":"Patient"}`, "not a Parameters", 400},
	} {
		w := k.ask(c.as, c.method, "$import", c.body)
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Content-Location") != "" {
			t.Errorf("%s: %d, not %d: %s", c.name, w.Code, c.want, w.Body)
		}
	}
	batch := `{"resourceType":"Bundle","type":"batch","entry":[{"resource":` + good + `,"request":{"method":"POST","url":"$import"}}]}`
	if w := k.ask("system", "POST", "", batch); !strings.Contains(w.Body.String(), "not begun inside a Bundle") {
		t.Errorf("an import inside a Bundle: %d %s", w.Code, w.Body)
	}
}
