package subscription

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

const (
	readers   = 200              // of one practice on this node
	stall     = 15 * time.Second // a reader that takes nothing for so long is cut off: it goes on from the number it has when it is back
	bindWait  = 10 * time.Second
	bindings  = 20 // subscriptions on one WebSocket
	stillHere = 20 * time.Second
)

// Routes are the patterns of streams: a WebSocket for several subscriptions, and one subscription as server-sent events.
func Routes() []string {
	return []string{"/{practice}/subscriptions/ws", "/{practice}/subscriptions/{subscription}/events"}
}

// ServeHTTP answers an address of a stream.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	err := h.serve(w, r)
	if err == nil {
		return
	}
	var i *fhir.Issue
	if !errors.As(err, &i) {
		i = fhir.Problem("exception", "The server could not do this.", "Try again; if it goes on, tell whoever looks after this server.").Because(err)
	}
	if i.Code == "login" {
		head.Set("WWW-Authenticate", `Bearer realm="`+r.PathValue("practice")+`"`)
	}
	head.Set("Content-Type", "application/fhir+json")
	w.WriteHeader(fhir.HTTPStatus(i.Code))
	_, _ = w.Write(fhir.Outcome(*i)) // a client that has gone away needs no answer
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request) error {
	p, err := h.o.Practice(r.Context(), r.PathValue("practice"))
	if err != nil {
		return err
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		return fhir.Problem("not-supported", "This does nothing at this address.", "Use GET.")
	}
	if id := r.PathValue("subscription"); id != "" {
		return h.serverSent(w, r, p, id)
	}
	return h.socket(w, r, p)
}

// listen has a reader told of new events of a practice.
func (h *Hub) listen(p db.PracticeID) (ring chan struct{}, stop func(), err error) {
	ring = make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.postLocked(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.heard) >= readers {
		return nil, nil, fhir.Problem("throttled", "Too many programs are listening to this practice.", "Close streams that are not needed, or use REST hooks.")
	}
	k.heard[ring] = true
	return ring, func() {
		k.mu.Lock()
		delete(k.heard, ring)
		k.mu.Unlock()
	}, nil
}

// sink is where a stream's notifications go. n is the number of the last event in it.
type sink func(body []byte, n int64) error

// errOver says that a stream has come to its end: the subscription is off or its authority is over.
var errOver = errors.New("subscription: the stream is over")

// follow sends what happens to one reader, beginning after an event, until ctx ends or the subscription does. The authority is looked
// at before everything that is sent, and once a second.
func (h *Hub) follow(ctx context.Context, p auth.Practice, id string, after int64, greet bool, to sink) error {
	ring, stop, err := h.listen(p.ID)
	if err != nil {
		return err
	}
	defer stop()
	last := h.clock.Now()
	for {
		var s *sub
		if err := h.o.DB.View(ctx, self(p.ID), func(tx *db.Tx) (err error) {
			s, err = loadSub(ctx, tx, id)
			return err
		}); err != nil {
			return err
		}
		if s == nil || s.state == off {
			return errOver
		}
		scope, err := h.o.Resume(ctx, p, s.Held)
		if ended(err) {
			return errors.Join(errOver, h.stop(ctx, p.ID, s, overAuthority()))
		}
		if err != nil {
			return err
		}
		if after < 0 || after > s.n {
			after = s.n
		}
		n := &note{kind: happened, shows: s.Terms.Shows}
		switch {
		case greet:
			greet, n.kind, n.last = false, handshake, after
		case s.n > after && !s.Paused:
			if err := h.gather(ctx, scope, s, n, after+1, s.n, s.Terms.Max); err != nil {
				return err
			}
			if n.last <= after { // they were kept too long
				n.last = s.n
			}
		case s.Terms.Beat > 0 && h.clock.Since(last) >= time.Duration(s.Terms.Beat)*time.Second:
			n.kind, n.last = heartbeat, after
		default:
			select {
			case <-ctx.Done():
				return nil
			case <-ring:
			case <-h.clock.After(lookEvery):
			}
			continue
		}
		if len(n.events) > 0 || n.kind != happened {
			if err := h.record(ctx, scope, s, n, "to a stream"); err != nil {
				return err
			}
			if err := to(h.bundle(p, s, n), n.last); err != nil {
				return err
			}
			last = h.clock.Now()
		}
		if n.kind == happened {
			if after = n.last; len(n.events) > 0 {
				if err := h.o.DB.Do(ctx, self(p.ID), func(tx *db.Tx) error { return sentUpTo(ctx, tx, s.h, after) }); err != nil {
					return err
				}
			}
		}
	}
}

// serverSent answers with server-sent events: each has the number of its last event as id, so that a browser or client that comes back
// with Last-Event-ID misses nothing.
func (h *Hub) serverSent(w http.ResponseWriter, r *http.Request, p auth.Practice, id string) error {
	ctx := r.Context()
	scope, err := h.o.Authenticate(r, p)
	if err != nil {
		return err
	}
	if scope == nil || !scope.Valid() || scope.Practice() != p.ID {
		return fhir.Problem("login", "You are not signed in.", "Send an access token in the Authorization header, as Bearer.")
	}
	if err := h.o.DB.View(ctx, scope, func(tx *db.Tx) error {
		s, err := h.mine(ctx, tx, id)
		if err == nil && (s.Terms.Channel != webSocket || s.state == off) {
			err = fhir.Problem("business-rule", "This Subscription is not read as a stream, or is off.", "Name one with the channel websocket that is active.")
		}
		return err
	}); err != nil {
		return err
	}
	after := int64(-1)
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return fhir.Problem("value", "Last-Event-ID is not the number of an event.", "Send the id of the last event that arrived, or leave it out.").At("http.Last-Event-ID")
		}
	}
	rc := http.NewResponseController(w)
	within := func() { _ = rc.SetWriteDeadline(clock.System().Now().Add(stall)) } // the network's time, whatever the practice's is
	var mu sync.Mutex
	send := func(text string) error {
		mu.Lock()
		defer mu.Unlock()
		within()
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return rc.Flush()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if send("retry: 3000\n\n") != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-h.clock.After(stillHere):
				if send(": still here\n\n") != nil {
					cancel()
				}
			}
		}
	})
	err = h.follow(ctx, p, id, after, after < 0, func(body []byte, n int64) error {
		return send(fmt.Sprintf("id: %d\nevent: notification\ndata: %s\n\n", n, body))
	})
	cancel()
	alive.Wait() // nothing is written after the answer has ended
	if errors.Is(err, errOver) {
		_ = send("event: off\ndata: {}\n\n")
	}
	return nil
}

// socket answers a WebSocket: "bind-with-token TOKEN" binds it to the subscriptions of the token, each of which begins with a
// handshake. It needs no other authorization and takes no cookie, so pages of any origin may open it.
func (h *Hub) socket(w http.ResponseWriter, r *http.Request, p auth.Practice) error {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil // Accept has answered
	}
	defer c.CloseNow()
	c.SetReadLimit(16 << 10)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var writing sync.Mutex
	send := func(body []byte, _ int64) error {
		writing.Lock()
		defer writing.Unlock()
		ctx, cancel := context.WithTimeout(ctx, stall)
		defer cancel()
		return c.Write(ctx, websocket.MessageText, body)
	}
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	bound := map[string]bool{}
	for {
		reading := ctx
		if len(bound) == 0 {
			var end context.CancelFunc
			reading, end = context.WithTimeout(ctx, bindWait)
			defer end()
		}
		_, message, err := c.Read(reading)
		if err != nil {
			return nil
		}
		token, ok := strings.CutPrefix(strings.TrimSpace(string(message)), "bind-with-token ")
		ids := h.bindings(ctx, p, strings.Trim(token, " :"))
		if !ok || len(ids) == 0 || len(bound)+len(ids) > bindings {
			_ = c.Close(websocket.StatusPolicyViolation, "the token binds nothing: ask $get-ws-binding-token for one")
			return nil
		}
		for _, id := range ids {
			if bound[id] {
				continue
			}
			bound[id] = true
			following.Go(func() {
				err := h.follow(ctx, p, id, -1, true, send)
				if err != nil && !errors.Is(err, errOver) && ctx.Err() == nil {
					h.o.Log.Info("a WebSocket was closed", "practice", p.ID, "error", err)
				}
				_ = c.Close(websocket.StatusGoingAway, "the subscription is over, or its reader was too slow")
				cancel()
			})
		}
	}
}

// bindings are the subscriptions that a token binds a WebSocket to, none when it is not good any more.
func (h *Hub) bindings(ctx context.Context, p auth.Practice, token string) []string {
	var b binding
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil
	}
	var ids []string
	if err := h.o.DB.View(ctx, self(p.ID), func(tx *db.Tx) error {
		plain, err := tx.Keys().Open(nil, sealed, place(tx.Practice(), "subscription binding"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(plain, &b); err != nil || b.Expires <= h.clock.Now().UnixMicro() {
			return err
		}
		for _, id := range slices.Compact(b.IDs) {
			s, err := loadSub(ctx, tx, id)
			if err != nil {
				return err
			}
			if s != nil && s.Asker == b.Asker && s.state != off {
				ids = append(ids, id)
			}
		}
		return nil
	}); err != nil {
		return nil
	}
	return ids
}
