package jobs

import (
	"context"
	"strconv"
	"time"

	"yarrow.health/internal/base/db"
)

// Plan is work that every practice does at regular times, e.g. each night's audit review.
type Plan struct {
	Kind  string
	Every time.Duration
	// At shifts the work inside the period, so that a daily plan can run at 02:00 UTC. It must be shorter than Every.
	At time.Duration
}

// Plan registers regular work; its handler is registered with Handle. Missed times are not made up one by one: after a long
// stop the work runs once.
func (q *Queue) Plan(p Plan) { q.plans = append(q.plans, p) }

// next is the first time after now at which the plan is due.
func (p Plan) next(now time.Time) time.Time {
	slot := now.Add(-p.At).Truncate(p.Every).Add(p.At)
	if !slot.After(now) {
		slot = slot.Add(p.Every)
	}
	return slot
}

// planNext queues the plan's next time. The key names the slot, so several nodes or restarts plan it once.
func (q *Queue) planNext(ctx context.Context, tx *db.Tx, kind string) error {
	for _, p := range q.plans {
		if p.Kind != kind {
			continue
		}
		at := p.next(tx.Now())
		if _, err := q.Add(ctx, tx, Spec{Kind: kind, Key: "plan@" + strconv.FormatInt(at.Unix(), 10), RunAt: at}); err != nil {
			return err
		}
	}
	return nil
}
