package ui

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
)

type bell struct {
	ring   chan struct{}
	closed chan struct{}
}

func (b *bell) Ring() <-chan struct{} { return b.ring }
func (b *bell) Close()                { close(b.closed) }
func (b *bell) Next(context.Context, auth.Staff) ([]string, []int64, error) {
	return []string{"Appointment"}, []int64{7}, nil
}

func TestLiveNews(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	b := &bell{make(chan struct{}, 1), make(chan struct{})}
	after := int64(0)
	h := open(t, d, Options{Live: func(_ context.Context, _ auth.Staff, a int64) (Stream, error) { after = a; return b, nil }})
	srv := httptest.NewServer(h.r)
	defer srv.Close()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/alder/live", nil)
	req.AddCookie(&http.Cookie{Name: "yarrow-session-" + slug, Value: h.doctor})
	req.Header.Set("Last-Event-ID", "5")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" || after != 5 {
		t.Errorf("%v after %d", resp.Header, after)
	}
	b.ring <- struct{}{}
	lines := bufio.NewScanner(resp.Body)
	var got []string
	for len(got) < 4 && lines.Scan() {
		if lines.Text() != "" {
			got = append(got, lines.Text())
		}
	}
	if want := []string{"retry: 3000", "id: 7", "event: Appointment", "data: 7"}; len(got) != 4 || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("%q", got)
	}
	stop()
	<-b.closed
}

// Somebody who is disabled stops hearing anything within a second, on an open stream too, and what rings then is not told.
func TestLiveNewsEndWithTheSession(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	b := &bell{make(chan struct{}, 1), make(chan struct{})}
	h := open(t, d, Options{Live: func(context.Context, auth.Staff, int64) (Stream, error) { return b, nil }})
	srv := httptest.NewServer(h.r)
	defer srv.Close()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/alder/live", nil)
	req.AddCookie(&http.Cookie{Name: "yarrow-session-" + slug, Value: h.doctor})
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	until := func(want string) bool {
		for lines.Scan() {
			if lines.Text() == want {
				return true
			}
			if lines.Text() == "event: Appointment" && want == "event: signed-out" {
				t.Error("news after the end")
			}
		}
		return false
	}
	b.ring <- struct{}{}
	if !until("data: 7") {
		t.Fatal("no news while all is well")
	}
	s, _, err := h.a.Peek(ctx, slug, h.doctor)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.a.Disable(ctx, auth.SystemScope(h.id, "test"), s.UserID()); err != nil {
		t.Fatal(err)
	}
	began := d.Clock.Now()
	d.Clock.Advance(lookEvery)
	if !until("event: signed-out") || d.Clock.Since(began) > time.Second {
		t.Error("the stream outlives the session")
	}
	<-b.closed
	if w := h.do("GET", "/alder/keys", h.doctor, nil); w.Code != http.StatusSeeOther {
		t.Errorf("a page: %d", w.Code)
	}
}
