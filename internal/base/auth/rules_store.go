package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
)

var (
	selectEpoch = db.SQL(`SELECT n FROM kernel_epoch WHERE practice_id = $1`)
	nextEpoch   = db.SQL(`INSERT INTO kernel_epoch (practice_id, n) VALUES ($1, 1)
		ON CONFLICT (practice_id) DO UPDATE SET n = kernel_epoch.n + 1`)
	selectCells = db.SQL(`SELECT role, kind, name, value FROM role_rule WHERE practice_id = $1 ORDER BY role, kind, name`)
	upsertCell  = db.SQL(`INSERT INTO role_rule (practice_id, role, kind, name, value, changed, changed_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (practice_id, role, kind, name) DO UPDATE SET value = $5, changed = $6, changed_by = $7`)
	deleteCell = db.SQL(`DELETE FROM role_rule WHERE practice_id = $1 AND role = $2 AND kind = $3 AND name = $4`)

	selectProvisions = db.SQL(`SELECT source, part, body FROM chart_rule WHERE practice_id = $1 AND until > $2 ORDER BY source, part`)
	deleteProvisions = db.SQL(`DELETE FROM chart_rule WHERE practice_id = $1 AND source = $2`)
	insertProvisions = db.InsertInto("chart_rule", "practice_id", "source", "part", "patient", "until", "body")
)

// kernelEpoch counts the changes of the practice's rules.
func kernelEpoch(ctx context.Context, tx *db.Tx) (n int64, err error) {
	err = tx.QueryRow(ctx, selectEpoch, int64(tx.Practice())).Scan(&n)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func countEpoch(ctx context.Context, tx *db.Tx) error {
	_, err := tx.Exec(ctx, nextEpoch, int64(tx.Practice()))
	return err
}

func loadRules(ctx context.Context, tx *db.Tx, epoch int64) (*rules, error) {
	r := &rules{epoch: epoch}
	var err error
	if r.cells, err = cells(ctx, tx); err != nil {
		return nil, err
	}
	if r.own, err = ownRoles(ctx, tx); err != nil {
		return nil, err
	}
	r.matrix = standard()
	if len(r.cells)+len(r.own) > 0 {
		r.matrix = newMatrix(r.cells, r.own)
	}
	if r.charts, err = provisions(ctx, tx); err != nil {
		return nil, err
	}
	r.openings, err = openingsAfter(ctx, tx, tx.NowMicro())
	return r, err
}

func cells(ctx context.Context, tx *db.Tx) ([]RoleRule, error) {
	rows, err := tx.Query(ctx, selectCells, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []RoleRule
	for rows.Next() {
		var role, kind string
		var c RoleRule
		if err := rows.Scan(&role, &kind, &c.Name, &c.Value); err != nil {
			return nil, err
		}
		c.Role, c.Kind = Role(role), RuleKind(kind)
		out = append(out, c)
	}
	return out, rows.Err()
}

// writeCell stores a cell, or removes it when it is the default again.
func writeCell(tx *db.Tx, m *matrix, c RoleRule, by int64) {
	if m.original(c.Role, c.Kind, c.Name) == c.Value {
		tx.Queue(deleteCell, int64(tx.Practice()), string(c.Role), string(c.Kind), c.Name)
		return
	}
	tx.Queue(upsertCell, int64(tx.Practice()), string(c.Role), string(c.Kind), c.Name, c.Value, tx.NowMicro(), by)
}

func provisionPlace(source, part int64) []byte {
	return fmt.Appendf(nil, "chart_rule|%d|%d", source, part)
}

func provisions(ctx context.Context, tx *db.Tx) ([]ChartProvision, error) {
	rows, err := tx.Query(ctx, selectProvisions, int64(tx.Practice()), tx.NowMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []ChartProvision
	for rows.Next() {
		var source, part int64
		var body []byte
		if err := rows.Scan(&source, &part, &body); err != nil {
			return nil, err
		}
		var p ChartProvision
		if err := openJSON(tx.Keys(), provisionPlace(source, part), body, &p); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// setProvisions replaces the provisions made from one source.
func setProvisions(ctx context.Context, tx *db.Tx, source string, list []ChartProvision) (changed bool, err error) {
	k := tx.Keys()
	h := k.Hash("auth.source", source)
	n, err := tx.Exec(ctx, deleteProvisions, int64(tx.Practice()), h)
	if err != nil {
		return false, err
	}
	var rows [][]any
	for i, p := range list {
		body, err := sealJSON(k, provisionPlace(h, int64(i)), p)
		if err != nil {
			return false, err
		}
		until := never
		if !p.Until.IsZero() {
			until = p.Until.UnixMicro()
		}
		rows = append(rows, []any{int64(tx.Practice()), h, i, patientKey(tx, p.Patient), until, body})
	}
	tx.InsertMany(insertProvisions, rows)
	return n > 0 || len(rows) > 0, nil
}

func patientKey(tx *db.Tx, id string) int64 { return tx.Keys().Hash("auth.patient", id) }

// micro is a time as stored, 0 for none.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
