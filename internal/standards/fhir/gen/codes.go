package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// codeLines writes the codes of the value sets that some element requires and
// that list their codes completely: "V url", then "S system codes…" for each
// system. Value sets over systems published elsewhere (MIME types, languages,
// currencies, units) are left out; Validate does not check those.
func codeLines(types []pureType, src *source) []byte {
	urls := map[string]bool{}
	for _, t := range types {
		for _, r := range t.rows {
			if f := strings.Split(r, "\t"); f[4] == "required" {
				urls[f[5]] = true
			}
		}
	}
	sorted := make([]string, 0, len(urls))
	for u := range urls {
		sorted = append(sorted, u)
	}
	slices.Sort(sorted)
	var b bytes.Buffer
	for _, u := range sorted {
		systems := expand(src, u)
		if systems == nil {
			continue
		}
		fmt.Fprintf(&b, "V\t%s\n", u)
		for _, s := range systems {
			fmt.Fprintf(&b, "S\t%s\n", strings.Join(s, "\t"))
		}
	}
	return b.Bytes()
}

// expand returns system and codes for each include of a value set, or nil if
// the set is not a plain complete list.
func expand(src *source, url string) [][]string {
	v, ok := src.valueSets[url]
	if !ok || len(v.Compose.Exclude) > 0 {
		return nil
	}
	var out [][]string
	for _, inc := range v.Compose.Include {
		if len(inc.Filter) > 0 || len(inc.ValueSet) > 0 {
			return nil
		}
		list := inc.Concept
		if list == nil {
			cs, ok := src.codeSystems[inc.System]
			if !ok || cs.Content != "complete" {
				return nil
			}
			list = cs.Concept
		}
		out = append(out, append([]string{inc.System}, codes(list)...))
	}
	return out
}

func codes(list []concept) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.Code)
		out = append(out, codes(c.Concept)...)
	}
	return out
}
