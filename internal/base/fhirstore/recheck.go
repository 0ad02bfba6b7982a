package fhirstore

import (
	"bytes"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhirsearch"
)

const canSearch = auth.CanSearch

// check decides a clause on the decoded body of a candidate.
type check struct {
	clause  *fhirsearch.Clause
	plan    *plan
	targets map[string]bool // of a chain: the references that count
	proofs  []proof
}

// proof decides most candidates from the bytes alone: the index already said that the parameter has the
// value; if the value stands in the body exactly once, and there in this form, nothing else is left to see.
type proof struct {
	once  []byte
	forms [][]byte // one of these must occur; none: once is enough
}

func newCheck(p *plan, cl *fhirsearch.Clause) check {
	c := check{clause: cl, plan: p}
	pp := p.params[cl.Param]
	if cl.Modifier != "" {
		return c
	}
	switch cl.Type {
	case "token":
		if pp.mode != byKey || unitedKeys[p.typ+"."+cl.Param] != nil {
			return c
		}
		for i := range cl.Values {
			v := &cl.Values[i]
			if !plainText(v.Code) || !plainText(v.System) && v.System != "" || v.HasSystem && v.System == "" {
				continue
			}
			pr := proof{once: []byte(`"` + v.Code + `"`)}
			if v.System != "" {
				pr.forms = [][]byte{
					[]byte(`"system":"` + v.System + `","code":"` + v.Code + `"`),
					[]byte(`"system":"` + v.System + `","value":"` + v.Code + `"`),
				}
			}
			c.proofs = append(c.proofs, pr)
		}
	case "reference":
		if len(p.inPatient) != 1 || !p.inPatient[cl.Param] {
			return c
		}
		for i := range cl.Values {
			v := &cl.Values[i]
			if v.RefID != "" && (v.RefType == "Patient" || v.RefType == "" && cl.OnlyType == "Patient") {
				c.proofs = append(c.proofs, proof{forms: [][]byte{[]byte(`"reference":"Patient/` + v.RefID + `"`)}})
			}
		}
	}
	return c
}

// plainText says that a text stands in JSON as it is.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != ""
}

func (p *proof) holds(body []byte) bool {
	if p.once != nil && bytes.Count(body, p.once) != 1 {
		return false
	}
	for _, f := range p.forms {
		if bytes.Contains(body, f) {
			return true
		}
	}
	return len(p.forms) == 0
}

// holds says whether the resource answers the clause.
func (c *check) holds(r *Resource) bool {
	if c.targets != nil {
		for _, ref := range r.references(c.clause.Param) {
			if c.targets[ref.RefType+"/"+ref.RefID] {
				return true
			}
		}
		return false
	}
	for i := range c.proofs {
		if c.proofs[i].holds(r.body.content) {
			return true
		}
	}
	return fhirsearch.Match(r.Node(), *c.clause)
}
