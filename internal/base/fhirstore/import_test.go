package fhirstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
)

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	data := []byte(text)
	if strings.HasSuffix(name, ".gz") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportOfOurOwnFiles(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		dir := t.TempDir()
		// By name the practitioners come last; by what they are for, first.
		write(t, dir, "zz-practitionerInformation.json", string(bundleOf("batch", post("urn:uuid:d", docEntry, "identifier=http://npi|1"))))
		write(t, dir, "ann.json.gz", string(bundleOf("transaction", post("urn:uuid:ann", annEntry, ""), post("urn:uuid:obs", obsEntry, ""))))
		write(t, dir, "coll.json", string(bundleOf("collection", `{"resource":{"resourceType":"Patient","id":"cyd"}}`)))
		write(t, dir, "lines.ndjson", "{\"resourceType\":\"Patient\",\"id\":\"l1\"}\n\n{\"resourceType\":\"Task\",\"id\":\"l2\",\"status\":\"draft\",\"intent\":\"order\",\"for\":{\"reference\":\"Patient/l1\"},\"owner\":{\"reference\":\"Practitioner/nobody\"}}\n")
		write(t, dir, "single.json", "\ufeff{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"O\"}")
		write(t, dir, "notes.txt", "not ours")
		write(t, dir, "log.ndjson", "{\"eventId\":\"kickoff\"}\n{\"eventId\":\"done\"}\n")
		var seen []Progress
		im := Importer{Store: b.Store, Scope: system(1), Progress: func(p Progress) { seen = append(seen, p) }}
		r, err := im.Run(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if r.Files != 6 || r.Failed != 0 || r.Created != 7 || r.Dangling != 1 || r.Refused != 0 || len(r.Issues) != 2 {
			t.Errorf("%+v", r)
		}
		if last := seen[len(seen)-1]; last.FilesDone != 6 || last.Resources != 7 {
			t.Errorf("progress %+v", last)
		}
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			ann, err := b.Read(ctx, tx, "Patient", "x")
			if err != nil {
				return err
			}
			found, err := b.Find(ctx, tx, "Patient", "general-practitioner.name", "oak")
			if len(found) != 1 || found[0].ID != ann.ID {
				t.Error("the conditional reference did not become one to the practitioner")
			}
			return err
		})
		r, err = im.Run(t.Context(), dir)
		if err != nil || r.Skipped != 5 || r.Created+r.Updated != 0 {
			t.Errorf("again: %+v %v", r, err)
		}
	})
}

func TestImportNamesWhatIsWrong(t *testing.T) {
	patient := `{"resourceType":"Patient","id":"p"}`
	deep := strings.Repeat(`{"extension":[`, 70)
	for name, c := range map[string]struct {
		file, text string
		line       int
		entry      int
		want       string
		created    int64
	}{
		"malformed":        {"a.json", "{\n\"resourceType\": \"Patient\",\n oops }", 3, -1, "", 0},
		"truncated JSON":   {"a.json", `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + patient, 1, -1, "", 0},
		"empty":            {"a.json", " \n", 0, -1, "empty", 0},
		"too deep":         {"a.json", `{"resourceType":"Patient",` + deep[1:], 1, -1, "", 0},
		"too large":        {"a.json", `{"resourceType":"Patient","id":"p","name":[{"family":"` + strings.Repeat("x", 3<<20) + `"}]}`, 0, -1, "larger than 2 MB", 0},
		"no FHIR":          {"a.json", `{"hello":"world"}`, 1, -1, "not a resource", 0},
		"a member twice":   {"a.json", `{"resourceType":"Patient","id":"p","id":"q"}`, 1, -1, "", 0},
		"dangling entry":   {"a.json", "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[\n" + post("urn:uuid:p", patient, "") + ",\n" + post("urn:uuid:o", `{"resourceType":"Task","id":"t","status":"draft","intent":"order","for":{"reference":"urn:uuid:none"}}`, "") + "]}", 3, 1, "leads to none", 0},
		"invalid entry":    {"a.json", "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[\n" + post("urn:uuid:p", patient, "") + ",\n\n" + post("urn:uuid:o", `{"resourceType":"Patient","id":"t","birthDate":"soon"}`, "") + "]}", 4, 1, "", 0},
		"a bad line":       {"a.ndjson", patient + "\n{\"resourceType\":\"Patient\",\n" + `{"resourceType":"Patient","id":"q"}`, 2, -1, "", 2},
		"an invalid line":  {"a.ndjson", patient + "\n" + `{"resourceType":"Patient","id":"q","birthDate":"soon"}` + "\n" + `{"resourceType":"Patient","id":"r"}`, 2, -1, "", 2},
		"a strange line":   {"a.ndjson", patient + "\n" + `{"resourceType":"Pirate","id":"q"}` + "\n" + `{"resourceType":"Patient","id":"r"}`, 2, -1, "not a resource", 2},
		"an invalid batch": {"a.json", string(bundleOf("batch", post("urn:uuid:p", patient, ""), post("urn:uuid:o", `{"resourceType":"Patient","id":"t","birthDate":"soon"}`, ""))), 1, 1, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				path := write(t, t.TempDir(), c.file, c.text)
				im := Importer{Store: b.Store, Scope: system(1), MaxFile: 2 << 20}
				r, err := im.Run(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Issues) == 0 || r.Created != c.created {
					t.Fatalf("created %d, issues %v", r.Created, r.Issues)
				}
				i := r.Issues[0]
				if i.File != path || i.Line != c.line || i.Entry != c.entry || i.Fix == "" || !strings.Contains(i.Text, c.want) {
					t.Errorf("line %d entry %d: %+v", i.Line, i.Entry, i.Issue)
				}
			})
		})
	}
	t.Run("cut gzip", func(t *testing.T) {
		each(t, func(t *testing.T, b *bench) {
			path := write(t, t.TempDir(), "a.json.gz", patient)
			data, _ := os.ReadFile(path)
			if err := os.WriteFile(path, data[:len(data)-6], 0o600); err != nil {
				t.Fatal(err)
			}
			r := must(t)(Importer{Store: b.Store, Scope: system(1)}.run(t.Context(), path))
			if r.Failed != 1 || r.Issues[0].Code != "incomplete" {
				t.Errorf("%+v", r)
			}
		})
	})
}

func (im Importer) run(ctx context.Context, path string) (*ImportReport, error) {
	return im.Run(ctx, path)
}

func must(t *testing.T) func(*ImportReport, error) *ImportReport {
	return func(r *ImportReport, err error) *ImportReport {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// TestImportGoesOn stops an import after its first commit and runs it again: what is there is not written
// twice, and what is missing follows.
func TestImportGoesOn(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		var lines strings.Builder
		for i := range 2500 {
			fmt.Fprintf(&lines, "{\"resourceType\":\"Basic\",\"id\":\"b%d\",\"code\":{\"text\":\"x\"}}\n", i)
		}
		path := write(t, t.TempDir(), "a.ndjson", lines.String())
		ctx, cancel := context.WithCancel(t.Context())
		im := Importer{Store: b.Store, Scope: system(1), Progress: func(p Progress) {
			if p.Resources >= 1000 {
				cancel()
			}
		}}
		if _, err := im.Run(ctx, path); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped import: %v", err)
		}
		im.Progress = nil
		r, err := im.Run(t.Context(), path)
		if err != nil || r.Created+r.Same < 1500 || r.Created+r.Same == 2500 || r.Updated != 0 {
			t.Fatalf("%+v %v", r, err)
		}
		if all := b.everything(1); len(all) != 2500 {
			t.Errorf("%d resources", len(all))
		}
		for _, r := range b.everything(1) {
			if r.Version != 1 {
				t.Fatalf("%s has version %d", r.ID, r.Version)
			}
		}
		if r, err := im.Run(t.Context(), path); err != nil || r.Skipped != 1 {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// TestImportDoesNotForgetRefusals: a file with a refused line is not done, and taking it in again writes nothing
// twice, not even what has no id.
func TestImportDoesNotForgetRefusals(t *testing.T) {
	good := `{"resourceType":"Patient","active":true}`
	for name, text := range map[string]string{
		"lines.ndjson": good + "\n" + `{"resourceType":"Patient","birthDate":"soon"}` + "\n" + good + "\n",
		"batch.json":   string(bundleOf("batch", post("urn:uuid:p", good, ""), post("urn:uuid:o", `{"resourceType":"Patient","birthDate":"soon"}`, ""), post("urn:uuid:q", good, ""))),
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				path := write(t, t.TempDir(), name, text)
				im := Importer{Store: b.Store, Scope: system(1)}
				first := must(t)(im.run(t.Context(), path))
				again := must(t)(im.run(t.Context(), path))
				if first.Created != 2 || first.Refused != 1 || again.Skipped != 0 || again.Created != 0 || again.Same != 2 || again.Refused != 1 {
					t.Errorf("first %+v\nagain %+v", first, again)
				}
			})
		})
	}
}
