package scenario_test

import (
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes a file, packed when its name says so.
func write(t *testing.T, path, text string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		_, err = f.WriteString(text)
	} else {
		z := gzip.NewWriter(f)
		if _, err = z.Write([]byte(text)); err == nil {
			err = z.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// packed puts a file of testdata into dir, as gzip.
func packed(t *testing.T, dir, name string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata/town", name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".gz"), string(raw))
}

func TestAPracticeIsFilled(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.must("practice", "add", "willow", "Willow Street Clinic")
		first, s := h.imports("willow", "testdata/town")
		if s.code != 0 || len(first.Issues) != 0 || first.Created != 11 || first.Files != 4 || first.DanglingReferences != 0 {
			t.Fatalf("%d, %s%s", s.code, s.out, s.errs)
		}
		if first.ByType["Observation"] != 2 || first.ByType["Organization"] != 1 {
			t.Errorf("%v", first.ByType)
		}
		again, s := h.imports("willow", "testdata/town")
		if s.code != 0 || again.SkippedFiles != 4 || again.Created+again.Updated+again.Same != 0 {
			t.Errorf("again: %s", s.out)
		}
		// The same bundles in other files are read again, and change nothing either.
		dir := t.TempDir()
		packed(t, dir, "0-hospitals.json")
		packed(t, dir, "1-practitioners.json")
		raw, err := os.ReadFile("testdata/town/ann.json")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "ann.json.gz"), string(raw)+"\n")
		other, s := h.imports("willow", dir)
		if s.code != 0 || other.Created+other.Updated != 0 || other.SkippedFiles != 2 || other.Same != 4 {
			t.Errorf("in other files: %s", s.out)
		}
		if f := h.sound(); f.Resources != 11 || f.OlderVersions != 0 {
			t.Errorf("%+v", f)
		}
		text := h.must("import", "fhir", "--practice", "willow", "testdata/town/lines.ndjson", "testdata/town/ann.json")
		if !strings.Contains(text.out, "2 files had been taken in before") {
			t.Error(text.out)
		}
	})
}

// TestTheCorpus takes in every file of the corpus, without one error.
func TestTheCorpus(t *testing.T) {
	root := os.Getenv("YARROW_CORPUS")
	if root == "" {
		t.Log("YARROW_CORPUS is not set: the Synthea files were not run")
		return
	}
	each(t, func(t *testing.T, h *home) {
		dir, least := filepath.Join(root, "synthea"), int64(88_000)
		if h.data == "" { // the store's benchmark takes all of it in on PostgreSQL
			dir, least = filepath.Join(dir, "2025-02-uscore6-transaction-bundles"), 4_000
		}
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
		h.must("practice", "add", "all", "Everybody")
		r, s := h.imports("all", dir)
		if s.code != 0 || r.Refused != 0 || r.FailedFiles != 0 || r.Created < least {
			t.Errorf("%d: %s", s.code, s.out)
		}
		t.Logf("%d resources in %.1f s", r.Created+r.Updated+r.Same, r.Seconds)
		if f := h.sound(); int64(f.Resources) != r.Created {
			t.Errorf("%d resources are there, %d were made", f.Resources, r.Created)
		}
	})
}

// crowd makes files with patients whose histories are long enough to be interrupted.
func crowd(t *testing.T, patients, observations int) string {
	t.Helper()
	dir := t.TempDir()
	raw, err := os.ReadFile("testdata/town/1-practitioners.json")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "1-practitioners.json"), string(raw))
	var lines strings.Builder
	for p := range patients {
		var b strings.Builder
		fmt.Fprintf(&b, `{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:p%d","resource":{"resourceType":"Patient","id":"crowd-%d",`+
			`"name":[{"family":"Testcrowd%d"}],"generalPractitioner":[{"reference":"Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999900011"}]},`+
			`"request":{"method":"POST","url":"Patient"}}`, p, p, p)
		for o := range observations {
			observation := func(id, subject string) string {
				return fmt.Sprintf(`{"resourceType":"Observation","id":"%s","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},`+
					`"subject":{"reference":"%s"},"effectiveDateTime":"20%02d-03-04T10:00:00Z","valueQuantity":{"value":%d.50,"unit":"/min"}}`, id, subject, 10+o%15, 50+o%50)
			}
			fmt.Fprintf(&b, `,{"resource":%s,"request":{"method":"POST","url":"Observation"}}`, observation(fmt.Sprintf("c-%d-%d", p, o), fmt.Sprintf("urn:uuid:p%d", p)))
			lines.WriteString(observation(fmt.Sprintf("l-%d-%d", p, o), fmt.Sprintf("Patient/crowd-%d", p)) + "\n")
		}
		write(t, filepath.Join(dir, fmt.Sprintf("patient-%02d.json", p)), b.String()+"]}")
	}
	write(t, filepath.Join(dir, "zz-lines.ndjson.gz"), lines.String())
	return dir
}

// counted are the tables whose rows must be the same however often an import was interrupted. Audit and bookkeeping
// tell what happened, and more did.
var counted = []string{"resource", "history", "hkey", "rkey", "import_file"}

// TestAKilledImportGoesOn kills the import at several points of its life. What a run left is sound each time, and in
// the end there is what an import without interruption leaves.
func TestAKilledImportGoesOn(t *testing.T) {
	dir := crowd(t, 12, 120)
	each(t, func(t *testing.T, h *home) {
		_, recipient := h.owner()
		plain := h.another()
		plain.must("practice", "add", "crowd", "Crowd")
		began := time.Now()
		whole, _ := plain.imports("crowd", dir)
		took := time.Since(began)
		_, want := plain.backup(recipient)

		// One more file never ends, so that no run is over before it is killed.
		endless := filepath.Join(t.TempDir(), "zz.ndjson")
		if err := syscall.Mkfifo(endless, 0o600); err != nil {
			t.Fatal(err)
		}
		end, err := os.OpenFile(endless, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer end.Close()

		h.must("practice", "add", "crowd", "Crowd")
		before := 0
		for _, part := range []float64{0.2, 0.3, 0.4, 0.6} {
			cmd := command(t, append([]string{"import", "fhir", "--practice", "crowd", dir, endless}, h.place()...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(part * float64(took)))
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the import ended before it was killed")
			}
			f := h.sound()
			if f.Resources < before || f.OlderVersions != 0 {
				t.Errorf("after a kill there are %d resources, %d before", f.Resources, before)
			}
			before = f.Resources
			t.Logf("killed with %d of %d resources", before, whole.Created)
		}
		last, s := h.imports("crowd", dir)
		if s.code != 0 || last.Updated != 0 || last.Created+int64(before) != whole.Created {
			t.Errorf("the last run: %s%s", s.out, s.errs)
		}
		_, got := h.backup(recipient)
		a, b := want.rows(1), got.rows(1)
		for _, m := range []map[string]int64{a, b} {
			maps.DeleteFunc(m, func(name string, _ int64) bool { return !strings.Contains(strings.Join(counted, " "), name) })
		}
		if len(a) != len(counted) || !maps.Equal(a, b) {
			t.Errorf("without interruption %v, with %v", a, b)
		}
	})
}
