package db

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/puddle/v2"

	"yarrow.health/internal/base/clock"
)

// pgWriter lets the short transactions of a practice in this process share one transaction of PostgreSQL. There are no
// savepoints: when one member cannot be kept, nothing is, and all are run again, that one by itself.
type pgWriter struct {
	b     *postgresBackend
	p     PracticeID
	baton baton
}

// pgShare is the transaction a batch shares. Only the holder of the baton touches it.
type pgShare struct {
	res     *puddle.Resource[*pgConn]
	s       *pgSession
	spoiler *Tx // whose fault it is that nothing is kept; nil: nobody's
}

// shareTime bounds how long a batch may take, the wait for its commit included. No member's context ends it, since it is not that
// member's alone.
const shareTime = 15 * time.Second

// joins is how often a transaction may find itself in a batch that others spoil before it is run by itself.
const joins = 3

// spoiled says that a batch left nothing behind and its members are to be run again.
type spoiled struct {
	by    *Tx
	cause error
}

func (*spoiled) Error() string { return "db: the shared transaction was taken back" }

func (b *postgresBackend) writer(p PracticeID) *pgWriter {
	w, ok := b.writers.Load(p)
	if !ok {
		w, _ = b.writers.LoadOrStore(p, &pgWriter{b: b, p: p})
	}
	return w.(*pgWriter)
}

// join runs fn as a member of a batch, and by itself when that does not do.
func (b *postgresBackend) join(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	if err := b.fits(ctx, tx.Practice()); err != nil {
		return err
	}
	w := b.writer(tx.Practice())
	for range joins {
		err := w.do(ctx, tx, fn)
		var s *spoiled
		if !errors.As(err, &s) {
			return err
		}
		if s.by == tx {
			tx.again = isRetry(s.cause)
			break
		}
	}
	return b.alone(ctx, tx, fn)
}

// do runs fn as a member of a batch and returns when the batch is durable.
func (w *pgWriter) do(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	b, err := w.baton.take(ctx, w.commit, tx.wants...)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // fn panicked or called Goexit
			tx.done = true
			w.left(b, tx, errors.New("db: a transaction ended without an answer"))
			w.baton.pass(b, w.commit)
		}
	}()
	err = w.member(ctx, b, tx, fn)
	returned = true
	w.baton.pass(b, w.commit)
	// What fn refused, it refused for what it saw, which may be the work of another member.
	<-b.done
	if b.err != nil {
		return b.err
	}
	return err
}

func (w *pgWriter) member(ctx context.Context, b *batch, tx *Tx, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.pg == nil {
		pool := w.b.pool(w.p)
		res, err := pool.acquire(ctx)
		if err != nil {
			return err
		}
		conn := res.Value()
		_ = conn.c.Conn().SetDeadline(clock.System().Now().Add(shareTime)) // fails where the connection does
		b.begun = true
		b.pg = &pgShare{res: res, s: &pgSession{conn: conn, pipe: conn.c.StartPipeline(context.Background()), practice: w.p, local: w.b.citus, shared: true, line: &w.baton}}
	}
	b.members++
	s := b.pg.s
	s.by, s.wrote = tx, false
	tx.start(s)
	err := tx.finish(fn(tx))
	if b.since.IsZero() {
		// What the first reads, it mostly reads for the others: a slow answer is no reason to let fewer of them join.
		b.since = clock.System().Now()
	}
	w.left(b, tx, err)
	return err
}

// left looks what a member that ended with err leaves to the next: an open answer is closed, and what cannot be kept spoils the batch.
func (w *pgWriter) left(b *batch, tx *Tx, err error) {
	if b.pg == nil || b.lost != nil {
		return
	}
	s := b.pg.s
	if s.rows != nil {
		s.rows.discard()
	}
	switch {
	case s.failed != nil:
		b.lost, b.pg.spoiler = s.failed, s.culprit
	case err != nil && s.wrote:
		b.lost, b.pg.spoiler = err, tx
	}
}

// commit ends a batch and decides what its members are told.
func (w *pgWriter) commit(b *batch) {
	defer close(b.done)
	share := b.pg
	if share == nil {
		return
	}
	s := share.s
	sent := false
	if b.lost == nil {
		b.lost = s.commit()
		sent = s.culprit == nil || isLost(b.lost)
		share.spoiler = s.culprit // of a queued statement: the server skipped the COMMIT behind it
	}
	if b.lost != nil {
		s.rollback()
	}
	if s.pipe.Close() != nil && b.lost == nil {
		s.conn.cut = true // the commit was answered; what came after it does not concern its members
	}
	_ = s.conn.c.Conn().SetDeadline(time.Time{})
	w.b.pool(w.p).release(share.res)
	if b.lost != nil {
		b.err = share.verdict(b.lost, sent)
	}
}

// verdict is the answer to all members of a batch that failed with err. Nothing is run again once the COMMIT was sent, unless the
// server said that it did not take place.
func (p *pgShare) verdict(err error, sent bool) error {
	switch {
	case sent && isLost(err):
		return lostConnection(err)
	case sent && !isRetry(err):
		return notStored(err)
	}
	return &spoiled{by: p.spoiler, cause: err}
}
