package fhirstore

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// BenchmarkFlat measures single requests of one practice on PostgreSQL at several sizes, in turns, so that whatever else the
// machine does meets all sizes alike: the curve must stay flat. See flat_data_test.go for how the data sets are made and
// removed. Each turn draws patients from the whole practice and asks for each twice: the first time its pages come from
// wherever they are, the second time from memory.
func BenchmarkFlat(b *testing.B) {
	dir, sizes, settings := flatFolder(), flatSizes(b, "2000,8000"), flatSettings
	own := os.Getenv("YARROW_FLAT_DATA") == ""
	if own {
		settings = smallSettings
	}
	if *flatRemove || own {
		b.Cleanup(func() { // after the server has stopped
			if err := os.RemoveAll(dir); err != nil {
				b.Error(err)
			}
		})
	}
	if *flatBuild {
		settings = append(settings, "autovacuum=off") // each data set is vacuumed when it is whole
	}
	k := dbtest.Keep(b, dir, settings...)
	switch {
	case *flatRemove:
	case *flatBuild:
		fmt.Fprintln(os.Stderr, "built:", buildFlat(b, k, sizes, *flatFor))
	case own:
		b.Log("YARROW_FLAT_DATA names no folder: two small practices show that this works, and nothing else")
		measureFlat(b, k, buildFlat(b, k, sizes, 0))
	default:
		sizes = slices.DeleteFunc(sizes, func(size int) bool { return !k.Has(b, flatSet(size)) })
		measureFlat(b, k, sizes)
	}
}

// asked is a kind of request of BenchmarkFlat.
type asked struct {
	name  string
	times int // a turn
	again bool
	do    func(b *bench, i int) error
}

var flatRequests = []asked{
	{"read", 300, true, glanced(func(ctx context.Context, b *bench, tx *db.Tx, i int) error {
		_, err := b.Read(ctx, tx, "Patient", fmt.Sprint("p", i))
		return err
	})},
	{"search by patient and code", 300, true, glanced(func(ctx context.Context, b *bench, tx *db.Tx, i int) error {
		return b.finds(ctx, tx, fmt.Sprintf("Observation?patient=p%d&code=http://loinc.org|%s", i, flatCodes[i%len(flatCodes)]))
	})},
	{"search by name", 300, true, glanced(func(ctx context.Context, b *bench, tx *db.Tx, i int) error {
		return b.finds(ctx, tx, "Patient?name="+flatName(i))
	})},
	{"chart", 100, true, glanced(func(ctx context.Context, b *bench, tx *db.Tx, i int) error {
		c, err := b.Compartment(ctx, tx, fmt.Sprint("p", i), []string{"AllergyIntolerance", "CarePlan", "Condition", "Encounter", "Immunization", "MedicationRequest", "Observation", "Procedure"}, 50)
		if err == nil && len(c.ByType["Observation"]) != 50 {
			err = fmt.Errorf("a chart lacks results")
		}
		return err
	})},
	{"create", 150, false, func(b *bench, _ int) error {
		// A name that nobody has: searches by name go on finding one patient.
		p, err := b.PrepareNew(context.Background(), []byte(flatPatient("x", 50_000_000+rand.IntN(40_000_000))))
		if err != nil {
			return err
		}
		return b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Create(ctx, tx, p); return err })
	}},
	{"update", 150, true, func(b *bench, i int) error {
		p, err := b.Prepare(context.Background(), []byte(flatPatientWith(fmt.Sprint("p", i), i, rand.IntN(1e7))))
		if err != nil {
			return err
		}
		return b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Update(ctx, tx, p, 0); return err })
	}},
}

func glanced(fn func(ctx context.Context, b *bench, tx *db.Tx, i int) error) func(b *bench, i int) error {
	return func(b *bench, i int) error {
		ctx := context.Background()
		return b.d.Glance(ctx, system(1), func(tx *db.Tx) error { return fn(ctx, b, tx, i) })
	}
}

func (b *bench) finds(ctx context.Context, tx *db.Tx, query string) error {
	page, err := b.Search(ctx, tx, parse(b.t, query+"&_count=20"))
	if err == nil && len(page.Resources) == 0 {
		err = fmt.Errorf("%s finds nothing", query)
	}
	return err
}

// flatTook is how long requests took, in µs: by size, kind of request, and whether it was the second time.
type flatTook map[flatCell][]float64

type flatCell struct {
	size, request int
	again         bool
}

// measureFlat takes turns until the time is up, prints a table and writes down the plans.
func measureFlat(t *testing.B, k *dbtest.Kept, sizes []int) {
	if len(sizes) == 0 {
		t.Fatal("there are no data sets of these sizes: build them with -flat.build")
	}
	stores := make([]*bench, len(sizes))
	for i, size := range sizes {
		stores[i] = flatStore(t, k, size)
		stores[i].turn(size, -1, nil) // reads the upper pages of the indexes
	}
	real := clock.System()
	start := real.Now()
	took := flatTook{}
	turns := 0
	for ; turns == 0 || real.Since(start) < *flatFor; turns++ {
		for i := range sizes {
			i = (i + turns) % len(sizes)
			stores[i].turn(sizes[i], turns, took)
		}
	}
	fmt.Printf("\n%d turns\n\n", turns)
	took.print(sizes)
	plans := filepath.Join(flatFolder(), "plans.txt")
	if err := os.WriteFile(plans, []byte(flatPlans(t, k, sizes)), 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nHow each statement was carried out stands in %s.\n", plans)
}

// turn asks once for everything, a little without counting it first. With took nil nothing is counted.
func (b *bench) turn(size, turn int, took flatTook) {
	real := clock.System()
	patients := size / flatEach
	for n, m := range flatRequests {
		r := rand.New(rand.NewPCG(uint64(turn+1), uint64(n)))
		draw := make([]int, m.times)
		ask := func(i int) float64 {
			start := real.Now()
			if err := m.do(b, i); err != nil {
				b.t.Fatalf("%s: %v", m.name, err)
			}
			return float64(real.Since(start).Nanoseconds()) / 1000
		}
		for range 20 {
			ask(r.IntN(patients))
		}
		for _, again := range []bool{false, true} {
			if again && !m.again {
				continue
			}
			for i := range draw {
				if !again {
					draw[i] = r.IntN(patients)
				}
				if us := ask(draw[i]); took != nil {
					cell := flatCell{size, n, again}
					took[cell] = append(took[cell], us)
				}
			}
		}
	}
}

// print writes a row for each kind of request, and how its median at the largest size compares with that at the smallest.
func (f flatTook) print(sizes []int) {
	var head, rule strings.Builder
	for _, size := range sizes {
		fmt.Fprintf(&head, " %.4g M |", float64(size)/1e6)
		rule.WriteString("---|")
	}
	fmt.Printf("| p50 / p95 in µs |%s largest : smallest |\n|---|%s---|\n", head.String(), rule.String())
	for n, m := range flatRequests {
		for _, again := range []bool{false, true} {
			if again && !m.again {
				continue
			}
			name := m.name
			if again {
				name += ", again"
			}
			fmt.Printf("| %s |", name)
			var medians []float64
			for _, size := range sizes {
				all := f[flatCell{size, n, again}]
				slices.Sort(all)
				medians = append(medians, all[len(all)/2])
				fmt.Printf(" %.0f / %.0f |", all[len(all)/2], all[len(all)*95/100])
			}
			fmt.Printf(" %.2f |\n", medians[len(medians)-1]/cmp.Or(medians[0], 1))
		}
	}
}

// What of a plan does not say how the work was done.
var planNoise = regexp.MustCompile(`  \(cost=[^)]*\)|^Query Text: .*`)

// flatPlans has the server say how it carries out each statement of each kind of request, at each size.
func flatPlans(t testing.TB, k *dbtest.Kept, sizes []int) string {
	var out strings.Builder
	by := map[int][]string{}
	for _, size := range sizes {
		name := flatSet(size)
		var set, reset []string
		for _, s := range [][2]string{{"session_preload_libraries", "'auto_explain'"}, {"auto_explain.log_min_duration", "0"}, {"auto_explain.log_analyze", "on"},
			{"auto_explain.log_buffers", "on"}, {"auto_explain.log_timing", "off"}} {
			set = append(set, "ALTER DATABASE "+name+" SET "+s[0]+" = "+s[1])
			reset = append(reset, "ALTER DATABASE "+name+" RESET "+s[0])
		}
		k.Super(t, "", set...)
		b := flatStore(t, k, size)
		k.Super(t, "", reset...)
		for _, m := range flatRequests {
			for i := range 3 { // the first ones read what is kept once for all, and prepare statements
				if err := m.do(b, i); err != nil {
					t.Fatal(err)
				}
			}
			before := logged(t, k, 0)
			if err := m.do(b, 3); err != nil {
				t.Fatal(err)
			}
			by[size] = append(by[size], logged(t, k, len(before)))
		}
	}
	for n, m := range flatRequests {
		for _, size := range sizes {
			fmt.Fprintf(&out, "## %s, %d resources\n\n%s\n", m.name, size, by[size][n])
		}
	}
	return out.String()
}

// logged is what the server logged beyond the first bytes.
func logged(t testing.TB, k *dbtest.Kept, from int) string {
	all, err := os.ReadFile(k.Log())
	if err != nil {
		t.Fatal(err)
	}
	if from == 0 {
		return string(all)
	}
	var out strings.Builder
	for line := range strings.Lines(string(all[from:])) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "LOG:  duration: "); ok {
			out.WriteString("\nms " + strings.TrimSuffix(rest, "  plan:") + "\n")
			continue
		}
		line = planNoise.ReplaceAllString(strings.TrimPrefix(line, "\t"), "")
		if line != "" {
			out.WriteString("    " + line + "\n")
		}
	}
	return out.String()
}
