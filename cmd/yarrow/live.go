package main

import (
	"context"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/web/ui"
)

// live joins the store's sequence of changes to a screen.
func (h *house) live(ctx context.Context, s auth.Staff, after int64) (ui.Stream, error) {
	l, err := h.store.Listen(ctx, s, after)
	if err != nil {
		return nil, err
	}
	return stream{l}, nil
}

type stream struct{ *fhirstore.Listener }

func (s stream) Ring() <-chan struct{} { return s.Listener.Ring }

func (s stream) Next(ctx context.Context, who auth.Staff) (types []string, seqs []int64, err error) {
	return s.Listener.Next(ctx, who)
}
