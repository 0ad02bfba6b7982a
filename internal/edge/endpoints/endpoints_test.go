package endpoints

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const origin = "https://ehr.example.org"

// world is three practices: alder with an Organization, birch with one too, cedar without.
type world struct {
	t    *testing.T
	d    *dbtest.DB
	s    *fhirstore.Store
	list *List
	of   map[string]auth.System
}

func newWorld(t *testing.T, d *dbtest.DB) *world {
	log := audit.New(d.DB)
	a := auth.New(d.DB, log, auth.Options{})
	w := &world{t: t, d: d, s: fhirstore.New(d.DB, log), of: map[string]auth.System{}}
	for _, slug := range []string{"alder", "birch", "cedar"} {
		id, err := a.AddPractice(context.Background(), slug, strings.ToUpper(slug[:1])+slug[1:]+" Clinic")
		if err != nil {
			t.Fatal(err)
		}
		w.of[slug] = auth.SystemScope(id, "test")
	}
	w.list = New(Options{DB: d.DB, Store: w.s, Auth: a, People: practice.NewProfiles(d.DB, w.s), Origin: origin})
	for _, slug := range []string{"alder", "birch"} {
		w.put(slug, `{"resourceType":"Organization","id":"org","active":true,"name":"`+slug+` clinic","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}],
			"extension":[{"url":"http://example.org/secret","valueString":"inner words"}],"contact":[{"name":{"family":"Inner"}}],"address":[{"line":["1 Elm"],"city":"Lynn","state":"MA","postalCode":"01901"}]}`)
	}
	return w
}

func (w *world) put(slug, raw string) {
	w.t.Helper()
	p, err := w.s.Prepare(context.Background(), []byte(raw))
	if err == nil {
		err = w.d.DB.Do(context.Background(), w.of[slug], func(tx *db.Tx) error {
			_, err := w.s.Update(context.Background(), tx, p, 0)
			return err
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// look asks for the list as anybody may and gives its text.
func (w *world) look() string {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.list.ServeHTTP(rec, httptest.NewRequest("GET", Path, nil))
	n, issues := fhir.Parse(rec.Body.Bytes())
	if rec.Code != 200 || issues.HasErrors() || fhir.Validate(n).HasErrors() || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		w.t.Fatalf("%d %v %s", rec.Code, issues, rec.Body)
	}
	return rec.Body.String()
}

// A practice is on the list while it wants to be, with who it is and nothing else; others are never shown.
func TestList(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		if s := w.look(); strings.Contains(s, "clinic") || strings.Contains(s, "entry") {
			t.Fatalf("nobody asked to be listed: %s", s)
		}
		if at, err := w.list.Publish(ctx, w.of["alder"], "alder", "Alder Clinic"); err != nil || at != origin+"/alder/fhir" {
			t.Fatal(at, err)
		}
		s := w.look()
		for _, want := range []string{`"address":"https://ehr.example.org/alder/fhir"`, `"fullUrl":"https://ehr.example.org/alder/fhir/Organization/org"`, "alder clinic", "1234567893", "1 Elm",
			`"endpoint":[{"reference":"Endpoint/fhir-base"}]`, `"managingOrganization":{"reference":"Organization/org"}`, `"valueCode":"4.0.1"`, `"code":"hl7-fhir-rest"`} {
			if !strings.Contains(s, want) {
				t.Errorf("the list lacks %s: %s", want, s)
			}
		}
		for _, never := range []string{"birch", "cedar", "inner words", "Inner", "meta"} {
			if strings.Contains(s, never) {
				t.Errorf("the list shows %s: %s", never, s)
			}
		}
		if _, err := w.list.Publish(ctx, w.of["cedar"], "cedar", "Cedar Clinic"); err == nil {
			t.Error("a practice without an Organization was listed")
		}
		if err := w.list.Withdraw(ctx, w.of["birch"]); err == nil {
			t.Error("a practice that was not listed was taken off")
		}

		// The truth is the Endpoint: one that the practice stores itself counts, one for another server's address does not.
		end := `{"resourceType":"Endpoint","id":"own","status":"active","connectionType":{"system":"http://terminology.hl7.org/CodeSystem/endpoint-connection-type","code":"hl7-fhir-rest"},
			"payloadType":[{"text":"any"}],"managingOrganization":{"reference":"Organization/org"},"contact":[{"value":"inner@example.org"}],"address":"`
		w.put("birch", end+`https://elsewhere.example.org/birch/fhir"}`)
		w.put("cedar", end+origin+`/cedar/fhir"}`) // nobody manages it
		d.Clock.Advance(kept)
		if s := w.look(); strings.Contains(s, "birch") || strings.Contains(s, "cedar") {
			t.Errorf("the list shows another server's address, or nobody's: %s", s)
		}
		w.put("birch", end+origin+`/birch/fhir"}`)
		if s := w.look(); strings.Contains(s, "birch") {
			t.Error("the list was made anew for each who asked")
		}
		d.Clock.Advance(kept + time.Second)
		if s := w.look(); !strings.Contains(s, "birch clinic") || strings.Contains(s, "inner@") {
			t.Errorf("an Endpoint of its own does not list a practice, or shows too much: %s", s)
		}

		if err := w.list.Withdraw(ctx, w.of["alder"]); err != nil {
			t.Fatal(err)
		}
		if s := w.look(); strings.Contains(s, "alder") {
			t.Errorf("a practice that left is still shown: %s", s)
		}
		n, err := fhirjson.Parse([]byte(w.look()), fhirjson.Limits{})
		if err != nil || n.Get("entry").Len() != 2 {
			t.Errorf("%v: %d entries", err, n.Get("entry").Len())
		}
	})
}

// A practice sees what others see of it, before it is listed, while it is, and when it is listed by an Endpoint of its own.
func TestShows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		shows := func(slug string) Listing {
			t.Helper()
			p, err := w.list.o.Auth.PracticeBySlug(ctx, slug)
			if err != nil {
				t.Fatal(err)
			}
			l, err := w.list.Shows(ctx, w.of[slug], p)
			if err != nil || l.Base != origin+"/"+slug+"/fhir" || l.At != origin+Path {
				t.Fatalf("%+v %v", l, err)
			}
			return l
		}
		if l := shows("alder"); l.Listed || l.Name != "alder clinic" || l.NPI != "1234567893" || l.JSON != "" || len(l.Addresses) != 1 || l.Addresses[0] != "1 Elm, Lynn, MA 01901" {
			t.Errorf("before: %+v", l)
		}
		if l := shows("cedar"); l.Listed || l.Name != "" {
			t.Errorf("without an Organization: %+v", l)
		}
		if _, err := w.list.Publish(ctx, w.of["alder"], "alder", "Alder Clinic"); err != nil {
			t.Fatal(err)
		}
		l := shows("alder")
		if !l.Listed || !l.Ours || l.Name != "alder clinic" || strings.Contains(l.JSON, "inner words") || !strings.Contains(l.JSON, "fhir-base") {
			t.Errorf("listed: %+v", l)
		}
		w.put("birch", `{"resourceType":"Endpoint","id":"own","status":"active","connectionType":{"system":"`+connections+`","code":"`+rest+`"},"payloadType":[{"text":"any"}],"managingOrganization":{"reference":"Organization/org"},"address":"`+origin+`/birch/fhir"}`)
		if l := shows("birch"); !l.Listed || l.Ours {
			t.Errorf("listed by its own Endpoint: %+v", l)
		}
		if err := w.list.Withdraw(ctx, w.of["alder"]); err != nil {
			t.Fatal(err)
		}
		if l := shows("alder"); l.Listed || l.Name == "" {
			t.Errorf("after: %+v", l)
		}
	})
}
