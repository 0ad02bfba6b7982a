package simulate

import (
	"bytes"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// TestLaterDays: the same plan, book and moment give the same bytes, whole and in time; what is taken is not booked again.
func TestLaterDays(t *testing.T) {
	begun := time.Date(2026, 3, 5, 15, 0, 0, 0, time.UTC)
	for _, after := range []time.Duration{20 * time.Hour, 31 * time.Hour, 4 * 24 * time.Hour, 70 * 24 * time.Hour} {
		later := func(book Book) []byte { return Plan(7, begun, 60).Later(begun.Add(after), book).JSON }
		book := Book{Untouched: func(string) bool { return true }}
		a := later(book)
		if !bytes.Equal(a, later(book)) {
			t.Errorf("%s later: not the same bytes", after)
		}
		n, err := fhirjson.Parse(a, fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, e := range n.Get("entry").Items() {
			r := e.Get("resource")
			if issues := fhir.Validate(r); issues.HasErrors() {
				t.Errorf("%s later: %v", after, issues)
			}
			id := r.Get("resourceType").Text() + "/" + r.Get("id").Text()
			if seen[id] {
				t.Errorf("%s later: %s twice", after, id)
			}
			seen[id] = true
		}
		if len(seen) < 20 {
			t.Errorf("%s later: %d resources", after, len(seen))
		}
		// With every minute taken and everything touched there is nothing to add but the blocks of a day that the plan lacks.
		w := Plan(7, begun, 60)
		day := at(begun.Add(after).In(w.Zone), 0)
		full := Book{Untouched: func(string) bool { return false }}
		for _, p := range w.Staff {
			full.Taken = append(full.Taken, Taken{p.ID, day, 24 * 60})
		}
		if b := w.Later(begun.Add(after), full); bytes.Contains(b.JSON, []byte("Encounter")) {
			t.Errorf("%s later: somebody was squeezed in", after)
		}
	}
}
