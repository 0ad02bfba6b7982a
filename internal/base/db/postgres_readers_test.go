package db

import (
	"context"
	"testing"
)

// TestReadersTakeTurns: places go round, and nobody waits for ever for one that does not come back.
func TestReadersTakeTurns(t *testing.T) {
	r := make(readers, 2)
	one, two := r.place(t.Context()), r.place(t.Context())
	three := r.place(t.Context()) // both are taken, and stay so
	if len(r) != 2 {
		t.Fatalf("%d of 2 places are taken", len(r))
	}
	three() // gives up nobody's place
	if len(r) != 2 {
		t.Fatalf("%d of 2 places are taken after somebody without one left", len(r))
	}
	one()
	four := r.place(t.Context())
	two()
	four()
	if len(r) != 0 {
		t.Fatalf("%d places are still taken", len(r))
	}
	ended, end := context.WithCancel(t.Context())
	end()
	r.place(t.Context())
	r.place(t.Context())
	r.place(ended)() // does not wait
}
