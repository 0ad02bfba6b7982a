package audit

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
)

// Fault is the first thing wrong that Verify met.
type Fault struct {
	Position int64  // in the log; 0 for an entry that has no position
	ID       int64  // of the entry, 0 when only its block is known
	What     string // in plain words
}

// Report is the outcome of Verify.
type Report struct {
	Entries int64 // sequenced entries that were read
	Waiting int64 // entries recorded but not yet sequenced
	End     Checkpoint
	Fault   *Fault // nil when everything is as it was written
}

// Verify reads the whole log of a practice and recomputes every hash. known are checkpoints kept elsewhere; the log
// must pass through each of them. It finds entries changed, removed, added, moved or whose index columns were
// changed, and names the first.
func (l *Log) Verify(ctx context.Context, s db.Scope, known ...Checkpoint) (Report, error) {
	var r Report
	err := l.db.View(ctx, s, func(tx *db.Tx) error {
		v := verifier{ctx: ctx, tx: tx, practice: int64(tx.Practice()), known: map[int64]Checkpoint{}, report: &r}
		for _, c := range known {
			if c.Position > 0 {
				v.known[c.Position] = c
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
	known    map[int64]Checkpoint
	report   *Report
}

func (v *verifier) fault(position, id int64, what string) {
	v.report.Fault = &Fault{position, id, what}
}

func (v *verifier) run() error {
	for v.report.Fault == nil {
		blocks, err := v.blocks()
		if err != nil || len(blocks) == 0 {
			if err != nil {
				return err
			}
			break
		}
		for _, b := range blocks {
			if err := v.block(b); err != nil || v.report.Fault != nil {
				return err
			}
		}
	}
	if v.report.Fault != nil {
		return nil
	}
	for position := range v.known {
		if position > v.report.End.Position {
			v.fault(v.report.End.Position+1, 0, "the log ends before a known checkpoint: its end was cut off or rolled back")
			return nil
		}
	}
	return v.outside()
}

type block struct {
	end  int64
	ids  []int64
	hash []byte
}

func (v *verifier) blocks() ([]block, error) {
	rows, err := v.tx.Query(v.ctx, blockFrom, v.practice, v.report.End.Position, 20)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []block
	for rows.Next() {
		var b block
		var list []byte
		if err := rows.Scan(&b.end, &list, &b.hash); err != nil {
			return nil, err
		}
		b.ids = unpackIDs(list)
		out = append(out, b)
	}
	return out, rows.Err()
}

func (v *verifier) block(b block) error {
	at := &v.report.End
	if b.end != at.Position+int64(len(b.ids)) || len(b.ids) == 0 {
		v.fault(at.Position+1, 0, "a block of the log is missing or its list of entries was changed")
		return nil
	}
	stored, err := storedBy(v.ctx, v.tx, b.ids)
	if err != nil {
		return err
	}
	start := at.Position
	for _, id := range b.ids {
		row, ok := stored[id]
		if !ok {
			v.fault(at.Position+1, id, "the entry was removed")
			return nil
		}
		if what := v.entry(id, row); what != "" {
			v.fault(at.Position+1, id, what)
			return nil
		}
		at.add(leafHash(v.practice, id, row.body))
		v.report.Entries++
		if c, ok := v.known[at.Position]; ok && c.Hash != at.Hash {
			v.fault(at.Position, id, "the log does not pass through a known checkpoint: history was rewritten")
			return nil
		}
	}
	if string(b.hash) != string(at.Hash[:]) {
		v.fault(start+1, 0, fmt.Sprintf("an entry from here to position %d was changed or moved", at.Position))
	}
	return nil
}

// entry says what is wrong with a stored entry, or "".
func (v *verifier) entry(id int64, row storedRow) string {
	k := v.tx.Keys()
	e := open(k, v.practice, id, row.body)
	if e.Action == ActionDamaged {
		return "the entry was changed"
	}
	x := indexOf(k, &e)
	if x.who != row.who || !sameKey(x.patient, row.patient) || !sameKey(x.action, row.action) {
		return "the search columns of the entry were changed"
	}
	return ""
}

func sameKey(want any, got *int64) bool {
	if want == nil || got == nil {
		return want == nil && got == nil
	}
	return want.(int64) == *got
}

// outside counts the entries without a position and looks for some that nobody recorded.
func (v *verifier) outside() error {
	_, ids, err := waiting(v.ctx, v.tx, 1<<31-1)
	if err != nil {
		return err
	}
	v.report.Waiting = int64(len(ids))
	stored, err := storedBy(v.ctx, v.tx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		row, ok := stored[id]
		if !ok {
			v.fault(0, id, "the entry was removed")
			return nil
		}
		if what := v.entry(id, row); what != "" {
			v.fault(0, id, what)
			return nil
		}
	}
	var n int64
	if err := v.tx.QueryRow(v.ctx, countAll, v.practice).Scan(&n); err != nil {
		return err
	}
	if n != v.report.Entries+v.report.Waiting {
		return v.stranger(ids)
	}
	return nil
}

// stranger names the first entry that is neither in a block nor waiting.
func (v *verifier) stranger(waiting []int64) error {
	listed := map[int64]bool{}
	for _, id := range waiting {
		listed[id] = true
	}
	for after := int64(0); ; {
		rows, err := v.tx.Query(v.ctx, blockFrom, v.practice, after, 20)
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			var hash, list []byte
			if err := rows.Scan(&after, &list, &hash); err != nil {
				rows.Close()
				return err
			}
			for _, id := range unpackIDs(list) {
				listed[id] = true
			}
			n++
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	for after := int64(0); ; {
		rows, err := v.tx.Query(v.ctx, allIDs, v.practice, after, 5000)
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			if err := rows.Scan(&after); err != nil {
				rows.Close()
				return err
			}
			if n++; !listed[after] {
				rows.Close()
				v.fault(0, after, "the entry was added without being recorded")
				return nil
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil || n == 0 {
			return err
		}
	}
}
