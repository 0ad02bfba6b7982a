package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"yarrow.health/internal/base/db"
)

// Before practice schema 8 every entry was a row of audit_event, sealed by itself, and audit_block chained hashes over
// their order. Adopt moves such entries, with their ids, into the log of today.

// Adopted is what Adopt found.
type Adopted struct {
	Entries int // moved into the log
	Damaged int // rows that do not open; they stay where they are
	Missing int // entries that a block names and that are gone
	Broken  int // blocks whose hash does not follow from the one before and their entries
}

func (a *Adopted) add(b Adopted) {
	a.Entries, a.Damaged, a.Missing, a.Broken = a.Entries+b.Entries, a.Damaged+b.Damaged, a.Missing+b.Missing, a.Broken+b.Broken
}

// told is put into the column who, which otherwise holds 32 bits, of a damaged row that the log already names.
const told = 1 << 40

const (
	oldBlock = `SELECT position, ids, hash FROM audit_block WHERE practice_id = $1 AND length(ids) > 0 ORDER BY position LIMIT 1`
	oldLoose = `SELECT id, body FROM audit_event WHERE practice_id = $1 AND who <> $2 ORDER BY id LIMIT $3`
	oldIn    = `SELECT id, body FROM audit_event WHERE practice_id = $1 AND id {in $2} ORDER BY id`
)

// Two processes that adopt at once wait for each other at the first row.
var (
	nextOldBlock   = db.SQLPair(oldBlock, oldBlock+` FOR UPDATE`)
	looseOldEvents = db.SQLPair(oldLoose, oldLoose+` FOR UPDATE`)
	oldEventsIn    = db.SQLPair(oldIn, oldIn+` FOR UPDATE`)
	oldHashBefore  = db.SQL(`SELECT hash FROM audit_block WHERE practice_id = $1 AND position < $2 ORDER BY position DESC LIMIT 1`)
	emptyOldBlock  = db.SQL(`UPDATE audit_block SET ids = $3 WHERE practice_id = $1 AND position = $2`)
	tellOldEvents  = db.SQL(`UPDATE audit_event SET who = $2 WHERE practice_id = $1 AND id {in $3}`)
	dropOldEvents  = db.SQL(`DELETE FROM audit_event WHERE practice_id = $1 AND id {in $2}`)
	dropOldBlocks  = db.SQL(`DELETE FROM audit_block WHERE practice_id = $1 AND length(ids) = 0`)
	dropOldNew     = db.SQL(`DELETE FROM audit_new WHERE practice_id = $1`)
	dropOldLinks   = db.SQL(`DELETE FROM audit_link WHERE practice_id = $1`)
	oldLeft        = db.SQL(`SELECT (SELECT count(*) FROM audit_block WHERE practice_id = $1)
		+ (SELECT count(*) FROM (SELECT 1 FROM audit_link WHERE practice_id = $1 LIMIT 1) l)
		+ (SELECT count(*) FROM (SELECT 1 FROM audit_new WHERE practice_id = $1 LIMIT 1) n)
		+ (SELECT count(*) FROM (SELECT 1 FROM audit_event WHERE practice_id = $1 AND who <> $2 LIMIT 1) e)`)
)

// adoptStep is how many entries without a block one transaction of Adopt takes; a block has some thousand at most.
const adoptStep = 500

// Adopt moves the entries of a practice's earlier audit into its log, where they are found, positioned and signed like
// all others. It checks the old chain on its way: what it finds wrong is itself put on record. One step is one
// transaction, so it may be ended anywhere and called again; when nothing is left it costs one query.
func (l *Log) Adopt(ctx context.Context, s db.Scope) (all Adopted, err error) {
	left := 0
	if err := l.db.View(ctx, s, func(tx *db.Tx) error {
		return tx.QueryRow(ctx, oldLeft, int64(tx.Practice()), int64(told)).Scan(&left)
	}); err != nil || left == 0 {
		return all, err
	}
	for {
		var some Adopted
		var last bool
		err := l.db.Do(ctx, s, func(tx *db.Tx) (err error) {
			some, last, err = l.adoptSome(ctx, tx)
			return err
		})
		if err != nil {
			return all, err
		}
		all.add(some)
		if last {
			return all, nil
		}
	}
}

func (l *Log) adoptSome(ctx context.Context, tx *db.Tx) (a Adopted, last bool, err error) {
	practice := int64(tx.Practice())
	var position int64
	var packed, hash []byte
	err = tx.QueryRow(ctx, nextOldBlock, practice).Scan(&position, &packed, &hash)
	if err == nil {
		return a, false, l.adoptBlock(ctx, tx, &a, position, packed, hash)
	}
	if err != db.ErrNoRows {
		return a, false, err
	}
	rows, err := oldRows(tx.Query(ctx, looseOldEvents, practice, int64(told), int64(adoptStep)))
	if err != nil {
		return a, false, err
	}
	if len(rows) > 0 {
		return a, false, l.adoptRows(ctx, tx, &a, rows)
	}
	tx.Queue(dropOldBlocks, practice)
	tx.Queue(dropOldNew, practice)
	tx.Queue(dropOldLinks, practice)
	return a, true, nil
}

// adoptBlock takes the entries of a block. Its row stays without ids, for the hash that the next one follows from.
func (l *Log) adoptBlock(ctx context.Context, tx *db.Tx, a *Adopted, position int64, packed, hash []byte) error {
	practice := int64(tx.Practice())
	var before []byte
	if err := tx.QueryRow(ctx, oldHashBefore, practice, position).Scan(&before); err != nil && err != db.ErrNoRows {
		return err
	}
	var chain [sha256.Size]byte
	copy(chain[:], before)
	ids := unpackIDs(packed)
	rows, err := oldRows(tx.Query(ctx, oldEventsIn, practice, ids))
	if err != nil {
		return err
	}
	bodies := make(map[int64][]byte, len(rows))
	for _, r := range rows {
		bodies[r.id] = r.body
	}
	for _, id := range ids {
		if body, ok := bodies[id]; ok {
			chain = oldChain(chain, practice, id, body)
		} else {
			a.Missing++
		}
	}
	if string(chain[:]) != string(hash) {
		a.Broken++
	}
	tx.Queue(emptyOldBlock, practice, position, []byte{})
	return l.adoptRows(ctx, tx, a, rows)
}

// adoptRows lets rows wait for their positions in the log and removes them where they were.
func (l *Log) adoptRows(ctx context.Context, tx *db.Tx, a *Adopted, rows []oldRow) error {
	practice, k := tx.Practice(), tx.Keys()
	var items []item
	var moved, damaged []int64
	for _, r := range rows {
		plain, err := k.Audit().Open(nil, r.body, oldPlace(int64(practice), r.id))
		var e Entry
		if err == nil {
			e, err = decodeEarlier(r.id, plain)
		}
		if err != nil {
			damaged = append(damaged, r.id)
			continue
		}
		items, moved = append(items, item{r.id, appendEntry(nil, &e)}), append(moved, r.id)
	}
	a.Entries, a.Damaged = a.Entries+len(moved), a.Damaged+len(damaged)
	if len(items) > 0 {
		id := waitID(tx.Now())
		body, err := sealRecords(k, recordsOf(items), rowAAD(rowWait, int64(practice), id, 0), false)
		if err != nil {
			return err
		}
		tx.InsertMany(insertWait, [][]any{{int64(practice), id, body}})
		tx.OnCommit(func() { l.fresh.Store(practice, true) })
		n, err := tx.Exec(ctx, dropOldEvents, int64(practice), moved)
		if err == nil && n != int64(len(moved)) {
			err = fmt.Errorf("audit: %d of %d entries of the earlier audit moved", n, len(moved))
		}
		if err != nil {
			return err
		}
	}
	if len(damaged) > 0 {
		tx.Queue(tellOldEvents, int64(practice), int64(told), damaged)
	}
	if text := a.trouble(damaged); text != "" {
		l.Record(tx, Event{Action: ActionDamaged, Outcome: OutcomeFailed, Type: "AuditEvent", Detail: text})
	}
	return nil
}

// trouble says in words what was wrong with some entries of the earlier audit.
func (a *Adopted) trouble(damaged []int64) string {
	var said []string
	if len(damaged) > 0 {
		said = append(said, fmt.Sprintf("%d entries of the earlier audit do not open, the first is %d", len(damaged), damaged[0]))
	}
	if a.Missing > 0 {
		said = append(said, fmt.Sprintf("%d entries of the earlier audit were removed", a.Missing))
	}
	if a.Broken > 0 && len(said) == 0 {
		said = append(said, "the chain of the earlier audit is broken")
	}
	return strings.Join(said, "; ")
}

type oldRow struct {
	id   int64
	body []byte
}

func oldRows(rows *db.Rows, err error) ([]oldRow, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []oldRow
	for rows.Next() {
		var r oldRow
		if err := rows.Scan(&r.id, &r.body); err != nil {
			return nil, err
		}
		r.body = append([]byte(nil), r.body...)
		out = append(out, r)
	}
	return out, rows.Err()
}

// oldPlace is the additional data of an earlier entry's seal.
func oldPlace(practice, id int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(practice)), uint64(id))
}

// oldChain adds an entry to the earlier running hash: SHA-256(0x02 ‖ hash before ‖ SHA-256(0x00 ‖ practice ‖ id ‖ sealed)).
func oldChain(before [sha256.Size]byte, practice, id int64, sealed []byte) [sha256.Size]byte {
	leaf := sha256.New()
	leaf.Write([]byte{0})
	leaf.Write(oldPlace(practice, id))
	leaf.Write(sealed)
	h := sha256.New()
	h.Write([]byte{2})
	h.Write(before[:])
	h.Write(leaf.Sum(nil))
	return [sha256.Size]byte(h.Sum(nil))
}

// unpackIDs reads the ids of a block: zigzag varints of their differences, the first from 0; nil for damaged bytes.
func unpackIDs(b []byte) []int64 {
	var out []int64
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 {
			return nil
		}
		last += d
		out = append(out, last)
		b = b[n:]
	}
	return out
}
