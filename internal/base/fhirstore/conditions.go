package fhirstore

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// conditionCache holds the answers of conditions (Type?query) during one bundle or one import. Only found
// answers stay: what is missing now may be written by the next bundle.
type conditionCache struct {
	mu sync.Mutex
	by map[string]answer
}

type answer struct {
	ref string // "Type/id", "" for none
	err *fhir.Issue
}

func (c *conditionCache) get(condition string) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[condition]
}

func (c *conditionCache) set(condition string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]answer{}
	}
	c.by[condition] = a
}

// answer looks up the conditions that are not known yet, in one View.
func (c *conditionCache) answer(ctx context.Context, s *Store, scope db.Scope, wanted map[string]bool) error {
	var ask []string
	c.mu.Lock()
	for w := range wanted {
		if c.by[w].ref == "" {
			ask = append(ask, w)
		}
	}
	c.mu.Unlock()
	if len(ask) == 0 {
		return nil
	}
	found := map[string]answer{}
	err := s.db.View(ctx, scope, func(tx *db.Tx) error {
		for _, w := range ask {
			typ, query, _ := strings.Cut(w, "?")
			r, err := s.matchOne(ctx, tx, typ, query)
			var a answer
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				a.err = &issuesFrom(err)[0]
			} else if r != nil {
				a.ref = r.Reference()
			}
			found[w] = a
		}
		return nil
	})
	if err != nil {
		return err
	}
	for w, a := range found {
		c.set(w, a)
	}
	return nil
}

func statusText(code int) string { return strconv.Itoa(code) + " " + http.StatusText(code) }
