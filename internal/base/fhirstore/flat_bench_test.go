package fhirstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhirjson"
)

// BenchmarkFlat loads one practice on PostgreSQL to growing sizes and measures single requests at each: the curve must stay flat.
// YARROW_FLAT names the sizes in resources, as in 1000000,4000000,16000000; a resource takes some 1.3 KB of disk, and -timeout 0
// belongs to it. Bodies and index rows are made by the store's own code and go in by COPY.
func BenchmarkFlat(b *testing.B) {
	sizes := os.Getenv("YARROW_FLAT")
	if sizes == "" {
		sizes = "2000,8000"
	}
	s := benchOn(b, dbtest.PostgreSQL(b, nil))
	s.put(flatPatient("first", 0))
	patients := 0
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < patients*flatEach {
			b.Fatalf("YARROW_FLAT: %q is not a size, or smaller than the one before", size)
		}
		s.grow(patients, n/flatEach)
		patients = n / flatEach
		b.Run(size, func(b *testing.B) {
			for b.Loop() {
				s.flat(b, patients)
			}
		})
	}
}

// flatEach is how many resources a patient has, the Patient among them.
const flatEach = 100

var flatCodes = strings.Fields("8302-2 29463-7 39156-5 85354-9 4548-4 2339-0 6299-2 38483-4 49765-1 6298-4 2069-3 20565-8 2093-3 2571-8 18262-6 2085-9 33914-3 72166-2")

// flatName is a family name that hardly another patient has.
func flatName(i int) string {
	syllables := strings.Fields("ba ber cor dan el fer gar hol in jo kel lan mor nor ol per quin ros sal ter ul ver wil yor zan")
	var name strings.Builder
	for i = i*7919 + 400_000; i > 0; i /= len(syllables) {
		name.WriteString(syllables[i%len(syllables)])
	}
	return name.String()
}

func flatPatient(id string, i int) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"identifier":[{"system":"urn:mrn","value":"M%d"}],"active":true,"name":[{"use":"official","family":%q,"given":["Ann","Mary"]}],`+
		`"telecom":[{"system":"phone","value":"555-%07d"}],"gender":"female","birthDate":"%d-%02d-%02d","address":[{"line":["%d Main Street"],"city":"Springfield","state":"MA","postalCode":"%05d"}]}`,
		id, i, flatName(i), i, 1930+i%90, 1+i%12, 1+i%28, i%9999, i%99999)
}

func flatObservation(i, j int) string {
	day := time.Date(2015, 1, 1, 9, 0, 0, 0, time.UTC).AddDate(0, 0, 37*j)
	return fmt.Sprintf(`{"resourceType":"Observation","id":"o%d-%d","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],`+
		`"code":{"coding":[{"system":"http://loinc.org","code":%q,"display":"Measurement"}],"text":"Measurement"},"subject":{"reference":"Patient/p%d"},"encounter":{"reference":"Encounter/e%d-%d"},`+
		`"effectiveDateTime":%q,"issued":%q,"valueQuantity":{"value":%d.%d,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}`,
		i, j, flatCodes[j%len(flatCodes)], i, i, j/10, day.Format(time.RFC3339), day.Format(time.RFC3339), 40+j, i%10)
}

// grow adds the patients from…to-1 with their observations.
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
			}
			defer conn.Close(ctx)
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
	conn, err := pgx.Connect(ctx, b.d.Super)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, text := range []string{"VACUUM (ANALYZE) yarrow.resource", "VACUUM (ANALYZE) yarrow.hkey", "VACUUM (ANALYZE) yarrow.rkey", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, text); err != nil {
			b.t.Fatal(err)
		}
	}
}

// copyIn makes the rows of some patients, numbered from rid and seq on, and copies them in.
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
	err := b.d.View(ctx, system(1), func(tx *db.Tx) error {
		w.tx = tx
		for i := from; i < to; i++ {
			if err := add(flatPatient(fmt.Sprint("p", i), i)); err != nil {
				return err
			}
			for j := range flatEach - 1 {
				if err := add(flatObservation(i, j)); err != nil {
					return err
				}
			}
		}
		return nil
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

// flat measures single requests, one after another, of a practice with so many patients.
func (b *bench) flat(t *testing.B, patients int) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(1, uint64(patients)))
	search := func(tx *db.Tx, query string) error {
		page, err := b.Search(ctx, tx, parse(t, query+"&_count=20"))
		if err == nil && len(page.Resources) == 0 {
			err = fmt.Errorf("%s finds nothing", query)
		}
		return err
	}
	glance := func(fn func(tx *db.Tx, i int) error) func() error {
		return func() error {
			i := r.IntN(patients)
			return b.d.Glance(ctx, system(1), func(tx *db.Tx) error { return fn(tx, i) })
		}
	}
	for _, m := range []struct {
		name string
		do   func() error
	}{
		{"read", glance(func(tx *db.Tx, i int) error { _, err := b.Read(ctx, tx, "Patient", fmt.Sprint("p", i)); return err })},
		{"code", glance(func(tx *db.Tx, i int) error {
			return search(tx, fmt.Sprintf("Observation?patient=p%d&code=http://loinc.org|%s", i, flatCodes[r.IntN(len(flatCodes))]))
		})},
		{"name", glance(func(tx *db.Tx, i int) error { return search(tx, "Patient?name="+flatName(i)) })},
		{"create", func() error {
			p, err := b.PrepareNew(ctx, []byte(flatPatient("x", r.IntN(1e9))))
			if err != nil {
				return err
			}
			return b.try(system(1), func(ctx context.Context, tx *db.Tx) error { _, err := b.Create(ctx, tx, p); return err })
		}},
	} {
		const times = 2000
		real := clock.System()
		took := make([]float64, 0, times)
		for i := range times + times/10 {
			start := real.Now()
			if err := m.do(); err != nil {
				t.Fatal(err)
			}
			if i >= times/10 { // the first ones warm up
				took = append(took, float64(real.Since(start).Microseconds()))
			}
		}
		slices.Sort(took)
		t.ReportMetric(took[len(took)/2], m.name+"-p50-µs")
		t.ReportMetric(took[len(took)*95/100], m.name+"-p95-µs")
	}
}
