package fhirstore

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhirjson"
)

// The data sets of BenchmarkFlat: one practice in growing sizes, each a database of its own in one PostgreSQL cluster, in
// the folder that YARROW_FLAT_DATA names. They are built once, which takes long, and measured as often as one likes.
//
//	YARROW_FLAT_DATA=/some/where YARROW_FLAT=1000000,4000000,16000000 go test ./internal/base/fhirstore -run xxx -bench Flat -benchtime 1x -timeout 0 -flat.build
//	(the same with -flat.for 5m instead of -flat.build) measures what was built
//	(the same with -flat.remove) removes all of it
//
// A resource takes some 1.3 KB of disk, and the write-ahead log up to 8 GB beside that.

var (
	flatBuild  = flag.Bool("flat.build", false, "BenchmarkFlat: build the data sets that are missing, and measure nothing")
	flatFor    = flag.Duration("flat.for", 0, "BenchmarkFlat: how long turns are begun (0: one turn); with -flat.build, how long data sets are made to grow (0: as long as it takes)")
	flatRemove = flag.Bool("flat.remove", false, "BenchmarkFlat: remove the data sets")
)

// flatSettings are those of a server that a hosting company runs for its practices, on a machine with 16 GB or more.
var flatSettings = []string{"max_connections=100", "shared_buffers=4GB", "effective_cache_size=14GB", "maintenance_work_mem=1GB", "max_wal_size=8GB",
	"checkpoint_timeout=30min", "fsync=on", "synchronous_commit=on", "random_page_cost=1.1", "jit=off", "logging_collector=off", "log_line_prefix=''"}

// smallSettings do for data sets that only show that the benchmark works.
var smallSettings = []string{"shared_buffers=64MB", "fsync=on", "synchronous_commit=on", "jit=off", "logging_collector=off", "log_line_prefix=''"}

// spareDisk is how much of the disk building leaves free.
const spareDisk = 12 << 30

// flatEach is how many resources a patient has: the Patient, visits, problems and results.
const (
	flatEach       = 100
	flatVisits     = 10
	flatConditions = 5
	flatResults    = flatEach - 1 - flatVisits - flatConditions
)

// flatSet is the name of the database with so many resources.
func flatSet(size int) string { return fmt.Sprint("flat_", size) }

const flatGrowing = "flat_growing"

// flatSizes reads YARROW_FLAT.
func flatSizes(t testing.TB, otherwise string) (sizes []int) {
	text := os.Getenv("YARROW_FLAT")
	if text == "" {
		text = otherwise
	}
	for size := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < flatEach {
			t.Fatalf("YARROW_FLAT: %q is not a number of resources from %d on", size, flatEach)
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return sizes
}

// buildFlat makes the data sets that are missing, each from the one before, and returns what there is then. What does not
// fit into the time (0: any) or onto the disk gets the name of the size it reached.
func buildFlat(t testing.TB, k *dbtest.Kept, sizes []int, long time.Duration) (built []int) {
	real := clock.System()
	start := real.Now()
	last := 0
	for _, size := range sizes {
		if !k.Has(t, flatSet(size)) {
			last = startFlat(t, k, sizes, last, size)
			d := k.Open(t, flatGrowing)
			b := benchOn(t, d)
			if last == 0 {
				b.put(flatPatient("first", 0))
			}
			reached := b.growTo(last/flatEach, size/flatEach, func() bool {
				return (long == 0 || real.Since(start) < long) && freeDisk(t) > spareDisk
			}) * flatEach
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if reached == 0 || k.Has(t, flatSet(reached)) { // nothing came in
				k.Drop(t, flatGrowing)
				return built
			}
			k.Super(t, flatGrowing, "VACUUM (ANALYZE)", "CHECKPOINT")
			k.Rename(t, flatGrowing, flatSet(reached))
			if reached < size {
				return append(built, reached)
			}
		}
		built, last = append(built, size), size
	}
	return built
}

// startFlat readies the database that is to grow to a size, and returns how large it is: one that did not reach its size
// before goes on, any other begins as a copy of the size before.
func startFlat(t testing.TB, k *dbtest.Kept, sizes []int, last, size int) int {
	begun := last
	for _, name := range k.Names(t, "flat_") {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "flat_"))
		if err == nil && n > begun && n < size && !slices.Contains(sizes, n) {
			begun = n
		}
	}
	if begun > last {
		k.Drop(t, flatGrowing)
		k.Rename(t, flatSet(begun), flatGrowing)
		return begun
	}
	like := ""
	if last > 0 {
		like = flatSet(last)
	}
	k.Make(t, flatGrowing, like)
	return last
}

func flatFolder() string {
	if dir := os.Getenv("YARROW_FLAT_DATA"); dir != "" {
		return dir
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("yarrow-flat-%d", os.Getuid()))
}

// freeDisk is how many bytes the disk of the data sets has left.
func freeDisk(t testing.TB) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(flatFolder(), &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

var flatCodes = strings.Fields("8302-2 29463-7 39156-5 85354-9 4548-4 2339-0 6299-2 38483-4 49765-1 6298-4 2069-3 20565-8 2093-3 2571-8 18262-6 2085-9 33914-3 72166-2")

// flatName is a family name that hardly another patient has, and that differs from others' within the letters that have a
// row: however large the practice, a search for it has one answer to find.
func flatName(i int) string {
	const consonants, vowels = "bcdfghjklmnprstvwxyz", "aeiou"
	name := make([]byte, 0, 10)
	for n, pair := i*61_803_399%100_000_000, 0; pair < 4; pair++ {
		name = append(name, consonants[n%20], vowels[n/20%5])
		n /= 100
	}
	return string(append(name, "nd"...))
}

func flatPatient(id string, i int) string { return flatPatientWith(id, i, i) }

// flatPatientWith is the patient with another telephone number.
func flatPatientWith(id string, i, phone int) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"identifier":[{"system":"urn:mrn","value":"M%d"}],"active":true,"name":[{"use":"official","family":%q,"given":["Ann","Mary"]}],`+
		`"telecom":[{"system":"phone","value":"555-%07d"}],"gender":"female","birthDate":"%d-%02d-%02d","address":[{"line":["%d Main Street"],"city":"Springfield","state":"MA","postalCode":"%05d"}]}`,
		id, i, flatName(i), phone, 1930+i%90, 1+i%12, 1+i%28, i%9999, i%99999)
}

func flatDay(n int) string {
	return time.Date(2015, 1, 1, 9, 0, 0, 0, time.UTC).AddDate(0, 0, n).Format(time.RFC3339)
}

func flatVisit(i, j int) string {
	return fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d-%d","status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},`+
		`"type":[{"coding":[{"system":"http://snomed.info/sct","code":"185349003"}]}],"subject":{"reference":"Patient/p%d"},"period":{"start":%q,"end":%q}}`,
		i, j, i, flatDay(311*j), flatDay(311*j))
}

func flatCondition(i, j int) string {
	return fmt.Sprintf(`{"resourceType":"Condition","id":"c%d-%d","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},`+
		`"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-category","code":"problem-list-item"}]}],`+
		`"code":{"coding":[{"system":"http://snomed.info/sct","code":"%d"}]},"subject":{"reference":"Patient/p%d"},"onsetDateTime":%q,"recordedDate":%q}`,
		i, j, 38341003+(i+j)%400, i, flatDay(500*j), flatDay(500*j))
}

func flatResult(i, j int) string {
	day := flatDay(37 * j)
	return fmt.Sprintf(`{"resourceType":"Observation","id":"o%d-%d","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],`+
		`"code":{"coding":[{"system":"http://loinc.org","code":%q,"display":"Measurement"}],"text":"Measurement"},"subject":{"reference":"Patient/p%d"},"encounter":{"reference":"Encounter/e%d-%d"},`+
		`"effectiveDateTime":%q,"issued":%q,"valueQuantity":{"value":%d.%d,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}`,
		i, j, flatCodes[j%len(flatCodes)], i, i, j*flatVisits/flatResults, day, day, 40+j, i%10)
}

// flatChart calls fn with all a patient has.
func flatChart(i int, fn func(raw string) error) error {
	err := fn(flatPatient(fmt.Sprint("p", i), i))
	for _, part := range []struct {
		n    int
		text func(i, j int) string
	}{{flatVisits, flatVisit}, {flatConditions, flatCondition}, {flatResults, flatResult}} {
		for j := 0; j < part.n && err == nil; j++ {
			err = fn(part.text(i, j))
		}
	}
	return err
}

// growTo adds patients from…to-1 with their charts, as long as more says so, and returns where it stopped.
func (b *bench) growTo(from, to int, more func() bool) int {
	b.t.Helper()
	const portion = 1000
	real := clock.System()
	for from < to && more() {
		start := real.Now()
		n := min(portion, to-from)
		b.grow(from, from+n)
		from += n
		fmt.Fprintf(os.Stderr, "%s: %d resources, %.0f/s\n", real.Now().Format(time.TimeOnly), from*flatEach, float64(n*flatEach)/real.Since(start).Seconds())
	}
	return from
}

// grow adds the patients from…to-1 with their charts.
func (b *bench) grow(from, to int) {
	b.t.Helper()
	ctx := context.Background()
	var rid, seq int64
	b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, db.SQL(`SELECT rid, seq FROM fhir_counter WHERE practice_id = $1`), int64(1)).Scan(&rid, &seq)
	})
	work := make(chan int)
	var wg sync.WaitGroup
	const step = 40
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			conn, err := pgx.Connect(ctx, b.d.Super)
			if err != nil {
				b.t.Error(err)
			} else {
				defer conn.Close(ctx)
			}
			for first := range work {
				if conn != nil && !b.t.Failed() {
					b.copyIn(ctx, conn, first, min(first+step, to), rid+1+int64(first-from)*flatEach, seq+1+int64(first-from)*flatEach)
				}
			}
		})
	}
	for first := from; first < to; first += step {
		work <- first
	}
	close(work)
	wg.Wait()
	if b.t.Failed() {
		b.t.FailNow()
	}
	n := int64(to-from) * flatEach
	b.d.Force(b.t, 1, fmt.Sprintf(`UPDATE fhir_counter SET rid = %d, seq = %d WHERE practice_id = $1`, rid+n, seq+n))
}

// copyIn makes the rows of some patients' charts with the store's own code, numbered from rid and seq on, and copies them in.
func (b *bench) copyIn(ctx context.Context, conn *pgx.Conn, from, to int, rid, seq int64) {
	w := &writer{s: b.Store}
	var rows [][]any
	add := func(raw string) error {
		n, err := fhirjson.Parse([]byte(raw), fhirjson.Limits{})
		if err != nil {
			return err
		}
		p, err := b.prepare(n)
		if err != nil {
			return err
		}
		x := p.index(w.tx.Keys())
		v := &version{bodyRow: bodyRow{practice: 1, typ: typeCode(p.Type), idh: keyspaceOf(w.tx.Keys()).id(p.Type, p.ID), version: 1, seq: seq, labels: x.labels},
			rid: rid, isNew: true, x: x, packed: p.packed, p: p, out: &Resource{}}
		w.index(rid, nil, &x.keys)
		rows = append(rows, w.finish(v))
		rid, seq = rid+1, seq+1
		return nil
	}
	err := b.d.View(ctx, system(1), func(tx *db.Tx) (err error) {
		w.tx = tx
		for i := from; i < to && err == nil; i++ {
			err = flatChart(i, add)
		}
		return err
	})
	for _, t := range []struct {
		table, columns string
		rows           [][]any
	}{
		{"resource", "practice_id rid idh version seq date span facet patient encounter author labels type deleted idx_keys body", rows},
		{"hkey", "practice_id h d rid", w.hashes},
		{"rkey", "practice_id p lo hi rid", w.spans},
	} {
		if err == nil {
			_, err = conn.CopyFrom(ctx, pgx.Identifier{"yarrow", t.table}, strings.Fields(t.columns), pgx.CopyFromRows(t.rows))
		}
	}
	if err != nil {
		b.t.Error(err)
	}
}

// flatStore is the store over a data set.
func flatStore(t testing.TB, k *dbtest.Kept, size int) *bench {
	d := k.Open(t, flatSet(size))
	t.Cleanup(func() { d.Close() })
	return &bench{New(d.DB, audit.New(d.DB)), d, t}
}
