package terminology

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"yarrow.health/internal/standards/corpustest"
)

func TestSearch(t *testing.T) {
	for _, c := range []struct{ system, text, want string }{
		{ICD10CM, "htn", "I10"},
		{ICD10CM, "high blood pressure", "I10"},
		{ICD10CM, "pressure blood high", "I10"},
		{ICD10CM, "essential hypertention", "I10"},
		{ICD10CM, "diabetis type 2", "E11.9"},
		{ICD10CM, "e119", "E11.9"},
		{ICD10CM, "E11.9", "E11.9"},
		{ICD10CM, "gerd", "K21.9"},
		{ICD10CM, "low bak pain", "M54.50"},
		{ICD10CM, "uti", "N39.0"},
		{ICD10CM, "asthma", "J45.909"},
		{ICD10CM, "ckd 3a", "N18.31"},
		{ICD10CM, "wrist sprain right", "S63.501A"},
		{RxNorm, "metfor", "Metformin"},
		{RxNorm, "lipitor", "Atorvastatin"},
		{RxNorm, "lisinoprl", "Lisinopril"},
		{RxNorm, "glargine insulin", "Insulin glargine"},
		{RxNorm, "rescue inhaler", "Albuterol"},
		{Allergens, "penicilin", "Penicillins"},
		{Allergens, "sulfa", "Sulfonamide antibiotics"},
		{Allergens, "bee sting", "Bee and wasp venom"},
		{CVX, "flu shot", "nfluenza"},
		{CVX, "gardasil", "HPV"},
		{LOINC, "potasium", "Potassium"},
		{LOINC, "hba1c", "Hemoglobin A1c"},
		{LOINC, "wbc", "White blood cells"},
		{HCPCS, "annual wellness", "G0438"},
		{"", "shellfish", "Shellfish"},
	} {
		got := Search(c.system, c.text, 5)
		if len(got) == 0 {
			t.Errorf("%q: nothing found, want %s", c.text, c.want)
			continue
		}
		ok := false
		for i, g := range got {
			ok = ok || i < 3 && (g.Code == c.want || strings.Contains(g.Display, c.want))
		}
		if !ok {
			t.Errorf("%q: %s %s, then %v; want %s", c.text, got[0].Code, got[0].Display, names(got[1:]), c.want)
		}
	}
}

func names(list []Concept) (out []string) {
	for _, c := range list {
		out = append(out, c.Code+" "+c.Display)
	}
	return out
}

func TestSearchAnswersLittle(t *testing.T) {
	for _, q := range []string{"zzzzzz", "!!!", "   .", "xqj"} {
		if got := Search(ICD10CM, q, 5); len(got) != 0 {
			t.Errorf("%q found %v", q, names(got))
		}
	}
	if got := Search(ICD10CM, "", 10); len(got) != 10 || got[0].System != ICD10CM {
		t.Errorf("an empty text gives %d common diagnoses", len(got))
	}
	if got := Search(ICD10CM, "pain", 3); len(got) != 3 {
		t.Errorf("asked for 3, got %d", len(got))
	}
	if len(Search(ICD10CM, "pain", 0))+len(Search("urn:none", "pain", 3)) != 0 {
		t.Error("nothing was asked for, or nowhere")
	}
}

func TestLookup(t *testing.T) {
	for _, c := range []struct{ system, code, display string }{
		{ICD10CM, "e11.9", "Type 2 diabetes mellitus without complications"},
		{ICD10CM, "E119", "Type 2 diabetes mellitus without complications"},
		{RxNorm, "29046", "Lisinopril"},
		{LOINC, "2823-3", "Potassium"},
		{Allergens, "peanut", "Peanut"},
		{OwnSubstance, "peanut", "Peanut"},
	} {
		got, ok := Lookup(c.system, c.code)
		if !ok || got.Display != c.display {
			t.Errorf("%s: %v %q", c.code, ok, got.Display)
		}
	}
	if _, ok := Lookup(ICD10CM, "X99.99"); ok {
		t.Error("found a code that is not there")
	}
	drug := Search(RxNorm, "lisinopril", 1)[0]
	i := slices.IndexFunc(drug.Strengths, func(s Strength) bool { return s.Text == "10 mg" })
	if i < 0 || drug.Strengths[i].Code != "314076" {
		t.Errorf("lisinopril 10 mg: %+v", drug.Strengths)
	}
}

// TestTable holds what may and may not be in the tree.
func TestTable(t *testing.T) {
	tab := load()
	count := map[string]int{}
	seen := map[string]bool{}
	for i, c := range tab.concepts {
		l := tab.lists[i]
		count[l]++
		if c.Code == "" || c.Display == "" || !utf8.ValidString(c.Display) || strings.TrimSpace(c.Display) != c.Display {
			t.Errorf("%s: bad row %+v", l, c)
		}
		if k := l + c.Code + c.Display + c.Group; seen[k] {
			t.Errorf("%s %s %s stands twice", l, c.Code, c.Display)
		} else {
			seen[k] = true
		}
		if strings.Contains(c.System, "snomed") || strings.Contains(c.System, "ama-assn") || l == HCPCS && (c.Code[0] == 'D' || c.Code[0] >= '0' && c.Code[0] <= '9') {
			t.Errorf("%s %s may not be carried", c.System, c.Code)
		}
		if l == Allergens && len(c.Reactions) == 0 {
			t.Errorf("allergen %s has no reactions", c.Display)
		}
	}
	for l, least := range map[string]int{ICD10CM: 900, RxNorm: 500, Allergens: 60, CVX: 60, LOINC: 60, HCPCS: 20} {
		if count[l] < least {
			t.Errorf("%s has %d concepts", l, count[l])
		}
		e, ok := EditionOf(l)
		if !ok || e.Release == "" || e.Licence == "" || e.Complete || e.Concepts == 0 || !strings.Contains(e.Said(), e.Name) {
			t.Errorf("%s: edition %+v", l, e)
		}
	}
	if len(Editions()) != 6 {
		t.Errorf("%d editions", len(Editions()))
	}
}

func TestTests(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range Tests() {
		if seen[x.Code] || x.Code == "" || x.Name == "" || x.Category == "" {
			t.Errorf("bad or doubled row %+v", x)
		}
		seen[x.Code] = true
		for _, r := range x.Ranges {
			if r.Low > r.High && r.High != 0 || r.Low < x.Min && r.Low != 0 || r.High > x.Max {
				t.Errorf("%s: range %+v does not fit %v..%v", x.Name, r, x.Min, x.Max)
			}
		}
		if x.Unit != "" && x.Max == 0 {
			t.Errorf("%s has a unit but no bounds", x.Name)
		}
	}
	for _, p := range Panels() {
		for _, c := range p.Tests {
			if _, ok := TestOf(c); !ok && c != panelBP {
				t.Errorf("panel %s names %s, which is not in the table", p.Name, c)
			}
		}
	}
	for _, c := range []struct {
		code, sex string
		years     float64
		low, high float64
		ok        bool
	}{
		{"718-7", "female", 40, 12, 15.5, true},
		{"718-7", "male", 40, 13.2, 17.1, true},
		{"718-7", "female", 1, 10.5, 13.5, true},
		{"8867-4", "", 0.5, 90, 180, true},
		{"8480-6", "male", 4, 0, 0, false},
		{"33762-6", "male", 80, 0, 450, true},
	} {
		x, _ := TestOf(c.code)
		if r, ok := x.RangeFor(c.sex, c.years); ok != c.ok || r.Low != c.low || r.High != c.high {
			t.Errorf("%s %s %v: %+v %v", x.Name, c.sex, c.years, r, ok)
		}
	}
}

// TestAgainstOwners compares the committed titles with the owners' files.
func TestAgainstOwners(t *testing.T) {
	dir := corpustest.Folder(t, "codesets")
	if dir == "" {
		return
	}
	for _, line := range strings.Split(string(corpustest.Gunzip(t, filepath.Join(dir, "icd10cm-fy2026-billable.csv.gz"))), "\n") {
		f := strings.SplitN(line, ",", 3)
		if len(f) < 3 {
			continue
		}
		if c, ok := Lookup(ICD10CM, f[0]); ok && !strings.Contains(f[2], c.Display) {
			t.Errorf("%s: %q differs from %q", f[0], c.Display, f[2])
		}
	}
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{"htn", "diabetes type 2", "E11.", "péni cillin", strings.Repeat("a b ", 100), "\xff\xfe", "´´"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Search("", s, 7)
		if len(got) > 7 {
			t.Fatalf("%d results", len(got))
		}
		again := Search("", s, 7)
		for i := range got {
			if got[i].Code != again[i].Code {
				t.Fatal("the same search gave another answer")
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	Search("", "warm", 1)
	for _, q := range []string{"hyper", "diabetis tipe 2", "chronic kidney disease stage 3", "penicilin"} {
		b.Run(q, func(b *testing.B) {
			for b.Loop() {
				Search("", q, 10)
			}
		})
	}
}
