package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// blocks fetches the files of an organised export as a client does that knows nothing but the manifest: the lines of each patient's
// block, and under "" what has no header. It wants the Patient, where there is one, right behind the header, each block in one place,
// and blocks that go on in another file announced.
func (k *station) blocks(as string, m manifest) map[string][]string {
	k.t.Helper()
	out := map[string][]string{}
	begun := map[string]string{} // by patient, the file a block ended in
	next := map[string]string{}
	for _, f := range m.Output {
		next[f.URL] = f.Next
	}
	for _, f := range m.Output {
		body := k.must(200, as, "GET", f.URL, "").Body.String()
		if f.Type == "" && !strings.HasPrefix(body, `{"resourceType":"Parameters"`) && body != "" {
			k.t.Fatalf("a file does not begin with a header: %.200s", body)
		}
		patient, n, headers := "", 0, 0
		for l := range strings.Lines(body) {
			node, issues := fhir.Parse([]byte(l))
			if issues.Err() != nil {
				k.t.Fatalf("%v: %s", issues, l)
			}
			typ := node.Get("resourceType").Text()
			if n++; typ == "Parameters" {
				if headers++; node.Get("parameter").Items()[0].Get("name").Text() != "header" {
					k.t.Errorf("header %s", l)
				}
				patient = node.Get("parameter").Items()[0].At("valueReference", "reference").Text()
				if was, ok := begun[patient]; ok && (was == f.URL || next[was] != f.URL || headers > 1) {
					k.t.Errorf("a second block of %s, which does not go on in its file", patient)
				}
				begun[patient] = f.URL
				continue
			}
			ref := typ + "/" + node.Get("id").Text()
			if f.Type != "" && typ != f.Type || typ == "Patient" && (ref != patient || len(out[patient]) > 0) {
				k.t.Errorf("%s in the block of %s after %v", ref, patient, out[patient])
			}
			out[patient] = append(out[patient], ref)
		}
		if n != f.Count {
			k.t.Errorf("%s has %d lines, the manifest says %d", f.URL, n, f.Count)
		}
	}
	return out
}

func flat(blocks map[string][]string) (out string) {
	for _, p := range slices.Sorted(maps.Keys(blocks)) {
		lines := slices.Clone(blocks[p])
		slices.Sort(lines)
		out += p + ": " + strings.Join(lines, " ") + "\n"
	}
	return out
}

func TestFilesByPatient(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		k.must(201, "system", "PUT", "Communication/two", `{"resourceType":"Communication","id":"two","status":"completed","subject":{"reference":"Patient/ann"},"sender":{"reference":"Patient/bob"}}`)
		ann, bob, cid := "Patient/ann: Communication/two Device/d-ann Observation/o-ann Patient/ann Provenance/p-ann\n", "Patient/bob: Communication/two Device/d-bob Observation/o-bob Patient/bob\n", "Patient/cid: Observation/o-cid Patient/cid\n"
		for path, want := range map[string]string{
			"$export?organizeOutputBy=Patient":                                           ": Group/g Group/inner Group/kinds Practitioner/kind Questionnaire/q\n" + ann + bob + cid,
			"Patient/$export?organizeOutputBy=Patient":                                   ": Practitioner/kind\n" + ann + bob + cid,
			"Group/g/$export?organizeOutputBy=Patient":                                   ": Practitioner/kind\n" + ann,
			"Patient/$export?organizeOutputBy=Patient&_type=Observation":                 "Patient/ann: Observation/o-ann\nPatient/bob: Observation/o-bob\nPatient/cid: Observation/o-cid\n",
			"Patient/$export?organizeOutputBy=Patient&patient=Patient/cid&_type=Patient": "Patient/cid: Patient/cid\n",
			"$export?organizeOutputBy=Patient&_type=Condition":                           "",
		} {
			m, _ := k.export("system", path)
			if got := flat(k.blocks("system", m)); got != want || m.OutputOrganizedBy != "Patient" {
				t.Errorf("%s (%s):\n%s, not\n%s", path, m.OutputOrganizedBy, got, want)
			}
			for _, f := range m.Output {
				if f.Next != "" {
					t.Errorf("%s: a small file goes on", path)
				}
			}
		}
		// A bucket on the way to blocks is no file that can be fetched.
		m, at := k.export("system", "$export?organizeOutputBy=Patient")
		for n := range 40 {
			for _, name := range []string{"%d..07.ndjson", "%d.ndjson"} {
				url := at + "/" + fmt.Sprintf(name, n)
				if w := k.ask("system", "GET", url, ""); w.Code == 200 && !slices.ContainsFunc(m.Output, func(f manifestFile) bool { return f.URL == url }) {
					t.Errorf("%s: %s", url, w.Body)
				}
			}
		}
		if err := d.View(context.Background(), d.Scope(1), func(tx *db.Tx) error {
			o, err := loadExport(context.Background(), tx, hashOf(tx, strings.TrimPrefix(at, "https://ehr.example.org/north/bulk/")))
			for n, f := range o.Files {
				if part, err := loadPart(context.Background(), tx, o.h, n, 0); err != nil || f.Kind == bucketFile && part != nil {
					t.Errorf("bucket %d is left: %v", n, err)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// What may not be seen any more when a file is sent leaves no header that names the patient, and lines never come under another's.
func TestBlocksAreGuarded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		m, _ := k.export("other", "Patient/$export?organizeOutputBy=Patient&_type=Patient,Observation")
		seen := func(patient string) int {
			found, err := k.audit.Find(context.Background(), d.Scope(1), audit.Filter{Patient: patient, Action: audit.ActionExport})
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		k.must(204, "system", "DELETE", "Observation/o-bob", "")
		k.must(204, "system", "DELETE", "Patient/bob", "")
		k.must(204, "system", "DELETE", "Patient/cid", "")
		var body string
		for _, f := range m.Output {
			body += k.must(200, "other", "GET", f.URL, "").Body.String()
		}
		if strings.Contains(body, "bob") || strings.Count(body, `"Parameters"`) != 2 || strings.Count(body, "\n") != 5 {
			t.Errorf("after deletions:\n%s", body)
		}
		if seen("Patient/ann") != 1 || seen("Patient/cid") != 1 || seen("Patient/bob") != 0 {
			t.Errorf("on record: ann %d, cid %d, bob %d", seen("Patient/ann"), seen("Patient/cid"), seen("Patient/bob"))
		}
		k.as["other"] = auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Group": auth.CanRead}})
		for _, f := range m.Output {
			if w := k.ask("other", "GET", f.URL, ""); strings.Contains(w.Body.String(), "Patient") {
				t.Errorf("without the right: %d %s", w.Code, w.Body)
			}
		}
	})
}

// TestBlocksGoOn stops the worker after every commit, with buckets that must be spread and files that must be split, and wants every
// resource once in the block of its patient.
func TestBlocksGoOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		long := strings.Repeat("x", 2000)
		for i := range 60 {
			whose := "bob"
			if i%3 == 0 {
				whose = []string{"ann", "cid"}[i%2]
			}
			k.must(201, "system", "PUT", fmt.Sprintf("Observation/n%d", i), observation(fmt.Sprintf("n%d", i), whose, `,"valueString":"`+long+`"`))
		}
		for i := range 30 {
			k.must(201, "system", "PUT", fmt.Sprintf("Patient/p%d", i), fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","name":[{"family":"%s"}]}`, i, long))
		}
		at := k.must(202, "system", "GET", "$export?organizeOutputBy=Patient&_type=Observation,Patient", "").Header().Get("Content-Location")
		steps := 0
		for ; k.must2xx("system", at).Code != 200; steps++ {
			if steps > 20 {
				t.Fatal("it does not end")
			}
			d.Reopen(t)
			k.stand()
			k.exports.flushAt, k.exports.flushBytes, k.exports.pageSize, k.exports.splitAt, k.exports.fileSize = 60, 6000, 20, 6000, 20_000
			if steps == 0 {
				k.exports.flushBytes = 1 << 20
			}
			k.exports.sliceFor = 0 // one commit, one job
			if steps < 7 {
				k.exports.sliceFor, k.exports.afterCommit = time.Hour, func() { panic("killed") }
			}
			k.run()
			d.Clock.Advance(6 * time.Minute)
			k.must(201, "system", "PUT", fmt.Sprintf("Observation/later%d", steps), observation(fmt.Sprintf("later%d", steps), "ann", ""))
		}
		var m manifest
		if err := json.Unmarshal(k.must(200, "system", "GET", at, "").Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		got := k.blocks("system", m)
		all, goesOn := 0, 0
		for p, lines := range got {
			all += len(lines)
			if p == "" || len(slices.Compact(slices.Sorted(slices.Values(lines)))) != len(lines) || !slices.Contains(lines, p) {
				t.Errorf("block %q: %v", p, lines)
			}
		}
		for _, f := range m.Output {
			if f.Next != "" {
				goesOn++
			}
		}
		if all != 96 || len(got) != 33 || len(got["Patient/bob"]) != 42 || goesOn == 0 || steps < 5 {
			t.Errorf("%d resources in %d blocks, %d of bob, %d files go on, %d steps", all, len(got), len(got["Patient/bob"]), goesOn, steps)
		}
	})
}
