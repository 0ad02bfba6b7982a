package fhirstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Searches that no key answers walk through a list. What bounds them, for everybody but the server itself: how many candidates they
// look at (scanPage, scanAll), how long they take, and how many of a practice walk far at the same time, so that readers are left for
// everybody else.
const (
	searchFor  = 10 * time.Second
	walkFrom   = 3000 // candidates that were not looked for: what looks at more of them walks far
	walksAtOne = 2    // of a practice and a process
)

// walks counts those who walk far, by practice.
type walks struct {
	mu sync.Mutex
	by map[db.PracticeID]int
}

func (w *walks) begin(p db.PracticeID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[p] >= walksAtOne {
		return false
	}
	if w.by == nil {
		w.by = map[db.PracticeID]int{}
	}
	w.by[p]++
	return true
}

func (w *walks) end(p db.PracticeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[p]--; w.by[p] == 0 {
		delete(w.by, p)
	}
}

// effort is what one search has cost. A nil one is not bounded.
type effort struct {
	s        *Store
	practice db.PracticeID
	looked   int
	far      bool
	stop     context.CancelFunc
}

var errTooLong = errors.New("fhirstore: a search takes too long")

// bounded begins a search of the kernel's scope. end must be called when it is over, and tells of an error what it means.
func (s *Store) bounded(ctx context.Context, tx *db.Tx, a *kernel) (within context.Context, end func(error) error) {
	if a.whole() {
		return ctx, func(err error) error { return err }
	}
	within, stop := context.WithTimeoutCause(ctx, s.searchFor, errTooLong)
	e := &effort{s: s, practice: tx.Practice(), stop: stop}
	a.effort = e
	return within, func(err error) error {
		late := ctx.Err() == nil && errors.Is(context.Cause(within), errTooLong)
		e.stop()
		if e.far {
			s.walks.end(e.practice)
		}
		if err != nil && late {
			return fhir.Problem("too-costly", "This search takes longer than "+s.searchFor.String()+": nothing that it asks for leads to what it looks for.", narrowIt).Because(err)
		}
		return err
	}
}

const narrowIt = "Add a condition that narrows it, such as a patient, a code or a date."

// more says that a search has looked in vain at so many candidates more.
func (e *effort) more(n int) error {
	if e == nil {
		return nil
	}
	if e.looked += n; e.far || e.looked < walkFrom {
		return nil
	}
	if e.far = e.s.walks.begin(e.practice); !e.far {
		return fhir.Problem("throttled", "Others are looking through the records of this practice at this moment.", narrowIt+" Or try again in a few seconds.")
	}
	return nil
}
