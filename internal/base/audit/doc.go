// Package audit owns the record of what was done: who looked at, changed, printed or exported what, of which
// patient, when, why, and with what outcome.
//
// Writes are recorded in the transaction that makes them ([Log.Record]). Reads are recorded, durably, before the
// first byte of patient information leaves ([Log.Seen]); if that cannot be done, nothing may be shown. Entries are
// canonical bytes (canonical.go), sealed under the practice's key and found through keyed hashes of patient, person
// and action ([Log.Find]).
//
// Entries are only ever added. Within a second [Log.Sequence] gives them positions in a Merkle tree (RFC 6962, as
// golang.org/x/mod/sumdb/tlog lays it out); every hour [Log.Checkpoint] signs how many there are and the root over
// them. Whoever keeps a checkpoint or a [Receipt] can prove later that an entry was, or was not, altered, removed or
// cut off: [Log.Verify] reads the tables, [VerifyExport] an exported log and a public key alone. [Log.Adopt] takes over
// what was recorded before there was this log.
//
// The package never decides who may do something, never removes an entry, and can not be turned off. The content of
// an entry follows ASTM E2147-18 as 45 CFR 170.210(e) and (h) require it.
package audit
