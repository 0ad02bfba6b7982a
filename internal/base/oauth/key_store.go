package oauth

import (
	"context"
	"crypto/x509"

	"yarrow.health/internal/base/db"
)

var (
	insertKeyRow = db.SQL(`INSERT INTO oauth_key (practice_id, kid, created, body) VALUES ($1, $2, $3, $4)`)
	selectKeys   = db.SQL(`SELECT kid, created, body FROM oauth_key WHERE practice_id = $1 ORDER BY created DESC, kid`)
	dropKeys     = db.SQL(`DELETE FROM oauth_key WHERE practice_id = $1 AND created < $2`)
)

func insertKey(ctx context.Context, tx *db.Tx, k signingKey) error {
	_, err := tx.Exec(ctx, insertKeyRow, int64(tx.Practice()), k.kid, k.created.UnixMicro(), tx.Keys().Seal(nil, k.bytes(), []byte("oauth_key|"+k.kid)))
	return err
}

func loadKeys(ctx context.Context, tx *db.Tx) (out []signingKey, err error) {
	rows, err := tx.Query(ctx, selectKeys, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k signingKey
		var created int64
		var body []byte
		if err := rows.Scan(&k.kid, &created, &body); err != nil {
			return nil, err
		}
		der, err := tx.Keys().Open(nil, body, []byte("oauth_key|"+k.kid))
		if err != nil {
			return nil, err
		}
		if k.private, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			return nil, err
		}
		k.created = instant(created)
		out = append(out, k)
	}
	return out, rows.Err()
}
