package viewdef

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
)

// excluded are shared cases that are not answered as they expect, with the reason. One that passes fails the test.
var excluded = map[string]string{}

func TestSharedCases(t *testing.T) {
	dir := corpustest.Folder(t, "sql-on-fhir")
	if dir == "" {
		t.Log("without YARROW_CORPUS the shared cases of SQL on FHIR are not run")
		return
	}
	files, err := os.ReadDir(filepath.Join(dir, "v2-tests"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		path := filepath.Join(dir, "v2-tests", f.Name())
		var raw []byte
		if strings.HasSuffix(path, ".gz") {
			raw = corpustest.Gunzip(t, path)
		} else if raw, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		doc := parse(t, string(raw))
		resources, tests := doc.Get("resources").Items(), doc.Get("tests").Items()
		for i := range tests {
			n++
			name := f.Name() + ": " + tests[i].Get("title").Text()
			wrong := try(resources, &tests[i])
			if why, ok := excluded[name]; ok && wrong == "" {
				t.Errorf("%s passes, and is excluded because %s", name, why)
			} else if !ok && wrong != "" {
				t.Errorf("%s: %s", name, wrong)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d cases", n)
	}
	t.Logf("%d cases, %d excluded", n, len(excluded))
}

// try runs a case and says what is wrong.
func try(resources []fhirjson.Node, c *fhirjson.Node) string {
	got, columns, err := evaluate(resources, c.Get("view"))
	if c.Get("expectError").Text() == "true" {
		if err == nil {
			return "no error"
		}
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if want := c.Get("expectColumns").Items(); want != nil {
		for i := range want {
			if i >= len(columns) || columns[i].Name != want[i].Text() {
				return "columns in another order"
			}
		}
	}
	want := c.Get("expect").Items()
	if len(want) != len(got) {
		return "rows: " + text(got) + " instead of " + c.Get("expect").String()
	}
	left := append([]fhirjson.Node(nil), got...)
	for i := range want {
		found := false
		for j := range left {
			if alike(&left[j], &want[i]) {
				left, found = append(left[:j:j], left[j+1:]...), true
				break
			}
		}
		if !found {
			return "without " + want[i].String() + " among " + text(got)
		}
	}
	return ""
}

// alike compares rows; a cell that a case does not name is null.
func alike(got, want *fhirjson.Node) bool {
	for _, m := range got.Members() {
		w := want.Get(m.Name)
		if w == nil {
			if m.Value.Kind() != fhirjson.Null {
				return false
			}
			continue
		}
		if !same(&m.Value, w) {
			return false
		}
	}
	for _, m := range want.Members() {
		if got.Get(m.Name) == nil && m.Value.Kind() != fhirjson.Null {
			return false
		}
	}
	return true
}

// same compares cells, numbers by their value: 0.95 is 0.950.
func same(a, b *fhirjson.Node) bool {
	if a.Kind() == fhirjson.Number && b.Kind() == fhirjson.Number {
		x, _, err := new(big.Float).Parse(a.Text(), 10)
		y, _, err2 := new(big.Float).Parse(b.Text(), 10)
		return err == nil && err2 == nil && x.Cmp(y) == 0
	}
	return fhirjson.Equal(a, b)
}

func text(rows []fhirjson.Node) string {
	a := fhirjson.NewArray(rows...)
	return a.String()
}

func evaluate(resources []fhirjson.Node, view *fhirjson.Node) (out []fhirjson.Node, columns []Column, err error) {
	v, err := Compile(view)
	if err != nil {
		return nil, nil, err
	}
	for i := range resources {
		rows, err := v.Rows(&resources[i], time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			return nil, nil, err
		}
		for _, r := range rows {
			o := fhirjson.NewObject()
			for k, c := range v.Columns {
				o.Set(c.Name, r[k])
			}
			out = append(out, o)
		}
	}
	return out, v.Columns, nil
}

func parse(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatalf("%v\n%.300s", err, s)
	}
	return n
}

func TestOwnCases(t *testing.T) {
	people := parse(t, `[{"resourceType":"Patient","id":"a","active":true,"name":[{"family":"Alder","given":["Ann","Bea"]},{"family":"Birch"}],"multipleBirthInteger":2,"link":[{"other":{"reference":"Patient/b/_history/2"}}]},{"resourceType":"Patient","id":"b"},{"resourceType":"Observation","id":"c"}]`).Items()
	for _, c := range []struct{ view, want, err string }{
		{`{"resource":"Patient","select":[{"column":[{"name":"id","path":"id"},{"name":"n","path":"multipleBirth + 1"}]}]}`, `[{"id":"a","n":3},{"id":"b","n":null}]`, ""},
		{`{"resource":"Patient","where":[{"path":"active"}],"select":[{"column":[{"name":"k","path":"link.other.getReferenceKey(Patient)"},{"name":"me","path":"getResourceKey()"}]}]}`, `[{"k":"Patient/b","me":"Patient/a"}]`, ""},
		{`{"resource":"Patient","select":[{"forEach":"name","column":[{"name":"f","path":"family"},{"name":"g","path":"given","collection":true},{"name":"i","path":"%rowIndex"}]}]}`, `[{"f":"Alder","g":["Ann","Bea"],"i":0},{"f":"Birch","g":[],"i":1}]`, ""},
		{`{"resource":"Patient","constant":[{"name":"x","valueString":"Birch"}],"select":[{"column":[{"name":"f","path":"name.where(family = %x).family & '%y'"}]}]}`, `[{"f":"Birch%y"},{"f":"%y"}]`, ""},
		{`{"resource":"Patient","select":[{"column":[{"name":"f","path":"%y"}]}]}`, "", "no constant named y"},
		{`{"resource":"Patient","select":[{"column":[{"name":"f","path":"name.given"}]}]}`, "", "several values"},
		{`{"resource":"Patient","select":[{"column":[{"name":"f","path":"name.first()"}]}]}`, "", "element with parts"},
		{`{"resource":"Patient","select":[{"column":[{"name":"1f","path":"id"}]}]}`, "", "no name of letters"},
		{`{"resource":"Patient","select":[{"column":[{"name":"f","path":"id"},{"name":"f","path":"id"}]}]}`, "", "Two columns"},
		{`{"resource":"Patient","select":[{"forEach":"name","repeat":["link"],"column":[{"name":"f","path":"id"}]}]}`, "", "more than one of"},
		{`{"resource":"Patients","select":[{"column":[{"name":"f","path":"id"}]}]}`, "", "resource type"},
		{`{"resource":"Patient","select":[]}`, "", "selects nothing"},
		{`{"resource":"Patient","select":[{}]}`, "", "no column"},
		{`{"resource":"Patient","select":[{"column":[{"name":"f"}]}]}`, "", "path is missing"},
		{`{"resource":"Patient","select":[` + strings.Repeat(`{"select":[`, 25) + strings.Repeat(`]}`, 25) + `]}`, "", "20 deep"},
	} {
		got, _, err := evaluate(people, parse(t, c.view))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.view, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.view, err)
		case text(got) != c.want:
			t.Errorf("%s: %s, not %s", c.view, text(got), c.want)
		}
	}
}

// TestRowsAreBounded asks for a product that no machine should make.
func TestRowsAreBounded(t *testing.T) {
	names := strings.TrimSuffix(strings.Repeat(`{"family":"x"},`, 100), ",")
	part := `{"forEach":"name","column":[{"name":"c%","path":"family"}]}`
	view := `{"resource":"Patient","select":[` + strings.ReplaceAll(part, "%", "1") + `,` + strings.ReplaceAll(part, "%", "2") + `,` + strings.ReplaceAll(part, "%", "3") + `]}`
	_, _, err := evaluate(parse(t, `[{"resourceType":"Patient","name":[`+names+`]}]`).Items(), parse(t, view))
	if err == nil || !strings.Contains(err.Error(), "100,000") {
		t.Error(err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`{"resource":"Patient","constant":[{"name":"x","valueString":"a"}],"select":[{"forEach":"name","column":[{"name":"f","path":"family = %x"}],"unionAll":[{"repeat":["link"],"column":[{"name":"u","path":"%rowIndex"}]}]}],"where":[{"path":"active"}]}`)
	f.Add(`{"resource":"Patient","select":[{"column":[{"name":"f","path":"%'"}]}]}`)
	patient := parse(f, `{"resourceType":"Patient","id":"a","active":true,"name":[{"family":"Alder"}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
		if err != nil {
			return
		}
		v, err := Compile(n)
		if err != nil {
			return
		}
		rows, err := v.Rows(patient, time.Time{})
		if err != nil {
			return
		}
		for _, r := range rows {
			if len(r) != len(v.Columns) {
				t.Fatalf("%d cells of %d columns", len(r), len(v.Columns))
			}
		}
	})
}
