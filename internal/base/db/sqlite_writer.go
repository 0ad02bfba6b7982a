package db

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/clock"
)

// liteWriter lets the transactions of a practice share a commit on its one writing connection.
type liteWriter struct {
	open  func() (*liteConn, error)
	baton baton

	// Only the holder of the baton touches these.
	conn  *liteConn
	spoil bool // the connection met a storage error and is to be replaced
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
	b, err := w.baton.take(ctx, w.commit)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // fn panicked or called Goexit: take its effect back and let the others go on
			tx.done = true
			w.undo(b, tx.err)
			w.baton.pass(b, w.commit)
		}
	}()
	err = w.member(ctx, b, tx, fn)
	returned = true
	w.baton.pass(b, w.commit)
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
