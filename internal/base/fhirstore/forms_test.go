package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhirsearch"
)

func TestSortedPagesStayWhereTheyAre(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		patient := func(id, family, birth string) string {
			return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"name":[{"family":%q}]%s}`, id, family, birth)
		}
		born := func(d string) string { return `,"birthDate":"` + d + `"` }
		b.put(patient("a", "Elm", born("1980")), patient("b", "Ash", born("1990")), patient("c", "Oak", ""), patient("d", "Ash", born("1970")), patient("e", "Birch", born("1985-02")))
		for request, want := range map[string]string{
			"_sort=family,-birthdate": "b d e a c", "_sort=-family,birthdate": "c a e d b", "_sort=birthdate": "d a e b c", "_sort=-birthdate": "b e a d c", "_sort=-_id": "e d c b a",
		} {
			for count := 1; count < 6; count++ {
				ids, _, err := b.search(system(1), fmt.Sprintf("Patient?%s&_count=%d", request, count))
				if got := strings.Join(ids, " "); err != nil || got != want {
					t.Errorf("%s in pages of %d: %s, want %s (%v)", request, count, got, want, err)
				}
			}
		}
		// Between two pages somebody is registered before the place, and one already seen leaves.
		q := parse(t, "Patient?_sort=family,-birthdate&_count=2")
		var first, second *Page
		b.view(system(1), func(ctx context.Context, tx *db.Tx) (err error) { first, err = b.Search(ctx, tx, q); return err })
		b.put(patient("f", "Aaron", born("2000")))
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Patient", "b", 0) })
		q.Page = first.Next
		b.view(system(1), func(ctx context.Context, tx *db.Tx) (err error) { second, err = b.Search(ctx, tx, q); return err })
		if len(second.Resources) != 2 || second.Resources[0].ID != "e" || second.Resources[1].ID != "a" {
			t.Errorf("the second page has %v", second.Resources)
		}
	})
}

func TestSearchOverTypes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for i := range 6 {
			b.put(fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","meta":{"tag":[{"code":"%d"}]}}`, i, i%2))
			b.put(fmt.Sprintf(`{"resourceType":"Basic","id":"b%d","meta":{"tag":[{"code":"%d"}]},"code":{"text":"x"},"subject":{"reference":"Patient/p%d"}}`, i, i%3, i))
			if i%2 == 0 {
				b.put(fmt.Sprintf(`{"resourceType":"Flag","id":"f%d","status":"active","code":{"text":"x"},"subject":{"reference":"Patient/p%d"}}`, i, i))
			}
		}
		search := func(s db.Scope, form map[string][]string) (out []string, total int) {
			t.Helper()
			queries, issues := fhirsearch.ParseTypes(form)
			if issues.HasErrors() {
				t.Fatal(issues)
			}
			b.view(s, func(ctx context.Context, tx *db.Tx) error {
				for {
					page, err := b.SearchTypes(ctx, tx, queries)
					if err != nil {
						return err
					}
					for _, r := range page.Resources {
						out = append(out, r.ID)
					}
					total = page.Total
					if page.Next == "" {
						return nil
					}
					for i := range queries {
						queries[i].Page = page.Next
					}
				}
			})
			return out, total
		}
		all := "b5 p5 f4 b4 p4 b3 p3 f2 b2 p2 b1 p1 f0 b0 p0"
		for _, c := range []struct {
			s    db.Scope
			form map[string][]string
			want string
		}{
			{system(1), map[string][]string{"_type": {"Patient,Basic,Flag"}, "_count": {"2"}}, all},
			{system(1), map[string][]string{"_type": {"Patient,Basic,Flag"}, "_count": {"100"}}, all},
			{system(1), map[string][]string{"_count": {"4"}}, all},
			{system(1), map[string][]string{"_type": {"Patient", "Basic"}, "_tag": {"0"}, "_count": {"1"}}, "p4 b3 p2 b0 p0"},
			{system(1), map[string][]string{"_type": {"Flag,Patient"}, "_sort": {"_lastUpdated"}, "_count": {"3"}}, "p0 f0 p1 p2 f2 p3 p4 f4 p5"},
			{patientApp("Patient/p2"), map[string][]string{"_count": {"2"}}, "f2 b2 p2"},
			{auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Flag": auth.CanSearch}}), map[string][]string{"_type": {"Flag,Patient"}}, "f4 f2 f0"},
		} {
			if got, _ := search(c.s, c.form); strings.Join(got, " ") != c.want {
				t.Errorf("%v gives %v, want %s", c.form, got, c.want)
			}
		}
		if _, n := search(system(1), map[string][]string{"_type": {"Patient,Flag"}, "_summary": {"count"}}); n != 9 {
			t.Errorf("counted %d", n)
		}
		if _, issues := fhirsearch.ParseTypes(map[string][]string{"name": {"x"}}); len(issues) == 0 {
			t.Error("a parameter that not every type has is taken")
		}
		if q, issues := fhirsearch.ParseTypes(map[string][]string{"_type": {"Patent"}}); len(issues) == 0 || len(q) != 0 {
			t.Error("a type that is none is taken")
		}
		if _, err := b.search1(system(1), "Patient?_sort=_id"); err != nil {
			t.Error(err)
		}
	})
}

func (b *bench) search1(s db.Scope, request string) ([]string, error) {
	ids, _, err := b.search(s, request)
	slices.Sort(ids)
	return ids, err
}
