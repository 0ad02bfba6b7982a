// Command gen writes the starter set of package terminology: it reads the owners' files
// under $YARROW_CORPUS/codesets (and the VA's public NDF-RT map under ddi), takes what the
// lists beside it choose, adds our everyday words, and writes data/concepts.txt.gz and
// data/MANIFEST.md. Run: go run ./internal/standards/terminology/gen
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
)

const target = "internal/standards/terminology/data"

// source is one file read, for the manifest.
type source struct{ path, what, licence, hash string }

type generator struct {
	corpus  string
	sources []source
	out     bytes.Buffer
	counts  []string
}

func main() {
	g := &generator{corpus: os.Getenv("YARROW_CORPUS")}
	if g.corpus == "" {
		log.Fatal("set YARROW_CORPUS to the folder with codesets and ddi")
	}
	g.diagnoses()
	medicines := g.ingredients()
	g.drugs(medicines)
	g.allergens(medicines)
	g.vaccines()
	g.procedures()
	g.fhir()
	g.head("http://loinc.org", "LOINC", "LOINC 2.7x codes named by FHIR R4 and US Core, and common tests under our own names", loincNotice)
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	check(err)
	_, err = z.Write(g.out.Bytes())
	check(err)
	check(z.Close())
	check(os.WriteFile(filepath.Join(target, "concepts.txt.gz"), packed.Bytes(), 0o644))
	check(os.WriteFile(filepath.Join(target, "MANIFEST.md"), g.manifest(packed.Bytes()), 0o644))
	fmt.Printf("%s, %d bytes packed\n", strings.Join(g.counts, ", "), packed.Len())
}

const (
	publicDomain = "Public domain (US government work)."
	nlmNotice    = "This product uses publicly available data courtesy of the U.S. National Library of Medicine (NLM), National Institutes of Health, Department of Health and Human Services; NLM is not responsible for the product and does not endorse or recommend this or any other product."
	loincNotice  = "This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, Inc. and the Logical Observation Identifiers Names and Codes (LOINC) Committee and is available at no cost under the license at http://loinc.org/license. LOINC® is a registered United States trademark of Regenstrief Institute, Inc."
	ourWords     = "Our own selection and words."
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// read returns a file of the corpus, unzipped, and notes it for the manifest.
func (g *generator) read(path, what, licence string) string {
	raw, err := os.ReadFile(filepath.Join(g.corpus, path))
	check(err)
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		check(err)
		raw, err = io.ReadAll(z)
		check(err)
	}
	g.sources = append(g.sources, source{strings.TrimSuffix(path, ".gz"), what, licence, fmt.Sprintf("%x", sha256.Sum256(raw))})
	return string(raw)
}

// head begins a list of the table.
func (g *generator) head(system, name, release, licence string) {
	fmt.Fprintf(&g.out, "#\t%s\t%s\t%s\t%s\n", system, name, release, licence)
	g.counts = append(g.counts, name)
}

// row writes one concept.
func (g *generator) row(code, display, group string, words, strengths, reactions []string, flags string) {
	join := func(l []string) string { return clean(strings.Join(l, ";")) }
	fmt.Fprintf(&g.out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", code, clean(display), clean(group), join(words), join(strengths), join(reactions), flags)
}

func clean(s string) string { return strings.NewReplacer("\t", " ", "\n", " ", "\r", "").Replace(s) }

func (g *generator) manifest(packed []byte) []byte {
	var b bytes.Buffer
	b.WriteString("# What concepts.txt.gz and fhir.txt.gz were made of\n\nWritten by `go run ./internal/standards/terminology/gen`; do not edit. The selection and the everyday words are ours (Apache-2.0, lists in `gen/`). ")
	b.WriteString("They hold no CPT, no dental HCPCS codes and no SNOMED CT; where a value set lists codes of a system that may not be carried, only the fact that it does is kept.\n\n")
	fmt.Fprintf(&b, "sha256 of the packed table: `%x`\n\n| source | what was taken | licence | sha256 of the unpacked file |\n|---|---|---|---|\n", sha256.Sum256(packed))
	for _, s := range g.sources {
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", s.path, s.what, s.licence, s.hash)
	}
	b.WriteString("\nLOINC: the codes of vital signs that FHIR R4 and US Core name and of common laboratory tests stand in `tests_table.go` with names of our own. " + loincNotice + "\n")
	return b.Bytes()
}

// lines gives the entries of one of our lists: common flag and the fields between bars.
func lines(text string, visit func(common bool, fields []string)) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		rest, common := strings.CutPrefix(line, "!")
		fields := strings.Split(rest, "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		visit(common, fields)
	}
}

func words(s string) []string {
	var out []string
	for _, w := range strings.Split(s, ";") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

func flag(common bool) string {
	if common {
		return "c"
	}
	return ""
}
