package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"yarrow.health/internal/base/db"
)

// Receipt proves that an entry is in the log that a checkpoint signs, or that a checkpoint continues an older one. It
// is kept outside the system and is checked with the practice's public key alone.
type Receipt struct {
	Format     string `json:"receipt"` // [ReceiptFormat]
	Checkpoint string `json:"checkpoint"`

	// Of what the practice declares, signed by itself: see [SignStatement]. There may be no checkpoint then.
	Statement string `json:"statement,omitempty"`

	// Of one entry. Proof then is the inclusion proof.
	Entry *Line `json:"entry,omitempty"`
	// Of an older checkpoint. Proof then is the consistency proof.
	Older string `json:"older,omitempty"`

	Proof []tlog.Hash `json:"proof,omitempty"`
}

// ReceiptFormat names the form of receipts.
const ReceiptFormat = "yarrow-audit-receipt-1"

// State says how far an entry is secured.
type State struct {
	Position   int64  // in the log; 0 while it waits for one, a second at most
	Checkpoint Signed // the first that covers it; its Position is 0 while none does, an hour at most
}

// StateOf says how far an entry is secured.
func (l *Log) StateOf(ctx context.Context, s db.Scope, id int64) (st State, err error) {
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		st = State{}
		t := tree{ctx: ctx, tx: tx}
		if st.Position, err = t.positionOf(id); err != nil || st.Position == 0 {
			return err
		}
		st.Checkpoint, err = readCheckpoint(tx.QueryRow(ctx, checkpointFrom, int64(tx.Practice()), st.Position), tx)
		if err == db.ErrNoRows {
			err = nil
		}
		return err
	})
	return st, err
}

// Receipt gives the receipt of an entry under the newest checkpoint, which is signed now when none covers it yet.
func (l *Log) Receipt(ctx context.Context, s db.Scope, id int64) (Receipt, error) {
	r := Receipt{Format: ReceiptFormat}
	if _, _, err := l.Sequence(ctx, s); err != nil {
		return r, err
	}
	st, err := l.StateOf(ctx, s, id)
	if err != nil {
		return r, err
	}
	if st.Position == 0 {
		return r, db.ErrNoRows
	}
	if st.Checkpoint.Position == 0 {
		if st.Checkpoint, _, err = l.Checkpoint(ctx, s, true); err != nil {
			return r, err
		}
	}
	r.Checkpoint = st.Checkpoint.Note
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		t := &tree{ctx: ctx, tx: tx}
		i, err := t.at(st.Position)
		if err != nil {
			return err
		}
		line, err := lineOf(tx.Keys(), st.Position, i)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(st.Checkpoint.Position, st.Position-1, t)
		r.Entry, r.Proof = &line, proof
		return err
	})
	return r, err
}

// Continues proves that the newest checkpoint continues an older one.
func (l *Log) Continues(ctx context.Context, s db.Scope, older Signed) (Receipt, error) {
	r := Receipt{Format: ReceiptFormat, Older: older.Note}
	newest, ok, err := l.Checkpoint(ctx, s, false)
	if err != nil || !ok {
		return r, err
	}
	r.Checkpoint = newest.Note
	if older.Position < 1 || older.Position > newest.Position {
		return r, fmt.Errorf("audit: the log has %d entries, the older checkpoint %d", newest.Position, older.Position)
	}
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		proof, err := tlog.ProveTree(newest.Position, older.Position, &tree{ctx: ctx, tx: tx})
		r.Proof = proof
		return err
	})
	return r, err
}

// Check says what is wrong with a receipt, given the practice's public key; nil when it proves what it says. It
// returns the checkpoint it rests on.
func (r *Receipt) Check(vkey string) (Signed, error) {
	if r.Format != ReceiptFormat {
		return Signed{}, fmt.Errorf("this is not a receipt of an audit log")
	}
	if r.Statement != "" {
		if _, _, err := OpenStatement(r.Statement, vkey); err != nil {
			return Signed{}, err
		}
		if r.Checkpoint == "" && r.Older == "" && r.Entry == nil && r.Proof == nil {
			return Signed{}, nil
		}
	}
	c, err := OpenCheckpoint(r.Checkpoint, vkey)
	if err != nil {
		return c, err
	}
	if r.Older != "" {
		old, err := OpenCheckpoint(r.Older, vkey)
		if err != nil {
			return c, fmt.Errorf("the older checkpoint: %w", err)
		}
		if err := tlog.CheckTree(r.Proof, c.Position, c.Hash, old.Position, old.Hash); err != nil {
			return c, fmt.Errorf("the newer checkpoint does not continue the older one")
		}
	}
	if r.Entry != nil {
		practice, ok := practiceOf(vkey)
		if !ok {
			return c, fmt.Errorf("the public key does not name a practice")
		}
		leaf, what := r.Entry.check(practice)
		if what != "" {
			return c, fmt.Errorf("the entry: %s", what)
		}
		if err := tlog.CheckRecord(r.Proof, c.Position, c.Hash, r.Entry.Position-1, leaf); err != nil {
			return c, fmt.Errorf("the entry is not in the log that the checkpoint signs")
		}
	}
	return c, nil
}

// ReadReceipt reads a receipt, or a bare checkpoint or statement, which is a receipt of nothing but itself.
func ReadReceipt(b []byte) (Receipt, error) {
	if bytes.HasPrefix(b, []byte(statementHead)) {
		return Receipt{Format: ReceiptFormat, Statement: string(b)}, nil
	}
	if len(b) > 0 && b[0] != '{' {
		return Receipt{Format: ReceiptFormat, Checkpoint: string(b)}, nil
	}
	var r Receipt
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("the receipt cannot be read: %w", err)
	}
	return r, nil
}

// stamp is how a time is written for people and programs.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
