package jobs

import (
	"context"
	"sync"
	"sync/atomic"

	"yarrow.health/internal/base/db"
)

// Feed tells open screens what has just happened in their practice. It is the outbox seen live: a listener that falls behind
// or comes back is served from the outbox by its last sequence number, so nothing is missed and nothing is buffered without bound.
type Feed struct {
	q  *Queue
	mu sync.Mutex
	by map[db.PracticeID]map[*Listener]bool
}

// Listener is one open screen. Ring wakes it; Next gives what is new.
type Listener struct {
	Ring     <-chan struct{}
	ring     chan struct{}
	feed     *Feed
	practice db.PracticeID
	seq      atomic.Int64
}

const feedAtOnce = 100

func newFeed(q *Queue) *Feed { return &Feed{q: q, by: map[db.PracticeID]map[*Listener]bool{}} }

// Feed gives the queue's live feed.
func (q *Queue) Feed() *Feed { return q.feed }

// Listen opens a listener for the practice of the scope. after is the last sequence the screen has seen (its Last-Event-ID);
// negative means from now on. Close it when the screen goes.
func (f *Feed) Listen(ctx context.Context, s db.Scope, after int64) (*Listener, error) {
	if after < 0 {
		if err := f.q.db.View(ctx, s, func(tx *db.Tx) (err error) {
			after, err = lastSeq(ctx, tx)
			return err
		}); err != nil {
			return nil, err
		}
	}
	ring := make(chan struct{}, 1)
	l := &Listener{Ring: ring, ring: ring, feed: f, practice: s.Practice()}
	l.seq.Store(after)
	f.mu.Lock()
	if f.by[l.practice] == nil {
		f.by[l.practice] = map[*Listener]bool{}
	}
	f.by[l.practice][l] = true
	f.mu.Unlock()
	l.wake() // whatever came between the screen's last event and now
	return l, nil
}

// Close ends the listener.
func (l *Listener) Close() {
	l.feed.mu.Lock()
	delete(l.feed.by[l.practice], l)
	if len(l.feed.by[l.practice]) == 0 {
		delete(l.feed.by, l.practice)
	}
	l.feed.mu.Unlock()
}

func (l *Listener) wake() {
	select {
	case l.ring <- struct{}{}:
	default:
	}
}

// Next gives the events after the last ones given, oldest first, a bounded number at a time; more says that it should be
// called again at once. The scope is the listener's own, so a session that has lost its rights reads nothing.
func (l *Listener) Next(ctx context.Context, s db.Scope) (events []Event, more bool, err error) {
	err = l.feed.q.db.View(ctx, s, func(tx *db.Tx) (err error) {
		events, err = eventsAfter(ctx, tx, l.seq.Load(), feedAtOnce)
		return err
	})
	if n := len(events); err == nil && n > 0 {
		l.seq.Store(events[n-1].Seq)
	}
	return events, len(events) == feedAtOnce, err
}

func (f *Feed) tell(p db.PracticeID, e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.by[p] {
		if e.Seq > l.seq.Load() {
			l.wake()
		}
	}
}
