package fhir

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed data/codes.gz
var packedCodes []byte

// codeSet is the complete list of codes of a value set.
type codeSet struct {
	systems map[string][]string            // codes in published order
	known   map[string]map[string]struct{} // the same, for lookup
	any     map[string]struct{}            // codes of all systems
	order   []string                       // systems in published order
}

var codeSets = sync.OnceValue(func() map[string]*codeSet {
	sets := make(map[string]*codeSet, 256)
	var s *codeSet
	for f := range rows(packedCodes) {
		if f[0] == "V" {
			s = &codeSet{map[string][]string{}, map[string]map[string]struct{}{}, map[string]struct{}{}, nil}
			sets[f[1]] = s
			continue
		}
		system := f[1]
		if s.known[system] == nil {
			s.known[system] = map[string]struct{}{}
			s.order = append(s.order, system)
		}
		for _, code := range f[2:] {
			s.systems[system] = append(s.systems[system], code)
			s.known[system][code] = struct{}{}
			s.any[code] = struct{}{}
		}
	}
	return sets
})

func (s *codeSet) has(code string) bool {
	_, ok := s.any[code]
	return ok
}

func (s *codeSet) hasIn(system, code string) bool {
	_, ok := s.known[system][code]
	return ok
}

// Codes returns the codes of a value set that R4 requires somewhere and whose
// codes it lists, with their systems in published order. ok is false for
// other value sets; those are package terminology's.
func Codes(valueSet string) (codes []Code, ok bool) {
	s := codeSets()[valueSet]
	if s == nil {
		return nil, false
	}
	for _, system := range s.order {
		for _, c := range s.systems[system] {
			codes = append(codes, Code{system, c})
		}
	}
	return codes, true
}

// Code is a code of a code system.
type Code struct{ System, Code string }

// list names the codes for people, at most a screenful.
func (s *codeSet) list() string {
	const most = 20
	var all []string
	for _, system := range s.order {
		all = append(all, s.systems[system]...)
	}
	if len(all) > most {
		return strings.Join(all[:most], ", ") + " … (" + strings.Join(s.order, ", ") + ")"
	}
	return strings.Join(all, ", ")
}

// fold returns the code that differs from this one only in case.
func (s *codeSet) fold(code string) string {
	for _, system := range s.order {
		if i := slices.IndexFunc(s.systems[system], func(c string) bool { return strings.EqualFold(c, code) }); i >= 0 {
			return s.systems[system][i]
		}
	}
	return ""
}
