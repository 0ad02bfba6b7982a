// Package backup owns copies of the stored data: it writes them, reads them back to prove them, and restores them. A
// copy is logical, row by row, so that one file serves both engines and carries a practice from one to the other.
//
// A file is encrypted with age (https://age-encryption.org/v1) to a recipient or a passphrase. What is sealed in the
// database stays sealed inside it: keys are never part of a backup. Restoring needs the key store as well, or a key
// export (base/keys).
//
// The package never overwrites: neither a file nor a practice that holds anything.
package backup
