// Package graphql is GraphQL over the FHIR interface, for reading: $graphql of the system and of a resource
// (http://hl7.org/fhir/R4/graphql.html), with fields, lists, connections, references, reverse references, filters of lists, the
// directives that rearrange an answer, and the schema as the caller may see it.
//
// It owns the words of the query language as FHIR uses them and the form of answers. It reads only through the store under the
// caller's own scope: lists go through the compiler of searches, references and ids through the store's reads, so that nothing can
// be reached that REST refuses. It never writes, and nothing here speaks to the database.
package graphql
