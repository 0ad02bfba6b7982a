package fhirstore

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

// TestTwoProcessesNumber has two stores, as two processes have them, write to one practice at once: each claims numbers by what it
// knows, which the other makes untrue all the time. No number comes twice, and nothing is lost.
func TestTwoProcessesNumber(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.Store, New(b.d.DB, audit.New(b.d.DB))}
		var mu sync.Mutex
		seqs := map[int64]string{}
		const writers, rounds = 6, 12
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				s := stores[w%2]
				for r := range rounds {
					id := fmt.Sprintf("w%d-%d", w, r)
					var out *Resource
					p, err := s.Prepare(t.Context(), []byte(`{"resourceType":"Patient","id":"`+id+`"}`))
					if err == nil {
						err = b.try(system(1), func(ctx context.Context, tx *db.Tx) (err error) {
							out, err = s.Update(ctx, tx, p, 0)
							return err
						})
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if other := seqs[out.Updated.UnixMicro()]; other != "" {
						t.Errorf("%s and %s have the same number", id, other)
					}
					seqs[out.Updated.UnixMicro()] = id
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if r := b.check(false); !r.Sound() || len(seqs) != writers*rounds {
			t.Errorf("%d of %d are there: %+v", len(seqs), writers*rounds, r)
		}
	})
}
