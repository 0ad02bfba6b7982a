package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"yarrow.health/internal/base/clock"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 1234, time.UTC)

func TestManualClockMovesOnlyWhenTold(t *testing.T) {
	c := clock.NewManual(noon)
	if got := c.Now(); got != noon.Truncate(time.Microsecond) {
		t.Fatalf("Now = %v", got)
	}
	soon, later := c.After(time.Second), c.After(time.Hour)
	c.Advance(time.Minute)
	select {
	case <-soon:
	default:
		t.Error("a wait of a second did not end after a minute")
	}
	select {
	case <-later:
		t.Error("a wait of an hour ended after a minute")
	default:
	}
	if got := c.Since(noon.Truncate(time.Microsecond)); got != time.Minute {
		t.Errorf("Since = %v", got)
	}
}

func TestSleepOnManualClock(t *testing.T) {
	c := clock.NewManual(noon)
	done := make(chan error)
	go func() { done <- c.Sleep(context.Background(), time.Second) }()
	for c.Waiting() == 0 {
		if err := clock.System().Sleep(context.Background(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	for name, c := range map[string]*clock.Clock{"manual": clock.NewManual(noon), "system": clock.System()} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- c.Sleep(ctx, time.Hour) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Sleep = %v", name, err)
		}
		if n := c.Waiting(); n != 0 {
			t.Errorf("%s: %d waiters left behind", name, n)
		}
	}
}

func TestSystemClockIsUTCInMicroseconds(t *testing.T) {
	now := clock.System().Now()
	if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("Now = %v", now)
	}
}
