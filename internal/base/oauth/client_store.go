package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

var (
	insertClientRow = db.SQL(`INSERT INTO oauth_client (practice_id, id, state, secret, version, created, used, body)
		VALUES ($1, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT (practice_id, id) DO NOTHING`)
	selectClients = db.SQL(`SELECT id, state, secret, version, created, used, secret_used, former_used, body FROM oauth_client WHERE practice_id = $1`)
	// The row is locked by touching it, so that two changes at once do not lose one.
	lockClientRow = db.SQL(`UPDATE oauth_client SET version = version WHERE practice_id = $1 AND id = $2
		RETURNING id, state, secret, version, created, used, secret_used, former_used, body`)
	changeClient = db.SQL(`UPDATE oauth_client SET state = $3, secret = $4, secret_used = $5, former_used = $6, version = version + 1, body = $7
		WHERE practice_id = $1 AND id = $2`)
	// Whoever changes the registration meanwhile has the last word about which secret is which.
	usePresent   = db.SQL(`UPDATE oauth_client SET secret_used = $4 WHERE practice_id = $1 AND id = $2 AND version = $3 AND secret_used < $4`)
	useFormer    = db.SQL(`UPDATE oauth_client SET former_used = $4 WHERE practice_id = $1 AND id = $2 AND version = $3 AND former_used < $4`)
	useClient    = db.SQL(`UPDATE oauth_client SET used = $3 WHERE practice_id = $1 AND id = $2`)
	deleteClient = db.SQL(`DELETE FROM oauth_client WHERE practice_id = $1 AND id = $2`)
)

func sealJSON(k *keys.Practice, place string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return k.Seal(nil, text, []byte(place)), nil
}

func openJSON(k *keys.Practice, place string, sealed []byte, v any) error {
	text, err := k.Open(nil, sealed, []byte(place))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// micro is the inverse of instant.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func (c *Client) seal(tx *db.Tx) (body, secret []byte, err error) {
	body, err = sealJSON(tx.Keys(), "oauth_client|"+c.ID, clientBody{c.Kind, c.Name, c.Publisher, c.Redirects, c.LaunchURI, c.Scopes, c.JWKSURL, c.JWKS,
		c.Trusted, c.Introspects, c.Reason, c.ApprovedBy, c.Approved, c.present.Since, c.formerBody()})
	secret = []byte{}
	if c.Kind == Secret {
		secret = c.secret[:]
	}
	return body, secret, err
}

func insertClient(ctx context.Context, tx *db.Tx, c *Client) error {
	body, secret, err := c.seal(tx)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, insertClientRow, int64(tx.Practice()), c.ID, string(c.State), secret, c.Version, c.Created.UnixMicro(), body)
	if err == nil && n == 0 {
		err = fhir.Problem("conflict", "There is a program with this id already.", "Leave the id out, or choose another one.")
	}
	return err
}

// scanner is a row of either a list or a single answer.
type scanner interface{ Scan(dest ...any) error }

func scanClient(tx *db.Tx, r scanner) (Client, error) {
	var c Client
	var state string
	var secret, body []byte
	var created, used, secretUsed, formerUsed int64
	if err := r.Scan(&c.ID, &state, &secret, &c.Version, &created, &used, &secretUsed, &formerUsed, &body); err != nil {
		return c, err
	}
	var b clientBody
	if err := openJSON(tx.Keys(), "oauth_client|"+c.ID, body, &b); err != nil {
		return c, err
	}
	c.State, c.Created, c.Used = State(state), instant(created), instant(used)
	copy(c.secret[:], secret)
	c.Kind, c.Name, c.Publisher, c.Redirects, c.LaunchURI, c.Scopes = b.Kind, b.Name, b.Publisher, b.Redirects, b.LaunchURI, b.Scopes
	c.JWKSURL, c.JWKS, c.Trusted, c.Introspects, c.Reason, c.ApprovedBy, c.Approved = b.JWKSURL, b.JWKS, b.Trusted, b.Introspects, b.Reason, b.ApprovedBy, b.Approved
	c.present = Shared{Since: b.Since, Used: instant(secretUsed)}
	if b.Former != nil {
		copy(c.former[:], b.Former.Hash)
		c.earlier = Shared{Since: b.Former.Since, Used: instant(formerUsed), Until: b.Former.Until}
	}
	c.scopes, _ = ParseScopes(c.Scopes)
	return c, nil
}

func loadClients(ctx context.Context, tx *db.Tx) (out []*Client, err error) {
	rows, err := tx.Query(ctx, selectClients, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := scanClient(tx, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, &c)
	}
	return out, rows.Err()
}

func lockClient(ctx context.Context, tx *db.Tx, id string) (Client, error) {
	c, err := scanClient(tx, tx.QueryRow(ctx, lockClientRow, int64(tx.Practice()), id))
	if errors.Is(err, db.ErrNoRows) {
		err = noSuchClient()
	}
	return c, err
}

func updateClientRow(ctx context.Context, tx *db.Tx, c *Client) error {
	body, secret, err := c.seal(tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, changeClient, int64(tx.Practice()), c.ID, string(c.State), secret, micro(c.present.Used), micro(c.earlier.Used), body)
	return err
}
