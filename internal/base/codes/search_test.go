package codes

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/terminology"
)

func TestPickersSayWhatTheySearched(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		f, err := b.Search(ctx, 1, terminology.ICD10CM, "htn", 5)
		if err != nil || len(f.Concepts) == 0 || f.Concepts[0].Code != "I10" || f.Complete || !strings.Contains(f.Edition, "starter set") {
			t.Errorf("%+v %v", f, err)
		}
		if _, err := b.Import(ctx, scope(1), Import{Kind: "icd10cm", Files: []string{file(t, "icd10cm-order-2021.txt", icdFile)}}); err != nil {
			t.Fatal(err)
		}
		f, err = b.Search(ctx, 1, terminology.ICD10CM, "htn", 5)
		if err != nil || len(f.Concepts) == 0 || f.Concepts[0].Code != "I10" || !f.Complete || f.Edition != "ICD-10-CM FY2021" || f.Warning == "" {
			t.Errorf("%+v %v", f, err)
		}
		f, err = b.Search(ctx, 1, terminology.Allergens, "peanut", 5)
		if err != nil || len(f.Concepts) == 0 {
			t.Errorf("%+v %v", f, err)
		}
		if _, err := b.Import(ctx, scope(1), Import{Kind: "cpt", Holder: "x", Until: "2020-12-31", Release: "2020", Files: []string{file(t, "LONGULT.txt", "00001 Invented service\n")}}); err != nil {
			t.Fatal(err)
		}
		f, err = b.Search(ctx, 1, CPT, "invented", 5)
		if err != nil || len(f.Concepts) != 0 || !strings.Contains(f.Warning, "not offered") {
			t.Errorf("a lapsed licence still offers codes: %+v %v", f, err)
		}
		b.system(CPT, "", func(cs *terminology.CodeSystem) { expect(t, cs, "00001", "Invented service", "") })
	})
}

// typed are what people type and the code that must stand among the first few.
var typed = []struct {
	text, want string
	within     int
}{
	{"hypertension", "I10", 1}, {"htn", "I10", 1}, {"high blood pressure", "I10", 1}, {"hypertention", "I10", 2}, {"I10", "I10", 1}, {"e119", "E11.9", 1}, {"e11.9", "E11.9", 1},
	{"diabetes type 2", "E11.9", 1}, {"type 2 diabetes", "E11.9", 1}, {"dm2", "E11.9", 2}, {"diabetis", "E11.9", 5}, {"low back pain", "M54.50", 3}, {"back pain low", "M54.50", 3},
	{"uti", "N39.0", 3}, {"copd", "J44.9", 2}, {"afib", "I48.91", 3}, {"gerd", "K21.9", 2}, {"depression", "F32.A", 3}, {"anxity", "F41.9", 3}, {"asthma", "J45.909", 3},
	{"pneumonia", "J18.9", 3}, {"hyperlipidemia", "E78.5", 1}, {"hypothyroid", "E03.9", 2}, {"migrane", "G43.909", 4}, {"obesity", "E66.9", 4}, {"ckd 3", "N18.30", 4}, {"fx wrist left", "S62.102A", 60},
}

func TestPickersFindTheCommonCodeFirst(t *testing.T) {
	dir := corpustest.Folder(t, "codesets")
	if dir == "" {
		return
	}
	b := benchOn(t, dbtest.SQLite(t, nil))
	ctx := context.Background()
	if _, err := b.Import(ctx, scope(1), Import{Kind: "icd10cm", Files: []string{filepath.Join(dir, "icd10cm-fy2026-billable.csv.gz"), filepath.Join(dir, "icd10cm_tabular_2021.xml.gz")}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range typed {
		f, err := b.Search(ctx, 1, terminology.ICD10CM, c.text, max(c.within, 3))
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(f.Concepts, func(x terminology.Concept) bool { return x.Code == c.want })
		if at < 0 || at >= c.within {
			var got []string
			for _, x := range f.Concepts[:min(5, len(f.Concepts))] {
				got = append(got, x.Code+" "+x.Display)
			}
			t.Errorf("%q: %s is at %d, want within %d; first %v", c.text, c.want, at+1, c.within, got)
		}
	}
}

// What is kept of short queries is what a search finds.
func TestPickIsSearch(t *testing.T) {
	t.Parallel()
	cs, err := terminology.BuiltIn().CodeSystem("http://hl7.org/fhir/resource-types", "")
	if err != nil || cs == nil {
		t.Fatal(cs, err)
	}
	for range 2 {
		for _, text := range []string{"", "p", "pa", "pat", "patient", "zz"} {
			got := cs.Pick(text, 7)
			if want := cs.Search(text, 7, func(i terminology.Ref) bool { return !cs.Inactive(i) && !cs.Abstract(i) }); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", text, got, want)
			}
			clear(got) // whose list it is may do what it wants with it
		}
	}
}

// BenchmarkTypeahead types into a picker over the whole ICD-10-CM, keystroke by keystroke.
func BenchmarkTypeahead(b *testing.B) {
	dir := corpustest.Folder(b, "codesets")
	if dir == "" {
		return
	}
	x := benchOn(b, dbtest.SQLite(b, nil))
	ctx := context.Background()
	if _, err := x.Import(ctx, scope(1), Import{Kind: "icd10cm", Files: []string{filepath.Join(dir, "icd10cm-order-Jan-2021.txt.gz"), filepath.Join(dir, "icd10cm_tabular_2021.xml.gz")}}); err != nil {
		b.Fatal(err)
	}
	var keys []string
	for _, c := range typed {
		for i := 1; i <= len(c.text); i++ {
			keys = append(keys, c.text[:i])
		}
	}
	x.Search(ctx, 1, terminology.ICD10CM, "warm", 12)
	var took []time.Duration
	n := 0
	for b.Loop() {
		began := time.Now()
		if _, err := x.Search(ctx, 1, terminology.ICD10CM, keys[n%len(keys)], 12); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		n++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*50/100].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "p95-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
