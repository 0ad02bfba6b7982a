package scim

import (
	"context"
	"encoding/json"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	insertKeyRow = db.SQL(`INSERT INTO scim_key (practice_id, id, token, created, expires, used, body) VALUES ($1, $2, $3, $4, $5, 0, $6)`)
	selectKeys   = db.SQL(`SELECT id, created, expires, used, body FROM scim_key WHERE practice_id = $1 ORDER BY created DESC, id`)
	selectKey    = db.SQL(`SELECT id, used FROM scim_key WHERE practice_id = $1 AND token = $2 AND expires > $3`)
	useKey       = db.SQL(`UPDATE scim_key SET used = $3 WHERE practice_id = $1 AND id = $2`)
	deleteKey    = db.SQL(`DELETE FROM scim_key WHERE practice_id = $1 AND id = $2`)
)

type keyBody struct {
	Name string `json:"name"`
	By   string `json:"by"`
}

func keyPlace(id string) []byte { return []byte("scim_key|" + id) }

func insertKey(ctx context.Context, tx *db.Tx, k Key, text string) error {
	plain, err := json.Marshal(keyBody{k.Name, k.By})
	if err != nil {
		return err
	}
	hash := digest(text)
	_, err = tx.Exec(ctx, insertKeyRow, int64(tx.Practice()), k.ID, hash[:], tx.NowMicro(), tx.Now().Add(keyLasts).UnixMicro(), tx.Keys().Seal(nil, plain, keyPlace(k.ID)))
	return err
}

func loadKeys(ctx context.Context, tx *db.Tx) (out []Key, err error) {
	rows, err := tx.Query(ctx, selectKeys, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k Key
		var created, expires, used int64
		var body []byte
		if err := rows.Scan(&k.ID, &created, &expires, &used, &body); err != nil {
			return nil, err
		}
		plain, err := tx.Keys().Open(nil, body, keyPlace(k.ID))
		if err != nil {
			return nil, err
		}
		var b keyBody
		if err := json.Unmarshal(plain, &b); err != nil {
			return nil, err
		}
		k.Name, k.By, k.Created, k.Expires = b.Name, b.By, time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC()
		if used != 0 {
			k.Used = time.UnixMicro(used).UTC()
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

// keyOf finds the key of a text; db.ErrNoRows when there is none that stands.
func keyOf(ctx context.Context, tx *db.Tx, text string) (k Key, err error) {
	hash := digest(text)
	var used int64
	err = tx.QueryRow(ctx, selectKey, int64(tx.Practice()), hash[:], tx.NowMicro()).Scan(&k.ID, &used)
	k.Used = time.UnixMicro(used).UTC()
	return k, err
}
