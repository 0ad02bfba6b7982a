package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

var (
	insertDevice  = db.InsertInto("known_device", "practice_id", "user_id", "device", "created", "used", "body")
	deviceOf      = db.SQL(`SELECT count(*) FROM known_device WHERE practice_id = $1 AND user_id = $2 AND device = $3 AND used > $4`)
	devicesOf     = db.SQL(`SELECT device, created, used, body FROM known_device WHERE practice_id = $1 AND user_id = $2 AND used > $3 ORDER BY used DESC`)
	countDevices  = db.SQL(`SELECT count(*) FROM known_device WHERE practice_id = $1 AND user_id = $2 AND used > $3`)
	usedAgain     = db.SQL(`UPDATE known_device SET used = $4, body = $5 WHERE practice_id = $1 AND user_id = $2 AND device = $3`)
	dropNamed     = db.SQL(`DELETE FROM known_device WHERE practice_id = $1 AND user_id = $2 AND device >= $3 AND device <= $4`)
	bodyOfSession = db.SQL(`SELECT body FROM session WHERE practice_id = $1 AND user_id = $2 AND id = $3 AND ended = ''`)
	placeSession  = db.SQL(`UPDATE session SET body = $4 WHERE practice_id = $1 AND user_id = $2 AND id = $3 AND ended = ''`)
	dropOne       = db.SQL(`DELETE FROM known_device WHERE practice_id = $1 AND user_id = $2 AND device = $3`)
	useDevice     = db.SQL(`UPDATE known_device SET used = $4 WHERE practice_id = $1 AND user_id = $2 AND device = $3`)
	strongOnly    = db.SQL(`SELECT proof FROM session WHERE practice_id = $1 AND user_id = $2 AND id = $3 AND ended = ''`)
	dropOldest    = db.SQL(`DELETE FROM known_device WHERE practice_id = $1 AND user_id = $2 AND used < $3`)
)

func deviceKnown(ctx context.Context, tx *db.Tx, user int64, device [sha256.Size]byte) (bool, error) {
	var n int64
	err := tx.QueryRow(ctx, deviceOf, 0, user, device[:], tx.Now().Add(-deviceFor).UnixMicro()).Scan(&n)
	return n > 0, err
}

// deviceBody is what is sealed in known_device.body.
type deviceBody struct {
	Address  string `json:"address,omitempty"`
	Browser  string `json:"browser"`
	Practice int64  `json:"practice,omitempty"` // whose cookie it is
	Passkey  bool   `json:"passkey,omitempty"`
}

// seenDevice is what is known of a device before it is remembered.
type seenDevice struct {
	how    proof  // of the session that asks
	known  bool   // to the person
	given  string // the token for it when it is not: the same if it was given out here, to somebody else at that browser
	others int64  // devices of the person
}

func lookAtDevice(ctx context.Context, tx *db.Tx, s Staff, device string) (d seenDevice, err error) {
	var how int64
	if err := tx.QueryRow(ctx, strongOnly, 0, s.UserID(), int64(s.session)).Scan(&how); err != nil {
		return d, err
	}
	if d.how = proof(how); !d.how.strong() {
		return d, forbidden()
	}
	if d.known, err = deviceKnown(ctx, tx, s.UserID(), deviceHash(device)); err != nil {
		return d, err
	}
	marked := func(random string) string {
		return fmt.Sprintf("%s.%016x", random, uint64(tx.Keys().Hash("device.given", random)))
	}
	random, _, _ := strings.Cut(device, ".")
	if d.given = marked(random); random == "" || d.given != device {
		d.given = marked(newToken()) // what somebody else made up is not taken over
	}
	return d, tx.QueryRow(ctx, countDevices, 0, s.UserID(), tx.Now().Add(-deviceFor).UnixMicro()).Scan(&d.others)
}

// rememberDevice stores a device and that the session is in it.
func rememberDevice(ctx context.Context, tx *db.Tx, s Staff, device [sha256.Size]byte, b deviceBody, known bool) error {
	body, err := sealJSON(tx.Keys(), device[:], b)
	if err != nil {
		return err
	}
	tx.Queue(dropOldest, 0, s.UserID(), tx.Now().Add(-deviceFor).UnixMicro())
	if known {
		tx.Queue(usedAgain, 0, s.UserID(), device[:], tx.NowMicro(), body)
	} else {
		tx.InsertMany(insertDevice, [][]any{{0, s.UserID(), device[:], tx.NowMicro(), tx.NowMicro(), body}})
	}
	var sealed []byte
	if err := tx.QueryRow(ctx, bodyOfSession, 0, s.UserID(), int64(s.session)).Scan(&sealed); err != nil {
		return err
	}
	var in sessionBody
	if err := openJSON(tx.Keys(), sessionPlace(int64(s.session)), sealed, &in); err != nil {
		return err
	}
	in.Device = deviceID(device[:])
	if in.Browser == "" { // a demonstration's people sign in without saying from where
		in.Address, in.Browser = b.Address, b.Browser
	}
	if sealed, err = sealJSON(tx.Keys(), sessionPlace(int64(s.session)), in); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, placeSession, 0, s.UserID(), int64(s.session), sealed)
	return err
}

// listDevices lists a person's devices, in a practice or for 0 in all.
func listDevices(ctx context.Context, tx *db.Tx, user int64, p db.PracticeID) (out []Device, err error) {
	rows, err := tx.Query(ctx, devicesOf, 0, user, tx.Now().Add(-deviceFor).UnixMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var hash, body []byte
		var created, used int64
		if err := rows.Scan(&hash, &created, &used, &body); err != nil {
			return nil, err
		}
		var b deviceBody
		if err := openJSON(tx.Keys(), hash, body, &b); err != nil {
			return nil, err
		}
		if p == 0 || b.Practice == int64(p) {
			out = append(out, Device{ID: deviceID(hash), Address: b.Address, Browser: b.Browser, Passkey: b.Passkey, First: instant(created), Seen: instant(used)})
		}
	}
	return out, rows.Err()
}

// forgetDevice deletes a device of a person and ends the sessions in it; those of one practice, or for 0 all.
func forgetDevice(ctx context.Context, tx *db.Tx, p db.PracticeID, user int64, id string) error {
	mine, err := listDevices(ctx, tx, user, p)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(mine, func(d Device) bool { return d.ID == id }) {
		return fhir.Problem("not-found", "This device is not in the list.", "It may have been forgotten already; look at the list again.")
	}
	first, err := hex.DecodeString(id)
	if err != nil {
		return err
	}
	after := bytes.Repeat([]byte{0xff}, sha256.Size)
	copy(after, first)
	tx.Queue(dropNamed, 0, user, first, after)
	open, err := listSessions(ctx, tx, user)
	if err != nil {
		return err
	}
	for _, e := range open {
		if e.Device == id && (p == 0 || e.Practice == p) {
			tx.Queue(endByID, 0, user, "its device was forgotten", int64(e.ID))
		}
	}
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
