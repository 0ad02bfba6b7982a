package db

import (
	"context"
	"fmt"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
)

// liteWriter lets the transactions of a practice share a commit. There is one writing connection and one baton: who
// holds it runs its fn on its own goroutine and passes it on; the last in the queue commits for all. While the disk
// takes a commit, the next batch gathers.
type liteWriter struct {
	open func() (*liteConn, error)

	mu    sync.Mutex
	held  bool // somebody has the baton
	queue []*turn

	// Only the holder of the baton touches these.
	conn  *liteConn
	spoil bool // the connection met a storage error and is to be replaced
}

type turn struct{ baton chan *batch }

// batch is the transactions of one commit.
type batch struct {
	begun   bool
	since   time.Time // when it began, in the world outside
	members int
	lost    error         // the engine rolled the whole transaction back
	done    chan struct{} // closed when err is decided
	err     error
}

// The first of a batch waits for the last; these bound for how long.
const (
	batchLimit = 128
	batchTime  = 20 * time.Millisecond
)

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// take waits for the baton.
func (w *liteWriter) take(ctx context.Context) (*batch, error) {
	w.mu.Lock()
	if !w.held {
		w.held = true
		w.mu.Unlock()
		return newBatch(), nil
	}
	t := &turn{baton: make(chan *batch, 1)}
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
	w.pass(<-t.baton) // it was on its way
	return nil, ctx.Err()
}

// next takes the first of the queue, or gives the baton up when nobody waits.
func (w *liteWriter) next(giveUp bool) *turn {
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
func (w *liteWriter) pass(b *batch) {
	if b.lost == nil && b.members < batchLimit && (b.members == 0 || clock.System().Since(b.since) < batchTime) {
		if t := w.next(false); t != nil {
			t.baton <- b
			return
		}
	}
	w.commit(b)
	if t := w.next(true); t != nil {
		t.baton <- newBatch()
	}
}

func (w *liteWriter) commit(b *batch) {
	defer close(b.done)
	if b.lost != nil {
		b.err = notStored(b.lost)
	} else if b.begun {
		if err := w.conn.control("COMMIT"); err != nil {
			b.err = notStored(err)
			w.abandon()
		}
	}
	if w.spoil {
		w.reset()
	}
}

// abandon ends the transaction after a storage error and has the connection replaced: what its caches hold may not
// be what the disk holds.
func (w *liteWriter) abandon() {
	if !w.conn.c.GetAutocommit() {
		w.conn.endRows()
		_ = w.conn.control("ROLLBACK") // the error that led here is the one to report
	}
	w.spoil = true
}

func (w *liteWriter) reset() {
	if w.conn != nil {
		_ = w.conn.close()
	}
	w.conn, w.spoil = nil, false
}

// do runs fn as a member of a batch and returns when the batch is durable.
func (w *liteWriter) do(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	b, err := w.take(ctx)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // fn panicked or called Goexit: take its effect back and let the others go on
			tx.done = true
			w.undo(b, tx.err)
			w.pass(b)
		}
	}()
	err = w.member(ctx, b, tx, fn)
	returned = true
	w.pass(b)
	if err != nil {
		return err
	}
	<-b.done
	return b.err
}

// member runs fn inside the batch's transaction. The first member needs no savepoint: undoing it undoes all there is.
func (w *liteWriter) member(ctx context.Context, b *batch, tx *Tx, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.conn == nil {
		conn, err := w.open()
		if err != nil {
			return err
		}
		w.conn = conn
	}
	start := "SAVEPOINT member"
	if !b.begun {
		start = "BEGIN IMMEDIATE"
	}
	if err := w.conn.control(start); err != nil {
		return w.storage(b, fmt.Errorf("db: %s: %w", start, err))
	}
	if !b.begun {
		b.begun, b.since = true, clock.System().Now()
	}
	b.members++
	tx.start(w.conn)
	err := tx.finish(fn(tx))
	w.conn.endRows()
	if err != nil {
		w.undo(b, err)
		if isStorage(err) {
			err = notStored(err)
		}
		return err
	}
	if b.members > 1 {
		if err := w.conn.control("RELEASE member"); err != nil {
			return w.storage(b, err)
		}
	}
	return nil
}

// storage notes an error of the engine itself, outside any member's statements.
func (w *liteWriter) storage(b *batch, err error) error {
	if b.begun {
		b.lost = err
		w.abandon()
	}
	w.spoil = true
	return notStored(err)
}

// undo takes back what the running member did. Some errors, such as a full disk, make SQLite roll back the whole
// transaction; then nobody in the batch may be told that its effect is saved.
func (w *liteWriter) undo(b *batch, cause error) {
	if w.conn == nil || !b.begun {
		return
	}
	w.conn.endRows()
	var err error
	switch {
	case w.conn.c.GetAutocommit():
		err = cause
		if b.members == 1 { // nobody else lost anything
			b.begun, b.members = false, 0
			w.spoil = w.spoil || isStorage(cause)
			return
		}
	case b.members == 1:
		err = w.conn.control("ROLLBACK")
		b.begun, b.members = false, 0
	default:
		err = w.conn.control("ROLLBACK TO member")
		if err == nil {
			err = w.conn.control("RELEASE member")
		}
		if err == nil && isStorage(cause) {
			w.spoil = true
		}
	}
	if err != nil {
		b.lost = err
		w.abandon()
	}
}
