// Package audit owns the record of what was done: who looked at, changed, printed or exported what, of which
// patient, when, why, and with what outcome.
//
// Writes are recorded in the transaction that makes them ([Log.Record]). Reads are recorded, durably, before the
// first byte of patient information leaves ([Log.Seen]); if that cannot be done, nothing may be shown. Entries are
// stored as canonical bytes (canonical.go) sealed under the practice's key, beside keyed hashes of patient, person
// and action that make them searchable ([Log.Find]). They are only ever added. [Log.Sequence] gives them positions
// in one order and chains their hashes, and [Log.Verify] finds the first entry that was changed, removed, added or
// moved.
//
// The package never decides who may do something, never removes an entry, and can not be turned off. The content of
// an entry follows ASTM E2147-18 as 45 CFR 170.210(e) and (h) require it.
package audit
