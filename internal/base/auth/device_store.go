package auth

import (
	"context"
	"crypto/sha256"

	"yarrow.health/internal/base/db"
)

var (
	insertDevice = db.InsertInto("known_device", "practice_id", "user_id", "device", "created", "used", "body")
	deviceOf     = db.SQL(`SELECT count(*) FROM known_device WHERE practice_id = $1 AND user_id = $2 AND device = $3 AND used > $4`)
	dropOne      = db.SQL(`DELETE FROM known_device WHERE practice_id = $1 AND user_id = $2 AND device = $3`)
	useDevice    = db.SQL(`UPDATE known_device SET used = $4 WHERE practice_id = $1 AND user_id = $2 AND device = $3`)
	strongOnly   = db.SQL(`SELECT proof FROM session WHERE practice_id = $1 AND user_id = $2 AND id = $3 AND ended = ''`)
	dropOldest   = db.SQL(`DELETE FROM known_device WHERE practice_id = $1 AND user_id = $2 AND used < $3`)
)

func deviceKnown(ctx context.Context, tx *db.Tx, user int64, device [sha256.Size]byte) (bool, error) {
	var n int64
	err := tx.QueryRow(ctx, deviceOf, 0, user, device[:], tx.Now().Add(-deviceFor).UnixMicro()).Scan(&n)
	return n > 0, err
}

func rememberDevice(ctx context.Context, tx *db.Tx, s Staff, device [sha256.Size]byte, agent string) error {
	var how int64
	if err := tx.QueryRow(ctx, strongOnly, 0, s.UserID(), int64(s.session)).Scan(&how); err != nil {
		return err
	}
	if !proof(how).strong() {
		return forbidden()
	}
	body, err := sealJSON(tx.Keys(), device[:], sessionBody{Browser: browserFamily(agent)})
	if err != nil {
		return err
	}
	tx.Queue(dropOldest, 0, s.UserID(), tx.Now().Add(-deviceFor).UnixMicro())
	tx.InsertMany(insertDevice, [][]any{{0, s.UserID(), device[:], tx.NowMicro(), tx.NowMicro(), body}})
	return nil
}

// dropDevice forgets a device from which too many attempts failed.
func (a *Auth) dropDevice(ctx context.Context, at *attempt, who person) {
	if !at.known || at.subjects[0].failures < deviceFailures {
		return
	}
	device := deviceHash(at.device)
	// Should this fail, the next failed attempt tries again.
	_ = a.db.Do(ctx, system("forget device"), func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, dropOne, 0, who.id, device[:])
		return err
	})
}

// recoveryThere says whether a code is an unused recovery code of somebody. It asks for nobody's too.
func recoveryThere(ctx context.Context, tx *db.Tx, user int64, code string) (n int64, err error) {
	key := codeKey(tx.Keys(), user, kindRecovery, plainCode(code))
	err = tx.QueryRow(ctx, codeThere, 0, user, kindRecovery, key, tx.NowMicro()).Scan(&n)
	return n, err
}
