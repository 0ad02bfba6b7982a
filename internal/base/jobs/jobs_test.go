package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

type letter struct{ Words string }

func add(t *testing.T, d *dbtest.DB, q *jobs.Queue, p db.PracticeID, s jobs.Spec) (added bool) {
	t.Helper()
	if err := d.Do(t.Context(), d.Scope(p), func(tx *db.Tx) (err error) {
		added, err = q.Add(t.Context(), tx, s)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return added
}

func due(t *testing.T, q *jobs.Queue) int {
	t.Helper()
	n, err := q.RunDue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWorkIsDoneOnceAndInTime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{})
		var got []string
		q.Handle("mail", func(ctx context.Context, j *jobs.Job) error {
			var l letter
			if err := j.Decode(&l); err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%d:%s", j.Practice, l.Words))
			return nil
		})
		add(t, d, q, 1, jobs.Spec{Kind: "mail", Payload: letter{"now"}})
		add(t, d, q, 2, jobs.Spec{Kind: "mail", Payload: letter{"other practice"}})
		add(t, d, q, 1, jobs.Spec{Kind: "mail", Payload: letter{"later"}, RunAt: d.Clock.Now().Add(time.Hour)})
		if !add(t, d, q, 1, jobs.Spec{Kind: "mail", Key: "a", Payload: letter{"once"}}) || add(t, d, q, 1, jobs.Spec{Kind: "mail", Key: "a", Payload: letter{"twice"}}) {
			t.Error("a key did not keep a second job out")
		}
		due(t, q)
		slices.Sort(got)
		if want := []string{"1:now", "1:once", "2:other practice"}; !slices.Equal(got, want) {
			t.Errorf("did %v, want %v", got, want)
		}
		if n := due(t, q); n != 0 {
			t.Errorf("%d jobs ran again", n)
		}
		got = nil
		d.Clock.Advance(time.Hour)
		due(t, q)
		if !slices.Contains(got, "1:later") {
			t.Errorf("after an hour: %v", got)
		}
		if add(t, d, q, 1, jobs.Spec{Kind: "mail", Key: "a"}) {
			t.Error("a key is free again after its job was done")
		}
	})
}

func TestFailureIsRetriedThenKeptAsDeadLetter(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{})
		tries, fail := 0, true
		q.Handle("flaky", func(ctx context.Context, j *jobs.Job) error {
			tries++
			switch {
			case !fail:
				return nil
			case tries == 2:
				panic("a handler that breaks")
			}
			return errors.New("line busy")
		})
		q.Handle("hopeless", func(ctx context.Context, j *jobs.Job) error { return jobs.Permanent(errors.New("no such number")) })
		add(t, d, q, 1, jobs.Spec{Kind: "flaky", Attempts: 3})
		add(t, d, q, 1, jobs.Spec{Kind: "hopeless"})
		for range 5 {
			due(t, q)
			d.Clock.Advance(2 * time.Hour)
		}
		if tries != 3 {
			t.Errorf("tried %d times, want 3", tries)
		}
		letters := dead(t, d, q)
		if len(letters) != 2 {
			t.Fatalf("dead letters: %+v", letters)
		}
		var flaky jobs.Letter
		for _, l := range letters {
			if l.Kind == "flaky" {
				flaky = l
			} else if !strings.Contains(l.Problem, "no such number") || l.Attempts != 1 {
				t.Errorf("%+v", l)
			}
		}
		if !strings.Contains(flaky.Problem, "line busy") {
			t.Errorf("%+v", flaky)
		}
		fail = false
		if err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error { return q.Retry(t.Context(), tx, flaky.ID) }); err != nil {
			t.Fatal(err)
		}
		due(t, q)
		if tries != 4 || len(dead(t, d, q)) != 1 {
			t.Errorf("after the retry: %d tries, %d dead", tries, len(dead(t, d, q)))
		}
		err := d.Do(t.Context(), d.Scope(2), func(tx *db.Tx) error { return q.Retry(t.Context(), tx, flaky.ID) })
		var issue *fhir.Issue
		if !errors.As(err, &issue) || issue.Code != "not-found" {
			t.Errorf("another practice's dead letter: %v", err)
		}
	})
}

func dead(t *testing.T, d *dbtest.DB, q *jobs.Queue) (out []jobs.Letter) {
	t.Helper()
	if err := d.View(t.Context(), d.Scope(1), func(tx *db.Tx) (err error) {
		out, err = q.Dead(t.Context(), tx, 10)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// A worker that stalls past its lease must not have its effect beside that of the worker who took over.
func TestEffectHappensOnceWhenALeaseIsLost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{})
		effects, stalls := 0, 0
		q.Handle("post", func(ctx context.Context, j *jobs.Job) error {
			if j.Attempt == 1 {
				stalls++
				d.Clock.Advance(time.Hour)
				if _, err := q.RunDue(ctx); err != nil { // another worker comes along meanwhile
					return err
				}
			}
			committed := false
			err := d.Do(ctx, d.Scope(j.Practice), func(tx *db.Tx) error {
				tx.OnCommit(func() { committed = true })
				return j.Complete(ctx, tx)
			})
			if committed {
				effects++
			}
			return err
		})
		add(t, d, q, 1, jobs.Spec{Kind: "post"})
		due(t, q)
		d.Clock.Advance(24 * time.Hour)
		due(t, q)
		if effects != 1 || stalls != 1 {
			t.Errorf("%d effects after %d stalls", effects, stalls)
		}
	})
}

func TestPlansRunOncePerPeriod(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{})
		q.Plan(jobs.Plan{Kind: "nightly", Every: 24 * time.Hour, At: 2 * time.Hour})
		ran := map[db.PracticeID]int{}
		q.Handle("nightly", func(ctx context.Context, j *jobs.Job) error { ran[j.Practice]++; return nil })
		for range 2 { // a second start plans nothing twice
			for _, p := range []db.PracticeID{1, 2} {
				if err := q.Adopt(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 3 {
			d.Clock.Advance(24 * time.Hour)
			due(t, q)
		}
		if ran[1] != 3 || ran[2] != 3 {
			t.Errorf("ran %v, want 3 times each", ran)
		}
		d.Clock.Advance(30 * 24 * time.Hour) // the program was off for a month
		due(t, q)
		if ran[1] != 4 {
			t.Errorf("missed nights were made up: %v", ran)
		}
	})
}

func TestOutboxReachesReadersOnceInOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{})
		var read []string
		broken := true
		q.Read("billing", func(ctx context.Context, tx *db.Tx, e jobs.Event) error {
			var l letter
			if err := e.Decode(&l); err != nil {
				return err
			}
			if broken && l.Words == "2" {
				broken = false
				return errors.New("not now")
			}
			tx.OnCommit(func() { read = append(read, l.Words) })
			return nil
		}, "clinical.NoteSigned")
		publish := func(kind, words string, fail bool) {
			err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
				if err := q.Publish(t.Context(), tx, kind, letter{words}); err != nil {
					return err
				}
				if fail {
					return errors.New("the cause was rolled back")
				}
				return nil
			})
			if (err != nil) != fail {
				t.Fatal(err)
			}
		}
		publish("clinical.NoteSigned", "1", false)
		publish("clinical.NoteSigned", "never", true)
		publish("other.Thing", "x", false)
		publish("clinical.NoteSigned", "2", false)
		publish("clinical.NoteSigned", "3", false)
		for range 4 {
			due(t, q)
			d.Clock.Advance(3 * time.Hour)
		}
		if want := []string{"1", "2", "3"}; !slices.Equal(read, want) {
			t.Errorf("read %v, want %v", read, want)
		}
	})
}

// An answer stays under its key for half a year; then the daily sweep deletes it, more than one transaction's worth.
func TestAnswersAreForgottenLate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{})
		kept := func(p db.PracticeID) (n int) {
			if err := d.View(t.Context(), d.Scope(p), func(tx *db.Tx) error {
				return tx.QueryRow(t.Context(), db.SQL(`SELECT count(*) FROM idempotency WHERE practice_id = $1`), int64(p)).Scan(&n)
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		keep := func(p db.PracticeID, from, to int) {
			if err := d.Do(t.Context(), d.Scope(p), func(tx *db.Tx) error {
				for i := from; i < to; i++ {
					if err := jobs.Keep(t.Context(), tx, jobs.Key{Value: fmt.Sprint(i)}, jobs.Reply{Status: 200}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		sweep := func() {
			for _, p := range []db.PracticeID{1, 2} {
				if err := q.Adopt(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := q.RunDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := q.ForgetReplies(t.Context(), db.System); err != nil {
				t.Fatal(err)
			}
		}
		sweep()
		keep(1, 0, 1100)
		keep(2, 0, 1)
		keep(db.System, 0, 1)
		d.Clock.Advance(91 * 24 * time.Hour)
		sweep()
		keep(1, 1100, 1103)
		if a, b, c := kept(1), kept(2), kept(db.System); a != 1103 || b != 1 || c != 1 {
			t.Errorf("after a quarter %d, %d and %d are kept", a, b, c)
		}
		d.Clock.Advance(91 * 24 * time.Hour)
		sweep()
		if a, b, c := kept(1), kept(2), kept(db.System); a != 3 || b != 0 || c != 0 {
			t.Errorf("after half a year %d, %d and %d are kept", a, b, c)
		}
	})
}

func TestOneAnswerPerIdempotencyKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		key := jobs.Key{Principal: "staff:1", Route: "POST /patients", Value: "k1", Request: "a"}
		var mu sync.Mutex
		effects := 0
		ask := func(p db.PracticeID, k jobs.Key) (r jobs.Reply, err error) {
			for range 20 {
				fresh := false
				err = d.Do(t.Context(), d.Scope(p), func(tx *db.Tx) error {
					old, err := jobs.Answered(t.Context(), tx, k)
					if err != nil || old != nil {
						if old != nil {
							r = *old
						}
						return err
					}
					fresh = true
					r = jobs.Reply{Status: 201, Location: "Patient/1", Body: []byte("ok")}
					return jobs.Keep(t.Context(), tx, k, r)
				})
				var i *fhir.Issue
				if errors.As(err, &i) && strings.Contains(i.Text, "at this moment") {
					continue
				}
				if err == nil && fresh {
					mu.Lock()
					effects++
					mu.Unlock()
				}
				return r, err
			}
			return r, err
		}
		var wg sync.WaitGroup
		for range 16 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if r, err := ask(1, key); err != nil || r.Location != "Patient/1" {
					t.Errorf("%+v %v", r, err)
				}
			}()
		}
		wg.Wait()
		if effects != 1 {
			t.Errorf("%d effects under one key", effects)
		}
		changed := key
		changed.Request = "b"
		if _, err := ask(1, changed); err == nil {
			t.Error("another request under the same key was answered")
		}
		elsewhere := key
		elsewhere.Principal = "staff:2"
		for _, tc := range []struct {
			p db.PracticeID
			k jobs.Key
		}{{2, key}, {1, elsewhere}} {
			before := effects
			if _, err := ask(tc.p, tc.k); err != nil || effects != before+1 {
				t.Errorf("practice %d, %s: the key of another was taken: %v", tc.p, tc.k.Principal, err)
			}
		}
	})
}

func TestRunWorksUntilStopped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		q := jobs.New(d.DB, jobs.Options{Workers: 2})
		done := make(chan string, 40)
		q.Handle("work", func(ctx context.Context, j *jobs.Job) error { done <- fmt.Sprint(j.Practice); return nil })
		for range 15 {
			add(t, d, q, 1, jobs.Spec{Kind: "work"})
		}
		add(t, d, q, 2, jobs.Spec{Kind: "work"})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- q.Run(ctx) }()
		place := 0
		for i := range 16 {
			if p := <-done; p == "2" {
				place = i
			}
		}
		if place > 4 {
			t.Errorf("the other practice's job came after %d of the first one's", place)
		}
		add(t, d, q, 1, jobs.Spec{Kind: "work"}) // while it runs
		<-done
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestWorkOfAKilledProcessIsTakenUpAtOnce is about SQLite alone: there one process has the data, and a start knows that no lease is held.
func TestWorkOfAKilledProcessIsTakenUpAtOnce(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	first := jobs.New(d.DB, jobs.Options{})
	begun, end := make(chan bool), make(chan bool)
	first.Handle("long", func(context.Context, *jobs.Job) error {
		begun <- true
		<-end
		return nil
	})
	add(t, d, first, 1, jobs.Spec{Kind: "long"})
	over := make(chan bool)
	go func() {
		_, _ = first.RunDue(context.Background())
		close(over)
	}()
	<-begun // and never comes back, as far as the next process can tell
	ctx, stop := context.WithCancel(t.Context())
	second := jobs.New(d.DB, jobs.Options{})
	attempts := make(chan int, 1)
	second.Handle("long", func(_ context.Context, j *jobs.Job) error {
		attempts <- j.Attempt
		return nil
	})
	done := make(chan error)
	go func() { done <- second.Run(ctx) }()
	if n := <-attempts; n != 2 {
		t.Errorf("attempt %d", n)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	close(end)
	<-over
}
