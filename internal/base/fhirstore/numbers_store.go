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
	open map[*db.Tx]bool        // transactions that have reserved a block: from then on they take what they need
	more map[db.PracticeID]bool // a block is being reserved beside one that nears its end
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
	tx.Crowded()
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
// the writers of a practice commit in the order of their numbers and a listener misses nothing; everything that needs no
// number is sent before. Who shares a transaction takes a block for all: what is left of it stays unused.
func (r *rowNumbers) numbers(ctx context.Context, tx *db.Tx, n int64) (first int64, err error) {
	if n > 0 {
		if err := r.refill(ctx, tx); err != nil {
			return 0, err
		}
	}
	if !tx.Shared() || n == 0 {
		last, err := seqs(ctx, tx, n)
		return last - n + 1, err
	}
	block, _ := tx.LookShared(sharedSeqs{}).(*rowRange)
	if block == nil || block.end-block.next < n {
		size := max(n, seqBlock)
		last, err := seqs(ctx, tx, size)
		if err != nil {
			return 0, err
		}
		block = &rowRange{last - size + 1, last + 1}
		tx.KeepShared(sharedSeqs{}, block)
	}
	first = block.next
	block.next += n
	return first, nil
}

// sharedSeqs is under what those who share a transaction keep the numbers they have left.
type sharedSeqs struct{}

// seqBlock is how many numbers, microseconds all of them, a shared transaction takes at once: fewer than pass until the next.
const seqBlock = 64

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
	tx.Crowded()
	return last, err
}
