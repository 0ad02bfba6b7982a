package jobs

import (
	"context"
	"errors"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

var (
	addEvent  = db.SQL(`INSERT INTO outbox (practice_id, seq, kind, at, body) VALUES ($1, $2, $3, $4, $5)`)
	getEvents = db.SQL(`SELECT seq, kind, at, body FROM outbox WHERE practice_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`)
	getMark   = db.SQL(`SELECT seq FROM outbox_reader WHERE practice_id = $1 AND name = $2`)
	setMark   = db.SQL(`INSERT INTO outbox_reader (practice_id, name, seq) VALUES ($1, $2, $3)
		ON CONFLICT (practice_id, name) DO UPDATE SET seq = excluded.seq`)
	// An event goes when it is old and every reader that exists has passed it.
	dropEvents = db.SQL(`DELETE FROM outbox WHERE practice_id = $1 AND at < $2
		AND NOT EXISTS (SELECT 1 FROM outbox_reader r WHERE r.practice_id = $1 AND r.seq < outbox.seq)`)
)

// saveEvent numbers events by a counter row, whose lock makes commit order and number order the same on PostgreSQL.
func saveEvent(ctx context.Context, tx *db.Tx, kind string, body []byte) (int64, error) {
	seq, err := number(ctx, tx, "outbox")
	if err != nil {
		return 0, err
	}
	p := tx.Practice()
	tx.Queue(addEvent, int64(p), seq, kind, tx.NowMicro(), tx.Keys().Seal(nil, body, aad("outbox", p, seq)))
	return seq, nil
}

func eventsAfter(ctx context.Context, tx *db.Tx, mark int64, limit int) ([]Event, error) {
	rows, err := tx.Query(ctx, getEvents, int64(tx.Practice()), mark, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Event
	for rows.Next() {
		var e Event
		var at int64
		var sealed []byte
		if err := rows.Scan(&e.Seq, &e.Kind, &at, &sealed); err != nil {
			return nil, err
		}
		if e.payload, err = tx.Keys().Open(nil, sealed, aad("outbox", tx.Practice(), e.Seq)); err != nil {
			return nil, err
		}
		e.At = time.UnixMicro(at).UTC()
		out = append(out, e)
	}
	return out, rows.Err()
}

func readerMark(ctx context.Context, tx *db.Tx, name string) (n int64, err error) {
	err = tx.QueryRow(ctx, getMark, int64(tx.Practice()), name).Scan(&n)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func setReaderMark(ctx context.Context, tx *db.Tx, name string, seq int64) error {
	_, err := tx.Exec(ctx, setMark, int64(tx.Practice()), name, seq)
	return err
}

func sweepOutbox(ctx context.Context, tx *db.Tx, before int64) error {
	_, err := tx.Exec(ctx, dropEvents, int64(tx.Practice()), before)
	return err
}

// learnDue reads what other nodes have queued, and corrects the shared list from what this node knows.
func (q *Queue) learnDue(ctx context.Context) error {
	type due struct {
		p  db.PracticeID
		at int64
	}
	var found []due
	now := q.clock.Now().UnixMicro()
	err := q.db.View(ctx, auth.SystemScope(0, "jobs"), func(tx *db.Tx) error {
		rows, err := tx.Query(ctx, listDue, now)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d due
			var p int64
			if err := rows.Scan(&p, &d.at); err != nil {
				return err
			}
			d.p = db.PracticeID(p)
			found = append(found, d)
		}
		return rows.Err()
	})
	if err != nil || len(found) == 0 {
		return err
	}
	for _, d := range found {
		at := never
		if err := q.db.Do(ctx, q.scope(d.p), func(tx *db.Tx) (err error) {
			if at, err = dueAt(ctx, tx); err == nil {
				// Never earlier than the next look, so that a practice whose work is under way is not read again and again.
				_, err = tx.Exec(ctx, setDue, int64(d.p), max(at, now+pollEvery.Microseconds()))
			}
			return err
		}); err != nil {
			return err
		}
		if at <= now {
			q.wake(d.p, at)
		}
	}
	return nil
}
