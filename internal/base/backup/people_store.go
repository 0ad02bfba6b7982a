package backup

import (
	"context"

	"yarrow.health/internal/base/db"
)

// peopleColumns are the columns of a practice that hold numbers of people, whose logins are in the system store.
var peopleColumns = []struct{ table, column string }{
	{"note_draft", "author"}, {"note_draft", "writer_user"}, {"note_words", "user_id"},
	{"break_glass", "user_id"}, {"oauth_grant", "user_id"}, {"role_rule", "changed_by"},
}

// Renumber gives the people in a restored practice the numbers they have in this installation, where those differ: was → now.
func Renumber(ctx context.Context, d *db.DB, s db.Scope, people map[int64]int64) error {
	if len(people) == 0 {
		return nil
	}
	return d.Do(ctx, s, func(tx *db.Tx) error {
		for _, c := range peopleColumns {
			one := tx.Compile(`UPDATE ` + c.table + ` SET ` + c.column + ` = $3 WHERE practice_id = $1 AND ` + c.column + ` = $2`)
			for was, now := range people { // by way of negative numbers, so that two who change places stay two
				if _, err := tx.Exec(ctx, one, int64(tx.Practice()), was, -now); err != nil {
					return err
				}
			}
			for _, now := range people {
				if _, err := tx.Exec(ctx, one, int64(tx.Practice()), -now, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
