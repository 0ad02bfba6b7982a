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
	// claimSeqs takes the numbers up to $3 when none above $2 is taken, and otherwise divides by zero, after which the transaction
	// is run again: what follows can be sent along without waiting for an answer.
	claimSeqs = db.SQL(`UPDATE fhir_counter SET seq = CASE WHEN seq <= $2 THEN $3 ELSE 1 / (seq - seq) END WHERE practice_id = $1`)
	// Slots below zero lock nothing; see db.Tx.Crowded.
	markCommit = db.SQL(`INSERT INTO fhir_lock (practice_id, slot) VALUES ($1, $2)
		ON CONFLICT (practice_id, slot) DO UPDATE SET slot = excluded.slot`)
)

// rowBlock is how many rids a process reserves at a time, and rowLow how few it has left when it reserves the next. What is left
// stays unused.
const (
	rowBlock = 1024
	rowLow   = 256
)

// rowNumbers are the rids this process has reserved and not yet used.
type rowNumbers struct {
	mu   sync.Mutex
	by   map[db.PracticeID]*rowRange
	seqs map[db.PracticeID]int64 // the highest sequence number this process has seen or claimed
	open map[*db.Tx]bool         // transactions that have reserved a block: from then on they take what they need
	more map[db.PracticeID]bool  // a block is being reserved beside one that nears its end
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
	tx.Crowded(markCommit)
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
			r.reserved(p, rest)
		})
	}
	return first, nil
}

// reserved notes a block, with mu held.
func (r *rowNumbers) reserved(p db.PracticeID, block *rowRange) {
	if r.by == nil {
		r.by = map[db.PracticeID]*rowRange{}
	}
	if have := r.by[p]; have == nil || have.end-have.next < block.end-block.next {
		r.by[p] = block
	}
	delete(r.more, p)
}

// refill reserves the next block before the last has run out, in a transaction that holds the counter row anyway: those who run
// out hold it from there on, and the others wait for them. Should the transaction fail, take sees to it.
func (r *rowNumbers) refill(ctx context.Context, tx *db.Tx) error {
	p := tx.Practice()
	r.mu.Lock()
	have := r.by[p]
	if have == nil || have.end-have.next >= rowLow || r.more[p] || tx.Again() {
		r.mu.Unlock()
		return nil
	}
	if r.more == nil {
		r.more = map[db.PracticeID]bool{}
	}
	r.more[p] = true
	r.mu.Unlock()
	var last int64
	if err := tx.QueryRow(ctx, takeRows, int64(p), int64(rowBlock)).Scan(&last); err != nil {
		return err
	}
	tx.OnCommit(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reserved(p, &rowRange{last - rowBlock + 1, last + 1})
	})
	return nil
}

// numbers returns n consecutive sequence numbers. The counter row is locked from there to the commit, so that
// the writers of a practice commit in the order of their numbers and a listener misses nothing; on
// PostgreSQL everything that needs no number is sent before, and the numbers are claimed together with what bears
// them when this process knows which are free: it usually is the only one that writes.
func (r *rowNumbers) numbers(ctx context.Context, tx *db.Tx, n int64) (first int64, err error) {
	alone := tx.Crowded(markCommit)
	p := tx.Practice()
	if n > 0 {
		if err := r.refill(ctx, tx); err != nil {
			return 0, err
		}
	}
	if tx.Engine() == db.PostgreSQL && n > 0 && alone && !tx.Again() {
		r.mu.Lock()
		known := r.seqs[p]
		base := max(known, tx.NowMicro())
		if known > 0 {
			r.seqs[p] = base + n
		}
		r.mu.Unlock()
		if known > 0 {
			tx.Queue(claimSeqs, int64(p), base, base+n)
			return base + 1, nil
		}
	}
	last, err := seqs(ctx, tx, n)
	if err == nil && n > 0 {
		r.mu.Lock()
		if r.seqs == nil {
			r.seqs = map[db.PracticeID]int64{}
		}
		r.seqs[p] = max(r.seqs[p], last)
		r.mu.Unlock()
	}
	return last - n + 1, err
}

// seqs takes n sequence numbers, which locks the counter row, and returns the last of them.
func seqs(ctx context.Context, tx *db.Tx, n int64) (last int64, err error) {
	err = tx.QueryRow(ctx, takeSeqs, int64(tx.Practice()), n, tx.NowMicro()).Scan(&last)
	if errors.Is(err, db.ErrNoRows) {
		// The practice's first writes only change what is not there.
		var rid int64
		if err = tx.QueryRow(ctx, takeRows, int64(tx.Practice()), int64(0)).Scan(&rid); err == nil {
			err = tx.QueryRow(ctx, takeSeqs, int64(tx.Practice()), n, tx.NowMicro()).Scan(&last)
		}
	}
	return last, err
}
