package subscription

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhirjson"
)

// streamed makes a subscription that is read as a stream.
func (k *station) streamed(as, shows string) string {
	k.t.Helper()
	body := k.asked(AnyTopic, "Observation?status=final", shows)
	a, b := strings.Index(body, `"type":"rest-hook"`), strings.Index(body, `"payload"`)
	c := strings.Index(body, `,"header"`)
	body = body[:a] + `"type":"websocket",` + body[b:c] + "}}"
	n := k.must(201, as, "POST", "Subscription", body)
	if n.Get("status").Text() != "active" {
		k.t.Fatalf("a subscription over WebSocket is %s", n)
	}
	return n.Get("id").Text()
}

func parsed(t *testing.T, text []byte) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse(text, fhirjson.Limits{Bytes: 1 << 20})
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return n
}

func TestWebSocket(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		server := httptest.NewServer(k.mux)
		defer server.Close()
		k.patient("ann")
		id := k.streamed("hooks", showAll)
		k.streamed("system", showIDs)
		answer := k.must(200, "hooks", "GET", "Subscription/$get-ws-binding-token", "")
		token := parameter(answer, "token")
		if parameter(answer, "subscription") != id || parameter(answer, "websocket-url") != "wss://ehr.example.org/north/subscriptions/ws" || strings.Count(answer.String(), `"subscription"`) != 1 {
			t.Fatalf("the token is for %s", answer)
		}
		k.must(404, "system", "GET", "Subscription/"+id+"/$get-ws-binding-token", "")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		dial := func(say string) *websocket.Conn {
			c, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http")+"/north/subscriptions/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Write(ctx, websocket.MessageText, []byte(say)); err != nil {
				t.Fatal(err)
			}
			return c
		}
		for _, bad := range []string{"hello", "bind-with-token x", "bind-with-token " + token[:len(token)-4] + "AAAA"} {
			c := dial(bad)
			if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
				t.Errorf("%q: %v", bad, err)
			}
		}
		c := dial("bind-with-token " + token)
		defer c.CloseNow()
		next := func() *fhirjson.Node {
			t.Helper()
			_, m, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return parsed(t, m)
		}
		if n := next(); kindOf(n) != handshake {
			t.Errorf("first comes %s", n)
		}
		k.result("one", "ann", "1")
		k.work()
		if n := next(); !slices.Equal(eventsIn(n), []string{"1 Observation/one"}) || !strings.Contains(n.String(), "Sodium") {
			t.Errorf("then comes %s", n)
		}
		if n := len(k.accesses(audit.ActionDisclose)); n != 1 {
			t.Errorf("%d entries of the audit", n)
		}
		// The token is good for a minute only, and what is bound goes on.
		d.Clock.Advance(2 * time.Minute)
		late := dial("bind-with-token " + token)
		if _, _, err := late.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("an old token: %v", err)
		}
		k.result("two", "ann", "2")
		k.work()
		if n := next(); !slices.Equal(eventsIn(n), []string{"2 Observation/two"}) {
			t.Errorf("then comes %s", n)
		}
		// Without its authority the stream ends, and what happened is not told.
		k.grant("hooks", nil)
		k.result("three", "ann", "3")
		k.work()
		defer ticking(d)()
		if _, m, err := c.Read(ctx); err == nil {
			t.Errorf("after the access was taken back comes %s", m)
		}
		if s := k.state(id); s != "off" {
			t.Errorf("the state is %s", s)
		}
	})
}

// ticking has seconds go by until stop: a stream that has just looked looks again a second later, whenever that was.
func ticking(d *dbtest.DB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for clock.System().Sleep(ctx, 10*time.Millisecond) == nil {
			d.Clock.Advance(time.Second)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func TestServerSentEvents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		server := httptest.NewServer(k.mux)
		defer server.Close()
		k.patient("ann")
		id := k.streamed("hooks", showIDs)
		open := func(as, last string) (*http.Response, *bufio.Scanner) {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/north/subscriptions/"+id+"/events", nil)
			r.Header.Set("Authorization", "Bearer "+as)
			if last != "" {
				r.Header.Set("Last-Event-ID", last)
			}
			w, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Body.Close() })
			return w, bufio.NewScanner(w.Body)
		}
		// next gives the id and the notification of the next event.
		next := func(from *bufio.Scanner) (number string, n *fhirjson.Node) {
			t.Helper()
			for from.Scan() {
				name, value, _ := strings.Cut(from.Text(), ": ")
				switch name {
				case "id":
					number = value
				case "data":
					return number, parsed(t, []byte(value))
				}
			}
			return "", nil
		}
		for as, want := range map[string]int{"": 401, "system": 404} {
			if w, _ := open(as, ""); w.StatusCode != want {
				t.Errorf("as %q: %d, not %d", as, w.StatusCode, want)
			}
		}
		first, lines := open("hooks", "")
		if _, n := next(lines); kindOf(n) != handshake {
			t.Errorf("first comes %s", n)
		}
		k.result("one", "ann", "1")
		k.work()
		if number, n := next(lines); number != "1" || !slices.Equal(eventsIn(n), []string{"1 Observation/one"}) {
			t.Errorf("event %s: %s", number, n)
		}
		first.Body.Close()
		k.result("two", "ann", "2")
		k.result("three", "ann", "3")
		k.work()
		_, lines = open("hooks", "1")
		if number, n := next(lines); number != "3" || !slices.Equal(eventsIn(n), []string{"2 Observation/two", "3 Observation/three"}) {
			t.Errorf("after coming back, event %s: %s", number, n)
		}
		if err := k.hub.End(t.Context(), k.admin, id); err != nil {
			t.Fatal(err)
		}
		defer ticking(d)()
		for lines.Scan() { // the stream ends
			if strings.HasPrefix(lines.Text(), "event: notification") {
				t.Error("told after the end")
			}
		}
	})
}

// With the hub at work by itself, an event reaches its receivers without anybody asking.
func TestRunning(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = k.hub.Run(ctx) }()
		defer func() { cancel(); <-done }()
		k.patient("ann")
		k.allow()
		k.must(201, "hooks", "POST", "Subscription", k.asked(AnyTopic, "Observation?status=final", showIDs))
		wait(t, "the handshake", func() bool { return len(k.rcv.take()) == 1 })
		k.result("one", "ann", "1")
		var got []string
		wait(t, "the event", func() bool { got = append(got, k.told()...); return len(got) == 1 })
	})
}
