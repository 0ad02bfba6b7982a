package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
)

// Event is something that has happened, named in the past tense by the module that saw it: "clinical.NoteSigned".
type Event struct {
	Seq     int64 // the practice's own count, without gaps in what a reader sees
	Kind    string
	At      time.Time
	payload []byte
}

// Decode reads the payload into v.
func (e Event) Decode(v any) error { return json.Unmarshal(e.payload, v) }

// Publish saves an event in the transaction of its cause. Readers get it after the commit, in order.
func (q *Queue) Publish(ctx context.Context, tx *db.Tx, kind string, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("jobs: payload of %s: %w", kind, err)
	}
	seq, err := saveEvent(ctx, tx, kind, body)
	if err != nil {
		return err
	}
	for _, r := range q.readers {
		if r.kinds[kind] {
			if _, err := q.Add(ctx, tx, Spec{Kind: outboxKind + "." + r.name, Key: fmt.Sprintf("%d", seq)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// reader is a module that acts on events of another one.
type reader struct {
	name  string
	kinds map[string]bool
	act   func(ctx context.Context, tx *db.Tx, e Event) error
}

// Read registers a durable reader. Its act runs in a transaction that also moves the reader's mark, so each event has its
// effect exactly once and in order; an error is retried with backoff and holds back the later ones.
func (q *Queue) Read(name string, act func(ctx context.Context, tx *db.Tx, e Event) error, kinds ...string) {
	r := reader{name: name, kinds: map[string]bool{}, act: act}
	for _, k := range kinds {
		r.kinds[k] = true
	}
	q.readers = append(q.readers, r)
	q.Handle(outboxKind+"."+name, func(ctx context.Context, j *Job) error { return q.drain(ctx, j, r) })
}

// drain gives the reader everything up to now, one transaction an event.
func (q *Queue) drain(ctx context.Context, j *Job, r reader) error {
	for {
		more := false
		err := q.db.Do(ctx, q.scope(j.Practice), func(tx *db.Tx) error {
			more = false
			mark, err := readerMark(ctx, tx, r.name)
			if err != nil {
				return err
			}
			events, err := eventsAfter(ctx, tx, mark, outboxAtOnce)
			if err != nil {
				return err
			}
			for _, e := range events {
				mark = e.Seq
				if r.kinds[e.Kind] {
					if err := r.act(ctx, tx, e); err != nil {
						return err
					}
					break // one effect a transaction
				}
			}
			more = len(events) > 0
			return setReaderMark(ctx, tx, r.name, mark)
		})
		if err != nil || !more {
			return err
		}
	}
}
