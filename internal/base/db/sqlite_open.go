package db

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/journal"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// sqliteBackend is a folder of encrypted files:
//
//	LOCK                      held by the process that has the folder open
//	journal/                  what waits to be taken over by the practices (package journal)
//	system.db                 the system store
//	practices/<id>/practice.db
type sqliteBackend struct {
	db      *DB
	dir     string
	lock    *os.File
	journal *journal.Journal
	vfs     *pageVFS
	vfsName string
	maxOpen int
	most    int // maxSpare; tests change it
	steps   migrations

	mu     sync.Mutex
	free   sync.Cond // signalled when a practice is released or gone
	open   map[PracticeID]*liteStore
	spare  int // connections of the practices nobody uses now, beyond one each
	tick   uint64
	closed bool
}

const (
	defaultMaxOpen = 200
	idleClose      = 10 * time.Minute

	// A connection takes 0.3 to 0.5 MB, and some milliseconds to open. Each open practice keeps one; what it used beyond that stays with
	// those that were used last.
	maxSpare = 64
)

var vfsNumber atomic.Int64

func openSQLite(ctx context.Context, d *DB, o Options) (backend, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "practices"), 0o700); err != nil {
		return nil, notStored(err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	b := &sqliteBackend{
		db:      d,
		dir:     dir,
		lock:    lock,
		vfs:     newPageVFS(),
		vfsName: fmt.Sprintf("yarrow%d", vfsNumber.Add(1)),
		maxOpen: o.MaxOpen,
		most:    maxSpare,
		steps:   o.migrations(),
		open:    make(map[PracticeID]*liteStore),
	}
	b.free.L = &b.mu
	if b.maxOpen <= 0 {
		b.maxOpen = defaultMaxOpen
	}
	vfs.Register(b.vfsName, b.vfs)
	if b.journal, err = journal.Open(filepath.Join(dir, "journal")); err != nil {
		_ = b.close()
		return nil, notStored(err)
	}
	if err := b.create(ctx, System); err != nil {
		_ = b.close()
		return nil, err
	}
	return b, nil
}

// HasData says whether dataDir holds an embedded database already. Then its keys must exist: a missing key store is
// an error and not a reason to make a new one (keys.Options.MayCreate).
func HasData(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "system.db"))
	return err == nil
}

func (b *sqliteBackend) path(id PracticeID) string {
	if id == System {
		return filepath.Join(b.dir, "system.db")
	}
	return filepath.Join(b.folder(id), "practice.db")
}

func (b *sqliteBackend) folder(id PracticeID) string {
	return filepath.Join(b.dir, "practices", strconv.FormatInt(int64(id), 10))
}

// create makes the file of a practice when it is missing and brings its schema up to date.
func (b *sqliteBackend) create(ctx context.Context, id PracticeID) error {
	path := b.path(id)
	if id != System {
		if err := os.MkdirAll(b.folder(id), 0o700); err != nil {
			return notStored(err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return notStored(err)
	}
	if err := f.Close(); err != nil {
		return notStored(err)
	}
	// The names must survive a power cut as well as the bytes do.
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path)), b.dir} {
		if err := keys.SyncFolder(dir); err != nil {
			return notStored(err)
		}
	}
	s, err := b.acquire(ctx, id)
	if err != nil {
		return err
	}
	b.release(s)
	return nil
}

func (b *sqliteBackend) practices(context.Context) ([]PracticeID, error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, "practices"))
	if err != nil {
		return nil, notStored(err)
	}
	var ids []PracticeID
	for _, e := range entries {
		n, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil || n < 1 {
			continue
		}
		if _, err := os.Stat(b.path(PracticeID(n))); err == nil {
			ids = append(ids, PracticeID(n))
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func (b *sqliteBackend) do(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	s, err := b.acquire(ctx, tx.Practice())
	if err != nil {
		return err
	}
	defer b.release(s)
	return s.writer.do(ctx, tx, fn)
}

func (b *sqliteBackend) view(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	s, err := b.acquire(ctx, tx.Practice())
	if err != nil {
		return err
	}
	defer b.release(s)
	return s.readers.view(ctx, tx, fn)
}

func (b *sqliteBackend) node() *journal.Journal { return b.journal }

func (b *sqliteBackend) has(ctx context.Context, id PracticeID) error {
	s, err := b.acquire(ctx, id)
	if err == nil {
		b.release(s)
	}
	return err
}

// liteStore is one practice's open file.
type liteStore struct {
	id      PracticeID
	writer  liteWriter
	readers liteReaders

	// Under sqliteBackend.mu:
	users  int
	used   uint64    // tick of the last use
	spare  int       // of its connections, as counted when the last user went
	since  time.Time // when it was last used
	ready  chan struct{}
	failed error
	going  bool
}

// acquire returns the practice's store, opening it when needed. Every acquire is followed by a release.
func (b *sqliteBackend) acquire(ctx context.Context, id PracticeID) (*liteStore, error) {
	b.mu.Lock()
	for {
		if b.closed {
			b.mu.Unlock()
			return nil, ErrDone
		}
		s := b.open[id]
		if s == nil {
			break
		}
		if s.going { // a file must have one writer: wait until the old one is gone
			b.free.Wait()
			continue
		}
		b.touch(s)
		b.mu.Unlock()
		<-s.ready
		if s.failed != nil {
			return nil, s.failed
		}
		return s, nil
	}
	s := &liteStore{id: id, ready: make(chan struct{})}
	s.writer.open = func() (*liteConn, error) { return b.connect(id, true) }
	s.readers.open = func() (*liteConn, error) { return b.connect(id, false) }
	s.readers.slots = make(chan struct{}, max(4, runtime.GOMAXPROCS(0)))
	b.touch(s)
	b.open[id] = s
	idle := b.idleStores()
	b.mu.Unlock()

	b.closeStores(idle)
	// Others wait for this opening too; it does not end with the context of who came first.
	s.failed = b.prepare(context.WithoutCancel(ctx), s)
	if s.failed != nil {
		b.mu.Lock()
		delete(b.open, id)
		b.free.Broadcast()
		b.mu.Unlock()
	}
	close(s.ready)
	if s.failed != nil {
		return nil, s.failed
	}
	return s, nil
}

func (b *sqliteBackend) touch(s *liteStore) {
	b.tick++
	s.users++
	s.used = b.tick
	s.since = clock.System().Now()
}

func (b *sqliteBackend) release(s *liteStore) {
	b.mu.Lock()
	s.users--
	b.free.Broadcast()
	var excess []*liteConn
	if s.users == 0 {
		b.spare -= s.spare
		s.spare = max(0, s.connections()-1)
		b.spare += s.spare
		for b.spare > b.most {
			conns := b.thin()
			if conns == nil {
				break
			}
			excess = append(excess, conns...)
		}
	}
	b.mu.Unlock()
	for _, conn := range excess {
		if err := conn.close(); err != nil {
			b.db.log.Warn("closing a connection to a practice's file", "error", err.Error())
		}
	}
}

// thin takes all connections but one from the practice that was used longest ago and has more. The caller holds mu, closes
// them, and must not hold it then. Nobody touches the connections of a practice without users, and who comes next comes by mu.
func (b *sqliteBackend) thin() []*liteConn {
	var oldest *liteStore
	for _, s := range b.open {
		if s.users == 0 && !s.going && s.spare > 0 && (oldest == nil || s.used < oldest.used) {
			oldest = s
		}
	}
	if oldest == nil {
		return nil
	}
	b.spare -= oldest.spare
	oldest.spare = 0
	conns := oldest.readers.shrink(1)
	if w := &oldest.writer; w.conn != nil && oldest.connections() > 1 {
		conns = append(conns, w.conn)
		w.conn = nil
	}
	return conns
}

// connections counts what is open. The store has no users and the caller holds the backend's mu.
func (s *liteStore) connections() int {
	n := s.readers.count()
	if s.writer.conn != nil {
		n++
	}
	return n
}

// idleStores marks the practices to close: those beyond the limit that were used longest ago, and those nobody has
// used for a while. The caller holds mu.
func (b *sqliteBackend) idleStores() []*liteStore {
	var out []*liteStore
	now := clock.System().Now()
	for excess := len(b.open) - b.maxOpen; ; excess-- {
		var oldest *liteStore
		for _, s := range b.open {
			if s.users == 0 && !s.going && s.id != System && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil || (excess <= 0 && now.Sub(oldest.since) < idleClose) {
			return out
		}
		oldest.going = true
		b.spare -= oldest.spare
		oldest.spare = 0
		out = append(out, oldest)
	}
}

func (b *sqliteBackend) closeStores(stores []*liteStore) {
	for _, s := range stores {
		if err := s.close(); err != nil {
			b.db.log.Warn("closing a practice's file", "practice", int64(s.id), "error", err.Error())
		}
		b.vfs.forget(s.id)
		b.mu.Lock()
		delete(b.open, s.id)
		b.free.Broadcast()
		b.mu.Unlock()
	}
}

// prepare makes a file ready for use: its key, its schema, its writer.
func (b *sqliteBackend) prepare(ctx context.Context, s *liteStore) error {
	k, err := b.db.keys.Practice(int64(s.id))
	if err != nil {
		return err
	}
	if _, err := os.Stat(b.path(s.id)); err != nil {
		if os.IsNotExist(err) {
			return noPractice(s.id)
		}
		return notStored(err)
	}
	if err := b.vfs.setKey(s.id, k.FileKey()); err != nil {
		return err
	}
	conn, err := b.connect(s.id, true)
	if err != nil {
		return err
	}
	known := b.steps.of(s.id)
	applied, err := liteVersions(conn)
	if err == nil {
		err = known.check(applied)
	}
	if err == nil && known.complete(applied) {
		s.writer.conn = conn
		return nil
	}
	if e := conn.close(); err == nil {
		err = e
	}
	if err != nil {
		return b.explain(s.id, err)
	}
	return b.explain(s.id, known.migrateSQLite(ctx, b.uri(s.id)))
}

func (b *sqliteBackend) explain(id PracticeID, err error) error {
	if isDamaged(err) {
		return fhir.Problem("exception", fmt.Sprintf("The database file of practice %d does not open with its key.", id),
			"Either the key store belongs to another data folder, or the file is damaged. Put the right key store in place, "+
				"or restore the practice from a backup.").Because(err)
	}
	if isStorage(err) {
		return notStored(err)
	}
	return err
}

// uri names the file for SQLite. It holds the number of the key, never the key.
func (b *sqliteBackend) uri(id PracticeID) string {
	path := b.path(id)
	q := url.Values{"vfs": {b.vfsName}, "store": {strconv.FormatInt(int64(id), 10)}, "modeof": {path}}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// connect opens a connection. Readers cannot write.
func (b *sqliteBackend) connect(id PracticeID, writer bool) (*liteConn, error) {
	c, err := sqlite3.OpenFlags(b.uri(id), sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err == nil {
		if err = configure(c, writer); err != nil {
			c.Close()
		}
	}
	if err != nil {
		return nil, b.explain(id, err)
	}
	// SQLite's library makes this one with the process's usual mode. It holds page numbers only, but all files here
	// are private.
	if err := os.Chmod(b.path(id)+"-shm", 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.Close()
		return nil, notStored(err)
	}
	return &liteConn{c: c}, nil
}

// configure sets what every connection needs. WAL is a property of the file and stays; FULL makes each commit wait
// for the disk.
func configure(c *sqlite3.Conn, writer bool) error {
	text := `
		PRAGMA busy_timeout = 10000;
		PRAGMA temp_store = memory;
		PRAGMA foreign_keys = on;
		PRAGMA trusted_schema = off;
		PRAGMA cell_size_check = on;
		PRAGMA synchronous = full;`
	if writer {
		text += `
		PRAGMA journal_mode = wal;
		PRAGMA wal_autocheckpoint = 8000;
		PRAGMA journal_size_limit = 33554432;
		PRAGMA cache_size = -4000;`
	} else {
		text += `
		PRAGMA cache_size = -2000;
		PRAGMA query_only = on;`
	}
	if err := c.Exec(text); err != nil {
		return err
	}
	// The plan of a statement does not depend on what is bound to it: otherwise SQLite plans anew at each binding, which takes
	// longer than most searches.
	_, err := c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
	return err
}

// close empties the WAL into the file and closes every connection.
func (s *liteStore) close() error {
	conn := s.writer.conn
	if conn == nil && s.readers.count() > 0 { // it was spare; what it wrote is to leave the WAL all the same
		var err error
		if conn, err = s.writer.open(); err != nil {
			s.readers.close()
			return err
		}
	}
	s.readers.close()
	if conn == nil {
		return nil
	}
	s.writer.conn = nil
	conn.endRows()
	err := conn.c.Exec(`PRAGMA analysis_limit = 400; PRAGMA optimize`)
	if _, _, e := conn.c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err == nil {
		err = e
	}
	if e := conn.close(); err == nil {
		err = e
	}
	return err
}

func (b *sqliteBackend) close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	var err error
	for len(b.open) > 0 {
		var free *liteStore
		for _, s := range b.open {
			if s.users == 0 && !s.going {
				free = s
				break
			}
		}
		if free == nil {
			b.free.Wait()
			continue
		}
		free.going = true
		b.mu.Unlock()
		if e := free.close(); err == nil {
			err = e
		}
		b.mu.Lock()
		delete(b.open, free.id)
	}
	b.mu.Unlock()
	vfs.Unregister(b.vfsName)
	if b.journal != nil {
		if e := b.journal.Close(); err == nil {
			err = e
		}
	}
	if e := unlockFolder(b.lock); err == nil {
		err = e
	}
	return err
}
