// Command gen writes the table of package ucum: from the official ucum-essence.xml it takes codes, names, flags and
// values, and nothing else. Run: YARROW_CORPUS=… go run ./internal/standards/ucum/gen
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
)

const target = "internal/standards/ucum/data/units.txt"

type essence struct {
	Version  string `xml:"version,attr"`
	Date     string `xml:"revision-date,attr"`
	Prefixes []struct {
		Code  string `xml:"Code,attr"`
		Name  string `xml:"name"`
		Value value  `xml:"value"`
	} `xml:"prefix"`
	Bases []struct {
		Code     string `xml:"Code,attr"`
		Name     string `xml:"name"`
		Property string `xml:"property"`
	} `xml:"base-unit"`
	Units []struct {
		Code      string   `xml:"Code,attr"`
		Metric    string   `xml:"isMetric,attr"`
		Special   string   `xml:"isSpecial,attr"`
		Arbitrary string   `xml:"isArbitrary,attr"`
		Names     []string `xml:"name"`
		Property  string   `xml:"property"`
		Value     value    `xml:"value"`
	} `xml:"unit"`
}

type value struct {
	Value    string `xml:"value,attr"`
	Unit     string `xml:"Unit,attr"`
	Function *struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
		Unit  string `xml:"Unit,attr"`
	} `xml:"function"`
}

// notice is what the UCUM licence asks to stand beside every copy of the table.
const notice = `# UCUM units as facts: codes, names, prefixes and values. Written by gen from ucum-essence.xml; do not edit.
# Source: github.com/ucum-org/ucum, ucum-essence.xml, version %s of %s
# SHA-256 of the source: %x
# Licence: This product includes all or a portion of the UCUM table, UCUM codes, and UCUM definitions or is derived from
# it, subject to a license from Regenstrief Institute, Inc. and The UCUM Organization. Your use of the UCUM table, UCUM
# codes, UCUM definitions also is subject to this license, a copy of which is available at https://unitsofmeasure.org.
# The UCUM table and UCUM codes are copyright (c) Regenstrief Institute, Inc. and the Unified Codes for Units of Measure
# (UCUM) Organization. All rights reserved. THE UCUM TABLE (IN ALL FORMATS), UCUM DEFINITIONS, AND SPECIFICATION ARE
# PROVIDED "AS IS." ANY EXPRESS OR IMPLIED WARRANTIES ARE DISCLAIMED.
# Lines: P code name value | B code name property | U code name flags value unit function property
# (flags: m takes prefixes, s special, a arbitrary)
`

func main() {
	corpus := os.Getenv("YARROW_CORPUS")
	if corpus == "" {
		log.Fatal("set YARROW_CORPUS to the folder with ucum")
	}
	f, err := os.Open(filepath.Join(corpus, "ucum/ucum-org/ucum-essence.xml.gz"))
	check(err)
	z, err := gzip.NewReader(f)
	check(err)
	raw, err := io.ReadAll(z)
	check(err)
	var e essence
	d := xml.NewDecoder(bytes.NewReader(raw))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // ascii
	check(d.Decode(&e))
	var b bytes.Buffer
	fmt.Fprintf(&b, notice, e.Version, e.Date, sha256.Sum256(raw))
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = strings.Join(strings.Fields(cells[i]), " ")
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, "\t"), "\t") + "\n")
	}
	row("V", e.Version)
	for _, p := range e.Prefixes {
		row("P", p.Code, p.Name, p.Value.Value)
	}
	for _, u := range e.Bases {
		row("B", u.Code, u.Name, u.Property)
	}
	for _, u := range e.Units {
		flags, function := "", ""
		for _, f := range []struct{ say, flag string }{{u.Metric, "m"}, {u.Special, "s"}, {u.Arbitrary, "a"}} {
			if f.say == "yes" {
				flags += f.flag
			}
		}
		v, unit := u.Value.Value, u.Value.Unit
		if fn := u.Value.Function; fn != nil {
			v, unit, function = fn.Value, fn.Unit, fn.Name
		}
		row("U", u.Code, u.Names[0], flags, v, unit, function, u.Property)
	}
	check(os.WriteFile(target, b.Bytes(), 0o644))
	fmt.Printf("%s: %d prefixes, %d base units, %d units\n", target, len(e.Prefixes), len(e.Bases), len(e.Units))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
