package oauth

import (
	"context"
	"errors"

	"yarrow.health/internal/base/db"
)

// Kinds of rows in oauth_token.
const (
	kindCode int64 = iota
	kindAccess
	kindRefresh
)

// token is a row of oauth_token.
type token struct {
	kind, grant             int64
	created, expires, spent int64
	tokenBody
}

// tokenBody is what is sealed in oauth_token.body: of codes the address and the challenge, of access tokens the scopes.
type tokenBody struct {
	Redirect  string `json:"redirect,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	Scopes    string `json:"scopes,omitempty"`
}

var (
	insertTokenRow = db.InsertInto("oauth_token", "practice_id", "token", "kind", "grant_id", "created", "expires", "spent", "body")
	selectToken    = db.SQL(`SELECT kind, grant_id, created, expires, spent, body FROM oauth_token WHERE practice_id = $1 AND token = $2`)
	selectSpent    = db.SQL(`SELECT spent FROM oauth_token WHERE practice_id = $1 AND token = $2`)
	spendToken     = db.SQL(`UPDATE oauth_token SET spent = $4 WHERE practice_id = $1 AND token = $2 AND kind = $3 AND spent = 0`)
	sweepTokens    = db.SQL(`DELETE FROM oauth_token WHERE practice_id = $1 AND expires < $2`)
)

func insertToken(ctx context.Context, tx *db.Tx, text string, t token) error {
	hash := digest(text)
	body, err := sealJSON(tx.Keys(), "oauth_token|"+string(hash[:]), t.tokenBody)
	if err == nil {
		tx.InsertMany(insertTokenRow, [][]any{{int64(tx.Practice()), hash[:], t.kind, t.grant, tx.NowMicro(), t.expires, 0, body}})
	}
	return err
}

// loadToken reads a token of a kind, spent and expired ones too; db.ErrNoRows when there is none.
func loadToken(ctx context.Context, tx *db.Tx, kind int64, text string) (t token, err error) {
	hash := digest(text)
	var body []byte
	if err := tx.QueryRow(ctx, selectToken, int64(tx.Practice()), hash[:]).Scan(&t.kind, &t.grant, &t.created, &t.expires, &t.spent, &body); err != nil {
		return t, err
	}
	if t.kind != kind {
		return t, db.ErrNoRows
	}
	return t, openJSON(tx.Keys(), "oauth_token|"+string(hash[:]), body, &t.tokenBody)
}

// spend uses up a token of a kind. once is false if it was used before; db.ErrNoRows when there is none.
func spend(ctx context.Context, tx *db.Tx, kind int64, text string) (t token, once bool, err error) {
	if t, err = loadToken(ctx, tx, kind, text); err != nil {
		return t, false, err
	}
	hash := digest(text)
	n, err := tx.Exec(ctx, spendToken, int64(tx.Practice()), hash[:], kind, tx.NowMicro())
	return t, n == 1, err
}

// tokenAndGrant reads a token and what it stands on; ok is false when there is none that stands.
func tokenAndGrant(ctx context.Context, tx *db.Tx, kind int64, text string) (t token, g grant, ok bool, err error) {
	t, err = loadToken(ctx, tx, kind, text)
	if err == nil {
		g, err = loadGrant(ctx, tx, t.grant)
	}
	if errors.Is(err, db.ErrNoRows) {
		return t, g, false, nil
	}
	now := tx.NowMicro()
	return t, g, err == nil && t.spent == 0 && t.expires > now && g.ended == "" && g.expires > now, err
}

// tokenRevoked says whether a token was spent; one that was swept after its time was not.
func tokenRevoked(ctx context.Context, tx *db.Tx, hash []byte) (bool, error) {
	var spent int64
	err := tx.QueryRow(ctx, selectSpent, int64(tx.Practice()), hash).Scan(&spent)
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	return spent != 0, err
}
