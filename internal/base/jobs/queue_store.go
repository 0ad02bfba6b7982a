package jobs

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	nextNumber = db.SQL(`INSERT INTO jobs_counter (practice_id, name, n) VALUES ($1, $2, 1)
		ON CONFLICT (practice_id, name) DO UPDATE SET n = jobs_counter.n + 1 RETURNING n`)
	addJob = db.SQL(`INSERT INTO job (practice_id, id, kind, ukey, state, run_at, attempt, attempts, created, finished, body, problem)
		VALUES ($1, $2, $3, $4, 0, $5, 0, $6, $7, 0, $8, $9) ON CONFLICT (practice_id, kind, ukey) DO NOTHING`)
	dueJobs = db.SQL(`SELECT id, kind, attempt, attempts, run_at, body FROM job
		WHERE practice_id = $1 AND state IN (0, 1) AND run_at <= $2 ORDER BY run_at, id LIMIT $3`)
	claimJob = db.SQL(`UPDATE job SET state = 1, attempt = attempt + 1, run_at = $4
		WHERE practice_id = $1 AND id = $2 AND attempt = $3 AND state IN (0, 1)`)
	endJob = db.SQL(`UPDATE job SET state = $4, finished = $5, problem = $6
		WHERE practice_id = $1 AND id = $2 AND attempt = $3 AND state = 1`)
	againJob = db.SQL(`UPDATE job SET state = 0, run_at = $4, problem = $5
		WHERE practice_id = $1 AND id = $2 AND attempt = $3 AND state = 1`)
	freeJobs = db.SQL(`UPDATE job SET run_at = $2 WHERE practice_id = $1 AND state = 1 AND run_at > $2`)
	nextDue  = db.SQL(`SELECT run_at FROM job WHERE practice_id = $1 AND state = 0 ORDER BY run_at LIMIT 1`)
	nextEnd  = db.SQL(`SELECT run_at FROM job WHERE practice_id = $1 AND state = 1 ORDER BY run_at LIMIT 1`)
	listDead = db.SQL(`SELECT id, kind, attempt, finished, problem FROM job
		WHERE practice_id = $1 AND state = 3 ORDER BY finished DESC, id DESC LIMIT $2`)
	reviveDead = db.SQL(`UPDATE job SET state = 0, run_at = $3, attempts = attempt + 8, finished = 0
		WHERE practice_id = $1 AND id = $2 AND state = 3`)
	sweepJobs = db.SQL(`DELETE FROM job WHERE practice_id = $1 AND state = 2 AND finished < $2`)

	// PostgreSQL only: the shared list of due practices lies in the system schema, and is written in the job's own transaction.
	tellDue = db.SQL(`INSERT INTO yarrow_system.job_due AS d (practice, run_at) VALUES ($1, $2)
		ON CONFLICT (practice) DO UPDATE SET run_at = CASE WHEN d.run_at < excluded.run_at THEN d.run_at ELSE excluded.run_at END`)
	setDue  = db.SQL(`INSERT INTO yarrow_system.job_due (practice, run_at) VALUES ($1, $2) ON CONFLICT (practice) DO UPDATE SET run_at = excluded.run_at`)
	listDue = db.SQL(`SELECT practice, run_at FROM job_due WHERE run_at <= $1`)
)

// never is the due time of a practice without work.
const never = int64(1<<63 - 1)

// aad binds a sealed body to its place, so that it cannot be moved to another row unnoticed.
func aad(kind string, practice db.PracticeID, id int64) []byte {
	b := append([]byte("jobs|"), kind...)
	b = binary.BigEndian.AppendUint64(b, uint64(practice))
	return binary.BigEndian.AppendUint64(b, uint64(id))
}

func number(ctx context.Context, tx *db.Tx, name string) (n int64, err error) {
	err = tx.QueryRow(ctx, nextNumber, int64(tx.Practice()), name).Scan(&n)
	return n, err
}

func insertJob(ctx context.Context, tx *db.Tx, s Spec, body []byte, at int64) (bool, error) {
	id, err := number(ctx, tx, "job")
	if err != nil {
		return false, err
	}
	ukey := id
	if s.Key != "" {
		// The sign bit keeps hashed keys apart from plain ids.
		ukey = tx.Keys().Hash("job", s.Kind, s.Key) | -1<<63
	}
	p := tx.Practice()
	sealed := tx.Keys().Seal(nil, body, aad("job", p, id))
	empty := tx.Keys().Seal(nil, nil, aad("problem", p, id))
	n, err := tx.Exec(ctx, addJob, int64(p), id, s.Kind, ukey, at, s.Attempts, tx.NowMicro(), sealed, empty)
	if err != nil || n == 0 {
		return false, err
	}
	if tx.Engine() == db.PostgreSQL {
		tx.Queue(tellDue, int64(p), at) // other nodes learn of it in the same commit
	}
	return true, nil
}

// claim takes at most limit due jobs under leases that end at until.
func claim(ctx context.Context, tx *db.Tx, limit int, until int64) ([]*Job, error) {
	p := tx.Practice()
	rows, err := tx.Query(ctx, dueJobs, int64(p), tx.NowMicro(), limit)
	if err != nil {
		return nil, err
	}
	type candidate struct {
		id, attempt, attempts, runAt int64
		kind                         string
		body                         []byte
	}
	var found []candidate
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.id, &c.kind, &c.attempt, &c.attempts, &c.runAt, &c.body); err != nil {
			rows.Close()
			return nil, err
		}
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var out []*Job
	for _, c := range found {
		n, err := tx.Exec(ctx, claimJob, int64(p), c.id, c.attempt, until)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue // another node was quicker
		}
		j := &Job{Practice: p, ID: c.id, Kind: c.kind, Attempt: int(c.attempt + 1), last: c.attempt+1 >= c.attempts, lease: c.attempt + 1}
		if c.attempt >= c.attempts { // its last lease ran out: the worker died with it every time
			if _, err := finishJob(ctx, tx, j, dead, tx.NowMicro(), "The worker stopped while doing this, at every attempt."); err != nil {
				return nil, err
			}
			continue
		}
		if j.payload, err = tx.Keys().Open(nil, c.body, aad("job", p, c.id)); err != nil {
			if _, err := finishJob(ctx, tx, j, dead, tx.NowMicro(), "The stored payload is damaged."); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, j)
	}
	return out, nil
}

// free ends the leases that workers before this process held.
func free(ctx context.Context, tx *db.Tx) error {
	_, err := tx.Exec(ctx, freeJobs, int64(tx.Practice()), tx.NowMicro())
	return err
}

func finishJob(ctx context.Context, tx *db.Tx, j *Job, s state, at int64, problem string) (bool, error) {
	sealed := tx.Keys().Seal(nil, []byte(problem), aad("problem", j.Practice, j.ID))
	n, err := tx.Exec(ctx, endJob, int64(j.Practice), j.ID, j.lease, int(s), at, sealed)
	return n == 1, err
}

func retryJob(ctx context.Context, tx *db.Tx, j *Job, at int64, problem string) (bool, error) {
	sealed := tx.Keys().Seal(nil, []byte(problem), aad("problem", j.Practice, j.ID))
	n, err := tx.Exec(ctx, againJob, int64(j.Practice), j.ID, j.lease, at, sealed)
	return n == 1, err
}

// dueAt is when the practice next has work: a waiting job, or a lease that will end.
func dueAt(ctx context.Context, tx *db.Tx) (int64, error) {
	at := never
	for _, q := range []*db.Stmt{nextDue, nextEnd} {
		var n int64
		switch err := tx.QueryRow(ctx, q, int64(tx.Practice())).Scan(&n); {
		case errors.Is(err, db.ErrNoRows):
		case err != nil:
			return 0, err
		default:
			at = min(at, n)
		}
	}
	return at, nil
}

func deadLetters(ctx context.Context, tx *db.Tx, limit int) ([]Letter, error) {
	rows, err := tx.Query(ctx, listDead, int64(tx.Practice()), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Letter
	for rows.Next() {
		var l Letter
		var at, attempt int64
		var sealed []byte
		if err := rows.Scan(&l.ID, &l.Kind, &attempt, &at, &sealed); err != nil {
			return nil, err
		}
		text, err := tx.Keys().Open(nil, sealed, aad("problem", tx.Practice(), l.ID))
		if err != nil {
			text = []byte("The stored text is damaged.")
		}
		l.Attempts, l.At, l.Problem = int(attempt), time.UnixMicro(at).UTC(), string(text)
		out = append(out, l)
	}
	return out, rows.Err()
}

func reviveJob(ctx context.Context, tx *db.Tx, id int64) (bool, error) {
	n, err := tx.Exec(ctx, reviveDead, int64(tx.Practice()), id, tx.NowMicro())
	if err == nil && n == 1 && tx.Engine() == db.PostgreSQL {
		tx.Queue(tellDue, int64(tx.Practice()), tx.NowMicro())
	}
	return n == 1, err
}

// sweep removes what has been done for longer than keep.
func sweep(ctx context.Context, tx *db.Tx, before int64) error {
	_, err := tx.Exec(ctx, sweepJobs, int64(tx.Practice()), before)
	return err
}
