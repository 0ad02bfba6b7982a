package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

func TestWitnessOutsideOfTheData(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"data/practices", "data.keys", "data-witness", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "data", "practices"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, refused := range map[string]string{"data": "data folder", "data/practices": "data folder", "link": "data folder", "data/../data": "data folder",
		"data.keys": "key store", "data-witness": "", "elsewhere": "", "": ""} {
		c := serve{place: place{Data: filepath.Join(dir, "data"), Keystore: filepath.Join(dir, "data.keys")}, Witness: dir + "/" + name}
		_, err := c.newWitness(ground0(t).audit)
		var i *fhir.Issue
		switch {
		case refused == "" && err != nil:
			t.Errorf("%q: %v", name, err)
		case refused != "" && (!errors.As(err, &i) || !strings.Contains(i.Text, refused) || i.Fix == ""):
			t.Errorf("%q: %v", name, err)
		}
	}
}

// ground0 is an installation without practices.
func ground0(t *testing.T) *ground {
	t.Helper()
	out := &output{text: io.Discard, errs: io.Discard, log: slog.New(slog.DiscardHandler)}
	g, err := place{Data: filepath.Join(t.TempDir(), "data")}.open(t.Context(), out, who{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.close() })
	return g
}

// A server whose audit is not witnessed says so and serves on.
func TestReadyzOfAWitness(t *testing.T) {
	g := ground0(t)
	id, err := g.auth.AddPractice(t.Context(), "willow", "Willow")
	if err != nil {
		t.Fatal(err)
	}
	out := &output{text: io.Discard, errs: io.Discard, log: slog.New(slog.DiscardHandler)}
	h := g.build(out, false, true)
	says := func(want, not string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if body := w.Body.String(); w.Code != 200 || !strings.HasPrefix(body, "ready\n") || !strings.Contains(body, want) || not != "" && strings.Contains(body, not) {
			t.Errorf("%d %q, want %q", w.Code, body, want)
		}
	}
	says("ready", "warning")
	dir := t.TempDir()
	if h.witness, err = audit.NewWitness(g.audit, dir); err != nil {
		t.Fatal(err)
	}
	says("ready", "warning")
	if err := os.WriteFile(filepath.Join(dir, "practice-1-0000000000000000009.note"), []byte("forged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.witness.Keep(t.Context(), auth.SystemScope(id, "test")); !errors.Is(err, audit.ErrForked) {
		t.Fatal(err)
	}
	says("warning: the audit of 1 practices does not continue what was witnessed", "willow")
}
