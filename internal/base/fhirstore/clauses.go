package fhirstore

import (
	"context"
	"math"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// compiler turns the clauses of a query into candidates. Chains and _has become searches of their own,
// under the same kernel, whose results become keys.
type compiler struct {
	s     *Store
	tx    *db.Tx
	a     *kernel
	depth int
	typ   string

	settled bool // the index rows of the practice are all of the newest form
}

// maxChain bounds the hops of chains and _has within one query.
const maxChain = 4

// maxHop bounds the resources one hop may pass on.
const maxHop = 5000

func (x *compiler) compile(ctx context.Context, typ string, clauses []fhirsearch.Clause) (*candidates, error) {
	if err := x.a.may(typ, auth.CanSearch); err != nil {
		return nil, err
	}
	c := &candidates{typ: typ, engine: x.tx.Engine(), a: x.a}
	p := planOf(typ)
	x.typ = typ
	if x.depth == 0 && slices.ContainsFunc(clauses, func(c fhirsearch.Clause) bool { return asks(&c, newest) }) {
		var err error
		if x.settled, err = x.s.settled(ctx, x.tx); err != nil {
			return nil, err
		}
	}
	for i := range clauses {
		if err := x.clause(ctx, c, p, &clauses[i]); err != nil {
			return nil, err
		}
	}
	x.pair(c, p, clauses)
	if n := x.a.narrow(typ, auth.CanSearch); n != nil {
		c.checks = append(c.checks, check{within: n})
	}
	x.confine(c, typ)
	return c, nil
}

// confine has a scope's own compartment drive the search when nothing narrower does.
func (x *compiler) confine(c *candidates, typ string) {
	if !x.a.confined(typ) || typ == "Patient" || c.ids != nil {
		return
	}
	for _, h := range c.hashes {
		if h.rank <= rankPatient {
			return
		}
	}
	c.hashes = append(c.hashes, hashSet{[]int64{x.a.k.patient(typ, x.a.patient)}, rankPatient})
}

func (x *compiler) clause(ctx context.Context, c *candidates, p *plan, cl *fhirsearch.Clause) error {
	switch {
	case cl.Has != nil:
		return x.has(ctx, c, p, cl)
	case len(cl.Chain) > 0:
		return x.chain(ctx, c, p, cl)
	case cl.Filter != nil:
		return x.filter(ctx, c, p, cl.Filter)
	case cl.NeedsTerminology():
		listed, err := x.expand(ctx, cl)
		if err != nil {
			return err
		}
		switch {
		case len(listed.Values) > 0:
			return x.clause(ctx, c, p, listed)
		case listed.Modifier == "":
			c.none = true
		}
		return nil
	}
	sure := false
	switch cl.Param {
	case "_list":
		return x.list(ctx, c, cl)
	case "_query":
		return fhir.Problem("not-supported", "The search parameter "+cl.Param+" is not supported.", "Write the conditions as search parameters.")
	case "_id":
		sure = cl.Modifier == "" && x.ids(c, cl)
	case "_lastUpdated":
		x.lastUpdated(c, cl)
	default:
		had := len(c.hashes) + len(c.facets)
		if pp, ok := p.params[cl.Param]; ok {
			x.keys(c, p, pp, cl)
		}
		c.loose = c.loose || cl.Modifier != "" || nameKeys[cl.Param] != "" || len(c.hashes)+len(c.facets) == had
	}
	if !sure {
		c.checks = append(c.checks, newCheck(p, cl))
	}
	return nil
}

func (x *compiler) ids(c *candidates, cl *fhirsearch.Clause) bool {
	var ids []int64
	for _, v := range cl.Values {
		id := v.Code
		if id == "" {
			id = v.Raw
		}
		ids = append(ids, x.a.k.id(c.typ, id))
	}
	c.limitIDs(ids)
	return true
}

// limitIDs narrows the candidates to these ids.
func (c *candidates) limitIDs(ids []int64) {
	if c.ids != nil {
		had := map[int64]bool{}
		for _, id := range *c.ids {
			had[id] = true
		}
		var both []int64
		for _, id := range ids {
			if had[id] {
				both = append(both, id)
			}
		}
		ids = both
	}
	if len(ids) == 0 {
		c.none = true
	}
	c.ids = &ids
}

func (x *compiler) lastUpdated(c *candidates, cl *fhirsearch.Clause) {
	if cl.Modifier != "" || len(cl.Values) != 1 {
		return
	}
	// The time of a write is one microsecond wide.
	d := dateBounds(&cl.Values[0])
	if d.from == nil {
		d.from = d.after
	}
	c.seq = append(c.seq, seqRange{low: d.from, high: d.before})
}

// keys adds what the index can say about a clause. What it adds lets through every match; it may add nothing.
func (x *compiler) keys(c *candidates, p *plan, pp paramPlan, cl *fhirsearch.Clause) {
	if len(cl.Values) == 0 {
		return
	}
	switch cl.Type {
	case "token":
		x.token(c, p, pp, cl)
	case "reference":
		x.reference(c, p, pp, cl)
	case "uri":
		if cl.Modifier == "" {
			x.texts(c, p, pp, cl, func(v *fhirsearch.ValueTerm) string { return firstOf(v.Text, v.Raw) })
		}
	case "string":
		x.words(c, p, cl)
	case "date":
		x.date(c, p, pp, cl)
	case "number", "quantity":
		x.number(c, p, pp, cl)
	case "composite":
		x.composite(c, p, cl)
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (x *compiler) token(c *candidates, p *plan, pp paramPlan, cl *fhirsearch.Clause) {
	switch cl.Modifier {
	case "":
		x.texts(c, p, pp, cl, func(v *fhirsearch.ValueTerm) string { return v.Code })
	case "of-type":
		if pp.mode == byKey { // by the value alone
			x.texts(c, p, pp, cl, func(v *fhirsearch.ValueTerm) string { return v.Text })
		}
	}
}

// texts adds the keys or facets of values compared for equality.
func (x *compiler) texts(c *candidates, p *plan, pp paramPlan, cl *fhirsearch.Clause, text func(*fhirsearch.ValueTerm) string) {
	params := []string{cl.Param}
	if united := unitedKeysOf(p.typ, cl.Param); united != nil {
		params, pp = united, paramPlan{kind: "token", mode: byKey}
	}
	var hs []int64
	var masks facetSet
	rare := true
	for i := range cl.Values {
		v := text(&cl.Values[i])
		if v == "" {
			return
		}
		for _, param := range params {
			if pp.kind == "uri" || param == "_source" {
				hs = append(hs, x.a.k.uri(p.typ, param, v))
			} else {
				hs = append(hs, x.a.k.token(p.typ, param, v))
			}
		}
		masks = append(masks, x.a.k.facetBits(p.typ, cl.Param, v))
		rare = rare && !pp.everyday[v]
	}
	switch {
	case pp.mode == byKey, pp.mode == byRare && rare:
		rank := rankCode
		if cl.Param == "identifier" {
			rank = rankIdentifier
		}
		c.hashes = append(c.hashes, hashSet{hs, rank})
	case pp.mode == byFacet, pp.mode == byRare:
		c.facets = append(c.facets, masks)
	}
}

func (x *compiler) reference(c *candidates, p *plan, pp paramPlan, cl *fhirsearch.Clause) {
	if cl.Modifier != "" {
		return
	}
	var hs []int64
	rank := rankReference
	for i := range cl.Values {
		v := &cl.Values[i]
		switch {
		case v.RefID == "" && v.RefURL == "":
			return
		case v.RefID == "":
			if pp.mode != byKey || strings.HasPrefix(v.RefURL, "#") {
				return
			}
			hs = append(hs, x.a.k.reference(p.typ, cl.Param, v.RefURL))
		default:
			more, patient := x.referenceKeys(p, pp, cl, v.RefType, v.RefID)
			if more == nil {
				return
			}
			if patient {
				rank = rankPatient
			}
			hs = append(hs, more...)
		}
	}
	c.hashes = append(c.hashes, hashSet{hs, rank})
}

// referenceKeys are the keys of a reference to Type/id; without a type, of every type it may be.
func (x *compiler) referenceKeys(p *plan, pp paramPlan, cl *fhirsearch.Clause, refType, id string) (hs []int64, patient bool) {
	types := []string{refType}
	if refType == "" {
		if types = targetsOf(p.typ, cl.Param); cl.OnlyType != "" {
			types = []string{cl.OnlyType}
		}
	}
	for _, t := range types {
		if t == "Patient" && p.inPatient[cl.Param] {
			if p.typ == "Patient" {
				// A patient's own record has no row for itself; links between patients are few.
				return nil, false
			}
			hs = append(hs, x.a.k.patient(p.typ, id))
			patient = true
			continue
		}
		if pp.mode != byKey {
			return nil, false
		}
		hs = append(hs, x.a.k.reference(p.typ, cl.Param, t+"/"+id))
	}
	return hs, patient
}

func targetsOf(typ, code string) []string {
	for _, sp := range fhir.SearchParams(typ) {
		if sp.Code == code {
			return sp.Targets
		}
	}
	return nil
}

func (x *compiler) words(c *candidates, p *plan, cl *fhirsearch.Clause) {
	if cl.Modifier != "" && cl.Modifier != "exact" {
		return
	}
	param := cl.Param
	if wider := nameKeys[param]; wider != "" && p.params[wider].kind == "string" {
		param = wider
	}
	if p.params[param].mode != byKey {
		return
	}
	lengths := wordLengths // the rows of every form
	if x.settled {
		lengths = lengthsOf(param)
	}
	var hs []int64
	for i := range cl.Values {
		best := ""
		for _, w := range fhirsearch.Words(firstOf(cl.Values[i].Text, cl.Values[i].Raw)) {
			if key := wordKey(w, lengths); len(key) > len(best) {
				best = key
			}
		}
		if best == "" {
			x.shortWords(c, p, param, cl)
			return
		}
		hs = append(hs, x.a.k.word(p.typ, param, best))
	}
	c.hashes = append(c.hashes, hashSet{hs, rankWord})
}

// shortWords adds the facets of a clause with a value too short for rows. param is the one whose rows would have answered.
func (x *compiler) shortWords(c *candidates, p *plan, param string, cl *fhirsearch.Clause) {
	if shortWords[cl.Param] {
		param = cl.Param
	}
	if !shortWords[param] || !x.settled {
		return
	}
	var masks facetSet
	for i := range cl.Values {
		mask := int64(0)
		for _, w := range fhirsearch.Words(firstOf(cl.Values[i].Text, cl.Values[i].Raw)) {
			if begin := shortKey(w); begin != "" {
				mask |= x.a.k.facetBits(p.typ, param, begin)
			}
		}
		if mask == 0 {
			return
		}
		masks = append(masks, mask)
	}
	c.facets = append(c.facets, masks)
}

// dateBounds says where a date must lie for a term to be able to match; see fhirsearch.Match.
func dateBounds(v *fhirsearch.ValueTerm) (d dateRange) {
	low, high := max(v.Low, minDate), min(v.High, maxDate)
	switch v.Prefix {
	case "", "eq":
		d.from, d.before = &low, &high
	case "ap":
		d.after, d.before = &low, &high
	case "gt":
		d.after = &high
	case "ge":
		d.after = &low
	case "sa":
		d.from = &high
	case "lt", "eb":
		d.before = &low
	case "le":
		d.before = &high
	}
	return d
}

func (d dateRange) open() bool { return d.after == nil && d.before == nil && d.from == nil }

func (x *compiler) date(c *candidates, p *plan, pp paramPlan, cl *fhirsearch.Clause) {
	if cl.Modifier != "" {
		return
	}
	var set spanSet
	for i := range cl.Values {
		d := dateBounds(&cl.Values[i])
		if d.open() {
			return
		}
		if pp.mode == byDate && len(cl.Values) == 1 {
			c.date = append(c.date, d)
		}
		set = append(set, spanRange{p: x.a.k.span(p.typ, cl.Param), from: d.from, low: d.after, high: d.before})
	}
	x.spans(c, pp, set)
}

// maxRanges bounds the ranges that drive one search.
const maxRanges = 60

func (x *compiler) spans(c *candidates, pp paramPlan, set spanSet) {
	if pp.mode == byKey && len(set) > 0 && len(set) <= maxRanges {
		c.spans = append(c.spans, set)
	}
}

// numberBounds gives the ends within which an amount must lie; num, low and high are those of the term.
func numberBounds(prefix string, num, low, high float64) (from, to *int64) {
	l, h := ordered(low), ordered(high)
	switch prefix {
	case "", "eq":
		return &l, &h
	case "ap":
		// Match takes about ten percent; twice that lets through all of them.
		margin := math.Abs(num) * 0.2
		l, h = ordered(low-margin), ordered(high+margin)
		return &l, &h
	case "gt", "ge", "sa":
		return &l, nil
	case "lt", "le", "eb":
		return nil, &h
	}
	return nil, nil
}

// asks says whether a clause, or one behind it, asks for something.
func asks(c *fhirsearch.Clause, what func(*fhirsearch.Clause) bool) bool {
	if c.Filter != nil {
		any := false
		c.Filter.Leaves(func(leaf *fhirsearch.Clause) { any = any || asks(leaf, what) })
		return any
	}
	if c.Has != nil && c.Has.Clause != nil {
		return asks(c.Has.Clause, what)
	}
	for _, l := range c.Chain {
		if l.Clause != nil && asks(l.Clause, what) {
			return true
		}
	}
	return what(c)
}

// newest says whether a clause is answered better by index rows of the newest form.
func newest(c *fhirsearch.Clause) bool {
	return c.Type == "string" || asksUnits(c)
}

// asksUnits says whether a clause asks for an amount that may be written in several units.
func asksUnits(c *fhirsearch.Clause) bool {
	return slices.ContainsFunc(c.Values, func(v fhirsearch.ValueTerm) bool {
		return v.Base.Dim != "" || slices.ContainsFunc(v.Parts, func(p fhirsearch.ValueTerm) bool { return p.Base.Dim != "" })
	})
}

// amounts are the ranges of a term: in the number as written, or in each common unit of its kind and in base units.
func amounts(v *fhirsearch.ValueTerm, asWritten int64, inBase func(dim string) int64) (set spanSet) {
	if v.Base.Dim == "" {
		low, high := numberBounds(v.Prefix, v.Num, v.NumLow, v.NumHigh)
		return spanSet{{p: asWritten, low: low, high: high}}
	}
	add := func(p int64, low, high float64) {
		low, high = low-math.Abs(low)*1e-9, high+math.Abs(high)*1e-9
		l, h := numberBounds(v.Prefix, max(math.Abs(low), math.Abs(high)), low, high)
		set = append(set, spanRange{p: p, low: l, high: h})
	}
	for _, unit := range fhirsearch.CommonUnits(v.Base.Dim) {
		if low, high, ok := v.InUnit(unit); ok {
			add(asWritten, low, high)
		}
	}
	add(inBase(v.Base.Dim), v.Base.Low, v.Base.High)
	return set
}

func (x *compiler) number(c *candidates, p *plan, pp paramPlan, cl *fhirsearch.Clause) {
	if cl.Modifier != "" {
		return
	}
	var set spanSet
	for i := range cl.Values {
		if asksUnits(cl) && !x.settled {
			return
		}
		set = append(set, amounts(&cl.Values[i], x.a.k.span(p.typ, cl.Param), func(dim string) int64 { return x.a.k.base(p.typ, cl.Param, dim) })...)
	}
	x.spans(c, pp, set)
}

func (x *compiler) composite(c *candidates, p *plan, cl *fhirsearch.Clause) {
	if p.typ != "Observation" || cl.Modifier != "" {
		return
	}
	switch cl.Param {
	case "code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity":
	default:
		return
	}
	var set spanSet
	for i := range cl.Values {
		if len(cl.Values[i].Parts) != 2 || cl.Values[i].Parts[0].Code == "" {
			return
		}
		if asksUnits(cl) && !x.settled {
			return
		}
		code := cl.Values[i].Parts[0].Code
		set = append(set, amounts(&cl.Values[i].Parts[1], x.a.k.codeValue(p.typ, code), func(dim string) int64 { return x.a.k.baseValue(p.typ, code, dim) })...)
	}
	x.spans(c, paramPlan{mode: byKey}, set)
}

// pair replaces a patient set and a code set by the rows of both.
func (x *compiler) pair(c *candidates, p *plan, clauses []fhirsearch.Clause) {
	param := pairTypes[p.typ]
	if param == "" {
		return
	}
	var patients, codes []string
	for i := range clauses {
		cl := &clauses[i]
		if len(cl.Chain) > 0 || cl.Has != nil || cl.Modifier != "" {
			continue
		}
		switch {
		case cl.Param == param && codes == nil:
			for _, v := range cl.Values {
				if v.Code == "" {
					return
				}
				codes = append(codes, v.Code)
			}
		case p.inPatient[cl.Param] && cl.Type == "reference" && patients == nil:
			for _, v := range cl.Values {
				if v.RefType != "Patient" && !(v.RefType == "" && cl.OnlyType == "Patient") || v.RefID == "" {
					return
				}
				patients = append(patients, v.RefID)
			}
		}
	}
	if len(patients) == 0 || len(codes) == 0 || len(patients)*len(codes) > 200 {
		return
	}
	var hs []int64
	for _, patient := range patients {
		for _, code := range codes {
			hs = append(hs, x.a.k.patientCode(p.typ, patient, code))
		}
	}
	kept := c.hashes[:0]
	for _, h := range c.hashes {
		if h.rank != rankPatient && h.rank != rankCode {
			kept = append(kept, h)
		}
	}
	c.hashes = append(kept, hashSet{hs, rankPatientCode})
}
