package bulk

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// TestPartsComeBack seals lines and opens them again, and wants a part to open in its own place alone.
func TestPartsComeBack(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	if err := d.View(t.Context(), d.Scope(1), func(tx *db.Tx) error {
		rapid.Check(t, func(t *rapid.T) {
			var g growing
			var want []line
			for range rapid.IntRange(0, 20).Draw(t, "lines") {
				l := line{ref: rapid.StringMatching(`[A-Z][a-z]{1,9}/[a-z0-9.-]{1,12}`).Draw(t, "ref"), text: []byte(rapid.StringMatching(`[^\n]{0,60}`).Draw(t, "text"))}
				if rapid.Bool().Draw(t, "has a patient") {
					l.patient = rapid.StringMatching(`Patient/[a-z0-9.-]{1,12}`).Draw(t, "patient")
				}
				g.add(l)
				want = append(want, l)
			}
			p, err := g.seal(1, tx.Keys(), 7, 2, 3)
			if err != nil {
				t.Fatal(err)
			}
			got, err := openPart(1, tx.Keys(), 7, 2, 3, p.body)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%v\n%v\n%v", err, got, want)
			}
			for _, at := range [][4]int64{{2, 7, 2, 3}, {1, 8, 2, 3}, {1, 7, 1, 3}, {1, 7, 2, 4}} {
				if _, err := openPart(db.PracticeID(at[0]), tx.Keys(), at[1], int(at[2]), int(at[3]), p.body); err == nil {
					t.Fatalf("it opens at %v", at)
				}
			}
		})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestManyParts exports a type whose file has several parts, and takes the right to it, then the export, away while the file is on its way.
func TestManyParts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.fill()
		long := `,"valueString":"` + strings.Repeat("long ", 40_000) + `"`
		for i := range 14 {
			k.must(201, "system", "PUT", fmt.Sprintf("Observation/l%02d", i), observation(fmt.Sprintf("l%02d", i), "ann", long))
		}
		m, at := k.export("system", "$export?_type=Observation")
		if got := k.lines("system", m.Output); len(got) != 17 {
			t.Errorf("%v", got)
		}
		whole := len(k.must(200, "system", "GET", m.Output[0].URL, "").Body.Bytes())
		system := k.as["system"]
		for _, c := range []struct {
			what string
			do   func()
		}{
			{"the right ended", func() { delete(k.as, "system") }},
			{"the export was deleted", func() { k.must(202, "system", "DELETE", at, "") }},
		} {
			k.as["system"] = system
			r := httptest.NewRequest("GET", strings.TrimPrefix(m.Output[0].URL, "https://ehr.example.org"), nil)
			r.Header.Set("Authorization", "Bearer system")
			w := &breaking{ResponseRecorder: httptest.NewRecorder(), first: c.do}
			broken := func() (v any) {
				defer func() { v = recover() }()
				k.mux.ServeHTTP(w, r.WithContext(context.Background()))
				return nil
			}()
			if broken != http.ErrAbortHandler || w.Body.Len() >= whole {
				t.Errorf("%s: %d of %d bytes came, and half a file was ended like a whole one: %v", c.what, w.Body.Len(), whole, broken)
			}
		}
	})
}

// breaking does something after the first bytes were written.
type breaking struct {
	*httptest.ResponseRecorder
	first func()
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.first != nil {
		b.first()
		b.first = nil
	}
	return b.ResponseRecorder.Write(p)
}
