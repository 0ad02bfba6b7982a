package subscription

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const (
	lookEvery = time.Second      // other nodes write without ringing
	passSize  = 200              // changes looked at in one go
	lagging   = 10 * time.Minute // how far the stored mark may be behind when nothing had to be told
	pause     = 5 * time.Second  // after a failure of our own
)

// post looks after the subscriptions of one practice on this node.
type post struct {
	practice db.PracticeID
	ring     chan struct{} // something is to be done

	mu    sync.Mutex
	busy  map[int64]bool         // subscriptions being delivered
	heard map[chan struct{}]bool // readers of streams, told of new events
	seen  int64                  // up to where changes were looked at
}

func (h *Hub) post(p db.PracticeID) *post {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.postLocked(p)
}

func (h *Hub) postLocked(p db.PracticeID) *post {
	k := h.posts[p]
	if k == nil {
		k = &post{practice: p, ring: make(chan struct{}, 1), busy: map[int64]bool{}, heard: map[chan struct{}]bool{}}
		h.posts[p] = k
		if h.running != nil {
			go h.watch(h.running, k)
		}
	}
	return k
}

// man has a practice looked after on this node, at once.
func (h *Hub) man(p db.PracticeID) { wake(h.post(p).ring) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run looks after subscriptions until ctx ends. Practices come through [Owner] and through the queue.
func (h *Hub) Run(ctx context.Context) error {
	h.mu.Lock()
	h.running = ctx
	for _, k := range h.posts {
		go h.watch(ctx, k)
	}
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	h.running = nil
	h.mu.Unlock()
	return nil
}

// watch goes on for as long as the practice has subscriptions that are not off.
func (h *Hub) watch(ctx context.Context, k *post) {
	changed, stop := h.o.Store.Subscribe(k.practice)
	defer stop()
	for ctx.Err() == nil {
		wait := lookEvery
		some, err := h.round(ctx, k, func(p auth.Practice, s *sub) {
			go func() {
				defer h.free(k, s)
				h.deliverAll(ctx, p, s.ID)
			}()
		})
		switch {
		case err != nil && ctx.Err() == nil:
			h.o.Log.Warn("subscriptions could not be looked after; it is tried again", "practice", k.practice, "error", err)
			wait = pause
		case !some && h.leave(k):
			return
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-k.ring:
		case <-h.clock.After(wait):
		}
	}
}

// leave takes the post away unless somebody has just called for it.
func (h *Hub) leave(k *post) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.ring) > 0 || len(k.heard) > 0 {
		return false
	}
	delete(h.posts, k.practice)
	return true
}

func (h *Hub) free(k *post, s *sub) {
	k.mu.Lock()
	delete(k.busy, s.h)
	k.mu.Unlock()
	wake(k.ring)
}

// round makes events of what has changed and gives the subscriptions that have something to send. some says that there are any that
// are not off.
func (h *Hub) round(ctx context.Context, k *post, send func(p auth.Practice, s *sub)) (some bool, err error) {
	p, err := h.o.PracticeByID(ctx, k.practice)
	if err != nil {
		return false, err
	}
	for more := true; more; {
		if more, err = h.match(ctx, p, k); err != nil {
			return true, err
		}
	}
	var all []*sub
	if err := h.o.DB.View(ctx, self(k.practice), func(tx *db.Tx) (err error) {
		all, err = loadSubs(ctx, tx)
		return err
	}); err != nil {
		return true, err
	}
	now := h.clock.Now().UnixMicro()
	for _, s := range all {
		some = some || s.state != off
		if !s.ready(now) {
			continue
		}
		k.mu.Lock()
		busy := k.busy[s.h]
		k.busy[s.h] = true
		k.mu.Unlock()
		if !busy {
			send(p, s)
		}
	}
	return some, nil
}

// found is a change that may be an event.
type found struct {
	r  *fhirstore.Resource
	on what
}

// match makes events of the next changes. more says that there are further ones.
func (h *Hub) match(ctx context.Context, p auth.Practice, k *post) (more bool, err error) {
	var from, next int64
	var live []*sub
	candidates := map[int64][]found{}
	if err := h.o.DB.View(ctx, self(p.ID), func(tx *db.Tx) error {
		at, ok, err := mark(ctx, tx)
		if err != nil || !ok {
			return err
		}
		all, err := loadSubs(ctx, tx)
		if err != nil {
			return err
		}
		var types []string
		for _, s := range all {
			if s.live() {
				live, types = append(live, s), append(types, s.Terms.types()...)
			}
		}
		if from = at; len(live) == 0 {
			next = from
			return nil
		}
		slices.Sort(types)
		k.mu.Lock()
		after := max(from, k.seen)
		k.mu.Unlock()
		versions, n, err := h.o.Store.VersionsAfter(ctx, tx, after, slices.Compact(types), passSize)
		if err != nil {
			return err
		}
		next, more = n, len(versions) == passSize
		for _, r := range versions {
			if err := h.compare(ctx, tx, r, live, candidates); err != nil {
				return err
			}
		}
		return nil
	}); err != nil || len(live) == 0 {
		return false, err
	}
	events := map[int64][]event{}
	for _, s := range live {
		if events[s.h], err = h.visible(ctx, p, s, candidates[s.h]); err != nil {
			return false, err
		}
		if len(events[s.h]) == 0 {
			delete(events, s.h)
		}
	}
	if len(events) > 0 || next-from > lagging.Microseconds() {
		moved := false
		if err := h.o.DB.Do(ctx, self(p.ID), func(tx *db.Tx) error {
			if moved, err = setMark(ctx, tx, from, next); err != nil || !moved {
				return err
			}
			for _, s := range live {
				if len(events[s.h]) > 0 {
					if err := addEvents(ctx, tx, s, events[s.h]); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			return false, err
		}
		if !moved {
			return true, nil // another node was quicker: from where it is
		}
	}
	k.mu.Lock()
	k.seen = max(k.seen, next)
	if len(events) > 0 {
		for c := range k.heard {
			wake(c)
		}
	}
	k.mu.Unlock()
	return more, nil
}

// compare finds the subscriptions that a version concerns.
func (h *Hub) compare(ctx context.Context, tx *db.Tx, r *fhirstore.Resource, live []*sub, to map[int64][]found) error {
	on, now := created, r.Node()
	var before *fhirjson.Node
	if r.Version > 1 {
		was, err := h.o.Store.ReadVersion(ctx, tx, r.Type, r.ID, r.Version-1)
		switch {
		case err == nil:
			on, before = updated, was.Node()
		case !absent(err):
			return err
		case r.Deleted:
			return nil // nothing is left that could be told
		}
	}
	if r.Deleted {
		on, now = deleted, nil
	}
	for _, s := range live {
		if r.Updated.UnixMicro() > s.Since && s.Terms.tells(r.Type, on, before, now) {
			to[s.h] = append(to[s.h], found{r, on})
		}
	}
	return nil
}

// visible makes events of the changes that the one who subscribed may see now.
func (h *Hub) visible(ctx context.Context, p auth.Practice, s *sub, all []found) (out []event, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	scope, err := h.o.Resume(ctx, p, s.Held)
	if ended(err) {
		return nil, h.stop(ctx, p.ID, s, overAuthority())
	}
	if err != nil {
		return nil, err
	}
	err = h.o.DB.View(ctx, scope, func(tx *db.Tx) error {
		for _, f := range all {
			e := event{Ref: f.r.Reference(), Version: f.r.Version, Change: f.on, at: f.r.Updated.UnixMicro()}
			if _, seen, err := h.show(ctx, tx, &e); err != nil {
				return err
			} else if seen {
				out = append(out, e)
			}
		}
		return nil
	})
	return out, err
}

// show gives the version that an event is about, nil for a deletion, if the scope of the transaction may see it now.
func (h *Hub) show(ctx context.Context, tx *db.Tx, e *event) (r *fhirstore.Resource, seen bool, err error) {
	typ, id, _ := fhir.ParseReference(e.Ref)
	if e.Change == deleted {
		seen, err = h.o.Store.Reaches(ctx, tx, typ, id, auth.CanRead)
	} else {
		r, err = h.o.Store.ReadVersion(ctx, tx, typ, id, e.Version)
		seen = err == nil
	}
	if absent(err) {
		return nil, false, nil
	}
	return r, seen, err
}

// absent says that something is not there, or not for whoever asks.
func absent(err error) bool {
	var i *fhir.Issue
	return errors.As(err, &i) && (i.Code == "not-found" || i.Code == "deleted" || i.Code == "forbidden")
}
