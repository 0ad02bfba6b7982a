package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
)

// Handler does one job. It returns nil when the work is done; if its effect is in the database it calls job.Complete in the
// same transaction. A returned error is retried with backoff, unless it is Permanent or the attempts are used up.
type Handler func(ctx context.Context, j *Job) error

// Queue holds the work of all practices of this node.
type Queue struct {
	db       *db.DB
	clock    *clock.Clock
	log      *slog.Logger
	handlers map[string]Handler
	plans    []Plan
	readers  []reader
	workers  int

	mu   sync.Mutex
	due  map[db.PracticeID]int64 // when each practice next has work
	busy map[db.PracticeID]int   // jobs of each practice that run here now
	bell chan struct{}
}

// Options tune a queue.
type Options struct {
	Workers int // jobs at once on this node; zero: 4
	Log     *slog.Logger
}

const (
	lease        = 5 * time.Minute
	perPractice  = 2 // of one practice at once, so that one practice's flood leaves room for the others
	pollEvery    = time.Second
	keepDone     = 7 * 24 * time.Hour
	keepOutbox   = 30 * 24 * time.Hour
	sweepKind    = "jobs.sweep"
	outboxKind   = "jobs.outbox"
	outboxAtOnce = 200
)

// New gives a queue; register handlers, plans and readers before Run.
func New(d *db.DB, o Options) *Queue {
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{db: d, clock: d.Clock(), log: o.Log, workers: o.Workers, handlers: map[string]Handler{},
		due: map[db.PracticeID]int64{}, busy: map[db.PracticeID]int{}, bell: make(chan struct{}, 1)}
	q.handlers[sweepKind] = q.sweep
	q.plans = append(q.plans, Plan{Kind: sweepKind, Every: 24 * time.Hour})
	return q
}

// Handle registers the handler of a kind.
func (q *Queue) Handle(kind string, h Handler) { q.handlers[kind] = h }

// wake tells the scheduler that a practice has work at a time.
func (q *Queue) wake(p db.PracticeID, at int64) {
	q.mu.Lock()
	if cur, ok := q.due[p]; !ok || at < cur {
		q.due[p] = at
	}
	q.mu.Unlock()
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then waits for the jobs in hand. Whatever it does not finish is taken up at the next start.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.recover(ctx); err != nil {
		return err
	}
	slots := make(chan struct{}, q.workers)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		if q.db.Engine() == db.PostgreSQL {
			if err := q.learnDue(ctx); err != nil && ctx.Err() == nil {
				q.log.Warn("jobs: the list of due practices cannot be read", "error", err)
			}
		}
		for {
			p, ok := q.pick()
			if !ok {
				break
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				q.release(p)
				return nil
			}
			j, err := q.claimOne(ctx, p)
			if err != nil || j == nil {
				<-slots
				q.release(p)
				if err != nil && ctx.Err() == nil {
					q.log.Warn("jobs: cannot claim work", "practice", p, "error", err)
					q.wake(p, q.clock.Now().Add(pollEvery).UnixMicro())
				}
				continue
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				q.do(ctx, j)
				<-slots
				q.release(p)
				q.wake(p, q.clock.Now().UnixMicro())
			}()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.bell:
		case <-q.clock.After(q.untilNext()):
		}
	}
}

// RunDue does everything that is due now, one job after another, and returns how many it did. Tests and commands that must
// not leave work behind use it instead of Run.
func (q *Queue) RunDue(ctx context.Context) (int, error) {
	practices, err := q.db.Practices(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for again := true; again; {
		again = false
		for _, p := range practices {
			j, err := q.claimOne(ctx, p)
			if err != nil {
				return n, err
			}
			if j != nil {
				q.do(ctx, j)
				n, again = n+1, true
			}
		}
	}
	return n, nil
}

// pick chooses the practice that has waited longest and has room, and counts it as busy.
func (q *Queue) pick() (db.PracticeID, bool) {
	now := q.clock.Now().UnixMicro()
	q.mu.Lock()
	defer q.mu.Unlock()
	var best db.PracticeID
	at := never
	for p, t := range q.due {
		if t <= now && q.busy[p] < perPractice && (t < at || t == at && p < best) {
			best, at = p, t
		}
	}
	if at == never {
		return 0, false
	}
	// Behind the others until its next due time is known.
	q.due[best] = now + 1
	q.busy[best]++
	return best, true
}

func (q *Queue) release(p db.PracticeID) {
	q.mu.Lock()
	if q.busy[p]--; q.busy[p] <= 0 {
		delete(q.busy, p)
	}
	q.mu.Unlock()
}

func (q *Queue) untilNext() time.Duration {
	now := q.clock.Now().UnixMicro()
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := pollEvery.Microseconds()
	if q.db.Engine() == db.SQLite {
		wait = 60 * wait // nobody else can add work to these files
	}
	for p, t := range q.due {
		if q.busy[p] < perPractice {
			wait = min(wait, max(t-now, 1000))
		}
	}
	return time.Duration(wait) * time.Microsecond
}

func (q *Queue) scope(p db.PracticeID) db.Scope { return auth.SystemScope(p, "jobs") }

func (q *Queue) claimOne(ctx context.Context, p db.PracticeID) (*Job, error) {
	// Looking is cheap and needs no durable commit; most looks find nothing.
	var next int64
	if err := q.db.View(ctx, q.scope(p), func(tx *db.Tx) (err error) {
		next, err = dueAt(ctx, tx)
		return err
	}); err != nil {
		return nil, err
	}
	now := q.clock.Now()
	if next > now.UnixMicro() {
		q.mu.Lock()
		if next == never {
			delete(q.due, p)
		} else {
			q.due[p] = next
		}
		q.mu.Unlock()
		return nil, nil
	}
	var got []*Job
	err := q.db.Do(ctx, q.scope(p), func(tx *db.Tx) (err error) {
		got, err = claim(ctx, tx, 1, now.Add(lease).UnixMicro())
		return err
	})
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return got[0], nil
}

// do runs a claimed job and records how it went.
func (q *Queue) do(ctx context.Context, j *Job) {
	h := q.handlers[j.Kind]
	var err error
	if h == nil {
		err = fmt.Errorf("no part of this program handles %q", j.Kind)
	} else {
		err = safely(ctx, h, j)
	}
	if j.done || errors.Is(err, ErrLeaseLost) {
		return
	}
	// The outcome is recorded even while the program stops; otherwise a finished job would run again.
	ctx = context.WithoutCancel(ctx)
	if rec := q.db.Do(ctx, q.scope(j.Practice), func(tx *db.Tx) error { return q.record(ctx, tx, j, err) }); rec != nil {
		q.log.Error("jobs: outcome not recorded; the job will run again when its lease ends", "practice", j.Practice, "job", j.ID, "kind", j.Kind, "error", rec)
	}
}

func (q *Queue) record(ctx context.Context, tx *db.Tx, j *Job, failure error) error {
	if failure == nil {
		_, err := finishJob(ctx, tx, j, done, tx.NowMicro(), "")
		if err != nil {
			return err
		}
		return q.planNext(ctx, tx, j.Kind)
	}
	if errors.As(failure, &permanent{}) || j.last {
		q.log.Error("jobs: given up", "practice", j.Practice, "job", j.ID, "kind", j.Kind, "attempt", j.Attempt)
		if _, err := finishJob(ctx, tx, j, dead, tx.NowMicro(), failure.Error()); err != nil {
			return err
		}
		return q.planNext(ctx, tx, j.Kind)
	}
	at := tx.Now().Add(Backoff(j.Attempt)).UnixMicro()
	if _, err := retryJob(ctx, tx, j, at, failure.Error()); err != nil {
		return err
	}
	tx.OnCommit(func() { q.wake(j.Practice, at) })
	return nil
}

// safely turns a panic of a handler into an error, so that one bad job cannot stop the others.
func safely(ctx context.Context, h Handler, j *Job) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handler panicked: %v", r)
		}
	}()
	return h(ctx, j)
}

// recover learns at start what each practice has waiting, and makes sure that planned work is planned.
func (q *Queue) recover(ctx context.Context) error {
	practices, err := q.db.Practices(ctx)
	if err != nil {
		return err
	}
	for _, p := range practices {
		if q.db.Engine() == db.SQLite {
			// One process has the folder: whoever held a lease is gone, and nobody has to wait until it ends.
			if err := q.db.Do(ctx, q.scope(p), func(tx *db.Tx) error { return free(ctx, tx) }); err != nil {
				return err
			}
		}
		if err := q.Adopt(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Adopt takes a practice under the scheduler's care: its planned work is planned and its waiting work is known.
// cmd calls it for a practice that is created while the program runs.
func (q *Queue) Adopt(ctx context.Context, p db.PracticeID) error {
	return q.db.Do(ctx, q.scope(p), func(tx *db.Tx) error {
		for _, plan := range q.plans {
			if err := q.planNext(ctx, tx, plan.Kind); err != nil {
				return err
			}
		}
		at, err := dueAt(ctx, tx)
		if err != nil {
			return err
		}
		tx.OnCommit(func() { q.wake(p, at) })
		return nil
	})
}

func (q *Queue) sweep(ctx context.Context, j *Job) error {
	if err := q.ForgetReplies(ctx, j.Practice); err != nil {
		return err
	}
	return q.db.Do(ctx, q.scope(j.Practice), func(tx *db.Tx) error {
		if err := sweep(ctx, tx, tx.Now().Add(-keepDone).UnixMicro()); err != nil {
			return err
		}
		return sweepOutbox(ctx, tx, tx.Now().Add(-keepOutbox).UnixMicro())
	})
}
