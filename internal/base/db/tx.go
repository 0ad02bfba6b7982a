package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"yarrow.health/internal/base/keys"
)

// Tx is one transaction on one practice. It belongs to the goroutine that runs fn and ends with fn.
type Tx struct {
	db     *DB
	scope  Scope
	keys   *keys.Practice
	sess   session
	now    time.Time
	write  bool
	glance bool
	done   bool
	err    error // the first failure: the transaction is lost
	commit []func()
	kept   map[any]any

	apart bool // see Apart

	joins bool // see DB.Join
	wants []string
	again bool
}

// session is what an engine does for a Tx. Arguments have passed canonical.
type session interface {
	exec(ctx context.Context, s *Stmt, args []any) (int64, error)
	// queue and insertMany may put the work off; its failure then comes out of the next call or of flush.
	queue(ctx context.Context, s *Stmt, args []any) error
	insertMany(ctx context.Context, ins *Insert, rows [][]any) error
	query(ctx context.Context, s *Stmt, args []any) (cursor, error)
}

// Errors of misuse. They are faults of the program, not of its user.
var (
	ErrReadOnly = errors.New("db: a View may not write")
	ErrDone     = errors.New("db: the transaction has ended")
	ErrNested   = errors.New("db: Do or View inside Do or View; use the Tx you have")
	// ErrNoRows is returned by Row.Scan when there is no row.
	ErrNoRows = errors.New("db: no row")
)

// Practice is the practice the transaction works on; pass it as $1 of every statement.
func (tx *Tx) Practice() PracticeID { return tx.scope.Practice() }

// Scope is who asked.
func (tx *Tx) Scope() Scope { return tx.scope }

// Now is the instant the transaction began, the same throughout.
func (tx *Tx) Now() time.Time { return tx.now }

// NowMicro is Now as stored: microseconds UTC.
func (tx *Tx) NowMicro() int64 { return tx.now.UnixMicro() }

// Keys are the practice's keys.
func (tx *Tx) Keys() *keys.Practice { return tx.keys }

// Engine is the engine underneath, for the rare statement that must differ.
func (tx *Tx) Engine() Engine { return tx.db.engine }

// Writable says whether this is a Do.
func (tx *Tx) Writable() bool { return tx.write }

// OnCommit has fn run once after the commit is durable, on the goroutine that called Do and before Do returns.
// It does not run when the transaction fails.
func (tx *Tx) OnCommit(fn func()) { tx.commit = append(tx.commit, fn) }

// Keep remembers a value for the rest of this run of the transaction; key is of a type of the caller's own.
func (tx *Tx) Keep(key, v any) {
	if tx.kept == nil {
		tx.kept = map[any]any{}
	}
	tx.kept[key] = v
}

// Take returns what Keep remembered, nil for nothing, and forgets it.
func (tx *Tx) Take(key any) any {
	v := tx.kept[key]
	delete(tx.kept, key)
	return v
}

// Shared says that the transaction underneath is not this one's alone; see [DB.Join]. What others of it write is seen here before
// it is committed, and never without it.
func (tx *Tx) Shared() bool { return tx.shared() != nil }

func (tx *Tx) shared() *pgSession {
	if s, ok := tx.sess.(*pgSession); ok && s.shared {
		return s
	}
	return nil
}

// KeepShared is Keep for all who share the transaction, one after another. It must be Shared.
func (tx *Tx) KeepShared(key, v any) {
	s := tx.shared()
	if s.common == nil {
		s.common = map[any]any{}
	}
	s.common[key] = v
}

// LookShared returns what KeepShared remembered, nil for nothing.
func (tx *Tx) LookShared(key any) any {
	if s := tx.shared(); s != nil {
		return s.common[key]
	}
	return nil
}

// Wanted is what others who are about to share the transaction said they will ask for. Whoever asks for something of that kind does well
// to ask for theirs too, in one round trip, and to keep it for them.
func (tx *Tx) Wanted() []string {
	if s := tx.shared(); s != nil {
		return s.line.wanted()
	}
	return nil
}

// Crowded says that the transaction now holds a row that every other writer of the practice waits for. Who wants further rows then
// calls Hurried; where many share the transaction, their waits are bounded from here on.
func (tx *Tx) Crowded() {
	s, ok := tx.sess.(*pgSession)
	if !ok || s.crowded {
		return
	}
	s.crowded = true
	if s.shared {
		tx.Queue(boundWait)
	}
}

// Hurried is for a transaction that wants further rows after Crowded: whoever has such a row is most likely waiting
// for the crowded one. It bounds the wait, after which the transaction is run again; the server itself would notice the
// deadlock a second later. A transaction that is run again does well to take the crowded row first: see Again.
func (tx *Tx) Hurried() {
	if s, ok := tx.sess.(*pgSession); ok && s.crowded && !s.shared {
		tx.Queue(boundWait)
	}
}

var boundWait = SQLPair(`SELECT 1`, `SET LOCAL lock_timeout = '40ms'`)

// Again says that an earlier run of the transaction met a deadlock or a serialization failure.
func (tx *Tx) Again() bool { return tx.again }

// Apart says that the statements to come may take the server long or answer much: in a Glance nobody else should wait for them.
func (tx *Tx) Apart() { tx.apart = true }

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(ctx context.Context, s *Stmt, args ...any) (int64, error) {
	args, err := tx.ready(ctx, s, args, true)
	if err != nil {
		return 0, tx.fail(err)
	}
	n, err := tx.sess.exec(ctx, s, args)
	return n, tx.fail(err)
}

// Queue runs a statement whose result nobody needs: pipelined on PostgreSQL, at once on SQLite. A failure comes
// out of the next call or of the commit.
func (tx *Tx) Queue(s *Stmt, args ...any) {
	ctx := context.Background() // the commit carries the caller's
	args, err := tx.ready(ctx, s, args, true)
	if err == nil {
		err = tx.sess.queue(ctx, s, args)
	}
	_ = tx.fail(err)
}

// InsertMany writes rows, each with one value per column of ins. Like Queue it may be put off.
func (tx *Tx) InsertMany(ins *Insert, rows [][]any) {
	if len(rows) == 0 {
		return
	}
	ctx := context.Background()
	err := tx.usable(ctx, true)
	for _, row := range rows {
		if err != nil {
			break
		}
		if len(row) != len(ins.cols) {
			err = fmt.Errorf("db: a row of %d values for the %d columns of %s", len(row), len(ins.cols), ins.table)
			break
		}
		err = canonicalAll(row)
	}
	if err == nil {
		err = tx.sess.insertMany(ctx, ins, rows)
	}
	_ = tx.fail(err)
}

// Query runs a statement and returns its rows. Close them, or read them to the end. Other statements may run in
// between; on PostgreSQL the rest of the rows is then held in memory.
func (tx *Tx) Query(ctx context.Context, s *Stmt, args ...any) (*Rows, error) {
	args, err := tx.ready(ctx, s, args, false)
	if err != nil {
		return nil, tx.fail(err)
	}
	cur, err := tx.sess.query(ctx, s, args)
	if err != nil {
		return nil, tx.fail(err)
	}
	return &Rows{tx: tx, cur: cur}, nil
}

// QueryRow runs a statement of which at most the first row is wanted; Scan returns ErrNoRows when there is none.
func (tx *Tx) QueryRow(ctx context.Context, s *Stmt, args ...any) Row {
	rows, err := tx.Query(ctx, s, args...)
	return Row{rows: rows, err: err}
}

// Compile returns the Stmt of text made at run time, from a cache when it is known. Only the query compiler of
// base/fhirstore uses it, with identifiers from closed lists and every value a parameter.
func (tx *Tx) Compile(text string) *Stmt { return tx.db.compile(text) }

// ready checks that the statement may run now and brings its arguments into canonical form.
func (tx *Tx) ready(ctx context.Context, s *Stmt, args []any, write bool) ([]any, error) {
	if err := tx.usable(ctx, write); err != nil {
		return nil, err
	}
	if s.bad != nil {
		return nil, s.bad
	}
	if len(args) != s.params {
		return nil, fmt.Errorf("db: %d arguments for %d parameters in %s", len(args), s.params, s.postgres)
	}
	err := canonicalAll(args)
	if tx.db.trace != nil && err == nil {
		text := s.sqlite
		if tx.db.engine == PostgreSQL {
			text = s.postgres
		}
		tx.db.trace(text, slices.Clone(args))
	}
	return args, err
}

func (tx *Tx) usable(ctx context.Context, write bool) error {
	switch {
	case tx.done:
		return ErrDone
	case tx.err != nil:
		return tx.err
	case write && !tx.write:
		return ErrReadOnly
	}
	return ctx.Err()
}

// fail makes the first error stick: PostgreSQL refuses everything after an error, and SQLite must not differ.
func (tx *Tx) fail(err error) error {
	if err != nil && tx.err == nil && !tx.done {
		tx.err = err
	}
	return err
}
