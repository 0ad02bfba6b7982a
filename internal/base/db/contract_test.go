package db_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// ours is a small schema for testing the store itself.
var ours = fstest.MapFS{
	"practice/0003_note.sql": {Data: []byte(`-- +goose Up
CREATE TABLE note (
  practice_id BIGINT NOT NULL,
  id BIGINT NOT NULL,
  body TEXT NOT NULL DEFAULT '',
  sealed BYTEA,
  weight DOUBLE PRECISION,
  flag SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE UNIQUE INDEX note_body ON note (practice_id, body, flag);
`)},
	"practice/0007_key.sql": {Data: []byte(`-- +goose Up
CREATE TABLE key_date (
  practice_id BIGINT NOT NULL,
  h BIGINT NOT NULL,
  at BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (practice_id, h, at, rid)
) /*clustered*/;
CREATE INDEX key_date_at ON key_date (practice_id, at);
`)},
	"system/0002_login.sql": {Data: []byte(`-- +goose Up
CREATE TABLE login (
  practice_id BIGINT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (practice_id, name)
);
`)},
}

var (
	insertNote = db.SQL(`INSERT INTO note (practice_id, id, body) VALUES ($1, $2, $3)`)
	bodyOf     = db.SQL(`SELECT body FROM note WHERE practice_id = $1 AND id = $2`)
	countNotes = db.SQL(`SELECT count(*) FROM note WHERE practice_id = $1`)
	countAll   = db.SQL(`SELECT count(*) FROM note`)
	notes      = db.InsertInto("note", "practice_id", "id", "body", "sealed", "weight", "flag")
)

func each(t *testing.T, fn func(t *testing.T, d *dbtest.DB)) { dbtest.EachWith(t, ours, fn) }

func do(t *testing.T, d *dbtest.DB, p db.PracticeID, fn func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Do(t.Context(), d.Scope(p), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, d *dbtest.DB, p db.PracticeID, fn func(tx *db.Tx) error) {
	t.Helper()
	if err := d.View(t.Context(), d.Scope(p), fn); err != nil {
		t.Fatal(err)
	}
}

func add(ctx context.Context, tx *db.Tx, id int64, body string) error {
	n, err := tx.Exec(ctx, insertNote, tx.Practice(), id, body)
	if err == nil && n != 1 {
		err = errors.New("the row count is not 1")
	}
	return err
}

func count(t *testing.T, d *dbtest.DB, p db.PracticeID) (n int64) {
	t.Helper()
	view(t, d, p, func(tx *db.Tx) error {
		return tx.QueryRow(t.Context(), countNotes, p).Scan(&n)
	})
	return n
}

func TestWhatIsWrittenIsReadAfterReopening(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error { return add(ctx, tx, 1, "first") })
		d.Reopen(t)
		view(t, d, 1, func(tx *db.Tx) error {
			var body string
			if err := tx.QueryRow(ctx, bodyOf, tx.Practice(), 1).Scan(&body); err != nil || body != "first" {
				t.Errorf("body %q, %v", body, err)
			}
			if err := tx.QueryRow(ctx, bodyOf, tx.Practice(), 2).Scan(&body); err != db.ErrNoRows {
				t.Errorf("a missing row: %v", err)
			}
			return nil
		})
	})
}

func TestAFailedDoLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	ends := map[string]func(tx *db.Tx) error{
		"error": func(*db.Tx) error { return boom },
		"panic": func(*db.Tx) error { panic("boom") },
		"exit":  func(*db.Tx) error { runtime.Goexit(); return nil },
	}
	each(t, func(t *testing.T, d *dbtest.DB) {
		for name, end := range ends {
			var err error
			var panicked any
			hooked := false
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { panicked = recover() }()
				err = d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
					tx.OnCommit(func() { hooked = true })
					if err := add(t.Context(), tx, 1, "gone"); err != nil {
						return err
					}
					return end(tx)
				})
			}()
			<-done
			if name == "error" && !errors.Is(err, boom) {
				t.Errorf("error: %v", err)
			}
			if name == "panic" && panicked != "boom" {
				t.Errorf("panic: %v", panicked)
			}
			if hooked {
				t.Errorf("%s: OnCommit ran", name)
			}
			if n := count(t, d, 1); n != 0 {
				t.Errorf("%s: %d rows remain", name, n)
			}
		}
		do(t, d, 1, func(tx *db.Tx) error { return add(t.Context(), tx, 1, "still works") })
	})
}

func TestConcurrentTransactionsFailAlone(t *testing.T) {
	const workers, rounds = 16, 12
	each(t, func(t *testing.T, d *dbtest.DB) {
		var wg sync.WaitGroup
		var kept atomic.Int64
		for w := range workers {
			wg.Go(func() {
				for r := range rounds {
					id := int64(w*rounds + r)
					func() {
						defer func() { _ = recover() }()
						err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
							if err := add(t.Context(), tx, id, "x"+strconv.FormatInt(id, 10)); err != nil {
								return err
							}
							switch id % 4 {
							case 1:
								return errors.New("no")
							case 2:
								panic("no")
							case 3: // a statement that fails, swallowed
								_ = add(t.Context(), tx, id, "again")
							}
							return nil
						})
						if err == nil {
							kept.Add(1)
						}
						if (err == nil) != (id%4 == 0) {
							t.Errorf("transaction %d: %v", id, err)
						}
					}()
				}
			})
		}
		wg.Wait()
		if n := count(t, d, 1); n != kept.Load() || n != workers*rounds/4 {
			t.Errorf("%d rows for %d acknowledged", n, kept.Load())
		}
	})
}

func TestOnCommitSeesTheCommit(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		seen := int64(-1)
		do(t, d, 1, func(tx *db.Tx) error {
			tx.OnCommit(func() { seen = count(t, d, 1) })
			return add(t.Context(), tx, 1, "a")
		})
		if seen != 1 {
			t.Errorf("OnCommit saw %d rows", seen)
		}
	})
}

func TestAnErrorEndsTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error { return add(ctx, tx, 1, "a") })
		err := d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
			if err := add(ctx, tx, 1, "b"); !db.IsUnique(err) {
				t.Errorf("a double key: %v", err)
			}
			if err := add(ctx, tx, 2, "c"); !db.IsUnique(err) {
				t.Errorf("a statement after an error: %v", err)
			}
			return nil
		})
		if !db.IsUnique(err) {
			t.Errorf("Do: %v", err)
		}
		if n := count(t, d, 1); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestQueuedWork(t *testing.T) {
	row := func(id int64, body string) []any { return []any{int64(1), id, body, nil, nil, 0} }
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error {
			var many [][]any
			for i := range int64(2500) {
				many = append(many, row(i, "n"+strconv.FormatInt(i, 10)))
			}
			tx.InsertMany(notes, many)
			tx.Queue(insertNote, 1, 9000, "queued")
			var n int
			if err := tx.QueryRow(ctx, countNotes, 1).Scan(&n); err != nil || n != 2501 {
				t.Errorf("inside: %d rows, %v", n, err)
			}
			return nil
		})
		do(t, d, 1, func(tx *db.Tx) error {
			tx.InsertMany(notes.OrIgnore(), [][]any{row(1, "n1"), row(9001, "new"), row(2, "n2")})
			tx.InsertMany(notes.OrIgnore(), [][]any{row(1, "n1")})
			return nil
		})
		if n := count(t, d, 1); n != 2502 {
			t.Errorf("%d rows", n)
		}
		for name, work := range map[string]func(tx *db.Tx){
			"Queue":      func(tx *db.Tx) { tx.Queue(insertNote, 1, 1, "dup") },
			"one row":    func(tx *db.Tx) { tx.InsertMany(notes, [][]any{row(1, "dup")}) },
			"InsertMany": func(tx *db.Tx) { tx.InsertMany(notes, [][]any{row(9100, "dup"), row(1, "dup")}) },
		} {
			// The failure comes out at the commit …
			err := d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
				tx.Queue(insertNote, 1, 9500, "before")
				work(tx)
				tx.Queue(insertNote, 1, 9501, "after")
				return nil
			})
			if !db.IsUnique(err) {
				t.Errorf("%s: Do = %v", name, err)
			}
			// … or at the next answer.
			err = d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
				work(tx)
				var n int
				return tx.QueryRow(ctx, countNotes, 1).Scan(&n)
			})
			if !db.IsUnique(err) {
				t.Errorf("%s: then a query: %v", name, err)
			}
		}
		if n := count(t, d, 1); n != 2502 {
			t.Errorf("%d rows after failures", n)
		}
		err := d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
			tx.InsertMany(notes, [][]any{{1, 2}})
			return nil
		})
		if err == nil {
			t.Error("a row of the wrong width was accepted")
		}
	})
}

func TestRowsMayStayOpenWhileOthersRun(t *testing.T) {
	all := db.SQL(`SELECT id, body FROM note WHERE practice_id = $1 ORDER BY id`)
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error {
			for id := range int64(50) {
				if err := add(ctx, tx, id, "b"+strconv.FormatInt(id, 10)); err != nil {
					return err
				}
			}
			rows, err := tx.Query(ctx, all, 1)
			if err != nil {
				return err
			}
			sum := 0
			for rows.Next() {
				var id int
				var body, again string
				if err := rows.Scan(&id, &body); err != nil {
					return err
				}
				if err := tx.QueryRow(ctx, bodyOf, 1, id).Scan(&again); err != nil || again != body {
					t.Errorf("%d: %q, %v", id, again, err)
				}
				inner, err := tx.Query(ctx, all, 1) // the same statement, left open
				if err != nil {
					return err
				}
				inner.Next()
				sum++
			}
			if sum != 50 {
				t.Errorf("%d rows", sum)
			}
			return rows.Err()
		})
		if n := count(t, d, 1); n != 50 {
			t.Errorf("%d rows", n)
		}
		// Rows that outlive their transaction give nothing.
		var leaked *db.Rows
		view(t, d, 1, func(tx *db.Tx) (err error) { leaked, err = tx.Query(ctx, all, 1); return err })
		if leaked.Next() {
			t.Error("rows were read after the transaction")
		}
	})
}

func TestMisuseIsRefused(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		nothing := func(*db.Tx) error { return nil }
		for _, s := range []db.Scope{nil, db.Seal{}} {
			if err := d.Do(ctx, s, nothing); !errors.Is(err, db.ErrNoScope) {
				t.Errorf("scope %v: %v", s, err)
			}
			if err := d.View(ctx, s, nothing); !errors.Is(err, db.ErrNoScope) {
				t.Errorf("scope %v: %v", s, err)
			}
		}
		var issue *fhir.Issue
		if err := d.Do(ctx, d.Scope(99), nothing); !errors.As(err, &issue) || issue.Code != "not-found" {
			t.Errorf("an unknown practice: %v", err)
		}
		var kept *db.Tx
		do(t, d, 1, func(tx *db.Tx) error {
			kept = tx
			for name, inner := range map[string]func(context.Context, db.Scope, func(*db.Tx) error) error{"Do": d.Do, "View": d.View} {
				if err := inner(ctx, d.Scope(2), nothing); !errors.Is(err, db.ErrNested) {
					t.Errorf("%s inside Do: %v", name, err)
				}
			}
			return nil
		})
		if err := add(ctx, kept, 1, "late"); !errors.Is(err, db.ErrDone) {
			t.Errorf("a transaction that has ended: %v", err)
		}
		err := d.View(ctx, d.Scope(1), func(tx *db.Tx) error {
			if tx.Writable() {
				t.Error("a View says it may write")
			}
			return add(ctx, tx, 1, "no")
		})
		if !errors.Is(err, db.ErrReadOnly) {
			t.Errorf("writing in a View: %v", err)
		}
		// Even when the write is disguised as a query.
		for _, run := range []func(context.Context, db.Scope, func(*db.Tx) error) error{d.View, d.Glance} {
			err = run(ctx, d.Scope(1), func(tx *db.Tx) error {
				var id int
				return tx.QueryRow(ctx, db.SQL(`INSERT INTO note (practice_id, id) VALUES ($1, 1) RETURNING id`), 1).Scan(&id)
			})
			if err == nil || count(t, d, 1) != 0 {
				t.Errorf("a write disguised as a query: %v", err)
			}
		}
	})
}

func TestAViewSeesOneState(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		view(t, d, 1, func(tx *db.Tx) error {
			var before, after int
			if err := tx.QueryRow(ctx, countNotes, 1).Scan(&before); err != nil {
				return err
			}
			wrote := make(chan error)
			go func() {
				wrote <- d.Do(ctx, d.Scope(1), func(tx *db.Tx) error { return add(ctx, tx, 1, "meanwhile") })
			}()
			if err := <-wrote; err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, countNotes, 1).Scan(&after); err != nil {
				return err
			}
			if before != 0 || after != 0 {
				t.Errorf("the view changed from %d to %d rows", before, after)
			}
			return nil
		})
		if n := count(t, d, 1); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestCancelledContexts(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Do(gone, d.Scope(1), func(*db.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("before: %v", err)
		}
		// Cancelled in the middle: nothing of it is kept.
		ctx, cancel := context.WithCancel(t.Context())
		err := d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
			if err := add(ctx, tx, 1, "a"); err != nil {
				return err
			}
			cancel()
			return add(ctx, tx, 2, "b")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("in the middle: %v", err)
		}
		// Cancelled while waiting behind another writer.
		if d.Engine() == db.SQLite {
			inside, leave, waited := make(chan struct{}), make(chan struct{}), make(chan error)
			first := make(chan error)
			go func() {
				first <- d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error { close(inside); <-leave; return nil })
			}()
			<-inside
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				waited <- d.Do(ctx, d.Scope(1), func(*db.Tx) error { t.Error("ran"); return nil })
			}()
			cancel()
			if err := <-waited; !errors.Is(err, context.Canceled) {
				t.Errorf("waiting: %v", err)
			}
			close(leave)
			if err := <-first; err != nil {
				t.Error(err)
			}
		}
		// A long query ends with its context.
		endless := db.SQL(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT count(*) FROM n`)
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err = d.View(ctx, d.Scope(1), func(tx *db.Tx) error {
			var n int
			return tx.QueryRow(ctx, endless).Scan(&n)
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a long query: %v", err)
		}
		if n := count(t, d, 1); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestPracticesAreApart(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		ctx := t.Context()
		do(t, d, 1, func(tx *db.Tx) error { return add(ctx, tx, 1, "of the first") })
		for _, p := range []db.PracticeID{2, 1} {
			view(t, d, p, func(tx *db.Tx) error {
				var n int
				// The statement forgets the practice; the engine does not.
				if err := tx.QueryRow(ctx, countAll).Scan(&n); err != nil || n != int(2-p) {
					t.Errorf("practice %d counts %d, %v", p, n, err)
				}
				return nil
			})
		}
		do(t, d, 2, func(tx *db.Tx) error {
			n, err := tx.Exec(ctx, db.SQL(`DELETE FROM note`))
			if n != 0 {
				t.Errorf("practice 2 deleted %d rows of practice 1", n)
			}
			return err
		})
		if n := count(t, d, 1); n != 1 {
			t.Errorf("%d rows", n)
		}
		// The system store is a place of its own.
		if err := d.View(ctx, d.Scope(db.System), func(tx *db.Tx) error {
			var n int
			return tx.QueryRow(ctx, countAll).Scan(&n)
		}); err == nil {
			t.Error("the system store has the table of practices")
		}
		do(t, d, db.System, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, db.SQL(`INSERT INTO login (practice_id, name) VALUES ($1, $2)`), 1, "ann")
			return err
		})
		ids, err := d.Practices(ctx)
		if err != nil || fmt.Sprint(ids) != "[1 2]" {
			t.Errorf("practices %v, %v", ids, err)
		}
	})
}

func TestTimeComesFromTheClock(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		d.Clock.Advance(time.Hour)
		do(t, d, 1, func(tx *db.Tx) error {
			if want := dbtest.Start.Add(time.Hour); !tx.Now().Equal(want) || tx.NowMicro() != want.UnixMicro() {
				t.Errorf("Now = %v", tx.Now())
			}
			return nil
		})
	})
}
