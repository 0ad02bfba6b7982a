package bulk

import (
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/corpustest"
)

// BenchmarkExport writes the records of patients of the corpus out in the ways there are. What counts is resources for each second of
// the process's own processor time, PostgreSQL's left out; both are one core's.
func BenchmarkExport(b *testing.B) {
	dir := corpustest.Folder(b, "synthea")
	if dir == "" {
		return
	}
	for _, engine := range []func(b *testing.B) *dbtest.DB{
		func(b *testing.B) *dbtest.DB { return dbtest.SQLite(b, nil) },
		func(b *testing.B) *dbtest.DB { return dbtest.PostgreSQL(b, nil) },
	} {
		d := engine(b)
		b.Run(d.Engine().String(), func(b *testing.B) { benchExport(b, d, dir) })
	}
}

func benchExport(b *testing.B, d *dbtest.DB, dir string) {
	k := newStation(b, d)
	im := fhirstore.Importer{Store: k.store, Scope: auth.SystemScope(1, "import")}
	if _, err := im.Run(b.Context(), filepath.Join(dir, "2021-07-uscore-transaction-bundles")); err != nil {
		b.Fatal(err)
	}
	asked := func(path string) (n int) {
		m, at := k.export("system", path)
		k.must(202, "system", "DELETE", at, "")
		for _, f := range m.Output {
			n += f.Count
		}
		return n
	}
	for _, way := range []struct {
		name string
		run  func() int
	}{
		{"by type", func() int { return asked("$export") }},
		{"by patient", func() int { return asked("$export?organizeOutputBy=Patient") }},
		{"yarrow export", func() int {
			n, err := Dump(b.Context(), d.DB, k.store, k.audit, auth.SystemScope(1, "export"), "", io.Discard, nil)
			if err != nil {
				b.Fatal(err)
			}
			return int(n)
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			n := 0
			from := processor(b)
			for b.Loop() {
				n += way.run()
			}
			b.ReportMetric(float64(n)/(processor(b)-from).Seconds(), "resources/cpu-s")
		})
	}
}

// processor is the processor time of the process.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
