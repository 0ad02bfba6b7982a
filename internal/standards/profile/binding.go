package profile

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// bound judges a coded value against a binding.
func (r *run) bound(it value, b Binding, who string) {
	if b.Strength == "example" || b.Strength == "preferred" || it.node == nil {
		return
	}
	ok, known := r.inSet(it, b)
	if b.Local != nil {
		r.nameIn(it, b.Local)
	}
	if ok || !known {
		return
	}
	// What accompanies a vital sign, such as the flow of oxygen, has other units than vital signs: R4B and HL7's validator take
	// this binding as extensible, which R4 published as required.
	if r.undeclared && bare(b.ValueSet) == "http://hl7.org/fhir/ValueSet/ucum-vitals-common" {
		b.Strength = "extensible"
	}
	if b.Strength == "required" {
		r.fail("code-invalid", it.node, "The code is not in the value set that "+who+" requires here.", "Use a code of "+shown(b.ValueSet)+".")
		return
	}
	if r.silent == 0 {
		r.warn("code-invalid", it.node, "The code is not in the value set that "+who+" wants here.", "Use a code of "+shown(b.ValueSet)+" if one fits.")
	}
}

// inSet reports whether a coded value is in a value set, and whether that is known. Of a CodeableConcept one coding
// is enough.
func (r *run) inSet(it value, b Binding) (ok, known bool) {
	n := it.node
	switch it.typ {
	case "CodeableConcept":
		codings := n.Get("coding").Items()
		if len(codings) == 0 {
			// Text alone or an extension: a required code is missing, which is known without looking.
			return n.Get("extension") != nil, true
		}
		unknown := false
		for i := range codings {
			ok, known := r.listed(b, codings[i].Get("system").Text(), codings[i].Get("code").Text())
			if ok && known {
				return true, true
			}
			unknown = unknown || !known
		}
		return false, !unknown
	case "Coding":
		if n.Get("code") == nil {
			return n.Get("extension") != nil || n.Get("_code") != nil, true
		}
		return r.listed(b, n.Get("system").Text(), n.Get("code").Text())
	case "Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity":
		if n.Get("code") == nil {
			return true, n.Get("value") == nil
		}
		return r.listed(b, n.Get("system").Text(), n.Get("code").Text())
	}
	if n.Kind() != fhirjson.String {
		return true, true
	}
	return r.listed(b, "", n.Text())
}

// listed asks a contained value set, or whoever knows the others.
func (r *run) listed(b Binding, system, code string) (ok, known bool) {
	if b.Local != nil {
		return b.Local.has(system, code), true
	}
	return r.coded(b.ValueSet, system, code)
}

// nameIn acquits names that the code system does not have but the value set of a profile gives (R4
// ValueSet.compose.include.concept.display).
func (r *run) nameIn(it value, l Local) {
	codings := []*fhirjson.Node{it.node}
	if list := it.node.Get("coding").Items(); len(list) > 0 {
		codings = nil
		for i := range list {
			codings = append(codings, &list[i])
		}
	}
	for _, c := range codings {
		if slices.ContainsFunc(l[c.Get("system").Text()+"|"+c.Get("code").Text()], func(name string) bool { return sameName(name, c.Get("display").Text()) }) {
			r.misnamed = slices.DeleteFunc(r.misnamed, func(m misnamed) bool { return m.coding == c })
		}
	}
}

// coded asks what is built in, then whoever answers for this server.
func (r *run) coded(valueSet, system, code string) (ok, known bool) {
	if ok, known := builtinCode(valueSet, system, code); known {
		return ok, true
	}
	if r.v.Codes == nil {
		return false, false
	}
	return r.v.Codes(valueSet, system, code)
}

// coding judges a Coding by itself: whether its system is an address and has the code.
func (r *run) coding(n *fhirjson.Node) {
	system, code := n.Get("system"), n.Get("code")
	if system == nil || code == nil {
		return
	}
	s := system.Text()
	if !strings.Contains(s, ":") {
		r.push("system", -1)
		r.fail("value", system, "The system of a code is an absolute address.", "Write the whole URI, such as http://loinc.org or urn:oid:….")
		r.pop()
		return
	}
	if strings.Contains(s, "/ValueSet/") {
		r.push("system", -1)
		r.by(r.strict(), "value", system, "This is the address of a value set, not of a code system.", "Write the address of the code system that the code belongs to.")
		r.pop()
		return
	}
	if r.o.Strict {
		r.form(system, code)
	}
	r.display(n, s, code.Text())
	if r.v.Codes == nil {
		return
	}
	if ok, known := r.v.Codes("", s, code.Text()); known && !ok {
		r.push("code", -1)
		r.warn("code-invalid", code, "The code system has no such code.", "Check the code and its system.")
		r.pop()
	}
}

// display judges the name beside a code: it is one of those the code system gives it, whatever its case and spacing (R4
// Coding.display: "a representation of the meaning of the code in the system, following the rules of the system").
func (r *run) display(n *fhirjson.Node, system, code string) {
	said := n.Get("display")
	if said == nil || r.v.Displays == nil || r.o.Light {
		return
	}
	names := r.v.Displays(system, code)
	if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return sameName(name, said.Text()) }) {
		return
	}
	if len(r.misnamed) == maxIssues || r.silent > 0 {
		return
	}
	r.misnamed = append(r.misnamed, misnamed{n, said, r.at() + ".display", "Write " + orList(quoted(names)) + ", or leave display out."})
}

// misnamed is a name that the code system does not give to its code. Whether it is a fault shows only when the profiles
// have been checked.
type misnamed struct {
	coding, display *fhirjson.Node
	path, fix       string
}

// names reports the names that stay wrong.
func (r *run) names() {
	for _, m := range r.misnamed {
		severity := "warning"
		if r.strict() == Refuse {
			severity = "error"
		}
		i := fhir.Issue{Severity: severity, Code: "invalid", Text: "This is not what the code system calls the code.", Fix: m.fix, Path: m.path}
		r.issues = append(r.issues, *i.On(m.display))
	}
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// quoted names at most a few names.
func quoted(names []string) []string {
	var out []string
	for _, n := range names[:min(len(names), 4)] {
		out = append(out, `"`+shown(n)+`"`)
	}
	return out
}

// builtinCode answers from what R4 and the built-in profiles enumerate.
func builtinCode(valueSet, system, code string) (ok, known bool) {
	url := bare(valueSet)
	if ok, known = enumerated(fhir.Codes(url))(system, code); known {
		return ok, true
	}
	return builtinSets().has(url, system, code)
}

func enumerated(codes []fhir.Code, listed bool) func(system, code string) (ok, known bool) {
	return func(system, code string) (bool, bool) {
		if !listed {
			return false, false
		}
		for _, c := range codes {
			if c.Code == code && (system == "" || system == c.System) {
				return true, true
			}
		}
		return false, true
	}
}
