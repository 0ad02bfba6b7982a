package main

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/simulate"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// TestTheDemonstrationGoesOn opens a demonstration again on later days: its waiting room is alive, what was planned has been kept,
// and what people changed stays.
func TestTheDemonstrationGoesOn(t *testing.T) {
	ctx := t.Context()
	out := &output{text: io.Discard, errs: io.Discard, log: slog.New(slog.DiscardHandler)}
	data := filepath.Join(t.TempDir(), "demo")
	g, err := place{Data: data}.open(ctx, out, who{Demo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	id, err := g.auth.AddPractice(ctx, demoSlug, "Demo")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Date(2026, 3, 5, 15, 0, 0, 0, time.UTC) // a Thursday
	w := simulate.Plan(1, begun, 90)
	f := &demoFile{Seed: 1, Size: 90, Planned: begun, Day: w.Now.Format(time.DateOnly), path: filepath.Join(data, "demo.json")}
	c := clock.NewManual(begun)
	load := demoLoad{db: g.db, store: g.store, clock: c, scope: auth.SystemScope(id, "test"), file: f}
	for _, part := range []func(func(simulate.Bundle) bool){w.First(), w.Rest()} {
		for b := range part {
			if err := load.put(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(day time.Time) (n map[string]int, first string) {
		n = map[string]int{}
		midnight := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, w.Zone)
		err := g.db.View(ctx, load.scope, func(tx *db.Tx) error {
			all, err := g.store.Find(ctx, tx, "Appointment", "date", "ge"+midnight.Format(time.RFC3339), "date", "lt"+midnight.AddDate(0, 0, 1).Format(time.RFC3339))
			if err != nil {
				return err
			}
			for _, r := range all {
				a, err := fhirstore.Get[fhir.Appointment](r)
				if err != nil {
					return err
				}
				if len(a.Participant) < 3 {
					continue // not a patient's
				}
				visits, err := g.store.Find(ctx, tx, "Encounter", "appointment", "Appointment/"+a.Id)
				if err != nil {
					return err
				}
				if came := a.Status == "arrived" || a.Status == "checked-in" || a.Status == "fulfilled"; came != (len(visits) == 1) {
					t.Errorf("%s: %s with %d visits", day.Format(time.DateOnly), a.Status, len(visits))
				}
				n[a.Status]++
				if first == "" && a.Status == "booked" {
					first = a.Id
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, first
	}
	// Somebody cancels a booking of one of the next days.
	next, touched := begun, ""
	for touched == "" {
		next = next.AddDate(0, 0, 1)
		_, touched = count(next)
	}
	err = g.db.Do(ctx, load.scope, func(tx *db.Tx) error {
		old, err := g.store.Read(ctx, tx, "Appointment", touched)
		if err != nil {
			return err
		}
		n := old.Node().Clone()
		n.Set("status", fhirjson.NewString("cancelled"))
		p, err := g.store.PrepareNode(ctx, &n)
		if err == nil {
			_, err = g.store.Update(ctx, tx, p, old.Version)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := load.today(ctx, w); err != nil || f.Day != "2026-03-05" {
		t.Fatalf("the same day: %v %s", err, f.Day)
	}
	for _, at := range []time.Time{next, next.AddDate(0, 0, 9).Add(8 * time.Hour), next.AddDate(0, 0, 60)} {
		c.Set(at)
		if err := load.today(ctx, w); err != nil {
			t.Fatal(at, err)
		}
		n, _ := count(at.In(w.Zone))
		total := 0
		for _, k := range n {
			total += k
		}
		if n["arrived"]+n["checked-in"] < 2 || total < 10 || f.Day != at.In(w.Zone).Format(time.DateOnly) {
			t.Errorf("%s: %v, filled for %s", at.In(w.Zone), n, f.Day)
		}
		if err := load.today(ctx, w); err != nil {
			t.Fatal(err)
		}
		if again, _ := count(at.In(w.Zone)); len(again) != len(n) || again["arrived"] != n["arrived"] {
			t.Errorf("opened twice: %v, then %v", n, again)
		}
	}
	kept := 0
	for d := 1; d < 9; d++ { // when nobody looked
		n, _ := count(next.AddDate(0, 0, d))
		kept += n["fulfilled"]
		if n["booked"] > 0 {
			t.Errorf("a day gone by: %v", n)
		}
	}
	if kept == 0 {
		t.Error("nobody came while nobody looked")
	}
	if n, _ := count(next); n["cancelled"] < 1 {
		t.Errorf("the cancelled visit came back: %v", n)
	}
}
