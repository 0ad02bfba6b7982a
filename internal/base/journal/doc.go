// Package journal owns files to which small records of many owners are written durably, in one step for all that wait.
//
// It is where the audit of the embedded database keeps what was looked at until the practice's own file takes it over
// (docs/decisions/0014): a write to the journal is one pwrite into space that is there already, and one sync. Whoever
// takes records over says so ([Journal.Done]); space is used again when nothing in it is wanted any more.
//
// What [Journal.Write] acknowledged is there after a crash or a power cut, and [Open] tells apart a last write that was cut
// short, which nobody was told of, and damage to what was acknowledged ([Journal.Damage]).
//
// The package never looks into a record. Its owner seals it.
package journal
