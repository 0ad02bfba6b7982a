package fhirstore

import (
	"context"
	"errors"
	"sync"

	"yarrow.health/internal/base/db"
)

var (
	takeRows = db.SQL(`INSERT INTO fhir_counter (practice_id, rid, seq) VALUES ($1, $2, 0)
		ON CONFLICT (practice_id) DO UPDATE SET rid = fhir_counter.rid + excluded.rid RETURNING rid`)
	takeSeqs = db.SQL(`UPDATE fhir_counter SET seq = CASE WHEN seq < $3 THEN $3 ELSE seq END + $2
		WHERE practice_id = $1 RETURNING seq`)
	// Slots below zero lock nothing; see db.Tx.Crowded.
	markCommit = db.SQL(`INSERT INTO fhir_lock (practice_id, slot) VALUES ($1, $2)
		ON CONFLICT (practice_id, slot) DO UPDATE SET slot = excluded.slot`)
)

// rowBlock is how many rids a process reserves at a time. What is left when it ends stays unused.
const rowBlock = 512

// rowNumbers are the rids this process has reserved and not yet used.
type rowNumbers struct {
	mu   sync.Mutex
	by   map[db.PracticeID]*rowRange
	open map[*db.Tx]bool // transactions that have reserved a block: from then on they take what they need
}

// maxOpen bounds open, since a transaction that fails stays there. To be forgotten costs a block.
const maxOpen = 256

type rowRange struct{ next, end int64 } // next … end-1

// take returns n consecutive rids; begin is called for the first ones of a practice. A new reservation belongs to others only once its transaction is durable.
func (r *rowNumbers) take(ctx context.Context, tx *db.Tx, n int64, begin func(*db.Tx)) (first int64, err error) {
	p := tx.Practice()
	r.mu.Lock()
	if have := r.by[p]; have != nil && have.end-have.next >= n {
		first = have.next
		have.next += n
		r.mu.Unlock()
		return first, nil
	}
	block := max(n, rowBlock)
	if r.open[tx] {
		block = n
	}
	r.mu.Unlock()
	var last int64
	if err := tx.QueryRow(ctx, takeRows, int64(p), block).Scan(&last); err != nil {
		return 0, err
	}
	if first = last - block + 1; first == 1 {
		begin(tx)
	}
	if block > n {
		rest := &rowRange{first + n, last + 1}
		r.mu.Lock()
		if r.open == nil || len(r.open) > maxOpen {
			r.open = map[*db.Tx]bool{}
		}
		r.open[tx] = true
		r.mu.Unlock()
		tx.OnCommit(func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.open, tx)
			if r.by == nil {
				r.by = map[db.PracticeID]*rowRange{}
			}
			if have := r.by[p]; have == nil || have.end-have.next < rest.end-rest.next {
				r.by[p] = rest
			}
		})
	}
	return first, nil
}

// seqs returns n consecutive sequence numbers. The counter row is locked from here to the commit, so that
// the writers of a practice commit in the order of their numbers and a listener misses nothing; on
// PostgreSQL everything that needs no number is sent before.
func seqs(ctx context.Context, tx *db.Tx, n int64) (first int64, err error) {
	var last int64
	tx.Crowded(markCommit)
	err = tx.QueryRow(ctx, takeSeqs, int64(tx.Practice()), n, tx.NowMicro()).Scan(&last)
	if errors.Is(err, db.ErrNoRows) {
		// The practice's first writes only change what is not there.
		var rid int64
		if err = tx.QueryRow(ctx, takeRows, int64(tx.Practice()), int64(0)).Scan(&rid); err == nil {
			err = tx.QueryRow(ctx, takeSeqs, int64(tx.Practice()), n, tx.NowMicro()).Scan(&last)
		}
	}
	return last - n + 1, err
}
