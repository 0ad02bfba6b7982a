package fhirstore

import (
	"context"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// hop searches for the resources of a type that answer one clause, as a step of a chain. It is a search like
// any other: the kernel filters what it finds.
func (x *compiler) hop(ctx context.Context, typ string, cl *fhirsearch.Clause) ([]*Resource, error) {
	if x.depth >= maxChain {
		return nil, fhir.Problem("too-costly", "A chained search has too many hops.", "Use at most four.")
	}
	inner := *x
	inner.depth++
	c, err := inner.compile(ctx, typ, []fhirsearch.Clause{*cl})
	if err != nil {
		return nil, err
	}
	found, more, err := x.s.gather(ctx, x.tx, c, order{}, nil, maxHop, scanAll)
	if err != nil {
		return nil, err
	}
	if more != nil {
		return nil, fhir.Problem("too-costly", "A chained search passes through more than 5,000 resources.",
			"Narrow the condition on "+typ+".")
	}
	return found, nil
}

// chain answers subject:Patient.name=x by the keys of the patients found. A type the scope may not search
// contributes nothing, as if there were no resource of it.
func (x *compiler) chain(ctx context.Context, c *candidates, p *plan, cl *fhirsearch.Clause) error {
	pp := p.params[cl.Param]
	var hs []int64
	targets := map[string]bool{}
	for _, link := range cl.Chain {
		if link.Clause == nil || !x.a.Allows(link.Target, canSearch) {
			continue
		}
		found, err := x.hop(ctx, link.Target, link.Clause)
		if err != nil {
			return err
		}
		for _, r := range found {
			targets[r.Reference()] = true
			keys, _ := x.referenceKeys(p, pp, cl, r.Type, r.ID)
			hs = append(hs, keys...)
		}
	}
	if len(targets) == 0 {
		c.none = true
		return nil
	}
	if len(hs) >= len(targets) {
		c.hashes = append(c.hashes, hashSet{hs, rankReference})
	}
	c.checks = append(c.checks, check{clause: cl, plan: p, targets: targets})
	return nil
}

// has answers _has:Observation:patient:code=x by the ids that the observations found refer to.
func (x *compiler) has(ctx context.Context, c *candidates, p *plan, cl *fhirsearch.Clause) error {
	h := cl.Has
	if h.Clause == nil || !x.a.Allows(h.Type, canSearch) {
		c.none = true
		return nil
	}
	found, err := x.hop(ctx, h.Type, h.Clause)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var ids []int64
	for _, r := range found {
		for _, ref := range r.references(h.Param) {
			if ref.RefType == p.typ && ref.RefID != "" && !seen[ref.RefID] {
				seen[ref.RefID] = true
				ids = append(ids, x.a.k.id(p.typ, ref.RefID))
			}
		}
	}
	c.limitIDs(ids)
	return nil
}

// list answers _list=id by the entries of a List that the scope may read.
func (x *compiler) list(ctx context.Context, c *candidates, cl *fhirsearch.Clause) error {
	var ids []int64
	for i := range cl.Values {
		v := &cl.Values[i]
		id := firstOf(v.RefID, firstOf(v.Code, v.Raw))
		list, err := x.s.Read(ctx, x.tx, "List", id)
		if err != nil {
			return err
		}
		for _, ref := range list.references("item") {
			if ref.RefType == c.typ && ref.RefID != "" {
				ids = append(ids, x.a.k.id(c.typ, ref.RefID))
			}
		}
	}
	c.limitIDs(ids)
	return nil
}

// references are the reference values of a parameter ("*": of all).
func (r *Resource) references(param string) []fhirsearch.Value {
	values, err := fhirsearch.Extract(r.Type, r.Node())
	if err != nil {
		return nil
	}
	var out []fhirsearch.Value
	for _, v := range values {
		if v.Kind == fhirsearch.Reference && v.Modifier == "" && v.Part == "" && (param == "*" || v.Param == param) {
			out = append(out, v)
		}
	}
	return out
}
