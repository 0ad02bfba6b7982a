package fhirstore

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// sqlText is a statement being written. $1 is always the practice.
type sqlText struct {
	b    strings.Builder
	args []any
}

func newSQL(p db.PracticeID) *sqlText { return &sqlText{args: []any{int64(p)}} }

func (q *sqlText) add(parts ...string) {
	for _, p := range parts {
		q.b.WriteString(p)
	}
}

// arg adds an argument and returns its placeholder. No value ever stands in the text itself.
func (q *sqlText) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// in writes a test against one or several numbers.
func (q *sqlText) in(column string, values []int64) {
	if len(values) == 1 {
		q.add(column, " = ", q.arg(values[0]))
		return
	}
	q.add(column, " {in ", q.arg(values), "}")
}

// candidates is a search compiled for one type: conditions that the database answers, and checks that are
// left for the decoded bodies. The conditions let through at least everything that matches.
type candidates struct {
	typ    string
	bits   auth.Bits // what the kernel is asked for; zero: auth.CanSearch
	engine db.Engine
	a      *kernel
	none   bool // nothing can match
	ids    *[]int64
	hashes []hashSet
	spans  []spanSet
	date   []dateRange
	seq    []seqRange
	facets []facetSet
	enc    []int64 // resource.encounter is one of these
	checks []check
	loose  bool // what the database lets through need not be what is looked for
	many   bool // of the type there are so many that an order by change is better walked than sorted
}

// brief says that the database finds what is looked for by a key, not by going through much else.
func (c *candidates) brief() bool {
	return !c.loose && len(c.spans) == 0 && (c.ids != nil || len(c.hashes) > 0)
}

// hashSet asks for a row of hkey with one of the hashes. The lowest rank drives the query.
type hashSet struct {
	any  []int64
	rank int
}

// spanSet asks for a row of rkey in one of the ranges.
type spanSet []spanRange

// spanRange asks for a row of rkey with hi >= low, lo <= high and lo >= from; nil is open.
type spanRange struct {
	p               int64
	from, low, high *int64
}

// dateRange asks that a date start at from or later, start before `before` and end after `after`; nil is open.
type dateRange struct{ from, before, after *int64 }

// seqRange bounds seq, both ends included.
type seqRange struct{ low, high *int64 }

// facetSet asks that all bits of one of the masks be set.
type facetSet []int64

// order is how the database sorts.
type order struct {
	bySeq bool // else by clinical date
	asc   bool
}

// place is the position of a row in an order: what a page goes on from.
type place struct{ key, rid int64 }

// Ranks of drivers: how few rows a key of that kind usually has.
const (
	rankIdentifier = iota + 1
	rankPatientCode
	rankPatient
	rankReference
	rankWord
	rankCode
	rankSpan
)

// driver takes the most selective hash set out of the list.
func (c *candidates) driver() (first *hashSet, rest []hashSet) {
	best := -1
	for i := range c.hashes {
		if best < 0 || c.hashes[i].rank < c.hashes[best].rank {
			best = i
		}
	}
	if best < 0 {
		return nil, nil
	}
	rest = append(rest, c.hashes[:best]...)
	return &c.hashes[best], append(rest, c.hashes[best+1:]...)
}

// query writes the statement for up to limit rows beyond a place.
func (c *candidates) query(p db.PracticeID, o order, from *place, limit int) *sqlText {
	q := newSQL(p)
	if c.ordered(o) {
		q.add("SELECT ", rowColumns)
		c.from(q, o, from)
		q.add(" ORDER BY ")
		c.orderBy(q, o)
		q.add(" LIMIT ", q.arg(int64(limit)))
		return q
	}
	// The engine must sort: let it sort keys, and read the bodies of the page afterwards.
	q.add("SELECT ", rowColumns, " FROM (SELECT DISTINCT ", c.sortKey(o), " AS d, r.rid AS rid")
	c.from(q, o, from)
	dir := " DESC"
	if o.asc {
		dir = " ASC"
	}
	q.add(" ORDER BY d", dir, ", rid", dir, " LIMIT ", q.arg(int64(limit)), ") c CROSS JOIN resource r WHERE r.practice_id = $1",
		" AND r.rid = c.rid ORDER BY c.d", dir, ", c.rid", dir)
	return q
}

// count writes the statement that counts the candidates, up to limit.
func (c *candidates) count(p db.PracticeID, limit int) *sqlText {
	q := newSQL(p)
	q.add("SELECT COUNT(*) FROM (SELECT DISTINCT r.rid")
	c.from(q, order{}, nil)
	q.add(" LIMIT ", q.arg(int64(limit)), ") c")
	return q
}

// ordered says whether the driving index already gives the order.
func (c *candidates) ordered(o order) bool {
	if c.ids != nil {
		return false
	}
	first, _ := c.driver()
	switch {
	case first != nil:
		return !o.bySeq && len(first.any) == 1
	case len(c.spans) > 0:
		return false
	}
	return true
}

func (c *candidates) sortKey(o order) string {
	if o.bySeq {
		return "r.seq"
	}
	if first, _ := c.driver(); first != nil && c.ids == nil {
		return "k.d"
	}
	return "r.date"
}

func (c *candidates) orderBy(q *sqlText, o order) {
	dir := " DESC"
	if o.asc {
		dir = " ASC"
	}
	if o.bySeq {
		q.add("r.seq", dir)
		return
	}
	rid := "r.rid"
	if first, _ := c.driver(); first != nil && c.ids == nil {
		rid = "k.rid"
	}
	q.add(c.sortKey(o), dir, ", ", rid, dir)
}

// from writes FROM and WHERE: driver first, joined in the written order on both engines.
func (c *candidates) from(q *sqlText, o order, from *place) {
	rest := c.hashes
	typ := int64(typeCode(c.typ))
	switch {
	case c.ids != nil:
		how := ""
		if c.engine == db.SQLite {
			how = " INDEXED BY resource_idh" // it would read everything and look each id up in a list
		}
		q.add(" FROM resource r", how, " WHERE r.practice_id = $1 AND ")
		q.in("r.idh", *c.ids)
		q.add(" AND (r.type + 0) = ", q.arg(typ)) // the ids lead, not the index by type
		c.filters(q, o)
	case len(c.hashes) > 0:
		var first *hashSet
		first, rest = c.driver()
		c.lookup(q, o, "hkey k", "k", func() {
			q.add("k.practice_id = $1 AND ")
			q.in("k.h", first.any)
			for _, d := range c.date {
				if d.before != nil {
					q.add(" AND k.d < ", q.arg(*d.before))
				}
			}
		})
	case len(c.spans) > 0:
		// Further ranges have no row that a rid leads to; the check on the body decides them.
		c.lookup(q, o, c.ranges(q, c.spans[0]), "s", func() { q.add("1 = 1") })
	case o.bySeq:
		column := "r.type"
		if c.many && c.engine == db.SQLite {
			column = "(r.type + 0)" // or it would take the index by type, and sort; PostgreSQL weighs this itself
		}
		q.add(" FROM resource r WHERE r.practice_id = $1 AND ", column, " = ", q.arg(typ))
		c.filters(q, o)
	default:
		q.add(" FROM resource r WHERE r.practice_id = $1 AND r.type = ", q.arg(typ))
		c.filters(q, o)
	}
	c.joined(q, rest)
	c.a.within(q, "r", c.typ, cmp.Or(c.bits, auth.CanSearch), c.engine)
	if from == nil {
		return
	}
	op := " < "
	if o.asc {
		op = " > "
	}
	if o.bySeq {
		q.add(" AND r.seq", op, q.arg(from.key))
		return
	}
	rid := "r.rid"
	if c.sortKey(o) == "k.d" {
		rid = "k.rid"
	}
	q.add(" AND (", c.sortKey(o), ", ", rid, ")", op, "(", q.arg(from.key), ", ", q.arg(from.rid), ")")
}

// lookup writes the join of rows that hold a rid, under alias, with their resources and the conditions on these. SQLite keeps to
// the written order. PostgreSQL is kept to it by LATERAL and OFFSET 0: it would otherwise read all resources when it expects a filter
// to leave few, and it does not know our filters.
func (c *candidates) lookup(q *sqlText, o order, rows, alias string, where func()) {
	// The key names the type; saying it again guards against a collision.
	typ := int64(typeCode(c.typ))
	if c.engine == db.SQLite {
		q.add(" FROM ", rows, " CROSS JOIN resource r WHERE ")
		where()
		q.add(" AND r.practice_id = $1 AND r.rid = ", alias, ".rid AND r.type = ", q.arg(typ))
		c.filters(q, o)
		return
	}
	q.add(" FROM ", rows, " CROSS JOIN LATERAL (SELECT * FROM resource r WHERE r.practice_id = $1 AND r.rid = ", alias, ".rid AND (r.type + 0) = ", q.arg(typ))
	c.filters(q, o)
	q.add(" OFFSET 0) r WHERE ")
	where()
}

// joined writes the keys that do not drive. They stand outside of a lookup: PostgreSQL could otherwise go from them to the resource.
func (c *candidates) joined(q *sqlText, hashes []hashSet) {
	for _, h := range hashes {
		q.add(" AND EXISTS (SELECT 1 FROM hkey x WHERE x.practice_id = $1 AND ")
		q.in("x.h", h.any)
		q.add(" AND x.d = r.date AND x.rid = r.rid)")
	}
}

// filters writes every condition on the resource itself.
func (c *candidates) filters(q *sqlText, o order) {
	q.add(" AND r.deleted = 0")
	c.a.own(q, "r", c.typ)
	c.columns(q, o)
}

// columns writes what the search asks of the columns of the resource.
func (c *candidates) columns(q *sqlText, o order) {
	for _, f := range c.facets {
		q.add(" AND (")
		for i, mask := range f {
			if i > 0 {
				q.add(" OR ")
			}
			m := q.arg(mask)
			q.add("(r.facet & ", m, ") >= ", m)
		}
		q.add(")")
	}
	for _, d := range c.date {
		if d.before != nil {
			q.add(" AND r.date < ", q.arg(*d.before))
		}
		if d.from != nil {
			q.add(" AND (r.date >= ", q.arg(*d.from), " OR r.span <= ", q.arg(int64(spanSeveral)), ")")
		}
		if d.after != nil {
			q.add(" AND (r.span < 0 OR r.date + r.span > ", q.arg(*d.after), ")")
		}
	}
	seq := "r.seq"
	if !o.bySeq && c.engine == db.SQLite {
		seq = "+r.seq" // or it would take the index by seq
	}
	for _, s := range c.seq {
		if s.low != nil {
			q.add(" AND ", seq, " >= ", q.arg(*s.low))
		}
		if s.high != nil {
			q.add(" AND ", seq, " <= ", q.arg(*s.high))
		}
	}
	if c.enc != nil {
		q.add(" AND ")
		q.in("r.encounter", c.enc)
	}
}

var countSome = db.SQL(`SELECT COUNT(*) FROM (SELECT 1 FROM resource r WHERE r.practice_id = $1 AND r.type = $2 LIMIT $3) c`)

// manyOf is how many resources of a type are sorted rather than looked for among all.
const manyOf = 2000

// weigh decides how a search that nothing drives comes by its order.
func (c *candidates) weigh(ctx context.Context, tx *db.Tx, o order) error {
	if first, _ := c.driver(); c.engine != db.SQLite || !o.bySeq || first != nil || c.ids != nil || len(c.spans) > 0 {
		return nil
	}
	var n int64
	err := tx.QueryRow(ctx, countSome, int64(tx.Practice()), int64(typeCode(c.typ)), int64(manyOf)).Scan(&n)
	c.many = n >= manyOf
	return err
}

// ranges writes the rows in any of several ranges, under alias s. It returns them as text: their arguments come before all others.
func (c *candidates) ranges(q *sqlText, set spanSet) string {
	from := sqlText{args: q.args}
	from.add("(")
	for i := range set {
		if i > 0 {
			from.add(" UNION ALL ")
		}
		from.add("SELECT s.rid FROM rkey s WHERE s.practice_id = $1 AND ")
		set[i].where(&from, "s")
	}
	if c.engine != db.SQLite && len(set) == 1 {
		from.add(" OFFSET 0")
	}
	from.add(") s")
	q.args = from.args
	return from.b.String()
}

func (s *spanRange) where(q *sqlText, alias string) {
	q.add(alias, ".p = ", q.arg(s.p))
	if s.from != nil {
		q.add(" AND ", alias, ".lo >= ", q.arg(*s.from))
	}
	if s.high != nil {
		q.add(" AND ", alias, ".lo <= ", q.arg(*s.high))
	}
	if s.low != nil {
		q.add(" AND ", alias, ".hi >= ", q.arg(*s.low))
	}
}
