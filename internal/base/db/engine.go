package db

// Engine is the kind of database underneath.
type Engine uint8

const (
	// SQLite is the embedded engine: one encrypted file per practice.
	SQLite Engine = iota + 1
	// PostgreSQL is the server engine: one database, row-level security per practice.
	PostgreSQL
)

// String is the name of the engine as people write it.
func (e Engine) String() string {
	switch e {
	case SQLite:
		return "SQLite"
	case PostgreSQL:
		return "PostgreSQL"
	}
	return "no engine"
}

func (e Engine) marker() byte {
	if e == SQLite {
		return '?'
	}
	return '$'
}
