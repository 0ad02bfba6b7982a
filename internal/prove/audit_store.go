package prove

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

var auditTables = []string{"audit_fresh", "audit_pack", "audit_find", "audit_tree", "audit_checkpoint"}

func refusals(table string) []string {
	return []string{
		"DELETE FROM " + table + " WHERE practice_id = $1",
		"UPDATE " + table + " SET practice_id = practice_id WHERE practice_id = $1",
	}
}

// attempt runs a statement as the application.
func (w *world) attempt(ctx context.Context, text string) error {
	return w.db.Do(ctx, auth.SystemScope(auditPractice, "prove"), func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, db.SQL(text), int64(auditPractice))
		return err
	})
}

const (
	aPack  = ` WHERE practice_id = $1 AND position = (SELECT min(position) FROM audit_pack WHERE practice_id = $1)`
	anEnd  = ` WHERE practice_id = $1 AND position = (SELECT max(position) FROM audit_pack WHERE practice_id = $1)`
	aFresh = ` WHERE practice_id = $1 AND position = (SELECT max(position) FROM audit_fresh WHERE practice_id = $1)`
)

// tableHarms are ways to alter the tables, and what must be said about each.
var tableHarms = []struct {
	name, says string
	statements []string
}{
	{"a pack deleted", "removed", []string{`DELETE FROM audit_pack` + aPack}},
	{"the last pack deleted", "removed", []string{`DELETE FROM audit_pack` + anEnd}},
	{"the newest entries deleted", "", []string{`DELETE FROM audit_fresh` + aFresh}},
	{"a body flipped", "seal is broken", []string{`UPDATE audit_pack SET body = CAST(substr(body, 1, 100) || CASE substr(body, 101, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(body, 102) AS BLOB)` + aPack}},
	{"a body cut", "seal is broken", []string{`UPDATE audit_pack SET body = substr(body, 1, length(body) - 1)` + aPack}},
	{"bodies exchanged", "seal is broken", []string{`UPDATE audit_pack SET body = (SELECT body FROM audit_pack` + anEnd + `)` + aPack}},
	{"entries renumbered", "", []string{`DELETE FROM audit_pack` + aPack, `UPDATE audit_pack SET first = 1` + aPack}},
	{"a time changed", "times", []string{`UPDATE audit_pack SET low = low - 1` + aPack}},
	{"hidden from a patient's search", "search row", []string{`DELETE FROM audit_find WHERE practice_id = $1 AND key = (SELECT min(key) FROM audit_find WHERE practice_id = $1)`}},
	{"a search row forged", "added", []string{`INSERT INTO audit_find (practice_id, key, high) VALUES ($1, 1, 2)`}},
	{"the tree forged", "hash", []string{`UPDATE audit_tree SET hash = zeroblob(32) WHERE practice_id = $1`}},
	{"an edge forged", "hashes of the tree", []string{`UPDATE audit_pack SET edge = zeroblob(length(edge))` + aPack}},
	{"a checkpoint back-dated", "checkpoint was changed", []string{`UPDATE audit_checkpoint SET at = at - 3600000000 WHERE practice_id = $1`}},
	{"rolled back to the first checkpoint", "cut off", []string{`DELETE FROM audit_checkpoint WHERE practice_id = $1 AND size > (SELECT min(size) FROM audit_checkpoint WHERE practice_id = $1)`,
		`DELETE FROM audit_fresh WHERE practice_id = $1`}},
	{"everything deleted", "cut off", []string{`DELETE FROM audit_pack WHERE practice_id = $1`, `DELETE FROM audit_fresh WHERE practice_id = $1`, `DELETE FROM audit_find WHERE practice_id = $1`,
		`DELETE FROM audit_tree WHERE practice_id = $1`, `DELETE FROM audit_checkpoint WHERE practice_id = $1`}},
}

// harm runs statements on an embedded copy after taking its triggers off.
func (w *world) harm(ctx context.Context, statements []string) error {
	return w.db.Do(ctx, auth.SystemScope(auditPractice, "prove"), func(tx *db.Tx) error {
		rows, err := tx.Query(ctx, db.SQL(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`))
		if err != nil {
			return err
		}
		var names []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		rows.Close()
		for _, name := range names {
			if _, err := tx.Exec(ctx, db.SQL("DROP TRIGGER "+name)); err != nil {
				return err
			}
		}
		for _, text := range statements {
			if n, err := tx.Exec(ctx, db.SQL(text), int64(tx.Practice())); err != nil || n == 0 {
				return fmt.Errorf("%d rows, %w", n, err)
			}
		}
		return nil
	})
}
