package bulk

import (
	"bytes"
	"context"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhirsearch"
)

// supporting are the types without patients that patients' records refer to. An export of patients brings those that the one who asked
// may see along, so that no reference leads nowhere.
var supporting = map[string]bool{"Endpoint": true, "HealthcareService": true, "Location": true, "Medication": true, "Organization": true, "Practitioner": true, "PractitionerRole": true}

// patientTypes are the types an export of patients consists of.
func patientTypes(typ string) bool {
	return typ == "Patient" || supporting[typ] || len(fhirstore.PatientParams(typ)) > 0
}

func patientValues(r *fhirstore.Resource, code string) []fhirsearch.Value {
	canonical, _ := fhirsearch.Alias(r.Type, code)
	return fhirsearch.Values(r.Type, canonical, r.Node())
}

// belongs says whether a resource is part of what was asked for, and whose it is.
func (w *writer) belongs(ctx context.Context, tx *db.Tx, r *fhirstore.Resource) (in bool, patient string, err error) {
	patient = fhirapi.PatientOf(r)
	switch {
	case w.o.Level == ofSystem || supporting[r.Type]:
		return true, patient, nil
	case patient != "" && w.wanted(patient) && (r.Type != "Group" || w.o.Patients == nil):
		return true, patient, nil
	case r.Type == "Patient", r.Type == "Group" && w.o.Patients != nil: // a Group names its other members
		return false, patient, nil
	}
	if bytes.Contains(r.Raw, []byte(`Patient/`)) {
		for _, code := range fhirstore.PatientParams(r.Type) {
			for _, v := range patientValues(r, code) {
				if ref := v.RefType + "/" + v.RefID; v.RefType == "Patient" && w.wanted(ref) {
					return true, ref, nil
				}
			}
		}
	}
	if r.Type != "Provenance" {
		return false, "", nil
	}
	// Where a record came from belongs to whom the record belongs.
	targets, err := w.targets(ctx, tx, r)
	for _, t := range targets {
		if p := fhirapi.PatientOf(t); p != "" && w.wanted(p) {
			return true, p, nil
		}
	}
	return false, "", err
}

// wanted says whether a patient is one of those asked for.
func (w *writer) wanted(ref string) bool {
	return w.o.Patients == nil || w.of[strings.TrimPrefix(ref, "Patient/")]
}

// elementsOf are the elements asked for of a type: those named for it, and those named for every type that it has.
func elementsOf(typ string, all []string) (out []string) {
	for _, name := range all {
		of, element, ok := strings.Cut(name, ".")
		switch {
		case !ok:
			if hasElement(typ, name) {
				out = append(out, name)
			} else if out == nil {
				out = []string{"id"} // narrowed too, though it has nothing of it
			}
		case of == typ:
			out = append(out, element)
		}
	}
	return out
}

func hasElement(typ, name string) bool {
	_, err := fhirapi.Elements(typ, []byte(`{"resourceType":"`+typ+`"}`), []string{name})
	return err == nil
}
