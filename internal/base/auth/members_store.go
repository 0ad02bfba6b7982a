package auth

import (
	"bytes"
	"context"
	"errors"

	"yarrow.health/internal/base/db"
)

var (
	membersIn = db.SQL(`SELECT u.id, u.handle, u.password, u.body, u.totp, u.totp_step, u.state, m.state, m.roles, m.practitioner
		FROM membership m JOIN users u ON u.practice_id = $1 AND u.id = m.user_id
		WHERE m.practice_id = $1 AND m.practice = $2 ORDER BY u.id`)
	accountOf   = db.SQL(`SELECT id, handle FROM users WHERE practice_id = $1 AND login = $2`)
	accountWith = db.SQL(`SELECT id FROM users WHERE practice_id = $1 AND handle = $2`)
	userNumber  = db.SQL(`SELECT count(*) FROM users WHERE practice_id = $1 AND id = $2`)
	raiseSeries = db.SQL(`INSERT INTO number_series (practice_id, series, last) VALUES ($1, $2, $3)
		ON CONFLICT (practice_id, series) DO UPDATE SET last = CASE WHEN number_series.last < $3 THEN $3 ELSE number_series.last END`)
)

// membersOf reads the people of a practice with their credentials.
func membersOf(ctx context.Context, tx *db.Tx, p db.PracticeID) (out []memberEntry, err error) {
	rows, err := tx.Query(ctx, membersIn, 0, int64(p))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m memberEntry
		var body, totp []byte
		var state, member string
		if err := rows.Scan(&m.ID, &m.Handle, &m.Password, &body, &totp, &m.Step, &state, &member, &m.Roles, &m.Practitioner); err != nil {
			return nil, err
		}
		var b userBody
		if err := openJSON(tx.Keys(), userPlace(m.ID), body, &b); err != nil {
			return nil, err
		}
		m.Login, m.Display, m.Locale = b.Login, b.Display, b.Locale
		m.Active = state == stateActive && member == stateActive
		if len(totp) > 0 {
			secret, err := tx.Keys().Open(nil, totp, totpPlace(m.ID))
			if err != nil {
				return nil, err
			}
			m.TOTP = string(secret)
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range out {
		if err := eachPasskey(ctx, tx, out[i].ID, func(_ Passkey, b passkeyBody) { out[i].Passkeys = append(out[i].Passkeys, b) }); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// accountLike finds the account here that a person of another installation would be, and whether it is the very same one.
// db.ErrNoRows: there is none.
func accountLike(ctx context.Context, tx *db.Tx, m memberEntry) (id int64, same bool, err error) {
	if err = tx.QueryRow(ctx, accountWith, 0, m.Handle).Scan(&id); !errors.Is(err, db.ErrNoRows) {
		return id, true, err
	}
	var handle []byte
	err = tx.QueryRow(ctx, accountOf, 0, loginKey(tx.Keys(), m.Login)).Scan(&id, &handle)
	return id, bytes.Equal(handle, m.Handle), err
}

// account makes the person's account here, under the same number where that is free.
func (m memberEntry) account(ctx context.Context, tx *db.Tx) (id int64, err error) {
	var taken int64
	if err := tx.QueryRow(ctx, userNumber, 0, m.ID).Scan(&taken); err != nil {
		return 0, err
	}
	if id = m.ID; taken == 0 && id > 0 {
		_, err = tx.Exec(ctx, raiseSeries, 0, "user", id)
	} else {
		id, err = number(ctx, tx, "user")
	}
	if err != nil {
		return 0, err
	}
	body, err := sealJSON(tx.Keys(), userPlace(id), userBody{m.Login, m.Display, m.Locale})
	if err != nil {
		return 0, err
	}
	var totp any
	if m.TOTP != "" {
		totp = tx.Keys().Seal(nil, []byte(m.TOTP), totpPlace(id))
	}
	tx.InsertMany(insertUsers, [][]any{{0, id, loginKey(tx.Keys(), m.Login), m.Handle, stateActive, m.Password, body, totp, m.Step, tx.NowMicro()}})
	for i := range m.Passkeys {
		if err := insertPasskey(ctx, tx, id, m.Passkeys[i].Name, &m.Passkeys[i].Key); err != nil {
			return 0, err
		}
	}
	return id, nil
}
