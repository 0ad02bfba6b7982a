package clinical

import (
	"context"
	"fmt"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Record is the clinical record of the practice's patients. Its methods take the scope of
// the person who asks; the store under it filters by the same scope.
type Record struct {
	db     *db.DB
	store  *fhirstore.Store
	people *practice.Profiles
	charts chartCache
}

// NewRecord returns the record kept in the store.
func NewRecord(d *db.DB, store *fhirstore.Store, people *practice.Profiles) *Record {
	return &Record{db: d, store: store, people: people, charts: chartCache{limit: chartsKept}}
}

// need refuses a person whose role lacks the permission.
func need(s auth.Staff, p auth.Permission) error {
	if s.Can(p) {
		return nil
	}
	return fhir.Problem("forbidden", "Your role may not do this.", "Ask a practice administrator for the right “"+string(p)+"”.")
}

// add writes a new resource about the patient. The patient is read first: who may not see
// a patient may not write about them.
func (r *Record) add(ctx context.Context, s db.Scope, patientID string, nodes ...fhirjson.Node) (ids []string, err error) {
	prepared := make([]*fhirstore.Prepared, len(nodes))
	for i := range nodes {
		if prepared[i], err = r.store.PrepareNode(ctx, &nodes[i]); err != nil {
			return nil, err
		}
	}
	err = r.db.Do(ctx, s, func(tx *db.Tx) error {
		if _, err := r.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		ids = ids[:0]
		for _, p := range prepared {
			made, err := r.store.Create(ctx, tx, p)
			if err != nil {
				return err
			}
			ids = append(ids, made.ID)
		}
		jobs.Made(ctx, ids...)
		return nil
	})
	return ids, err
}

// change edits one resource about the patient. fn gets a copy of the whole tree, so what
// it does not touch, extensions nobody here knows included, stays as it was. A resource
// about another patient is refused, and so is one changed since version was read.
func (r *Record) change(ctx context.Context, s db.Scope, patientID, typ, id string, version int64, fn func(n *fhirjson.Node) error) error {
	return r.db.Do(ctx, s, func(tx *db.Tx) error {
		return r.changeIn(ctx, tx, patientID, typ, id, version, fn)
	})
}

func (r *Record) changeIn(ctx context.Context, tx *db.Tx, patientID, typ, id string, version int64, fn func(n *fhirjson.Node) error) error {
	old, err := r.store.Read(ctx, tx, typ, id)
	if err != nil {
		return err
	}
	if !about(old.Node(), patientID) {
		return otherPatient()
	}
	n := old.Node().Clone()
	if err := fn(&n); err != nil {
		return err
	}
	p, err := r.store.PrepareNode(ctx, &n)
	if err != nil {
		return err
	}
	_, err = r.store.Update(ctx, tx, p, version)
	return err
}

// about reports whether the resource's subject is that patient.
func about(n *fhirjson.Node, patientID string) bool {
	for _, name := range [...]string{"subject", "patient", "for"} {
		if ref := n.At(name, "reference").Text(); ref != "" {
			typ, id, ok := fhir.ParseReference(ref)
			return ok && typ == "Patient" && id == patientID
		}
	}
	return false
}

func otherPatient() *fhir.Issue {
	return fhir.Problem("conflict", "This entry belongs to another patient. Nothing was changed.", "Close this page and open the right chart.")
}

// me refers to the person who asks.
func me(s auth.Staff) fhirjson.Node { return fhir.RefTo(s.Practitioner(), s.Name()) }

func subject(patientID string) fhirjson.Node { return fhir.RefTo("Patient/"+patientID, "") }

// instant writes a moment with its offset on the practice's clock, to the second.
func instant(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02T15:04:05Z07:00")
}

// status makes the one-coding concept FHIR uses for clinical and verification status.
func status(system, code string) fhirjson.Node {
	return fhir.Object("coding", fhir.Array(fhir.Object("system", system, "code", code)))
}

// setOrDelete gives a member a string value, or removes it when the value is empty.
func setOrDelete(n *fhirjson.Node, name, value string) {
	if value == "" {
		n.Delete(name)
		return
	}
	n.Set(name, fhirjson.NewString(value))
}

// setNote replaces the annotations' text by one note, or removes them when it is empty. An
// unchanged text leaves the annotations, with their authors, alone.
func setNote(n *fhirjson.Node, text string) {
	if annotation(n) == text {
		return
	}
	if text == "" {
		n.Delete("note")
		return
	}
	n.Set("note", fhir.Array(fhir.Object("text", text)))
}

// noteOf makes the note member of a new resource, null when there is no text.
func noteOf(text string) fhirjson.Node {
	if text == "" {
		return fhirjson.NewNull()
	}
	return fhir.Array(fhir.Object("text", text))
}

// day accepts a date of FHIR precision (yyyy, yyyy-mm, yyyy-mm-dd) that is not in the future.
func day(field, s string, now time.Time) error {
	if s == "" {
		return nil
	}
	t, precise, ok := fhir.Moment(s, time.UTC)
	if !ok || precise {
		return fhir.Problem("value", "The date “"+s+"” cannot be read.", "Write it as 2024, 2024-03 or 2024-03-14.").At(field)
	}
	if t.After(now.Add(24 * time.Hour)) {
		return fhir.Problem("value", "The date "+s+" lies in the future.", "Check the year.").At(field)
	}
	return nil
}

// MarkWrong marks a resource entered in error. It stays in the record, struck through, and
// counts for nothing.
func (r *Record) MarkWrong(ctx context.Context, s auth.Staff, patientID, typ, id string, version int64) error {
	permission, ok := map[string]auth.Permission{
		"Condition": auth.ProblemWrite, "AllergyIntolerance": auth.AllergyWrite, "Observation": auth.VitalsWrite,
		"MedicationRequest": auth.MedicationWrite, "MedicationStatement": auth.MedicationWrite,
	}[typ]
	if !ok {
		return fhir.Problem("not-supported", fmt.Sprintf("A %s cannot be marked as entered in error here.", typ), "Use the page it was entered on.")
	}
	if err := need(s, permission); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, typ, id, version, func(n *fhirjson.Node) error {
		switch typ {
		case "Observation":
			if categoryOf(n) != "vital-signs" { // a laboratory's result is the laboratory's to correct
				return fhir.Problem("not-supported", "Only vital signs are marked as entered in error here.", "Ask whoever reported the result to correct it.")
			}
			n.Set("status", fhirjson.NewString("entered-in-error"))
		case "Condition":
			n.Delete("clinicalStatus") // con-5: none on an entered-in-error Condition
			n.Set("verificationStatus", status(systemCondVer, "entered-in-error"))
		case "AllergyIntolerance":
			n.Delete("clinicalStatus") // ait-2
			n.Set("verificationStatus", status(systemAllergVer, "entered-in-error"))
		default:
			n.Set("status", fhirjson.NewString("entered-in-error"))
		}
		return nil
	})
}
