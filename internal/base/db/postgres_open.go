package db

import (
	"context"
	"errors"
)

func openPostgres(ctx context.Context, d *DB, o Options) (backend, error) {
	return nil, errors.New("db: PostgreSQL comes with the next step")
}
