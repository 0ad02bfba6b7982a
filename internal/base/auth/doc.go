// Package auth owns who is asking and what they may do: practices, people and their memberships, credentials,
// sign-in, sessions, and the authorization kernel.
//
// A scope ([Staff], [Patient], [App], [System], [Operator]) is the only way to data. Its fields are unexported and
// its seal can be made only here, so no other package can invent or widen one; the zero value of each is refused by
// package db. [AccessOf] turns a scope into what the store compiles into every query.
//
// Everything the package keeps lies in the system store (practice 0). Passwords are argon2id hashes, tokens and
// recovery codes are kept as hashes only, secrets that must be read again (TOTP) and names are sealed. A wrong
// practice, login, password, code, a disabled person and an unknown one are answered by the same work and words.
//
// The package never reads patient data and never sends anything to anybody.
package auth
