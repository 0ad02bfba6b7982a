package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongInput: each fault gets one clear message with its place and remedy, the exit code 3, and leaves what was
// accepted, before and in the same run, in place.
func TestWrongInput(t *testing.T) {
	const patient = `{"resourceType":"Patient","id":"good"}`
	bundle := func(kind string, resources ...string) string {
		var entries []string
		for _, r := range resources {
			entries = append(entries, `{"resource":`+r+`,"request":{"method":"POST","url":"`+strings.Split(r, `"`)[3]+`"}}`)
		}
		return `{"resourceType":"Bundle","type":"` + kind + `","entry":[` + "\n" + strings.Join(entries, ",\n") + "]}"
	}
	deep := patient[:len(patient)-1] + strings.Repeat(`,"extension":[{"url":"http://example.org/e"`, 70) + strings.Repeat("}]", 70) + "}"
	cases := []struct {
		name, file, text string
		said             []string // must be said, besides the file's name
		path             string   // of the first issue
		line             int
		entry            int // -1: none
		kept             int64
	}{
		{"malformed", "a.json", "{\n\"resourceType\": \"Patient\",\n oops }", []string{"member name"}, "", 3, -1, 0},
		{"truncated", "a.json", `{"resourceType":"Patient","id":"x"`, []string{"ends"}, "", 1, -1, 0},
		{"a member twice", "a.json", `{"resourceType":"Patient","id":"x","gender":"male","gender":"female"}`, []string{"gender"}, "", 1, -1, 0},
		{"wrong case", "a.json", `{"resourceType":"Patient","id":"x","birthdate":"1990-01-01"}`, []string{"birthdate", "birthDate"}, "Patient.birthdate", 1, -1, 0},
		{"too deep", "a.json", deep, []string{"64"}, "", 1, -1, 0},
		{"too large", "a.json", `{"resourceType":"Binary","id":"x","contentType":"text/plain","data":"` + strings.Repeat("QUFB", 300_000) + `"}`, []string{"1 MB", "raise the limit"}, "", 1, -1, 0},
		{"wrong type", "a.json", `{"resourceType":"Patient","id":"x","active":"yes"}`, []string{"true or false"}, "Patient.active", 1, -1, 0},
		{"unknown element", "a.json", `{"resourceType":"Patient","id":"x","shoeSize":43}`, []string{"shoeSize"}, "Patient.shoeSize", 1, -1, 0},
		{"unknown resource", "a.json", `{"resourceType":"Pirate","id":"x"}`, []string{"not a resource of FHIR R4"}, "", 1, -1, 0},
		{"dangling reference", "a.json", bundle("transaction", patient, `{"resourceType":"Encounter","id":"e","status":"planned","class":{"code":"AMB"},"subject":{"reference":"urn:uuid:5f0c1f4e-0000-4000-8000-000000000000"}}`),
			[]string{"reference to another entry leads to none"}, "", 3, 1, 0},
		{"one wrong entry of a transaction", "a.json", bundle("transaction", patient, `{"resourceType":"Patient","id":"x","birthDate":"soon"}`), []string{"birthDate"}, "", 3, 1, 0},
		{"one wrong entry of a batch", "a.json", bundle("batch", patient, `{"resourceType":"Patient","id":"x","birthDate":"soon"}`), []string{"birthDate"}, "", 3, 1, 1},
		{"one wrong line", "a.ndjson", patient + "\n" + `{"resourceType":"Patient",` + "\n" + `{"resourceType":"Patient","id":"other"}` + "\n", nil, "", 2, -1, 2},
		{"not a gzip file", "a.json.gz", "\x00\x01 nothing", []string{"not a gzip file"}, "", 0, -1, 0},
		{"empty", "a.json", " \n", []string{"empty"}, "", 0, -1, 0},
		{"no FHIR", "a.json", `{"hello":"world"}`, []string{"resourceType"}, "", 1, -1, 0},
	}
	each(t, func(t *testing.T, h *home) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				h := h.in(t)
				practice := fmt.Sprint("willow", i)
				h.must("practice", "add", practice, "Willow")
				dir := t.TempDir()
				before := write(t, filepath.Join(dir, "0-hospital.json"), `{"resourceType":"Organization","id":"before","name":"Before"}`)
				path := filepath.Join(dir, c.file)
				if strings.HasPrefix(c.text, "\x00") {
					if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
						t.Fatal(err)
					}
				} else {
					write(t, path, c.text)
				}
				text := h.run("import", "fhir", "--practice", practice, "--max-resource", "1", before, path)
				text.refused(t, 3, append(c.said, "refused: "+path, "what was accepted is kept")...)
				r, s := h.imports(practice, "--max-resource", "1", before, path)
				if s.code != 3 || r.SkippedFiles != 1 || r.Same != c.kept || r.Refused != 1 || len(r.Issues) == 0 {
					t.Fatalf("again: %d %s", s.code, s.out)
				}
				i := r.Issues[0]
				entry := -1
				if i.Entry != nil {
					entry = *i.Entry
				}
				if i.File != path || i.Line != c.line || entry != c.entry || i.Fix == "" || i.Severity != "error" || c.path != "" && i.Path != c.path {
					t.Errorf("%+v, entry %d", i, entry)
				}
				if f := h.sound("--practice", practice); int64(f.Resources) != 1+c.kept {
					t.Errorf("%d resources are kept, not %d", f.Resources, 1+c.kept)
				}
			})
		}
	})
}

func TestCutGzip(t *testing.T) {
	h := onSQLite(t)
	h.must("practice", "add", "willow", "Willow")
	path := write(t, filepath.Join(t.TempDir(), "a.json.gz"), `{"resourceType":"Patient","id":"x"}`)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw[:len(raw)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	h.run("import", "fhir", "--practice", "willow", path).refused(t, 3, "ends too early", "Get the file again")
}

func TestWrongCommands(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.must("practice", "add", "willow", "Willow")
		empty := t.TempDir()
		nothing := filepath.Join(empty, "none.json")
		for _, c := range []struct {
			args  []string
			code  int
			words []string
		}{
			{[]string{"import", "fhir", "--practice", "willow", empty}, 1, []string{"nothing to import in " + empty, ".ndjson"}},
			{[]string{"import", "fhir", "--practice", "willow", nothing}, 1, []string{"There is no file " + nothing}},
			{[]string{"import", "fhir", "--practice", "elm", "testdata/town"}, 1, []string{`no practice "elm"`, "yarrow practice list"}},
			{[]string{"import", "fhir", "testdata/town"}, 2, []string{"--practice"}},
			{[]string{"practice", "add", "willow", "Willow again"}, 1, []string{"already"}},
			{[]string{"user", "reset", "--practice", "willow", "nobody"}, 1, []string{"Nobody in willow", "yarrow user list"}},
			{[]string{"backup", "--out", filepath.Join(empty, "b")}, 1, []string{"who can open", "--recipient"}},
			{[]string{"backup", "--out", filepath.Join(empty, "b"), "--recipient", "age1wrong"}, 1, []string{"not an age recipient"}},
			{[]string{"dance"}, 2, []string{"dance"}},
		} {
			t.Run(strings.Join(c.args[:1], " ")+" "+c.words[0], func(t *testing.T) {
				s := yarrow(t, append(c.args, h.place()...)...)
				s.refused(t, c.code, c.words...)
			})
		}
		h.sound()
	})
	t.Run("no data", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		for _, args := range [][]string{{"doctor"}, {"import", "fhir", "--practice", "x", "testdata/town"}, {"user", "list", "--practice", "x"}} {
			yarrow(t, append(args, "--data", dir)...).refused(t, 1, "There is no Yarrow data in "+dir, "--data")
		}
		if _, err := os.Stat(dir + ".keys"); err == nil {
			t.Error("keys were made")
		}
	})
}
