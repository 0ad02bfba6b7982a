package fhirapi

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// patientOf is whose record a resource belongs to, "Patient/x", or "". It looks at the elements that put the type into the patient
// compartment, without parsing the rest when the resource is not parsed yet.
func patientOf(r *fhirstore.Resource) string {
	if r.Type == "Patient" {
		return "Patient/" + r.ID
	}
	names := patientElements(r.Type)
	for i := 0; i < len(names) && r.Raw != nil; i++ {
		if ref := referenceIn(r.Member(names[i])); ref != "" {
			return ref
		}
	}
	return ""
}

// elementsByType holds the top-level elements of each type that may refer to its patient.
var elementsByType sync.Map

func patientElements(typ string) []string {
	if v, ok := elementsByType.Load(typ); ok {
		return v.([]string)
	}
	var names []string
	codes := map[string]bool{}
	for _, code := range fhirstore.PatientParams(typ) {
		codes[code] = true
	}
	for _, p := range fhir.SearchParams(typ) {
		if !codes[p.Code] {
			continue
		}
		for alt := range strings.SplitSeq(p.Expression, "|") {
			alt = strings.Trim(strings.TrimSpace(alt), "()")
			rest, ok := strings.CutPrefix(alt, typ+".")
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(rest, ".")
			if name != "" {
				names = append(names, name)
			}
		}
	}
	// The subject before those who took part.
	order := map[string]int{"patient": 0, "subject": 1, "beneficiary": 2, "individual": 3}
	sorted := make([]string, 0, len(names))
	for rank := range 5 {
		for _, n := range names {
			at, known := order[n]
			if !known {
				at = 4
			}
			if at == rank && !slices.Contains(sorted, n) {
				sorted = append(sorted, n)
			}
		}
	}
	elementsByType.Store(typ, sorted)
	return sorted
}

// referenceIn finds the first reference to a Patient within one top-level member of a resource as the store writes it.
func referenceIn(value []byte) string {
	i := bytes.Index(value, patientMark)
	if i < 0 {
		return ""
	}
	rest := value[i+len(patientMark)-len("Patient/"):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return ""
	}
	typ, id, ok := fhir.ParseReference(string(rest[:end]))
	if !ok {
		return ""
	}
	return typ + "/" + id
}

var patientMark = []byte(`"reference":"Patient/`)
