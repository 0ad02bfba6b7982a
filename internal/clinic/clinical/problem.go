package clinical

import (
	"context"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// ProblemEntry is what a person fills in for a problem. A coded name is better, free
// words are allowed.
type ProblemEntry struct {
	Name   string
	System string // of Code; "" for free words
	Code   string
	Onset  string // yyyy, yyyy-mm or yyyy-mm-dd; "" when not known
	Note   string
}

func (e *ProblemEntry) check(r *Record) error {
	e.Name = strings.TrimSpace(e.Name)
	if e.Name == "" {
		return fhir.Problem("required", "The problem has no name.", "Choose a diagnosis or write one.").At("name")
	}
	return day("onset", e.Onset, r.db.Clock().Now())
}

// AddProblem puts a Condition on the problem list and returns its id. A problem that is
// already active under the same code is refused as a duplicate.
func (r *Record) AddProblem(ctx context.Context, s auth.Staff, patientID string, e ProblemEntry) (string, error) {
	if err := need(s, auth.ProblemWrite); err != nil {
		return "", err
	}
	if err := e.check(r); err != nil {
		return "", err
	}
	c, err := r.Chart(ctx, s, patientID)
	if err != nil {
		return "", err
	}
	for _, p := range c.Problems {
		if p.Active() && (e.Code != "" && p.Code == e.Code || strings.EqualFold(p.Name, e.Name)) {
			return "", fhir.Problem("duplicate", "“"+p.Name+"” is already on the problem list.", "Edit that entry instead.").At("name")
		}
	}
	now := r.db.Clock().Now()
	ids, err := r.add(ctx, s, patientID, fhir.Object(
		"resourceType", "Condition",
		"clinicalStatus", status(systemCondition, "active"),
		"verificationStatus", status(systemCondVer, "confirmed"),
		"category", fhir.Array(fhir.Object("coding", fhir.Array(fhir.Object("system", systemCondCat, "code", "problem-list-item")))),
		"code", fhir.Concept(e.System, e.Code, e.Name, e.Name),
		"subject", subject(patientID),
		"onsetDateTime", e.Onset,
		"recordedDate", instant(now, r.zone(ctx, s)),
		"recorder", me(s),
		"note", noteOf(e.Note),
	))
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// EditProblem changes name, code, onset and note. version is the one that was on screen.
func (r *Record) EditProblem(ctx context.Context, s auth.Staff, patientID, id string, version int64, e ProblemEntry) error {
	if err := need(s, auth.ProblemWrite); err != nil {
		return err
	}
	if err := e.check(r); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, "Condition", id, version, func(n *fhirjson.Node) error {
		before, _ := readProblem(id, version, n)
		if before.Name != e.Name || before.Code != e.Code {
			n.Set("code", fhir.Concept(e.System, e.Code, e.Name, e.Name))
		}
		if before.Onset != e.Onset {
			for _, f := range [...]string{"onsetDateTime", "onsetString", "onsetPeriod", "onsetAge", "onsetRange"} {
				n.Delete(f)
			}
			setOrDelete(n, "onsetDateTime", e.Onset)
		}
		setNote(n, e.Note)
		return nil
	})
}

// ResolveProblem takes a problem off the active list as of a day (yyyy-mm-dd); with an
// empty day it puts it back.
func (r *Record) ResolveProblem(ctx context.Context, s auth.Staff, patientID, id string, version int64, on string) error {
	if err := need(s, auth.ProblemWrite); err != nil {
		return err
	}
	if err := day("resolved", on, r.db.Clock().Now()); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, "Condition", id, version, func(n *fhirjson.Node) error {
		for _, f := range [...]string{"abatementDateTime", "abatementString", "abatementPeriod", "abatementAge", "abatementRange"} {
			n.Delete(f)
		}
		if on == "" {
			n.Set("clinicalStatus", status(systemCondition, "active"))
			return nil
		}
		n.Set("clinicalStatus", status(systemCondition, "resolved"))
		n.Set("abatementDateTime", fhirjson.NewString(on))
		return nil
	})
}
