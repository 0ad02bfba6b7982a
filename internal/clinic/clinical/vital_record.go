package clinical

import (
	"context"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Unaccepted is the answer to a reading that cannot be stored as it is.
type Unaccepted struct {
	Refused map[string]string // by field: what is impossible and why
	Doubts  []Doubt           // unlikely values to confirm, when nothing was refused
}

// Error says that something has to be looked at; screens show the fields.
func (u *Unaccepted) Error() string {
	if len(u.Refused) > 0 {
		return "Some values cannot be stored. Correct the marked fields."
	}
	return "Some values are very unusual. Confirm them or correct them."
}

// RecordVitals stores a reading as US Core vital-sign Observations in one transaction and
// returns their ids. An *Unaccepted error lists what to correct or confirm; nothing was
// stored then.
func (r *Record) RecordVitals(ctx context.Context, s auth.Staff, patientID string, in Reading) ([]string, error) {
	if err := need(s, auth.VitalsWrite); err != nil {
		return nil, err
	}
	now := r.db.Clock().Now()
	if in.When.IsZero() {
		in.When = now
	}
	if in.When.After(now.Add(5 * time.Minute)) {
		return nil, &Unaccepted{Refused: map[string]string{"when": "The time lies in the future."}}
	}
	c, err := r.Chart(ctx, s, patientID)
	if err != nil {
		return nil, err
	}
	entries, doubts, refused := in.Check(c.lastVital)
	if len(refused) > 0 {
		return nil, &Unaccepted{Refused: refused}
	}
	if len(entries) == 0 {
		return nil, &Unaccepted{Refused: map[string]string{"systolic": "Enter at least one value."}}
	}
	if len(doubts) > 0 {
		return nil, &Unaccepted{Doubts: doubts}
	}
	adult := isAdult(c.Patient.BirthDate, in.When)
	when := instant(in.When, r.zone(ctx, s))
	var nodes []fhirjson.Node
	var pressure []Entry
	for _, e := range entries {
		if e.Vital.Key == "systolic" || e.Vital.Key == "diastolic" {
			pressure = append(pressure, e)
			continue
		}
		n := vitalNode(s, patientID, in.Encounter, when, vitalConcept(e.Vital))
		n.Set("valueQuantity", fhir.Amount(e.Value, unitShown(e), e.Unit))
		interpret(&n, e, adult)
		nodes = append(nodes, n)
	}
	if len(pressure) == 2 {
		n := vitalNode(s, patientID, in.Encounter, when, fhir.Concept(systemLOINC, loincBP, "Blood pressure panel with all children optional", "Blood pressure"))
		var parts []fhirjson.Node
		for _, e := range pressure {
			part := fhir.Object("code", vitalConcept(e.Vital), "valueQuantity", fhir.Amount(e.Value, unitShown(e), e.Unit))
			interpret(&part, e, adult)
			parts = append(parts, part)
		}
		n.Set("component", fhir.Array(parts...))
		nodes = append(nodes, n)
	}
	return r.add(ctx, s, patientID, nodes...)
}

func vitalNode(s auth.Staff, patientID, encounter, when string, code fhirjson.Node) fhirjson.Node {
	var visit fhirjson.Node
	if encounter != "" {
		visit = fhir.RefTo("Encounter/"+encounter, "")
	}
	return fhir.Object(
		"resourceType", "Observation",
		"status", "final",
		"category", fhir.Array(fhir.Object("coding", fhir.Array(fhir.Object("system", systemCategory, "code", "vital-signs", "display", "Vital Signs")))),
		"code", code,
		"subject", subject(patientID),
		"encounter", visit,
		"effectiveDateTime", when,
		"performer", fhir.Array(me(s)),
	)
}

// vitalConcept codes a vital sign. US Core asks for both codes of oxygen saturation by pulse oximetry.
func vitalConcept(v Vital) fhirjson.Node {
	codings := []fhirjson.Node{fhir.Object("system", systemLOINC, "code", v.LOINC, "display", v.Name)}
	if v.Key == "spo2" {
		codings = append(codings, fhir.Object("system", systemLOINC, "code", loincSpO2Plain, "display", v.Name))
	}
	return fhir.Object("coding", codings, "text", v.Name)
}

// interpret writes the flag next to the value it was computed from, so that every reader sees the same one.
func interpret(n *fhirjson.Node, e Entry, adult bool) {
	f := e.Vital.flag(e.Num, adult)
	if f == Normal {
		return
	}
	words := map[Flag]string{High: "High", Low: "Low", CriticalHigh: "Critical high", CriticalLow: "Critical low"}
	n.Set("interpretation", fhir.Array(fhir.Concept(systemInterpret, string(f), words[f], "")))
}

func unitShown(e Entry) string {
	if e.Unit == e.Vital.Unit {
		return e.Vital.Show
	}
	if e.Unit == "Cel" {
		return "°C"
	}
	return e.Unit
}

// lastVital is the newest number of a vital sign in its own unit.
func (c *Chart) lastVital(key string) (float64, bool) {
	for _, row := range c.Vitals.Rows {
		if row.Key != key {
			continue
		}
		for _, cell := range row.Cells {
			if cell.Text != "" && cell.Numeric && !cell.Wrong {
				return cell.Num, true
			}
		}
	}
	if n, ok := c.heights[key]; ok {
		return n, true
	}
	return 0, false
}

// isAdult reports whether the patient was 18 on that day; an unknown birth date counts as adult.
func isAdult(birth string, on time.Time) bool {
	if len(birth) < 4 {
		return true
	}
	for len(birth) < 10 {
		birth += "-01"[:min(3, 10-len(birth))]
	}
	b, err := time.Parse("2006-01-02", strings.TrimSpace(birth))
	return err != nil || !b.AddDate(18, 0, 0).After(on)
}
