package db

import (
	"context"
	"runtime"
	"time"

	"yarrow.health/internal/base/clock"
)

// readers bounds how many look something up in practices' tables at once. Looking up is work for a processor: with more processes of the
// server at it than there are processors they only take turns with each other, and every one is slower for it (of a chart's
// eight requests over 32 connections, two processors needed 2.5 ms with 32 at once and 1.5 with 8). Waiting here costs next to nothing.
type readers chan struct{}

// readerWait bounds the wait: who stands behind long readings, such as exports, or a slow network goes on without a place.
const readerWait = 20 * time.Millisecond

func newReaders() readers { return make(readers, max(8, 4*runtime.GOMAXPROCS(0))) }

// place waits for a place and returns what gives it up.
func (r readers) place(ctx context.Context) (leave func()) {
	select {
	case r <- struct{}{}:
		return func() { <-r }
	default:
	}
	select {
	case r <- struct{}{}:
		return func() { <-r }
	case <-clock.System().After(readerWait):
	case <-ctx.Done(): // acquiring the connection says so
	}
	return func() {}
}
