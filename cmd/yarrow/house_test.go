package main

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"yarrow.health/internal/web/ui"
)

// Every module brings keys of its own; together they must not shadow one another.
func TestKeysOfTheWholeHouse(t *testing.T) {
	out := &output{text: io.Discard, errs: io.Discard, log: slog.New(slog.DiscardHandler)}
	g, err := place{Data: filepath.Join(t.TempDir(), "data")}.open(t.Context(), out, who{Demo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if c := ui.Clashes(g.build(out, true, false).router.Commands()); len(c) > 0 {
		t.Errorf("keys clash: %v", c)
	}
}
