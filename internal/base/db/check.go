package db

import (
	"context"
)

// pragma_integrity_check reads every page and compares each index with its table. PostgreSQL has checksums for pages
// and its own tools (pg_amcheck) for the rest.
var integrity = SQLPair(`SELECT integrity_check FROM pragma_integrity_check`, `SELECT 'ok'`)

// CheckFile reads the whole file of an embedded practice, or of the system store, and says in SQLite's words what is
// wrong with its structure: pages, tables, indexes and numbers of rows, never content. It finds nothing on PostgreSQL,
// and does not prove that rows are what was written: sealed bodies and the doctor do that.
func (d *DB) CheckFile(ctx context.Context, s Scope) (faults []string, err error) {
	err = d.View(ctx, s, func(tx *Tx) error {
		faults = nil
		rows, err := tx.Query(ctx, integrity)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if line != "ok" {
				faults = append(faults, line)
			}
		}
		return rows.Err()
	})
	return faults, err
}
