package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
)

var (
	listTables = db.SQLPair(
		`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_version' ORDER BY name`,
		`SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()
			AND tablename NOT IN ('schema_version', 'practice_store') ORDER BY CAST(tablename AS TEXT) COLLATE "C"`)

	listColumns = db.SQLPair(
		`SELECT name, pk FROM pragma_table_info($1) ORDER BY cid`,
		`SELECT CAST(a.attname AS TEXT),
			CAST(coalesce(array_position(i.indkey, a.attnum) - array_lower(CAST(i.indkey AS smallint[]), 1) + 1, 0) AS BIGINT)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE n.nspname = current_schema() AND c.relname = $1 ORDER BY a.attnum`)

	listSchema = db.SQL(`SELECT version_id FROM schema_version WHERE is_applied AND version_id > 0 ORDER BY version_id`)
)

// layout is a table as the engine has it.
type layout struct {
	table
	key []string // columns of the primary key, in order
}

func layouts(ctx context.Context, tx *db.Tx) ([]layout, error) {
	names, err := strs(ctx, tx, listTables)
	if err != nil {
		return nil, err
	}
	var out []layout
	for _, name := range names {
		l := layout{table: table{Name: name}}
		rows, err := tx.Query(ctx, listColumns, name)
		if err != nil {
			return nil, err
		}
		places := map[int]string{}
		for rows.Next() {
			var column string
			var place int
			if err := rows.Scan(&column, &place); err != nil {
				return nil, err
			}
			l.Columns = append(l.Columns, column)
			if place > 0 {
				places[place] = column
			}
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
		for i := 1; i <= len(places); i++ {
			l.key = append(l.key, places[i])
		}
		if len(l.key) == 0 {
			return nil, fmt.Errorf("backup: table %s has no primary key", name)
		}
		out = append(out, l)
	}
	return out, nil
}

func strs(ctx context.Context, tx *db.Tx, st *db.Stmt) (out []string, err error) {
	rows, err := tx.Query(ctx, st)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

func schemaOf(ctx context.Context, tx *db.Tx) (out []int64, err error) {
	rows, err := tx.Query(ctx, listSchema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return slices.Compact(out), rows.Err()
}

// where limits a statement to the practice. The system store belongs to no practice and is taken whole.
func where(tx *db.Tx) (text string, args []any) {
	if tx.Practice() == db.System {
		return "", nil
	}
	return " WHERE practice_id = $1", []any{tx.Practice()}
}

// eachRow gives every row of a table, in the order of its key, with the given columns.
func eachRow(ctx context.Context, tx *db.Tx, l layout, columns []string, fn func(values []any) error) error {
	cond, args := where(tx)
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + l.Name + cond + " ORDER BY " + strings.Join(l.key, ", ")
	rows, err := tx.Query(ctx, tx.Compile(text), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]any, len(columns))
	dest := make([]any, len(columns))
	for i := range dest {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := fn(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// empty says whether no table of the store holds a row.
func empty(ctx context.Context, tx *db.Tx, all []layout) (bool, error) {
	cond, args := where(tx)
	for _, l := range all {
		var one int
		err := tx.QueryRow(ctx, tx.Compile("SELECT 1 FROM "+l.Name+cond+" LIMIT 1"), args...).Scan(&one)
		if err == nil {
			return false, nil
		}
		if err != db.ErrNoRows {
			return false, err
		}
	}
	return true, nil
}

// inserting writes rows of a table whose names the caller has found in the schema.
func inserting(t table) *db.Insert { return db.InsertInto(t.Name, t.Columns...) }
