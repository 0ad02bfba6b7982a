package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/journal"
	"yarrow.health/internal/standards/fhir"
)

// postgresBackend is one database for all practices.
type postgresBackend struct {
	db       *DB
	practice *pgPool
	system   *pgPool
	fitting  sync.Map // PracticeID: its keys are those it was made with
	citus    bool
	readers  readers

	writers sync.Map // PracticeID: *pgWriter
	looks   sync.Map // PracticeID: *pgGlances
}

func openPostgres(ctx context.Context, d *DB, o Options) (backend, error) {
	b := &postgresBackend{db: d, readers: newReaders()}
	var err error
	if b.practice, err = newPool(o.DatabaseURL, practiceSchema); err != nil {
		return nil, err
	}
	if b.system, err = newPool(o.DatabaseURL, systemSchema); err != nil {
		b.practice.Close()
		return nil, err
	}
	if err := b.inspect(ctx, o.migrations()); err != nil {
		_ = b.close()
		return nil, err
	}
	if err := b.fits(ctx, System); err != nil {
		_ = b.close()
		return nil, err
	}
	return b, nil
}

func (b *postgresBackend) pool(id PracticeID) *pgPool {
	if id == System {
		return b.system
	}
	return b.practice
}

// attempts bounds how often a transaction is run again after a serialization failure or a deadlock.
const attempts = 10

func (b *postgresBackend) do(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	if tx.joins {
		return b.join(ctx, tx, fn)
	}
	return b.alone(ctx, tx, fn)
}

// alone runs fn in a transaction of its own, again when it must.
func (b *postgresBackend) alone(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		tx.again = tx.again || attempt > 1
		err := b.once(ctx, tx, fn)
		if err == nil || !isRetry(err) {
			return err
		}
		if attempt == attempts {
			return fhir.Problem("transient", "Too many people changed the same thing at once. Nothing was saved.", "Try again.").Because(err)
		}
		// Waiting for other transactions is waiting in the real world, whatever clock the practice lives by.
		if err := clock.System().Sleep(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

func (b *postgresBackend) view(ctx context.Context, tx *Tx, fn func(*Tx) error) error {
	if tx.glance && !b.citus {
		return b.glance(ctx, tx, fn)
	}
	if tx.Practice() != System {
		defer b.readers.place(ctx)()
	}
	return b.once(ctx, tx, fn)
}

// once runs fn in one transaction.
func (b *postgresBackend) once(ctx context.Context, tx *Tx, fn func(*Tx) error) (err error) {
	if err := b.fits(ctx, tx.Practice()); err != nil {
		return err
	}
	pool := b.pool(tx.Practice())
	res, err := pool.acquire(ctx)
	if err != nil {
		return err
	}
	defer pool.release(res)
	conn := res.Value()
	// The pipeline may outlive ctx (see end), so ctx is watched here: when it ends, waiting for the server ends too,
	// and with it the connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.c.Conn().SetDeadline(time.Unix(1, 0)) })
	s := &pgSession{conn: conn, pipe: conn.c.StartPipeline(context.Background()), practice: tx.Practice(), readOnly: !tx.write,
		local: b.citus}
	ended := false // by commit
	defer func() { // also when fn panics or calls Goexit
		tx.done = true
		if !stop() {
			conn.cut = true
			_ = conn.c.Conn().Close()
		}
		if !ended {
			s.rollback()
		}
		if conn.ending == nil {
			if e := s.pipe.Close(); err == nil {
				err = e
			}
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			err = ctx.Err()
		case isLost(err):
			err = lostConnection(err)
		}
	}()
	tx.start(s)
	if err := tx.finish(fn(tx)); err != nil {
		var pg *pgconn.PgError
		if tx.write && errors.As(err, &pg) && isServerTrouble(pg) && !isLost(err) {
			return notStored(err)
		}
		return err
	}
	if !tx.write && s.end() {
		ended = true
		return nil
	}
	if err := s.commit(); err != nil {
		var pg *pgconn.PgError
		if isRetry(err) || isLost(err) || (errors.As(err, &pg) && !isServerTrouble(pg)) { // the last: a queued statement's
			return err
		}
		return notStored(err)
	}
	ended = true
	return nil
}

// isLost says whether err means that the connection broke, rather than that the server refused something.
func isLost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57P01" || pg.Code == "57P02" || pg.Code == "57P03" // the server was stopped, or we were
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// isServerTrouble says whether the server itself is in trouble: no disk or memory, a failed file, a fault of its own.
func isServerTrouble(pg *pgconn.PgError) bool {
	switch pg.Code[:min(2, len(pg.Code))] {
	case "53", "57", "58", "XX":
		return true
	}
	return false
}

// lostConnection is the answer when the server went away. Whether a commit under way took effect is not known; it is
// not acknowledged.
func lostConnection(err error) error {
	var issue *fhir.Issue
	if errors.As(err, &issue) {
		return err
	}
	return fhir.Problem("transient", "The connection to PostgreSQL was lost. It is not certain that anything was saved.",
		"Try again; a repeated request with the same idempotency key takes effect once.").Because(err)
}

var (
	addStore   = SQL(`INSERT INTO practice_store (practice_id, created, key_check) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`)
	listStores = SQL(`SELECT practice_id FROM practice_store WHERE practice_id > 0 ORDER BY practice_id`)
)

type ownScope struct{ Seal }

func (b *postgresBackend) create(ctx context.Context, id PracticeID) error {
	return b.db.Do(ctx, ownScope{NewSeal(System, Actor{Kind: "system"})}, func(tx *Tx) error {
		for _, p := range []PracticeID{System, id} {
			check, err := b.keyCheck(p)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, addStore, p, tx.NowMicro(), check); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *postgresBackend) practices(ctx context.Context) (ids []PracticeID, err error) {
	err = b.db.View(ctx, ownScope{NewSeal(System, Actor{Kind: "system"})}, func(tx *Tx) error {
		rows, err := tx.Query(ctx, listStores)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id PracticeID
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, err
}

func (b *postgresBackend) node() *journal.Journal                { return nil }
func (b *postgresBackend) has(context.Context, PracticeID) error { return nil }

func (b *postgresBackend) close() error {
	b.practice.Close()
	b.system.Close()
	return nil
}

// tablesState lists, for each table of the practice schema, what row security needs to be true.
const tablesState = `
SELECT c.relname,
  pg_has_role(current_user, c.relowner, 'MEMBER'),
  c.relrowsecurity AND c.relforcerowsecurity,
  (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid),
  coalesce((SELECT min(pg_get_expr(p.polqual, p.polrelid) || ' ' || pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = '{0}'), ''),
  EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'practice_id' AND a.attnum > 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = '` + practiceSchema + `' AND c.relkind IN ('r', 'p') AND c.relname <> '` + versionTable + `'
ORDER BY c.relname`

// inspect refuses a database in which one practice could see another.
func (b *postgresBackend) inspect(ctx context.Context, m migrations) error {
	res, err := b.practice.acquire(ctx)
	if err != nil {
		return err
	}
	defer b.practice.release(res)
	query := func(text string) ([][]string, error) {
		r := res.Value().c.ExecParams(ctx, text, nil, nil, nil, nil).Read()
		rows := make([][]string, len(r.Rows))
		for i, row := range r.Rows {
			for _, v := range row {
				rows[i] = append(rows[i], string(v))
			}
		}
		return rows, r.Err
	}

	rows, err := query(`SELECT current_setting('server_version_num')::int >= 150000, current_setting('fsync'),
		current_setting('synchronous_commit'), r.rolsuper OR r.rolbypassrls, current_user,
		EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')
		FROM pg_roles r WHERE r.rolname = current_user`)
	if err != nil {
		return unreachable(err)
	}
	state := rows[0]
	b.citus = state[5] == "t"
	switch {
	case state[0] != "t":
		return fhir.Problem("not-supported", "This PostgreSQL is too old.", "Use PostgreSQL 15 or later.")
	case state[3] != "f":
		return fhir.Problem("security", fmt.Sprintf("The role %s is a superuser or may bypass row-level security.", state[4]),
			"Serve with the app role that `yarrow migrate` made, and keep the owner's URL for `yarrow migrate`.")
	case state[1] != "on" || state[2] == "off":
		return fhir.Problem("security", fmt.Sprintf("PostgreSQL may lose what it has acknowledged: fsync is %s and synchronous_commit is %s.", state[1], state[2]),
			"Set both to on in postgresql.conf, and look for settings of the role or the database that override them.")
	}
	for _, id := range []PracticeID{1, System} {
		set := m.of(id)
		schema := practiceSchema
		if id == System {
			schema = systemSchema
		}
		if known, err := set.versions(); err != nil || len(known) == 0 {
			continue
		}
		rows, err := query(`SELECT version_id FROM ` + schema + `.` + versionTable + ` WHERE is_applied`)
		if err != nil {
			return notMigrated().Because(err)
		}
		applied := make([]int64, len(rows))
		for i, row := range rows {
			if applied[i], err = wholeNumber(row[0]); err != nil {
				return err
			}
		}
		if err := set.check(applied); err != nil {
			return err
		}
		if !set.complete(applied) {
			return notMigrated()
		}
	}
	if rows, err = query(tablesState); err != nil {
		return unreachable(err)
	}
	for _, row := range rows {
		if err := judgeTable(row); err != nil {
			return err
		}
	}
	return nil
}

func notMigrated() *fhir.Issue {
	return fhir.Problem("not-supported", "The database has not been brought up to this version of Yarrow.",
		"Run `yarrow migrate --database OWNER-URL` once, then start again.")
}

func judgeTable(row []string) error {
	table, owned, forced, policies, expr, scoped := row[0], row[1], row[2], row[3], row[4], row[5]
	wrong := func(what string) error {
		return fhir.Problem("security", fmt.Sprintf("Table %s is not safe to serve: %s.", table, what),
			"Run `yarrow migrate --database OWNER-URL` as the owner, and serve with the app role.")
	}
	switch {
	case owned != "f":
		return wrong("this role owns it and could switch its row-level security off")
	case scoped != "t":
		return wrong("it has no practice_id")
	case forced != "t":
		return wrong("row-level security is not forced on it")
	case policies != "1" || !isolates(expr):
		return wrong("it does not have exactly the policy that keeps practices apart")
	}
	return nil
}
