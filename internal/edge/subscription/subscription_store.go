package subscription

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	insertRow  = db.InsertInto("subscription", "practice_id", "h", "state", "step", "n", "sent", "delivered", "due", "lease", "body")
	columns    = `h, state, step, n, sent, delivered, due, lease, body`
	selectOne  = db.SQL(`SELECT ` + columns + ` FROM subscription WHERE practice_id = $1 AND h = $2`)
	selectAll  = db.SQL(`SELECT ` + columns + ` FROM subscription WHERE practice_id = $1 ORDER BY h`)
	updateRow  = db.SQL(`UPDATE subscription SET state = $4, step = step + 1, sent = $5, delivered = $6, due = $7, lease = $8, body = $9 WHERE practice_id = $1 AND h = $2 AND step = $3`)
	updateN    = db.SQL(`UPDATE subscription SET n = $3 WHERE practice_id = $1 AND h = $2`)
	updateSent = db.SQL(`UPDATE subscription SET sent = $3, delivered = $4 WHERE practice_id = $1 AND h = $2 AND sent < $3`)
	takeLease  = db.SQL(`UPDATE subscription SET lease = $3 WHERE practice_id = $1 AND h = $2 AND step = $4 AND lease <= $5`)
	dropRow    = db.SQL(`DELETE FROM subscription WHERE practice_id = $1 AND h = $2`)

	insertEvent  = db.InsertInto("subscription_event", "practice_id", "h", "n", "at", "body")
	selectEvents = db.SQL(`SELECT n, at, body FROM subscription_event WHERE practice_id = $1 AND h = $2 AND n >= $3 AND n <= $4 ORDER BY n LIMIT $5`)
	dropEvents   = db.SQL(`DELETE FROM subscription_event WHERE practice_id = $1 AND h = $2`)
	dropOld      = db.SQL(`DELETE FROM subscription_event WHERE practice_id = $1 AND at < $2`)

	selectMark = db.SQL(`SELECT seq FROM subscription_mark WHERE practice_id = $1`)
	insertMark = db.SQL(`INSERT INTO subscription_mark (practice_id, seq) VALUES ($1, $2) ON CONFLICT (practice_id) DO UPDATE SET seq = excluded.seq`)
	moveMark   = db.SQL(`UPDATE subscription_mark SET seq = $3 WHERE practice_id = $1 AND seq = $2`)

	insertHost  = db.SQL(`INSERT INTO subscription_host (practice_id, h, body) VALUES ($1, $2, $3) ON CONFLICT (practice_id, h) DO UPDATE SET body = excluded.body`)
	selectHosts = db.SQL(`SELECT h, body FROM subscription_host WHERE practice_id = $1`)
	selectHost  = db.SQL(`SELECT h, body FROM subscription_host WHERE practice_id = $1 AND h = $2`)
	dropHost    = db.SQL(`DELETE FROM subscription_host WHERE practice_id = $1 AND h = $2`)
)

func hashOf(tx *db.Tx, id string) int64 { return tx.Keys().Hash("subscription", id) }

func hostHash(tx *db.Tx, host string) int64 { return tx.Keys().Hash("subscription host", host) }

// seal writes a value, bound to its row.
func seal(tx *db.Tx, v any, what string, numbers ...int64) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return tx.Keys().Seal(nil, plain, place(tx.Practice(), what, numbers...)), nil
}

func open(tx *db.Tx, sealed []byte, v any, what string, numbers ...int64) error {
	plain, err := tx.Keys().Open(nil, sealed, place(tx.Practice(), what, numbers...))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

func place(p db.PracticeID, what string, numbers ...int64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(what+"|"), uint64(p))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func insertSub(tx *db.Tx, s *sub) error {
	body, err := seal(tx, s, "subscription", s.h)
	if err == nil {
		tx.InsertMany(insertRow, [][]any{{int64(tx.Practice()), s.h, int64(s.state), s.step, s.n, s.sent, s.delivered, s.due, s.lease, body}})
	}
	return err
}

// storeSub stores everything but the number of the last event. ok is false when somebody else has stored something since it was read.
func storeSub(ctx context.Context, tx *db.Tx, s *sub) (ok bool, err error) {
	body, err := seal(tx, s, "subscription", s.h)
	if err != nil {
		return false, err
	}
	changed, err := tx.Exec(ctx, updateRow, int64(tx.Practice()), s.h, s.step, int64(s.state), s.sent, s.delivered, s.due, s.lease, body)
	if changed == 1 {
		s.step++
	}
	return changed == 1, err
}

type scanner interface{ Scan(dest ...any) error }

func scanSub(tx *db.Tx, from scanner) (*sub, error) {
	s := &sub{}
	var state int64
	var body []byte
	if err := from.Scan(&s.h, &state, &s.step, &s.n, &s.sent, &s.delivered, &s.due, &s.lease, &body); err != nil {
		return nil, err
	}
	s.state = status(state)
	return s, open(tx, body, s, "subscription", s.h)
}

// loadSub reads a subscription; nil when there is none.
func loadSub(ctx context.Context, tx *db.Tx, id string) (*sub, error) {
	s, err := scanSub(tx, tx.QueryRow(ctx, selectOne, int64(tx.Practice()), hashOf(tx, id)))
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return s, err
}

func loadSubs(ctx context.Context, tx *db.Tx) (out []*sub, err error) {
	rows, err := tx.Query(ctx, selectAll, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scanSub(tx, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

func deleteSub(ctx context.Context, tx *db.Tx, h int64) error {
	if _, err := tx.Exec(ctx, dropEvents, int64(tx.Practice()), h); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, dropRow, int64(tx.Practice()), h)
	return err
}

// leased takes the right to send for a subscription until a time, unless somebody has it.
func leased(ctx context.Context, tx *db.Tx, s *sub, until int64) (bool, error) {
	n, err := tx.Exec(ctx, takeLease, int64(tx.Practice()), s.h, until, s.step, tx.NowMicro())
	s.lease = until
	return n == 1, err
}

// addEvents numbers and stores events.
func addEvents(ctx context.Context, tx *db.Tx, s *sub, events []event) error {
	changed, err := tx.Exec(ctx, updateN, int64(tx.Practice()), s.h, s.n+int64(len(events)))
	if err != nil || changed == 0 { // it was deleted meanwhile
		return err
	}
	rows := make([][]any, 0, len(events))
	for i, e := range events {
		e.n = s.n + int64(i) + 1
		body, err := seal(tx, e, "subscription_event", s.h, e.n)
		if err != nil {
			return err
		}
		rows = append(rows, []any{int64(tx.Practice()), s.h, e.n, e.at, body})
	}
	tx.InsertMany(insertEvent, rows)
	return nil
}

// loadEvents reads events by number, both ends included, at most some.
func loadEvents(ctx context.Context, tx *db.Tx, h, from, to int64, most int) (out []event, err error) {
	rows, err := tx.Query(ctx, selectEvents, int64(tx.Practice()), h, from, to, int64(most))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e event
		var body []byte
		if err := rows.Scan(&e.n, &e.at, &body); err != nil {
			return nil, err
		}
		if err := open(tx, body, &e, "subscription_event", h, e.n); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func forgetEvents(ctx context.Context, tx *db.Tx, before time.Time) error {
	_, err := tx.Exec(ctx, dropOld, int64(tx.Practice()), before.UnixMicro())
	return err
}

// mark is up to which change events have been made; ok is false before the first subscription.
func mark(ctx context.Context, tx *db.Tx) (seq int64, ok bool, err error) {
	err = tx.QueryRow(ctx, selectMark, int64(tx.Practice())).Scan(&seq)
	if errors.Is(err, db.ErrNoRows) {
		return 0, false, nil
	}
	return seq, err == nil, err
}

// setMark moves the mark if it is where it was read.
func setMark(ctx context.Context, tx *db.Tx, from, to int64) (bool, error) {
	n, err := tx.Exec(ctx, moveMark, int64(tx.Practice()), from, to)
	return n == 1, err
}

func startMark(ctx context.Context, tx *db.Tx, at int64) error {
	_, err := tx.Exec(ctx, insertMark, int64(tx.Practice()), at)
	return err
}

// sentUpTo notes what readers of a stream have taken.
func sentUpTo(ctx context.Context, tx *db.Tx, h, n int64) error {
	_, err := tx.Exec(ctx, updateSent, int64(tx.Practice()), h, n, tx.NowMicro())
	return err
}

func storeHost(ctx context.Context, tx *db.Tx, host Host) error {
	h := hostHash(tx, host.Name)
	body, err := seal(tx, host, "subscription_host", h)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertHost, int64(tx.Practice()), h, body)
	return err
}

func loadHosts(ctx context.Context, tx *db.Tx) (out []Host, err error) {
	return hostsOf(tx.Query(ctx, selectHosts, int64(tx.Practice())))(tx)
}

// loadHost reads what is known of a host; nil when it may not be sent to.
func loadHost(ctx context.Context, tx *db.Tx, name string) (*Host, error) {
	all, err := hostsOf(tx.Query(ctx, selectHost, int64(tx.Practice()), hostHash(tx, name)))(tx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func hostsOf(rows *db.Rows, err error) func(tx *db.Tx) ([]Host, error) {
	return func(tx *db.Tx) (out []Host, _ error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var h int64
			var body []byte
			if err := rows.Scan(&h, &body); err != nil {
				return nil, err
			}
			var one Host
			if err := open(tx, body, &one, "subscription_host", h); err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		return out, rows.Err()
	}
}

func deleteHost(ctx context.Context, tx *db.Tx, name string) error {
	_, err := tx.Exec(ctx, dropHost, int64(tx.Practice()), hostHash(tx, name))
	return err
}
