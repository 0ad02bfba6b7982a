package fhirjson

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// SyntaxError says why bytes are not JSON that Yarrow accepts, where, and what
// to do about it. Its text never repeats string values of the document, which
// may be a patient's; it may name members.
type SyntaxError struct {
	Offset int    // bytes before the fault
	Line   int    // from 1
	Column int    // in characters, from 1
	Path   string // members and indexes that lead to the fault: name[0].given
	Msg    string // what is wrong
	Fix    string // what to do
}

// Error returns place, fault and remedy in one line.
func (e *SyntaxError) Error() string {
	at := ""
	if e.Path != "" {
		at = " in " + e.Path
	}
	return fmt.Sprintf("line %d, column %d%s: %s %s", e.Line, e.Column, at, e.Msg, e.Fix)
}

// Position turns a byte offset into a line and a column in characters, both
// from 1. Line feeds end lines.
func Position(data []byte, offset int) (line, column int) {
	if offset > len(data) {
		offset = len(data)
	}
	line, start := 1, 0
	for i, c := range data[:offset] {
		if c == '\n' {
			line++
			start = i + 1
		}
	}
	return line, 1 + utf8.RuneCount(data[start:offset])
}

// under puts a member name in front of the path of an error from below.
func (e *SyntaxError) under(name string) *SyntaxError {
	if !pathName(name) {
		name = strconv.Quote(name)
	}
	switch {
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	return e
}

// underIndex puts an array index in front of the path of an error from below.
func (e *SyntaxError) underIndex(i int) *SyntaxError {
	index := "[" + strconv.Itoa(i) + "]"
	if e.Path != "" && e.Path[0] != '[' {
		index += "."
	}
	e.Path = index + e.Path
	return e
}

// pathName reports whether a name needs no quotes in a path.
func pathName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
