package audit

import (
	"context"
	"crypto/sha256"
	"fmt"

	"yarrow.health/internal/base/db"
)

// Checkpoint says how far the log reaches: the position of its last sequenced entry, from 1, and the running hash
// up to it. Kept elsewhere, it proves later that nothing up to it was changed, cut off or rolled back.
type Checkpoint struct {
	Position int64
	Hash     [sha256.Size]byte
}

// A leaf is SHA-256(0x00 ‖ practice ‖ id ‖ sealed bytes), both numbers 8 bytes big-endian: the record hash of
// RFC 6962 §2.1. It covers the sealed bytes, whose random nonce keeps anybody who holds hashes from guessing what
// an entry says. The running hash is SHA-256(0x02 ‖ running hash before ‖ leaf), from 32 zero bytes.
func leafHash(practice, id int64, sealed []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(place(practice, id))
	h.Write(sealed)
	return [sha256.Size]byte(h.Sum(nil))
}

func (c *Checkpoint) add(leaf [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte{2})
	h.Write(c.Hash[:])
	h.Write(leaf[:])
	c.Hash = [sha256.Size]byte(h.Sum(nil))
	c.Position++
}

// maxBlock is how many recordings one block takes up at most.
const maxBlock = 1000

var (
	lastBlock = db.SQL(`SELECT position, hash FROM audit_block WHERE practice_id = $1 ORDER BY position DESC LIMIT 1`)
	newOnes   = db.SQL(`SELECT first_id, ids FROM audit_new WHERE practice_id = $1 ORDER BY first_id LIMIT $2`)
	eventsIn  = db.SQL(`SELECT id, who, patient, action, body FROM audit_event WHERE practice_id = $1 AND id {in $2}`)
	deleteNew = db.SQL(`DELETE FROM audit_new WHERE practice_id = $1 AND first_id {in $2}`)
	blockFrom = db.SQL(`SELECT position, ids, hash FROM audit_block WHERE practice_id = $1 AND position > $2
		ORDER BY position LIMIT $3`)
	countAll = db.SQL(`SELECT count(*) FROM audit_event WHERE practice_id = $1`)
	allIDs   = db.SQL(`SELECT id FROM audit_event WHERE practice_id = $1 AND id > $2 ORDER BY id LIMIT $3`)

	insertBlock = db.InsertInto("audit_block", "practice_id", "position", "ids", "hash")
)

// Sequence gives positions to entries that have none yet and chains their hashes. It returns where the log now ends
// and whether more wait. A job calls it for each practice, about once a second; two at once do no harm, one of them
// does nothing.
func (l *Log) Sequence(ctx context.Context, s db.Scope) (end Checkpoint, more bool, err error) {
	err = l.db.Do(ctx, s, func(tx *db.Tx) error {
		if end, err = head(ctx, tx); err != nil {
			return err
		}
		more, err = sequence(ctx, tx, &end)
		return err
	})
	if db.IsUnique(err) { // another process took this position
		return end, true, nil
	}
	return end, more, err
}

// Head is where the log ends now; the zero Checkpoint before anything is sequenced.
func (l *Log) Head(ctx context.Context, s db.Scope) (end Checkpoint, err error) {
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		end, err = head(ctx, tx)
		return err
	})
	return end, err
}

func head(ctx context.Context, tx *db.Tx) (Checkpoint, error) {
	var c Checkpoint
	var hash []byte
	err := tx.QueryRow(ctx, lastBlock, int64(tx.Practice())).Scan(&c.Position, &hash)
	if err == db.ErrNoRows {
		return c, nil
	}
	if err == nil && len(hash) != sha256.Size {
		return c, fmt.Errorf("audit: the hash of the block that ends at %d is damaged", c.Position)
	}
	if err == nil {
		c.Hash = [sha256.Size]byte(hash)
	}
	return c, err
}

func sequence(ctx context.Context, tx *db.Tx, end *Checkpoint) (more bool, err error) {
	firsts, ids, err := waiting(ctx, tx, maxBlock)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	stored, err := storedBy(ctx, tx, ids)
	if err != nil {
		return false, err
	}
	present := ids[:0]
	for _, id := range ids {
		if row, ok := stored[id]; ok {
			end.add(leafHash(int64(tx.Practice()), id, row.body))
			present = append(present, id)
		}
	}
	if len(present) != len(ids) {
		return false, fmt.Errorf("audit: %d entries vanished before they were sequenced", len(ids)-len(present))
	}
	tx.InsertMany(insertBlock, [][]any{{int64(tx.Practice()), end.Position, packIDs(present), end.Hash[:]}})
	_, err = tx.Exec(ctx, deleteNew, int64(tx.Practice()), firsts)
	return len(firsts) == maxBlock, err
}

// waiting reads up to limit recordings that have no position: the keys of their rows, and the ids in them.
func waiting(ctx context.Context, tx *db.Tx, limit int) (firsts, ids []int64, err error) {
	rows, err := tx.Query(ctx, newOnes, int64(tx.Practice()), limit)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var first int64
		var list []byte
		if err := rows.Scan(&first, &list); err != nil {
			return nil, nil, err
		}
		firsts = append(firsts, first)
		if list == nil {
			ids = append(ids, first)
		} else {
			ids = append(ids, unpackIDs(list)...)
		}
	}
	return firsts, ids, rows.Err()
}

type storedRow struct {
	who             int64
	patient, action *int64
	body            []byte
}

func storedBy(ctx context.Context, tx *db.Tx, ids []int64) (map[int64]storedRow, error) {
	rows, err := tx.Query(ctx, eventsIn, int64(tx.Practice()), ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[int64]storedRow, len(ids))
	for rows.Next() {
		var id int64
		var r storedRow
		if err := rows.Scan(&id, &r.who, &r.patient, &r.action, &r.body); err != nil {
			return nil, err
		}
		out[id] = r
	}
	return out, rows.Err()
}
