package audit

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yarrow.health/internal/base/db"
)

// Log is the audit of all practices. It is safe for concurrent use.
type Log struct {
	db  *db.DB
	ids idents

	mu      sync.Mutex
	waiting map[db.PracticeID]*queue
	commits atomic.Int64 // batches written by Seen, for tests and metrics
	looks   looks

	fresh sync.Map // db.PracticeID: something was recorded here that has no position yet
	mute  bool     // nothing is kept (Mute)
}

// New returns the log kept in d.
func New(d *db.DB) *Log {
	return &Log{db: d, waiting: map[db.PracticeID]*queue{}, looks: looks{node: d.Journal()}}
}

// Mute returns a log that keeps nothing: what a request costs without its audit. The architecture test refuses its use in any file
// that is not a test.
func Mute(d *db.DB) *Log {
	l := New(d)
	l.mute = true
	return l
}

// Record adds events to the transaction that has their effect: both are kept or neither. It must be a Do; in a View
// the transaction fails.
func (l *Log) Record(tx *db.Tx, events ...Event) {
	if entries := l.entries(tx.Scope().Actor(), events); len(entries) > 0 {
		l.write(tx, entries)
	}
}

// Seen records events durably before it returns. One commit covers all requests of a practice that wait at that
// moment, and on the embedded database one write to the journal of the node all requests of all practices. When it returns an error nothing about the patients may be shown: the error is a *fhir.Issue of code
// "transient" that says so to the person. Once begun, writing goes on when ctx ends, and Seen returns ctx's error.
// It must not be called inside Do or View.
func (l *Log) Seen(ctx context.Context, s db.Scope, events ...Event) error {
	if s == nil || !s.Valid() {
		return db.ErrNoScope
	}
	entries := l.entries(s.Actor(), events)
	if len(entries) == 0 {
		return nil
	}
	if l.looks.node != nil {
		return l.note(ctx, s, entries)
	}
	b, lead := l.join(s, entries)
	if lead {
		// The first to come writes at once, in its own goroutine; those who come meanwhile make the next batch.
		l.commit(ctx, b)
		l.handOver(ctx, s.Practice())
		return b.err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unsealed lists the practices in which this process recorded something since it was last asked, and those of which the
// journal of the node holds something: [Log.Sequence] has work there. What other processes recorded, or this one before a restart, is found by asking every practice in turn.
func (l *Log) Unsealed() []db.PracticeID {
	var out []db.PracticeID
	l.fresh.Range(func(p, _ any) bool {
		l.fresh.Delete(p)
		out = append(out, p.(db.PracticeID))
		return true
	})
	if l.looks.node != nil {
		for _, owner := range l.looks.node.Owners() {
			if p := db.PracticeID(owner); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// Commits is how many commits Seen has made since start, for metrics.
func (l *Log) Commits() int64 { return l.commits.Load() }

// batch is the entries of requests that share a commit.
type batch struct {
	scope    db.Scope // of the first request; every entry carries its own actor
	entries  []Entry
	requests int
	done     chan struct{}
	err      error
}

// queue holds the batches of one practice that wait while another is being written.
type queue struct {
	batches []*batch
	crowd   crowd
}

// Limits of Seen. A batch larger than maxBatch would make its first request wait for strangers.
const (
	maxBatch    = 512
	seenTimeout = 15 * time.Second
)

// join adds entries to a batch and says whether the caller has to write it now.
func (l *Log) join(s db.Scope, entries []Entry) (b *batch, lead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.waiting[s.Practice()]
	if q == nil {
		l.waiting[s.Practice()] = &queue{}
		return &batch{scope: s, entries: entries, requests: 1, done: make(chan struct{})}, true
	}
	if n := len(q.batches); n > 0 && len(q.batches[n-1].entries)+len(entries) <= maxBatch {
		b = q.batches[n-1]
	} else {
		b = &batch{scope: s, done: make(chan struct{})}
		q.batches = append(q.batches, b)
	}
	b.entries = append(b.entries, entries...)
	b.requests++
	have := 0
	for _, w := range q.batches {
		have += w.requests
	}
	q.crowd.grew(have)
	return b, false
}

// handOver lets the waiting batches of a practice be written, so that the leader can answer its own request.
func (l *Log) handOver(ctx context.Context, p db.PracticeID) {
	if b := l.next(p); b != nil {
		go func() {
			for ; b != nil; b = l.next(p) {
				l.commit(ctx, b)
				l.mu.Lock()
				q, have := l.waiting[p], 0
				for _, w := range q.batches {
					have += w.requests
				}
				wait := q.crowd.expect(ctx, have, b.requests)
				l.mu.Unlock()
				wait()
			}
		}()
	}
}

// next takes a waiting batch, or ends the practice's queue when there is none.
func (l *Log) next(p db.PracticeID) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.waiting[p]
	if len(q.batches) == 0 {
		delete(l.waiting, p)
		return nil
	}
	b := q.batches[0]
	q.batches = q.batches[1:]
	return b
}

// commit writes a batch. It does not end with the request that happens to lead.
func (l *Log) commit(ctx context.Context, b *batch) {
	defer close(b.done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(db.Plain(ctx)), seenTimeout)
	defer cancel()
	err := l.db.Do(ctx, b.scope, func(tx *db.Tx) error {
		l.write(tx, b.entries)
		return nil
	})
	l.commits.Add(1)
	if err != nil {
		b.err = unrecorded(err)
	}
}

// entries makes entries without ids of what an actor did now.
func (l *Log) entries(a db.Actor, events []Event) []Entry {
	if l.mute {
		return nil
	}
	if a.Kind == "" {
		a.Kind = ActionUnspecified
	}
	if a.UserID != 0 {
		// The user id says who it is for ever; name and resource are found through it.
		a.Display, a.FHIR = "", ""
	}
	a.Kind, a.FHIR, a.Display = cut(a.Kind), cut(a.FHIR), cut(a.Display)
	a.Session, a.Request, a.Client = cut(a.Session), cut(a.Request), cut(a.Client)
	a.Role, a.OnBehalf, a.Address = cut(a.Role), cut(a.OnBehalf), cut(a.Address)
	now := l.db.Clock().Now()
	out := make([]Entry, 0, len(events))
	for _, e := range events {
		if len(e.Links) <= maxLinks { // nearly always
			out = append(out, Entry{At: now, Actor: a, Event: e.normal()})
			continue
		}
		for _, part := range e.parts() {
			out = append(out, Entry{At: now, Actor: a, Event: part})
		}
	}
	return out
}
