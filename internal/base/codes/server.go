package codes

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/terminology"
)

// Options of a Server.
type Options struct {
	Clock *clock.Clock
	Log   *slog.Logger
	// Memory bounds the bytes of loaded releases; 0 means 256 MB.
	Memory int64
}

// Server answers questions about codes for all practices of one database. It is safe for concurrent use.
type Server struct {
	db     *db.DB
	store  *fhirstore.Store
	clock  *clock.Clock
	log    *slog.Logger
	memory int64

	mu      sync.Mutex
	loaded  map[string]*list.Element // of *resident, by key
	order   *list.List               // most recently used first
	used    int64
	loading map[string]chan struct{}
	built   map[string]*list.Element // compiled resources, by practice and version
	builds  *list.List
	desks   map[db.PracticeID]*desk
}

// New makes a Server over a database and its store.
func New(d *db.DB, store *fhirstore.Store, o Options) *Server {
	s := &Server{db: d, store: store, clock: o.Clock, log: o.Log, memory: o.Memory, loaded: map[string]*list.Element{}, order: list.New(), loading: map[string]chan struct{}{},
		built: map[string]*list.Element{}, builds: list.New(), desks: map[db.PracticeID]*desk{}}
	if s.clock == nil {
		s.clock = d.Clock()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.memory == 0 {
		s.memory = 256 << 20
	}
	return s
}

// besideLimit is how long a question from within a transaction may wait for a reader.
const besideLimit = 5 * time.Second

// With opens the practice's shelf for a few questions: everything fn asks is answered from one moment. Definitions are not patient
// data; whoever may ask the practice anything may use them.
func (s *Server) With(ctx context.Context, p db.PracticeID, fn func(sh *terminology.Shelf) error) error {
	run := func() error {
		return s.db.View(ctx, auth.SystemScope(p, "terminology"), func(tx *db.Tx) error { return fn(s.shelf(ctx, tx)) })
	}
	err := run()
	if errors.Is(err, db.ErrNested) { // asked from within a transaction, such as a check at writing: read beside it, but never wait for ever
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, besideLimit)
		defer stop()
		done := make(chan error, 1)
		go func() { done <- run() }()
		return <-done
	}
	return err
}

// Now is the moment answers are given at.
func (s *Server) Now() time.Time { return s.clock.Now() }

// Evaluate works out a value set by its address, perhaps with |version. A value set that is not here is a not-found Issue.
func Evaluate(sh *terminology.Shelf, canonical, version string) (*terminology.Set, error) {
	url, v := cut(canonical)
	if version == "" {
		version = v
	}
	def, err := sh.ValueSet(url, version)
	if err != nil {
		return nil, err
	}
	if def == nil {
		return nil, noValueSet(url, version)
	}
	return sh.Evaluate(def)
}

func noValueSet(url, version string) error {
	if version != "" {
		url += " in version " + version
	}
	return fhir.Problem("not-found", fmt.Sprintf("The value set %s is not here.", url), "Check the address, store it as a ValueSet, or import the guide that defines it.")
}

func cut(canonical string) (url, version string) {
	for i := len(canonical) - 1; i >= 0; i-- {
		if canonical[i] == '|' {
			return canonical[:i], canonical[i+1:]
		}
	}
	return canonical, ""
}

// resident is a release in memory.
type resident struct {
	key    string
	system *terminology.CodeSystem
	bytes  int64
}

// resident gives a loaded release, or loads it; concurrent askers wait for one load.
func (s *Server) resident(key string, load func() (*terminology.CodeSystem, int64, error)) (*terminology.CodeSystem, error) {
	for {
		s.mu.Lock()
		if e := s.loaded[key]; e != nil {
			s.order.MoveToFront(e)
			s.mu.Unlock()
			return e.Value.(*resident).system, nil
		}
		wait := s.loading[key]
		if wait == nil {
			wait = make(chan struct{})
			s.loading[key] = wait
			s.mu.Unlock()
			cs, size, err := load()
			s.mu.Lock()
			delete(s.loading, key)
			close(wait)
			if err == nil {
				s.loaded[key] = s.order.PushFront(&resident{key, cs, size})
				s.used += size
				for s.used > s.memory && s.order.Len() > 1 {
					last := s.order.Back()
					r := last.Value.(*resident)
					s.order.Remove(last)
					delete(s.loaded, r.key)
					s.used -= r.bytes
				}
			}
			s.mu.Unlock()
			return cs, err
		}
		s.mu.Unlock()
		<-wait
	}
}

// Resident tells how many releases are in memory and their bytes, for metrics.
func (s *Server) Resident() (releases int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Len(), s.used
}

const mostBuilt = 2000

type builtResource struct {
	key   string
	value any
}

// compiled keeps what was made of a version of a resource; a version never changes.
func (s *Server) compiled(key string, build func() (any, error)) (any, error) {
	s.mu.Lock()
	if e := s.built[key]; e != nil {
		s.builds.MoveToFront(e)
		s.mu.Unlock()
		return e.Value.(*builtResource).value, nil
	}
	s.mu.Unlock()
	v, err := build()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.built[key]; e != nil {
		return e.Value.(*builtResource).value, nil
	}
	s.built[key] = s.builds.PushFront(&builtResource{key, v})
	if s.builds.Len() > mostBuilt {
		last := s.builds.Back()
		s.builds.Remove(last)
		delete(s.built, last.Value.(*builtResource).key)
	}
	return v, nil
}
