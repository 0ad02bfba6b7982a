package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// usRealm names the few value sets that US Core takes from elsewhere, and states: public facts in our own form.
//
//go:embed usrealm.txt
var usRealm string

type fhirConcept struct {
	Code, Display string
	Concept       []fhirConcept
	Property      []struct {
		Code         string
		ValueCode    string
		ValueBoolean *bool
	}
}

type fhirInclude struct {
	System, Version string
	Concept         []struct{ Code, Display string }
	Filter          []struct{ Property, Op, Value string }
	ValueSet        []string
}

type fhirResource struct {
	ResourceType, URL, Version, Name, Title, Content, HierarchyMeaning string
	CaseSensitive                                                      bool
	Concept                                                            []fhirConcept
	Compose                                                            struct{ Include, Exclude []fhirInclude }
}

// ours says of which code systems codes may be listed in the tree. Of all others a value set says only that it names some.
func ours(system, url string) bool {
	if system == "http://loinc.org" {
		return strings.HasPrefix(url, "http://hl7.org/fhir/us/core/")
	}
	for _, p := range []string{"http://hl7.org/fhir/", "http://terminology.hl7.org/", "urn:ietf:", "urn:iso:std:iso:3166", "urn:iso:std:iso:4217", "http://unitsofmeasure.org", "https://www.usps.com/", "urn:oid:2.16.840.1.113883.6.238"} {
		if strings.HasPrefix(system, p) {
			return !strings.Contains(system, "/sid/icd-10") && !strings.Contains(system, "/sid/icd-9")
		}
	}
	return false
}

// fhir writes the code systems and value sets of R4 and US Core.
func (g *generator) fhir() {
	var out bytes.Buffer
	systems, sets := 0, 0
	seen := map[string]bool{}
	put := func(raw []byte) {
		var r fhirResource
		if json.Unmarshal(raw, &r) != nil || r.URL == "" || seen[r.ResourceType+r.URL] {
			return
		}
		switch {
		case r.ResourceType == "CodeSystem" && ours(r.URL, r.URL) && len(r.Concept) > 0:
			systems++
			codeSystem(&out, r, "")
			switch r.URL { // the CDC's own address of the same codes
			case "http://terminology.hl7.org/CodeSystem/v3-Race":
				fmt.Fprintf(&out, "C\turn:oid:2.16.840.1.113883.6.238\t\tRace and ethnicity (CDC)\ts\tcomplete\t\n")
				concepts(&out, r.Concept, 0)
			case "http://terminology.hl7.org/CodeSystem/v3-Ethnicity":
				fmt.Fprintf(&out, "+\turn:oid:2.16.840.1.113883.6.238\n")
				concepts(&out, r.Concept, 0)
			}
		case r.ResourceType == "ValueSet" && len(r.Compose.Include) > 0:
			sets++
			valueSet(&out, r)
		default:
			return
		}
		seen[r.ResourceType+r.URL] = true
	}
	for _, file := range []string{"valuesets", "v2-tables", "v3-codesystems"} {
		var b struct {
			Entry []struct{ Resource json.RawMessage }
		}
		check(json.Unmarshal([]byte(g.read("fhir-r4/definitions/"+file+".json.gz", "codes and names of code systems, and what value sets include", "CC0, HL7 International")), &b))
		for _, e := range b.Entry {
			put(e.Resource)
		}
	}
	g.untar("us-core/6.1.0/definitions.tar.gz", "what the value sets of US Core include", "CC0, HL7 International", put)
	out.WriteString(usRealm)
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	check(err)
	_, err = z.Write(out.Bytes())
	check(err)
	check(z.Close())
	check(os.WriteFile(filepath.Join(target, "fhir.txt.gz"), packed.Bytes(), 0o644))
	fmt.Printf("fhir.txt.gz: %d code systems, %d value sets, %d bytes\n", systems, sets, packed.Len())
}

func codeSystem(out *bytes.Buffer, r fhirResource, _ string) {
	flags := ""
	if r.CaseSensitive {
		flags = "s"
	}
	name := r.Title
	if name == "" {
		name = r.Name
	}
	fmt.Fprintf(out, "C\t%s\t%s\t%s\t%s\t%s\t%s\n", r.URL, r.Version, clean(name), flags, r.Content, r.HierarchyMeaning)
	concepts(out, r.Concept, 0)
}

func concepts(out *bytes.Buffer, list []fhirConcept, depth int) {
	for _, c := range list {
		flags := ""
		for _, p := range c.Property {
			switch {
			case p.Code == "notSelectable" && p.ValueBoolean != nil && *p.ValueBoolean:
				flags += "a"
			case p.Code == "status" && (p.ValueCode == "retired" || p.ValueCode == "inactive"), p.Code == "inactive" && p.ValueBoolean != nil && *p.ValueBoolean:
				flags += "i"
			}
		}
		fmt.Fprintf(out, "%d\t%s\t%s\t%s\n", depth, clean(c.Code), clean(c.Display), flags)
		concepts(out, c.Concept, depth+1)
	}
}

func valueSet(out *bytes.Buffer, r fhirResource) {
	name := r.Title
	if name == "" {
		name = r.Name
	}
	fmt.Fprintf(out, "V\t%s\t%s\t%s\n", r.URL, r.Version, clean(name))
	for k, list := range [][]fhirInclude{r.Compose.Include, r.Compose.Exclude} {
		for _, in := range list {
			if in.System != "" && len(in.Concept) > 0 && !ours(in.System, r.URL) {
				fmt.Fprintf(out, "M\t%s\n", in.System)
				continue
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", [2]string{"I", "X"}[k], in.System, in.Version, strings.Join(in.ValueSet, " "))
			for _, c := range in.Concept {
				display := c.Display
				if in.System == "http://loinc.org" {
					display = ""
				}
				fmt.Fprintf(out, "l\t%s\t%s\n", clean(c.Code), clean(display))
			}
			for _, f := range in.Filter {
				fmt.Fprintf(out, "f\t%s\t%s\t%s\n", f.Property, f.Op, clean(f.Value))
			}
		}
	}
}

func (g *generator) untar(path, what, licence string, visit func([]byte)) {
	r := tar.NewReader(strings.NewReader(g.read(path, what, licence)))
	files := map[string][]byte{}
	var names []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		base := filepath.Base(h.Name)
		if !strings.HasPrefix(base, "ValueSet-") && !strings.HasPrefix(base, "CodeSystem-") {
			continue
		}
		raw, err := io.ReadAll(r)
		check(err)
		files[base] = raw
		names = append(names, base)
	}
	slices.Sort(names)
	for _, n := range names {
		visit(files[n])
	}
}
