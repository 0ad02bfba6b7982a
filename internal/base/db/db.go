package db

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/journal"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// Options say where the data is. One of DataDir and DatabaseURL is given.
type Options struct {
	DataDir     string // folder of the embedded database
	DatabaseURL string // postgres://… of the app role, never of the owner
	Keys        *keys.Ring
	Clock       *clock.Clock
	MaxOpen     int // practices kept open on SQLite; default 200
	Log         *slog.Logger
	Migrations  fs.FS // folders practice and system; nil: those compiled in. Tests bring their own
	// Trace is told of each statement before it runs, rows of InsertMany apart, in the engine's words: for tests that look how it
	// is carried out. The arguments are what the practice stores; they must go nowhere.
	Trace func(text string, args []any)
}

func (o Options) migrations() migrations { return migrationsIn(o.Migrations) }

// DB is the open data of all practices. It is safe for concurrent use.
type DB struct {
	engine  Engine
	backend backend
	keys    *keys.Ring
	clock   *clock.Clock
	log     *slog.Logger

	compiled compileCache
	inside   code // of transact
	running  atomic.Int64
	trace    func(text string, args []any)
}

// backend is what an engine does for a DB.
type backend interface {
	do(ctx context.Context, tx *Tx, fn func(*Tx) error) error
	view(ctx context.Context, tx *Tx, fn func(*Tx) error) error
	create(ctx context.Context, id PracticeID) error
	practices(ctx context.Context) ([]PracticeID, error)
	// node is the journal of this process, nil when the engine has none.
	node() *journal.Journal
	// has says whether the practice has a store; an error says why it is not usable.
	has(ctx context.Context, id PracticeID) error
	close() error
}

// Open opens the data. It creates what a new data folder needs, brings the schema up to date on SQLite, and refuses,
// each time with a *fhir.Issue that says what to do: a second process on the folder, a wrong key, a schema newer
// than this binary, and on PostgreSQL a role that row-level security does not bind or a table without its policy.
func Open(ctx context.Context, o Options) (*DB, error) {
	d := &DB{
		keys:   o.Keys,
		clock:  o.Clock,
		log:    o.Log,
		trace:  o.Trace,
		inside: codeOf(reflect.ValueOf((*DB).transact).Pointer()),
	}
	if d.clock == nil || d.keys == nil {
		return nil, errors.New("db: Open needs Keys and Clock")
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	var err error
	switch {
	case o.DataDir != "" && o.DatabaseURL != "":
		err = errors.New("db: DataDir and DatabaseURL exclude each other")
	case o.DatabaseURL != "":
		d.engine = PostgreSQL
		d.backend, err = openPostgres(ctx, d, o)
	case o.DataDir != "":
		d.engine = SQLite
		d.backend, err = openSQLite(ctx, d, o)
	default:
		err = errors.New("db: Open needs DataDir or DatabaseURL")
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Engine is the engine underneath.
func (d *DB) Engine() Engine { return d.engine }

// Clock is the clock transactions take their time from.
func (d *DB) Clock() *clock.Clock { return d.clock }

// Practices lists the practices that exist, in order; the system store is not among them.
func (d *DB) Practices(ctx context.Context) ([]PracticeID, error) { return d.backend.practices(ctx) }

// Create makes the empty store of a new practice: keys, file or row, schema. It may be repeated after a failure
// and does nothing when the practice exists.
func (d *DB) Create(ctx context.Context, id PracticeID) error {
	if id < 1 {
		return errBadID
	}
	if err := d.keys.Create(int64(id)); err != nil {
		return err
	}
	return d.backend.create(ctx, id)
}

// Do runs fn in a read-write transaction and returns nil only when its effect is durable. When fn fails or panics
// nothing of it remains. fn may be run again when PostgreSQL reports a serialization failure or deadlock, so it
// must have no effect outside the transaction; use tx.OnCommit for that.
//
// On SQLite transactions of a practice run one after another and share a commit. On PostgreSQL they run side by
// side at READ COMMITTED: a check that must still hold at the commit belongs into the writing statement, or behind
// a row written first.
func (d *DB) Do(ctx context.Context, s Scope, fn func(tx *Tx) error) error {
	return d.run(ctx, s, fn, &Tx{write: true})
}

// Join is Do for a change of a few statements, with nothing slow in fn. On PostgreSQL too it shares a transaction and its commit with
// others of the practice that come at the same time: fn sees their work, is run again when one of them cannot be kept, and while it
// runs they wait. wants names what fn will ask for, in the words of who answers it; see [Tx.Wanted].
func (d *DB) Join(ctx context.Context, s Scope, fn func(tx *Tx) error, wants ...string) error {
	return d.run(ctx, s, fn, &Tx{write: true, joins: true, wants: wants})
}

// View runs fn in a read-only transaction that sees one state of the practice.
func (d *DB) View(ctx context.Context, s Scope, fn func(tx *Tx) error) error {
	return d.run(ctx, s, fn, &Tx{})
}

// Glance is View for what one statement answers, such as the read of a resource. On PostgreSQL it costs a third: there is no
// transaction around fn, and a second statement sees what was committed meanwhile. Its rows are taken into memory, and it may share a
// round trip with others of the practice: see [Tx.Apart].
func (d *DB) Glance(ctx context.Context, s Scope, fn func(tx *Tx) error) error {
	return d.run(ctx, s, fn, &Tx{glance: true})
}

func (d *DB) run(ctx context.Context, s Scope, fn func(tx *Tx) error, tx *Tx) error {
	if s == nil || !s.Valid() {
		return ErrNoScope
	}
	if d.running.Load() > 0 && d.nested() {
		return ErrNested
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k, err := d.keys.Practice(int64(s.Practice()))
	if err != nil {
		return err
	}
	if a := aroundOf(ctx); tx.write && a != nil && a.practice == s.Practice() {
		ctx, fn = Plain(ctx), a.wrap(fn)
	}
	tx.db, tx.scope, tx.keys = d, s, k
	if err := d.transact(ctx, tx, fn); err != nil {
		return err
	}
	for _, hook := range tx.commit {
		hook()
	}
	return nil
}

// transact has the engine run fn. nested looks for it on the stack, so it must not be inlined.
//
//go:noinline
func (d *DB) transact(ctx context.Context, tx *Tx, fn func(tx *Tx) error) error {
	d.running.Add(1)
	defer d.running.Add(-1)
	if tx.write {
		return d.backend.do(ctx, tx, fn)
	}
	return d.backend.view(ctx, tx, fn)
}

// Journal is where records of all practices of this process become durable without a transaction, to be taken over by their
// practices soon. It is nil on PostgreSQL, whose log does the same for all its clients.
func (d *DB) Journal() *journal.Journal { return d.backend.node() }

// KeysOf gives the keys of the scope's practice to who writes to the Journal, when the practice is there to take it over.
func (d *DB) KeysOf(ctx context.Context, s Scope) (*keys.Practice, error) {
	if s == nil || !s.Valid() {
		return nil, ErrNoScope
	}
	k, err := d.keys.Practice(int64(s.Practice()))
	if err != nil {
		return nil, err
	}
	return k, d.backend.has(ctx, s.Practice())
}

// Gone says whether the keys of the scope's practice were destroyed, so that nothing of it can ever be read again.
func (d *DB) Gone(s Scope) bool {
	if s == nil || !s.Valid() {
		return false
	}
	_, err := d.keys.Practice(int64(s.Practice()))
	var issue *fhir.Issue
	return errors.As(err, &issue) && issue.Code == "deleted"
}

// Close waits for running transactions and closes everything.
func (d *DB) Close() error { return d.backend.close() }

// start readies tx for one run of fn; a repeated run starts afresh.
func (tx *Tx) start(sess session) {
	tx.sess, tx.now = sess, tx.db.clock.Now()
	tx.done, tx.err, tx.commit, tx.kept = false, nil, nil, nil
}

// finish ends the run of fn with its error: the one fn returned or, when fn swallowed it, the first failed
// statement's.
func (tx *Tx) finish(err error) error {
	tx.done = true
	if err == nil {
		err = tx.err
	}
	return err
}

// nested says whether this goroutine is already inside the fn of a Do or View. A nested Do would wait for itself on SQLite,
// and on PostgreSQL could empty the pool so that every request waits for every other.
//
// fn always runs on its caller's goroutine, so the stack tells. Looking through it takes a tenth of a read; it is not done while
// nothing runs.
func (d *DB) nested() bool {
	var pcs [96]uintptr
	n := runtime.Callers(3, pcs[:]) // past Callers, nested and run
	for _, pc := range pcs[:n] {
		if d.inside.from < pc && pc <= d.inside.to {
			return true
		}
	}
	return false
}

// code is where the code of a function stands: return addresses into it lie after from and not after to.
type code struct{ from, to uintptr }

func codeOf(entry uintptr) code {
	c := code{entry, entry}
	for f := runtime.FuncForPC(entry); f != nil && f.Entry() == entry; f = runtime.FuncForPC(c.to) {
		c.to++
	}
	return c
}

// compileCache keeps statements made at run time. When full it starts over: the connections' own prepared
// statements are found again by text.
type compileCache struct {
	mu     sync.Mutex
	byText map[string]*Stmt
}

const compileCacheSize = 2000

func (d *DB) compile(text string) *Stmt {
	c := &d.compiled
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byText[text]; s != nil {
		return s
	}
	s, err := parseStmt(text, text)
	if err != nil {
		s = &Stmt{bad: err}
	}
	if c.byText == nil || len(c.byText) >= compileCacheSize {
		c.byText = make(map[string]*Stmt)
	}
	c.byText[strings.Clone(text)] = s
	return s
}
