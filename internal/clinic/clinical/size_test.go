package clinical_test

import (
	"fmt"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
)

// A long life in the practice: the chart of 1,000 encounters and 10,000 results costs what
// it shows, not what there is.
func BenchmarkLongChart(b *testing.B) {
	for _, e := range []struct {
		name string
		open func(t testing.TB) *dbtest.DB
	}{
		{"SQLite", func(t testing.TB) *dbtest.DB { return dbtest.SQLite(t, nil) }},
		{"PostgreSQL", func(t testing.TB) *dbtest.DB { return dbtest.PostgreSQL(t, nil) }},
	} {
		b.Run(e.name, func(b *testing.B) {
			p := clinictest.Furnish(b, e.open(b))
			p.Patient(b, "ann", "Ash", "Ann", "1968-03-14", "female", "1001")
			p.Patient(b, "ben", "Birch", "Ben", "1968-03-14", "male", "1002")
			long(b, p, 1000, 10)
			b.Run("warm", func(b *testing.B) {
				for b.Loop() {
					if _, err := p.Record.Chart(ctx, p.Doctor, "ann"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("changed", func(b *testing.B) { // read anew after each change of the record
				for b.Loop() {
					if err := p.Record.DenyAllergies(ctx, p.Doctor, "ann"); err != nil {
						b.Fatal(err)
					}
					if _, err := p.Record.Chart(ctx, p.Doctor, "ann"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("timeline", func(b *testing.B) {
				for b.Loop() {
					if _, err := p.Record.Timeline(ctx, p.Doctor, "ann", "", "", 50); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("trend", func(b *testing.B) {
				for b.Loop() {
					if _, err := p.Record.Trend(ctx, p.Doctor, "ann", "o0-0"); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// long writes visits with results each.
func long(t testing.TB, p *clinictest.Practice, visits, results int) {
	t.Helper()
	start := time.Date(2006, 1, 2, 15, 0, 0, 0, time.UTC)
	for from := 0; from < visits; from += 100 {
		err := p.Do(ctx, auth.SystemScope(p.ID, "test"), func(tx *db.Tx) error {
			for v := from; v < min(from+100, visits); v++ {
				at := start.AddDate(0, 0, v*7).Format(time.RFC3339)
				raw := []string{fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d","status":"finished","class":{"code":"AMB"},"type":[{"text":"Office visit"}],"subject":{"reference":"Patient/ann"},"period":{"start":%q,"end":%q}}`, v, at, at)}
				for r := range results {
					raw = append(raw, lab(fmt.Sprintf("o%d-%d", v, r), "ann", fmt.Sprintf("%d-3", 2000+r), fmt.Sprintf("Test %d", r), fmt.Sprintf("%d.%d", 4+v%3, r), "mmol/L", at, "3.5", "5.1"))
				}
				for _, one := range raw {
					q, err := p.Store.Prepare(ctx, []byte(one))
					if err != nil {
						return err
					}
					if _, err := p.Store.Update(ctx, tx, q, 0); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
