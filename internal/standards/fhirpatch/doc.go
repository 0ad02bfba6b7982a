// Package fhirpatch changes resource trees by what a client sent as a patch: JSON Patch (RFC 6902) and FHIRPath Patch
// (http://hl7.org/fhir/R4/fhirpatch.html). It owns the two languages and nothing else: it knows no versions and no stores, and what
// comes out still has to be validated. Texts of numbers that a patch does not touch stay as they were written.
//
// A patch is applied whole or not at all: the tree that is handed in is never changed. Malformed patches give Issues of code
// "structure" or "value"; patches that do not fit the resource give "processing".
package fhirpatch
