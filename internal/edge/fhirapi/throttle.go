package fhirapi

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Budget is how many requests one client of a practice may send in a window of time. It comes back evenly.
type Budget struct {
	Requests int
	Window   time.Duration
}

// DefaultBudget lets a client keep a small server busy and no more.
var DefaultBudget = Budget{Requests: 120_000, Window: time.Minute}

// Budget is what each client may send.
func (a *API) Budget() Budget { return a.buckets.budget }

// buckets count what clients have left. They live in memory: a restart forgives.
type buckets struct {
	clock  *clock.Clock
	budget Budget

	mu sync.Mutex
	by map[client]*bucket
}

// client is who a budget belongs to.
type client struct {
	practice db.PracticeID
	kind     string
	user     int64
	name     string
}

type bucket struct {
	left float64
	at   time.Time
}

// maxBuckets bounds the memory: beyond it, those that are full again are forgotten.
const maxBuckets = 20_000

func newBuckets(c *clock.Clock, b Budget) *buckets {
	return &buckets{clock: c, budget: b, by: map[client]*bucket{}}
}

// take takes n requests out of a client's bucket. wait is how long until there are as many again, 0 when there were.
func (b *buckets) take(c client, n int) (left int, wait time.Duration) {
	now := b.clock.Now()
	rate := float64(b.budget.Requests) / b.budget.Window.Seconds()
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.by[c]
	if k == nil {
		if len(b.by) >= maxBuckets {
			b.sweep(now, rate)
		}
		k = &bucket{float64(b.budget.Requests), now}
		b.by[c] = k
	}
	if d := now.Sub(k.at).Seconds(); d > 0 {
		k.left = math.Min(float64(b.budget.Requests), k.left+d*rate)
	}
	k.at = now
	if want := float64(min(n, b.budget.Requests)); k.left < want {
		return int(k.left), time.Duration((want - k.left) / rate * float64(time.Second))
	}
	k.left -= float64(n)
	return int(k.left), 0
}

func (b *buckets) sweep(now time.Time, rate float64) {
	for c, k := range b.by {
		if k.left+now.Sub(k.at).Seconds()*rate >= float64(b.budget.Requests) {
			delete(b.by, c)
		}
	}
	if len(b.by) >= maxBuckets {
		clear(b.by) // so many clients at once: none of them was near its end
	}
}

// throttle refuses a client that has used its budget up, and shows every client what it has left.
func (x *exchange) throttle() error { return x.charge(1) }

// charge takes n requests from the client's budget: the entries of a Bundle count like requests of their own.
func (x *exchange) charge(n int) error {
	if n <= 0 {
		return nil
	}
	c := client{practice: x.practice.ID}
	if x.scope != nil {
		a := x.scope.Actor()
		c.kind, c.user, c.name = a.Kind, a.UserID, a.Client
		if c.name == "" {
			c.name = a.FHIR + a.Display
		}
	} else {
		c.kind, c.name = "address", addressOf(x.r)
	}
	b := x.api.buckets
	left, wait := b.take(c, n)
	h := x.w.Header()
	reset := int(math.Ceil(float64(b.budget.Requests-left) / float64(b.budget.Requests) * b.budget.Window.Seconds()))
	h.Set("RateLimit-Limit", strconv.Itoa(b.budget.Requests))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(left, 0)))
	h.Set("RateLimit-Reset", strconv.Itoa(reset))
	if wait == 0 {
		return nil
	}
	seconds := int(math.Ceil(wait.Seconds()))
	h.Set("Retry-After", strconv.Itoa(seconds))
	return fhir.Problem("throttled", "This client has sent more requests than it may.", "Wait "+strconv.Itoa(seconds)+" seconds; the RateLimit headers of every answer show what is left.")
}

func addressOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
