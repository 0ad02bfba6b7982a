package audit

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
)

// Fault is the first thing wrong that a verification met.
type Fault struct {
	Position int64  // in the log; 0 for an entry that has no position
	ID       int64  // of the entry, 0 when only its place is known
	What     string // in plain words
}

// Report is the outcome of a verification.
type Report struct {
	Entries     int64 // sequenced entries that were read
	Waiting     int64 // entries recorded but not yet sequenced
	Checkpoints int64 // signed checkpoints the log passes through
	End         Checkpoint
	Fault       *Fault // nil when everything is as it was written
}

var (
	packsFrom = db.SQL(`SELECT position, first, low, high, edge, body FROM audit_pack WHERE practice_id = $1 AND position > $2
		ORDER BY position LIMIT $3`)
	findOne   = db.SQL(`SELECT count(*) FROM audit_find WHERE practice_id = $1 AND key = $2 AND high = $3`)
	countFind = db.SQL(`SELECT count(*) FROM audit_find WHERE practice_id = $1`)
	countTree = db.SQL(`SELECT count(*) FROM audit_tree WHERE practice_id = $1`)
)

// Verify reads the whole log of a practice and recomputes every hash. known are checkpoints kept elsewhere; the log
// must pass through each of them, and through every checkpoint it signed itself. It finds entries changed, removed,
// added, moved or hidden from searches, and names the first.
func (l *Log) Verify(ctx context.Context, s db.Scope, known ...Checkpoint) (Report, error) {
	var r Report
	if s == nil || !s.Valid() {
		return r, db.ErrNoScope
	}
	journal := l.looks.waiting(s.Practice())
	err := l.db.View(ctx, s, func(tx *db.Tx) error {
		r = Report{}
		looks, _, err := l.looks.open(ctx, tx, journal, 1<<40)
		if err != nil {
			return err
		}
		v := verifier{ctx: ctx, tx: tx, practice: int64(tx.Practice()), known: map[int64][]Checkpoint{}, report: &r, looks: looks, damage: l.looks.damage()}
		for _, c := range known {
			if c.Position > 0 {
				v.known[c.Position] = append(v.known[c.Position], c)
			}
		}
		return v.run()
	})
	return r, err
}

type verifier struct {
	ctx      context.Context
	tx       *db.Tx
	practice int64
	known    map[int64][]Checkpoint
	report   *Report
	e        edge
	looks    []look   // what the journal holds
	damage   []string // to the journal
	finds    int64    // rows of audit_find that must be there
	nodes    int64    // rows of audit_tree that must be there
}

func (v *verifier) fault(position, id int64, what string) error {
	if v.report.Fault == nil {
		v.report.Fault = &Fault{position, id, what}
	}
	return nil
}

func (v *verifier) run() error {
	if err := v.checkpoints(); err != nil || v.report.Fault != nil {
		return err
	}
	for _, step := range []func() error{v.packs, v.fresh, v.passed, v.counts, v.waits} {
		if err := step(); err != nil {
			return err
		}
		v.report.End = v.e.checkpoint()
		if v.report.Fault != nil {
			return nil
		}
	}
	return nil
}

// checkpoints reads the signed checkpoints: the log must pass through them.
func (v *verifier) checkpoints() error {
	rows, err := v.tx.Query(v.ctx, allCheckpoints, v.practice)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := readCheckpoint(rows, v.tx)
		if err != nil {
			return v.fault(c.Position, 0, "a signed checkpoint was changed")
		}
		v.known[c.Position] = append(v.known[c.Position], c.Checkpoint)
		v.report.Checkpoints++
	}
	return rows.Err()
}

func (v *verifier) packs() error {
	for {
		var packs []segment
		var lows, highs []int64
		rows, err := v.tx.Query(v.ctx, packsFrom, v.practice, v.e.size, 20)
		if err != nil {
			return err
		}
		for rows.Next() {
			var s segment
			var low, high int64
			if err := rows.Scan(&s.position, &s.first, &low, &high, &s.edge, &s.body); err != nil {
				rows.Close()
				return err
			}
			packs, lows, highs = append(packs, s), append(lows, low), append(highs, high)
		}
		rows.Close()
		if err := rows.Err(); err != nil || len(packs) == 0 {
			return err
		}
		for n, s := range packs {
			items, err := v.segment(rowPack, s)
			if err != nil || v.report.Fault != nil {
				return err
			}
			if err := v.found(s, items, lows[n], highs[n]); err != nil || v.report.Fault != nil {
				return err
			}
		}
	}
}

// found checks the rows by which the entries of a pack are found.
func (v *verifier) found(s segment, items []item, low, high int64) error {
	realLow, realHigh := items[0].id, items[0].id
	keys := map[int64]bool{}
	for _, i := range items {
		realLow, realHigh = min(realLow, i.id), max(realHigh, i.id)
		e, err := i.entry()
		if err != nil {
			return v.fault(s.first, i.id, "the entry was changed")
		}
		keysOf(v.tx.Keys(), &e, keys)
	}
	if low != realLow || high != realHigh {
		return v.fault(s.first, 0, "the times by which a pack of entries is found were changed")
	}
	for key := range keys {
		var n int64
		if err := v.tx.QueryRow(v.ctx, findOne, v.practice, key, high).Scan(&n); err != nil {
			return err
		}
		if n != 1 {
			return v.fault(s.first, 0, fmt.Sprintf("entries up to position %d were hidden from searches: a search row is missing", s.position))
		}
	}
	v.finds += int64(len(keys))
	return nil
}

func (v *verifier) fresh() error {
	rows, err := freshOf(v.ctx, v.tx, 1<<31)
	if err != nil {
		return err
	}
	for _, s := range rows {
		if _, err := v.segment(rowFresh, s); err != nil || v.report.Fault != nil {
			return err
		}
	}
	return nil
}

// segment reads one row's entries onto the tree.
func (v *verifier) segment(kind byte, s segment) ([]item, error) {
	next := v.e.size + 1
	if s.first != next || s.position < s.first {
		return nil, v.fault(next, 0, "the entry was removed, or its row was moved")
	}
	items, err := openItems(v.tx.Keys(), s.body, rowAAD(kind, v.practice, s.first, s.position))
	if err != nil || int64(len(items)) != s.position-s.first+1 {
		return nil, v.fault(next, 0, fmt.Sprintf("the entries from here to position %d were changed: their seal is broken", s.position))
	}
	var nodes []node
	for _, i := range items {
		if _, err := i.entry(); err != nil {
			return nil, v.fault(v.e.size+1, i.id, "the entry was changed")
		}
		v.e.add(leafOf(v.tx.Keys(), v.practice, v.e.size+1, i), func(n node) { nodes = append(nodes, n) })
		v.report.Entries++
		for _, c := range v.known[v.e.size] {
			if c.Hash != v.e.root() {
				return nil, v.fault(v.e.size, i.id, "the log does not pass through a known checkpoint: history was rewritten")
			}
		}
	}
	if string(s.edge) != string(v.e.bytes()) {
		return nil, v.fault(next, 0, fmt.Sprintf("the hashes of the tree at position %d were changed", s.position))
	}
	for _, n := range nodes {
		var b []byte
		err := v.tx.QueryRow(v.ctx, treeHash, v.practice, placeOf(n)).Scan(&b)
		if err != nil && err != db.ErrNoRows {
			return nil, err
		}
		if string(b) != string(n.hash[:]) {
			return nil, v.fault(next, 0, "a hash of the tree was changed or removed")
		}
	}
	v.nodes += int64(len(nodes))
	return items, nil
}

// passed looks for known checkpoints that the log does not reach.
func (v *verifier) passed() error {
	for position := range v.known {
		if position > v.e.size {
			return v.fault(v.e.size+1, 0, "the log ends before a known checkpoint: its end was cut off or rolled back")
		}
	}
	return nil
}

// counts looks for rows that belong to nothing.
func (v *verifier) counts() error {
	var finds, nodes int64
	if err := v.tx.QueryRow(v.ctx, countFind, v.practice).Scan(&finds); err != nil {
		return err
	}
	if err := v.tx.QueryRow(v.ctx, countTree, v.practice).Scan(&nodes); err != nil {
		return err
	}
	if finds != v.finds || nodes != v.nodes {
		return v.fault(0, 0, "rows were added to the audit without being recorded")
	}
	return nil
}

func (v *verifier) waits() error {
	rows, err := v.tx.Query(v.ctx, allWaits, v.practice)
	if err != nil {
		return err
	}
	w, err := waiting(v.tx, rows, 1<<40)
	if err != nil {
		return err
	}
	if len(w.damaged) > 0 {
		return v.fault(0, w.damaged[0], "entries that wait for their position were changed: their seal is broken")
	}
	v.report.Waiting = int64(len(w.items))
	for _, k := range v.looks {
		if k.items == nil {
			return v.fault(0, 0, "entries in the journal of this server were changed: their seal is broken")
		}
		v.report.Waiting += int64(len(k.items))
	}
	if len(v.damage) > 0 {
		return v.fault(0, 0, "the journal of this server was damaged, and looks of this practice may be lost: "+v.damage[0])
	}
	return nil
}
