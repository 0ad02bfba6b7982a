// Package fhirapi is how machines reach a practice's records: the FHIR R4 REST interface at /{practice}/fhir. It owns HTTP as
// FHIR means it: addresses, media types, conditions, preferences, Bundles of answers, OperationOutcomes, idempotency keys, and
// the registry of operations from which the capability statement is made.
//
// It never decides what somebody may see: the scope that Authenticate returns goes into every transaction, where the store asks
// the kernel. It never keeps rules of a resource type: a type with rules has an Owner, and what it does not own goes to the store.
// No patient data leaves before the access is on record.
package fhirapi
