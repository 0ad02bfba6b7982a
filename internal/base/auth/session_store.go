package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	insertSession = db.InsertInto("session", "practice_id", "token", "id", "practice", "user_id", "proof", "created",
		"seen", "proved", "expires", "locked", "ended", "body")
	sessionOf = db.SQL(`SELECT s.id, s.practice, s.user_id, s.proof, s.seen, s.proved, s.expires, s.locked,
			u.body, m.roles, m.practitioner
		FROM session s
		JOIN users u ON u.practice_id = $1 AND u.id = s.user_id
		JOIN membership m ON m.practice_id = $1 AND m.practice = s.practice AND m.user_id = s.user_id
		WHERE s.practice_id = $1 AND s.token = $2 AND s.ended = '' AND u.state = $3 AND m.state = $3`)
	lockSession   = db.SQL(`UPDATE session SET locked = 1 WHERE practice_id = $1 AND token = $2`)
	rotateSession = db.SQL(`UPDATE session SET token = $3, locked = 0, seen = $4, proved = $4, proof = $5
		WHERE practice_id = $1 AND token = $2 AND ended = ''`)
	proveSession  = db.SQL(`UPDATE session SET proved = $3 WHERE practice_id = $1 AND user_id = $2 AND id = $4 AND ended = ''`)
	raiseSession  = db.SQL(`UPDATE session SET proof = proof | $3 WHERE practice_id = $1 AND user_id = $2 AND id = $4 AND ended = ''`)
	touchOne      = db.SQL(`UPDATE session SET seen = $3 WHERE practice_id = $1 AND token = $2 AND seen < $3 AND locked = 0`)
	endOne        = db.SQL(`UPDATE session SET ended = $3 WHERE practice_id = $1 AND token = $2 AND ended = ''`)
	endByID       = db.SQL(`UPDATE session SET ended = $3 WHERE practice_id = $1 AND user_id = $2 AND id = $4 AND ended = ''`)
	endAll        = db.SQL(`UPDATE session SET ended = $3 WHERE practice_id = $1 AND user_id = $2 AND ended = ''`)
	endInPractice = db.SQL(`UPDATE session SET ended = $3 WHERE practice_id = $1 AND user_id = $2 AND practice = $4 AND ended = ''`)
	endOthers     = db.SQL(`UPDATE session SET ended = $3 WHERE practice_id = $1 AND user_id = $2 AND id <> $4 AND ended = ''`)
	openSessions  = db.SQL(`SELECT id, practice, created, seen, locked, body FROM session
		WHERE practice_id = $1 AND user_id = $2 AND ended = '' AND expires > $3 ORDER BY created DESC`)
	continued = db.SQL(`SELECT proof, proved, expires FROM session
		WHERE practice_id = $1 AND user_id = $2 AND id = $3 AND ended = '' AND locked = 0`)
	practicesOf     = db.SQL(`SELECT practice FROM membership WHERE practice_id = $1 AND user_id = $2 AND state = $3`)
	sweepSessions   = db.SQL(`DELETE FROM session WHERE practice_id = $1 AND expires < $2`)
	sweepChallenges = db.SQL(`DELETE FROM used_challenge WHERE practice_id = $1 AND expires < $2`)
	sweepCodes      = db.SQL(`DELETE FROM one_use_code WHERE practice_id = $1 AND expires < $2`)
)

// sessionBody is what is sealed in session.body.
type sessionBody struct {
	Address string `json:"address"`
	Browser string `json:"browser"`
	Device  string `json:"device,omitempty"` // Device.ID
}

func sessionPlace(id int64) []byte { return fmt.Appendf(nil, "session|%d", id) }

// origin is the session that a new one continues in another practice; the zero origin is a sign-in.
type origin struct {
	proved  time.Time
	expires time.Time
}

// newSession stores a session and returns its token and number.
func newSession(tx *db.Tx, p Practice, user int64, how proof, from origin, remote, agent string) (token string, id SessionID, err error) {
	var random [8]byte
	rand.Read(random[:])
	id = SessionID(binary.BigEndian.Uint64(random[:]) >> 1)
	token = newToken()
	hash := digest(token)
	body, err := sealJSON(tx.Keys(), sessionPlace(int64(id)), sessionBody{Address: hostOf(remote), Browser: browserFamily(agent)})
	if err != nil {
		return "", 0, err
	}
	now, proved, expires := tx.Now(), tx.Now(), tx.Now().Add(p.Settings.Absolute)
	if !from.expires.IsZero() {
		proved = from.proved
		if from.expires.Before(expires) {
			expires = from.expires
		}
	}
	tx.InsertMany(insertSession, [][]any{{0, hash[:], int64(id), int64(p.ID), user, int64(how), now.UnixMicro(),
		now.UnixMicro(), proved.UnixMicro(), expires.UnixMicro(), 0, "", body}})
	return token, id, nil
}

// loadSession reads an open session; nil when there is none. Its practice has only the ID.
func loadSession(ctx context.Context, tx *db.Tx, token [sha256.Size]byte) (*cached, error) {
	e := &cached{token: token}
	var id, practice, how, seen, proved, expires, locked, roles int64
	var body []byte
	err := tx.QueryRow(ctx, sessionOf, 0, token[:], stateActive).Scan(&id, &practice, &e.user, &how, &seen, &proved,
		&expires, &locked, &body, &roles, &e.practitioner)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var b userBody
	if err := openJSON(tx.Keys(), userPlace(e.user), body, &b); err != nil {
		return nil, err
	}
	e.id, e.practice.ID, e.proof, e.roles = SessionID(id), db.PracticeID(practice), proof(how), roleSet(roles)
	e.name, e.locale, e.locked = b.Display, b.Locale, locked != 0
	e.seen, e.proved, e.expires = instant(seen), instant(proved), instant(expires)
	e.persisted = e.seen
	if e.practitioner != "" {
		e.practitioner = "Practitioner/" + e.practitioner
	}
	return e, nil
}

// continueFrom reads how a person proved to be themself in an open session, and how long it lasts.
func continueFrom(ctx context.Context, tx *db.Tx, s Staff) (how proof, from origin, err error) {
	var p, proved, expires int64
	err = tx.QueryRow(ctx, continued, 0, s.UserID(), int64(s.session)).Scan(&p, &proved, &expires)
	if errors.Is(err, db.ErrNoRows) {
		err = signedOut()
	}
	return proof(p), origin{instant(proved), instant(expires)}, err
}

// memberOf lists the practices a person belongs to.
func memberOf(ctx context.Context, tx *db.Tx, user int64) (map[db.PracticeID]bool, error) {
	rows, err := tx.Query(ctx, practicesOf, 0, user, stateActive)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[db.PracticeID]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out[db.PracticeID(id)] = true
	}
	return out, rows.Err()
}

func instant(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func setLocked(ctx context.Context, tx *db.Tx, token [sha256.Size]byte) error {
	_, err := tx.Exec(ctx, lockSession, 0, token[:])
	return err
}

// rotate gives a session a new token, unlocked and freshly proved. It fails when the session ended meanwhile.
func rotate(ctx context.Context, tx *db.Tx, old [sha256.Size]byte, how proof) (string, error) {
	token := newToken()
	hash := digest(token)
	n, err := tx.Exec(ctx, rotateSession, 0, old[:], hash[:], tx.NowMicro(), int64(how))
	if err == nil && n == 0 {
		err = signedOut()
	}
	return token, err
}

func touchSession(tx *db.Tx, token [sha256.Size]byte, seen time.Time) {
	tx.Queue(touchOne, 0, token[:], seen.UnixMicro())
}

func endSession(ctx context.Context, tx *db.Tx, token [sha256.Size]byte, why string) error {
	_, err := tx.Exec(ctx, endOne, 0, token[:], why)
	return err
}

func endSessionByID(ctx context.Context, tx *db.Tx, user int64, id SessionID) error {
	_, err := tx.Exec(ctx, endByID, 0, user, "ended from another session", int64(id))
	return err
}

// endSessions ends a person's sessions in a practice, or everywhere for practice 0.
func endSessions(ctx context.Context, tx *db.Tx, p db.PracticeID, user int64, why string) error {
	var err error
	if p == 0 {
		_, err = tx.Exec(ctx, endAll, 0, user, why)
	} else {
		_, err = tx.Exec(ctx, endInPractice, 0, user, why, int64(p))
	}
	return err
}

// factorAdded is the end of every change of credentials by the person: other sessions end, the present one counts
// as having proved the new factor.
func (a *Auth) factorAdded(ctx context.Context, tx *db.Tx, s Staff, added proof) error {
	tx.Queue(endOthers, 0, s.UserID(), "credentials changed", int64(s.session))
	_, err := tx.Exec(ctx, raiseSession, 0, s.UserID(), int64(added), int64(s.session))
	return err
}

func listSessions(ctx context.Context, tx *db.Tx, user int64) ([]SessionEntry, error) {
	rows, err := tx.Query(ctx, openSessions, 0, user, tx.NowMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []SessionEntry
	for rows.Next() {
		var e SessionEntry
		var id, practice, created, seen, locked int64
		var body []byte
		if err := rows.Scan(&id, &practice, &created, &seen, &locked, &body); err != nil {
			return nil, err
		}
		var b sessionBody
		if err := openJSON(tx.Keys(), sessionPlace(id), body, &b); err != nil {
			return nil, err
		}
		e = SessionEntry{SessionID(id), db.PracticeID(practice), b.Address, b.Browser, instant(created), instant(seen), locked != 0, b.Device}
		out = append(out, e)
	}
	return out, rows.Err()
}

// keepSessions is how long ended and expired sessions stay for the person's list and for questions.
const keepSessions = 30 * 24 * time.Hour

// Sweep deletes what has no use any more: sessions long over, expired codes and challenges, failures forgotten. A
// job calls it daily.
func (a *Auth) Sweep(ctx context.Context) error {
	return a.db.Do(ctx, system("sweep"), func(tx *db.Tx) error {
		tx.Queue(sweepSessions, 0, tx.Now().Add(-keepSessions).UnixMicro())
		tx.Queue(sweepChallenges, 0, tx.NowMicro())
		tx.Queue(sweepCodes, 0, tx.NowMicro())
		_, err := tx.Exec(ctx, sweepThrottle, 0, tx.Now().Add(-byLogin.quiet).UnixMicro())
		return err
	})
}
