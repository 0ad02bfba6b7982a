package profile

import (
	"strings"
	"sync"
)

// Set is a collection of definitions: those built in, and on top of them what a practice has loaded. It is safe
// for use by many goroutines.
type Set struct {
	under *Set

	mu    sync.RWMutex
	defs  map[string]*Definition // by URL, and by URL|version
	lazy  map[string]func() (*Definition, error)
	trees map[*Definition]*tree
}

// NewSet returns an empty set on top of another, or on nothing.
func NewSet(under *Set) *Set {
	return &Set{under: under, defs: map[string]*Definition{}, lazy: map[string]func() (*Definition, error){}, trees: map[*Definition]*tree{}}
}

// Add puts definitions into the set. A later one of the same URL is the one found without a version.
func (s *Set) Add(defs ...*Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.trees)
	for _, d := range defs {
		s.defs[d.URL] = d
		if d.Version != "" {
			s.defs[d.URL+"|"+d.Version] = d
		}
		delete(s.lazy, d.URL)
	}
}

// AddLazy promises a definition that is read when somebody first asks for it. read is called at most once; when it
// fails the definition counts as unknown.
func (s *Set) AddLazy(url, version string, read func() (*Definition, error)) {
	once := sync.OnceValues(read)
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.trees)
	delete(s.defs, url)
	s.lazy[url] = once
	if version != "" {
		s.lazy[url+"|"+version] = once
	}
}

// Find returns the definition of a canonical URL, with or without |version, or nil. A version that is not there
// falls back to the definition without it, for guides name the version they were published with.
func (s *Set) Find(canonical string) *Definition {
	if d := s.find(canonical); d != nil {
		return d
	}
	if url, _, ok := strings.Cut(canonical, "|"); ok {
		return s.find(url)
	}
	return nil
}

func (s *Set) find(canonical string) *Definition {
	for ; s != nil; s = s.under {
		s.mu.RLock()
		d, read := s.defs[canonical], s.lazy[canonical]
		s.mu.RUnlock()
		if d != nil {
			return d
		}
		if read != nil {
			if d, err := read(); err == nil && d != nil {
				return d
			}
		}
	}
	return nil
}

// URLs returns the URLs of the definitions in this set, without those under it, in no order.
func (s *Set) URLs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []string
	for _, m := range []func(func(string)){func(f func(string)) {
		for u := range s.defs {
			f(u)
		}
	}, func(f func(string)) {
		for u := range s.lazy {
			f(u)
		}
	}} {
		m(func(u string) {
			if !strings.Contains(u, "|") {
				out = append(out, u)
			}
		})
	}
	return out
}

// tree returns the compiled form of a definition, made on first use.
func (s *Set) tree(d *Definition) *tree {
	s.mu.RLock()
	t := s.trees[d]
	s.mu.RUnlock()
	if t != nil {
		return t
	}
	t = s.compile(d, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.trees[d]; old != nil {
		return old
	}
	s.trees[d] = t
	return t
}
