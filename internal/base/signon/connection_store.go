package signon

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	selectConnections   = db.SQL(`SELECT id, created, body FROM sign_on_connection WHERE practice_id = $1`)
	insertConnectionRow = db.SQL(`INSERT INTO sign_on_connection (practice_id, id, created, body) VALUES ($1, $2, $3, $4)`)
	lockConnection      = db.SQL(`UPDATE sign_on_connection SET created = created WHERE practice_id = $1 AND id = $2 RETURNING body`)
	updateConnectionRow = db.SQL(`UPDATE sign_on_connection SET body = $3 WHERE practice_id = $1 AND id = $2`)
	deleteConnectionRow = db.SQL(`DELETE FROM sign_on_connection WHERE practice_id = $1 AND id = $2`)

	insertAskRow = db.SQL(`INSERT INTO sign_on_ask (practice_id, ask, expires, body) VALUES ($1, $2, $3, $4)`)
	selectAsk    = db.SQL(`SELECT body FROM sign_on_ask WHERE practice_id = $1 AND ask = $2 AND expires > $3`)
	updateAsk    = db.SQL(`UPDATE sign_on_ask SET body = $3 WHERE practice_id = $1 AND ask = $2`)
	takeAskRow   = db.SQL(`DELETE FROM sign_on_ask WHERE practice_id = $1 AND ask = $2 AND expires > $3`)
	sweepAsks    = db.SQL(`DELETE FROM sign_on_ask WHERE practice_id = $1 AND expires <= $2`)
	insertUsed   = db.SQL(`INSERT INTO sign_on_used (practice_id, what, expires) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`)
	sweepUsed    = db.SQL(`DELETE FROM sign_on_used WHERE practice_id = $1 AND expires <= $2`)
)

func seal(tx *db.Tx, place string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return tx.Keys().Seal(nil, text, []byte(place)), nil
}

func unseal(tx *db.Tx, place string, body []byte, v any) error {
	text, err := tx.Keys().Open(nil, body, []byte(place))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func connectionPlace(id string) string { return "sign_on_connection|" + id }

func loadConnections(ctx context.Context, tx *db.Tx) (out []*Connection, err error) {
	rows, err := tx.Query(ctx, selectConnections, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var created int64
		var body []byte
		if err := rows.Scan(&id, &created, &body); err != nil {
			return nil, err
		}
		c := &Connection{}
		if err := unseal(tx, connectionPlace(id), body, c); err != nil {
			return nil, err
		}
		c.ID, c.Created = id, time.UnixMicro(created).UTC()
		out = append(out, c)
	}
	return out, rows.Err()
}

func insertConnection(ctx context.Context, tx *db.Tx, c *Connection) error {
	body, err := seal(tx, connectionPlace(c.ID), c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertConnectionRow, int64(tx.Practice()), c.ID, tx.NowMicro(), body)
	return err
}

func updateConnection(ctx context.Context, tx *db.Tx, c *Connection) error {
	body, err := seal(tx, connectionPlace(c.ID), c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, updateConnectionRow, int64(tx.Practice()), c.ID, body)
	return err
}

// edit changes one connection, locked meanwhile.
func edit(ctx context.Context, tx *db.Tx, id string, change func(*Connection)) error {
	var body []byte
	err := tx.QueryRow(ctx, lockConnection, int64(tx.Practice()), id).Scan(&body)
	if errors.Is(err, db.ErrNoRows) {
		return noSuchConnection()
	}
	if err != nil {
		return err
	}
	c := &Connection{}
	if err := unseal(tx, connectionPlace(id), body, c); err != nil {
		return err
	}
	c.ID = id
	change(c)
	return updateConnection(ctx, tx, c)
}

func deleteConnection(ctx context.Context, tx *db.Tx, id string) error {
	n, err := tx.Exec(ctx, deleteConnectionRow, int64(tx.Practice()), id)
	if err == nil && n == 0 {
		err = noSuchConnection()
	}
	return err
}

func insertAsk(ctx context.Context, tx *db.Tx, state string, a ask) error {
	hash := digest(state)
	body, err := seal(tx, "sign_on_ask|"+string(hash[:]), a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertAskRow, int64(tx.Practice()), hash[:], tx.Now().Add(askLasts).UnixMicro(), body)
	return err
}

// loadAsk reads a request that is under way; db.ErrNoRows when there is none.
func loadAsk(ctx context.Context, tx *db.Tx, state string) (a ask, err error) {
	hash := digest(state)
	var body []byte
	if err := tx.QueryRow(ctx, selectAsk, int64(tx.Practice()), hash[:], tx.NowMicro()).Scan(&body); err != nil {
		return a, err
	}
	return a, unseal(tx, "sign_on_ask|"+string(hash[:]), body, &a)
}

func replaceAsk(ctx context.Context, tx *db.Tx, state string, a ask) error {
	hash := digest(state)
	body, err := seal(tx, "sign_on_ask|"+string(hash[:]), a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, updateAsk, int64(tx.Practice()), hash[:], body)
	return err
}

// takeAsk removes a request, so that it is answered once; false if it was answered meanwhile.
func takeAsk(ctx context.Context, tx *db.Tx, state string) (bool, error) {
	hash := digest(state)
	n, err := tx.Exec(ctx, takeAskRow, int64(tx.Practice()), hash[:], tx.NowMicro())
	return n == 1, err
}
