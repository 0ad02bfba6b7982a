package guides

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

// guide is a small guide of our own: a Patient with a birth date and a shoe size from a list.
func guide(version string, more ...string) []byte {
	files := []string{
		"package/package.json", `{"name":"test.guide","version":"` + version + `","canonical":"https://guide.example.org","fhirVersions":["4.0.1"],"dependencies":{"hl7.fhir.r4.core":"4.0.1","other.guide":"2.0.0"}}`,
		"package/StructureDefinition-born.json", `{"resourceType":"StructureDefinition","id":"born","url":"https://guide.example.org/born","version":"` + version + `","name":"Born","status":"active","kind":"resource","abstract":false,"type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint",
			"differential":{"element":[{"id":"Patient","path":"Patient"},{"id":"Patient.birthDate","path":"Patient.birthDate","min":1},
			{"id":"Patient.maritalStatus","path":"Patient.maritalStatus","binding":{"strength":"required","valueSet":"https://guide.example.org/shoes"}}]}}`,
		"package/ValueSet-shoes.json", `{"resourceType":"ValueSet","id":"shoes","url":"https://guide.example.org/shoes","status":"active","compose":{"include":[{"system":"https://guide.example.org/shoe"}]}}`,
		"package/CodeSystem-shoe.json", `{"resourceType":"CodeSystem","id":"shoe","url":"https://guide.example.org/shoe","status":"active","content":"complete","concept":[{"code":"small"},{"code":"large"}]}`,
		"package/example/Patient-x.json", `{"resourceType":"Patient"}`,
		"package/ValueSet-broken.json", `{"resourceType":"ValueSet","id":"broken","nonsense":1}`,
	}
	return pack(append(files, more...)...)
}

func pack(files ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg})
		w.Write([]byte(files[i+1]))
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

func each(t *testing.T, fn func(t *testing.T, d *dbtest.DB, g *Guides)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		store := fhirstore.New(d.DB, audit.New(d.DB))
		g := New(d.DB, store, codes.New(d.DB, store, codes.Options{}))
		store.Judge = g.Checker
		fn(t, d, g)
	})
}

const claims = `{"resourceType":"Patient","meta":{"profile":["https://guide.example.org/born"]}%s}`

// write says what the store makes of a Patient that claims the guide's profile.
func write(t *testing.T, g *Guides, p db.PracticeID, rest string) (warnings int, err error) {
	t.Helper()
	ctx, err := g.store.Checking(t.Context(), auth.SystemScope(p, "test"))
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := g.store.Prepare(ctx, []byte(strings.Replace(claims, "%s", rest, 1)))
	if err != nil {
		return 0, err
	}
	return len(prepared.Warnings), nil
}

func TestImportedProfilesAreChecked(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		one := auth.SystemScope(1, "test")
		if warnings, err := write(t, g, 1, ""); err != nil || warnings != 1 {
			t.Errorf("an unknown profile: %v, %d warnings", err, warnings)
		}
		r, err := g.Import(t.Context(), one, bytes.NewReader(guide("1.0.0")))
		if err != nil {
			t.Fatal(err)
		}
		if r.Resources != 3 || len(r.Refused) != 1 || !strings.Contains(r.Refused[0], "broken") || len(r.Missing) != 1 || r.Missing[0] != "other.guide#2.0.0" {
			t.Errorf("report: %+v", r)
		}
		for _, c := range []struct{ rest, want string }{
			{"", "birthDate"},
			{`,"birthDate":"1970-01-01"`, ""},
			{`,"birthDate":"1970-01-01","maritalStatus":{"coding":[{"system":"https://guide.example.org/shoe","code":"large"}]}`, ""},
			{`,"birthDate":"1970-01-01","maritalStatus":{"coding":[{"system":"https://guide.example.org/shoe","code":"huge"}]}`, "https://guide.example.org/shoes"},
		} {
			_, err := write(t, g, 1, c.rest)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.rest, err)
			}
		}
		if warnings, err := write(t, g, 2, ""); err != nil || warnings != 1 {
			t.Errorf("the other practice has not imported it: %v, %d warnings", err, warnings)
		}
		list, err := g.List(t.Context(), one)
		if err != nil || len(list) != 1 || list[0].Package != "test.guide" || list[0].Resources != 3 || list[0].Canonical != "https://guide.example.org" {
			t.Errorf("list: %+v %v", list, err)
		}
	})
}

func TestVersionsStandSideBySide(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		one := auth.SystemScope(1, "test")
		for _, v := range []string{"1.0.0", "1.1.0", "1.1.0"} {
			if _, err := g.Import(t.Context(), one, bytes.NewReader(guide(v))); err != nil {
				t.Fatal(err)
			}
		}
		list, err := g.List(t.Context(), one)
		if err != nil || len(list) != 2 {
			t.Errorf("list: %+v %v", list, err)
		}
		v, _, err := g.Validator(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ canonical, version string }{{"", "1.1.0"}, {"|1.0.0", "1.0.0"}, {"|1.1.0", "1.1.0"}} {
			if d := v.Profiles.Find("https://guide.example.org/born" + c.canonical); d == nil || d.Version != c.version {
				t.Errorf("%q finds %+v", c.canonical, d)
			}
		}
	})
}

// TestPolicy: a practice may only be warned about profiles; R4 itself is always obeyed, and history is judged by structure
// and codes.
func TestPolicy(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		one := auth.SystemScope(1, "test")
		if _, err := g.Import(t.Context(), one, bytes.NewReader(guide("1.0.0"))); err != nil {
			t.Fatal(err)
		}
		if err := g.SetPolicy(t.Context(), one, "sometimes"); err == nil {
			t.Error("an unknown policy was taken")
		}
		if err := g.SetPolicy(t.Context(), one, WarnOnly); err != nil {
			t.Fatal(err)
		}
		if warnings, err := write(t, g, 1, ""); err != nil || warnings == 0 {
			t.Errorf("warned only: %v, %d warnings", err, warnings)
		}
		broken := `,"birthDate":"1970-01-01","contact":[{"gender":"other"}]`
		if _, err := write(t, g, 1, broken); err == nil || !strings.Contains(err.Error(), "pat-1") {
			t.Errorf("a rule of R4 was broken: %v", err)
		}
		light, err := g.Checker(t.Context(), one, true)
		if err != nil {
			t.Fatal(err)
		}
		n, err := fhirjson.Parse([]byte(strings.Replace(claims, "%s", broken, 1)), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if issues := light(n); issues.HasErrors() {
			t.Errorf("history: %v", issues)
		}
	})
}

// TestTargetPolicy: a warning holds until a practice chooses, and either choice leaves the other alone.
func TestTargetPolicy(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		one := auth.SystemScope(1, "test")
		is := func(want fhirstore.Targets, policy Policy) {
			t.Helper()
			got, err := g.Targets(t.Context(), one)
			if err != nil || got != want {
				t.Errorf("references: %v, want %v: %v", got, want, err)
			}
			if _, p, err := g.Validator(t.Context(), 1); err != nil || p != policy {
				t.Errorf("profiles: %v, want %v: %v", p, policy, err)
			}
		}
		is(fhirstore.WarnTarget, Reject)
		if err := g.SetTargets(t.Context(), one, "sometimes"); err == nil {
			t.Error("an unknown policy was taken")
		}
		for _, c := range []struct {
			choice string
			want   fhirstore.Targets
		}{{"reject", fhirstore.MustTarget}, {"off", fhirstore.AnyTarget}, {"warn", fhirstore.WarnTarget}, {"reject", fhirstore.MustTarget}} {
			if err := g.SetTargets(t.Context(), one, c.choice); err != nil {
				t.Fatal(err)
			}
			is(c.want, Reject)
		}
		if err := g.SetPolicy(t.Context(), one, WarnOnly); err != nil {
			t.Fatal(err)
		}
		is(fhirstore.MustTarget, WarnOnly)
		if got, err := g.Targets(t.Context(), auth.SystemScope(2, "test")); err != nil || got != fhirstore.WarnTarget {
			t.Errorf("another practice: %v, %v", got, err)
		}
	})
}

// TestAnotherProcessImports: what somebody else stored is seen after a minute.
func TestAnotherProcessImports(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		if _, err := write(t, g, 1, ""); err != nil {
			t.Fatal(err)
		}
		store := fhirstore.New(d.DB, audit.New(d.DB))
		other := New(d.DB, store, codes.New(d.DB, store, codes.Options{}))
		if _, err := other.Import(t.Context(), auth.SystemScope(1, "test"), bytes.NewReader(guide("1.0.0"))); err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(fresh)
		if _, err := write(t, g, 1, ""); err == nil {
			t.Error("the guide is not seen")
		}
	})
}

// TestUSCorePackages imports the later versions whole and judges their examples.
func TestUSCorePackages(t *testing.T) {
	dir := corpustest.Folder(t, "us-core")
	if dir == "" {
		return
	}
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		f, err := os.Open(filepath.Join(dir, "8.0.0", "definitions.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := g.Import(t.Context(), auth.SystemScope(1, "test"), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Refused) > 0 || r.ByType["StructureDefinition"] < 60 || r.ByType["SearchParameter"] < 100 {
			t.Errorf("report: %+v", r)
		}
		v, _, err := g.Validator(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		corpustest.Untar(t, filepath.Join(dir, "8.0.0", "examples.tar.gz"), func(name string, raw []byte) {
			n, err := fhirjson.Parse(raw, fhirjson.Limits{})
			if err != nil || n.Get("resourceType").Kind() != fhirjson.String {
				return
			}
			count++
			if issues := v.Validate(n, profile.Options{}); issues.HasErrors() {
				t.Errorf("%s: %v", name, issues.Err())
			}
		})
		t.Logf("%d examples", count)
	})
}
