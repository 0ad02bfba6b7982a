package fhirstore

import (
	"container/list"
	"sync"
)

// bodyCache keeps opened bodies by practice, rid and version. A version never changes, so nothing in it
// can be stale; which version is current, and who may see it, is read from the row each time.
type bodyCache struct {
	limit int // bytes

	mu    sync.Mutex
	size  int
	order list.List // of *cached, most recent first
	byKey map[bodyKey]*list.Element
}

// bodyKey includes what the AAD binds to the version, so that a changed row is a different key.
type bodyKey struct{ practice, rid, version, seq, labels int64 }

type cached struct {
	key  bodyKey
	body *decoded
}

func (c *bodyCache) get(k bodyKey) *decoded {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).body
}

func (c *bodyCache) put(k bodyKey, d *decoded) {
	if d.size() > c.limit/64 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[bodyKey]*list.Element{}
	}
	if c.byKey[k] != nil {
		return
	}
	c.byKey[k] = c.order.PushFront(&cached{k, d})
	c.size += d.size()
	for c.size > c.limit {
		last := c.order.Back()
		old := last.Value.(*cached)
		c.order.Remove(last)
		delete(c.byKey, old.key)
		c.size -= old.body.size()
	}
}

// forget drops everything of a practice, after a check found damage or a practice was destroyed.
func (c *bodyCache) forget(practice int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.byKey {
		if k.practice == practice {
			c.order.Remove(e)
			delete(c.byKey, k)
			c.size -= e.Value.(*cached).body.size()
		}
	}
}
