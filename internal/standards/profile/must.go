package profile

import (
	"slices"
	"strings"
)

// Must is an element that a profile marks as must-support: the system fills it when it knows it and understands it when it
// comes (US Core, "Must Support").
type Must struct {
	Path string // Observation.component:systolic.value[x]
	Min  int    // how many there must be at least; 0 if there may be none
}

// Must lists the elements that a profile and those it stands on mark as must-support, by path; nil if it is not known.
func (s *Set) Must(canonical string) []Must {
	d := s.Find(canonical)
	if d == nil {
		return nil
	}
	var out []Must
	s.tree(d).root.musts(&out)
	slices.SortFunc(out, func(a, b Must) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (n *node) musts(out *[]Must) {
	if n.must {
		*out = append(*out, Must{n.path, max(n.min, 0)})
	}
	for _, k := range append(slices.Clone(n.slices), n.kids...) {
		if strings.Count(k.path, ".") < 20 { // content that repeats itself has no end
			k.musts(out)
		}
	}
}
