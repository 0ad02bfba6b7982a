package db_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/db/dbtest"
)

// What the app role cannot do, the owner has arranged: tables that many practices share are looked at when one of them grew.
func TestTablesAreTended(t *testing.T) {
	t.Parallel()
	d := dbtest.PostgreSQL(t, nil)
	conn, err := pgx.Connect(t.Context(), d.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var tended, all int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE 'autovacuum_analyze_scale_factor=0.02' = ANY (c.reloptions)), count(*) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'yarrow' AND c.relkind = 'r' AND c.relname <> 'schema_version'`).Scan(&tended, &all); err != nil {
		t.Fatal(err)
	}
	if all < 20 || tended != all {
		t.Errorf("%d of %d tables", tended, all)
	}
}
