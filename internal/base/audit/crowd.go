package audit

import (
	"context"
	"time"

	"yarrow.health/internal/base/clock"
)

// crowd lets a batch grow when many record at once. Those just answered come back at once with the next request: waiting for
// most of them, a little against what the disk takes, lets one write serve all instead of one half and then the other.
// Who uses it holds the lock of the queue, except for the waiting itself.
type crowd struct {
	want   int // requests to wait for
	enough context.CancelFunc
}

const (
	crowdFrom = 6 // requests of a batch from which on there is a crowd
	crowdMost = time.Millisecond
)

// expect is called after a batch of so many requests, while so many wait already. What it returns waits for more, given the
// time that the batch took.
func (c *crowd) expect(ctx context.Context, have, served int) (wait func(took time.Duration)) {
	if c.want = have + served*7/8; served < crowdFrom || have >= c.want {
		return func(time.Duration) {}
	}
	ctx, c.enough = context.WithCancel(context.WithoutCancel(ctx))
	return func(took time.Duration) {
		_ = clock.System().Sleep(ctx, min(crowdMost, took/2)) // ends early when enough have come
		c.enough()
	}
}

// grew tells how many wait now.
func (c *crowd) grew(have int) {
	if c.enough != nil && have >= c.want {
		c.enough()
	}
}
