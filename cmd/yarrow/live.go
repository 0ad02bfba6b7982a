package main

import (
	"context"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/web/ui"
)

// live joins the outbox's feed to a screen.
func (h *house) live(ctx context.Context, s auth.Staff, after int64) (ui.Stream, error) {
	l, err := h.queue.Feed().Listen(ctx, s, after)
	if err != nil {
		return nil, err
	}
	return stream{l}, nil
}

type stream struct{ l *jobs.Listener }

func (s stream) Ring() <-chan struct{} { return s.l.Ring }
func (s stream) Close()                { s.l.Close() }

func (s stream) Next(ctx context.Context, who auth.Staff) (kinds []string, seqs []int64, err error) {
	for {
		events, more, err := s.l.Next(ctx, who)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range events {
			kinds, seqs = append(kinds, e.Kind), append(seqs, e.Seq)
		}
		if !more {
			return kinds, seqs, nil
		}
	}
}
