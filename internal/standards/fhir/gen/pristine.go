package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pristine writes a fingerprint of every type and search parameter as the
// official package hl7.fhir.core 4.0.1 has them, to testdata/pristine.txt. A
// test compares the data with it, so that the corrections in pure.go stay
// complete although the official package is not at hand.
func pristine(dir, to string) error {
	var lines []string
	err := eachFile(dir, "StructureDefinition-", func(raw []byte) error {
		var s structure
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if s.Derivation == "constraint" || s.Kind == "logical" {
			return nil
		}
		var b bytes.Buffer
		for _, e := range s.Snapshot.Element {
			if e.Path != s.Name && s.Kind != "primitive-type" {
				fmt.Fprintf(&b, "E\t%s\n", row(s, e))
			}
		}
		lines = append(lines, fmt.Sprintf("T %s %s", s.Name, sum(b.Bytes())[:16]))
		return nil
	})
	if err != nil {
		return err
	}
	err = eachFile(dir, "SearchParameter-", func(raw []byte) error {
		var p searchParam
		if err := json.Unmarshal(raw, &p); err != nil {
			return err
		}
		first, _, _ := strings.Cut(string(searchLines([]searchParam{p}, nil)), "\nM\t")
		lines = append(lines, fmt.Sprintf("P %s %s", last(p.URL), sum([]byte(first))[:16]))
		return nil
	})
	if err != nil {
		return err
	}
	err = eachFile(dir, "CompartmentDefinition-", func(raw []byte) error {
		var c compartment
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("M %s %s", c.Code, sum(searchLines(nil, []compartment{c}))[:16]))
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(lines)
	return os.WriteFile(filepath.Join(to, "testdata/pristine.txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func eachFile(dir, prefix string, do func([]byte) error) error {
	names, err := filepath.Glob(filepath.Join(dir, prefix+"*.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.Contains(name, "-example") {
			continue // an example that shares its code with the real one
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := do(raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
