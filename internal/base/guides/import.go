package guides

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

// Guide is an imported implementation guide.
type Guide struct {
	Package, Version, Canonical string
	Resources                   int // definitions taken over
	Imported                    time.Time
}

// Report is what an import did.
type Report struct {
	Guide
	ByType  map[string]int
	Refused []string // files that are not valid R4 and were left out, with what is wrong
	Missing []string // packages it depends on that are not imported: name#version
}

// kept are the types a guide brings that the server uses.
var kept = []string{"StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap", "SearchParameter", "OperationDefinition", "Questionnaire", "CapabilityStatement"}

// Import reads package.tgz and stores its definitions as resources of the practice, all or none. Versions of a guide
// stand side by side; a version that is imported again replaces itself. Errors are *fhir.Issue or fhir.Issues.
func (g *Guides) Import(ctx context.Context, s auth.System, r io.Reader) (Report, error) {
	p, err := profile.ReadPackage(r)
	if err != nil {
		return Report{}, err
	}
	rep := Report{Guide: Guide{Package: p.Name, Version: p.Version, Canonical: p.Canonical, Imported: g.db.Clock().Now()}, ByType: map[string]int{}}
	bundle := fhirjson.NewObject(member("resourceType", "Bundle"), member("type", "transaction"))
	entries := fhirjson.NewArray()
	var stored []string
	for _, x := range p.Resources {
		if !slices.Contains(kept, x.Type) {
			continue
		}
		n, issues := fhir.Parse(x.Raw)
		if issues.HasErrors() {
			rep.Refused = append(rep.Refused, x.Type+" "+x.ID+": "+firstError(issues))
			continue
		}
		id := storedID(x.ID, p.Name, p.Version)
		n.Set("id", fhirjson.NewString(id))
		entries.Append(put(x.Type+"/"+id, *n))
		stored = append(stored, x.Type+"/"+id)
		rep.ByType[x.Type]++
	}
	rep.Resources = len(stored)
	if len(stored) == 0 {
		return rep, fhir.Problem("not-found", "The package holds no definitions that the server can use.", "Give the package of an implementation guide for R4.")
	}
	entries.Append(put("ImplementationGuide/"+storedID("guide", p.Name, p.Version), record(p, stored)))
	bundle.Set("entry", entries)
	if _, err := g.store.Apply(ctx, s, bundle.AppendJSON(nil), fhirstore.ApplyOptions{KeepIDs: true, Loose: true}); err != nil {
		return rep, err
	}
	g.forget(s.Practice())
	rep.Missing, err = g.missing(ctx, s, p)
	return rep, err
}

func member(name, text string) fhirjson.Member {
	return fhirjson.Member{Name: name, Value: fhirjson.NewString(text)}
}

func put(url string, n fhirjson.Node) fhirjson.Node {
	return fhirjson.NewObject(fhirjson.Member{Name: "resource", Value: n},
		fhirjson.Member{Name: "request", Value: fhirjson.NewObject(member("method", "PUT"), member("url", url))})
}

func firstError(issues fhir.Issues) string {
	for i := range issues {
		if issues[i].Severity == "error" {
			return issues[i].Error()
		}
	}
	return ""
}

// storedID keeps versions of a guide apart: us-core-patient-7.0.0, or a hash where that is too long for an id.
func storedID(id, pkg, version string) string {
	if id == "guide" {
		id = pkg
	}
	full := id + "-" + version
	valid := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '-'
	}, full)
	if valid == full && len(full) <= 64 {
		return full
	}
	sum := sha256.Sum256([]byte(pkg + "|" + full))
	return "guide-" + hex.EncodeToString(sum[:16])
}

// record is the ImplementationGuide that says what was imported.
func record(p *profile.Package, stored []string) fhirjson.Node {
	url := p.Canonical
	if url == "" {
		url = "urn:" + p.Name
	}
	n := fhirjson.NewObject(member("resourceType", "ImplementationGuide"), member("id", storedID("guide", p.Name, p.Version)),
		member("url", url+"/ImplementationGuide/"+p.Name), member("version", p.Version), member("name", nameOf(p.Name)), member("status", "active"), member("packageId", p.Name),
		fhirjson.Member{Name: "fhirVersion", Value: fhirjson.NewArray(fhirjson.NewString("4.0.1"))})
	list := fhirjson.NewArray()
	for _, ref := range stored {
		list.Append(fhirjson.NewObject(fhirjson.Member{Name: "reference", Value: fhirjson.NewObject(member("reference", ref))}))
	}
	n.Set("definition", fhirjson.NewObject(fhirjson.Member{Name: "resource", Value: list}))
	return n
}

// nameOf makes a computable name of a package's name: hl7.fhir.us.core gives Hl7FhirUsCore.
func nameOf(pkg string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(pkg, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// List names the guides a practice has imported, by package and version.
func (g *Guides) List(ctx context.Context, s auth.System) ([]Guide, error) {
	var out []Guide
	err := g.db.View(ctx, s, func(tx *db.Tx) error {
		all, err := g.store.Find(ctx, tx, "ImplementationGuide")
		for _, r := range all {
			n := r.Node()
			if n.Get("packageId") == nil {
				continue
			}
			out = append(out, Guide{Package: n.Get("packageId").Text(), Version: n.Get("version").Text(),
				Canonical: strings.TrimSuffix(n.Get("url").Text(), "/ImplementationGuide/"+n.Get("packageId").Text()),
				Resources: n.At("definition", "resource").Len(), Imported: r.Updated})
		}
		return err
	})
	slices.SortFunc(out, func(a, b Guide) int { return strings.Compare(a.Package+" "+a.Version, b.Package+" "+b.Version) })
	return out, err
}

// missing names the guides that a package depends on and that are neither built in nor imported.
func (g *Guides) missing(ctx context.Context, s auth.System, p *profile.Package) ([]string, error) {
	have, err := g.List(ctx, s)
	var out []string
	for name, version := range p.Depends {
		builtin := strings.HasPrefix(name, "hl7.fhir.r4.core") || strings.HasPrefix(name, "hl7.terminology") || name == "hl7.fhir.us.core" && version == "6.1.0"
		if !builtin && !slices.ContainsFunc(have, func(g Guide) bool { return g.Package == name }) {
			out = append(out, fmt.Sprintf("%s#%s", name, version))
		}
	}
	slices.Sort(out)
	return out, err
}
