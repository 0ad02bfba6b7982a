package audit

import (
	"context"
	"time"

	"yarrow.health/internal/base/clock"
)

// crowd lets a batch grow when many record at once. Those just answered come back at once with the next request: waiting for
// most of them lets one write serve all instead of one half and then the other. Meanwhile the processor makes their answers; that
// a write serves twice as many saves more of it than anything else, since what it costs is the same for one and for a hundred.
// Who uses it holds the lock of the queue, except for the waiting itself.
type crowd struct {
	want   int // requests to wait for
	enough context.CancelFunc
}

const (
	crowdFrom = 6 // requests of a batch from which on there is a crowd
	crowdMost = time.Millisecond
)

// expect is called after a batch of so many requests, while so many wait already. What it returns waits for more.
func (c *crowd) expect(ctx context.Context, have, served int) (wait func()) {
	if c.want = have + served*15/16; served < crowdFrom || have >= c.want {
		return func() {}
	}
	ctx, c.enough = context.WithCancel(context.WithoutCancel(ctx))
	return func() {
		_ = clock.System().Sleep(ctx, crowdMost) // ends early when enough have come
		c.enough()
	}
}

// grew tells how many wait now.
func (c *crowd) grew(have int) {
	if c.enough != nil && have >= c.want {
		c.enough()
	}
}
