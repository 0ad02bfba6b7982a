package oauth

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
)

const grantColumns = `SELECT id, client, user_id, patient, created, used, expires, ended, body FROM oauth_grant WHERE practice_id = $1 AND `

var (
	insertGrantRow  = db.InsertInto("oauth_grant", "practice_id", "id", "client", "user_id", "patient", "created", "used", "expires", "ended", "body")
	grantOfID       = db.SQL(grantColumns + `id = $2`)
	grantsOfUser    = db.SQL(grantColumns + `user_id = $2 AND patient = 0 AND ended = '' AND expires > $3 ORDER BY created DESC`)
	grantsOfPatient = db.SQL(grantColumns + `patient = $2 AND user_id = 0 AND ended = '' AND expires > $3 ORDER BY created DESC`)
	grantsOfClient  = db.SQL(grantColumns + `client = $2 AND ended = '' AND expires > $3 ORDER BY created DESC`)
	endGrant        = db.SQL(`UPDATE oauth_grant SET ended = $3 WHERE practice_id = $1 AND id = $2 AND ended = ''`)
	endClientGrants = db.SQL(`UPDATE oauth_grant SET ended = $3 WHERE practice_id = $1 AND client = $2 AND ended = ''`)
	useGrant        = db.SQL(`UPDATE oauth_grant SET used = $3 WHERE practice_id = $1 AND id = $2`)
	renewGrant      = db.SQL(`UPDATE oauth_grant SET expires = $3, body = $4 WHERE practice_id = $1 AND id = $2`)
	sweepGrants     = db.SQL(`DELETE FROM oauth_grant WHERE practice_id = $1 AND expires < $2`)
)

func grantPlace(id int64) string { return fmt.Sprintf("oauth_grant|%d", id) }

func insertGrant(ctx context.Context, tx *db.Tx, g *grant) error {
	body, err := sealJSON(tx.Keys(), grantPlace(g.id), g.grantBody)
	if err == nil {
		tx.InsertMany(insertGrantRow, [][]any{{int64(tx.Practice()), g.id, g.client, g.user, g.patient, g.created, g.used, g.expires, g.ended, body}})
	}
	return err
}

func scanGrant(tx *db.Tx, r scanner) (g grant, err error) {
	var body []byte
	if err := r.Scan(&g.id, &g.client, &g.user, &g.patient, &g.created, &g.used, &g.expires, &g.ended, &body); err != nil {
		return g, err
	}
	return g, openJSON(tx.Keys(), grantPlace(g.id), body, &g.grantBody)
}

// loadGrant reads a grant, ended or not; db.ErrNoRows when there is none.
func loadGrant(ctx context.Context, tx *db.Tx, id int64) (grant, error) {
	return scanGrant(tx, tx.QueryRow(ctx, grantOfID, int64(tx.Practice()), id))
}

// loadGrants reads the standing grants of a user, patient or client.
func loadGrants(ctx context.Context, tx *db.Tx, q *db.Stmt, of any) (out []grant, err error) {
	rows, err := tx.Query(ctx, q, int64(tx.Practice()), of, tx.NowMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		g, err := scanGrant(tx, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

func finishGrant(ctx context.Context, tx *db.Tx, id int64, why string) error {
	_, err := tx.Exec(ctx, endGrant, int64(tx.Practice()), id, why)
	return err
}

// changeGrant stores other scopes and another end of a grant.
func changeGrant(ctx context.Context, tx *db.Tx, g *grant) error {
	body, err := sealJSON(tx.Keys(), grantPlace(g.id), g.grantBody)
	if err == nil {
		_, err = tx.Exec(ctx, renewGrant, int64(tx.Practice()), g.id, g.expires, body)
	}
	return err
}
