package terminology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const plants = `{"resourceType":"CodeSystem","url":"http://example.org/plants","version":"3","name":"Plants","status":"active","content":"complete","caseSensitive":true,
"property":[{"code":"colour","type":"code"},{"code":"inactive","type":"boolean"},{"code":"notSelectable","type":"boolean"},{"code":"parent","type":"code"}],
"concept":[
 {"code":"plant","display":"Plant","property":[{"code":"notSelectable","valueBoolean":true}],"concept":[
  {"code":"herb","display":"Herb","concept":[
    {"code":"yarrow","display":"Yarrow","designation":[{"language":"es","value":"Milenrama"},{"language":"la","use":{"system":"http://example.org/use","code":"latin"},"value":"Achillea millefolium"}],"property":[{"code":"colour","valueCode":"white"}]},
    {"code":"mint","display":"Mint","property":[{"code":"colour","valueCode":"green"}]},
    {"code":"oldmint","display":"Horse mint","property":[{"code":"inactive","valueBoolean":true}]}]},
  {"code":"tree","display":"Tree","concept":[{"code":"oak","display":"Oak"},{"code":"herbtree","display":"Tree herb","property":[{"code":"parent","valueCode":"herb"}]}]}]},
 {"code":"stone","display":"Stone"}]}`

func parsed(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// shelfOf is the built-in shelf with more on it.
func shelfOf(t testing.TB, resources ...string) *Shelf {
	sh := BuiltIn()
	base := *sh
	systems, sets, maps := map[string]*CodeSystem{}, map[string]*ValueSet{}, map[string]*ConceptMap{}
	for _, r := range resources {
		n := parsed(t, r)
		var err error
		switch n.Get("resourceType").Text() {
		case "CodeSystem":
			systems[n.Get("url").Text()], err = FromResource(n)
		case "ValueSet":
			sets[n.Get("url").Text()], err = ValueSetOf(n)
		case "ConceptMap":
			maps[n.Get("url").Text()], err = ConceptMapOf(n)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sh.CodeSystem = func(url, version string) (*CodeSystem, error) {
		if s := systems[url]; s != nil && (version == "" || version == s.Version) {
			return s, nil
		}
		return base.CodeSystem(url, version)
	}
	sh.ValueSet = func(url, version string) (*ValueSet, error) {
		if v := sets[url]; v != nil {
			return v, nil
		}
		return base.ValueSet(url, version)
	}
	sh.ConceptMap = func(url, version string) (*ConceptMap, error) { return maps[url], nil }
	return sh
}

func valueSetText(url, compose string) string {
	return `{"resourceType":"ValueSet","url":"` + url + `","name":"Test","status":"active","compose":` + compose + `}`
}

func TestCompose(t *testing.T) {
	inc := func(s string) string { return `{"include":[{"system":"http://example.org/plants",` + s + `}]}` }
	filter := func(p, op, v string) string {
		return inc(fmt.Sprintf(`"filter":[{"property":%q,"op":%q,"value":%q}]`, p, op, v))
	}
	for _, c := range []struct{ name, compose, want string }{
		{"all", `{"include":[{"system":"http://example.org/plants"}]}`, "plant herb yarrow mint oldmint tree oak herbtree stone"},
		{"listed, in the order of the list", inc(`"concept":[{"code":"oak"},{"code":"yarrow"},{"code":"weed"}]`), "oak yarrow"},
		{"is-a", filter("concept", "is-a", "herb"), "herb yarrow mint oldmint herbtree"},
		{"descendent-of", filter("concept", "descendent-of", "herb"), "yarrow mint oldmint herbtree"},
		{"child-of", filter("concept", "child-of", "plant"), "herb tree"},
		{"is-not-a", filter("concept", "is-not-a", "plant"), "stone"},
		{"generalizes", filter("concept", "generalizes", "herbtree"), "plant herb tree herbtree"},
		{"=", filter("colour", "=", "green"), "mint"},
		{"in", filter("code", "in", "oak, stone,x"), "oak stone"},
		{"not-in", filter("colour", "not-in", "green,white"), "plant herb oldmint tree oak herbtree stone"},
		{"regex", filter("code", "regex", ".*mint"), "mint oldmint"},
		{"exists", filter("colour", "exists", "true"), "yarrow mint"},
		{"not exists", filter("colour", "exists", "false"), "plant herb oldmint tree oak herbtree stone"},
		{"parent =", filter("parent", "=", "tree"), "oak herbtree"},
		{"two filters", inc(`"filter":[{"property":"concept","op":"is-a","value":"herb"},{"property":"concept","op":"is-a","value":"tree"}]`), "herbtree"},
		{"exclude", `{"include":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"is-a","value":"plant"}]}],"exclude":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"is-a","value":"tree"}]},{"system":"http://example.org/plants","concept":[{"code":"plant"}]}]}`, "herb yarrow mint oldmint"},
		{"inactive false", `{"inactive":false,"include":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"descendent-of","value":"herb"}]}]}`, "yarrow mint herbtree"},
		{"nested", `{"include":[{"valueSet":["http://example.org/vs/herbs"]},{"system":"http://example.org/plants","concept":[{"code":"stone"}]}]}`, "herb yarrow mint oldmint herbtree stone"},
		{"intersection", inc(`"concept":[{"code":"oak"},{"code":"mint"}],"valueSet":["http://example.org/vs/herbs"]`), "mint"},
		{"intersection of two sets", `{"include":[{"valueSet":["http://example.org/vs/herbs","http://example.org/vs/trees"]}]}`, "herbtree"},
		{"system not here, listed", `{"include":[{"system":"http://example.org/elsewhere","concept":[{"code":"b","display":"Bee"},{"code":"a"}]}]}`, "b a"},
		{"units", `{"include":[{"system":"http://unitsofmeasure.org","concept":[{"code":"mg"},{"code":"mL"}]}]}`, "mg mL"},
	} {
		sh := shelfOf(t, plants, valueSetText("http://example.org/vs/herbs", filter("concept", "is-a", "herb")), valueSetText("http://example.org/vs/trees", filter("concept", "is-a", "tree")),
			valueSetText("http://example.org/vs/x", c.compose))
		v, _ := sh.ValueSet("http://example.org/vs/x", "")
		set, err := sh.Evaluate(v)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		codes, complete := set.Codes(100)
		var got []string
		for _, x := range codes {
			got = append(got, x.Code)
			if ok, known := set.Has(x.System, "", x.Code); !ok || !known {
				t.Errorf("%s: %s is listed but not a member", c.name, x.Code)
			}
		}
		if strings.Join(got, " ") != c.want || !complete {
			t.Errorf("%s: %v (complete %v), want %s", c.name, got, complete, c.want)
		}
	}
}

func TestFaultyDefinitions(t *testing.T) {
	for _, c := range []struct{ compose, says string }{
		{`{"include":[{"valueSet":["http://example.org/vs/x"]}]}`, "includes itself"},
		{`{"include":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"is-a","value":"weed"}]}]}`, "does not have"},
		{`{"include":[{"system":"http://example.org/plants","filter":[{"property":"code","op":"regex","value":"(a"}]}]}`, "regular expression"},
		{`{"include":[{"system":"http://example.org/plants","filter":[{"property":"code","op":"regex","value":"` + strings.Repeat("a", 2000) + `"}]}]}`, "longer than"},
		{`{"include":[{"system":"http://example.org/plants","filter":[{"property":"code","op":"sounds-like","value":"a"}]}]}`, "not known"},
	} {
		sh := shelfOf(t, plants, valueSetText("http://example.org/vs/x", c.compose))
		v, _ := sh.ValueSet("http://example.org/vs/x", "")
		_, err := sh.Evaluate(v)
		var i *fhir.Issue
		if !errors.As(err, &i) || !strings.Contains(i.Text, c.says) || i.Fix == "" {
			t.Errorf("%s: %v, want an issue that says %q", c.compose, err, c.says)
		}
	}
	for _, s := range []string{
		`{"resourceType":"CodeSystem","concept":[{"code":"a"}]}`, `{"resourceType":"CodeSystem","url":"u","concept":[{"display":"a"}]}`,
		`{"resourceType":"CodeSystem","url":"u","concept":[{"code":"a"},{"code":"a"}]}`,
	} {
		if _, err := FromResource(parsed(t, s)); err == nil {
			t.Errorf("%s is taken", s)
		}
	}
	for _, s := range []string{`{"compose":{"include":[{}]}}`, `{"compose":{"include":[{"concept":[{"code":"a"}],"valueSet":["x"]}]}}`} {
		if _, err := ValueSetOf(parsed(t, s)); err == nil {
			t.Errorf("%s is taken", s)
		}
	}
}

func TestUnknownStaysUnknown(t *testing.T) {
	sh := shelfOf(t, plants, valueSetText("http://example.org/vs/x", `{"include":[{"system":"http://snomed.info/sct","filter":[{"property":"concept","op":"is-a","value":"404684003"}]},{"system":"http://example.org/plants","concept":[{"code":"oak"}]}]}`),
		valueSetText("http://example.org/vs/y", `{"include":[{"valueSet":["http://example.org/vs/nowhere"]}]}`))
	for _, c := range []struct {
		set, system, code string
		ok, known         bool
	}{
		{"x", "http://snomed.info/sct", "22298006", false, false}, {"x", "http://example.org/plants", "oak", true, true}, {"x", "http://example.org/plants", "mint", false, true},
		{"y", "http://example.org/plants", "oak", false, false},
	} {
		v, _ := sh.ValueSet("http://example.org/vs/"+c.set, "")
		set, err := sh.Evaluate(v)
		if err != nil {
			t.Fatal(err)
		}
		if ok, known := set.Has(c.system, "", c.code); ok != c.ok || known != c.known {
			t.Errorf("%s %s: %v %v", c.set, c.code, ok, known)
		}
		if _, err := set.Expand(Expansion{Count: -1}, "urn:uuid:x", "2026-01-01T00:00:00Z"); err == nil {
			t.Errorf("%s is listed although parts of it are unknown", c.set)
		}
	}
}

func TestExpand(t *testing.T) {
	sh := shelfOf(t, plants)
	s, _ := sh.CodeSystem("http://example.org/plants", "")
	set := whole1(s)
	codes := func(o Expansion) string {
		n, err := set.Expand(o, "urn:uuid:1", "2026-01-01T00:00:00Z")
		if err != nil {
			return err.Error()
		}
		var walk func(n *fhirjson.Node) string
		walk = func(n *fhirjson.Node) string {
			var out []string
			for _, c := range n.Get("contains").Items() {
				one := c.Get("code").Text()
				if c.Get("contains") != nil {
					one += "(" + walk(&c) + ")"
				}
				out = append(out, one)
			}
			return strings.Join(out, " ")
		}
		return n.Get("total").Text() + ": " + walk(&n)
	}
	for _, c := range []struct {
		name string
		o    Expansion
		want string
	}{
		{"nested", Expansion{Count: -1}, "9: plant(herb(yarrow mint oldmint) tree(oak)) herbtree stone"},
		{"flat", Expansion{Count: -1, ExcludeNested: true}, "9: plant herb yarrow mint oldmint tree oak herbtree stone"},
		{"page", Expansion{Count: 3, Offset: 2, ExcludeNested: true}, "9: yarrow mint oldmint"},
		{"past the end", Expansion{Count: 3, Offset: 20}, "9: "},
		{"none", Expansion{Count: 0}, "9: "},
		{"active", Expansion{Count: -1, ActiveOnly: true, ExcludeNested: true}, "8: plant herb yarrow mint tree oak herbtree stone"},
		{"for people", Expansion{Count: -1, ExcludeNotForUI: true, ExcludeNested: true}, "8: herb yarrow mint oldmint tree oak herbtree stone"},
		{"filter", Expansion{Count: -1, Filter: "min"}, "2: mint oldmint"},
		{"filter misspelled", Expansion{Count: -1, Filter: "yarow"}, "1: yarrow"},
		{"filter in Spanish", Expansion{Count: -1, Filter: "milenrama"}, "1: yarrow"},
		{"filter without hit", Expansion{Count: -1, Filter: "granite"}, "0: "},
		{"excluded system", Expansion{Count: -1, ExcludeSystems: []string{"http://example.org/plants|3"}}, "0: "},
	} {
		if got := codes(c.o); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	n, _ := set.Expand(Expansion{Count: -1, Filter: "yarrow", DisplayLanguage: "es-MX", IncludeDesignations: true, Designations: []string{"la"}}, "urn:uuid:1", "2026-01-01T00:00:00Z")
	if text := n.String(); !strings.Contains(text, "Milenrama") || !strings.Contains(text, "Achillea") {
		t.Errorf("%s", text)
	}
}

func TestJudgements(t *testing.T) {
	sh := shelfOf(t, plants, valueSetText("http://example.org/vs/herbs", `{"include":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"is-a","value":"herb"}]}]}`))
	const p = "http://example.org/plants"
	for _, c := range []struct {
		coding    Coding
		in        string
		ok, known bool
		says      string
	}{
		{Coding{p, "", "yarrow", ""}, "", true, true, ""},
		{Coding{p, "", "yarrow", "yarrow"}, "", true, true, ""},
		{Coding{p, "", "yarrow", "Milenrama"}, "", true, true, ""},
		{Coding{p, "", "yarrow", "Oak"}, "", false, true, `its name is "Yarrow"`},
		{Coding{p, "", "YARROW", ""}, "", false, true, "Perhaps yarrow"},
		{Coding{p, "", "weed", ""}, "", false, true, "not in Plants 3"},
		{Coding{p, "2", "yarrow", ""}, "", false, false, "here is 3"},
		{Coding{p, "", "oldmint", ""}, "", true, true, "inactive"},
		{Coding{p, "", "plant", ""}, "", false, true, "heading"},
		{Coding{"http://example.org/none", "", "x", ""}, "", false, false, "is not here"},
		{Coding{UCUM, "", "mg/dl", ""}, "", true, true, ""},
		{Coding{UCUM, "", "mcg", ""}, "", false, true, "Write ug"},
		{Coding{Languages, "", "en-US", ""}, "", true, true, ""},
		{Coding{Languages, "", "english language", ""}, "", false, true, "not a code"},
		{Coding{MimeTypes, "", "text/plain; charset=utf-8", ""}, "", true, true, ""},
		{Coding{MimeTypes, "", "pdf", ""}, "", false, true, ""},
		{Coding{ICD10CM, "", "I10", ""}, "", true, true, ""},
		{Coding{ICD10CM, "", "Z99.999", ""}, "", false, false, "not here in full"},
		{Coding{p, "", "mint", ""}, "herbs", true, true, ""},
		{Coding{"", "", "mint", ""}, "herbs", true, true, ""},
		{Coding{p, "", "oak", ""}, "herbs", false, true, "is not in Test"},
		{Coding{p, "", "mint", "Oak"}, "herbs", false, true, `its name is "Mint"`},
	} {
		var v Verdict
		var err error
		if c.in == "" {
			v, err = sh.ValidateIn(c.coding, Judging{})
		} else {
			def, _ := sh.ValueSet("http://example.org/vs/"+c.in, "")
			set, e := sh.Evaluate(def)
			if e != nil {
				t.Fatal(e)
			}
			v, err = sh.ValidateInSet(set, []Coding{c.coding}, Judging{})
		}
		if err != nil || v.OK != c.ok || v.Known != c.known || !strings.Contains(v.Message, c.says) || c.says == "" && c.ok && v.Message != "" {
			t.Errorf("%+v: %+v %v", c.coding, v, err)
		}
	}
}

func TestSubsumption(t *testing.T) {
	sh := shelfOf(t, plants)
	for _, c := range []struct{ a, b, want string }{
		{"plant", "yarrow", "subsumes"}, {"yarrow", "plant", "subsumed-by"}, {"oak", "mint", "not-subsumed"}, {"oak", "oak", "equivalent"}, {"herb", "herbtree", "subsumes"}, {"tree", "herbtree", "subsumes"},
	} {
		if got, err := sh.Subsumption("http://example.org/plants", "", c.a, c.b); got != c.want || err != nil {
			t.Errorf("%s %s: %s %v", c.a, c.b, got, err)
		}
	}
	if _, err := sh.Subsumption("http://example.org/plants", "", "weed", "oak"); err == nil {
		t.Error("an unknown code is compared")
	}
}

func TestTranslate(t *testing.T) {
	const m = `{"resourceType":"ConceptMap","url":"http://example.org/map","status":"active","group":[{"source":"http://example.org/plants","target":"http://example.org/uses",
	"element":[{"code":"mint","target":[{"code":"tea","equivalence":"wider"},{"code":"sweet","equivalence":"relatedto","dependsOn":[{"property":"season","value":"summer"}]}]},{"code":"stone","target":[{"equivalence":"unmatched"}]}],
	"unmapped":{"mode":"fixed","code":"none","display":"No use"}}]}`
	sh := shelfOf(t, plants, m)
	cm, _ := sh.ConceptMap("http://example.org/map", "")
	for _, c := range []struct {
		t    Translation
		ok   bool
		want string
	}{
		{Translation{Coding: Coding{System: "http://example.org/plants", Code: "mint"}}, true, "wider tea"},
		{Translation{Coding: Coding{System: "http://example.org/plants", Code: "mint"}, Dependencies: map[string]string{"season": "summer"}}, true, "wider tea,relatedto sweet"},
		{Translation{Coding: Coding{System: "http://example.org/plants", Code: "stone"}}, false, "unmatched "},
		{Translation{Coding: Coding{System: "http://example.org/plants", Code: "oak"}}, true, "inexact none"},
		{Translation{Coding: Coding{System: "http://example.org/uses", Code: "tea"}, Reverse: true}, true, "narrower mint"},
		{Translation{Coding: Coding{System: "http://example.org/other", Code: "mint"}}, false, ""},
	} {
		got, ok, err := sh.Translate(cm, c.t)
		var list []string
		for _, m := range got {
			list = append(list, m.Equivalence+" "+m.Concept.Code)
		}
		if err != nil || ok != c.ok || strings.Join(list, ",") != c.want {
			t.Errorf("%+v: %v %v %v", c.t, list, ok, err)
		}
	}
}

func TestClosureGrows(t *testing.T) {
	sh := shelfOf(t, plants)
	var c Closure
	x := func(codes ...string) (out []Coding) {
		for _, code := range codes {
			out = append(out, Coding{System: "http://example.org/plants", Code: code})
		}
		return out
	}
	for _, step := range []struct{ add, want string }{{"yarrow oak", ""}, {"plant", "yarrow<plant oak<plant"}, {"herb yarrow", "yarrow<herb herb<plant"}, {"", ""}} {
		fresh, err := c.Add(sh, x(strings.Fields(step.add)...))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range fresh {
			got = append(got, c.Concepts[p.Below].Code+"<"+c.Concepts[p.Above].Code)
		}
		slices.Sort(got)
		want := strings.Fields(step.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("after %q: %v, want %v", step.add, got, want)
		}
	}
	if c.Version != 3 || len(c.Since(1)) != 4 || len(c.Since(2)) != 2 {
		t.Errorf("version %d, %d pairs since 1", c.Version, len(c.Since(1)))
	}
	if _, err := c.Add(sh, x("weed")); err == nil || len(c.Concepts) != 4 {
		t.Error("an unknown code is added")
	}
}

func TestPackAndUnpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		var entries []Entry
		for i := range n {
			e := Entry{Code: fmt.Sprintf("c%d", i), Display: rapid.StringN(0, 20, -1).Draw(t, "display"), Inactive: rapid.Bool().Draw(t, "inactive"), Abstract: rapid.Bool().Draw(t, "abstract"), Common: rapid.Bool().Draw(t, "common")}
			if i > 0 && rapid.Bool().Draw(t, "under") {
				e.Parents = []string{fmt.Sprintf("c%d", rapid.IntRange(0, i-1).Draw(t, "parent"))}
			}
			if rapid.Bool().Draw(t, "more") {
				e.Designations = []Designation{{"es", "u", "v", rapid.String().Draw(t, "name")}}
				e.Properties = []Property{{"p", "string", rapid.String().Draw(t, "value")}}
				e.Definition = "d"
			}
			entries = append(entries, e)
		}
		s, err := NewCodeSystem(Head{URL: "u", Version: "1", Name: "N", CaseSensitive: true}, entries)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Unpack(s.Pack())
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			at, ok := r.Find(entries[i].Code)
			if !ok || fmt.Sprintf("%+v", r.Entry(at)) != fmt.Sprintf("%+v", entries[i]) {
				t.Fatalf("%+v became %+v", entries[i], r.Entry(at))
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	s, err := FromResource(parsed(f, plants))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Pack())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, packed []byte) {
		s, err := Unpack(packed)
		if err != nil {
			return
		}
		for i := range Ref(s.Len()) {
			s.Entry(i)
			s.Children(i)
			s.Subsumes(0, i)
		}
		s.Search("mint", 5, nil)
	})
}

func FuzzValueSet(f *testing.F) {
	f.Add(valueSetText("u", `{"include":[{"system":"http://example.org/plants","filter":[{"property":"concept","op":"is-a","value":"herb"}]}],"exclude":[{"valueSet":["http://hl7.org/fhir/ValueSet/item-type"]}]}`))
	f.Add(plants)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := fhirjson.Parse([]byte(text), fhirjson.Limits{})
		if err != nil || n.Kind() != fhirjson.Object {
			return
		}
		if s, err := FromResource(n); err == nil {
			s.Search("oak tree", 3, nil)
		}
		sh := shelfOf(t, plants)
		if v, err := ValueSetOf(n); err == nil {
			if set, err := sh.Evaluate(v); err == nil {
				set.Expand(Expansion{Count: 20}, "x", "y")
				set.Has("", "", "oak")
			}
		}
		if m, err := ConceptMapOf(n); err == nil {
			sh.Translate(m, Translation{Coding: Coding{Code: "a"}})
		}
	})
}
