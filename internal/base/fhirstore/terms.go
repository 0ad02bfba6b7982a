package fhirstore

import (
	"context"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// CodeQuestion asks which codes a search by terminology means.
type CodeQuestion struct {
	Modifier     string // in (also for not-in), above, below
	ValueSet     string // of in: canonical URL or reference
	System, Code string // of above and below
}

// Terms answers code questions; above and below include the code itself. Its Issue comes back to who searched: not-found
// for an unknown value set or code.
type Terms func(ctx context.Context, tx *db.Tx, ask CodeQuestion) ([]fhir.Code, error)

// MaxCodes bounds the codes that one clause may stand for.
const MaxCodes = 5000

// expand replaces a clause by one that lists the codes it means.
func (x *compiler) expand(ctx context.Context, cl *fhirsearch.Clause) (*fhirsearch.Clause, error) {
	if x.s == nil || x.s.Terms == nil || cl.Type != "token" {
		return nil, fhir.Problem("not-supported", "The modifier :"+cl.Modifier+" needs a terminology that is not known here.",
			"List the codes in the request instead.")
	}
	out := *cl
	out.Values = nil
	seen := map[fhir.Code]bool{}
	for i := range cl.Values {
		v := &cl.Values[i]
		ask := CodeQuestion{Modifier: cl.Modifier, System: v.System, Code: v.Code}
		if cl.Modifier == "in" || cl.Modifier == "not-in" {
			ask = CodeQuestion{Modifier: "in", ValueSet: v.Text}
		} else if v.System == "" {
			return nil, fhir.Problem("value", "The modifier :"+cl.Modifier+" needs to know the code system.", "Write system|code.")
		}
		codes, err := x.s.Terms(ctx, x.tx, ask)
		if err != nil {
			return nil, err
		}
		for _, c := range codes {
			if c.Code == "" || seen[c] {
				continue
			}
			seen[c] = true
			out.Values = append(out.Values, fhirsearch.ValueTerm{Raw: c.Code, System: c.System, Code: c.Code, HasSystem: c.System != ""})
		}
	}
	if len(out.Values) > MaxCodes {
		return nil, fhir.Problem("too-costly", "The search stands for more than 5,000 codes.", "Use a narrower value set or code.")
	}
	switch cl.Modifier {
	case "not-in":
		out.Modifier = "not"
	default:
		out.Modifier = ""
	}
	if p := fhirsearch.Lookup(x.typ, cl.Param); p != nil && p.BareCodes() {
		for i := range out.Values {
			out.Values[i].System, out.Values[i].HasSystem = "", false
		}
	}
	return &out, nil
}

// filterNode is a _filter made ready to decide on candidates.
type filterNode struct {
	op   string
	args []filterNode
	leaf *candidates
	ids  map[int64]bool // of a leaf that names ids
}

// filter answers _filter. What it says with and narrows the candidates; an or of which every part has keys does too.
func (x *compiler) filter(ctx context.Context, c *candidates, p *plan, f *fhirsearch.Filter) error {
	switch {
	case f.Op == "":
		return x.clause(ctx, c, p, f.Clause)
	case f.Op == "and":
		for _, a := range f.Args {
			if err := x.filter(ctx, c, p, a); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := x.filterNode(ctx, p, f)
	if err != nil {
		return err
	}
	if f.Op == "or" {
		union := hashSet{}
		for _, a := range n.args {
			var first *hashSet
			if a.leaf != nil {
				first, _ = a.leaf.driver()
			}
			if first == nil {
				union.any = nil
				break
			}
			union.any, union.rank = append(union.any, first.any...), max(union.rank, first.rank)
		}
		if union.any != nil {
			c.hashes = append(c.hashes, union)
		}
	}
	c.checks = append(c.checks, check{filter: &n})
	return nil
}

func (x *compiler) filterNode(ctx context.Context, p *plan, f *fhirsearch.Filter) (n filterNode, err error) {
	n.op = f.Op
	if f.Op == "" {
		n.leaf = &candidates{typ: p.typ, engine: x.tx.Engine(), a: x.a}
		if err := x.clause(ctx, n.leaf, p, f.Clause); err != nil {
			return n, err
		}
		if n.leaf.ids != nil {
			n.ids = map[int64]bool{}
			for _, id := range *n.leaf.ids {
				n.ids[id] = true
			}
		}
		return n, nil
	}
	for _, a := range f.Args {
		arg, err := x.filterNode(ctx, p, a)
		if err != nil {
			return n, err
		}
		n.args = append(n.args, arg)
	}
	return n, nil
}

func (n *filterNode) holds(r *Resource, row *row) bool {
	switch n.op {
	case "and":
		for i := range n.args {
			if !n.args[i].holds(r, row) {
				return false
			}
		}
		return true
	case "or":
		for i := range n.args {
			if n.args[i].holds(r, row) {
				return true
			}
		}
		return false
	case "not":
		return !n.args[0].holds(r, row)
	}
	return !n.leaf.none && (n.ids == nil || n.ids[row.idh]) && n.leaf.passes(r, row)
}
