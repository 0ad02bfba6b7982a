package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Spec describes one piece of work to be queued.
type Spec struct {
	Kind string // names the handler, e.g. "reminders.send"
	Key  string // at most one job per kind and non-empty key ever exists, whatever its state
	// Payload is stored sealed as JSON.
	Payload  any
	RunAt    time.Time // zero: now
	Attempts int       // zero: 8
}

// Job is a claimed piece of work as its handler sees it.
type Job struct {
	Practice db.PracticeID
	ID       int64
	Kind     string
	Attempt  int  // 1 for the first try
	last     bool // no further attempt is allowed
	payload  []byte
	lease    int64
	done     bool
}

// Decode reads the payload into v.
func (j *Job) Decode(v any) error { return json.Unmarshal(j.payload, v) }

// ErrLeaseLost says that another worker has taken the job over; the transaction that would have completed it must fail,
// so that its effect happens once.
var ErrLeaseLost = errors.New("jobs: the lease ended and another worker has the job")

// permanent marks a failure that no retry can cure.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent wraps an error that makes the job a dead letter at once.
func Permanent(err error) error { return permanent{err} }

type state int

const (
	ready state = iota
	running
	done
	dead
)

// longestWait is the ceiling of the backoff between two tries.
const longestWait = time.Hour

// Backoff is how long to wait after a failed attempt: it doubles from two seconds to an hour, spread by a fifth so that
// jobs that failed together do not return together.
func Backoff(attempt int) time.Duration {
	d := longestWait
	if attempt < 12 {
		d = min(longestWait, time.Second<<attempt)
	}
	return d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1))
}

// Add queues a job in the caller's transaction; it runs only if that transaction commits. It reports false when a job with
// the same kind and key is there already.
func (q *Queue) Add(ctx context.Context, tx *db.Tx, s Spec) (bool, error) {
	body, err := json.Marshal(s.Payload)
	if err != nil {
		return false, fmt.Errorf("jobs: payload of %s: %w", s.Kind, err)
	}
	if s.Attempts == 0 {
		s.Attempts = 8
	}
	at := tx.NowMicro()
	if !s.RunAt.IsZero() {
		at = s.RunAt.UnixMicro()
	}
	added, err := insertJob(ctx, tx, s, body, at)
	if err != nil || !added {
		return false, err
	}
	p := tx.Practice()
	tx.OnCommit(func() { q.wake(p, at) })
	return true, nil
}

// Complete marks the job done inside the transaction that holds its effect. If the lease was lost it returns ErrLeaseLost,
// and the caller returns that error so that the effect is rolled back.
func (j *Job) Complete(ctx context.Context, tx *db.Tx) error {
	ok, err := finishJob(ctx, tx, j, done, tx.NowMicro(), "")
	if err != nil {
		return err
	}
	if !ok {
		return ErrLeaseLost
	}
	tx.OnCommit(func() { j.done = true })
	return nil
}

// Letter is a job that failed for good.
type Letter struct {
	ID       int64
	Kind     string
	Attempts int
	At       time.Time
	Problem  string // the last failure, for the practice's own eyes: it may name a record
}

// Dead lists the dead letters of the practice, newest first.
func (q *Queue) Dead(ctx context.Context, tx *db.Tx, limit int) ([]Letter, error) {
	return deadLetters(ctx, tx, limit)
}

// Retry puts a dead letter back in the queue.
func (q *Queue) Retry(ctx context.Context, tx *db.Tx, id int64) error {
	ok, err := reviveJob(ctx, tx, id)
	if err != nil {
		return err
	}
	if !ok {
		return fhir.Problem("not-found", "There is no failed job with this number.", "Look at the list of failed work again; someone may have retried it already.")
	}
	p, at := tx.Practice(), tx.NowMicro()
	tx.OnCommit(func() { q.wake(p, at) })
	return nil
}
