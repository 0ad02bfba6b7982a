package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cached is a session in memory.
type cached struct {
	token        [sha256.Size]byte
	id           SessionID
	user         int64
	practice     Practice
	name         string
	practitioner string
	locale       string
	roles        roleSet
	proof        proof
	expires      time.Time

	mu          sync.Mutex
	rules       *rules    // that access and permissions were computed from
	lapse       time.Time // when they must be computed again; zero: not before the rules change
	access      *Access
	permissions permissionSet
	proved      time.Time
	seen        time.Time // last activity
	persisted   time.Time // last activity that is stored
	read        time.Time // when the row was read
	locked      bool
}

// sessionCache holds the sessions in use.
type sessionCache struct {
	mu       sync.RWMutex
	byToken  map[[sha256.Size]byte]*cached
	flushed  time.Time // when activity was last stored
	flushing bool
	forgets  uint64 // how often something was forgotten
}

// maxCached bounds the cache; when full it starts over, since every entry can be read again.
const maxCached = 20000

func newSessionCache() *sessionCache {
	return &sessionCache{byToken: map[[sha256.Size]byte]*cached{}}
}

// get finds a session. forgets must be handed to put with what is read in its stead.
func (c *sessionCache) get(token [sha256.Size]byte) (e *cached, forgets uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byToken[token], c.forgets
}

// put keeps a session that was read after get returned forgets. If something was forgotten since, the row may be
// older than the reason for that: it serves the request it was read for and is not kept.
func (c *sessionCache) put(e *cached, forgets uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgets != forgets {
		return
	}
	if len(c.byToken) >= maxCached {
		clear(c.byToken)
	}
	if old := c.byToken[e.token]; old != nil {
		// Activity this process saw and has not stored yet.
		old.mu.Lock()
		if old.seen.After(e.seen) && !e.locked {
			e.seen = old.seen
		}
		e.locked = e.locked || old.locked // unlocking gives another token, so a token once locked stays it
		old.mu.Unlock()
	}
	c.byToken[e.token] = e
}

// forget drops sessions, after what changes them is durable.
func (c *sessionCache) forget(which func(*cached) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	for t, e := range c.byToken {
		if which(e) {
			delete(c.byToken, t)
		}
	}
}

// drop removes one token's entry, which the database does not know any more. Unlike forget it makes nobody read
// again: anybody can present a wrong token.
func (c *sessionCache) drop(token [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byToken, token)
}

// stale takes the sessions whose activity is not stored, at most once per flushEvery unless forced.
func (c *sessionCache) stale(now time.Time, force bool) []*cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !force && (c.flushing || now.Sub(c.flushed) < flushEvery && !now.Before(c.flushed)) {
		return nil
	}
	c.flushed = now
	var out []*cached
	for _, e := range c.byToken {
		e.mu.Lock()
		if e.seen.After(e.persisted) {
			out = append(out, e)
		}
		e.mu.Unlock()
	}
	c.flushing = c.flushing || !force && len(out) > 0
	return out
}
