package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
)

// Limits of one step of Sequence, and the number of entries that are packed together.
const (
	maxWaits   = 500  // rows of audit_wait
	maxEntries = 1024 // entries, unless the first row alone has more
	packSize   = 512
	packAfter  = 24 * 3600 * 1e6 // µs: entries that stay alone are packed after a day
)

var (
	lastFresh = db.SQL(`SELECT position, edge FROM audit_fresh WHERE practice_id = $1 ORDER BY position DESC LIMIT 1`)
	lastPack  = db.SQL(`SELECT position, edge FROM audit_pack WHERE practice_id = $1 ORDER BY position DESC LIMIT 1`)
	waitRows  = db.SQL(`SELECT id, body FROM audit_wait WHERE practice_id = $1 ORDER BY id LIMIT $2`)
	allWaits  = db.SQL(`SELECT id, body FROM audit_wait WHERE practice_id = $1 ORDER BY id`)
	freshRows = db.SQL(`SELECT position, first, edge, body FROM audit_fresh WHERE practice_id = $1 ORDER BY position LIMIT $2`)
	freshSize = db.SQL(`SELECT coalesce(max(position) - min(first) + 1, 0) FROM audit_fresh WHERE practice_id = $1`)

	deleteWait  = db.SQL(`DELETE FROM audit_wait WHERE practice_id = $1 AND id {in $2}`)
	deleteFresh = db.SQL(`DELETE FROM audit_fresh WHERE practice_id = $1 AND position >= $2 AND position <= $3`)

	insertFresh = db.InsertInto("audit_fresh", "practice_id", "position", "first", "waits", "edge", "body")
	insertPack  = db.InsertInto("audit_pack", "practice_id", "position", "first", "low", "high", "edge", "body")
	insertFind  = db.InsertInto("audit_find", "practice_id", "key", "high")
	insertTree  = db.InsertInto("audit_tree", "practice_id", "place", "hash")
)

// Sequence gives positions to entries that have none yet, adds them to the Merkle tree, and packs what has come
// together. It returns where the log now ends and whether more wait. A job calls it within a second of a recording;
// two at once do no harm, one of them does nothing.
func (l *Log) Sequence(ctx context.Context, s db.Scope) (end Checkpoint, more bool, err error) {
	err = l.db.Do(ctx, s, func(tx *db.Tx) error {
		e, err := tail(ctx, tx)
		if err != nil {
			return err
		}
		if more, err = l.sequence(ctx, tx, &e); err != nil {
			return err
		}
		end = e.checkpoint()
		return pack(ctx, tx)
	})
	if err != nil && l.looks.node != nil && l.db.Gone(s) {
		l.looks.node.Forget(int64(s.Practice())) // its keys were destroyed: nobody can read it ever again
	}
	if db.IsUnique(err) { // another process took this position and does the work
		return end, false, nil
	}
	return end, more, err
}

// Settle sequences until nothing waits: the practice's store then holds its whole audit.
func (l *Log) Settle(ctx context.Context, s db.Scope) error {
	for last := int64(-1); ; {
		end, more, err := l.Sequence(ctx, s)
		if err != nil || !more || end.Position == last { // what is left does not open
			return err
		}
		last = end.Position
	}
}

// Head is where the log ends now; the zero Checkpoint before anything is sequenced.
func (l *Log) Head(ctx context.Context, s db.Scope) (end Checkpoint, err error) {
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		e, err := tail(ctx, tx)
		end = e.checkpoint()
		return err
	})
	return end, err
}

// tail is the tree as it was left.
func tail(ctx context.Context, tx *db.Tx) (edge, error) {
	for _, st := range []*db.Stmt{lastFresh, lastPack} {
		var size int64
		var b []byte
		err := tx.QueryRow(ctx, st, int64(tx.Practice())).Scan(&size, &b)
		if err == db.ErrNoRows {
			continue
		}
		if err != nil {
			return edge{}, err
		}
		e, ok := edgeOf(size, b)
		if !ok {
			return edge{}, fmt.Errorf("audit: the hashes of the tree that ends at %d are damaged", size)
		}
		return e, nil
	}
	return edge{}, nil
}

// waits is what rows of audit_wait hold.
type waits struct {
	ids     []int64 // of the rows that open
	damaged []int64 // of those that do not
	items   []item
	left    bool // rows were left because of the limit
}

func waiting(tx *db.Tx, rows *db.Rows, limit int) (w waits, err error) {
	defer rows.Close()
	for rows.Next() {
		var id int64
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return w, err
		}
		some, err := openItems(tx.Keys(), body, rowAAD(rowWait, int64(tx.Practice()), id, 0))
		if err != nil {
			w.damaged = append(w.damaged, id)
			continue
		}
		if len(w.items) > 0 && len(w.items)+len(some) > limit {
			w.left = true
			break
		}
		w.ids, w.items = append(w.ids, id), append(w.items, some...)
	}
	return w, rows.Err()
}

// sequence moves waiting rows, and what the journal holds, behind the end of the tree. Rows that do not open stay where they
// are: Verify names them.
func (l *Log) sequence(ctx context.Context, tx *db.Tx, e *edge) (more bool, err error) {
	rows, err := tx.Query(ctx, waitRows, int64(tx.Practice()), maxWaits)
	if err != nil {
		return false, err
	}
	w, err := waiting(tx, rows, maxEntries)
	if err != nil {
		return false, err
	}
	more = w.left || len(w.ids)+len(w.damaged) == maxWaits
	ids, items := w.ids, w.items
	seen, left, err := l.looks.open(ctx, tx, l.looks.waiting(tx.Practice()), max(0, maxEntries-len(items)))
	if err != nil {
		return false, err
	}
	more = more || left
	some, err := l.looks.take(ctx, tx, seen)
	if err != nil {
		return false, err
	}
	if items = append(items, some...); len(items) == 0 {
		return more, nil
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.id, b.id) })
	practice, k := int64(tx.Practice()), tx.Keys()
	first := e.size + 1
	var nodes [][]any
	for _, i := range items {
		e.add(leafOf(k, practice, e.size+1, i), func(n node) {
			nodes = append(nodes, []any{practice, placeOf(n), n.hash[:]})
		})
	}
	moved := segment{position: e.size, first: first, edge: e.bytes()}
	whole, err := complete(ctx, tx, items, ids)
	if err == nil && whole {
		err = insertRun(tx, moved, items)
	} else if err == nil {
		err = insertLoose(tx, moved, items, ids)
	}
	if err != nil {
		return false, err
	}
	if len(nodes) > 0 {
		tx.InsertMany(insertTree, nodes)
	}
	if len(ids) == 0 {
		return more, nil
	}
	n, err := tx.Exec(ctx, deleteWait, practice, ids)
	if err == nil && n != int64(len(ids)) {
		err = fmt.Errorf("audit: %d of %d rows moved while they got their positions", n, len(ids))
	}
	return more, err
}

// complete says whether items are a pack from the start: enough of them, none moved out of audit_wait, whose rows go only where a
// fresh row names them, and nothing fresh that a pack must not come after.
func complete(ctx context.Context, tx *db.Tx, items []item, waits []int64) (bool, error) {
	if len(items) < packSize || len(waits) > 0 {
		return false, nil
	}
	var fresh int64
	err := tx.QueryRow(ctx, freshSize, int64(tx.Practice())).Scan(&fresh)
	return fresh == 0, err
}

// insertLoose puts items into a row of audit_fresh, which names the rows of audit_wait that they come from.
func insertLoose(tx *db.Tx, s segment, items []item, waits []int64) error {
	practice := int64(tx.Practice())
	body, err := sealRecords(tx.Keys(), recordsOf(items), rowAAD(rowFresh, practice, s.first, s.position), len(items) > 4)
	if err != nil {
		return err
	}
	var names strings.Builder
	for _, id := range waits {
		fmt.Fprintf(&names, "%016x", id)
	}
	tx.InsertMany(insertFresh, [][]any{{practice, s.position, s.first, names.String(), s.edge, body}})
	return nil
}

// segment is a row of audit_fresh or audit_pack.
type segment struct {
	position, first int64
	edge, body      []byte
}

// pack puts full runs of fresh rows into packs.
func pack(ctx context.Context, tx *db.Tx) error {
	practice := int64(tx.Practice())
	var n int64
	if err := tx.QueryRow(ctx, freshSize, practice).Scan(&n); err != nil || n == 0 {
		return err
	}
	limit := int64(1 << 31)
	if n < packSize {
		limit = 1 // enough to see how old they are
	}
	rows, err := freshOf(ctx, tx, limit)
	if err == nil && n < packSize && len(rows) == 1 {
		items, broken := openItems(tx.Keys(), rows[0].body, rowAAD(rowFresh, practice, rows[0].first, rows[0].position))
		if broken != nil || len(items) == 0 || tx.NowMicro()-idMicro(items[0].id) < packAfter {
			return nil
		}
		rows, err = freshOf(ctx, tx, 1<<31)
	}
	if err != nil {
		return err
	}
	var run []segment
	var items []item
	for _, r := range rows {
		some, err := openItems(tx.Keys(), r.body, rowAAD(rowFresh, practice, r.first, r.position))
		if err != nil || int64(len(some)) != r.position-r.first+1 {
			return nil // damaged: it stays where Verify names it, and so does what comes after
		}
		run, items = append(run, r), append(items, some...)
		if len(items) >= packSize {
			if err := packRun(ctx, tx, run, items); err != nil {
				return err
			}
			run, items = nil, nil
		}
	}
	if len(items) > 0 && tx.NowMicro()-idMicro(items[0].id) >= packAfter {
		return packRun(ctx, tx, run, items)
	}
	return nil
}

func freshOf(ctx context.Context, tx *db.Tx, limit int64) ([]segment, error) {
	rows, err := tx.Query(ctx, freshRows, int64(tx.Practice()), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []segment
	for rows.Next() {
		var s segment
		if err := rows.Scan(&s.position, &s.first, &s.edge, &s.body); err != nil {
			return nil, err
		}
		s.edge, s.body = slices.Clone(s.edge), slices.Clone(s.body)
		out = append(out, s)
	}
	return out, rows.Err()
}

// packRun puts the items of fresh rows into one pack.
func packRun(ctx context.Context, tx *db.Tx, run []segment, items []item) error {
	first, last := run[0].first, run[len(run)-1]
	if err := insertRun(tx, segment{position: last.position, first: first, edge: last.edge}, items); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, deleteFresh, int64(tx.Practice()), first, last.position)
	if err == nil && n != int64(len(run)) {
		err = fmt.Errorf("audit: %d of %d fresh rows moved while they were packed", n, len(run))
	}
	return err
}

// insertRun puts items into a row of audit_pack, and what they are found by beside it.
func insertRun(tx *db.Tx, s segment, items []item) error {
	practice, k := int64(tx.Practice()), tx.Keys()
	low, high := items[0].id, items[0].id
	found := map[int64]bool{}
	for _, i := range items {
		low, high = min(low, i.id), max(high, i.id)
		e, err := i.entry()
		if err != nil {
			return fmt.Errorf("audit: entry %d: %w", i.id, err)
		}
		keysOf(k, &e, found)
	}
	body, err := sealRecords(k, recordsOf(items), rowAAD(rowPack, practice, s.first, s.position), true)
	if err != nil {
		return err
	}
	tx.InsertMany(insertPack, [][]any{{practice, s.position, s.first, low, high, s.edge, body}})
	var rows [][]any
	for key := range found {
		rows = append(rows, []any{practice, key, high})
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[1].(int64), b[1].(int64)) })
	tx.InsertMany(insertFind, rows)
	return nil
}
