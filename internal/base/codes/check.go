package codes

import (
	"context"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/terminology"
)

// stale is how old an answer of Checker may be: what was stored or imported a second ago counts.
const stale = time.Second

// desk keeps what one practice asked within the last second.
type desk struct {
	mu   sync.Mutex
	born time.Time
	sets map[string]*terminology.Set // nil: not here

	releases []Release
	listed   bool
}

// desk gives what is known of a practice since at most a second.
func (s *Server) desk(p db.PracticeID) *desk {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.desks[p]
	if now := s.clock.Now(); d == nil || now.Sub(d.born) > stale || now.Before(d.born) || len(d.sets) > 5000 {
		if len(s.desks) > 1000 {
			clear(s.desks)
		}
		d = &desk{born: now, sets: map[string]*terminology.Set{}}
		s.desks[p] = d
	}
	return d
}

// forget drops what is known of a practice, after a change made here.
func (s *Server) forget(p db.PracticeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.desks, p)
}

// lateReleases lists the practice's editions as they were at most a second ago.
func (s *Server) lateReleases(ctx context.Context, p db.PracticeID) ([]Release, error) {
	d := s.desk(p)
	d.mu.Lock()
	list, have := d.releases, d.listed
	d.mu.Unlock()
	if have {
		return list, nil
	}
	list, err := s.Releases(ctx, auth.SystemScope(p, "terminology"))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.releases, d.listed = list, true
	d.mu.Unlock()
	return list, nil
}

// Checker gives the func that checks codes at writing: ok says that the code belongs to the value set (valueSet "": that it exists in
// its code system), known whether that can be told here at all. It may be called from within a transaction.
func (s *Server) Checker(p db.PracticeID) func(valueSet, system, code string) (ok, known bool) {
	return func(valueSet, system, code string) (ok, known bool) {
		ctx := context.Background()
		if valueSet == "" {
			err := s.With(ctx, p, func(sh *terminology.Shelf) error {
				v, err := sh.ValidateIn(terminology.Coding{System: system, Code: code}, terminology.Judging{Abstract: true})
				ok, known = v.OK, v.Known
				return err
			})
			return ok && err == nil, known && err == nil
		}
		set := s.lately(ctx, p, valueSet)
		if set == nil {
			return false, false
		}
		return set.Has(system, "", code)
	}
}

// lately gives a value set as it was at most a second ago; nil when it is not here or cannot be worked out.
func (s *Server) lately(ctx context.Context, p db.PracticeID, canonical string) *terminology.Set {
	d := s.desk(p)
	d.mu.Lock()
	set, have := d.sets[canonical]
	d.mu.Unlock()
	if have {
		return set
	}
	err := s.With(ctx, p, func(sh *terminology.Shelf) error {
		var err error
		set, err = Evaluate(sh, canonical, "")
		return err
	})
	if err != nil {
		set = nil
	}
	d.mu.Lock()
	d.sets[canonical] = set
	d.mu.Unlock()
	return set
}

// In lists the codes of a value set for a search with :in or :not-in, at most limit; more is a too-costly Issue.
func (s *Server) In(ctx context.Context, p db.PracticeID, valueSet string, limit int) (codes []fhir.Code, err error) {
	err = s.With(ctx, p, func(sh *terminology.Shelf) error {
		set, err := Evaluate(sh, valueSet, "")
		if err != nil {
			return err
		}
		var complete bool
		if codes, complete = set.Codes(limit); !complete {
			return fhir.Problem("too-costly", "The value set "+valueSet+" has too many codes for a search, or not all of them are known here.", "Use a smaller value set, or import the code systems it needs.")
		}
		return nil
	})
	return codes, err
}

// Below lists a code and all below it in its hierarchy, for :below; Above the code and all above it.
func (s *Server) Below(ctx context.Context, p db.PracticeID, system, code string, limit int) ([]fhir.Code, error) {
	return s.around(ctx, p, system, code, "is-a", limit)
}

// Above lists a code and all above it in its hierarchy, for :above.
func (s *Server) Above(ctx context.Context, p db.PracticeID, system, code string, limit int) ([]fhir.Code, error) {
	return s.around(ctx, p, system, code, "generalizes", limit)
}

func (s *Server) around(ctx context.Context, p db.PracticeID, system, code, op string, limit int) (codes []fhir.Code, err error) {
	err = s.With(ctx, p, func(sh *terminology.Shelf) error {
		set, err := sh.Evaluate(&terminology.ValueSet{Include: []terminology.Include{{System: system, Filters: []terminology.Filter{{Property: "concept", Op: op, Value: code}}}}})
		if err != nil {
			return err
		}
		var complete bool
		codes, complete = set.Codes(limit)
		if len(codes) == 0 && len(set.Unknown) > 0 {
			return fhir.Problem("not-found", "The hierarchy of "+system+" is not here.", "Import its release (yarrow import terminology), or store it as a CodeSystem.")
		}
		if !complete && len(set.Unknown) == 0 {
			return fhir.Problem("too-costly", "Too many codes lie there for a search.", "Begin lower in the hierarchy.")
		}
		return nil
	})
	return codes, err
}
