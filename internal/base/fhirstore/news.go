package fhirstore

import (
	"context"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
)

// Listener tells one open screen of which types something has changed, from the same sequence of changes that subscriptions are made
// from, and by the same kernel: a change of what its person may not see does not count. It never says what changed.
type Listener struct {
	Ring <-chan struct{} // wakes it; Next says whether there is anything
	s    *Store
	stop func()

	mu     sync.Mutex
	seq    int64
	atOnce int
}

// Missed stands for types when more has changed than is looked at one by one: whoever hears it looks at everything anew.
const Missed = "missed"

const (
	newsAtOnce = 500
	newsRounds = 4 // of that many changes; a screen does not follow an import one by one
)

// Listen opens a listener for the practice of the scope. after is the last sequence number the screen has heard, negative for from now
// on. Close it when the screen goes.
func (s *Store) Listen(ctx context.Context, scope db.Scope, after int64) (*Listener, error) {
	ring, stop := s.Subscribe(scope.Practice())
	l := &Listener{s: s, seq: after, stop: stop, atOnce: newsAtOnce}
	woken := make(chan struct{}, 1)
	l.Ring = ring
	if after < 0 {
		if err := s.db.View(ctx, scope, func(tx *db.Tx) (err error) {
			l.seq, err = s.LastChange(ctx, tx)
			return err
		}); err != nil {
			stop()
			return nil, err
		}
		return l, nil
	}
	// Whatever came between the screen's last news and now.
	woken <- struct{}{}
	done := make(chan struct{})
	l.stop = sync.OnceFunc(func() { stop(); close(done) })
	go func() {
		for {
			select {
			case <-done:
				return
			case <-ring:
			}
			select {
			case woken <- struct{}{}:
			default:
			}
		}
	}()
	l.Ring = woken
	return l, nil
}

// Close ends the listener.
func (l *Listener) Close() { l.stop() }

// Next gives the types of which something that the scope may see has changed since the last call, each once, with the sequence number
// of the first such change, in the order of these.
func (l *Listener) Next(ctx context.Context, scope db.Scope) (types []string, seqs []int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.seq
	err = l.s.db.View(ctx, scope, func(tx *db.Tx) error {
		at, types, seqs = l.seq, nil, nil
		last, err := l.s.LastChange(ctx, tx)
		if err != nil || last <= at {
			return err
		}
		a := l.s.kernel(tx)
		told := map[int16]bool{}
		for range newsRounds {
			rows, err := scanRows(tx.Query(ctx, selectNews, int64(tx.Practice()), at, int64(l.atOnce)))
			if err != nil {
				return err
			}
			for _, r := range rows {
				at = r.seq
				seen, err := l.tells(ctx, tx, &a, r, told)
				if err != nil {
					return err
				}
				if seen {
					told[r.typ] = true
					types, seqs = append(types, typeName(r.typ)), append(seqs, r.seq)
				}
			}
			if len(rows) < l.atOnce {
				return nil
			}
		}
		at, types, seqs = last, []string{Missed}, []int64{last}
		return nil
	})
	if err == nil {
		l.seq = at
	}
	return types, seqs, err
}

// tells says whether a change is the first of its type that the scope may see.
func (l *Listener) tells(ctx context.Context, tx *db.Tx, a *kernel, r *row, told map[int16]bool) (bool, error) {
	typ := typeName(r.typ)
	if told[r.typ] || a.may(typ, auth.CanRead) != nil {
		return false, nil
	}
	if !r.deleted && a.narrow(typ, auth.CanRead) != nil { // then the body decides
		whole, err := byID(ctx, tx, r.idh)
		if err != nil || whole == nil {
			return false, err
		}
		r = whole
	}
	return a.sees(ctx, tx, r, auth.CanRead)
}

// elsewhereEvery is how often a node looks for what other nodes have written, while somebody on it listens. It is the network's time,
// whatever the practice's is.
const elsewhereEvery = 400 * time.Millisecond

// elsewhere rings for changes that other processes write, until ctx ends. An embedded database has one process.
func (s *Store) elsewhere(ctx context.Context, p db.PracticeID) {
	seen := int64(-1) // the first look rings: what was written since Subscribe is not known here
	for clock.System().Sleep(ctx, elsewhereEvery) == nil {
		var last int64
		if err := s.db.View(ctx, auth.SystemScope(p, "changes"), func(tx *db.Tx) (err error) {
			last, err = s.LastChange(ctx, tx)
			return err
		}); err != nil {
			continue // the database is away: what was missed is seen when it is back
		}
		if last != seen {
			s.bells.ring(p)
		}
		seen = last
	}
}
