package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"yarrow.health/internal/standards/fhir"
)

// DefaultAppRole is the role `yarrow migrate` makes for serving.
const DefaultAppRole = "yarrow_app"

const (
	policyName = "practice_isolation"
	// The sub-select is evaluated once per statement; an unset practice is NULL and matches nothing.
	policyExpr = `(practice_id = (SELECT nullif(current_setting('app.practice', true), '')::bigint))`
)

// tending has autovacuum look after a table when a fiftieth of it has changed rather than a tenth or a fifth: one practice
// that takes its records in is a small part of a table that many share. Only the owner may set this, or ANALYZE.
const tending = "autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05"

// isolates says whether a policy, as the server prints it, is ours for both reading and writing.
func isolates(expr string) bool {
	e := strings.ToLower(strings.Join(strings.Fields(expr), ""))
	return strings.Count(e, "(practice_id=(select(nullif(current_setting('app.practice'::text,true),''::text))::bigint") == 2 &&
		!strings.Contains(e, ")or")
}

// Migrate brings a PostgreSQL database to the schema of this binary, with the owner's URL, and grants appRole (made
// when absent) what serving needs. Only Migrate changes the schema; Open checks it.
func Migrate(ctx context.Context, ownerURL, appRole string) error {
	return MigrateSet(ctx, ownerURL, appRole, nil)
}

// MigrateSet is Migrate with migrations of the caller's own in the folders practice and system; tests use it.
func MigrateSet(ctx context.Context, ownerURL, appRole string, files fs.FS) error {
	m := migrationsIn(files)
	conf, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return fhir.Problem("value", "The database URL cannot be read.",
			"Write it as postgres://owner:password@host:5432/database.")
	}
	if appRole == "" {
		appRole = DefaultAppRole
	}
	if appRole == conf.User {
		return fhir.Problem("security", "The app role may not be the owner of the tables.", "Name another role for serving.")
	}
	for _, id := range []PracticeID{1, System} {
		schema, set := practiceSchema, m.of(id)
		if id == System {
			schema = systemSchema
		}
		c := conf.Copy()
		c.RuntimeParams["search_path"] = schema
		conn := stdlib.OpenDB(*c)
		conn.SetMaxOpenConns(1)
		err := migrateSchema(ctx, conn, set, schema, appRole)
		if e := conn.Close(); err == nil {
			err = e
		}
		if err != nil {
			return explainMigrate(err)
		}
	}
	return nil
}

func explainMigrate(err error) error {
	var pg *pgconn.PgError
	var issue *fhir.Issue
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &issue):
		return err
	case errors.As(err, &connect):
		return unreachable(err)
	case errors.As(err, &pg) && pg.Code == "42501":
		return fhir.Problem("security", "This role may not change the schema or make the app role.",
			"Use the URL of the database's owner; if the app role does not exist yet, the owner also needs CREATEROLE, or make the role beforehand.").Because(err)
	}
	return err
}

func migrateSchema(ctx context.Context, conn *sql.DB, set migrationSet, schema, appRole string) error {
	app := pgx.Identifier{appRole}.Sanitize()
	if _, err := conn.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		return err
	}
	var exists bool
	if err := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)`, appRole).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := conn.ExecContext(ctx, "CREATE ROLE "+app+" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"); err != nil {
			return err
		}
	}
	applied, err := appliedVersions(ctx, conn, schema)
	if err != nil {
		return err
	}
	if err := set.check(applied); err != nil {
		return err
	}
	if schema == systemSchema {
		if _, err := conn.ExecContext(ctx, practiceStoreTable); err != nil {
			return err
		}
	} else if err := eachTable(ctx, conn, schema, "ALTER TABLE %s NO FORCE ROW LEVEL SECURITY"); err != nil {
		// A step that changes rows must see them. Until they are forced again, below, serve refuses to start.
		return err
	}
	if err := set.up(ctx, database.DialectPostgres, PostgreSQL, conn); err != nil {
		return err
	}
	if schema == practiceSchema {
		if err := protectTables(ctx, conn, schema); err != nil {
			return err
		}
	}
	for _, text := range []string{
		"GRANT USAGE ON SCHEMA " + schema + " TO " + app,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + schema + " TO " + app,
	} {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if err := withhold(ctx, conn, schema, app); err != nil {
		return err
	}
	if known, err := set.versions(); err != nil || len(known) == 0 {
		return err
	}
	_, err = conn.ExecContext(ctx, "REVOKE INSERT, UPDATE, DELETE ON "+schema+"."+versionTable+" FROM "+app)
	return err
}

// withhold takes from the app role what the triggers of append-only tables refuse: the name of the trigger says what.
func withhold(ctx context.Context, conn *sql.DB, schema, app string) error {
	for trigger, what := range map[string]string{"append_only": "UPDATE, DELETE", "moves_only": "UPDATE"} {
		rows, err := conn.QueryContext(ctx, `SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND t.tgname = $2`, schema, trigger)
		if err != nil {
			return err
		}
		var tables []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			tables = append(tables, name)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, name := range tables {
			if _, err := conn.ExecContext(ctx, "REVOKE "+what+" ON "+pgx.Identifier{schema, name}.Sanitize()+" FROM "+app); err != nil {
				return err
			}
		}
	}
	return nil
}

func appliedVersions(ctx context.Context, conn *sql.DB, schema string) ([]int64, error) {
	var there bool
	if err := conn.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, schema+"."+versionTable).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := conn.QueryContext(ctx, "SELECT version_id FROM "+versionTable+" WHERE is_applied")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// protectTables forces row security on every table of practices, gives it the one policy, and has it tended. In one transaction: a
// table is never without.
func protectTables(ctx context.Context, conn *sql.DB, schema string) error {
	return eachTable(ctx, conn, schema,
		"ALTER TABLE %[1]s ENABLE ROW LEVEL SECURITY",
		"ALTER TABLE %[1]s FORCE ROW LEVEL SECURITY",
		"DROP POLICY IF EXISTS "+policyName+" ON %[1]s",
		"CREATE POLICY "+policyName+" ON %[1]s USING "+policyExpr+" WITH CHECK "+policyExpr,
		"ALTER TABLE %[1]s SET ("+tending+")")
}

func eachTable(ctx context.Context, conn *sql.DB, schema string, formats ...string) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect after Commit
	rows, err := tx.QueryContext(ctx, `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname <> $2 ORDER BY c.relname`, schema, versionTable)
	if err != nil {
		return err
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		tables = append(tables, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range tables {
		for _, format := range formats {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(format, pgx.Identifier{schema, name}.Sanitize())); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// backoff grows from about 2 ms to about 120 ms, spread out so that rivals do not meet again.
func backoff(attempt int) time.Duration {
	top := 2 * time.Millisecond << min(attempt, 6)
	return top/2 + rand.N(top/2)
}
