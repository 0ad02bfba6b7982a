package terminology

import "slices"

func (s *Set) part(url string, like *part) *part {
	for _, p := range s.parts {
		if p.url == url && (p.system == like.system || p.system == nil || like.system == nil) {
			return p
		}
	}
	return nil
}

// add joins another set. Its parts may be shared with other sets, so they are copied before they change.
func (s *Set) add(o *Set) {
	for _, u := range o.Unknown {
		s.Unknown = appendNew(s.Unknown, u)
	}
	for _, u := range o.Unsure {
		s.Unsure = appendNew(s.Unsure, u)
	}
	moved := map[*part]*part{}
	for _, q := range o.parts {
		p := s.part(q.url, q)
		if p == nil {
			p = &part{system: q.system, url: q.url, version: q.version}
			s.parts = append(s.parts, p)
		}
		moved[q] = p
		if p.system == nil {
			p.system, p.version = q.system, q.version
		}
		p.all = p.all || q.all
		if q.in != nil {
			if p.in == nil {
				p.in = slices.Clone(q.in)
			} else {
				p.in.or(q.in)
			}
		}
		for c, l := range q.loose {
			if p.loose == nil {
				p.loose = map[string]ListedCode{}
			}
			p.loose[c] = l
		}
		for i, l := range q.names {
			if p.names == nil {
				p.names = map[Ref]ListedCode{}
			}
			if _, have := p.names[i]; !have {
				p.names[i] = l
			}
		}
	}
	for _, g := range o.order {
		g.part = moved[g.part]
		s.order = append(s.order, g)
	}
}

func (s *Set) remove(o *Set) {
	for _, q := range o.parts {
		for _, p := range s.parts {
			if p.url != q.url {
				continue
			}
			if q.all {
				p.all, p.in, p.loose = false, nil, nil
				continue
			}
			if q.in != nil && p.in != nil && p.system == q.system {
				p.in.without(q.in)
			}
			for c := range q.loose {
				delete(p.loose, c)
				if p.all {
					if p.gone == nil {
						p.gone = map[string]bool{}
					}
					p.gone[c] = true
				}
				if p.in != nil {
					if i, ok := p.system.Find(c); ok {
						p.in.clear(i)
					}
				}
			}
			if q.in != nil && len(p.loose) > 0 {
				for c := range p.loose {
					if i, ok := q.system.Find(c); ok && q.in.has(i) {
						delete(p.loose, c)
					}
				}
			}
		}
	}
}

// intersect keeps what is in both.
func (s *Set) intersect(o *Set) {
	for _, u := range o.Unknown {
		s.Unknown = appendNew(s.Unknown, u)
	}
	for _, u := range o.Unsure {
		s.Unsure = appendNew(s.Unsure, u)
	}
	for _, p := range s.parts {
		q := o.part(p.url, p)
		if q == nil {
			p.all, p.in, p.loose = false, nil, nil
			continue
		}
		switch {
		case p.all && q.all:
		case p.all: // a grammar met a list
			keep := map[string]ListedCode{}
			var codes []string
			for c, l := range q.loose {
				if p.system.Has(c) && !p.gone[c] {
					keep[c] = l
					codes = append(codes, c)
				}
			}
			slices.Sort(codes)
			p.all, p.loose = false, keep
			s.order = append(s.order, segment{part: p, loose: codes})
		case q.all:
			for c := range p.loose {
				if !q.system.Has(c) || q.gone[c] {
					delete(p.loose, c)
				}
			}
		default:
			if p.in != nil {
				kept := newBits(p.system.Len())
				if q.in != nil && q.system == p.system {
					kept.or(q.in)
				}
				for c := range q.loose {
					if i, ok := p.system.Find(c); ok {
						kept.set(i)
					}
				}
				p.in = slices.Clone(p.in)
				p.in.and(kept)
			}
			for c := range p.loose {
				_, have := q.loose[c]
				if !have && q.in != nil {
					if i, ok := q.system.Find(c); ok {
						have = q.in.has(i)
					}
				}
				if !have {
					delete(p.loose, c)
				}
			}
		}
	}
}

// Has reports whether a code belongs to the set. system "" asks for the code in any system; version "" for any version. known is
// false when the answer depends on a code system that is not here.
func (s *Set) Has(system, version, code string) (ok, known bool) {
	m, known := s.find(system, version, code)
	return m != nil, known
}

// member is a code found in a set.
type member struct {
	part *part
	ref  Ref // -1: a loose code or one of a grammar
	code string
}

func (s *Set) find(system, version, code string) (*member, bool) {
	for _, p := range s.parts {
		if system != "" && p.url != system || version != "" && p.version != "" && p.version != version {
			continue
		}
		if p.in != nil {
			if i, ok := p.system.Find(code); ok && p.in.has(i) {
				return &member{p, i, p.system.Code(i)}, true
			}
		}
		if _, ok := p.loose[code]; ok || p.all && p.system.Has(code) && !p.gone[code] {
			return &member{p, -1, code}, true
		}
	}
	if system == "" {
		return nil, len(s.Unknown) == 0 && len(s.Unsure) == 0
	}
	return nil, !slices.Contains(s.Unknown, system) && len(s.Unsure) == 0
}

// walk gives every member in the order of the definition until visit says no. Codes of a grammar cannot be listed; they are left
// out.
func (s *Set) walk(visit func(member) bool) {
	done := map[*part]bits{}
	loose := map[*part]map[string]bool{}
	for _, g := range s.order {
		p := g.part
		if p.in != nil && done[p] == nil {
			done[p] = newBits(p.system.Len())
		}
		put := func(i Ref) bool {
			if p.in == nil || !p.in.has(i) || done[p].has(i) {
				return true
			}
			done[p].set(i)
			return visit(member{p, i, p.system.Code(i)})
		}
		switch {
		case g.in != nil:
			for i := range Ref(p.system.Len()) {
				if g.in.has(i) && !put(i) {
					return
				}
			}
		case g.refs != nil:
			for _, i := range g.refs {
				if !put(i) {
					return
				}
			}
		default:
			for _, c := range g.loose {
				if _, still := p.loose[c]; !still || loose[p][c] {
					continue
				}
				if loose[p] == nil {
					loose[p] = map[string]bool{}
				}
				loose[p][c] = true
				if !visit(member{p, -1, c}) {
					return
				}
			}
		}
	}
}

// Listable reports whether all members can be named; url is a system for which they cannot.
func (s *Set) Listable() (url string, ok bool) {
	for _, p := range s.parts {
		if p.all {
			return p.url, false
		}
	}
	return "", true
}

func (m *member) display() string {
	if m.ref >= 0 {
		if l, ok := m.part.names[m.ref]; ok && l.Display != "" {
			return l.Display
		}
		return m.part.system.Display(m.ref)
	}
	return m.part.loose[m.code].Display
}
