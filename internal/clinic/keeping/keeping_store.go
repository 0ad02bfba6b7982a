package keeping

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	insertHold    = db.InsertInto("legal_hold", "practice_id", "id", "placed", "lifted", "body")
	deleteHold    = db.SQL(`DELETE FROM legal_hold WHERE practice_id = $1 AND id = $2`)
	allHolds      = db.SQL(`SELECT id, placed, lifted, body FROM legal_hold WHERE practice_id = $1 ORDER BY lifted, placed DESC, id`)
	insertRule    = db.InsertInto("keeping_rule", "practice_id", "id", "changed", "body")
	newestRule    = db.SQL(`SELECT id, body FROM keeping_rule WHERE practice_id = $1 ORDER BY changed DESC, id LIMIT 1`)
	insertRemoval = db.InsertInto("removal", "practice_id", "id", "at", "body")
	oneRemoval    = db.SQL(`SELECT body FROM removal WHERE practice_id = $1 AND id = $2`)
	removals      = db.SQL(`SELECT id, body FROM removal WHERE practice_id = $1 ORDER BY at DESC, id LIMIT $2`)
)

// lockKeeping has holds and destructions of one practice wait for each other until their commit. Writers of SQLite do anyway.
var lockKeeping = db.SQLPair(`SELECT $1`, `SELECT 1 FROM (SELECT pg_advisory_xact_lock($1)) AS held`)

// lock makes sure that a hold which is placed now either comes before what is destroyed in this transaction, and is seen, or after.
func lock(ctx context.Context, tx *db.Tx) error {
	if tx.Engine() == db.SQLite {
		return nil
	}
	var one int64
	return tx.QueryRow(ctx, lockKeeping, tx.Keys().Hash("keeping", "lock")).Scan(&one)
}

// newID is a number nobody can guess.
func newID() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>1) | 1
}

func seal(tx *db.Tx, kind string, id int64, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return tx.Keys().Seal(nil, plain, fmt.Appendf(nil, "keeping %s|%d", kind, id)), nil
}

func open(tx *db.Tx, kind string, id int64, body []byte, into any) error {
	plain, err := tx.Keys().Open(nil, body, fmt.Appendf(nil, "keeping %s|%d", kind, id))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, into)
}

func saveHold(tx *db.Tx, h Hold) error {
	body, err := seal(tx, "hold", h.ID, h)
	if err != nil {
		return err
	}
	lifted := int64(0)
	if !h.Lifted.IsZero() {
		lifted = h.Lifted.UnixMicro()
	}
	tx.InsertMany(insertHold, [][]any{{int64(tx.Practice()), h.ID, h.Placed.UnixMicro(), lifted, body}})
	return nil
}

func replaceHold(ctx context.Context, tx *db.Tx, h Hold) error {
	if _, err := tx.Exec(ctx, deleteHold, int64(tx.Practice()), h.ID); err != nil {
		return err
	}
	return saveHold(tx, h)
}

func holds(ctx context.Context, tx *db.Tx) (out []Hold, err error) {
	rows, err := tx.Query(ctx, allHolds, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h Hold
		var id, placed, lifted int64
		var body []byte
		if err := rows.Scan(&id, &placed, &lifted, &body); err != nil {
			return nil, err
		}
		if err := open(tx, "hold", id, body, &h); err != nil {
			return nil, err
		}
		h.ID, h.Placed = id, time.UnixMicro(placed).UTC()
		if lifted != 0 {
			h.Lifted = time.UnixMicro(lifted).UTC()
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

func saveRules(tx *db.Tx, r Rules) error {
	id := newID()
	body, err := seal(tx, "rules", id, r)
	if err != nil {
		return err
	}
	tx.InsertMany(insertRule, [][]any{{int64(tx.Practice()), id, tx.NowMicro(), body}})
	return nil
}

func rules(ctx context.Context, tx *db.Tx) (Rules, error) {
	r := DefaultRules
	rows, err := tx.Query(ctx, newestRule, int64(tx.Practice()))
	if err != nil {
		return r, err
	}
	defer rows.Close()
	if rows.Next() {
		var id int64
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return r, err
		}
		if err := open(tx, "rules", id, body, &r); err != nil {
			return r, err
		}
	}
	return r, rows.Err()
}

func saveReceipt(tx *db.Tx, r Receipt) error {
	body, err := seal(tx, "removal", r.ID, r)
	if err != nil {
		return err
	}
	tx.InsertMany(insertRemoval, [][]any{{int64(tx.Practice()), r.ID, r.At.UnixMicro(), body}})
	return nil
}

func receipt(ctx context.Context, tx *db.Tx, id int64) (r Receipt, err error) {
	var body []byte
	if err := tx.QueryRow(ctx, oneRemoval, int64(tx.Practice()), id).Scan(&body); err != nil {
		return r, err
	}
	return r, open(tx, "removal", id, body, &r)
}

// receipts gives the latest ones, the newest first.
func receipts(ctx context.Context, tx *db.Tx, n int) (out []Receipt, err error) {
	rows, err := tx.Query(ctx, removals, int64(tx.Practice()), n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return nil, err
		}
		var r Receipt
		if err := open(tx, "removal", id, body, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
