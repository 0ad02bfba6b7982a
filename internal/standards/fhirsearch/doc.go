// Package fhirsearch is the pure half of FHIR R4 search (http://hl7.org/fhir/R4/search.html).
//
// It owns three things: what a resource can be found by (Extract), what a query asks (ParseQuery),
// and whether one resource answers one clause (Match, the exact and slow reference that a store's
// index is checked against). It never touches a database, a network or a clock; how values are
// hashed, stored and joined is the store's business.
package fhirsearch
