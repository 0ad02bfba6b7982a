package db

import (
	"context"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
)

// baton has the transactions of a practice run one after another and share commits: who holds it runs its fn on its
// own goroutine and passes it on; the last in the queue commits for all. While a commit is under way, the next batch
// gathers.
type baton struct {
	mu    sync.Mutex
	held  bool // somebody has the baton
	queue []*turn
}

type turn struct {
	baton chan *batch
	wants []string // see DB.Join
}

// batch is the transactions of one commit.
type batch struct {
	begun   bool
	since   time.Time // from when on batchTime counts, in the world outside
	members int
	lost    error         // nothing of it can be kept
	done    chan struct{} // closed when err is decided
	err     error

	pg *pgShare // on PostgreSQL, once it began
}

// The first of a batch waits for the last; these bound for how long.
const batchLimit = 128

var batchTime = 20 * time.Millisecond // tests change it

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// wanted is what those who stand in line will ask for, as far as they said so.
func (w *baton) wanted() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.queue[:min(len(w.queue), batchLimit)] {
		out = append(out, t.wants...)
	}
	return out
}

// take waits for the baton. commit ends a batch, should it come to that here.
func (w *baton) take(ctx context.Context, commit func(*batch), wants ...string) (*batch, error) {
	w.mu.Lock()
	if !w.held {
		w.held = true
		w.mu.Unlock()
		return newBatch(), nil
	}
	t := &turn{baton: make(chan *batch, 1), wants: wants}
	w.queue = append(w.queue, t)
	w.mu.Unlock()
	select {
	case b := <-t.baton:
		return b, nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	for i, other := range w.queue {
		if other == t {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			w.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	w.mu.Unlock()
	w.pass(<-t.baton, commit) // it was on its way
	return nil, ctx.Err()
}

// next takes the first of the queue, or gives the baton up when nobody waits.
func (w *baton) next(giveUp bool) *turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		if giveUp {
			w.held = false
		}
		return nil
	}
	t := w.queue[0]
	w.queue = w.queue[1:]
	return t
}

// pass hands the baton to the next in the queue; if there is none, or the batch is full or lost, it commits first.
func (w *baton) pass(b *batch, commit func(*batch)) {
	if b.lost == nil && b.members < batchLimit && (b.members == 0 || clock.System().Since(b.since) < batchTime) {
		if t := w.next(false); t != nil {
			t.baton <- b
			return
		}
	}
	commit(b)
	if t := w.next(true); t != nil {
		t.baton <- newBatch()
	}
}
