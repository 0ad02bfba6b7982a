package fhirstore

import (
	"context"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// maxIncluded bounds what _include and _revinclude add to one page.
const maxIncluded = 5000

// include adds the resources that _include and _revinclude ask for, each through the kernel.
func (s *Store) include(ctx context.Context, tx *db.Tx, x *compiler, q fhirsearch.Query, page *Page) error {
	if len(q.Include) == 0 && len(q.RevInclude) == 0 {
		return nil
	}
	have := map[string]bool{}
	for _, r := range page.Resources {
		have[r.Reference()] = true
	}
	add := func(found []*Resource) (fresh []*Resource, err error) {
		for _, r := range found {
			if !have[r.Reference()] {
				have[r.Reference()] = true
				fresh = append(fresh, r)
			}
		}
		page.Included = append(page.Included, fresh...)
		if len(page.Included) > maxIncluded {
			return nil, tooManyIncluded()
		}
		return fresh, nil
	}
	around := page.Resources
	for round := 0; len(around) > 0 && round < maxChain; round++ {
		var fresh []*Resource
		for _, inc := range q.Include {
			if round > 0 && !inc.Iterate {
				continue
			}
			found, err := s.referenced(ctx, tx, inc, around, have)
			if err != nil {
				return err
			}
			f, err := add(found)
			if err != nil {
				return err
			}
			fresh = append(fresh, f...)
		}
		for _, inc := range q.RevInclude {
			if round > 0 && !inc.Iterate {
				continue
			}
			found, err := s.referring(ctx, x, inc, around)
			if err != nil {
				return err
			}
			f, err := add(found)
			if err != nil {
				return err
			}
			fresh = append(fresh, f...)
		}
		around = fresh
	}
	return nil
}

func tooManyIncluded() *fhir.Issue {
	return fhir.Problem("too-costly", "More than 5,000 resources would be included with one page.",
		"Ask for smaller pages with _count, or include less.")
}

// referenced reads what the resources refer to.
func (s *Store) referenced(ctx context.Context, tx *db.Tx, inc fhirsearch.Include, from []*Resource, have map[string]bool) ([]*Resource, error) {
	var refs []string
	asked := map[string]bool{}
	for _, r := range from {
		if r.Type != inc.Source && inc.Source != "*" {
			continue
		}
		for _, v := range r.references(inc.Param) {
			ref := v.RefType + "/" + v.RefID
			if v.RefID == "" || inc.Target != "" && v.RefType != inc.Target || asked[ref] || have[ref] {
				continue
			}
			asked[ref] = true
			if refs = append(refs, ref); len(refs) > maxIncluded {
				return nil, tooManyIncluded()
			}
		}
	}
	found, err := s.ReadMany(ctx, tx, refs)
	if err != nil {
		return nil, err
	}
	var out []*Resource
	for _, ref := range refs {
		if r := found[ref]; r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// referring searches what refers to the resources. A type the scope may not search gives nothing.
func (s *Store) referring(ctx context.Context, x *compiler, inc fhirsearch.Include, to []*Resource) ([]*Resource, error) {
	if !x.a.Allows(inc.Source, canSearch) || x.a.closed {
		return nil, nil
	}
	params := []string{inc.Param}
	if inc.Param == "*" {
		params = nil
		for code, pp := range planOf(inc.Source).params {
			if pp.kind == "reference" {
				params = append(params, code)
			}
		}
	}
	var out []*Resource
	for _, param := range params {
		cl := fhirsearch.Clause{Param: param, Type: "reference"}
		for _, r := range to {
			if inc.Target == "" || inc.Target == r.Type {
				cl.Values = append(cl.Values, fhirsearch.ValueTerm{RefType: r.Type, RefID: r.ID, Raw: r.Reference()})
			}
		}
		if len(cl.Values) == 0 {
			continue
		}
		c, err := x.compile(ctx, inc.Source, []fhirsearch.Clause{cl})
		if err != nil {
			return nil, err
		}
		found, more, err := s.gather(ctx, x.tx, c, order{}, nil, maxIncluded, scanAll)
		if err != nil {
			return nil, err
		}
		if more != nil {
			return nil, fhir.Problem("too-costly", "More than 5,000 resources refer to this page.", "Ask for smaller pages with _count.")
		}
		out = append(out, found...)
	}
	return out, nil
}
