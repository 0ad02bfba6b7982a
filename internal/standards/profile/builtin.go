package profile

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

// The data is made by hand, by the command in folder gen: no package registry has the guide it is made from.

//go:embed data/r4.gz
var packedR4 []byte

//go:embed data/uscore.gz
var packedUSCore []byte

//go:embed data/codes.gz
var packedCodes []byte

// Builtin returns the definitions that Yarrow knows without loading any guide: the extensions and profiles of R4, and
// US Core 6.1.0. It is shared: put what a practice loads into a set of its own on top (NewSet).
var Builtin = sync.OnceValue(func() *Set {
	s := NewSet(nil)
	for _, packed := range [][]byte{packedR4, packedUSCore} {
		defs, err := ReadFacts(unpack(packed))
		if err != nil {
			panic("profile: embedded data: " + err.Error())
		}
		s.Add(defs...)
	}
	return s
})

func unpack(packed []byte) io.Reader {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("profile: embedded data: " + err.Error())
	}
	return r
}

// codeLists holds the value sets whose codes are built in: set, system, code.
type codeLists map[string]map[string]map[string]bool

var builtinSets = sync.OnceValue(func() codeLists {
	text, err := io.ReadAll(unpack(packedCodes))
	if err != nil {
		panic("profile: embedded data: " + err.Error())
	}
	all := codeLists{}
	var set map[string]map[string]bool
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if f[0] == "V" {
			set = map[string]map[string]bool{}
			all[f[1]] = set
			continue
		}
		codes := map[string]bool{}
		for _, c := range f[2:] {
			codes[c] = true
		}
		set[f[1]] = codes
	}
	return all
})

// has reports whether a value set has a code, and whether the value set is built in.
func (all codeLists) has(valueSet, system, code string) (ok, known bool) {
	set, known := all[valueSet]
	if !known {
		return false, false
	}
	if system != "" {
		return set[system][code], true
	}
	for _, codes := range set {
		if codes[code] {
			return true, true
		}
	}
	return false, true
}
