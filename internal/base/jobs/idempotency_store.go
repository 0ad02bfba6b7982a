package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Key names one request for which a client wants exactly one effect. It is scoped to the one who asks and the route, so that
// keys of others can neither be read nor blocked.
type Key struct {
	Principal string // who asks: "staff:12", "app:xyz"
	Route     string // "POST /{practice}/patients"
	Value     string // the client's own key
	Request   string // digest of what was asked; a different request under the same key is refused
}

// Reply is what was answered to the first request under a key.
type Reply struct {
	Status   int
	Location string
	Body     []byte
}

// ErrSameTime is inside the error of Keep when another request under the key has committed: ask Answered, in a new transaction.
var ErrSameTime = errors.New("jobs: the same request was carried out meanwhile")

// ErrOtherRequest is inside the error of Answered when the key was used for another request.
var ErrOtherRequest = errors.New("jobs: the key belongs to another request")

// keepReplies is how long an answer is kept under its key. A form that lies open for a quarter, or a program that was
// switched off that long, may still repeat itself without a second effect.
const keepReplies = 180 * 24 * time.Hour

// dropAtOnce is how many old answers one transaction deletes.
const dropAtOnce = 1000

var (
	dropReplies = db.SQL(`DELETE FROM idempotency WHERE practice_id = $1 AND h IN
		(SELECT h FROM idempotency WHERE practice_id = $1 AND at < $2 LIMIT $3)`)
	getReply  = db.SQL(`SELECT request, body FROM idempotency WHERE practice_id = $1 AND h = $2`)
	keepReply = db.SQL(`INSERT INTO idempotency (practice_id, h, request, at, body) VALUES ($1, $2, $3, $4, $5)`)
)

func (k Key) hashes(tx *db.Tx) (h, request int64) {
	return tx.Keys().Hash("idempotency", k.Principal, k.Route, k.Value), tx.Keys().Hash("request", k.Request)
}

// Answered looks whether the request was answered before. It gives the stored reply, nil when the request is new, and a
// conflict Issue when the key was used for another request. Call it first in the transaction of the effect.
func Answered(ctx context.Context, tx *db.Tx, k Key) (*Reply, error) {
	h, request := k.hashes(tx)
	var was int64
	var sealed []byte
	err := tx.QueryRow(ctx, getReply, int64(tx.Practice()), h).Scan(&was, &sealed)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if was != request {
		return nil, fhir.Problem("conflict", "This idempotency key was used before for a different request.", "Send a new key with each new request, and the same key only when repeating one.").Because(ErrOtherRequest)
	}
	body, err := tx.Keys().Open(nil, sealed, aad("idempotency", tx.Practice(), h))
	if err != nil {
		return nil, err
	}
	var r Reply
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Keep stores the answer in the transaction of the effect, for [Queue.ForgetReplies] to delete half a year later. Two transactions that
// race under one key cannot both commit: the second meets the first's row.
func Keep(ctx context.Context, tx *db.Tx, k Key, r Reply) error {
	h, request := k.hashes(tx)
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, keepReply, int64(tx.Practice()), h, request, tx.NowMicro(), tx.Keys().Seal(nil, body, aad("idempotency", tx.Practice(), h)))
	if db.IsUnique(err) {
		return fhir.Problem("conflict", "The same request is being worked on at this moment.", "Ask again in a second; you will get its answer.").Because(ErrSameTime)
	}
	return err
}

// ForgetReplies deletes what was kept so long ago that nobody repeats the request. It runs every day by itself for
// practices; for the system store somebody calls it.
func (q *Queue) ForgetReplies(ctx context.Context, p db.PracticeID) error {
	for n := int64(dropAtOnce); n == dropAtOnce; {
		err := q.db.Do(ctx, q.scope(p), func(tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, dropReplies, int64(p), tx.Now().Add(-keepReplies).UnixMicro(), int64(dropAtOnce))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
