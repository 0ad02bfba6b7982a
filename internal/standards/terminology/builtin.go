package terminology

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

//go:embed data/fhir.txt.gz
var packedFHIR []byte

// builtIn are the code systems and value sets of FHIR R4 and US Core that may be carried (data/MANIFEST.md), the grammars, and the
// starter set as fragments. The texts are indexed at first use; a system or set is built when it is first asked for.
type builtIn struct {
	systems map[string]*lazySystem
	sets    map[string]*ValueSet
}

type lazySystem struct {
	head  Head
	rows  []string
	extra []string // further concepts of the same system
	once  sync.Once
	built *CodeSystem
}

var carried = sync.OnceValue(func() *builtIn {
	r, err := gzip.NewReader(bytes.NewReader(packedFHIR))
	if err != nil {
		panic("terminology: the embedded FHIR table is damaged: " + err.Error()) // built in, checked by the tests
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic("terminology: the embedded FHIR table is damaged: " + err.Error())
	}
	b := &builtIn{systems: map[string]*lazySystem{}, sets: map[string]*ValueSet{}}
	var rows *[]string
	var set *ValueSet
	var in *Include
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		f := append(strings.Split(line, "\t"), "", "", "", "", "", "")
		switch f[0] {
		case "C":
			s := &lazySystem{head: Head{URL: f[1], Version: f[2], Name: f[3], CaseSensitive: strings.Contains(f[4], "s"), Content: f[5], Hierarchy: f[6]}}
			b.systems[f[1]] = s
			rows = &s.rows
		case "+":
			rows = &b.systems[f[1]].extra
		case "V":
			set = &ValueSet{URL: f[1], Version: f[2], Name: f[3]}
			b.sets[f[1]] = set
		case "M":
			set.Missing = appendNew(set.Missing, f[1])
		case "I", "X":
			x := Include{System: f[1], Version: f[2], ValueSets: strings.Fields(f[3])}
			if f[0] == "I" {
				set.Include = append(set.Include, x)
				in = &set.Include[len(set.Include)-1]
			} else {
				set.Exclude = append(set.Exclude, x)
				in = &set.Exclude[len(set.Exclude)-1]
			}
		case "l":
			in.Codes = append(in.Codes, ListedCode{Code: f[1], Display: f[2]})
		case "f":
			in.Filters = append(in.Filters, Filter{f[1], f[2], f[3]})
		default:
			*rows = append(*rows, line)
		}
	}
	b.systems[Countries] = &lazySystem{head: Head{URL: Countries, Name: "Countries (ISO 3166-1)", CaseSensitive: true, Content: "complete"}, rows: countryRows()}
	for _, g := range grammars() {
		b.systems[g.URL] = &lazySystem{head: g.Head, built: g}
	}
	for _, e := range Editions() {
		if e.System != Allergens {
			b.systems[e.System] = &lazySystem{head: Head{URL: e.System, Version: e.Release, Name: e.Name, Content: "fragment", Licence: e.Licence}}
		}
	}
	return b
})

func (l *lazySystem) system() *CodeSystem {
	l.once.Do(func() {
		if l.built != nil {
			return
		}
		var entries []Entry
		seen := map[string]int{}
		for _, rows := range [][]string{l.rows, l.extra} {
			var above []string
			for _, row := range rows {
				f := append(strings.Split(row, "\t"), "", "", "")
				depth := 0
				for _, c := range f[0] {
					depth = depth*10 + int(c-'0')
				}
				depth = min(depth, len(above))
				above = append(above[:depth], f[1])
				e := Entry{Code: f[1], Display: f[2], Abstract: strings.Contains(f[3], "a"), Inactive: strings.Contains(f[3], "i")}
				if depth > 0 {
					e.Parents = []string{above[depth-1]}
				}
				if at, twice := seen[e.Code]; twice { // a concept under several parents
					entries[at].Parents = append(entries[at].Parents, e.Parents...)
					continue
				}
				seen[e.Code] = len(entries)
				entries = append(entries, e)
			}
		}
		if len(l.rows) == 0 {
			entries = Starter(l.head.URL)
		}
		s, err := NewCodeSystem(l.head, entries)
		if err != nil {
			// The published systems differ in case only here and there.
			h := l.head
			h.CaseSensitive = true
			if s, err = NewCodeSystem(h, entries); err != nil {
				panic("terminology: " + l.head.URL + ": " + err.Error()) // built in, checked by the tests
			}
		}
		l.built = s
	})
	return l.built
}

// Starter gives the concepts of the starter set for a system, with everyday words and which are common, in code order. Releases
// that are imported take the words and the ranking over.
func Starter(system string) []Entry {
	var out []Entry
	seen := map[string]bool{}
	t := load()
	for i := range t.concepts {
		c := &t.concepts[i]
		if c.System == system && !seen[c.Code] {
			seen[c.Code] = true
			out = append(out, Entry{Code: c.Code, Display: c.Display, Inactive: c.Retired, Common: c.common > 0, Words: c.Words})
		}
	}
	return out
}

// BuiltIn is the shelf of what is carried. Versions are not told apart: a version that is asked for and is another gives nil.
func BuiltIn() *Shelf {
	return &Shelf{
		CodeSystem: func(url, version string) (*CodeSystem, error) {
			l := carried().systems[url]
			if l == nil || version != "" && version != l.head.Version && l.head.Version != "" {
				return nil, nil
			}
			return l.system(), nil
		},
		ValueSet: func(url, version string) (*ValueSet, error) {
			v := carried().sets[url]
			if v == nil || version != "" && version != v.Version && v.Version != "" {
				return nil, nil
			}
			return v, nil
		},
		ConceptMap: func(string, string) (*ConceptMap, error) { return nil, nil },
	}
}

// BuiltInSystems lists the code systems that are carried.
func BuiltInSystems() []Head {
	var out []Head
	for _, l := range carried().systems {
		out = append(out, l.head)
	}
	return out
}
