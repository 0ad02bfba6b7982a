// Package codes is the practice's terminology server: it finds code systems, value sets and maps among what the practice stored as
// FHIR resources, the releases it imported, and what is built in (package terminology), and answers for all of them alike.
//
// It owns imported releases (tables code_release and code_part: sealed, compact, immutable), their licence, edition and dates, the
// loaders of the owners' files, and the closure tables of clients. Concepts are loaded when first needed and kept in memory within a
// bound; releases whose licence allows it are shared between practices in memory. It never ships a code and never decides what a
// resource may say: it answers whether a code exists, belongs, or cannot be judged.
package codes
