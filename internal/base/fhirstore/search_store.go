package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// How many candidates a search may look at before it stops.
const (
	scanPage = 20000  // then a page ends early and its cursor goes on
	scanAll  = 200000 // then a search that must be complete fails
	scanFor  = 25000  // then a condition of a write fails, which others wait for
	pageSize = 50
	maxPage  = 1000
)

// gather returns the first want resources beyond a place that pass every check, and the place to go on from
// when there may be more. With any limit but scanPage running out of candidates to look at is an error.
func (s *Store) gather(ctx context.Context, tx *db.Tx, c *candidates, o order, from *place, want, limit int) ([]*Resource, *place, error) {
	var found []*Resource
	if c.none || want <= 0 {
		return nil, nil, nil
	}
	if err := c.weigh(ctx, tx, o); err != nil {
		return nil, nil, err
	}
	batch := want + 1
	switch {
	case c.loose:
		batch = max(2*batch, pageSize)
	case len(c.facets) > 0:
		batch += want/8 + 1 // some share the bits of other values
	}
	r := newRowReader()
	for looked := 0; ; batch = min(batch*4, 1000) {
		if !c.brief() || batch > 4*pageSize || looked > 0 {
			tx.Apart()
		}
		q := c.query(tx.Practice(), o, from, batch)
		n, had := 0, len(found)
		done := false
		rows, err := tx.Query(ctx, tx.Compile(q.b.String()), q.args...)
		if err != nil {
			return nil, nil, err
		}
		for rows.Next() {
			if err := r.scan(rows); err != nil {
				rows.Close()
				return nil, nil, err
			}
			if n++; n%64 == 0 && ctx.Err() != nil {
				rows.Close()
				return nil, nil, ctx.Err()
			}
			at := place{r.date, r.rid}
			if o.bySeq {
				at.key = r.seq
			}
			if len(found) == want {
				done = true
				break
			}
			from = &at
			res, err := r.unread(s, tx, rows)
			if err != nil {
				rows.Close()
				return nil, nil, err
			}
			if c.passes(res, &r.row) {
				res.read()
				res.at = at
				found = append(found, res)
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, nil, err
		}
		if done {
			return found, from, nil
		}
		if n < batch {
			return found, nil, nil
		}
		if looked += n; looked >= limit {
			if limit != scanPage {
				return nil, nil, tooMuch(limit)
			}
			return found, from, nil
		}
		if err := c.a.effort.more(n - (len(found) - had)); err != nil {
			return nil, nil, err
		}
	}
}

func (c *candidates) passes(r *Resource, from *row) bool {
	for i := range c.checks {
		if !c.checks[i].holds(r, from) {
			return false
		}
	}
	return true
}

func tooMuch(limit int) *fhir.Issue {
	return fhir.Problem("too-costly", fmt.Sprintf("This search would have to look through more than %d,000 resources.", limit/1000), narrowIt)
}

// Search answers a parsed query. Without _sort resources come in clinical order, newest first. Candidates
// that the index cannot decide are decoded and checked; a page of a search that finds little among much may
// come back short, with a cursor that goes on.
func (s *Store) Search(ctx context.Context, tx *db.Tx, q fhirsearch.Query) (*Page, error) {
	a := s.kernel(tx)
	within, end := s.bounded(ctx, tx, &a)
	page, err := s.search(within, tx, &a, q)
	return page, end(err)
}

func (s *Store) search(ctx context.Context, tx *db.Tx, a *kernel, q fhirsearch.Query) (*Page, error) {
	x := compiler{s: s, tx: tx, a: a}
	c, err := x.compile(ctx, q.Type, q.Clauses)
	if err != nil {
		return nil, err
	}
	if q.Compartment != "" {
		if err := x.inside(c, q.Compartment); err != nil {
			return nil, err
		}
	}
	page := &Page{Total: -1}
	if q.Total == "accurate" || q.Total == "estimate" || q.Summary == "count" {
		if page.Total, err = s.total(ctx, tx, c, q.Total == "estimate"); err != nil {
			return nil, err
		}
	}
	if q.Summary == "count" {
		return page, nil
	}
	want := q.Count
	switch {
	case want <= 0:
		want = pageSize
	case want > maxPage && want != findLimit:
		want = maxPage
	}
	o, direct := orderOf(q)
	if direct {
		err = s.pageInOrder(ctx, tx, c, o, q, want, page)
	} else {
		err = s.pageSorted(ctx, tx, c, q, want, page)
	}
	if err != nil {
		return nil, err
	}
	return page, s.include(ctx, tx, &x, q, page)
}

// SortedByIndex says that a search with this _sort and nothing else out of the ordinary is answered by one statement.
func SortedByIndex(typ, sort string) bool {
	_, direct := orderOf(fhirsearch.Query{Type: typ, Sort: []fhirsearch.Sort{{Param: strings.TrimPrefix(sort, "-")}}})
	return direct
}

// orderOf translates _sort into an order the database has. direct is false for every other sort.
func orderOf(q fhirsearch.Query) (o order, direct bool) {
	switch len(q.Sort) {
	case 0:
		return order{}, true
	case 1:
		k := q.Sort[0]
		if k.Param == "_lastUpdated" {
			return order{bySeq: true, asc: !k.Desc}, true
		}
		if p := planOf(q.Type); p != nil && p.date != "" && p.date == k.Param {
			return order{asc: !k.Desc}, true
		}
	}
	return order{}, false
}

func (s *Store) pageInOrder(ctx context.Context, tx *db.Tx, c *candidates, o order, q fhirsearch.Query, want int, page *Page) error {
	from, err := openCursor(tx, q)
	if err != nil {
		return err
	}
	found, next, err := s.gather(ctx, tx, c, o, from, want, scanPage)
	if err != nil {
		return err
	}
	page.Resources = found
	if next != nil {
		page.Next = sealCursor(tx, q, *next)
	}
	return nil
}

// sortedLimit bounds what a sort by anything but clinical date and _lastUpdated goes through.
const sortedLimit = 20000

// pageSorted sorts the keys of all matches and reads the resources of the page. The cursor holds the keys of the last
// one shown, so that pages neither repeat nor skip what stays as it was.
func (s *Store) pageSorted(ctx context.Context, tx *db.Tx, c *candidates, q fhirsearch.Query, want int, page *Page) error {
	var after *sorted
	if q.Page != "" {
		plain, err := openBytes(tx, q)
		if err != nil {
			return err
		}
		if after = unpackSorted(plain, len(q.Sort)); after == nil {
			return fhir.Problem("value", "The page link does not belong to this search.", "Start the search again without _page.")
		}
	}
	var all []sorted
	for from := (*place)(nil); ; {
		some, more, err := s.gather(ctx, tx, c, order{}, from, 1000, scanAll)
		if err != nil {
			return err
		}
		for _, r := range some {
			all = append(all, sortedOf(r, q.Sort))
		}
		if len(all) > sortedLimit {
			return fhir.Problem("too-costly", "More than 20,000 resources would have to be sorted.",
				"Narrow the search, or sort by _lastUpdated or the date of the type.")
		}
		if more == nil {
			break
		}
		from = more
	}
	by := func(a, b sorted) int { return compareSorted(q.Sort, &a, &b) }
	slices.SortFunc(all, by)
	start := 0
	if after != nil {
		start, _ = slices.BinarySearchFunc(all, *after, by)
		if start < len(all) && by(all[start], *after) == 0 {
			start++
		}
	}
	end := min(start+want, len(all))
	ids := make([]int64, 0, end-start)
	for _, k := range all[start:end] {
		ids = append(ids, c.a.k.id(c.typ, k.id))
	}
	if len(ids) > 0 {
		rows, err := scanRows(tx.Query(ctx, selectByIDs, int64(tx.Practice()), ids))
		if err != nil {
			return err
		}
		by := make(map[int64]*Resource, len(rows))
		for _, r := range rows {
			if by[r.idh], err = s.resource(tx, r); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if r := by[id]; r != nil {
				page.Resources = append(page.Resources, r)
			}
		}
	}
	if end < len(all) {
		page.Next = sealBytes(tx, q, all[end-1].pack())
	}
	return nil
}

// total counts the matches: in the index when that decides or an estimate will do, otherwise by looking at each. What lies outside
// a narrowed scope is never part of an estimate, which would tell how much of it there is.
func (s *Store) total(ctx context.Context, tx *db.Tx, c *candidates, estimate bool) (int, error) {
	if c.none {
		return 0, nil
	}
	if len(c.checks) == 0 || estimate && !slices.ContainsFunc(c.checks, func(k check) bool { return k.within != nil }) {
		q := c.count(tx.Practice(), 1_000_000)
		var n int64
		err := tx.QueryRow(ctx, tx.Compile(q.b.String()), q.args...).Scan(&n)
		return int(n), err
	}
	found, _, err := s.gather(ctx, tx, c, order{}, nil, scanAll, scanAll)
	return len(found), err
}
