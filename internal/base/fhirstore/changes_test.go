package fhirstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"yarrow.health/internal/base/db"
)

// TestChangesMissNothing has many writers at work while listeners follow: each listener must see every write, or a
// later version of the same resource, in the order of the numbers, and never learn of one below where it stood.
func TestChangesMissNothing(t *testing.T) {
	const writers, rounds, listeners = 10, 25, 2
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		var writing, listening sync.WaitGroup
		over := make(chan struct{})
		seen := make([]map[string]int64, listeners)
		for l := range listeners {
			seen[l] = map[string]int64{}
			listening.Go(func() {
				for at, last := int64(0), false; ; {
					var some []*Resource
					next := at
					if err := b.d.View(ctx, system(1), func(tx *db.Tx) (err error) {
						some, next, err = b.Changes(ctx, tx, at, 7)
						return err
					}); err != nil {
						t.Error(err)
						return
					}
					for _, r := range some {
						if r.Updated.UnixMicro() <= at {
							t.Errorf("%s came with %d after %d", r.Reference(), r.Updated.UnixMicro(), at)
						}
						at = r.Updated.UnixMicro()
						seen[l][r.Reference()] = r.Version
					}
					if at = max(at, next); len(some) > 0 {
						continue
					}
					if last {
						return
					}
					select {
					case <-over:
						last = true
					default:
					}
				}
			})
		}
		var mu sync.Mutex
		wrote := map[string]int64{}
		for w := range writers {
			writing.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(w), 3))
				for range rounds {
					var done []*Resource
					err := b.try(system(1), func(ctx context.Context, tx *db.Tx) error {
						done = nil
						for range 1 + rng.IntN(3) {
							id := fmt.Sprintf("n%d", rng.IntN(60))
							p, err := b.Prepare(ctx, fmt.Appendf(nil, `{"resourceType":"Basic","id":%q,"code":{"text":"%d"}}`, id, rng.IntN(1000)))
							if err != nil {
								return err
							}
							r, err := b.Update(ctx, tx, p, 0)
							if err != nil {
								return err
							}
							done = append(done, r)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, r := range done {
						wrote[r.Reference()] = max(wrote[r.Reference()], r.Version)
					}
					mu.Unlock()
				}
			})
		}
		writing.Wait()
		close(over)
		listening.Wait()
		for l := range seen {
			for ref, version := range wrote {
				if seen[l][ref] != version {
					t.Errorf("listener %d saw version %d of %s, which is at %d", l, seen[l][ref], ref, version)
				}
			}
		}
	})
}
