// Command gen writes the compact FHIR R4 data and the plain Go structs of
// package fhir from the published definitions.
//
// It owns which package is read (name, version and checksum are pinned), what
// is taken from it, and the corrections that bring it back to pure R4. It is
// run by hand through go generate; the product never runs it.
//
//	go run ./internal/standards/fhir/gen [-package DIR] [-pristine DIR]
//
// Without -package it fetches the package with npm into a temporary folder.
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
)

func main() {
	log.SetFlags(0)
	from := flag.String("package", "", "folder of the unpacked npm package; empty: fetch it with npm")
	to := flag.String("to", ".", "folder of package fhir")
	official := flag.String("pristine", "", "folder of the official package hl7.fhir.core 4.0.1: write only testdata/pristine.txt from it")
	flag.Parse()
	var err error
	if *official != "" {
		err = pristine(*official, *to)
	} else {
		err = run(*from, *to)
	}
	if err != nil {
		log.Fatal("gen: ", err)
	}
}

func run(from, to string) error {
	if from == "" {
		dir, err := os.MkdirTemp("", "fhir-definitions-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if from, err = fetch(dir); err != nil {
			return err
		}
	}
	src, err := readPackage(from)
	if err != nil {
		return err
	}
	types, err := pureTypes(src.structures)
	if err != nil {
		return err
	}
	params, err := pureSearchParams(src.search)
	if err != nil {
		return err
	}
	out := map[string][]byte{
		"data/types.gz":  pack(typeLines(types)),
		"data/rules.gz":  pack(ruleLines(types)),
		"data/codes.gz":  pack(codeLines(types, src)),
		"data/search.gz": pack(searchLines(params, src.compartments)),
	}
	out["data/SOURCE.md"] = manifest(src, out)
	structs, err := structFiles(types)
	if err != nil {
		return err
	}
	for name, text := range structs {
		out[name] = text
	}
	total := 0
	for name, data := range out {
		if filepath.Ext(name) == ".gz" {
			total += len(data)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	log.Printf("%d types, %d search parameters, %d bytes of data", len(types), len(params), total)
	return nil
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

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
