package db

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"yarrow.health/internal/standards/fhir"
)

// An embedded file does not open with another key. A PostgreSQL database opens with any, and what a process with the
// keys of another installation sealed would be lost. So each practice's row says which key it was made with, and a
// practice is not touched with another.

const practiceStoreTable = `CREATE TABLE IF NOT EXISTS practice_store (practice_id BIGINT PRIMARY KEY, created BIGINT NOT NULL);
	ALTER TABLE practice_store ADD COLUMN IF NOT EXISTS key_check TEXT`

// ErrOtherKeys is the cause of the Issue with which a PostgreSQL database refuses keys it was not made with.
var ErrOtherKeys = errors.New("db: the keys are those of another installation")

// keyCheck names a practice's key without revealing it.
func (b *postgresBackend) keyCheck(id PracticeID) (string, error) {
	k, err := b.db.keys.Practice(int64(id))
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(k.Derive("postgres key check", 16)), nil
}

// fits refuses a practice, or the system store, whose key is not the one it was made with. The answer is asked once.
func (b *postgresBackend) fits(ctx context.Context, id PracticeID) error {
	if _, ok := b.fitting.Load(id); ok {
		return nil
	}
	have, err := b.keyCheck(id)
	if err != nil {
		return err
	}
	res, err := b.system.acquire(ctx)
	if err != nil {
		return err
	}
	defer b.system.release(res)
	r := res.Value().c.ExecParams(ctx, `SELECT key_check FROM `+systemSchema+`.practice_store WHERE practice_id = $1`,
		[][]byte{fmt.Append(nil, int64(id))}, nil, nil, nil).Read()
	if r.Err != nil {
		var pg *pgconn.PgError
		if errors.As(r.Err, &pg) && pg.Code == "42703" { // no such column
			return notMigrated().Because(r.Err)
		}
		return unreachable(r.Err)
	}
	if len(r.Rows) == 0 || r.Rows[0][0] == nil {
		return nil // not made yet, or before checks were written
	}
	if string(r.Rows[0][0]) != have {
		return fhir.Problem("security", fmt.Sprintf("The data of practice %d was sealed with other keys than those of this key store.", id),
			"Name the key store and the master key that belong to this database.").Because(ErrOtherKeys)
	}
	b.fitting.Store(id, true)
	return nil
}
