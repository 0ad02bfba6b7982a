package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// news gives what a listener is told now.
func (b *bench) news(l *Listener, s db.Scope) []string {
	b.t.Helper()
	types, seqs, err := l.Next(b.t.Context(), s)
	if err != nil || len(types) != len(seqs) || !slices.IsSorted(seqs) {
		b.t.Fatalf("%v %v %v", types, seqs, err)
	}
	return types
}

func (b *bench) listen(s db.Scope, after int64) *Listener {
	b.t.Helper()
	l, err := b.Listen(b.t.Context(), s, after)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(l.Close)
	return l
}

const task = `{"resourceType":"Task","id":"t","status":"requested","intent":"order"}`

// A screen hears of a type when something of it has changed that its person may see, and of nothing else.
func TestNewsAreJudged(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.Labels = auth.Sensitivity
		sees := map[string]auth.Bits{"Patient": auth.CanRead, "Observation": auth.CanRead, "Condition": auth.CanRead}
		scopes := map[string]db.Scope{
			"all":      system(1),
			"careful":  auth.AsApp(1, auth.Access{Types: sees, Forbidden: auth.LabelPsychotherapy}),
			"shut out": auth.AsApp(1, auth.Access{Types: sees, Charts: map[string]auth.ChartRule{"ann": {Closed: true}}}),
			"bob":      auth.AsApp(1, auth.Access{Types: sees, Compartment: "Patient/bob"}),
			"vitals":   auth.AsApp(1, auth.Access{Types: sees, Narrow: map[string][]auth.Narrowing{"Observation": {{Params: "status=final", Bits: auth.CanRead}}}}),
			"nobody":   auth.AsApp(1, auth.Access{}),
			"next":     system(2),
		}
		b.put(`{"resourceType":"Patient","id":"ann"}`, `{"resourceType":"Patient","id":"bob"}`)
		open := map[string]*Listener{}
		for name, s := range scopes {
			open[name] = b.listen(s, -1)
		}
		check := func(when string, want map[string][]string) {
			t.Helper()
			for name, l := range open {
				if got := b.news(l, scopes[name]); !slices.Equal(got, want[name]) {
					t.Errorf("%s: %s hears %v, not %v", when, name, got, want[name])
				}
			}
		}
		check("nothing has happened", nil)
		o := []string{"Observation"}
		secret := `{"resourceType":"Observation","id":"s","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"}}`
		b.put(secret)
		check("a labelled change", map[string][]string{"all": o, "vitals": o})
		b.put(`{"resourceType":"Observation","id":"o","status":"preliminary","code":{"text":"x"},"subject":{"reference":"Patient/bob"}}`, `{"resourceType":"Observation","id":"p","status":"preliminary","code":{"text":"x"},"subject":{"reference":"Patient/bob"}}`)
		check("two changes, not final", map[string][]string{"all": o, "careful": o, "shut out": o, "bob": o})
		b.put(task, `{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/bob"}}`)
		c := []string{"Condition"}
		check("other types", map[string][]string{"all": {"Task", "Condition"}, "careful": c, "shut out": c, "bob": c, "vitals": c})
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Condition", "c", 0) })
		check("a deletion", map[string][]string{"all": c, "careful": c, "shut out": c, "bob": c, "vitals": c})
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Observation", "s", 0) })
		check("a labelled deletion", map[string][]string{"all": o, "vitals": o})
	})
}

// A screen that comes back hears what it missed, and one that cannot follow that it missed much.
func TestNewsThatWereMissed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		first := b.put(task)[0].Updated.UnixMicro()
		b.put(`{"resourceType":"Patient","id":"ann"}`)
		l := b.listen(system(1), first)
		select {
		case <-l.Ring:
		case <-time.After(5 * time.Second):
			t.Fatal("nobody is woken for what was missed")
		}
		if got := b.news(l, system(1)); !slices.Equal(got, []string{"Patient"}) {
			t.Errorf("%v", got)
		}
		for i := range 3 * newsRounds {
			b.put(fmt.Sprintf(`{"resourceType":"Task","id":"t%d","status":"requested","intent":"order"}`, i))
		}
		l.atOnce = 2
		if got := b.news(l, system(1)); !slices.Equal(got, []string{Missed}) {
			t.Errorf("after much: %v", got)
		}
		if got := b.news(l, system(1)); len(got) != 0 {
			t.Errorf("and after that: %v", got)
		}
	})
}

// What one node writes rings on another within a second, on PostgreSQL, and at once on the same node.
func TestNewsOfOtherNodes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		l := b.listen(system(1), -1)
		writer := b
		if b.d.Engine() == db.PostgreSQL {
			other, err := db.Open(t.Context(), b.d.Options())
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			writer = &bench{New(other, audit.New(other)), b.d, t}
		}
		pr, err := writer.Prepare(t.Context(), []byte(task))
		if err == nil {
			err = writer.db.Do(t.Context(), system(1), func(tx *db.Tx) error {
				_, err := writer.Update(t.Context(), tx, pr, 0)
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		select {
		case <-l.Ring:
			t.Logf("rang after %v", time.Since(began))
		case <-time.After(20 * time.Second):
			t.Fatal("the other node does not ring")
		}
		if got := b.news(l, system(1)); !slices.Equal(got, []string{"Task"}) {
			t.Errorf("%v", got)
		}
	})
}
