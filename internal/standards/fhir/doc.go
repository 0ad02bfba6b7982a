// Package fhir knows FHIR R4 (4.0.1): which types, elements, codes, search
// parameters and compartments there are, whether a resource is well formed,
// and how to compute on it.
//
// It owns the definitions (compact data generated from the published ones,
// see gen and data), structural validation, the plain structs for the types
// Yarrow computes on, and Issue, the error type of the whole product.
//
// It never evaluates FHIRPath (package fhirpath), never looks up codes of
// large terminologies (package terminology), and never touches storage,
// network, files or the clock.
package fhir
