package fhirstore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

var selectSurroundings = db.SQL(`SELECT r.idh, r.labels, r.deleted FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2}`)

// surroundings reads what the resources about to be written belong to and refer to: the labels they inherit, and whether
// their targets are here. It is one statement, and none where nothing is asked. Nobody's writes inherit from what they do not
// see: it could not be referred to (see contextOf), and what was written would vanish before their eyes.
func (w *writer) surroundings(ctx context.Context, changes []change) error {
	wanted := make([]map[int64]string, len(changes))
	asked, some := map[int64]string{}, false
	for i := range changes {
		p := changes[i].p
		if p == nil {
			continue
		}
		if p.targets != AnyTarget {
			wanted[i] = w.a.readable(referredTo(w.a.k, p.node))
		}
		p.context = w.contextOf(p)
		maps.Copy(asked, wanted[i])
		maps.Copy(asked, w.a.readable(maps.Clone(p.context)))
		some = some || len(wanted[i]) > 0 || len(p.context) > 0
	}
	if !some {
		return w.inherit(ctx, changes)
	}
	var here map[int64]bool
	var labels map[int64]int64
	var err error
	switch {
	case len(asked) == 0:
	case w.a.partial(asked):
		here, labels, err = w.a.here(ctx, w.tx, asked)
	default:
		here, labels, err = w.around(ctx, changes, asked)
	}
	if err != nil {
		return err
	}
	w.inheritFrom(labels, changes)
	return w.meet(changes, wanted, here)
}

// around is what is here, and the labels of what the scope sees, where these labels alone decide that.
func (w *writer) around(ctx context.Context, changes []change, asked map[int64]string) (here map[int64]bool, labels map[int64]int64, err error) {
	ids := slices.Collect(maps.Keys(asked))
	if w.a.whole() {
		for i := range changes {
			if p := changes[i].p; p != nil {
				ids = append(ids, w.sources(p)...)
			}
		}
	}
	rows, err := w.tx.Query(ctx, selectSurroundings, int64(w.tx.Practice()), ids)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	here, labels = map[int64]bool{}, map[int64]int64{}
	for rows.Next() {
		var idh, mask, deleted int64
		if err := rows.Scan(&idh, &mask, &deleted); err != nil {
			return nil, nil, err
		}
		seen := mask&w.a.Forbidden == 0 || asked[idh] != "" && asked[idh] == w.s.unguarded
		here[idh] = deleted == 0 && seen
		if seen {
			labels[idh] = mask
		}
	}
	return here, labels, rows.Err()
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

// here says which of these resources are here for the scope, and which labels they bear, in one statement.
func (a *kernel) here(ctx context.Context, tx *db.Tx, asked map[int64]string) (map[int64]bool, map[int64]int64, error) {
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
		return nil, nil, err
	}
	out, labels := make(map[int64]bool, len(rows)), make(map[int64]int64, len(rows))
	for _, r := range rows {
		typ := typeName(r.typ)
		if n := a.narrow(typ, auth.CanRead); n != nil && typ != a.s.unguarded {
			res, err := a.s.resource(tx, r)
			if err != nil {
				return nil, nil, err
			}
			if !n.opens(res.Node()) {
				continue
			}
		}
		out[r.idh], labels[r.idh] = true, r.labels
	}
	return out, labels, nil
}

// Seen says which of these resources, given as "Type/id", the scope may see: those that are here, and those that were deleted and that
// it saw before. It reads them by some hundreds at a time.
func (s *Store) Seen(ctx context.Context, tx *db.Tx, refs []string) (map[string]bool, error) {
	a := s.kernel(tx)
	out := map[string]bool{}
	for some := range slices.Chunk(refs, 500) {
		asked, names := map[int64]string{}, map[int64]string{}
		for _, ref := range some {
			if typ, id, ok := strings.Cut(ref, "/"); ok && typeCode(typ) != 0 && a.may(typ, auth.CanRead) == nil {
				idh := a.k.id(typ, id)
				asked[idh], names[idh] = typ, ref
			}
		}
		if len(asked) == 0 {
			continue
		}
		here, _, err := a.here(ctx, tx, asked)
		if err != nil {
			return nil, err
		}
		for idh := range here {
			out[names[idh]] = true
		}
		gone, err := scanRows(tx.Query(ctx, selectGone, int64(tx.Practice()), slices.Sorted(maps.Keys(asked))))
		if err != nil {
			return nil, err
		}
		for _, r := range gone {
			seen, err := a.sees(ctx, tx, r, auth.CanRead)
			if err != nil {
				return nil, err
			}
			if seen {
				out[names[r.idh]] = true
			}
		}
	}
	return out, nil
}

var selectGone = db.SQL(`SELECT ` + rowColumns + ` FROM resource r WHERE r.practice_id = $1 AND r.idh {in $2} AND r.deleted <> 0`)
