// Package fhirjson reads and writes JSON as a strict, lossless tree.
//
// It owns the line between bytes that came from somewhere and values Yarrow is
// willing to compute on. Parse refuses whatever two readers could understand
// differently (a member named twice, a NUL, a lone surrogate, bytes after the
// end) and keeps whatever carries meaning: member order, the text of every
// number ("1.50" stays "1.50") and every string exactly.
//
// It never interprets FHIR: element names, types and cardinality belong to
// package fhir. It never does arithmetic on numbers.
package fhirjson
