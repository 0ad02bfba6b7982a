package guides

import (
	"context"
	"slices"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

// Guides gives each practice its validator. It is safe for concurrent use.
type Guides struct {
	db    *db.DB
	store *fhirstore.Store
	codes *codes.Server

	mu     sync.Mutex
	loaded map[db.PracticeID]*loaded
}

// New returns the guides of the practices of d; c answers for codes.
func New(d *db.DB, s *fhirstore.Store, c *codes.Server) *Guides {
	return &Guides{db: d, store: s, codes: c, loaded: map[db.PracticeID]*loaded{}}
}

// loaded is what a practice has imported, ready for use.
type loaded struct {
	set       *profile.Set
	own       []*profile.Definition
	supported *Supported
	forms     map[string]*fhirjson.Node // Questionnaires by canonical URL
	measures  map[string]*fhirjson.Node // Measures by canonical URL
	terms     *terms
	policy    Policy
	targets   fhirstore.Targets
	at        time.Time // when it was read
	looked    time.Time // when it was last seen to be current
	written   time.Time // when a definition was last judged, and so perhaps written, by this process
}

// fresh is how long a practice's definitions are taken to be current without looking: a guide that another process
// imports works after that time at the latest.
const fresh = time.Minute

// conformance are the types whose change makes loaded definitions stale.
var conformance = []string{"StructureDefinition", "Basic", "Questionnaire", "Measure", "ImplementationGuide"}

// settles is how long after a definition was judged its transaction may end: until then each use looks whether it did.
const settles = 10 * time.Second

// of returns what a practice has loaded, reading it when it is new or has changed. It must not be called inside a
// transaction.
func (g *Guides) of(ctx context.Context, p db.PracticeID) (*loaded, error) {
	now := g.db.Clock().Now()
	g.mu.Lock()
	l := g.loaded[p]
	current := l != nil && now.Sub(l.looked) < fresh && (l.written.IsZero() || now.Sub(l.written) > settles && l.looked.After(l.written))
	g.mu.Unlock()
	if current {
		return l, nil
	}
	scope := auth.SystemScope(p, "validation")
	if l != nil {
		changed, err := g.changed(ctx, scope, l.at)
		if err != nil {
			return nil, err
		}
		if !changed {
			g.mu.Lock()
			next := *l
			next.looked, next.terms = now, &terms{ask: g.codes.Checker(p)}
			if now.Sub(next.written) > settles {
				next.written = time.Time{}
			}
			g.loaded[p] = &next
			g.mu.Unlock()
			return &next, nil
		}
	}
	l, err := g.load(ctx, scope)
	if err != nil {
		return nil, err
	}
	l.at, l.looked = now, now
	g.mu.Lock()
	if was := g.loaded[p]; was != nil {
		l.written = was.written
	}
	g.loaded[p] = l
	g.mu.Unlock()
	return l, nil
}

// forget makes the next use read a practice's definitions anew.
func (g *Guides) forget(p db.PracticeID) {
	g.mu.Lock()
	delete(g.loaded, p)
	g.mu.Unlock()
}

// changed reports whether definitions were written since a time.
func (g *Guides) changed(ctx context.Context, scope auth.System, since time.Time) (bool, error) {
	found := false
	err := g.db.View(ctx, scope, func(tx *db.Tx) error {
		for _, typ := range conformance {
			some, err := g.store.Find(ctx, tx, typ, "_lastUpdated", "ge"+since.Format("2006-01-02T15:04:05.000Z"))
			if err != nil {
				return err
			}
			if len(some) > 0 {
				found = true
				return nil
			}
		}
		return nil
	})
	return found, err
}

// load reads a practice's definitions.
func (g *Guides) load(ctx context.Context, scope auth.System) (*loaded, error) {
	l := &loaded{set: profile.NewSet(profile.Builtin()), terms: &terms{ask: g.codes.Checker(scope.Practice())}}
	err := g.db.View(ctx, scope, func(tx *db.Tx) error {
		all, err := g.store.Find(ctx, tx, "StructureDefinition")
		if err != nil {
			return err
		}
		// Newest first: the last to be added is the one found without a version.
		slices.Reverse(all)
		for _, r := range all {
			l.take(r.Node())
		}
		guides, err := g.store.Find(ctx, tx, "ImplementationGuide")
		if err != nil {
			return err
		}
		l.supported = supported(l.own, nodes(guides))
		asked, err := g.store.Find(ctx, tx, "Questionnaire", "_sort", "-_lastUpdated")
		if err != nil {
			return err
		}
		l.forms = forms(nodes(asked))
		counted, err := g.store.Find(ctx, tx, "Measure", "_sort", "-_lastUpdated")
		if err != nil {
			return err
		}
		l.measures = forms(nodes(counted))
		l.policy, l.targets, err = g.readPolicies(ctx, tx)
		return err
	})
	return l, err
}

func nodes(all []*fhirstore.Resource) (out []*fhirjson.Node) {
	for _, r := range all {
		out = append(out, r.Node())
	}
	return out
}

// take adds a stored profile. One that cannot be read is left out: it was refused or reported when it came.
func (l *loaded) take(n *fhirjson.Node) {
	base := n.Get("baseDefinition").Text()
	read := profile.Read
	if l.set.Find(base) == nil && !profile.IsR4(base) {
		read = profile.ReadWhole
	}
	if d, err := read(n); err == nil {
		l.set.Add(d)
		l.own = append(l.own, d)
	}
}

// Validator returns the validator of a practice, which beside what a Checker judges looks at the names of codes and at
// reports of measures. It must not be called inside a transaction.
func (g *Guides) Validator(ctx context.Context, p db.PracticeID) (*profile.Validator, Policy, error) {
	l, err := g.of(ctx, p)
	if err != nil {
		return nil, "", err
	}
	v, policy := l.validator(), l.policy
	v.Displays = g.codes.Names(p)
	v.Find = func(canonical string) *fhirjson.Node {
		if n := l.forms[canonical]; n != nil {
			return n
		}
		return l.measures[canonical]
	}
	return v, policy, nil
}

// validator judges what is written.
func (l *loaded) validator() *profile.Validator {
	return &profile.Validator{Profiles: l.set, Codes: l.terms.codes, Find: func(canonical string) *fhirjson.Node { return l.forms[canonical] }}
}

// Checker judges what a practice is about to write (fhirstore.Store.Judge): base rules of R4 are always obeyed,
// profiles that a resource declares as the practice's policy says. light checks structure and codes only, for history
// that others recorded. It must not be called inside a transaction; the checker it gives may be.
func (g *Guides) Checker(ctx context.Context, s db.Scope, light bool) (fhirstore.Checker, error) {
	l, err := g.of(ctx, s.Practice())
	if err != nil {
		return nil, err
	}
	v := l.validator()
	o := profile.Options{Light: light, NoMeta: light, Structured: true, Now: g.db.Clock().Now()}
	if l.policy == WarnOnly {
		o.Declared = profile.Warn
	}
	return func(n *fhirjson.Node) fhir.Issues {
		if slices.Contains(conformance, n.Get("resourceType").Text()) {
			g.writing(s.Practice())
		}
		return v.Validate(n, o)
	}, nil
}

// writing notes that a definition of a practice may be about to change.
func (g *Guides) writing(p db.PracticeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.loaded[p]; l != nil {
		next := *l
		next.written = g.db.Clock().Now()
		g.loaded[p] = &next
	}
}
