package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// manifest says where the data comes from and what was changed.
func manifest(src *source, out map[string][]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# FHIR R4 definitions

Facts of FHIR R4 (4.0.1): elements, cardinalities, types, bindings, codes of
required bindings, invariants, search parameters, compartments. No descriptive
text. Written by gen; do not edit.

- Source: npm package %s, version %s
- Licence: %s

| source file | SHA-256 |
|---|---|
`, packageName, packageVersion, packageLicence)
	for _, f := range src.files {
		fmt.Fprintf(&b, "| %s | %s |\n", f.name, f.sum)
	}
	fmt.Fprintf(&b, "\n| data file | bytes | SHA-256 |\n|---|---|---|\n")
	var names []string
	for name := range out {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", filepath.Base(name), len(out[name]), sum(out[name]))
	}
	fmt.Fprintf(&b, "\n## Corrections to pure R4\n\n- Types removed: %s\n- Elements removed: %s\n", strings.Join(notR4Types, ", "), strings.Join(notR4, ", "))
	fmt.Fprintf(&b, "- Elements restored:")
	for i, m := range missingR4 {
		if i > 0 {
			b.WriteString(",")
		}
		path, _, _ := strings.Cut(m.row, "\t")
		fmt.Fprintf(&b, " %s.%s", m.typ, path)
	}
	fmt.Fprintf(&b, "\n- Elements set back:")
	for i, c := range changedR4 {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " %s.%s", c.typ, c.path)
	}
	fmt.Fprintf(&b, "\n- Search parameters removed: %s\n", strings.Join(notR4Params, ", "))
	fmt.Fprintf(&b, "- Invariants removed: %s\n", strings.Join(notR4Rules, ", "))
	fmt.Fprintf(&b, "- Invariants kept as the package corrects them, where the published expression has a known fault: app-4 (the code is noshow), bdl-8 (fullUrl may be absent), tim-9 (when may repeat)\n")
	return b.Bytes()
}
