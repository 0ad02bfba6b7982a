package auth

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
)

var (
	selectOwnRoles = db.SQL(`SELECT n, like_role, created, retired, body FROM own_role WHERE practice_id = $1 ORDER BY n`)
	insertOwnRole  = db.InsertInto("own_role", "practice_id", "n", "like_role", "created", "retired", "body")
	renameOwnRole  = db.SQL(`UPDATE own_role SET body = $3 WHERE practice_id = $1 AND n = $2`)
	retireOwnRole  = db.SQL(`UPDATE own_role SET retired = $3 WHERE practice_id = $1 AND n = $2`)
)

type ownRoleBody struct {
	Name string `json:"name"`
	By   int64  `json:"by"`
}

func ownRolePlace(n int64) []byte { return fmt.Appendf(nil, "own_role|%d", n) }

// ownRoles reads the practice's own roles by number, those that were retired too.
func ownRoles(ctx context.Context, tx *db.Tx) ([]OwnRole, error) {
	rows, err := tx.Query(ctx, selectOwnRoles, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []OwnRole
	for rows.Next() {
		var n, created, retired int64
		var like string
		var body []byte
		if err := rows.Scan(&n, &like, &created, &retired, &body); err != nil {
			return nil, err
		}
		var b ownRoleBody
		if err := openJSON(tx.Keys(), ownRolePlace(n), body, &b); err != nil {
			return nil, err
		}
		o := OwnRole{Role: ownRole(int(n)), Name: b.Name, Like: Role(like), Created: instant(created), By: b.By}
		if retired != 0 {
			o.Retired = instant(retired)
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

// number is what own roles are kept under.
func (o *OwnRole) number() int64 {
	i, _ := o.Role.bit()
	return int64(i - firstOwn + 1)
}

func (o *OwnRole) body(tx *db.Tx) ([]byte, error) {
	return sealJSON(tx.Keys(), ownRolePlace(o.number()), ownRoleBody{o.Name, o.By})
}

func addOwnRole(tx *db.Tx, o OwnRole) error {
	body, err := o.body(tx)
	if err == nil {
		tx.InsertMany(insertOwnRole, [][]any{{int64(tx.Practice()), o.number(), string(o.Like), o.Created.UnixMicro(), 0, body}})
	}
	return err
}

func nameOwnRole(ctx context.Context, tx *db.Tx, o OwnRole) error {
	body, err := o.body(tx)
	if err == nil {
		_, err = tx.Exec(ctx, renameOwnRole, int64(tx.Practice()), o.number(), body)
	}
	return err
}

func endOwnRole(ctx context.Context, tx *db.Tx, o OwnRole) error {
	_, err := tx.Exec(ctx, retireOwnRole, int64(tx.Practice()), o.number(), tx.NowMicro())
	return err
}
