// Package keys owns the secrets that seal a practice's data: the master key, the wrapping key, and one secret
// per practice from which every working key is derived.
//
// Three levels:
//
//	master key      one file outside the data folder (or given in the environment); printable as a recovery key
//	wrapping key    in the key store, sealed by the master key; replaced whenever a practice is destroyed
//	practice secret in the key store, sealed by the wrapping key; its sub-keys come from HKDF-SHA256
//
// The key store is a folder apart from the data and never enters a data backup. Destroying a practice removes its
// secret and replaces the wrapping key, so that remnants of the old key store on a disk stay sealed for ever.
//
// The package never stores patient data, never logs a key, and never writes to the data folder.
package keys
