package audit

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"yarrow.health/internal/base/db"
)

// CheckpointEvery is how often a practice's log is signed while it grows.
const CheckpointEvery = time.Hour

var (
	insertCheckpoint = db.InsertInto("audit_checkpoint", "practice_id", "size", "at", "note")
	lastCheckpoint   = db.SQL(`SELECT size, at, note FROM audit_checkpoint WHERE practice_id = $1 ORDER BY size DESC LIMIT 1`)
	checkpointFrom   = db.SQL(`SELECT size, at, note FROM audit_checkpoint WHERE practice_id = $1 AND size >= $2 ORDER BY size LIMIT 1`)
	allCheckpoints   = db.SQL(`SELECT size, at, note FROM audit_checkpoint WHERE practice_id = $1 ORDER BY size`)

	treeHash = db.SQL(`SELECT hash FROM audit_tree WHERE practice_id = $1 AND place = $2`)
	packOver = db.SQL(`SELECT position, first, body FROM audit_pack WHERE practice_id = $1 AND position >= $2 ORDER BY position LIMIT 1`)
	freshOn  = db.SQL(`SELECT position, first, body FROM audit_fresh WHERE practice_id = $1 AND position >= $2 ORDER BY position LIMIT 1`)
)

// Checkpoint signs where the log ends, when it has grown and the last checkpoint is [CheckpointEvery] old or now is
// set. It returns the newest checkpoint; ok is false while the log is empty.
func (l *Log) Checkpoint(ctx context.Context, s db.Scope, now bool) (c Signed, ok bool, err error) {
	err = l.db.Do(ctx, s, func(tx *db.Tx) error {
		e, err := tail(ctx, tx)
		if err != nil || e.size == 0 {
			return err
		}
		last, err := readCheckpoint(tx.QueryRow(ctx, lastCheckpoint, int64(tx.Practice())), tx)
		switch {
		case err != nil && err != db.ErrNoRows:
			return err
		case err == nil && (last.Position >= e.size || !now && tx.Now().Sub(last.At) < CheckpointEvery):
			c, ok = last, true
			return nil
		}
		if c, err = signCheckpoint(tx.Keys(), e.checkpoint(), tx.Now()); err != nil {
			return err
		}
		ok = true
		tx.InsertMany(insertCheckpoint, [][]any{{int64(tx.Practice()), c.Position, c.At.UnixMicro(), c.Note}})
		return nil
	})
	if db.IsUnique(err) { // another process signed the same
		return l.Checkpoint(ctx, s, false)
	}
	return c, ok, err
}

type scanner interface{ Scan(dest ...any) error }

// readCheckpoint reads a row and checks its signature.
func readCheckpoint(row scanner, tx *db.Tx) (Signed, error) {
	var size, at int64
	var text string
	if err := row.Scan(&size, &at, &text); err != nil {
		return Signed{}, err
	}
	c, err := OpenCheckpoint(text, PublicKey(tx.Keys()))
	if err == nil && (c.Position != size || c.At.UnixMicro() != at) {
		err = fmt.Errorf("its size or time was changed")
	}
	if err != nil {
		return Signed{Checkpoint: Checkpoint{Position: size}}, fmt.Errorf("audit: the checkpoint over %d entries is damaged: %w", size, err)
	}
	return c, nil
}

// Checkpoints lists the signed checkpoints, oldest first.
func (l *Log) Checkpoints(ctx context.Context, s db.Scope) (out []Signed, err error) {
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		out, err = checkpointsOf(ctx, tx)
		return err
	})
	return out, err
}

func checkpointsOf(ctx context.Context, tx *db.Tx) (out []Signed, err error) {
	rows, err := tx.Query(ctx, allCheckpoints, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := readCheckpoint(rows, tx)
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// Key is the practice's verifier key.
func (l *Log) Key(ctx context.Context, s db.Scope) (vkey string, err error) {
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		vkey = PublicKey(tx.Keys())
		return nil
	})
	return vkey, err
}

// tree reads hashes of the practice's tree: the large subtrees as they are kept, the small ones from the entries.
type tree struct {
	ctx   context.Context
	tx    *db.Tx
	cache map[int64]segmentItems // by first position
}

type segmentItems struct {
	first int64
	items []item
}

// ReadHashes makes it a tlog.HashReader.
func (t *tree) ReadHashes(places []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(places))
	for i, place := range places {
		level, n := tlog.SplitStoredHashIndex(place)
		if level >= storedLevel {
			var b []byte
			if err := t.tx.QueryRow(t.ctx, treeHash, int64(t.tx.Practice()), place).Scan(&b); err != nil {
				return nil, err
			}
			if len(b) != len(out[i]) {
				return nil, fmt.Errorf("audit: a hash of the tree is damaged")
			}
			out[i] = tlog.Hash(b)
			continue
		}
		var e edge
		for p := n<<level + 1; p <= (n+1)<<level; p++ {
			it, err := t.at(p)
			if err != nil {
				return nil, err
			}
			e.add(leafOf(t.tx.Keys(), int64(t.tx.Practice()), p, it), nil)
		}
		out[i] = e.root()
	}
	return out, nil
}

// at is the entry at a position, from 1.
func (t *tree) at(position int64) (item, error) {
	for _, s := range t.cache {
		if position >= s.first && position < s.first+int64(len(s.items)) {
			return s.items[position-s.first], nil
		}
	}
	practice := int64(t.tx.Practice())
	for _, kind := range []byte{rowPack, rowFresh} {
		st := packOver
		if kind == rowFresh {
			st = freshOn
		}
		var s segment
		err := t.tx.QueryRow(t.ctx, st, practice, position).Scan(&s.position, &s.first, &s.body)
		if err == db.ErrNoRows {
			continue
		}
		if err != nil {
			return item{}, err
		}
		items, err := openItems(t.tx.Keys(), s.body, rowAAD(kind, practice, s.first, s.position))
		if err != nil {
			return item{}, err
		}
		if position < s.first || int64(len(items)) != s.position-s.first+1 {
			return item{}, errBatch
		}
		if t.cache == nil {
			t.cache = map[int64]segmentItems{}
		}
		t.cache[s.first] = segmentItems{s.first, items}
		return items[position-s.first], nil
	}
	return item{}, fmt.Errorf("audit: there is no entry at position %d", position)
}

// positionOf finds where an entry stands; 0 while it has no position.
func (t *tree) positionOf(id int64) (int64, error) {
	practice := int64(t.tx.Practice())
	look := func(st *db.Stmt, kind byte, args ...any) (int64, error) {
		rows, err := t.tx.Query(t.ctx, st, args...)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		for rows.Next() {
			var s segment
			if err := rows.Scan(&s.position, &s.first, &s.body); err != nil {
				return 0, err
			}
			items, err := openItems(t.tx.Keys(), s.body, rowAAD(kind, practice, s.first, s.position))
			if err != nil {
				continue
			}
			for n, i := range items {
				if i.id == id {
					return s.first + int64(n), nil
				}
			}
		}
		return 0, rows.Err()
	}
	if p, err := look(packsAround, rowPack, practice, id); p > 0 || err != nil {
		return p, err
	}
	return look(freshAll, rowFresh, practice)
}

var (
	packsAround = db.SQL(`SELECT position, first, body FROM audit_pack WHERE practice_id = $1 AND high >= $2 AND low <= $2`)
	freshAll    = db.SQL(`SELECT position, first, body FROM audit_fresh WHERE practice_id = $1`)
)
