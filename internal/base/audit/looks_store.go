package audit

import (
	"context"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/journal"
)

var (
	takenOver = db.SQL(`SELECT number FROM audit_journal WHERE practice_id = $1 AND journal = $2`)
	takeOver  = db.SQL(`INSERT INTO audit_journal (practice_id, journal, number) VALUES ($1, $2, $3)
		ON CONFLICT (practice_id, journal) DO UPDATE SET number = excluded.number`)
)

// look is what the practice recorded in one write to the journal.
type look struct {
	number int64
	items  []item
	sealed []byte // when it does not open
}

// waiting lists what the journal holds of a practice. Who wants to see it together with the tables asks before the transaction
// begins: what is taken over meanwhile is then in both, and told apart by the number the tables have come to.
func (l *looks) waiting(p db.PracticeID) []journal.Record {
	if l.node == nil {
		return nil
	}
	return l.node.Waiting(int64(p))
}

// damage says what of the journal could not be read.
func (l *looks) damage() []string {
	if l.node == nil {
		return nil
	}
	return l.node.Damage()
}

// begin has the journal go on behind what the practice took over before, once for each practice. It is ahead of the journal
// when one of them was brought back to an earlier state alone, and would take new looks for those it has.
func (l *looks) begin(ctx context.Context, d *db.DB, s db.Scope) error {
	if _, known := l.begun.Load(s.Practice()); known {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(db.Plain(ctx)), seenTimeout) // as all of Seen
	defer cancel()
	err := d.View(ctx, s, func(tx *db.Tx) error {
		done, err := l.done(ctx, tx)
		if err == nil {
			l.node.After(done)
		}
		return err
	})
	if err == nil {
		l.begun.Store(s.Practice(), true)
	}
	return err
}

// done is the number of the last write to the journal that the practice took over, 0 before the first.
func (l *looks) done(ctx context.Context, tx *db.Tx) (number int64, err error) {
	err = tx.QueryRow(ctx, takenOver, int64(tx.Practice()), l.node.ID()).Scan(&number)
	if err == db.ErrNoRows {
		return 0, nil
	}
	return number, err
}

// open opens what the tables do not have yet, up to some number of entries.
func (l *looks) open(ctx context.Context, tx *db.Tx, records []journal.Record, limit int) (out []look, left bool, err error) {
	if len(records) == 0 {
		return nil, false, nil
	}
	practice := int64(tx.Practice())
	done, err := l.done(ctx, tx)
	if err != nil {
		return nil, false, err
	}
	if tx.Writable() && records[0].Number <= done { // read again by a later start, or their Done was lost
		tx.OnCommit(func() { l.node.Done(practice, done) })
	}
	n := 0
	for _, r := range records {
		if r.Number <= done {
			continue
		}
		items, err := openItems(tx.Keys(), r.Body, l.aad(practice, r.Number))
		if err != nil || r.Damaged {
			out = append(out, look{number: r.Number, sealed: r.Body})
			continue
		}
		if n > 0 && n+len(items) > limit {
			return out, true, nil
		}
		n += len(items)
		out = append(out, look{number: r.Number, items: items})
	}
	return out, false, nil
}

// take moves looks into the practice: what opens is returned, to get its positions; what does not becomes a row that Verify names.
func (l *looks) take(ctx context.Context, tx *db.Tx, some []look) (items []item, err error) {
	if len(some) == 0 {
		return nil, nil
	}
	practice := int64(tx.Practice())
	for _, k := range some {
		if k.items == nil {
			tx.InsertMany(insertWait, [][]any{{practice, waitID(tx.Now()), append([]byte{}, k.sealed...)}})
		}
		items = append(items, k.items...)
	}
	number := some[len(some)-1].number
	if _, err := tx.Exec(ctx, takeOver, practice, l.node.ID(), number); err != nil {
		return nil, err
	}
	tx.OnCommit(func() { l.node.Done(practice, number) })
	return items, nil
}
