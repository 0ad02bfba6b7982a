package bulk

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"

	"yarrow.health/internal/base/db"
)

var (
	insertRow    = db.InsertInto("export", "practice_id", "h", "owner", "state", "step", "expires", "body")
	selectExport = db.SQL(`SELECT state, step, expires, body FROM export WHERE practice_id = $1 AND h = $2`)
	updateExport = db.SQL(`UPDATE export SET state = $4, step = step + 1, expires = $5, body = $6 WHERE practice_id = $1 AND h = $2 AND step = $3`)
	dropExport   = db.SQL(`DELETE FROM export WHERE practice_id = $1 AND h = $2`)
	dropUpload   = db.SQL(`DELETE FROM export_part WHERE practice_id = $1 AND h = $2 AND file = 0`)
	dropFile     = db.SQL(`DELETE FROM export_part WHERE practice_id = $1 AND h = $2 AND file = $3`)
	dropParts    = db.SQL(`DELETE FROM export_part WHERE practice_id = $1 AND h = $2`)
	selectOver   = db.SQL(`SELECT h FROM export WHERE practice_id = $1 AND expires <= $2 ORDER BY expires LIMIT 100`)
	countBusy    = db.SQL(`SELECT COUNT(*) FROM export WHERE practice_id = $1 AND owner = $2 AND state = 0 AND expires > $3`)
	insertPart   = db.InsertInto("export_part", "practice_id", "h", "file", "part", "body")
	selectPart   = db.SQL(`SELECT body FROM export_part WHERE practice_id = $1 AND h = $2 AND file = $3 AND part = $4`)
	secureDelete = db.SQLPair(`PRAGMA secure_delete = ON`, `SELECT 1`)
	countParts   = db.SQL(`SELECT COUNT(*) FROM export_part WHERE practice_id = $1`)
)

func hashOf(tx *db.Tx, secret string) int64 { return tx.Keys().Hash("export", secret) }

// place binds a sealed body to its row.
func place(p db.PracticeID, what string, numbers ...int64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(what), uint64(p))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func sealOrder(tx *db.Tx, o *order) ([]byte, error) {
	plain, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return tx.Keys().Seal(nil, plain, place(tx.Practice(), "export", o.h)), nil
}

func insertExport(ctx context.Context, tx *db.Tx, o *order) error {
	body, err := sealOrder(tx, o)
	if err == nil {
		tx.InsertMany(insertRow, [][]any{{int64(tx.Practice()), o.h, tx.Keys().Hash("export owner", o.Owner), o.state, o.step, o.expires, body}})
	}
	return err
}

// loadExport reads an export; nil when there is none.
func loadExport(ctx context.Context, tx *db.Tx, h int64) (*order, error) {
	o := &order{h: h}
	var body []byte
	err := tx.QueryRow(ctx, selectExport, int64(tx.Practice()), h).Scan(&o.state, &o.step, &o.expires, &body)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := tx.Keys().Open(nil, body, place(tx.Practice(), "export", h))
	if err != nil {
		return nil, err
	}
	return o, json.Unmarshal(plain, o)
}

// storeExport stores how far an export is. ok is false when somebody else has stored something, or removed it, since it was read.
func storeExport(ctx context.Context, tx *db.Tx, o *order) (ok bool, err error) {
	body, err := sealOrder(tx, o)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, updateExport, int64(tx.Practice()), o.h, o.step, o.state, o.expires, body)
	return n == 1, err
}

// advance stores a step of the work with the parts it made. It is errLost when somebody else has stored one, or removed the work,
// since it was read.
func advance(ctx context.Context, tx *db.Tx, o *order, parts []sealedPart) error {
	ok, err := storeExport(ctx, tx, o)
	if err != nil {
		return err
	}
	if !ok {
		return errLost
	}
	o.step++
	storeParts(tx, o.h, parts)
	return nil
}

func deleteExport(ctx context.Context, tx *db.Tx, h int64) error {
	_, err := tx.Exec(ctx, dropExport, int64(tx.Practice()), h)
	return err
}

// deleteParts removes the files of an export: their bytes are overwritten on SQLite, and PostgreSQL frees them at its next vacuum.
func deleteParts(ctx context.Context, tx *db.Tx, h int64) error {
	return deleteWith(ctx, tx, h, dropParts)
}

// deleteUpload removes what was uploaded for an import, in the same way.
func deleteUpload(ctx context.Context, tx *db.Tx, h int64) error {
	return deleteWith(ctx, tx, h, dropUpload)
}

// deleteFile removes one file of an export, in the same way.
func deleteFile(ctx context.Context, tx *db.Tx, h int64, file int) error {
	return deleteWith(ctx, tx, h, dropFile, int64(file))
}

func deleteWith(ctx context.Context, tx *db.Tx, h int64, which *db.Stmt, more ...any) error {
	if tx.Engine() == db.SQLite {
		rows, err := tx.Query(ctx, secureDelete)
		if err != nil {
			return err
		}
		rows.Close()
	}
	_, err := tx.Exec(ctx, which, append([]any{int64(tx.Practice()), h}, more...)...)
	return err
}

func expired(ctx context.Context, tx *db.Tx, now int64) (out []int64, err error) {
	rows, err := tx.Query(ctx, selectOver, int64(tx.Practice()), now)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h int64
		if err := rows.Scan(&h); err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

func countAtWork(ctx context.Context, tx *db.Tx, owner string) (n int64, err error) {
	err = tx.QueryRow(ctx, countBusy, int64(tx.Practice()), tx.Keys().Hash("export owner", owner), tx.NowMicro()).Scan(&n)
	return n, err
}

// sealedPart is a part of a file, ready to be stored.
type sealedPart struct {
	file, part int
	body       []byte
}

func storeParts(tx *db.Tx, h int64, parts []sealedPart) {
	rows := make([][]any, 0, len(parts))
	for _, p := range parts {
		rows = append(rows, []any{int64(tx.Practice()), h, int64(p.file), int64(p.part), p.body})
	}
	if len(rows) > 0 {
		tx.InsertMany(insertPart, rows)
	}
}

// loadPart reads a part as it is sealed; nil when there is none.
func loadPart(ctx context.Context, tx *db.Tx, h int64, file, part int) (body []byte, err error) {
	err = tx.QueryRow(ctx, selectPart, int64(tx.Practice()), h, int64(file), int64(part)).Scan(&body)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return body, err
}

// storedParts counts the parts that the practice has of all exports.
func storedParts(ctx context.Context, tx *db.Tx) (n int64, err error) {
	err = tx.QueryRow(ctx, countParts, int64(tx.Practice())).Scan(&n)
	return n, err
}
