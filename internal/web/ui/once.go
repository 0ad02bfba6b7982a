package ui

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/clock"
)

// onceField is the hidden field that makes a form's effect happen once, however often its button is pressed.
const onceField = "once"

const (
	onceFor   = 10 * time.Minute
	onceMost  = 2000
	onceBytes = 64 << 10
)

// once remembers the answers to forms that were sent a moment ago. A repeat of the same form by the same session waits for the
// first one and gets its answer. It spares work within one process; what holds across restarts and nodes is stored with the
// change (Reply.Once).
type once struct {
	clock *clock.Clock
	mu    sync.Mutex
	by    map[string]*sent
}

type sent struct {
	at     time.Time
	done   chan struct{}
	status int
	header http.Header
	body   []byte
	seen   []audit.Event
	keep   bool
}

func newOnce(c *clock.Clock) *once { return &once{clock: c, by: map[string]*sent{}} }

// onceKey names a form as it was sent: the same session, address, hidden field and content. The field filled in anew is another form.
func onceKey(q *Request) string {
	sum := sha256.Sum256([]byte(q.hr.PostForm.Encode()))
	return q.Staff.Session().String() + "|" + q.hr.URL.RequestURI() + "|" + string(sum[:])
}

// do runs serve for the first request under a key and repeats its answer to the others. A refused form is not remembered: it will
// be sent again, put right, under the same key.
func (o *once) do(w *Reply, key string, serve func()) {
	for {
		o.mu.Lock()
		s := o.by[key]
		if s == nil {
			s = &sent{at: o.clock.Now(), done: make(chan struct{})}
			o.sweep(s.at)
			o.by[key] = s
			o.mu.Unlock()
			o.first(w, key, s, serve)
			return
		}
		o.mu.Unlock()
		select {
		case <-s.done:
		case <-w.q.Context().Done():
			return
		}
		if s.keep {
			w.status, w.header = s.status, s.header.Clone()
			w.body.Reset()
			w.body.Write(s.body)
			w.seen = s.seen
			w.send(nil)
			return
		}
	}
}

func (o *once) first(w *Reply, key string, s *sent, serve func()) {
	defer func() {
		o.mu.Lock()
		s.keep = w.sent && w.status < 400 && w.body.Len() <= onceBytes
		if s.keep {
			s.status, s.header, s.body, s.seen = w.status, w.header.Clone(), bytes.Clone(w.body.Bytes()), w.seen
		} else {
			delete(o.by, key)
		}
		o.mu.Unlock()
		close(s.done)
	}()
	serve()
}

// sweep forgets what is old, and everything when there is too much. The caller holds o.mu.
func (o *once) sweep(now time.Time) {
	if len(o.by) < onceMost/2 {
		return
	}
	for k, s := range o.by {
		select {
		case <-s.done:
			if now.Sub(s.at) > onceFor || len(o.by) > onceMost {
				delete(o.by, k)
			}
		default:
		}
	}
}

// newKey is the value of a form's hidden field: 128 random bits.
func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
