package auth

import (
	"context"
	"errors"
	"fmt"

	"yarrow.health/internal/base/db"
)

var (
	insertSupport = db.InsertInto("operator_grant", "practice_id", "id", "starts", "until", "ended", "used", "body")
	supportByKey  = db.SQL(`SELECT id, starts, until, ended, used, body FROM operator_grant WHERE practice_id = $1 AND id = $2`)
	allSupports   = db.SQL(`SELECT id, starts, until, ended, used, body FROM operator_grant WHERE practice_id = $1 ORDER BY starts DESC, id LIMIT 100`)
	stopSupport   = db.SQL(`UPDATE operator_grant SET ended = $3 WHERE practice_id = $1 AND id = $2 AND ended = 0 AND until > $3`)
	countUse      = db.SQL(`UPDATE operator_grant SET used = used + 1 WHERE practice_id = $1 AND id = $2`)
)

// supportBody is what is sealed in operator_grant.body.
type supportBody struct {
	Operator string `json:"operator"`
	Reason   string `json:"reason"`
	Patients bool   `json:"patients,omitempty"`
	By       string `json:"by"`
}

func supportPlace(id int64) []byte { return fmt.Appendf(nil, "operator_grant|%d", id) }

func saveSupport(tx *db.Tx, g Support) error {
	body, err := sealJSON(tx.Keys(), supportPlace(g.ID), supportBody{g.Operator, g.Reason, g.Patients, g.By})
	if err != nil {
		return err
	}
	tx.InsertMany(insertSupport, [][]any{{int64(tx.Practice()), g.ID, g.Starts.UnixMicro(), g.Until.UnixMicro(), 0, 0, body}})
	return nil
}

func scanSupport(tx *db.Tx, row interface{ Scan(...any) error }) (g Support, err error) {
	var starts, until, ended int64
	var body []byte
	if err := row.Scan(&g.ID, &starts, &until, &ended, &g.Uses, &body); err != nil {
		return g, err
	}
	var b supportBody
	if err := openJSON(tx.Keys(), supportPlace(g.ID), body, &b); err != nil {
		return g, err
	}
	g.Operator, g.Reason, g.Patients, g.By = b.Operator, b.Reason, b.Patients, b.By
	g.Starts, g.Until = instant(starts), instant(until)
	if ended != 0 {
		g.Ended = instant(ended)
	}
	return g, nil
}

func supportByID(ctx context.Context, tx *db.Tx, id int64) (Support, error) {
	g, err := scanSupport(tx, tx.QueryRow(ctx, supportByKey, int64(tx.Practice()), id))
	if errors.Is(err, db.ErrNoRows) {
		err = forbidden()
	}
	return g, err
}

func supports(ctx context.Context, tx *db.Tx) ([]Support, error) {
	rows, err := tx.Query(ctx, allSupports, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Support
	for rows.Next() {
		g, err := scanSupport(tx, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

func endSupport(ctx context.Context, tx *db.Tx, id int64) error {
	_, err := tx.Exec(ctx, stopSupport, int64(tx.Practice()), id, tx.NowMicro())
	return err
}

func useSupport(ctx context.Context, tx *db.Tx, id int64) error {
	_, err := tx.Exec(ctx, countUse, int64(tx.Practice()), id)
	return err
}
