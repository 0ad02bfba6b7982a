package clinical

import (
	"context"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// MedicationEntry is what a person fills in to put a medicine on the list: what the
// patient reports taking. Prescribing is not done here.
type MedicationEntry struct {
	Name   string
	System string // of Code; "" for free words
	Code   string
	Sig    string // how it is taken
	Start  string // yyyy, yyyy-mm or yyyy-mm-dd; "" when not known
	Reason string
	Note   string
}

func (e *MedicationEntry) check(r *Record) error {
	e.Name, e.Sig = strings.TrimSpace(e.Name), strings.TrimSpace(e.Sig)
	if e.Name == "" {
		return fhir.Problem("required", "The medicine has no name.", "Choose a medicine or write its name.").At("name")
	}
	return day("start", e.Start, r.db.Clock().Now())
}

// AddMedication puts a medicine the patient takes on the list as a MedicationStatement and
// returns its id. One that is already active under the same code or name is refused.
func (r *Record) AddMedication(ctx context.Context, s auth.Staff, patientID string, e MedicationEntry) (string, error) {
	if err := need(s, auth.MedicationWrite); err != nil {
		return "", err
	}
	if err := e.check(r); err != nil {
		return "", err
	}
	c, err := r.Chart(ctx, s, patientID)
	if err != nil {
		return "", err
	}
	for _, m := range c.Medications {
		if m.Active() && (e.Code != "" && m.Code == e.Code || strings.EqualFold(m.Name, e.Name)) {
			return "", fhir.Problem("duplicate", "“"+m.Name+"” is already on the medication list.", "Edit that entry instead.").At("name")
		}
	}
	var period, dosage, reason fhirjson.Node
	if e.Start != "" {
		period = fhir.Object("start", e.Start)
	}
	if e.Sig != "" {
		dosage = fhir.Array(fhir.Object("text", e.Sig))
	}
	if e.Reason != "" {
		reason = fhir.Array(fhir.Object("text", e.Reason))
	}
	ids, err := r.add(ctx, s, patientID, fhir.Object(
		"resourceType", "MedicationStatement",
		"status", "active",
		"medicationCodeableConcept", fhir.Concept(e.System, e.Code, e.Name, e.Name),
		"subject", subject(patientID),
		"effectivePeriod", period,
		"dateAsserted", instant(r.db.Clock().Now(), r.zone(ctx, s)),
		"informationSource", me(s),
		"reasonCode", reason,
		"note", noteOf(e.Note),
		"dosage", dosage,
	))
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// EditMedication changes a line of the list. An order (MedicationRequest) keeps what was
// ordered: only its note may change here.
func (r *Record) EditMedication(ctx context.Context, s auth.Staff, patientID, typ, id string, version int64, e MedicationEntry) error {
	if err := need(s, auth.MedicationWrite); err != nil {
		return err
	}
	if err := e.check(r); err != nil {
		return err
	}
	if err := medicationType(typ); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, typ, id, version, func(n *fhirjson.Node) error {
		before, _ := readMedication(typ, id, version, n)
		setNote(n, e.Note)
		if typ == "MedicationRequest" {
			if e.Name != before.Name || e.Sig != before.Sig {
				return fhir.Problem("business-rule", "An order cannot be rewritten.", "Stop it and enter the new one.").At("name")
			}
			return nil
		}
		if e.Name != before.Name || e.Code != before.Code {
			n.Delete("medicationReference")
			n.Set("medicationCodeableConcept", fhir.Concept(e.System, e.Code, e.Name, e.Name))
		}
		if e.Sig != before.Sig {
			n.Delete("dosage")
			if e.Sig != "" {
				n.Set("dosage", fhir.Array(fhir.Object("text", e.Sig)))
			}
		}
		if e.Start != before.Start {
			n.Delete("effectiveDateTime")
			p := fhir.Object("start", e.Start, "end", before.End)
			if p.Len() == 0 {
				n.Delete("effectivePeriod")
			} else {
				n.Set("effectivePeriod", p)
			}
		}
		if e.Reason != before.Reason {
			n.Delete("reasonReference")
			n.Delete("reasonCode")
			if e.Reason != "" {
				n.Set("reasonCode", fhir.Array(fhir.Object("text", e.Reason)))
			}
		}
		return nil
	})
}

// StopMedication ends a medicine as of today with a reason; resume puts a stopped
// statement back on the list. A stopped order is not resumed: it is ordered again.
func (r *Record) StopMedication(ctx context.Context, s auth.Staff, patientID, typ, id string, version int64, why string, resume bool) error {
	if err := need(s, auth.MedicationWrite); err != nil {
		return err
	}
	if err := medicationType(typ); err != nil {
		return err
	}
	today := r.db.Clock().Now().In(r.zone(ctx, s)).Format("2006-01-02")
	return r.change(ctx, s, patientID, typ, id, version, func(n *fhirjson.Node) error {
		if resume {
			if typ == "MedicationRequest" {
				return fhir.Problem("business-rule", "A stopped order cannot be taken up again.", "Enter the medicine anew.")
			}
			n.Set("status", fhirjson.NewString("active"))
			n.Delete("statusReason")
			if p := n.Get("effectivePeriod"); p != nil {
				p.Delete("end")
			}
			return nil
		}
		n.Set("status", fhirjson.NewString("stopped"))
		if why != "" {
			reason := fhir.Object("text", why)
			if typ == "MedicationStatement" {
				n.Set("statusReason", fhir.Array(reason))
			} else {
				n.Set("statusReason", reason)
			}
		}
		if typ == "MedicationStatement" {
			start := n.At("effectivePeriod", "start").Text()
			if start == "" {
				start = n.Get("effectiveDateTime").Text()
			}
			if len(start) >= 10 && start[:10] > today {
				start = ""
			}
			n.Delete("effectiveDateTime")
			n.Set("effectivePeriod", fhir.Object("start", start, "end", today))
		}
		return nil
	})
}

func medicationType(typ string) error {
	if typ == "MedicationRequest" || typ == "MedicationStatement" {
		return nil
	}
	return fhir.Problem("value", "This is not a line of the medication list.", "Open the chart again and choose the medicine.")
}
