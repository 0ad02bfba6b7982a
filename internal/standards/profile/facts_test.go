package profile

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// TestFactsComeBack: what is written in the compact form is read as it was.
func TestFactsComeBack(t *testing.T) {
	var defs []*Definition
	for _, d := range Builtin().defs {
		defs = append(defs, d)
	}
	again, err := ReadFacts(bytes.NewReader(AppendFacts(nil, defs)))
	if err != nil || len(again) != len(defs) {
		t.Fatalf("%d of %d: %v", len(again), len(defs), err)
	}
	if a, b := AppendFacts(nil, defs), AppendFacts(nil, again); !bytes.Equal(a, b) {
		t.Error("facts change when they are written and read")
	}
	if _, err := ReadFacts(strings.NewReader("E\tno definition before it")); err == nil {
		t.Error("nonsense was read")
	}
}

// TestBuiltinRules: every rule that is built in can be compiled, and no code of SNOMED CT or CPT is carried.
func TestBuiltinRules(t *testing.T) {
	profiles := 0
	for _, d := range Builtin().defs {
		if strings.Contains(d.URL, "/us/core/") {
			profiles++
		}
		for _, e := range d.Elements {
			for _, r := range e.Rules {
				if _, err := fhirpath.Compile(r.FHIRPath); err != nil {
					t.Errorf("%s %s: %v", d.URL, r.Key, err)
				}
			}
			for _, v := range []*Value{e.Fixed, e.Pattern} {
				if v != nil && strings.Contains(v.Node.String(), "snomed.info/sct\",\"code") {
					t.Errorf("%s %s holds a code of SNOMED CT", d.URL, e.ID)
				}
			}
		}
	}
	if profiles < 2*59 {
		t.Errorf("%d entries of US Core", profiles)
	}
	for url, systems := range builtinSets() {
		for system := range systems {
			if strings.Contains(system, "snomed") || strings.Contains(system, "ama-assn") {
				t.Errorf("%s carries codes of %s", url, system)
			}
		}
	}
	for _, k := range kinds() {
		for _, r := range k.rules {
			if r.expr == nil {
				t.Errorf("%s: the rule %s of R4 cannot be compiled", k.name, r.Key)
			}
		}
	}
}

// TestFactsAreThoseOfTheGuide compares the facts of US Core that are built in with the guide's own package, definition by
// definition.
func TestFactsAreThoseOfTheGuide(t *testing.T) {
	dir := corpustest.Folder(t, "us-core")
	if dir == "" {
		return
	}
	f, err := os.Open(filepath.Join(dir, "6.1.0", "definitions.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := ReadPackage(f)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, x := range p.Resources {
		if x.Type != "StructureDefinition" {
			continue
		}
		count++
		n, err := fhirjson.Parse(x.Raw, fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := Read(n)
		if err != nil {
			t.Fatal(err)
		}
		got := Builtin().Find(x.URL + "|6.1.0")
		if got == nil {
			t.Errorf("%s is not built in", x.URL)
			continue
		}
		if a, b := said(got), said(want); !slices.Equal(a, b) {
			t.Errorf("%s differs:\n%v\n%v", x.URL, a, b)
		}
	}
	if count < 59 {
		t.Errorf("%d definitions in the package", count)
	}
}

// said writes what a definition constrains, without texts and examples.
func said(d *Definition) []string {
	var out []string
	for _, e := range d.Elements {
		e.Bindings = slices.DeleteFunc(slices.Clone(e.Bindings), func(b Binding) bool { return b.Strength == "example" })
		bare := Element{ID: e.ID, Min: Unset, Max: Unset, Content: e.Content}
		if e.Bindings = slices.Clip(e.Bindings); len(e.Bindings) == 0 {
			e.Bindings = nil
		}
		if reflect.DeepEqual(e, bare) {
			continue
		}
		out = append(out, string(appendElement(nil, &e)))
	}
	return out
}

func TestMust(t *testing.T) {
	const url = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-blood-pressure"
	musts := Builtin().Must(url)
	for _, want := range []string{"Observation.status", "Observation.component:systolic", "Observation.component:systolic.code"} {
		if !slices.ContainsFunc(musts, func(m Must) bool { return m.Path == want }) {
			t.Errorf("%s is not among %v", want, musts)
		}
	}
	if Builtin().Must("test:nothing") != nil {
		t.Error("an unknown profile has must-support elements")
	}
}

// TestShortcutsAgree: where a shortcut decides an invariant of R4, FHIRPath decides the same, for the official examples and
// variations of our own.
func TestShortcutsAgree(t *testing.T) {
	variations := []string{
		`{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1,"code":"g"},"dataAbsentReason":{"text":"x"},"referenceRange":[{"age":{}},{"text":"x"}]}`,
		`{"resourceType":"Observation","status":"final","code":{"text":"x"},"_valueString":{"id":"x","extension":[{"url":"u:u","valueCode":"x"}]},"valuePeriod":{"start":"2020-01-02","end":"2020-01-01"}}`,
		`{"resourceType":"Encounter","period":{"start":"2020-01-01T10:00:00Z","end":"2020-01-01T09:00:00Z"}}`,
		`{"resourceType":"Encounter","period":{"start":"2020-01-01T10:00:00Z","end":"2020-01-01T11:00:00Z"}}`,
		`{"resourceType":"Patient","telecom":[{"value":"1"},{"system":"phone","value":"1"}],"photo":[{"data":"AAAA"},{"data":"AAAA","contentType":"x/y"}],"contained":[{"resourceType":"Basic","meta":{"versionId":"1"}}]}`,
		`{"resourceType":"Patient","contained":[{"resourceType":"Basic","meta":{"security":[{"code":"x"}]}}]}`,
	}
	compared := 0
	compare := func(n *fhirjson.Node) {
		r := &run{set: Builtin(), left: maxWork, root: n, res: []scope{{node: n, seen: &inside{}}}}
		r.env = fhirpath.Env{Model: model, Resource: n, RootResource: n}
		eachKind(n, kinds()[n.Get("resourceType").Text()], func(n *fhirjson.Node, k *kind) {
			for _, c := range k.rules {
				// dom-3 and ref-1 are judged elsewhere; que-7 corrects what is published.
				if c.holds == nil || c.Key == "dom-3" || c.Key == "ref-1" || c.Key == "que-7" {
					continue
				}
				quick := c.holds(r, n)
				if quick == ask {
					continue
				}
				compared++
				holds, known, _, err := c.expr.TestItem(&r.env, fhirpath.Item{Node: n, Type: k.name})
				if err == nil && known && holds != (quick == yes) {
					t.Errorf("%s: the shortcut says %v, FHIRPath %v, of %s", c.Key, quick == yes, holds, n)
				}
			}
		})
	}
	for _, raw := range variations {
		compare(parse(t, raw))
	}
	if dir := corpustest.Folder(t, "fhir-r4"); dir != "" {
		documents(t, filepath.Join(dir, "examples.tar.gz"), func(name string, raw []byte) {
			if n, err := fhirjson.Parse(raw, fhirjson.Limits{}); err == nil && kinds()[n.Get("resourceType").Text()] != nil {
				compare(n)
			}
		})
	}
	t.Logf("%d comparisons", compared)
}

// eachKind visits the objects of a resource with their kinds, but not resources inside.
func eachKind(n *fhirjson.Node, k *kind, yield func(*fhirjson.Node, *kind)) {
	if k == nil || n.Kind() != fhirjson.Object {
		return
	}
	yield(n, k)
	for i := range n.Members() {
		f := k.fields[n.Members()[i].Name]
		if f == nil || f.kind == nil {
			continue
		}
		v := &n.Members()[i].Value
		if v.Kind() == fhirjson.Object {
			eachKind(v, f.kind, yield)
		}
		for j := range v.Items() {
			eachKind(&v.Items()[j], f.kind, yield)
		}
	}
}
