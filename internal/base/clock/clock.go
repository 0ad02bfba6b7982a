// Package clock owns time. Everything in Yarrow that needs to know the hour, or to wait, is handed a *Clock;
// no other package calls time.Now or starts a timer. It never formats times and never knows about time zones:
// what it gives is UTC, cut to microseconds, because that is what the database keeps.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time and waits. The zero Clock is not usable; take one from System or NewManual.
// It is safe for concurrent use.
type Clock struct {
	manual bool

	mu      sync.Mutex
	now     time.Time
	waiters []*waiter
}

type waiter struct {
	at time.Time
	ch chan time.Time
}

// System returns the clock of the machine.
func System() *Clock { return &Clock{} }

// NewManual returns a clock that stands at t until Advance or Set moves it. Tests and the simulator use it.
func NewManual(t time.Time) *Clock {
	return &Clock{manual: true, now: t.UTC().Truncate(time.Microsecond)}
}

// Now returns the present instant in UTC, in whole microseconds. A manual clock has no monotonic reading.
func (c *Clock) Now() time.Time {
	if !c.manual {
		return time.Now().UTC().Truncate(time.Microsecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Since returns how long ago t was.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Sleep waits for d, or until ctx ends, and then returns ctx's error. On a manual clock it waits until
// Advance or Set has carried the clock d further.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	var due <-chan time.Time
	if c.manual {
		w := c.wait(d)
		defer c.forget(w)
		due = w.ch
	} else {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// After returns a channel that delivers the time once, d from now. The channel has room for the value, so
// nobody need be listening.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	if !c.manual {
		return time.After(d)
	}
	return c.wait(d).ch
}

func (c *Clock) wait(d time.Duration) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &waiter{at: c.now.Add(d), ch: make(chan time.Time, 1)}
	if d <= 0 {
		w.ch <- c.now
		return w
	}
	c.waiters = append(c.waiters, w)
	return w
}

func (c *Clock) forget(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.waiters {
		if other == w {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			return
		}
	}
}

// Advance moves a manual clock forward by d and wakes whoever waited for that. On the system clock it panics:
// only tests and the simulator may bend time.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// Set moves a manual clock to t, forward or back. On the system clock it panics.
func (c *Clock) Set(t time.Time) {
	if !c.manual {
		panic("clock: the system clock cannot be set")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t.UTC().Truncate(time.Microsecond)
	rest := c.waiters[:0]
	for _, w := range c.waiters {
		if w.at.After(c.now) {
			rest = append(rest, w)
			continue
		}
		w.ch <- c.now
	}
	clear(c.waiters[len(rest):])
	c.waiters = rest
}

// Waiting says how many callers wait on a manual clock, so that a test can advance it only once they do.
func (c *Clock) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiters)
}
