package fhirstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"yarrow.health/internal/base/db"
)

// TestJoinedWritesOfTheSameResources: changes that share transactions, and the rows that one reads for others, come out as they would one
// by one. Beside them stand transactions of their own.
func TestJoinedWritesOfTheSameResources(t *testing.T) {
	const workers, rounds, resources = 12, 15, 5
	each(t, func(t *testing.T, b *bench) {
		for i := range resources {
			b.put(fmt.Sprintf(`{"resourceType":"Patient","id":"p%d"}`, i))
		}
		var written [resources]atomic.Int64
		var won atomic.Int64
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for r := range rounds {
					nth := (w + r*r) % resources
					id := fmt.Sprintf("p%d", nth)
					p, err := b.Prepare(t.Context(), fmt.Appendf(nil, `{"resourceType":"Patient","id":"%s","name":[{"family":"N%d"},{"given":["R%d"]}]}`, id, w, r))
					if err != nil {
						t.Error(err)
						return
					}
					run := func(fn func(*db.Tx) error) error { return b.d.Join(t.Context(), system(1), fn, "Patient/"+id) }
					if r%5 == 4 {
						run = func(fn func(*db.Tx) error) error { return b.d.Do(t.Context(), system(1), fn) }
					}
					version := int64(0)
					if r == rounds-1 {
						version = written[nth].Load() + 1 // most of these come too late
					}
					err = run(func(tx *db.Tx) error {
						ctx := t.Context()
						switch {
						case r%7 == 3:
							return b.Delete(ctx, tx, "Patient", id, 0)
						case r%4 == 1:
							n, err := b.PrepareNew(ctx, []byte(`{"resourceType":"Patient","active":true}`))
							if err != nil {
								return err
							}
							_, err = b.Create(ctx, tx, n)
							return err
						}
						_, err := b.Update(ctx, tx, p, version)
						return err
					})
					switch {
					case err == nil && r%7 != 3 && r%4 != 1:
						written[nth].Add(1)
						if version > 0 {
							won.Add(1)
						}
					case err != nil && (version == 0 || code(err) != "conflict"):
						t.Errorf("%s: %v", id, err)
					}
				}
			})
		}
		wg.Wait()
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			for i := range resources {
				h, err := b.History(ctx, tx, "Patient", fmt.Sprintf("p%d", i), 0, 1000)
				if err != nil {
					return err
				}
				updates := int64(0)
				for k, r := range h {
					if r.Version != int64(len(h)-k) {
						t.Errorf("p%d: version %d stands where %d belongs", i, r.Version, len(h)-k)
					}
					if !r.Deleted {
						updates++
					}
				}
				if updates != written[i].Load()+1 {
					t.Errorf("p%d: %d versions, %d acknowledged", i, updates, written[i].Load()+1)
				}
			}
			return nil
		})
		if r := b.check(false); !r.Sound() {
			t.Errorf("%+v", r)
		}
	})
}
