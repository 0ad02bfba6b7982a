package db

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"yarrow.health/internal/base/clock"
)

// pgGlances lets the single statements that many read with at the same time share a round trip. One of them takes all who stand in line
// along: the server then answers them in one go, where each by itself would wake a process there, and a thread here, for a few
// microseconds of work. While a trip is under way, the next one gathers. All of a trip are of one practice.
type pgGlances struct {
	b *postgresBackend
	p PracticeID

	mu   sync.Mutex
	away int // trips under way
	line []*glance
	pace time.Duration // what a statement takes, of late
}

// Trips that are under way at the same time, each on a connection of its own: enough that no processor waits, here or there. Where
// statements are slow, because they wait for a disk or for a processor, they do so side by side.
var (
	glanceTrips = max(2, runtime.GOMAXPROCS(0))
	slowTrips   = max(8, 4*runtime.GOMAXPROCS(0))
)

const (
	glanceLimit = 32                   // statements of a trip
	tripAim     = 4 * time.Millisecond // what a trip is to take
	slowPace    = time.Millisecond     // of a statement; in memory it takes a twentieth
	tripTime    = 15 * time.Second     // bounds a trip: no single reader's context ends it
)

// trips is how many may be under way.
func (g *pgGlances) trips() int {
	if g.pace > slowPace {
		return slowTrips
	}
	return glanceTrips
}

// room is how many statements a trip may have.
func (g *pgGlances) room() int {
	return max(1, min(glanceLimit, int(tripAim/max(g.pace, time.Microsecond))))
}

// glance is one statement and its answer.
type glance struct {
	st     *Stmt
	params params
	turn   chan bool // true: lead a trip; false: the answer is there

	fields []pgconn.FieldDescription
	kept   *rowKeeper
	err    error
}

// errApart says that the statement is to be carried out by itself, for what happened to those it travelled with.
var errApart = errors.New("db: the shared round trip did not answer")

func (b *postgresBackend) glances(p PracticeID) *pgGlances {
	g, ok := b.looks.Load(p)
	if !ok {
		g, _ = b.looks.LoadOrStore(p, &pgGlances{b: b, p: p})
	}
	return g.(*pgGlances)
}

// glance runs fn, whose statements travel with those of others.
func (b *postgresBackend) glance(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	if err := b.fits(ctx, tx.Practice()); err != nil {
		return err
	}
	defer func() { tx.done = true }() // also when fn panics or calls Goexit
	tx.start(&pgTraveller{b.glances(tx.Practice()), tx})
	err := tx.finish(fn(tx))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case isLost(err):
		return lostConnection(err)
	}
	return err
}

// pgTraveller is the session of a Glance.
type pgTraveller struct {
	g  *pgGlances
	tx *Tx
}

func (t *pgTraveller) query(ctx context.Context, st *Stmt, args []any) (cursor, error) {
	q, err := t.g.ask(ctx, st, args, t.tx.apart)
	if err != nil {
		return nil, err
	}
	return &pgCursor{fields: q.fields, rest: q.kept.rows, kept: q.kept}, nil
}

// A Glance does not write: Tx.usable sees to it.
func (t *pgTraveller) exec(context.Context, *Stmt, []any) (int64, error)  { return 0, ErrReadOnly }
func (t *pgTraveller) queue(context.Context, *Stmt, []any) error          { return ErrReadOnly }
func (t *pgTraveller) insertMany(context.Context, *Insert, [][]any) error { return ErrReadOnly }

// ask carries out a statement together with those of others, and by itself when it is to be or that does not do.
func (g *pgGlances) ask(ctx context.Context, st *Stmt, args []any, apart bool) (*glance, error) {
	p, err := encodeParams(args)
	if err != nil {
		return nil, err
	}
	q := &glance{st: st, params: p, err: errApart}
	if !apart {
		if err := g.together(ctx, q); err != nil {
			return nil, err
		}
	}
	if q.err == errApart {
		defer g.b.readers.place(ctx)()
		g.carry(ctx, []*glance{q})
	}
	return q, q.err
}

// together has a statement travel with those of others, or lead a trip when there is a way free. An error is that of ctx.
func (g *pgGlances) together(ctx context.Context, q *glance) error {
	g.mu.Lock()
	if g.away < g.trips() {
		g.away++
		g.mu.Unlock()
		g.lead(ctx, q)
		return nil
	}
	q.turn = make(chan bool, 1)
	g.line = append(g.line, q)
	g.mu.Unlock()
	select {
	case first := <-q.turn:
		if first {
			g.lead(ctx, q)
		}
		return nil
	case <-ctx.Done():
		g.leave(q)
		return ctx.Err()
	}
}

// leave takes one who does not wait any longer out of the line. Should it have been told to lead, the next one does so.
func (g *pgGlances) leave(q *glance) {
	g.mu.Lock()
	at := slices.Index(g.line, q)
	if at >= 0 {
		g.line = slices.Delete(g.line, at, at+1)
	}
	g.mu.Unlock()
	if at < 0 {
		go func() { // it travels with others, who tell it at the end
			if <-q.turn {
				g.next()
			}
		}()
	}
}

// next ends a trip, and has those who are first in line lead what trips there may be.
func (g *pgGlances) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away--
	lead := max(0, min(len(g.line), g.trips()-g.away))
	for _, first := range g.line[:lead] {
		first.turn <- true
	}
	g.away += lead
	g.line = slices.Delete(g.line, 0, lead)
}

// lead makes a trip with first and those who stand in line.
func (g *pgGlances) lead(ctx context.Context, first *glance) {
	g.mu.Lock()
	n := min(len(g.line), g.room()-1)
	trip := append(append(make([]*glance, 0, n+1), first), g.line[:n]...)
	g.line = slices.Delete(g.line, 0, n)
	g.mu.Unlock()
	defer g.next()
	from := clock.System().Now()
	g.carry(ctx, trip)
	took := clock.System().Since(from) / time.Duration(len(trip))
	g.mu.Lock()
	g.pace += (took - g.pace) / 8
	g.mu.Unlock()
}

// carry sends the statements of a trip and reads the answers. Of a trip of several nothing is known of the first that fails and of those
// behind it: they are told errApart.
func (g *pgGlances) carry(ctx context.Context, trip []*glance) {
	answered := 0
	var err error
	defer func() {
		for i, q := range trip[answered:] {
			if q.err = err; len(trip) > 1 {
				q.err = errApart
			}
			if answered+i > 0 {
				q.turn <- false
			}
		}
	}()
	pool := g.b.pool(g.p)
	res, err := pool.acquire(ctx)
	if err != nil {
		return
	}
	defer pool.release(res)
	conn := res.Value()
	stop := func() bool { return true }
	if len(trip) == 1 {
		stop = context.AfterFunc(ctx, func() { _ = conn.c.Conn().SetDeadline(time.Unix(1, 0)) })
	} else {
		_ = conn.c.Conn().SetDeadline(clock.System().Now().Add(tripTime)) // fails where the connection does
	}
	s := &pgSession{conn: conn, pipe: conn.c.StartPipeline(context.Background()), practice: g.p, readOnly: true, glance: true}
	defer func() {
		if !stop() || s.pipe.Close() != nil {
			conn.cut = true
			_ = conn.c.Conn().Close()
		} else if len(trip) > 1 {
			_ = conn.c.Conn().SetDeadline(time.Time{})
		}
	}()
	s.begin()
	places := make([]int, len(trip)) // of their answers among all that are due
	for i, q := range trip {
		s.sendParams(q.st, q.params)
		places[i] = len(s.pending) - 1
	}
	due := len(s.pending)
	if err = s.sync(); err != nil {
		return
	}
	for i, q := range trip {
		if err = s.settle(due - places[i]); err != nil {
			return
		}
		if q.fields, q.kept, err = s.rowsNow(); err != nil {
			return
		}
		q.err = nil
		if answered++; i > 0 {
			q.turn <- false
		}
	}
	s.drain()
}

// rowsNow reads the answer that is due into memory.
func (s *pgSession) rowsNow() (fields []pgconn.FieldDescription, kept *rowKeeper, err error) {
	res, err := s.pipe.GetResults()
	if err != nil {
		return nil, nil, s.fail(err)
	}
	r, ok := res.(*pgconn.ResultReader)
	if !ok {
		return nil, nil, s.fail(fmt.Errorf("db: unexpected answer %T from PostgreSQL", res))
	}
	s.pending = s.pending[1:]
	fields = slices.Clone(r.FieldDescriptions()) // they are described in a buffer that is used again
	kept = rowKeepers.Get().(*rowKeeper)
	for r.NextRow() {
		kept.add(r.Values())
	}
	if _, err := r.Close(); err != nil {
		return nil, nil, s.fail(err)
	}
	return fields, kept, nil
}
