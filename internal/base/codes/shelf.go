package codes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

// shelf finds things for one transaction: imported releases first, then stored resources, then what is built in.
func (s *Server) shelf(ctx context.Context, tx *db.Tx) *terminology.Shelf {
	built := terminology.BuiltIn()
	var releases []Release
	var read bool
	all := func() ([]Release, error) {
		var err error
		if !read {
			releases, err = selectReleases(ctx, tx)
			read = err == nil
		}
		return releases, err
	}
	return &terminology.Shelf{
		CodeSystem: func(url, version string) (*terminology.CodeSystem, error) {
			list, err := all()
			if err != nil {
				return nil, err
			}
			if r := current(list, url, version, tx.Now()); r != nil {
				return s.open(ctx, tx, r)
			}
			if !strings.HasPrefix(url, "http://hl7.org/fhir/sid/") && url != terminology.RxNorm && url != terminology.LOINC {
				n, err := s.stored(ctx, tx, "CodeSystem", url, version)
				if err != nil {
					return nil, err
				}
				if n != nil {
					key, more, err := s.supplements(ctx, tx, url)
					if err != nil {
						return nil, err
					}
					v, err := s.compiled(versionKey(tx, n)+key, func() (any, error) { return terminology.FromResource(terminology.Supplemented(n.Node(), more...)) })
					if err != nil {
						return nil, err
					}
					if cs := v.(*terminology.CodeSystem); cs.Len() > 0 {
						return cs, nil
					}
				}
			}
			return built.CodeSystem(url, version)
		},
		ValueSet: func(url, version string) (*terminology.ValueSet, error) {
			n, err := s.stored(ctx, tx, "ValueSet", url, version)
			if err != nil {
				return nil, err
			}
			if n != nil {
				v, err := s.compiled(versionKey(tx, n), func() (any, error) { return terminology.ValueSetOf(n.Node()) })
				if err != nil {
					return nil, err
				}
				return v.(*terminology.ValueSet), nil
			}
			v, err := built.ValueSet(url, version)
			if v != nil || err != nil {
				return v, err
			}
			// R4 names some implicit value sets: all of a code system, or what lies under a SNOMED CT concept.
			return implicit(url), nil
		},
		ConceptMap: func(url, version string) (*terminology.ConceptMap, error) {
			n, err := s.stored(ctx, tx, "ConceptMap", url, version)
			if err != nil || n == nil {
				return nil, err
			}
			v, err := s.compiled(versionKey(tx, n), func() (any, error) { return terminology.ConceptMapOf(n.Node()) })
			if err != nil {
				return nil, err
			}
			return v.(*terminology.ConceptMap), nil
		},
		ConceptMaps: func(source, target string) ([]*terminology.ConceptMap, error) {
			return s.mapsBetween(ctx, tx, source, target)
		},
	}
}

// supplements finds what practices add to a stored code system: further names and properties of its codes. key tells their versions.
func (s *Server) supplements(ctx context.Context, tx *db.Tx, url string) (key string, out []*fhirjson.Node, err error) {
	all, err := s.store.Find(ctx, tx, "CodeSystem", "content-mode", "supplement", "status", "active,draft")
	for _, r := range all {
		if of, _, _ := strings.Cut(r.Node().Get("supplements").Text(), "|"); of == url {
			key += "+" + versionKey(tx, r)
			out = append(out, r.Node())
		}
	}
	return key, out, err
}

// mapsBetween finds the maps from one value set to another, of each its current version; "" stands for any value set.
func (s *Server) mapsBetween(ctx context.Context, tx *db.Tx, source, target string) ([]*terminology.ConceptMap, error) {
	all, err := s.store.Find(ctx, tx, "ConceptMap", "status", "active,draft")
	if err != nil {
		return nil, err
	}
	is := func(n *fhirjson.Node, name, asked string) bool {
		has := first(n.Get(name+"Canonical").Text(), n.Get(name+"Uri").Text())
		if !strings.Contains(asked, "|") {
			has, _, _ = strings.Cut(has, "|")
		}
		return asked == "" || has == asked
	}
	var out []*terminology.ConceptMap
	seen := map[string]bool{}
	for _, r := range all {
		url := r.Node().Get("url").Text()
		if seen[url] || !is(r.Node(), "source", source) || !is(r.Node(), "target", target) {
			continue
		}
		if url != "" { // one without an address stands for itself
			seen[url] = true
			if r, err = s.stored(ctx, tx, "ConceptMap", url, ""); err != nil {
				return nil, err
			}
			if r == nil || !is(r.Node(), "source", source) || !is(r.Node(), "target", target) {
				continue
			}
		}
		v, err := s.compiled(versionKey(tx, r), func() (any, error) { return terminology.ConceptMapOf(r.Node()) })
		if err != nil {
			return nil, err
		}
		out = append(out, v.(*terminology.ConceptMap))
	}
	return out, nil
}

func versionKey(tx *db.Tx, r *fhirstore.Resource) string {
	return fmt.Sprintf("%d|%s|%d", tx.Practice(), r.Reference(), r.Version)
}

// stored finds a definition by its address. Of several the one asked for, else the active one of the highest version.
func (s *Server) stored(ctx context.Context, tx *db.Tx, typ, url, version string) (*fhirstore.Resource, error) {
	if url == "" || len(url) > 2000 {
		return nil, nil
	}
	params := []string{"url", escape(url)}
	if version != "" {
		params = append(params, "version", escape(version))
	}
	found, err := s.store.Find(ctx, tx, typ, params...)
	if err != nil {
		var i *fhir.Issue
		if errors.As(err, &i) && i.Code == "forbidden" {
			return nil, nil
		}
		return nil, err
	}
	found = slices.DeleteFunc(found, func(r *fhirstore.Resource) bool {
		n := r.Node()
		return n.Get("url").Text() != url || n.Get("content").Text() == "supplement"
	})
	if len(found) == 0 {
		return nil, nil
	}
	return slices.MaxFunc(found, func(a, b *fhirstore.Resource) int {
		rank := func(r *fhirstore.Resource) int {
			switch r.Node().Get("status").Text() {
			case "active":
				return 2
			case "draft":
				return 1
			}
			return 0
		}
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if d := compareVersions(a.Node().Get("version").Text(), b.Node().Get("version").Text()); d != 0 {
			return d
		}
		return a.Updated.Compare(b.Updated)
	}), nil
}

// escape writes a value for a search parameter.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `$`, `\$`, `|`, `\|`).Replace(s)
}

// compareVersions puts 10.1 behind 9.2 and 2026-01 behind 2025-12.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		x, restA := run(a)
		y, restB := run(b)
		if x == y {
			a, b = restA, restB
			continue
		}
		dx, dy := isDigits(x), isDigits(y)
		if dx && dy {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
		}
		return strings.Compare(x, y)
	}
	return 0
}

// run takes the leading digits, or what is before the next digit.
func run(s string) (head, rest string) {
	if s == "" {
		return "", ""
	}
	d := s[0] >= '0' && s[0] <= '9'
	for i := 1; i < len(s); i++ {
		if (s[i] >= '0' && s[i] <= '9') != d {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func isDigits(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// implicit gives the value sets that R4 defines by their address: http://loinc.org/vs, …/vs/LL715-4 (not carried),
// http://snomed.info/sct?fhir_vs, ?fhir_vs=isa/1234, and {code system}?vs.
func implicit(url string) *terminology.ValueSet {
	v := &terminology.ValueSet{URL: url, Name: url}
	switch {
	case url == "http://loinc.org/vs":
		v.Include = []terminology.Include{{System: terminology.LOINC}}
	case url == "http://snomed.info/sct?fhir_vs":
		v.Include = []terminology.Include{{System: SNOMED}}
	case strings.HasPrefix(url, "http://snomed.info/sct?fhir_vs=isa/"):
		v.Include = []terminology.Include{{System: SNOMED, Filters: []terminology.Filter{{Property: "concept", Op: "is-a", Value: strings.TrimPrefix(url, "http://snomed.info/sct?fhir_vs=isa/")}}}}
	case url == "http://unitsofmeasure.org/vs", url == "http://hl7.org/fhir/ValueSet/ucum-units":
		v.Include = []terminology.Include{{System: terminology.UCUM}}
	default:
		return nil
	}
	return v
}
