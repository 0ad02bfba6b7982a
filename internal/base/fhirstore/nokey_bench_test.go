package fhirstore

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// BenchmarkNoKey measures searches that no index row answers, in one practice: words anywhere in a resource, parts of words, and values
// that most resources have. YARROW_NOKEY is how many resources there are.
//
//	YARROW_NOKEY=100000 go test ./internal/base/fhirstore -run xxx -bench NoKey -benchtime 3x -timeout 0
func BenchmarkNoKey(b *testing.B) {
	size := 1000
	if text := os.Getenv("YARROW_NOKEY"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil || size < flatEach {
			b.Fatalf("YARROW_NOKEY: %q is not a number of resources from %d on", text, flatEach)
		}
	}
	for name, open := range map[string]func() *dbtest.DB{"SQLite": func() *dbtest.DB { return dbtest.SQLite(b, nil) }, "PostgreSQL": func() *dbtest.DB { return dbtest.PostgreSQL(b, nil) }} {
		b.Run(name, func(b *testing.B) {
			k := benchOn(b, open())
			for i := range size / flatEach {
				var entries []string
				_ = flatChart(i, func(raw string) error { // it never fails: nothing in it does
					entries = append(entries, `{"resource":`+raw+`}`)
					return nil
				})
				if _, err := k.Apply(b.Context(), system(1), bundleOf("collection", entries...), ApplyOptions{KeepIDs: true}); err != nil {
					b.Fatal(err)
				}
			}
			if k.d.Engine() == db.PostgreSQL {
				k.analyze()
			}
			for _, query := range []string{
				"Observation?_content=nowhere", "Observation?_content=nowhere&_total=accurate", "Observation?_content=nowhere&_sort=value-quantity",
				"Observation?_text=nowhere", "Observation?_text=nowhere&_total=accurate",
				"Patient?name:contains=xyzzy", "Patient?address:contains=xyzzy&_total=accurate", "Observation?code:text=nowhere", "Observation?code:text=nowhere&_total=accurate",
				"Observation?status:not=final", "Observation?status:not=final&_total=accurate", "Observation?category:not=laboratory&_total=accurate", "Observation?code:not=nowhere&_total=accurate",
				"Observation?category=laboratory", "Observation?category=laboratory&_total=accurate", "Observation?category=laboratory&_sort=value-quantity", "Observation?category=vital-signs", "Observation?category=vital-signs&_total=accurate",
			} {
				b.Run(strings.NewReplacer("?", " ", "&", " ").Replace(query), func(b *testing.B) {
					for b.Loop() {
						k.view(system(1), func(ctx context.Context, tx *db.Tx) error {
							_, err := k.Search(ctx, tx, parse(b, query))
							if err != nil && !strings.Contains(err.Error(), "20,000") {
								return err
							}
							return nil
						})
					}
				})
			}
		})
	}
}
