package codes

import (
	"context"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
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

// Names gives the func that tells by what names a code system calls a code: its display and designations, of systems whose
// owner's complete list is here. It reads the practice's database each time, so it is for single questions.
func (s *Server) Names(p db.PracticeID) func(system, code string) []string {
	return func(system, code string) (names []string) {
		err := s.With(context.Background(), p, func(sh *terminology.Shelf) error {
			cs, err := sh.CodeSystem(system, "")
			if err != nil || cs == nil || !cs.Listed() {
				return err
			}
			if i, ok := cs.Find(code); ok {
				e := cs.Entry(i)
				if e.Display != "" {
					names = append(names, e.Display)
				}
				for _, d := range e.Designations {
					names = append(names, d.Value)
				}
			}
			return nil
		})
		if err != nil {
			return nil
		}
		return names
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

// Terms lists the codes that a search with :in, :below or :above stands for; it is the store's hook. It reads in the transaction of
// the search, so who may not read the practice's own ValueSets searches with those that are built in.
func (s *Server) Terms(ctx context.Context, tx *db.Tx, q fhirstore.CodeQuestion) ([]fhir.Code, error) {
	sh := s.shelf(ctx, tx)
	var set *terminology.Set
	var err error
	switch q.Modifier {
	case "in":
		if id, ok := strings.CutPrefix(q.ValueSet, "ValueSet/"); ok {
			r, err := s.store.Read(ctx, tx, "ValueSet", id)
			if err != nil {
				return nil, err
			}
			def, err := terminology.ValueSetOf(r.Node())
			if err != nil {
				return nil, err
			}
			if set, err = sh.Evaluate(def); err != nil {
				return nil, err
			}
		} else if set, err = Evaluate(sh, q.ValueSet, ""); err != nil {
			return nil, err
		}
	case "below", "above":
		op := map[string]string{"below": "is-a", "above": "generalizes"}[q.Modifier]
		if set, err = sh.Evaluate(&terminology.ValueSet{Include: []terminology.Include{{System: q.System, Filters: []terminology.Filter{{Property: "concept", Op: op, Value: q.Code}}}}}); err != nil {
			return nil, err
		}
	default:
		return nil, problem("not-supported", "The modifier :"+q.Modifier+" is not about codes.", "Use :in, :not-in, :below or :above.")
	}
	codes, complete := set.Codes(fhirstore.MaxCodes)
	switch {
	case complete:
		return codes, nil
	case len(codes) == fhirstore.MaxCodes:
		return nil, problem("too-costly", "The search stands for more codes than it may.", "Use a narrower value set or code.")
	case q.Modifier != "in":
		return nil, problem("not-found", "The hierarchy of "+q.System+" is not here.", "Import its release (yarrow import terminology), or store it as a CodeSystem.")
	}
	return nil, problem("not-found", "Not all codes of the value set "+q.ValueSet+" are known here.", "Import the code systems it needs, or list the codes in the request.")
}
