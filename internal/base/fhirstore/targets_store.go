package fhirstore

import (
	"context"
	"maps"
	"slices"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

var selectSurroundings = db.SQL(`SELECT r.idh, r.labels, r.deleted FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2}`)

// surroundings reads what the resources about to be written belong to and refer to: the labels they inherit, and whether
// their targets are here. It is one statement, and none where nothing is asked; a second one only for scopes that see a part
// of a type.
func (w *writer) surroundings(ctx context.Context, changes []change) error {
	var asked map[int64]string
	for i := range changes {
		if p := changes[i].p; p != nil && p.targets != AnyTarget {
			if asked == nil {
				asked = map[int64]string{}
			}
			maps.Copy(asked, referredTo(w.a.k, p.node))
		}
	}
	if asked = w.a.readable(asked); len(asked) == 0 {
		return w.inherit(ctx, changes)
	}
	if w.a.partial(asked) {
		if err := w.inherit(ctx, changes); err != nil {
			return err
		}
		here, err := w.a.here(ctx, w.tx, asked)
		if err != nil {
			return err
		}
		return w.meet(changes, asked, here)
	}
	ids := slices.Collect(maps.Keys(asked))
	for i := range changes {
		if p := changes[i].p; p != nil {
			ids = append(ids, w.sources(p)...)
		}
	}
	labels, here := map[int64]int64{}, map[int64]bool{}
	rows, err := w.tx.Query(ctx, selectSurroundings, int64(w.tx.Practice()), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var idh, mask, deleted int64
		if err := rows.Scan(&idh, &mask, &deleted); err != nil {
			return err
		}
		labels[idh] = mask
		here[idh] = deleted == 0 && (mask&w.a.Forbidden == 0 || asked[idh] == w.s.unguarded)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	w.inheritFrom(labels, changes)
	return w.meet(changes, asked, here)
}

// partial says that of one of these types the scope sees some resources and not others for more than their labels.
func (a *kernel) partial(asked map[int64]string) bool {
	for _, typ := range asked {
		if a.particular(typ, auth.CanRead) {
			return true
		}
	}
	return false
}

// here says which of these resources are here for the scope, in one statement.
func (a *kernel) here(ctx context.Context, tx *db.Tx, asked map[int64]string) (map[int64]bool, error) {
	byType := map[string][]int64{}
	for idh, typ := range asked {
		byType[typ] = append(byType[typ], idh)
	}
	q := newSQL(tx.Practice())
	for i, typ := range slices.Sorted(maps.Keys(byType)) {
		if i > 0 {
			q.add(" UNION ALL ")
		}
		q.add("SELECT ", rowColumns, " FROM resource r WHERE r.practice_id = $1 AND ")
		slices.Sort(byType[typ])
		q.in("r.idh", byType[typ])
		q.add(" AND r.deleted = 0")
		a.where(q, "r", typ, auth.CanRead, tx.Engine())
	}
	rows, err := scanRows(tx.Query(ctx, tx.Compile(q.b.String()), q.args...))
	if err != nil {
		return nil, err
	}
	out := make(map[int64]bool, len(rows))
	for _, r := range rows {
		n := a.narrow(typeName(r.typ), auth.CanRead)
		if n == nil || typeName(r.typ) == a.s.unguarded {
			out[r.idh] = true
			continue
		}
		res, err := a.s.resource(tx, r)
		if err != nil {
			return nil, err
		}
		out[r.idh] = n.opens(res.Node())
	}
	return out, nil
}
