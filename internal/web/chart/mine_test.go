package chart_test

import (
	"net/url"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
)

// TestUnsignedNotes lists one's own drafts and nobody else's, and puts the look on record.
func TestUnsignedNotes(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	h := open(t, d)
	patients(t, h)
	if _, body := h.ask(t, "doctor", "GET", "/drafts", nil, false); !strings.Contains(body, "Every note is signed") || strings.Contains(body, "⟨") {
		t.Errorf("with none: %.300s", body)
	}
	h.ask(t, "doctor", "POST", "/patients/ann/notes", url.Values{"patient": {"ann"}, "template": {"phone"}}, false)
	before := entries(t, h)
	r, body := h.ask(t, "doctor", "GET", "/drafts", nil, false)
	if r.StatusCode != 200 || !strings.Contains(body, "ASH-OKORO") || !strings.Contains(body, "Phone call") || strings.Contains(body, "⟨") {
		t.Errorf("%d %.300s", r.StatusCode, body)
	}
	if entries(t, h) == before {
		t.Error("the look is not on record")
	}
	if _, body := h.ask(t, "other", "GET", "/drafts", nil, false); strings.Contains(body, "ASH-OKORO") {
		t.Error("somebody else's draft is listed")
	}
	if r, _ := h.ask(t, "biller", "GET", "/drafts", nil, false); r.StatusCode != 403 {
		t.Errorf("a biller: %d", r.StatusCode)
	}
}
