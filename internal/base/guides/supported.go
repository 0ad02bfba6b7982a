package guides

import (
	"context"
	"slices"
	"strings"
	"sync"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

// Supported is what a practice's resources can be checked against, for its capability statement. It is never changed; the same
// pointer says that nothing changed.
type Supported struct {
	Profiles map[string][]string // canonical URLs by resource type, sorted; those of imported guides also with |version
	Guides   []string            // canonical URLs of implementation guides with |version
}

// usCore is how the canonical URLs of the guide begin that is built in, and builtinGuide is its own.
const (
	usCore       = "http://hl7.org/fhir/us/core/StructureDefinition/"
	builtinGuide = "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0"
)

// builtin is what every practice has.
var builtin = sync.OnceValue(func() *Supported {
	s := &Supported{Profiles: map[string][]string{}, Guides: []string{builtinGuide}}
	for _, u := range profile.Builtin().URLs() {
		if strings.HasPrefix(u, usCore) {
			s.add(profile.Builtin().Find(u), u)
		}
	}
	s.sort()
	return s
})

// add takes a profile of a resource type; definitions of extensions and data types are no such profile.
func (s *Supported) add(d *profile.Definition, urls ...string) {
	if d == nil || d.Specialization || !fhir.IsResourceType(d.Type) {
		return
	}
	for _, u := range urls {
		if !slices.Contains(s.Profiles[d.Type], u) {
			s.Profiles[d.Type] = append(s.Profiles[d.Type], u)
		}
	}
}

func (s *Supported) sort() {
	for _, list := range s.Profiles {
		slices.Sort(list)
	}
	slices.Sort(s.Guides)
}

// supported gives what the definitions of a practice add to what is built in; guides are its ImplementationGuides.
func supported(own []*profile.Definition, guides []*fhirjson.Node) *Supported {
	if len(own) == 0 && len(guides) == 0 {
		return builtin()
	}
	s := &Supported{Profiles: map[string][]string{}, Guides: slices.Clone(builtin().Guides)}
	for typ, list := range builtin().Profiles {
		s.Profiles[typ] = slices.Clone(list)
	}
	for _, d := range own {
		s.add(d, d.URL)
		if d.Version != "" {
			s.add(d, d.URL+"|"+d.Version)
		}
	}
	for _, n := range guides {
		if u := n.Get("url").Text(); u != "" && n.Get("packageId") != nil {
			if u += "|" + n.Get("version").Text(); !slices.Contains(s.Guides, u) {
				s.Guides = append(s.Guides, u)
			}
		}
	}
	s.sort()
	return s
}

// Supported gives what a practice's resources can be checked against. It must not be called inside a transaction.
func (g *Guides) Supported(ctx context.Context, p db.PracticeID) (*Supported, error) {
	l, err := g.of(ctx, p)
	if err != nil {
		return nil, err
	}
	return l.supported, nil
}

// maxForms bounds how many Questionnaires, and how many Measures, of a practice are kept at hand, the newest first.
const maxForms = 2000

// forms are the Questionnaires or Measures of a practice by canonical URL, with and without version. all comes newest first.
func forms(all []*fhirjson.Node) map[string]*fhirjson.Node {
	out := map[string]*fhirjson.Node{}
	for _, n := range all[:min(len(all), maxForms)] {
		u, version := n.Get("url").Text(), n.Get("version").Text()
		for _, key := range []string{u, u + "|" + version, n.Get("resourceType").Text() + "/" + n.Get("id").Text()} {
			if out[key] == nil && u != "" {
				out[key] = n
			}
		}
	}
	return out
}
