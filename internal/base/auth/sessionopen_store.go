package auth

import (
	"context"

	"yarrow.health/internal/base/db"
)

var sessionStands = db.SQL(`SELECT count(*) FROM session WHERE practice_id = $1 AND user_id = $2 AND id = $3 AND practice = $4 AND ended = '' AND expires > $5`)

// SessionOpen says whether a person's session in a practice has neither ended nor expired; a locked one is open. It asks the
// database each time: programs that act only while somebody is signed in remember the answer for a second at most.
func (a *Auth) SessionOpen(ctx context.Context, p db.PracticeID, user int64, id SessionID) (bool, error) {
	var n int64
	err := a.db.View(ctx, system("session"), func(tx *db.Tx) error {
		return tx.QueryRow(ctx, sessionStands, 0, user, int64(id), int64(p), tx.NowMicro()).Scan(&n)
	})
	return n > 0, err
}
