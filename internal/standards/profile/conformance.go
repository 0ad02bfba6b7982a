package profile

import (
	"regexp"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// design judges what definitions other than profiles say beyond their invariants: that it can be carried out.
func (r *run) design(n *fhirjson.Node, typ string) {
	switch typ {
	case "StructureDefinition":
		r.definition(n)
	case "Questionnaire":
		r.questions(n)
	case "ValueSet":
		r.composed(n)
	case "CodeSystem":
		r.properties(n)
	case "SearchParameter":
		r.searched(n)
	}
}

// questions: conditions of questions look at other questions that are there (R4 Questionnaire.item.enableWhen.question).
func (r *run) questions(n *fhirjson.Node) {
	order := map[string]int{}
	numbered(n, order)
	r.conditions(n, order)
}

func numbered(n *fhirjson.Node, order map[string]int) {
	items := n.Get("item").Items()
	for i := range items {
		if id := items[i].Get("linkId").Text(); id != "" && order[id] == 0 {
			order[id] = len(order) + 1
		}
		numbered(&items[i], order)
	}
}

func (r *run) conditions(n *fhirjson.Node, order map[string]int) {
	items := n.Get("item").Items()
	for i := range items {
		if !r.spend() {
			return
		}
		r.push("item", i)
		own := items[i].Get("linkId").Text()
		for j, c := range items[i].Get("enableWhen").Items() {
			q := c.Get("question")
			if q.Kind() != fhirjson.String {
				continue
			}
			r.push("enableWhen", j)
			switch at := order[q.Text()]; {
			case at == 0:
				r.fail("not-found", q, "The condition looks at a question that the questionnaire does not have.", "Name the linkId of another question.")
			case q.Text() == own:
				r.fail("business-rule", q, "The condition of a question looks at that question itself.", "Name the linkId of another question.")
			case at > order[own] && r.silent == 0:
				r.warn("business-rule", q, "The condition looks at a question that comes later.", "Put the other question first.")
			}
			r.pop()
		}
		r.conditions(&items[i], order)
		r.pop()
	}
}

// snomed is the system whose identifiers have a form that can be checked without its content.
const snomed = "http://snomed.info/sct"

// composed: what a value set includes is told in a way that can be worked out.
func (r *run) composed(n *fhirjson.Node) {
	for _, part := range []string{"include", "exclude"} {
		for i, in := range n.At("compose", part).Items() {
			r.push("compose", -1)
			r.push(part, i)
			r.included(&in)
			r.pop()
			r.pop()
		}
	}
}

func (r *run) included(in *fhirjson.Node) {
	system := in.Get("system")
	switch s := system.Text(); {
	case system == nil:
	case !strings.Contains(s, ":"):
		r.by(r.strict(), "value", system, "The system is not an absolute address.", "Write the whole URI of the code system.")
	case strings.Contains(s, "/ValueSet/"):
		r.by(r.strict(), "value", system, "This is the address of a value set, not of a code system.", "Put it into valueSet, or write the address of the code system.")
	}
	seen := map[string]bool{}
	for i, c := range in.Get("concept").Items() {
		code := c.Get("code").Text()
		if seen[code] {
			r.push("concept", i)
			r.warn("duplicate", c.Get("code"), "The code is listed twice.", "Keep one.")
			r.pop()
		}
		seen[code] = true
	}
	for i, f := range in.Get("filter").Items() {
		r.push("filter", i)
		r.filtered(system.Text(), &f)
		r.pop()
	}
}

// filtered: the value of a filter has the form that its operation asks for (R4 filter-operator).
func (r *run) filtered(system string, f *fhirjson.Node) {
	value := f.Get("value")
	switch op, property := f.Get("op").Text(), f.Get("property").Text(); {
	case value.Kind() != fhirjson.String:
	case op == "exists" && value.Text() != "true" && value.Text() != "false":
		r.fail("value", value, "A filter by whether a property exists takes true or false.", "Write true or false.")
	case op == "regex" && badRegexp(value.Text()):
		r.fail("value", value, "The value of the filter is no regular expression.", "Correct it.")
	case system == snomed && property == "concept" && slices.Contains([]string{"is-a", "descendent-of", "is-not-a", "="}, op) && !isSCTID(value.Text()):
		r.fail("code-invalid", value, "A filter by concept takes an identifier of SNOMED CT, which this is not.", "Write the number of the concept.")
	}
}

func badRegexp(s string) bool {
	_, err := regexp.Compile(s)
	return err != nil
}

// isSCTID reports whether a text is an identifier of SNOMED CT: 6 to 18 digits of which the last is the check digit of
// Verhoeff (SNOMED CT Release File Specifications, "SCTID").
func isSCTID(s string) bool {
	if len(s) < 6 || len(s) > 18 || s[0] == '0' {
		return false
	}
	c := byte(0)
	for i := range len(s) {
		d := s[len(s)-1-i]
		if d < '0' || d > '9' {
			return false
		}
		c = dihedral(c, permuted(d-'0', i%8))
	}
	return c == 0
}

// dihedral multiplies in the dihedral group of order ten.
func dihedral(a, b byte) byte {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return (a+b-5)%5 + 5
	case b < 5:
		return (a-5+5-b)%5 + 5
	}
	return (a + 5 - b) % 5
}

// permuted applies Verhoeff's permutation n times.
func permuted(d byte, n int) byte {
	for range n {
		d = [...]byte{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}[d]
	}
	return d
}

// properties: the properties of concepts are declared, and their values are of the declared type.
func (r *run) properties(n *fhirjson.Node) {
	types := map[string]string{}
	for _, p := range n.Get("property").Items() {
		types[p.Get("code").Text()] = p.Get("type").Text()
	}
	if n.Get("content").Text() == "supplement" && n.Get("supplements") == nil {
		r.by(r.strict(), "required", n, "A supplement names the code system that it supplements.", "Add supplements.")
	}
	r.stated(n, types)
}

func (r *run) stated(n *fhirjson.Node, types map[string]string) {
	concepts := n.Get("concept").Items()
	for i := range concepts {
		if !r.spend() {
			return
		}
		r.push("concept", i)
		for j, p := range concepts[i].Get("property").Items() {
			typ, v := choiceOf(&p, "value")
			want, known := types[p.Get("code").Text()]
			r.push("property", j)
			switch {
			case v == nil:
			case !known && r.silent == 0:
				r.warn("not-found", &p, "The property is not declared by the code system.", "Declare it in property.")
			case known && want != typ:
				r.fail("value", v, "The value of the property is of type "+typ+", but declared as "+want+".", "Write it as value"+strings.ToUpper(want[:min(1, len(want))])+want[min(1, len(want)):]+".")
			}
			r.pop()
		}
		r.stated(&concepts[i], types)
		r.pop()
	}
}

// searched: the expression of a search parameter can be evaluated, and leads to something on its types.
func (r *run) searched(n *fhirjson.Node) {
	x := n.Get("expression")
	if x.Kind() != fhirjson.String {
		return
	}
	r.push("expression", -1)
	defer r.pop()
	e, err := fhirpath.Compile(x.Text())
	if err != nil {
		r.fail("invalid", x, "The expression is not FHIRPath.", "Correct it: "+shown(err.Error()))
		return
	}
	for _, b := range n.Get("base").Items() {
		if b.Text() != "Resource" && b.Text() != "DomainResource" && fhir.IsResourceType(b.Text()) && e.For(model, b.Text()).Empty() {
			r.by(r.strict(), "invalid", x, "The expression leads to nothing on "+b.Text()+".", "Begin it with a path of that type.")
		}
	}
}
