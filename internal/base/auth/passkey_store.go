package auth

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/go-webauthn/webauthn/webauthn"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

var (
	insertPasskeys = db.InsertInto("passkey", "practice_id", "user_id", "id", "credential", "body", "created", "used")
	passkeysOf     = db.SQL(`SELECT id, body, created, used FROM passkey WHERE practice_id = $1 AND user_id = $2 ORDER BY id`)
	passkeyOf      = db.SQL(`SELECT id, body FROM passkey WHERE practice_id = $1 AND user_id = $2 AND credential = $3`)
	setPasskey     = db.SQL(`UPDATE passkey SET body = $4, used = $5 WHERE practice_id = $1 AND user_id = $2 AND id = $3`)
	dropPasskey    = db.SQL(`DELETE FROM passkey WHERE practice_id = $1 AND user_id = $2 AND id = $3`)
	credentialUsed = db.SQL(`SELECT count(*) FROM passkey WHERE practice_id = $1 AND credential = $2`)
	spendOnce      = db.SQL(`INSERT INTO used_challenge (practice_id, challenge, expires) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`)
)

// passkeyBody is what is sealed in passkey.body.
type passkeyBody struct {
	Name string              `json:"name"`
	Key  webauthn.Credential `json:"key"`
}

func passkeyPlace(id int64) []byte { return fmt.Appendf(nil, "passkey|%d", id) }

func credentialKey(k *keys.Practice, id []byte) int64 { return k.Hash("auth.passkey", string(id)) }

// spend marks a ceremony as finished; a second time is refused.
func spend(ctx context.Context, tx *db.Tx, c ceremony) error {
	hash := sha256.Sum256([]byte(c.Web.Challenge))
	n, err := tx.Exec(ctx, spendOnce, 0, hash[:], c.Expires)
	if err == nil && n == 0 {
		err = staleTicket()
	}
	return err
}

func credentials(ctx context.Context, tx *db.Tx, user int64) ([]webauthn.Credential, error) {
	var out []webauthn.Credential
	err := eachPasskey(ctx, tx, user, func(_ Passkey, b passkeyBody) { out = append(out, b.Key) })
	return out, err
}

func listPasskeys(ctx context.Context, tx *db.Tx, user int64) ([]Passkey, error) {
	var out []Passkey
	err := eachPasskey(ctx, tx, user, func(p Passkey, _ passkeyBody) { out = append(out, p) })
	return out, err
}

func eachPasskey(ctx context.Context, tx *db.Tx, user int64, fn func(Passkey, passkeyBody)) error {
	rows, err := tx.Query(ctx, passkeysOf, 0, user)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, created, used int64
		var sealed []byte
		if err := rows.Scan(&id, &sealed, &created, &used); err != nil {
			return err
		}
		var b passkeyBody
		if err := openJSON(tx.Keys(), passkeyPlace(id), sealed, &b); err != nil {
			return err
		}
		p := Passkey{ID: id, Name: b.Name, Synced: b.Key.Flags.BackupState, Created: instant(created)}
		if used != 0 {
			p.Used = instant(used)
		}
		fn(p, b)
	}
	return rows.Err()
}

func insertPasskey(ctx context.Context, tx *db.Tx, user int64, name string, key *webauthn.Credential) error {
	var n int64
	credential := credentialKey(tx.Keys(), key.ID)
	if err := tx.QueryRow(ctx, credentialUsed, 0, credential).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return fhir.Problem("duplicate", "This passkey is registered already.", "Use it to sign in, or make another one.")
	}
	id, err := number(ctx, tx, "passkey")
	if err != nil {
		return err
	}
	body, err := sealJSON(tx.Keys(), passkeyPlace(id), passkeyBody{name, *key})
	if err != nil {
		return err
	}
	tx.InsertMany(insertPasskeys, [][]any{{0, user, id, credential, body, tx.NowMicro(), 0}})
	return nil
}

// updatePasskey keeps the counter and flags of a key that was used.
func updatePasskey(ctx context.Context, tx *db.Tx, user int64, key *webauthn.Credential) error {
	var id int64
	var sealed []byte
	err := tx.QueryRow(ctx, passkeyOf, 0, user, credentialKey(tx.Keys(), key.ID)).Scan(&id, &sealed)
	if err == db.ErrNoRows {
		return errSpent // removed a moment ago
	}
	if err != nil {
		return err
	}
	var b passkeyBody
	if err := openJSON(tx.Keys(), passkeyPlace(id), sealed, &b); err != nil {
		return err
	}
	b.Key = *key
	body, err := sealJSON(tx.Keys(), passkeyPlace(id), b)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, setPasskey, 0, user, id, body, tx.NowMicro())
	return err
}

func deletePasskey(ctx context.Context, tx *db.Tx, user, id int64) error {
	n, err := tx.Exec(ctx, dropPasskey, 0, user, id)
	if err == nil && n == 0 {
		err = fhir.Problem("not-found", "There is no such passkey.", "Look at the list again.")
	}
	return err
}
