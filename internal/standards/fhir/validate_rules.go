package fhir

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// extension checks that an Extension has either a value or extensions (ext-1),
// which is structure more than a rule: readers branch on it.
func (v *validator) extension(n *fhirjson.Node) {
	nested, value := false, false
	for i := range n.Members() {
		name := strings.TrimPrefix(n.Members()[i].Name, "_")
		nested = nested || name == "extension"
		value = value || strings.HasPrefix(name, "value")
	}
	switch {
	case nested && value:
		v.report(n, "structure", "An extension has both a value and extensions inside.", "Keep one of the two.")
	case !nested && !value && n.Kind() == fhirjson.Object && n.Len() > 0:
		v.report(n, "structure", "An extension has neither a value nor extensions inside.", "Add value[x], such as valueString, or leave the extension out.")
	}
}

// reference checks the form of a literal reference and, where it tells one,
// the type it names.
func (v *validator) reference(n *fhirjson.Node, in *slot) {
	typ := ""
	if r := n.Get("reference"); r.Kind() == fhirjson.String && r.Text() != "" {
		var ok bool
		if typ, ok = referenceType(r.Text()); !ok {
			v.push("reference", -1)
			v.report(r, "value", "This is not a FHIR reference.", "Write Type/id such as Patient/123, an absolute URL, urn:uuid:…, or #id for a contained resource.")
			v.pop()
			return
		}
	}
	if typ == "" {
		typ = n.Get("type").Text()
		if !IsResourceType(typ) {
			return
		}
	}
	if in == nil || in.targets == nil || slices.Contains(in.targets, typ) {
		return
	}
	v.report(n, "value", "A reference to "+typ+" is not allowed here.", "Refer to "+orList(in.targets)+".")
}

// referenceType returns the resource type a literal reference names, if it
// names one, and whether it has a form that R4 knows.
func referenceType(s string) (typ string, ok bool) {
	switch {
	case s[0] == '#':
		return "", validURI(s)
	case strings.HasPrefix(s, "urn:"):
		return "", validURI(s)
	}
	if i := strings.Index(s, "://"); i > 0 {
		typ, _, isFHIR := ParseReference(s)
		if !isFHIR {
			typ = ""
		}
		return typ, validURI(s)
	}
	if i := strings.IndexByte(s, '?'); i > 0 {
		// A conditional reference, which a transaction resolves.
		return s[:i], IsResourceType(s[:i]) && i+1 < len(s)
	}
	typ, _, ok = ParseReference(s)
	return typ, ok
}

// boundObject checks a Coding or CodeableConcept of a required binding.
func (v *validator) boundObject(n *fhirjson.Node, sl *slot) {
	if n.Kind() != fhirjson.Object {
		return
	}
	if sl.bound == boundCoding {
		code := n.Get("code")
		if code != nil && !sl.codes.hasIn(n.Get("system").Text(), code.Text()) {
			v.wrongCoding(n, sl.codes, n.Get("system").Text(), code.Text())
		}
		return
	}
	codings := n.Get("coding").Items()
	for i := range codings {
		if sl.codes.hasIn(codings[i].Get("system").Text(), codings[i].Get("code").Text()) {
			return
		}
	}
	if len(codings) == 0 {
		if n.Get("extension") != nil {
			return // data-absent-reason and the like
		}
		v.report(n, "code-invalid", "A code is required here; text alone is not enough.", "Add a coding of "+strings.Join(sl.codes.order, " or ")+": "+sl.codes.list()+".")
		return
	}
	v.wrongCoding(n, sl.codes, codings[0].Get("system").Text(), codings[0].Get("code").Text())
}

func (v *validator) wrongCoding(n *fhirjson.Node, set *codeSet, system, code string) {
	if set.has(code) && set.known[system] == nil {
		v.report(n, "code-invalid", "The code is right, but its system is not.", `Write "system": "`+strings.Join(set.order, `" or "`)+`".`)
		return
	}
	v.wrongCode(n, set, code)
}

func (v *validator) wrongCode(n *fhirjson.Node, set *codeSet, code string) {
	fix := "Use one of: " + set.list() + "."
	if right := set.fold(code); right != "" {
		fix = "Write " + right + ": codes are case-sensitive."
	}
	v.report(n, "code-invalid", "This code is not one that FHIR R4 allows here.", fix)
}

func orList(s []string) string {
	if len(s) == 1 {
		return s[0]
	}
	return strings.Join(s[:len(s)-1], ", ") + " or " + s[len(s)-1]
}
