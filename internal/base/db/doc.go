// Package db owns the doors to stored data: a Scope goes in, a Tx comes out. It runs the same SQL on SQLite (one
// encrypted file per practice) and on PostgreSQL (one database, row-level security per practice), applies the
// migrations, holds the folder lock, and promises that Do returns nil only when the effect is durable.
//
// It never decides who may see what (base/auth does), never knows what the tables mean, and never puts a key, an
// argument or a row into an error text or a log line.
//
// Statements are written once with $1, $2 … and lists as `x {in $3}`; see SQL. Values are int64, float64, string,
// []byte or NULL; instants are int64 microseconds UTC; booleans are SMALLINT 0 or 1. Every table begins with
// practice_id and every statement names it for every alias.
//
// An error from a statement ends the transaction on both engines: later calls return the same error and Do rolls
// back whatever fn returns. Write INSERT … ON CONFLICT DO NOTHING and look at the row count instead of catching
// a unique violation.
package db
