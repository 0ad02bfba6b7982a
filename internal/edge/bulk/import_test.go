package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// upload sends NDJSON and gives where the import is followed.
func (k *station) upload(as string, lines ...string) string {
	k.t.Helper()
	return k.must(202, as, "POST", "/north/bulk/import", strings.Join(lines, "\n"), "Content-Type: application/fhir+ndjson").Header().Get("Content-Location")
}

func (k *station) manifest(as, at string) (m manifest) {
	k.t.Helper()
	if err := json.Unmarshal(k.must(200, as, "GET", at, "").Body.Bytes(), &m); err != nil {
		k.t.Fatal(err)
	}
	return m
}

func (k *station) total(typ string) (n int) {
	k.t.Helper()
	if err := k.d.View(context.Background(), auth.SystemScope(1, "test"), func(tx *db.Tx) error {
		all, err := k.store.Find(context.Background(), tx, typ)
		n = len(all)
		return err
	}); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// The good lines are taken, the others are told of with their numbers; it is on record who brought them.
func TestImport(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		lines := []string{`{"resourceType":"Patient","id":"ivy","name":[{"family":"Ash"}]}`}
		for i := range 150 {
			lines = append(lines, observation(fmt.Sprintf("i%d", i), "ivy", ""))
		}
		lines = append(lines, `{"resourceType":"Observation"`, "", `{"resourceType":"Nothing"}`, `{"resourceType":"Observation","id":"bad","status":"final"}`,
			`{"resourceType":"Patient","name":[{"family":"Fresh"}]}`, `{"resourceType":"Patient","id":"ivy","name":[{"family":"Later"}]}`)
		at := k.upload("system", lines...)
		if w := k.must(202, "system", "GET", at, ""); w.Header().Get("X-Progress") != "0 lines done" {
			t.Errorf("%v", w.Header())
		}
		k.must(404, "other", "GET", at, "")
		k.must(404, "system", "GET", at+"/0.Resource.ndjson", "")
		k.run()
		m := k.manifest("system", at)
		if len(m.Output) != 2 || m.Output[0].Count != 150 || m.Output[1].Count != 3 || m.Output[0].URL != "" || len(m.Error) != 1 || m.Error[0].Count != 3 {
			t.Fatalf("manifest %+v", m)
		}
		errors := strings.Split(strings.TrimSpace(k.must(200, "system", "GET", m.Error[0].URL, "").Body.String()), "\n")
		for i, number := range []int{152, 154, 155} {
			if i >= len(errors) || !strings.Contains(errors[i], fmt.Sprintf("Line[%d]", number)) || !strings.Contains(errors[i], "OperationOutcome") {
				t.Fatalf("the file of errors: %v", errors)
			}
		}
		if n := k.total("Observation"); n != 150 {
			t.Errorf("%d Observations, not 150", n)
		}
		if got := k.must(200, "system", "GET", "Patient/ivy", "").Body.String(); !strings.Contains(got, "Later") || !strings.Contains(got, `"versionId":"2"`) {
			t.Errorf("the later line does not hold: %s", got)
		}
		told := map[string]bool{}
		if err := k.d.View(t.Context(), auth.SystemScope(1, "test"), func(tx *db.Tx) error {
			all, err := k.store.Find(t.Context(), tx, "Provenance")
			for _, r := range all {
				items := r.Node().Get("target").Items()
				for i := range items {
					told[items[i].Get("reference").Text()] = true
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(told) != 152 || !told["Observation/i149"] {
			t.Errorf("Provenance tells of %d resources, not 152", len(told))
		}
		k.must(404, "system", "GET", at+"/0.Resource.ndjson", "")
		found, err := k.audit.Find(t.Context(), d.Scope(1), audit.Filter{Action: audit.ActionImport})
		if err != nil || len(found) != 2 || found[0].Detail != "bulk import done, 153 resources of 157 lines" {
			t.Errorf("the audit: %+v %v", found, err)
		}
		k.must(202, "system", "DELETE", at, "")
		k.must(404, "system", "GET", at, "")
	})
}

// An import whose worker is killed again and again goes on where the last commit was: nothing twice, nothing missing.
func TestImportGoesOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		lines := []string{`{"resourceType":"Patient","id":"ivy","name":[{"family":"Ash"}]}`}
		for range 350 {
			lines = append(lines, `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ivy"}}`)
		}
		at := k.upload("system", lines...)
		steps := 0
		for ; k.must2xx("system", at).Code != 200; steps++ {
			if steps > 7 {
				t.Fatal("it does not end")
			}
			d.Reopen(t)
			k.stand()
			k.exports.afterCommit = func() { panic("killed") }
			k.run()
			d.Clock.Advance(6 * time.Minute) // the lease of the one that was killed ends
		}
		if n := k.total("Observation"); n != 350 || steps < 4 {
			t.Errorf("%d Observations, not 350, in %d steps", n, steps)
		}
		if m := k.manifest("system", at); m.Output[0].Count != 350 || len(m.Error) != 0 {
			t.Errorf("manifest %+v", m)
		}
	})
}

// The import writes as the program that asked, with what it may do when the line is written.
func TestImportIsWithinTheAccess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.must(201, "system", "PUT", "Patient/ivy", `{"resourceType":"Patient","id":"ivy"}`)
		keep := auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate
		k.as["own"] = auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Observation": keep, "Patient": auth.CanRead}, Compartment: "Patient/ivy"})
		fresh := func(patient string) string { return strings.Replace(observation("x", patient, ""), `"id":"x",`, "", 1) }
		// hidden is another's: whoever may not see it gets a new id for theirs, and what refers to it follows.
		k.must(201, "system", "PUT", "Observation/hidden", observation("hidden", "ann", ""))
		at := k.upload("own", fresh("ivy"), observation("hidden", "ivy", ""), observation("hidden", "ivy", `,"valueString":"again"`), observation("x", "ivy", `,"hasMember":[{"reference":"Observation/hidden"}]`),
			fresh("ann"), `{"resourceType":"Patient","id":"ivy","active":true}`)
		k.run()
		for _, path := range []string{"Observation/hidden", "Observation/x"} {
			k.must(404, "own", "GET", path, "")
		}
		if got := k.must(200, "system", "GET", "Observation/hidden", "").Body.String(); !strings.Contains(got, `"versionId":"1"`) {
			t.Errorf("what is another's was changed: %s", got)
		}
		if got := k.must(200, "own", "GET", "Observation", "").Body.String(); strings.Contains(got, "Observation/hidden") || !strings.Contains(got, "again") || !strings.Contains(got, "hasMember") {
			t.Errorf("what was taken: %s", got)
		}
		k.must(204, "system", "DELETE", "Observation/hidden", "")
		m := k.manifest("own", at)
		if len(m.Output) != 1 || m.Output[0].Count != 4 || len(m.Error) != 1 || m.Error[0].Count != 2 || k.total("Observation") != 3 {
			t.Errorf("manifest %+v", m)
		}
		// Taken back in between, it does nothing more.
		own := k.as["own"]
		at = k.upload("own", fresh("ivy"))
		delete(k.as, "own")
		k.run()
		k.as["own"] = own
		if w := k.ask("own", "GET", at, ""); w.Code != 500 || !strings.Contains(w.Body.String(), "may not write this any more") || k.total("Observation") != 3 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		// Ended before it began, it does nothing.
		at = k.upload("own", fresh("ivy"))
		k.must(202, "own", "DELETE", at, "")
		k.run()
		if k.total("Observation") != 3 {
			t.Error("an import that was ended went on")
		}
	})
}

// What an import brings may be referred to before its line comes. What leads into a hidden visit is refused as what leads to none. Other
// references that lead nowhere are counted, by type and in all.
func TestImportCountsWhatLeadsNowhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.must(201, "system", "PUT", "Patient/ivy", `{"resourceType":"Patient","id":"ivy"}`)
		k.must(201, "system", "PUT", "Practitioner/doc", `{"resourceType":"Practitioner","id":"doc"}`)
		visit := func(id, more string) string {
			return `{"resourceType":"Encounter","id":"` + id + `","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ivy"}` + more + `}`
		}
		k.must(201, "system", "PUT", "Encounter/hidden", visit("hidden", restricted))
		k.as["program"] = auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelMentalHealth})
		k.must(404, "program", "GET", "Encounter/hidden", "")
		by := func(who string) string { return `,"performer":[{"reference":"` + who + `"}]` }
		in := func(visit string) string { return `,"encounter":{"reference":"Encounter/` + visit + `"}` }
		lines := []string{
			observation("1", "ivy", in("later")+by("Practitioner/doc")), observation("2", "ivy", by("Practitioner/none")), observation("3", "ivy", by("Practitioner/none")),
			observation("4", "ivy", in("none")), observation("5", "ivy", in("hidden")), observation("6", "new", ""), observation("7", "ivy", in("bad")), observation("8", "none", ""),
			visit("later", `,"serviceProvider":{"reference":"Organization/none"}`), `{"resourceType":"Encounter","id":"bad"}`, `{"resourceType":"Patient","id":"new"}`, observation("9", "ivy", in("bad")),
		}
		at := k.upload("program", lines...)
		k.run()
		m := k.manifest("program", at)
		got := ""
		for _, f := range m.Output {
			got += fmt.Sprintf("%s %d %d; ", f.Type, f.Count, f.Extension["danglingReferences"])
		}
		if got != "Encounter 1 1; Observation 4 2; Patient 1 0; " || m.Extension["danglingReferences"] != 3 || len(m.Error) != 1 {
			t.Fatalf("%s %+v", got, m)
		}
		said := map[string]string{}
		for text := range strings.Lines(k.must(200, "program", "GET", m.Error[0].URL, "").Body.String()) {
			for _, n := range []string{"4", "5", "7", "8", "10", "12"} {
				if strings.Contains(text, "Line["+n+"]") {
					said[n] = strings.ReplaceAll(text, "Line["+n+"]", "Line")
				}
			}
		}
		if len(said) != 6 || said["4"] != said["5"] || said["4"] != said["7"] || said["4"] != said["12"] || !strings.Contains(said["4"], "leads to no Encounter") || !strings.Contains(said["8"], "leads to no Patient") {
			t.Errorf("the file of errors: %v", said)
		}
		found, err := k.audit.Find(t.Context(), d.Scope(1), audit.Filter{Action: audit.ActionImport})
		if err != nil || len(found) == 0 || found[0].Detail != "bulk import done, 6 resources of 12 lines, 3 references lead nowhere" {
			t.Errorf("the audit: %+v %v", found, err)
		}
	})
}

func TestUploadsThatAreRefused(t *testing.T) {
	k := newStation(t, dbtest.SQLite(t, nil))
	for _, c := range []struct {
		name, as, media, body string
		want                  int
	}{
		{"nobody", "", "application/fhir+ndjson", "{}", 401},
		{"JSON", "system", "application/fhir+json", "{}", 400},
		{"empty", "system", "application/fhir+ndjson", "", 400},
		{"a line too long", "system", "application/fhir+ndjson", strings.Repeat("x", lineSize+1), 413},
	} {
		r := httptest.NewRequest("POST", "/north/bulk/import", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.media)
		r.Header.Set("Authorization", "Bearer "+c.as)
		w := httptest.NewRecorder()
		k.mux.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, not %d %s", c.name, w.Code, c.want, w.Body)
		}
	}
}
