package fhirstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

func bundleOf(kind string, entries ...string) []byte {
	return []byte(`{"resourceType":"Bundle","type":"` + kind + `","entry":[` + strings.Join(entries, ",") + `]}`)
}

func post(fullURL, resource, ifNone string) string {
	typ, _, _ := strings.Cut(strings.TrimPrefix(resource, `{"resourceType":"`), `"`)
	if ifNone != "" {
		ifNone = `,"ifNoneExist":"` + ifNone + `"`
	}
	return fmt.Sprintf(`{"fullUrl":%q,"resource":%s,"request":{"method":"POST","url":%q%s}}`, fullURL, resource, typ, ifNone)
}

func request(method, url, resource string) string {
	if resource != "" {
		resource = `"resource":` + resource + `,`
	}
	return fmt.Sprintf(`{%s"request":{"method":%q,"url":%q}}`, resource, method, url)
}

const (
	annEntry = `{"resourceType":"Patient","id":"x","name":[{"family":"Ash"}],"generalPractitioner":[{"reference":"Practitioner?identifier=http://npi|1"}]}`
	docEntry = `{"resourceType":"Practitioner","identifier":[{"system":"http://npi","value":"1"}],"name":[{"family":"Oak"}]}`
	obsEntry = `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"urn:uuid:ann"},"performer":[{"reference":"Practitioner?identifier=http://npi|1"}],"contained":[{"resourceType":"Device","id":"d","patient":{"reference":"urn:uuid:ann"}}]}`
)

func (b *bench) apply(kind string, entries ...string) (*BundleResult, error) {
	return b.Apply(b.t.Context(), system(1), bundleOf(kind, entries...), ApplyOptions{})
}

func statuses(r *BundleResult) (out []string) {
	for _, e := range r.Entries {
		out = append(out, e.Status[:3])
	}
	return out
}

func TestTransactionBundle(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Practitioner","id":"oak","identifier":[{"system":"http://npi","value":"1"}]}`, `{"resourceType":"Task","id":"gone","status":"draft","intent":"order"}`)
		r, err := b.apply("transaction",
			request("GET", "Patient?name=ash", ""),
			post("urn:uuid:obs", obsEntry, ""),
			post("urn:uuid:ann", annEntry, ""),
			post("urn:uuid:doc", docEntry, "identifier=http://npi|1"),
			request("PUT", "Task/t", `{"resourceType":"Task","id":"t","status":"draft","intent":"order","for":{"reference":"urn:uuid:ann"},"owner":{"reference":"urn:uuid:doc"}}`),
			request("DELETE", "Task/gone", ""),
			request("PUT", "Practitioner?identifier=http://npi|1", `{"resourceType":"Practitioner","identifier":[{"system":"http://npi","value":"1"}],"active":true}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(statuses(r), " "); got != "200 201 201 200 201 204 200" {
			t.Errorf("statuses %s", got)
		}
		ann := r.Entries[2].Resource
		if ann.ID == "x" || !strings.Contains(string(ann.Raw), `"reference":"Practitioner/oak"`) {
			t.Errorf("patient: %s", ann.Raw)
		}
		obs := string(r.Entries[1].Resource.Raw)
		if strings.Count(obs, `"Patient/`+ann.ID+`"`) != 2 || !strings.Contains(obs, `"Practitioner/oak"`) || strings.Contains(obs, "urn:uuid") {
			t.Errorf("observation: %s", obs)
		}
		if task := string(r.Entries[4].Resource.Raw); !strings.Contains(task, `"owner":{"reference":"Practitioner/oak"}`) {
			t.Errorf("task: %s", task)
		}
		if p := r.Entries[0].Page; p == nil || len(p.Resources) != 1 || p.Resources[0].ID != ann.ID {
			t.Errorf("the GET does not see what the transaction wrote: %+v", p)
		}
		if r.Entries[6].Resource.ID != "oak" || r.Entries[6].Resource.Version != 2 {
			t.Errorf("conditional update: %+v", r.Entries[6].Resource)
		}
	})
}

func TestBundlesRefused(t *testing.T) {
	cond := `{"resourceType":"Patient","name":[{"family":"New"}]}`
	for name, c := range map[string]struct {
		raw        []byte
		text, path string
	}{
		"no JSON":            {[]byte(`{"resourceType":"Bundle",`), "", ""},
		"no bundle":          {[]byte(`{"resourceType":"Patient"}`), "not a Bundle", "resourceType"},
		"searchset":          {bundleOf("searchset"), "cannot be applied", "Bundle.type"},
		"dangling":           {bundleOf("transaction", post("urn:uuid:a", cond, ""), post("urn:uuid:obs", strings.ReplaceAll(obsEntry, "Practitioner?identifier=http://npi|1", "Practitioner/1"), "")), "leads to none", "Bundle.entry[1]"},
		"unknown condition":  {bundleOf("transaction", post("urn:uuid:ann", annEntry, "")), "leads to nothing", "Bundle.entry[0]"},
		"invalid resource":   {bundleOf("transaction", post("urn:uuid:a", cond, ""), post("urn:uuid:b", `{"resourceType":"Patient","birthDate":"soon"}`, "")), "", "Bundle.entry[1].resource.ofType(Patient).birthDate"},
		"twice":              {bundleOf("transaction", request("PUT", "Patient/a", `{"resourceType":"Patient","id":"a"}`), request("PUT", "Patient/a", `{"resourceType":"Patient","id":"a"}`)), "same resource", "Bundle.entry[1]"},
		"another id":         {bundleOf("transaction", request("PUT", "Patient/a", `{"resourceType":"Patient","id":"b"}`)), "different resources", "Bundle.entry[0]"},
		"no method":          {bundleOf("transaction", `{"resource":{"resourceType":"Patient"}}`), "no request.method", "Bundle.entry[0]"},
		"patch":              {bundleOf("transaction", request("PATCH", "Patient/a", `{"resourceType":"Binary","contentType":"x"}`)), "not taken here", "Bundle.entry[0]"},
		"several match":      {bundleOf("transaction", post("urn:uuid:a", cond, "name=same")), "More than one", "Bundle.entry[0]"},
		"empty condition":    {bundleOf("transaction", post("urn:uuid:a", cond, "_count=1")), "does not narrow", "Bundle.entry[0]"},
		"stale":              {bundleOf("transaction", `{"resource":{"resourceType":"Patient","id":"s1"},"request":{"method":"PUT","url":"Patient/s1","ifMatch":"W/\"7\""}}`), "current version is 1", ""},
		"get of nothing":     {bundleOf("transaction", post("urn:uuid:a", cond, ""), request("GET", "Patient/none", "")), "no such Patient", "Bundle.entry[1]"},
		"unknown type":       {bundleOf("transaction", post("urn:uuid:a", `{"resourceType":"Pirate"}`, "")), "", "Bundle.entry[0]"},
		"delete of any type": {bundleOf("transaction", request("DELETE", "Pirate/1", "")), "not understood", "Bundle.entry[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				b.put(`{"resourceType":"Patient","id":"s1","name":[{"family":"Same"}]}`, `{"resourceType":"Patient","id":"s2","name":[{"family":"Same"}]}`)
				_, err := b.Apply(t.Context(), system(1), c.raw, ApplyOptions{})
				if err == nil {
					t.Fatal("accepted")
				}
				issues := issuesFrom(err)
				if !strings.Contains(issues[0].Text, c.text) || !strings.HasPrefix(issues[0].Path, c.path) || issues[0].Fix == "" || issues[0].Code == "exception" {
					t.Errorf("issue %+v", issues[0])
				}
				b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
					all, err := b.Find(ctx, tx, "Patient")
					if len(all) != 2 {
						t.Errorf("a refused transaction left something: %d patients", len(all))
					}
					return err
				})
			})
		})
	}
}

func TestBatchBundle(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		r, err := b.apply("batch",
			post("urn:uuid:a", `{"resourceType":"Patient","name":[{"family":"A"}]}`, ""),
			post("urn:uuid:b", `{"resourceType":"Patient","birthDate":"soon"}`, ""),
			request("GET", "Patient/none", ""),
			request("PUT", "Patient/c", `{"resourceType":"Patient","id":"c"}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(statuses(r), " "); got != "201 400 404 201" {
			t.Errorf("statuses %s", got)
		}
		if len(r.Entries[1].Issues) == 0 || len(r.Entries[2].Issues) == 0 {
			t.Error("failed entries say nothing")
		}
	})
}

func TestCollectionTwice(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		raw := bundleOf("collection", `{"fullUrl":"urn:uuid:p","resource":{"resourceType":"Patient","id":"p"}}`,
			`{"fullUrl":"urn:uuid:o","resource":{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"urn:uuid:p"}}}`)
		for run := range 2 {
			r, err := b.Apply(t.Context(), system(1), raw, ApplyOptions{KeepIDs: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Entries {
				if e.Created != (run == 0) || e.Same != (run == 1) || e.Resource.Version != 1 {
					t.Errorf("run %d: %+v", run, e)
				}
			}
		}
	})
}

// TestConditionalCreateRace has many create the same at once: exactly one does, the others find it.
func TestConditionalCreateRace(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for round := range 5 {
			condition := fmt.Sprintf("identifier=http://race|%d", round)
			raw := fmt.Sprintf(`{"resourceType":"Patient","identifier":[{"system":"http://race","value":"%d"}]}`, round)
			var wg sync.WaitGroup
			var mu sync.Mutex
			created, ids := 0, map[string]bool{}
			for i := range 12 {
				wg.Go(func() {
					var r *Resource
					var won bool
					var err error
					if i%2 == 0 {
						p, e := b.PrepareNew(context.Background(), []byte(raw))
						if e != nil {
							t.Error(e)
							return
						}
						err = b.try(system(1), func(ctx context.Context, tx *db.Tx) (err error) {
							r, won, err = b.CreateIfNone(ctx, tx, p, condition)
							return err
						})
					} else {
						var res *BundleResult
						res, err = b.Apply(context.Background(), system(1), bundleOf("transaction", post("urn:uuid:r", raw, condition)), ApplyOptions{})
						if err == nil {
							r, won = res.Entries[0].Resource, res.Entries[0].Created
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					ids[r.ID] = true
					if won {
						created++
					}
				})
			}
			wg.Wait()
			if created != 1 || len(ids) != 1 {
				t.Errorf("round %d: %d created, %d different ids", round, created, len(ids))
			}
		}
	})
}

// TestUpdateRace has many update the same version at once: exactly one may.
func TestUpdateRace(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"p"}`)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var results []string
		for i := range 8 {
			wg.Go(func() {
				p, err := b.Prepare(context.Background(), fmt.Appendf(nil, `{"resourceType":"Patient","id":"p","name":[{"family":"N%d"}]}`, i))
				if err == nil {
					err = b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Update(ctx, tx, p, 1); return err })
				}
				mu.Lock()
				defer mu.Unlock()
				results = append(results, code(err))
			})
		}
		wg.Wait()
		slices.Sort(results)
		if strings.Join(results, " ") != " conflict conflict conflict conflict conflict conflict conflict" {
			t.Errorf("%q", results)
		}
		if r := b.check(false); !r.Sound() {
			t.Errorf("%+v", r)
		}
	})
}

func TestEditKeepsWhatItDoesNotKnow(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"p","extension":[{"url":"http://x","valueDecimal":1.50}],"_birthDate":{"extension":[{"url":"http://t","valueString":"am"}]},"birthDate":"1980-03","active":true}`)
		b.do(func(ctx context.Context, tx *db.Tx) error {
			_, err := Edit(ctx, b.Store, tx, "Patient", "p", 1, func(p *fhir.Patient) error { p.Gender = "female"; return nil })
			return err
		})
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			r, err := b.Read(ctx, tx, "Patient", "p")
			if err == nil && (r.Version != 2 || !strings.Contains(string(r.Raw), "1.50") || !strings.Contains(string(r.Raw), `"gender":"female"`) || !strings.Contains(string(r.Raw), "http://t")) {
				t.Errorf("%s", r.Raw)
			}
			return err
		})
		want := errors.New("no")
		err := b.try(system(1), func(ctx context.Context, tx *db.Tx) error {
			_, err := Edit(ctx, b.Store, tx, "Patient", "p", 0, func(p *fhir.Patient) error { return want })
			return err
		})
		if !errors.Is(err, want) {
			t.Error(err)
		}
	})
}
