package files

import (
	"context"

	"yarrow.health/internal/base/db"
)

var (
	addPart = db.SQL(`INSERT INTO blob (practice_id, h, part, body) VALUES ($1, $2, $3, $4) ON CONFLICT (practice_id, h, part) DO NOTHING`)
	allOf   = db.SQL(`SELECT body FROM blob WHERE practice_id = $1 AND h = $2 ORDER BY part`)
)

func insertBlob(ctx context.Context, tx *db.Tx, p *Prepared) error {
	n, err := tx.Exec(ctx, addPart, int64(tx.Practice()), p.h, 0, p.head)
	if err != nil || n == 0 {
		return err // n is 0: the same content is stored already
	}
	for i, part := range p.parts {
		if _, err := tx.Exec(ctx, addPart, int64(tx.Practice()), p.h, i+1, part); err != nil {
			return err
		}
	}
	return nil
}

func blobParts(ctx context.Context, tx *db.Tx, h int64) ([][]byte, error) {
	rows, err := tx.Query(ctx, allOf, int64(tx.Practice()), h)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, rows.Err()
}
