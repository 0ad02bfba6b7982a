package fhirstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// SearchTypes answers one search over several types, given as the same query for each (fhirsearch.ParseTypes): what was
// changed last comes first. _sort may only be _lastUpdated. Types the scope may not search contribute nothing, as if
// there were none of them.
func (s *Store) SearchTypes(ctx context.Context, tx *db.Tx, queries []fhirsearch.Query) (*Page, error) {
	if len(queries) == 0 {
		return &Page{Total: -1}, nil
	}
	a := s.kernel(tx)
	within, end := s.bounded(ctx, tx, &a)
	page, err := s.searchTypes(within, tx, &a, queries)
	return page, end(err)
}

func (s *Store) searchTypes(ctx context.Context, tx *db.Tx, a *kernel, queries []fhirsearch.Query) (*Page, error) {
	q := queries[0]
	o := order{bySeq: true}
	switch {
	case len(q.Sort) == 1 && q.Sort[0].Param == "_lastUpdated":
		o.asc = !q.Sort[0].Desc
	case len(q.Sort) > 0:
		return nil, fhir.Problem("not-supported", "A search over several types can only be sorted by _lastUpdated.", "Search one type, or leave _sort out.")
	}
	var names []string
	for _, q := range queries {
		names = append(names, q.Type)
	}
	whole := q // what a cursor is bound to
	whole.Type = strings.Join(names, ",")
	var from *place
	if q.Page != "" {
		plain, err := openBytes(tx, whole)
		if err != nil {
			return nil, err
		}
		seq, n := binary.Varint(plain)
		if n <= 0 {
			return nil, fhir.Problem("value", "The page link does not belong to this search.", "Start the search again without _page.")
		}
		from = &place{key: seq}
	}
	want := q.Count
	if want <= 0 {
		want = pageSize
	}
	want = min(want, maxPage)
	page := &Page{Total: -1}
	counted := q.Total == "accurate" || q.Total == "estimate" || q.Summary == "count"
	if counted {
		page.Total = 0
	}
	var found []*Resource
	var edge *place // no type was looked through beyond this
	for _, q := range queries {
		if a.closed || !a.Allows(q.Type, auth.CanSearch) {
			continue
		}
		x := compiler{s: s, tx: tx, a: a}
		c, err := x.compile(ctx, q.Type, q.Clauses)
		if err != nil {
			return nil, err
		}
		if counted {
			n, err := s.total(ctx, tx, c, q.Total == "estimate")
			if err != nil {
				return nil, err
			}
			page.Total += n
		}
		if q.Summary == "count" {
			continue
		}
		some, more, err := s.gather(ctx, tx, c, o, from, want, scanPage)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
		if more != nil && (edge == nil || (more.key < edge.key) == o.asc) {
			edge = more
		}
	}
	slices.SortFunc(found, func(a, b *Resource) int {
		if o.asc {
			return cmp.Compare(a.at.key, b.at.key)
		}
		return cmp.Compare(b.at.key, a.at.key)
	})
	var last *place
	if len(found) > want {
		found, last = found[:want], &found[want-1].at
	}
	if edge != nil && (last == nil || (edge.key < last.key) == o.asc) {
		// A type was left off before the others' last resource: what lies beyond waits for the next page.
		last = edge
		found = slices.DeleteFunc(found, func(r *Resource) bool { return r.at.key != edge.key && (r.at.key > edge.key) == o.asc })
	}
	page.Resources = found
	if last != nil {
		page.Next = sealBytes(tx, whole, binary.AppendVarint(nil, last.key))
	}
	return page, s.includeTypes(ctx, tx, a, queries, page)
}

// includeTypes adds what the queries include, each for its own type.
func (s *Store) includeTypes(ctx context.Context, tx *db.Tx, a *kernel, queries []fhirsearch.Query, page *Page) error {
	var q fhirsearch.Query
	for _, each := range queries {
		for _, in := range each.Include {
			if !slices.Contains(q.Include, in) {
				q.Include = append(q.Include, in)
			}
		}
		for _, in := range each.RevInclude {
			if !slices.Contains(q.RevInclude, in) {
				q.RevInclude = append(q.RevInclude, in)
			}
		}
	}
	return s.include(ctx, tx, &compiler{s: s, tx: tx, a: a}, q, page)
}
