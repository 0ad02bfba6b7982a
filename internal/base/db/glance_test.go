package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

var (
	noteOf     = db.SQL(`SELECT body, sealed, weight FROM note WHERE practice_id = $1 AND id = $2`)
	tenThrough = db.SQL(`SELECT 10 / flag FROM note WHERE practice_id = $1 AND id = $2`)
)

// TestGlancesTravelTogether: whoever shares a round trip gets its own answer, also when another's statement fails or its reader goes away.
func TestGlancesTravelTogether(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	ctx := t.Context()
	const n = 40 // more than one trip
	for _, p := range []db.PracticeID{1, 2} {
		if err := d.Do(ctx, d.Scope(p), func(tx *db.Tx) error {
			for id := range int64(n) {
				if err := add(ctx, tx, id, fmt.Sprint(id)); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, db.SQL(`UPDATE note SET body = CASE WHEN id = 0 THEN '' ELSE 'of ' || practice_id || ' ' || id END,
				sealed = CASE WHEN id > 0 THEN 'x'::bytea END WHERE practice_id = $1`), int64(p))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(ctx context.Context, p db.PracticeID, id int64) error {
		var body string
		sealed := []byte("old")
		weight := new(float64)
		err := d.Glance(ctx, d.Scope(p), func(tx *db.Tx) error {
			return tx.QueryRow(ctx, noteOf, p, id).Scan(&body, &sealed, &weight)
		})
		want, bytes := fmt.Sprintf("of %d %d", p, id), "x"
		if id == 0 {
			want, bytes = "", ""
		}
		if err == nil && (body != want || string(sealed) != bytes || weight != nil) {
			err = fmt.Errorf("got %q %q %v, want %q", body, sealed, weight, want)
		}
		return err
	}
	for round := range 3 { // connections are new, then used, then the other practice's
		for _, p := range []db.PracticeID{1, 2} {
			inLine, leave := db.HoldTrips(d.DB, p)
			errs := make([]error, n)
			gone, goAway := context.WithCancel(ctx)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					switch {
					case i%10 == 3: // nobody may be told what this does
						errs[i] = d.Glance(ctx, d.Scope(p), func(tx *db.Tx) error {
							var ten int
							return tx.QueryRow(ctx, tenThrough, p, int64(i)).Scan(&ten)
						})
						if errs[i] == nil {
							errs[i] = errors.New("divided by nothing")
						} else {
							errs[i] = nil
						}
					case i == n-1:
						if errs[i] = read(gone, p, int64(i)); errors.Is(errs[i], context.Canceled) {
							errs[i] = nil
						}
					default:
						errs[i] = read(ctx, p, int64(i))
					}
				})
				for range 5000 {
					if inLine() == i+1 {
						break
					}
					_ = clock.System().Sleep(ctx, time.Millisecond)
				}
			}
			goAway()
			leave()
			wg.Wait()
			for i, err := range errs {
				if err != nil {
					t.Errorf("round %d, practice %d: reader %d: %v", round, p, i, err)
				}
			}
		}
	}
	for _, p := range []db.PracticeID{1, 2} {
		for range 5000 {
			if db.TripsAway(d.DB, p) == 0 {
				break
			}
			_ = clock.System().Sleep(ctx, time.Millisecond)
		}
		if n := db.TripsAway(d.DB, p); n != 0 {
			t.Errorf("%d trips of practice %d never came back", n, p)
		}
	}
}

// TestAGlanceOutlivesItsConnection: when the server ends the connection of a trip, its readers are answered over another one.
func TestAGlanceOutlivesItsConnection(t *testing.T) {
	d := dbtest.PostgreSQL(t, ours)
	ctx := t.Context()
	inLine, leave := db.HoldTrips(d.DB, 1)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			errs[i] = d.Glance(ctx, d.Scope(1), func(tx *db.Tx) error {
				var pid int
				st := db.SQL(`SELECT pg_backend_pid() + CASE WHEN application_name = 'x' THEN 1 ELSE 0 END FROM pg_stat_activity WHERE pid = pg_backend_pid()`)
				if i == 1 {
					st = db.SQL(`SELECT CASE WHEN pg_terminate_backend(pg_backend_pid()) THEN 1 ELSE 0 END`)
				}
				return tx.QueryRow(ctx, st).Scan(&pid)
			})
		})
		for range 5000 {
			if inLine() == i+1 {
				break
			}
			_ = clock.System().Sleep(ctx, time.Millisecond)
		}
	}
	leave()
	wg.Wait()
	for i, err := range errs {
		if (i == 1) != (err != nil) {
			t.Errorf("reader %d: %v", i, err)
		}
	}
}
