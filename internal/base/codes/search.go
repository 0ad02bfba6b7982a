package codes

import (
	"context"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/terminology"
)

// Found is what a picker shows: concepts, best first, and through which edition they were looked for.
type Found struct {
	Concepts []terminology.Concept
	// Edition is the sentence under the list ("ICD-10-CM FY2026"), Complete whether a code that was not found does not exist, and
	// Warning what people should know about the edition.
	Edition  string
	Complete bool
	Warning  string
}

// Search finds up to n concepts of a code system, or of the list terminology.Allergens, for what a person typed. It looks through the
// edition the practice imported, else the starter set. Retired codes are not offered, and none of an edition whose licence ended.
func (s *Server) Search(ctx context.Context, p db.PracticeID, system, text string, n int) (Found, error) {
	out := Found{}
	var imported *terminology.CodeSystem
	if system != terminology.Allergens {
		err := s.With(ctx, p, func(sh *terminology.Shelf) error {
			cs, err := sh.CodeSystem(system, "")
			if cs != nil && cs.Listed() {
				imported = cs
			}
			return err
		})
		if err != nil {
			return Found{}, err
		}
	}
	if imported == nil {
		out.Concepts = terminology.Search(system, text, n)
		if e, ok := terminology.EditionOf(system); ok {
			out.Edition, out.Complete = e.Said(), e.Complete
		}
		return out, nil
	}
	out.Edition, out.Complete = imported.Name+" "+imported.Version, true
	if r, err := s.edition(ctx, p, system); err != nil {
		return Found{}, err
	} else if r != nil {
		out.Warning = r.Warning(s.clock.Now())
		if r.Tier == Own && r.Lapsed(s.clock.Now()) {
			return out, nil
		}
	}
	for _, h := range imported.Pick(text, n) {
		e := imported.Entry(h.Ref)
		out.Concepts = append(out.Concepts, terminology.Concept{System: system, Code: e.Code, Display: e.Display, Words: e.Words})
	}
	return out, nil
}

// edition gives the release of a system in use, nil for none.
func (s *Server) edition(ctx context.Context, p db.PracticeID, system string) (*Release, error) {
	list, err := s.lateReleases(ctx, p)
	if err != nil {
		return nil, err
	}
	return current(list, system, "", s.clock.Now()), nil
}
