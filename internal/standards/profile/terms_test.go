package profile

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/terminology"
)

// terms is a small terminology server for tests: value sets and code systems of the published definitions and of the
// cases. It says "unknown" for whatever it cannot work out completely.
type terms struct {
	under *terms
	sets  map[string]testSet
	codes map[string]map[string]bool // complete code systems
	memo  map[string]map[string]bool // system|code
	names map[string]map[string][]string
}

type testSet struct {
	URL     string
	Compose struct{ Include, Exclude []testInclude }
}

type testInclude struct {
	System   string
	Concept  []testConcept
	Filter   []struct{ Property, Op, Value string }
	ValueSet []string
}

type testConcept struct {
	Code, Display string
	Designation   []struct{ Value string }
	Concept       []testConcept
}

type testSystem struct {
	URL, Content, ValueSet string
	Concept                []testConcept
}

func newTerms(under *terms) *terms {
	return &terms{under: under, sets: map[string]testSet{}, codes: map[string]map[string]bool{}, memo: map[string]map[string]bool{}, names: map[string]map[string][]string{}}
}

func (x *terms) add(raw []byte) {
	var head struct {
		ResourceType string
		Entry        []struct{ Resource json.RawMessage }
		Contained    []json.RawMessage
	}
	if json.Unmarshal(raw, &head) != nil {
		return
	}
	switch head.ResourceType {
	case "Bundle":
		for _, e := range head.Entry {
			x.add(e.Resource)
		}
	case "ValueSet":
		var s testSet
		if json.Unmarshal(raw, &s) == nil {
			x.sets[s.URL] = s
		}
	case "CodeSystem":
		var s testSystem
		if json.Unmarshal(raw, &s) == nil && s.Content == "complete" {
			all := map[string]bool{}
			names := map[string][]string{}
			flatten(s.Concept, all, names)
			x.codes[s.URL], x.names[s.URL] = all, names
		}
	}
}

func flatten(cs []testConcept, into map[string]bool, names map[string][]string) {
	for _, c := range cs {
		into[c.Code] = true
		if c.Display != "" {
			names[c.Code] = append(names[c.Code], c.Display)
		}
		for _, d := range c.Designation {
			names[c.Code] = append(names[c.Code], d.Value)
		}
		flatten(c.Concept, into, names)
	}
}

// Displays is a Validator's Displays.
func (x *terms) Displays(system, code string) []string {
	for ; x != nil; x = x.under {
		if n := x.names[system][code]; n != nil {
			return n
		}
	}
	if s, err := terminology.BuiltIn().CodeSystem(system, ""); err == nil && system == terminology.Countries {
		if i, ok := s.Find(code); ok {
			return []string{s.Display(i)}
		}
	}
	return nil
}

func (x *terms) set(url string) (testSet, bool) {
	for ; x != nil; x = x.under {
		if s, ok := x.sets[url]; ok {
			return s, true
		}
	}
	return testSet{}, false
}

func (x *terms) system(url string) (map[string]bool, bool) {
	for ; x != nil; x = x.under {
		if s, ok := x.codes[url]; ok {
			return s, true
		}
	}
	return nil, false
}

// Codes is a Validator's Codes.
func (x *terms) Codes(valueSet, system, code string) (ok, known bool) {
	valueSet, _, _ = strings.Cut(valueSet, "|")
	if valueSet == "" {
		s, known := x.system(system)
		return s[code], known
	}
	if s := map[string]string{"mimetypes": terminology.MimeTypes, "ucum-units": terminology.UCUM, "all-languages": terminology.Languages}[strings.TrimPrefix(valueSet, "http://hl7.org/fhir/ValueSet/")]; s != "" {
		cs, err := terminology.BuiltIn().CodeSystem(s, "")
		return err == nil && cs.Has(code) && (system == "" || system == s), err == nil
	}
	return x.member(valueSet, system, code, 0)
}

func (x *terms) member(valueSet, system, code string, depth int) (ok, known bool) {
	valueSet, _, _ = strings.Cut(valueSet, "|")
	s, found := x.set(valueSet)
	if !found || depth > 8 {
		return false, false
	}
	known = len(s.Compose.Include) > 0
	for _, i := range s.Compose.Include {
		in, k := x.included(i, system, code, depth)
		if in && k {
			ok = true
		}
		known = known && k
	}
	for _, e := range s.Compose.Exclude {
		in, k := x.included(e, system, code, depth)
		if !k {
			return false, false
		}
		if in {
			ok = false
		}
	}
	return ok, known || ok
}

// grown answers about the code systems that need no list: countries and their parts.
func grown(system, code string) (ok, known bool) {
	if system != terminology.Countries && system != terminology.Subdivisions && system != terminology.Regions {
		return false, false
	}
	s, err := terminology.BuiltIn().CodeSystem(system, "")
	return err == nil && s.Has(code), err == nil
}

func (x *terms) included(i testInclude, system, code string, depth int) (ok, known bool) {
	for _, v := range i.ValueSet {
		in, k := x.member(v, system, code, depth+1)
		if !k || !in {
			return false, k
		}
	}
	if i.System == "" {
		return len(i.ValueSet) > 0, true
	}
	if system != "" && system != i.System {
		return false, true
	}
	if len(i.Concept) > 0 {
		for _, c := range i.Concept {
			if c.Code == code {
				return true, true
			}
		}
		return false, true
	}
	if len(i.Filter) > 0 { // filters only narrow
		ok, known := grown(i.System, code)
		return false, known && !ok
	}
	all, found := x.system(i.System)
	if !found {
		return grown(i.System, code)
	}
	return all[code], found
}

var baseTerms = sync.OnceValue(func() *terms { return newTerms(nil) })

// corpusTerms reads the published value sets, once.
func corpusTerms(t testing.TB) *terms {
	t.Helper()
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return nil
	}
	x := baseTerms()
	if len(x.sets) == 0 {
		for _, f := range []string{"valuesets.json.gz", "v3-codesystems.json.gz", "v2-tables.json.gz"} {
			x.add(corpustest.Gunzip(t, filepath.Join(dir, "definitions", f)))
		}
	}
	return x
}
