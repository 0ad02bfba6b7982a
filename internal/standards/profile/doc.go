// Package profile judges resources beyond their structure: the invariants of R4, and what profiles of
// implementation guides ask — cardinality, types, fixed values and patterns, bindings, slicing, extensions,
// references, bundles, narrative, and answers to questionnaires.
//
// It owns the reading of StructureDefinitions and packages, the constraint facts of US Core 6.1.0 and of the
// extensions that R4 defines, and the Validator. Structure itself is package fhir's (Validate there), which the
// Validator asks first.
//
// It never looks up codes itself (Validator.Codes answers), never fetches what a reference names, and never
// touches storage, network, files or the clock. Work on one document is bounded, so documents and profiles from
// outside are safe.
package profile
