package fhirstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// TestSearchesAreBounded: what walks through a list is refused with the remedy when it takes too long, ends with the one who asks, and
// leaves readers for others: two walk far in a practice at the same time, and whatever a key answers is answered meanwhile.
func TestSearchesAreBounded(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"a","name":[{"family":"Ash"}]}`)
		b.putIn(2, `{"resourceType":"Patient","id":"a","name":[{"family":"Ash"}]}`)
		for part := range 4 {
			var entries []string
			for i := range 1000 {
				entries = append(entries, fmt.Sprintf(`{"resource":{"resourceType":"Basic","id":"b%d-%d","code":{"text":"x"}}}`, part, i))
			}
			for p := range db.PracticeID(2) {
				if _, err := b.Apply(t.Context(), system(p+1), bundleOf("collection", entries...), ApplyOptions{KeepIDs: true}); err != nil {
					t.Fatal(err)
				}
			}
		}
		program := func(p db.PracticeID) db.Scope {
			return auth.AsApp(p, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy})
		}
		ask := func(ctx context.Context, who db.Scope, query string) (code string) {
			err := b.d.View(ctx, who, func(tx *db.Tx) error {
				_, err := b.Search(ctx, tx, parse(t, query))
				return err
			})
			var i *fhir.Issue
			switch {
			case errors.As(err, &i):
				if i.Fix == "" {
					t.Errorf("%s: no remedy: %v", query, i)
				}
				return i.Code
			case err != nil:
				return err.Error()
			}
			return ""
		}
		const walk, key = "Basic?_content=nowhere", "Patient?name=ash"
		for _, query := range []string{walk, walk + "&_total=accurate", walk + "&_sort=code", "Basic", "Basic?_count=1000", key} {
			if got := ask(t.Context(), program(1), query); got != "" {
				t.Errorf("%s by itself: %s", query, got)
			}
		}
		if len(b.walks.by) != 0 {
			t.Errorf("walks that have ended count: %v", b.walks.by)
		}
		for range walksAtOne {
			if !b.walks.begin(1) {
				t.Fatal("nobody walks yet")
			}
		}
		for _, c := range []struct {
			who         db.Scope
			query, want string
		}{
			{program(1), walk, "throttled"}, {program(1), walk + "&_total=accurate", "throttled"}, {program(1), key, ""}, {program(1), "Basic", ""}, {program(1), "Basic?_count=1000", ""},
			{program(2), walk, ""}, {system(1), walk, ""},
		} {
			if got := ask(t.Context(), c.who, c.query); got != c.want {
				t.Errorf("%s while others walk: %q, want %q", c.query, got, c.want)
			}
		}
		b.walks.end(1)
		if got := ask(t.Context(), program(1), walk); got != "" {
			t.Errorf("when one is done: %s", got)
		}
		b.walks.end(1)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if got := ask(ended, program(1), walk); got != context.Canceled.Error() {
			t.Errorf("nobody asks any more: %q", got)
		}
		b.searchFor = time.Nanosecond
		for _, query := range []string{walk, walk + "&_total=accurate", key} {
			if got := ask(t.Context(), program(1), query); got != "too-costly" {
				t.Errorf("%s takes too long: %q", query, got)
			}
			if got := ask(t.Context(), system(1), query); got != "" {
				t.Errorf("%s for the server itself: %q", query, got)
			}
		}
		b.searchFor = searchFor
		if got := ask(t.Context(), program(1), walk); got != "" || len(b.walks.by) != 0 {
			t.Errorf("afterwards: %q %v", got, b.walks.by)
		}
	})
}
