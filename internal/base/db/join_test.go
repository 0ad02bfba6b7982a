package db_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

var touchNote = db.SQL(`UPDATE note SET flag = flag + 1 WHERE practice_id = $1 AND id = $2`)

// gate holds the first Join inside its fn until the others stand in line behind it, so that they share its transaction.
type gate struct {
	once          sync.Once
	inside, leave chan struct{}
}

func newGate() *gate { return &gate{inside: make(chan struct{}), leave: make(chan struct{})} }

// pass is called by the first member. It waits once, however often the member is run.
func (g *gate) pass() {
	g.once.Do(func() {
		close(g.inside)
		<-g.leave
	})
}

// together runs the members in one shared transaction, first first, as long as nothing spoils it, and returns their errors.
func together(t *testing.T, d *dbtest.DB, members ...func(ctx context.Context, tx *db.Tx) error) []error {
	t.Helper()
	defer db.NoHurry()()
	errs := make([]error, len(members))
	g := newGate()
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			errs[i] = errors.New("panicked")
			defer func() { _ = recover() }()
			errs[i] = d.Join(t.Context(), d.Scope(1), func(tx *db.Tx) error {
				if i == 0 {
					g.pass()
				}
				return m(t.Context(), tx)
			}, fmt.Sprint(i))
		})
		if i == 0 {
			<-g.inside
		} else {
			waitInLine(t, d, i)
		}
	}
	close(g.leave)
	wg.Wait()
	return errs
}

func waitInLine(t *testing.T, d *dbtest.DB, n int) {
	t.Helper()
	for range 5000 {
		if db.InLine(d.DB, 1) == n {
			return
		}
		_ = clock.System().Sleep(t.Context(), time.Millisecond)
	}
	t.Fatalf("%d do not stand in line", n)
}

func adds(id int64) func(ctx context.Context, tx *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, id, fmt.Sprint(id)) }
}

func queues(id int64) func(ctx context.Context, tx *db.Tx) error {
	return func(_ context.Context, tx *db.Tx) error {
		tx.Queue(insertNote, 1, id, fmt.Sprint(id))
		return nil
	}
}

func TestJoinedTransactionsFailAlone(t *testing.T) {
	boom := errors.New("boom")
	ends := map[string]func(ctx context.Context, tx *db.Tx) error{
		"an error after a write": func(ctx context.Context, tx *db.Tx) error {
			if err := add(ctx, tx, 3, "gone"); err != nil {
				return err
			}
			return boom
		},
		"an error after a read": func(ctx context.Context, tx *db.Tx) error {
			var n int
			if err := tx.QueryRow(ctx, countNotes, 1).Scan(&n); err != nil {
				return err
			}
			return boom
		},
		"a statement that fails": func(ctx context.Context, tx *db.Tx) error { return add(ctx, tx, 100, "double") },
		"a queued statement that fails": func(_ context.Context, tx *db.Tx) error {
			tx.Queue(insertNote, 1, 100, "double")
			return nil
		},
		"a panic after a write": func(ctx context.Context, tx *db.Tx) error {
			_ = add(ctx, tx, 3, "gone")
			panic("boom")
		},
		"an exit after a queued write": func(_ context.Context, tx *db.Tx) error {
			tx.Queue(insertNote, 1, 3, "gone")
			runtime.Goexit()
			return nil
		},
		"rows left open": func(ctx context.Context, tx *db.Tx) error {
			rows, err := tx.Query(ctx, db.SQL(`SELECT id FROM note WHERE practice_id = $1`), 1)
			if err != nil {
				return err
			}
			rows.Next()
			return boom
		},
		"a cancelled context": func(ctx context.Context, tx *db.Tx) error {
			ctx, cancel := context.WithCancel(ctx)
			_ = add(ctx, tx, 3, "gone")
			cancel()
			return add(ctx, tx, 4, "gone")
		},
	}
	each(t, func(t *testing.T, d *dbtest.DB) {
		for name, end := range ends {
			do(t, d, 1, func(tx *db.Tx) error { return add(t.Context(), tx, 100, "there") })
			errs := together(t, d, adds(1), queues(2), end, queues(5), adds(6))
			for i, err := range errs {
				if (err != nil) != (i == 2) {
					t.Errorf("%s: member %d: %v", name, i, err)
				}
			}
			if n := count(t, d, 1); n != 5 {
				t.Errorf("%s: %d rows of 5", name, n)
			}
			do(t, d, 1, func(tx *db.Tx) error {
				_, err := tx.Exec(t.Context(), db.SQL(`DELETE FROM note WHERE practice_id = $1`), 1)
				return err
			})
		}
	})
}

// TestJoinedTransactionsShareACommit, see what those before them wrote, and are told only afterwards.
func TestJoinedTransactionsShareACommit(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	inside := db.SQL(`SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), (SELECT count(*) FROM note WHERE practice_id = $1)`)
	var xids, seen [4]int64
	var hooks atomic.Int64
	var members []func(ctx context.Context, tx *db.Tx) error
	for i := range xids {
		members = append(members, func(ctx context.Context, tx *db.Tx) error {
			if err := add(ctx, tx, int64(i), fmt.Sprint(i)); err != nil {
				return err
			}
			tx.OnCommit(func() { hooks.Add(1) })
			if !tx.Shared() || tx.LookShared("first") != nil != (i > 0) {
				t.Errorf("member %d does not share", i)
			}
			if want := []string{"1", "2", "3"}[i:]; !slices.Equal(tx.Wanted(), want) {
				t.Errorf("behind member %d stand %v, not %v", i, tx.Wanted(), want)
			}
			tx.KeepShared("first", true)
			return tx.QueryRow(ctx, inside, 1).Scan(&xids[i], &seen[i])
		})
	}
	for i, err := range together(t, d, members...) {
		if err != nil || xids[i] != xids[0] || seen[i] != int64(i+1) {
			t.Errorf("member %d of transaction %d saw %d: %v", i, xids[i], seen[i], err)
		}
	}
	if hooks.Load() != 4 {
		t.Errorf("%d hooks ran", hooks.Load())
	}
}

// TestARefusalWaitsForWhatItSaw: who refuses because of what another member wrote answers only once that is kept, and otherwise looks again.
func TestARefusalWaitsForWhatItSaw(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	taken := errors.New("taken")
	claim := func(ctx context.Context, tx *db.Tx) error {
		var body string
		if err := tx.QueryRow(ctx, bodyOf, 1, 1).Scan(&body); err == nil {
			return taken
		}
		return add(ctx, tx, 1, "mine")
	}
	first := func(ctx context.Context, tx *db.Tx) error {
		if !tx.Shared() {
			return errors.New("nothing after all")
		}
		if err := add(ctx, tx, 1, "first"); err != nil {
			return err
		}
		tx.Queue(insertNote, 1, 1, "a failure that comes out later")
		return nil
	}
	if errs := together(t, d, first, claim); errs[0] == nil || errs[1] != nil {
		t.Errorf("%v", errs)
	}
	if errs := together(t, d, adds(9), claim); errs[0] != nil || !errors.Is(errs[1], taken) {
		t.Errorf("%v", errs)
	}
}

// TestALostConnectionOfAShare: before the COMMIT nothing is kept, and all are run again; at the COMMIT nobody knows, and nobody is told
// that it is kept.
func TestALostConnectionOfAShare(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	ctx := t.Context()
	super, err := pgx.Connect(ctx, d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.WithoutCancel(ctx))
	kill := func() {
		if _, err := super.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Error(err)
		}
	}
	var once sync.Once
	before := together(t, d, adds(1), queues(2), func(ctx context.Context, tx *db.Tx) error {
		once.Do(kill)
		return add(ctx, tx, 3, "3")
	}, queues(4))
	for i, err := range before {
		if err != nil {
			t.Errorf("before the COMMIT: member %d: %v", i, err)
		}
	}
	if n := count(t, d, 1); n != 4 {
		t.Errorf("%d rows of 4", n)
	}
	at := together(t, d, adds(11), queues(12), func(_ context.Context, tx *db.Tx) error {
		tx.Queue(insertNote, 1, int64(13), "13")
		kill()
		return nil
	})
	for _, err := range at {
		wantIssue(t, err, "transient", "not certain")
	}
	for range 8 { // connections that died while idle
		_ = d.View(ctx, d.Scope(1), func(tx *db.Tx) error {
			var n int
			return tx.QueryRow(ctx, countNotes, 1).Scan(&n)
		})
	}
	if n := count(t, d, 1); n != 4 {
		t.Errorf("%d rows of 4", n)
	}
}

// TestAShareThatMeetsAnother takes two rows in one order while a transaction of its own takes them in the other.
func TestAShareThatMeetsAnother(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	ctx := t.Context()
	do(t, d, 1, func(tx *db.Tx) error {
		if err := add(ctx, tx, 1, "a"); err != nil {
			return err
		}
		return add(ctx, tx, 2, "b")
	})
	touches := func(id int64) func(ctx context.Context, tx *db.Tx) error {
		return func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, touchNote, 1, id)
			return err
		}
	}
	other, holds, held := make(chan error, 1), make(chan struct{}), make(chan struct{})
	var has, met sync.Once
	go func() {
		other <- d.Do(ctx, d.Scope(1), func(tx *db.Tx) error {
			if err := touches(2)(ctx, tx); err != nil {
				return err
			}
			has.Do(func() { close(holds) })
			<-held
			return touches(1)(ctx, tx)
		})
	}()
	<-holds
	errs := together(t, d, func(ctx context.Context, tx *db.Tx) error {
		tx.Crowded() // from here on the share does not wait long
		err := touches(1)(ctx, tx)
		met.Do(func() { close(held) })
		return err
	}, adds(7), touches(2), adds(8))
	errs = append(errs, <-other)
	for i, err := range errs {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	view(t, d, 1, func(tx *db.Tx) error {
		var sum, n int64
		if err := tx.QueryRow(ctx, db.SQL(`SELECT sum(flag), count(*) FROM note WHERE practice_id = $1`), 1).Scan(&sum, &n); err != nil || sum != 4 || n != 4 {
			t.Errorf("touched %d times, %d rows: %v", sum, n, err)
		}
		return nil
	})
}

// TestSharesOfManyProcesses has two pools, as two processes have, count in one row, with transactions that fail, are cancelled, or
// stand by themselves in between: what was acknowledged is there once.
func TestSharesOfManyProcesses(t *testing.T) {
	const workers, rounds = 12, 20
	bump := db.SQL(`UPDATE note SET flag = flag + 1 WHERE practice_id = $1 AND id = 0`)
	d := dbtest.PostgreSQL(t, ours)
	second, err := db.Open(t.Context(), d.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	do(t, d, 1, func(tx *db.Tx) error { return add(t.Context(), tx, 0, "count") })
	var kept sync.Map
	var total atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			node := []*db.DB{d.DB, second}[w%2]
			for r := range rounds {
				id := int64(1 + w*rounds + r)
				ctx, cancel := context.WithCancel(t.Context())
				if id%5 == 0 {
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(id*17%3000)*time.Microsecond)
				}
				run := node.Do
				if id%7 != 0 {
					run = func(ctx context.Context, s db.Scope, fn func(*db.Tx) error) error { return node.Join(ctx, s, fn, "x") }
				}
				err := run(ctx, d.Scope(1), func(tx *db.Tx) error {
					if tx.Again() {
						if _, err := tx.Exec(ctx, bump, 1); err != nil {
							return err
						}
						tx.Crowded()
					}
					tx.Queue(insertNote, 1, id, fmt.Sprint(id))
					if !tx.Again() {
						tx.Queue(bump, 1)
						tx.Crowded()
					}
					if id%6 == 0 {
						return errUndone
					}
					return ctx.Err()
				})
				cancel()
				switch {
				case err == nil:
					kept.Store(id, true)
					total.Add(1)
				case !errors.Is(err, errUndone) && ctx.Err() == nil:
					t.Errorf("%d: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	view(t, d, 1, func(tx *db.Tx) error {
		rows, err := tx.Query(t.Context(), db.SQL(`SELECT id, flag FROM note WHERE practice_id = $1`), 1)
		if err != nil {
			return err
		}
		there, flag := map[int64]bool{}, int64(0)
		for rows.Next() {
			var id, f int64
			if err := rows.Scan(&id, &f); err != nil {
				return err
			}
			if id == 0 {
				flag = f
				continue
			}
			there[id] = true
			if id%6 == 0 {
				t.Errorf("%d was taken back and is there", id)
			}
		}
		kept.Range(func(id, _ any) bool {
			if !there[id.(int64)] {
				t.Errorf("%d was acknowledged and is lost", id)
			}
			return true
		})
		// A cancelled one may be there without having been acknowledged.
		if flag != int64(len(there)) || flag < total.Load() {
			t.Errorf("%d rows, counted %d, acknowledged %d", len(there), flag, total.Load())
		}
		return rows.Err()
	})
}
