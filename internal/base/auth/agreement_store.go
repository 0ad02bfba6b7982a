package auth

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
)

var (
	insertAgreement = db.InsertInto("agreement", "practice_id", "id", "signed", "body")
	allAgreements   = db.SQL(`SELECT id, signed, body FROM agreement WHERE practice_id = $1 ORDER BY signed DESC, id`)
)

func agreementPlace(id int64) []byte { return fmt.Appendf(nil, "agreement|%d", id) }

func saveAgreement(tx *db.Tx, g Agreement) error {
	body, err := sealJSON(tx.Keys(), agreementPlace(g.ID), g)
	if err != nil {
		return err
	}
	tx.InsertMany(insertAgreement, [][]any{{int64(tx.Practice()), g.ID, g.Signed.UnixMicro(), body}})
	return nil
}

func agreements(ctx context.Context, tx *db.Tx) ([]Agreement, error) {
	rows, err := tx.Query(ctx, allAgreements, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Agreement
	for rows.Next() {
		var g Agreement
		var id, signed int64
		var body []byte
		if err := rows.Scan(&id, &signed, &body); err != nil {
			return nil, err
		}
		if err := openJSON(tx.Keys(), agreementPlace(id), body, &g); err != nil {
			return nil, err
		}
		g.ID, g.Signed = id, instant(signed)
		out = append(out, g)
	}
	return out, rows.Err()
}
