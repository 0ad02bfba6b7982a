// Package fhirstore keeps FHIR R4 resources: versioned bodies, search index, compartments, history,
// bundles and import. It stands on base/db (one transaction, two engines) and base/keys (sealing and
// keyed hashes).
//
// It owns the tables of migration 0001 and is the only place that writes search SQL. Every read goes
// through the authorization kernel: auth.AccessOf of the transaction's scope is compiled into each
// query, for every table that takes part (chained, _has, included), and a scope without access sees
// nothing. A body whose bytes were changed is never served.
//
// It never decides who may do what (base/auth does), knows no workflow rules (clinic modules do) and
// opens no connections. No clear column holds a name, a code or text: index rows are keyed hashes,
// dates and numbers.
package fhirstore
