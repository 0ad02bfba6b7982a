package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

var (
	provisionedOf     = db.SQL(`SELECT user_id, deleted, changed, body FROM scim_user WHERE practice_id = $1 AND practice = $2`)
	upsertProvisioned = db.SQL(`INSERT INTO scim_user (practice_id, practice, user_id, external, deleted, changed, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (practice_id, practice, user_id) DO UPDATE SET external = $4, deleted = $5, changed = $6, body = $7`)
	renameUser = db.SQL(`UPDATE users SET login = $3, body = $4 WHERE practice_id = $1 AND id = $2`)
	bodyOf     = db.SQL(`SELECT body FROM users WHERE practice_id = $1 AND id = $2`)
)

func provisionedPlace(p db.PracticeID, id int64) []byte {
	return fmt.Appendf(nil, "scim_user|%d|%d", p, id)
}

// provisioned reads the people of a practice with what its directory says of them.
func provisioned(ctx context.Context, tx *db.Tx, p db.PracticeID) ([]Provisioned, error) {
	all, err := listUsers(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	out := make([]Provisioned, len(all))
	at := map[int64]*Provisioned{}
	for i, u := range all {
		out[i] = Provisioned{User: u, Changed: u.Created}
		at[u.ID] = &out[i]
	}
	rows, err := tx.Query(ctx, provisionedOf, 0, int64(p))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, deleted, changed int64
		var body []byte
		if err := rows.Scan(&id, &deleted, &changed, &body); err != nil {
			return nil, err
		}
		x := at[id]
		if x == nil {
			continue
		}
		if err := openJSON(tx.Keys(), provisionedPlace(p, id), body, &x.External); err != nil {
			return nil, err
		}
		x.deleted, x.Changed = deleted != 0, time.UnixMicro(changed).UTC()
	}
	return out, rows.Err()
}

func setProvisioned(ctx context.Context, tx *db.Tx, p db.PracticeID, id int64, external string, deleted bool) error {
	body, err := sealJSON(tx.Keys(), provisionedPlace(p, id), external)
	if err != nil {
		return err
	}
	key := int64(0)
	if external != "" {
		key = tx.Keys().Hash("auth.scim", fmt.Sprint(p), external)
	}
	_, err = tx.Exec(ctx, upsertProvisioned, 0, int64(p), id, key, oneIf(deleted), tx.NowMicro(), body)
	return err
}

// rename changes login and name.
func rename(ctx context.Context, tx *db.Tx, id int64, login, display string) error {
	var other int64
	err := tx.QueryRow(ctx, loginExists, 0, loginKey(tx.Keys(), login)).Scan(&other)
	switch {
	case err == nil && other != id:
		return fhir.Problem("conflict", "This login is taken.", "Choose another one.")
	case err != nil && !errors.Is(err, db.ErrNoRows):
		return err
	}
	var body []byte
	if err := tx.QueryRow(ctx, bodyOf, 0, id).Scan(&body); err != nil {
		return err
	}
	var b userBody
	if err := openJSON(tx.Keys(), userPlace(id), body, &b); err != nil {
		return err
	}
	b.Login, b.Display = login, display
	if body, err = sealJSON(tx.Keys(), userPlace(id), b); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, renameUser, 0, id, loginKey(tx.Keys(), login), body)
	return err
}
