package profile

import (
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// bound judges a coded value against a binding.
func (r *run) bound(it value, b Binding, who string) {
	if b.Strength == "example" || b.Strength == "preferred" || it.node == nil {
		return
	}
	ok, known := r.inSet(it, b.ValueSet)
	if ok || !known {
		return
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
func (r *run) inSet(it value, valueSet string) (ok, known bool) {
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
			ok, known := r.coded(valueSet, codings[i].Get("system").Text(), codings[i].Get("code").Text())
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
		return r.coded(valueSet, n.Get("system").Text(), n.Get("code").Text())
	case "Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity":
		if n.Get("code") == nil {
			return true, n.Get("value") == nil
		}
		return r.coded(valueSet, n.Get("system").Text(), n.Get("code").Text())
	}
	if n.Kind() != fhirjson.String {
		return true, true
	}
	return r.coded(valueSet, "", n.Text())
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
	if r.v.Codes == nil {
		return
	}
	if ok, known := r.v.Codes("", s, code.Text()); known && !ok {
		r.push("code", -1)
		r.warn("code-invalid", code, "The code system has no such code.", "Check the code and its system.")
		r.pop()
	}
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
