package db

import (
	"context"
	"sync"
	"time"
)

// Crowded says that the transaction now holds a row that every other writer of the practice waits for. On PostgreSQL
// it then commits without waiting for the disk while others wait, which gives the row up, and Do waits afterwards for
// one flush shared with those others: still nothing is acknowledged before it is durable, and whoever builds on what
// it wrote writes behind it into the same log. mark is a statement with the parameters practice and a negative number
// that writes some row of the practice; its own durable commit is the flush.
//
// On SQLite transactions share their commits anyway.
//
// alone says that no other writer of this process is at the row, so that what it knows of the row holds.
func (tx *Tx) Crowded(mark *Stmt) (alone bool) {
	tx.crowded = mark
	s, ok := tx.sess.(*pgSession)
	if !ok {
		return true
	}
	if s.turn == nil && !tx.done && tx.err == nil {
		s.turn, s.alone = tx.db.backend.(*postgresBackend).flushes.turn(tx.Practice(), s.push)
	}
	return s.alone
}

// turnWait bounds how long a writer waits for its turn. The row decides who is next, in whatever process; to wait here first
// spares the server the crowd before it, and lets a writer know what the row holds. It is longer than boundWait, so that one who has
// the turn and wants what another holds gives up first, and longer than many commits on a busy machine: who goes on without the turn
// makes those who have it do their work again.
const turnWait = 700 * time.Millisecond

// turn waits until no other writer of this process is at the crowded row of the practice, or for turnWait, and returns what gives
// the turn up. wait is called when somebody else has it.
func (f *flushes) turn(p PracticeID, wait func()) (done func(), alone bool) {
	f.mu.Lock()
	if f.turns == nil {
		f.turns = map[PracticeID]chan struct{}{}
	}
	turns := f.turns[p]
	if turns == nil {
		turns = make(chan struct{}, 1)
		f.turns[p] = turns
	}
	f.mu.Unlock()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, true
	default:
	}
	wait()
	ctx, cancel := context.WithTimeout(context.Background(), turnWait)
	defer cancel()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, true
	case <-ctx.Done():
		return func() {}, false
	}
}

// Hurried is for a transaction that wants further rows after Crowded: whoever has such a row is most likely waiting
// for the crowded one. It bounds the wait, after which the transaction is run again; the server itself would notice the
// deadlock a second later. A transaction that is run again does well to take the crowded row first: see Again.
func (tx *Tx) Hurried() {
	if tx.db.engine == PostgreSQL && tx.crowded != nil {
		tx.Queue(boundWait)
	}
}

var boundWait = SQLPair(`SELECT 1`, `SET LOCAL lock_timeout = '40ms'`)

// Again says that an earlier run of the transaction met a deadlock or a serialization failure.
func (tx *Tx) Again() bool { return tx.again }

// flushes are the shared flushes of the practices of this process.
type flushes struct {
	mu      sync.Mutex
	writers map[PracticeID]int       // transactions under way
	by      map[PracticeID]*flushing // practices that are being flushed
	turns   map[PracticeID]chan struct{}
}

type flushing struct {
	next *flushRound // those who wait for the next flush; nil for nobody
}

type flushRound struct {
	done chan struct{}
	err  error
}

// enter counts a writer in until leave is called.
func (f *flushes) enter(p PracticeID) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writers == nil {
		f.writers = map[PracticeID]int{}
	}
	f.writers[p]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.writers[p]--; f.writers[p] == 0 {
			delete(f.writers, p)
		}
	}
}

// fewWriters wait for the disk one after another in less time than two commits take.
const fewWriters = 3

// crowd says whether so many write to a practice that they should share flushes.
func (f *flushes) crowd(p PracticeID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writers[p] > fewWriters
}

// wait returns when a flush that began after the call is done. run makes one.
func (f *flushes) wait(p PracticeID, run func() error) error {
	f.mu.Lock()
	if f.by == nil {
		f.by = map[PracticeID]*flushing{}
	}
	under := f.by[p]
	first := under == nil
	if first {
		under = &flushing{}
		f.by[p] = under
	}
	if under.next == nil {
		under.next = &flushRound{done: make(chan struct{})}
	}
	mine := under.next
	f.mu.Unlock()
	if first {
		go f.rounds(p, under, run)
	}
	<-mine.done
	return mine.err
}

// rounds flushes as long as somebody waits.
func (f *flushes) rounds(p PracticeID, under *flushing, run func() error) {
	for {
		f.mu.Lock()
		round := under.next
		under.next = nil
		if round == nil {
			delete(f.by, p)
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		round.err = run()
		close(round.done)
	}
}

// flush makes everything that this practice has committed durable.
func (b *postgresBackend) flush(tx *Tx) error {
	mark, scope := tx.crowded, ownScope{NewSeal(tx.Practice(), Actor{Kind: "system"})}
	return b.flushes.wait(tx.Practice(), func() error {
		// The waiting caller's context must not end the flush of the others.
		own := &Tx{db: b.db, scope: scope, keys: tx.keys, write: true}
		return b.once(context.Background(), own, func(own *Tx) error {
			own.Queue(mark, int64(own.Practice()), b.flushSlot)
			return nil
		})
	})
}
