package auth

import (
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db/dbtest"
)

// BenchmarkResume is what every request pays to know who asks.
func BenchmarkResume(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *dbtest.DB{
		"SQLite":     func(t testing.TB) *dbtest.DB { return dbtest.SQLite(t, nil) },
		"PostgreSQL": func(t testing.TB) *dbtest.DB { return dbtest.PostgreSQL(t, nil) },
	} {
		b.Run(name, func(b *testing.B) {
			d := open(b)
			a := New(d.DB, audit.New(d.DB), Options{Demo: true})
			p, err := a.AddPractice(b.Context(), slug, "Alder")
			if err != nil {
				b.Fatal(err)
			}
			id, err := a.AddUser(b.Context(), SystemScope(p, "bench"), User{Login: "ann", Display: "Ann", Roles: []Role{Clinician}})
			if err != nil {
				b.Fatal(err)
			}
			token, _, err := a.DemoSignIn(b.Context(), p, id)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := a.Resume(b.Context(), slug, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
