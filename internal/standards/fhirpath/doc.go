// Package fhirpath compiles and evaluates FHIRPath (N1, http://hl7.org/fhirpath/N1, with the R4
// additions of http://hl7.org/fhir/R4/fhirpath.html) over fhirjson trees.
//
// It owns the language: grammar, three-valued logic, exact decimals, partial dates, the function
// library, and the direct walk of simple paths that search indexing uses. Types come in through
// Model, the clock and other resources through Env. It never fetches, stores or reads the time, and
// every evaluation is bounded by a step budget, so expressions and resources from outside are safe.
package fhirpath
