package db

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// liteReaders are a practice's reading connections, opened when needed. More of them than processors only take
// turns, so their number is bounded.
type liteReaders struct {
	open  func() (*liteConn, error)
	slots chan struct{}

	mu   sync.Mutex
	idle []*liteConn
}

func (r *liteReaders) view(ctx context.Context, tx *Tx, fn func(*Tx) error) (err error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.slots }()
	conn, err := r.take()
	if err != nil {
		return err
	}
	healthy := false
	defer func() {
		conn.endRows()
		conn.watched = nil
		conn.c.SetInterrupt(context.Background())
		if e := conn.control("ROLLBACK"); e != nil {
			healthy = false
		}
		r.give(conn, healthy)
	}()
	if err := conn.control("BEGIN"); err != nil {
		return fmt.Errorf("db: BEGIN: %w", err)
	}
	conn.c.SetInterrupt(ctx)
	conn.watched = ctx
	tx.start(conn)
	defer func() { tx.done = true }()
	err = tx.finish(fn(tx))
	healthy = err == nil || !isStorage(err) && !isDamaged(err)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (r *liteReaders) take() (*liteConn, error) {
	r.mu.Lock()
	if n := len(r.idle); n > 0 {
		conn := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.mu.Unlock()
		return conn, nil
	}
	r.mu.Unlock()
	return r.open()
}

func (r *liteReaders) give(conn *liteConn, healthy bool) {
	if !healthy {
		_ = conn.close()
		return
	}
	r.mu.Lock()
	r.idle = append(r.idle, conn)
	r.mu.Unlock()
}

func (r *liteReaders) close() {
	for _, conn := range r.shrink(0) {
		_ = conn.close()
	}
}

// count is how many wait to be used.
func (r *liteReaders) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.idle)
}

// shrink takes those that wait away, for the caller to close, and leaves so many. The one used last stays longest.
func (r *liteReaders) shrink(leave int) []*liteConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := max(0, len(r.idle)-leave)
	out := slices.Clone(r.idle[:n])
	r.idle = slices.Delete(r.idle, 0, n)
	return out
}
