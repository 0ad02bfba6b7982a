package guides

import "sync"

// terms remembers what the terminology server answered, for as long as definitions are taken to be current: the same few
// codes stand in nearly all resources.
type terms struct {
	ask func(valueSet, system, code string) (ok, known bool)

	mu    sync.RWMutex
	known map[question]answer
}

type question struct{ valueSet, system, code string }

type answer struct{ ok, known bool }

// mostAnswers bounds the memory of one practice's answers to a few megabytes.
const mostAnswers = 20_000

// codes answers whether a code is in a value set (profile.Validator.Codes).
func (t *terms) codes(valueSet, system, code string) (ok, known bool) {
	q := question{valueSet, system, code}
	t.mu.RLock()
	a, have := t.known[q]
	t.mu.RUnlock()
	if have {
		return a.ok, a.known
	}
	a.ok, a.known = t.ask(valueSet, system, code)
	t.mu.Lock()
	if t.known == nil || len(t.known) >= mostAnswers {
		t.known = map[question]answer{}
	}
	t.known[q] = a
	t.mu.Unlock()
	return a.ok, a.known
}
