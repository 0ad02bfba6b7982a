package ui

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
)

// Stream is one screen's view of what happens in its practice.
type Stream interface {
	Ring() <-chan struct{}
	// Next gives the types of which something that the person may see has changed, with sequence numbers; never what. The word "missed"
	// in place of a type says that everything is to be looked at anew.
	Next(ctx context.Context, s auth.Staff) (types []string, seqs []int64, err error)
	Close()
}

const (
	heartbeat = 20 * time.Second
	lookEvery = 250 * time.Millisecond // whether the session still stands; see auth.Peek
	liveEvery = 200 * time.Millisecond // between two looks at what is new, however much is written
	liveStall = 15 * time.Second       // a screen that takes nothing for so long is gone: it asks again when it is back
)

// liveRoute serves news as server-sent events. They carry only the type of what has changed; the page asks again for what it shows,
// under the same rights and on the same record as any other look.
func (r *Router) liveRoute() {
	if r.o.Live == nil {
		return
	}
	r.Page("/{practice}/live", auth.AccountSecurity, func(w *Reply, q *Request) error {
		after := int64(-1)
		if n, err := strconv.ParseInt(q.hr.Header.Get("Last-Event-ID"), 10, 64); err == nil && n >= 0 {
			after = n
		}
		s, err := r.o.Live(q.Context(), q.Staff, after)
		if err != nil {
			return err
		}
		defer s.Close()
		w.hijacked = true
		h := w.hw.Header()
		secure(h, r.o.Secure)
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		rc := http.NewResponseController(w.hw)
		within := func() { _ = rc.SetWriteDeadline(clock.System().Now().Add(liveStall)) } // the network's time, whatever the practice's is
		within()
		w.hw.WriteHeader(http.StatusOK)
		fmt.Fprint(w.hw, "retry: 3000\n\n")
		rc.Flush()
		// Neither is put off by news: a session that has ended would go on hearing it.
		beat, look := r.o.Clock.After(heartbeat), r.o.Clock.After(lookEvery)
		// A screen that only listens does not keep its session awake; one whose session has ended must go dark.
		alive := func() bool {
			who, state, err := r.auth.Peek(q.Context(), q.slug, q.Token())
			if err == nil && !state.Locked {
				q.Staff = who.ForRequest(q.ID)
				return true
			}
			within()
			fmt.Fprint(w.hw, "event: signed-out\ndata: 1\n\n")
			rc.Flush()
			return false
		}
		ring := s.Ring()
		var rested <-chan time.Time
		for {
			select {
			case <-q.Context().Done():
				return nil
			case <-rested:
				ring, rested = s.Ring(), nil
				continue
			case <-ring:
				ring, rested = nil, clock.System().After(liveEvery)
				if !alive() {
					return nil
				}
			case <-look:
				look = r.o.Clock.After(lookEvery)
				if !alive() {
					return nil
				}
				continue
			case <-beat:
				beat = r.o.Clock.After(heartbeat)
				within()
				if _, err := fmt.Fprint(w.hw, ": still here\n\n"); err != nil {
					return nil
				}
				if rc.Flush() != nil {
					return nil
				}
				continue
			}
			types, seqs, err := s.Next(q.Context(), q.Staff)
			if err != nil {
				return nil
			}
			within()
			for i, k := range types {
				if _, err := fmt.Fprintf(w.hw, "id: %d\nevent: %s\ndata: %d\n\n", seqs[i], k, seqs[i]); err != nil {
					return nil
				}
			}
			if rc.Flush() != nil {
				return nil
			}
		}
	})
}
