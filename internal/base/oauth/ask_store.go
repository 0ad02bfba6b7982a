package oauth

import (
	"context"

	"yarrow.health/internal/base/db"
)

var (
	insertAskRow = db.SQL(`INSERT INTO oauth_ask (practice_id, ask, expires, body) VALUES ($1, $2, $3, $4)`)
	selectAsk    = db.SQL(`SELECT body FROM oauth_ask WHERE practice_id = $1 AND ask = $2 AND expires > $3`)
	takeAsk      = db.SQL(`DELETE FROM oauth_ask WHERE practice_id = $1 AND ask = $2 AND expires > $3`)
	sweepAsks    = db.SQL(`DELETE FROM oauth_ask WHERE practice_id = $1 AND expires < $2`)

	insertLaunchRow = db.SQL(`INSERT INTO oauth_launch (practice_id, launch, expires, used, body) VALUES ($1, $2, $3, 0, $4)`)
	selectLaunch    = db.SQL(`SELECT body FROM oauth_launch WHERE practice_id = $1 AND launch = $2 AND expires > $3 AND used = 0`)
	useLaunch       = db.SQL(`UPDATE oauth_launch SET used = $3 WHERE practice_id = $1 AND launch = $2 AND used = 0`)
	sweepLaunches   = db.SQL(`DELETE FROM oauth_launch WHERE practice_id = $1 AND expires < $2`)
)

func insertAsk(ctx context.Context, tx *db.Tx, id string, a ask) error {
	hash := digest(id)
	body, err := sealJSON(tx.Keys(), "oauth_ask|"+string(hash[:]), a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertAskRow, int64(tx.Practice()), hash[:], tx.Now().Add(askLasts).UnixMicro(), body)
	return err
}

// loadAsk reads a request that waits; db.ErrNoRows when there is none.
func loadAsk(ctx context.Context, tx *db.Tx, id string) (a ask, err error) {
	hash := digest(id)
	var body []byte
	if err := tx.QueryRow(ctx, selectAsk, int64(tx.Practice()), hash[:], tx.NowMicro()).Scan(&body); err != nil {
		return a, err
	}
	return a, openJSON(tx.Keys(), "oauth_ask|"+string(hash[:]), body, &a)
}

// answerAsk removes a request, so that it is answered once; false if it was answered meanwhile.
func answerAsk(ctx context.Context, tx *db.Tx, id string) (bool, error) {
	hash := digest(id)
	n, err := tx.Exec(ctx, takeAsk, int64(tx.Practice()), hash[:], tx.NowMicro())
	return n == 1, err
}

func insertLaunch(ctx context.Context, tx *db.Tx, token string, l launched) error {
	hash := digest(token)
	body, err := sealJSON(tx.Keys(), "oauth_launch|"+string(hash[:]), l)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertLaunchRow, int64(tx.Practice()), hash[:], tx.Now().Add(launchLasts).UnixMicro(), body)
	return err
}

// spendLaunch uses up a launch, whoever presents it, and gives what it was; db.ErrNoRows when there is none.
func spendLaunch(ctx context.Context, tx *db.Tx, token string) (l launched, err error) {
	hash := digest(token)
	var body []byte
	if err := tx.QueryRow(ctx, selectLaunch, int64(tx.Practice()), hash[:], tx.NowMicro()).Scan(&body); err != nil {
		return l, err
	}
	n, err := tx.Exec(ctx, useLaunch, int64(tx.Practice()), hash[:], tx.NowMicro())
	if err != nil {
		return l, err
	}
	if n != 1 {
		return l, db.ErrNoRows
	}
	return l, openJSON(tx.Keys(), "oauth_launch|"+string(hash[:]), body, &l)
}
