package clinical_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/standards/fhir"
)

var ctx = context.Background()

func furnish(t *testing.T, d *dbtest.DB) *clinictest.Practice {
	t.Helper()
	p := clinictest.Furnish(t, d)
	p.Patient(t, "ann", "Ash", "Ann", "1968-03-14", "female", "1001")
	p.Patient(t, "ben", "Birch", "Ben", "2019-03-14", "male", "1002")
	return p
}

func chart(t *testing.T, p *clinictest.Practice, id string) *clinical.Chart {
	t.Helper()
	c, err := p.Record.Chart(ctx, p.Doctor, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func code(err error) string {
	var i *fhir.Issue
	if errors.As(err, &i) {
		return i.Code
	}
	return fmt.Sprint(err)
}

func TestAllergyStates(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		if s := chart(t, p, "ann").Allergies.State; s != clinical.AllergiesNotAsked {
			t.Fatalf("nothing recorded is %v, want not asked", s)
		}
		if err := p.Record.DenyAllergies(ctx, p.Nurse, "ann"); err != nil {
			t.Fatal(err)
		}
		a := chart(t, p, "ann").Allergies
		if a.State != clinical.NoKnownAllergies || a.NoneBy != "Noor Vale, RN" || a.NoneOn == "" {
			t.Fatalf("denied: %+v", a)
		}
		first := a.NoneID
		if err := p.Record.DenyAllergies(ctx, p.Doctor, "ann"); err != nil {
			t.Fatal(err)
		}
		if a = chart(t, p, "ann").Allergies; a.NoneID != first || a.NoneBy != "Amara Quill, MD" {
			t.Errorf("asked again: %+v", a)
		}
		id, err := p.Record.AddAllergy(ctx, p.Doctor, "ann", clinical.AllergyEntry{Substance: "Penicillin V", System: "http://www.nlm.nih.gov/research/umls/rxnorm", Code: "7984", Reaction: "Hives, wheezing", Severity: "severe"})
		if err != nil {
			t.Fatal(err)
		}
		a = chart(t, p, "ann").Allergies
		if a.State != clinical.AllergiesListed || len(a.List) != 1 || !a.List[0].Severe() || a.List[0].Reaction != "Hives, wheezing" || a.NoneID != "" {
			t.Fatalf("listed: %+v", a)
		}
		if err := p.Record.DenyAllergies(ctx, p.Doctor, "ann"); code(err) != "business-rule" {
			t.Errorf("denied with a list on record: %v", err)
		}
		if _, err := p.Record.AddAllergy(ctx, p.Doctor, "ann", clinical.AllergyEntry{Substance: "penicillin v"}); code(err) != "duplicate" {
			t.Errorf("the same substance twice: %v", err)
		}
		if err := p.Record.MarkWrong(ctx, p.Doctor, "ann", "AllergyIntolerance", id, a.List[0].Version); err != nil {
			t.Fatal(err)
		}
		a = chart(t, p, "ann").Allergies
		if a.State != clinical.AllergiesNotAsked || len(a.Past) != 1 {
			t.Errorf("after the only one was wrong the question is open again: %+v", a)
		}
		if _, err := p.Record.AddAllergy(ctx, p.Biller, "ann", clinical.AllergyEntry{Substance: "Latex"}); code(err) != "forbidden" {
			t.Errorf("a biller wrote an allergy: %v", err)
		}
	})
}

func TestEditKeepsWhatNobodyKnows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		p.Put(t, `{"resourceType":"Condition","id":"c1","extension":[{"url":"http://example.org/x","valueDecimal":1.50}],
			"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},
			"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"I10","display":"Essential (primary) hypertension"}],"text":"High blood pressure"},
			"subject":{"reference":"Patient/ann"},"onsetDateTime":"2009"}`)
		q := chart(t, p, "ann").Problems[0]
		if q.Name != "High blood pressure" || q.Code != "I10" || q.Onset != "2009" {
			t.Fatalf("%+v", q)
		}
		if err := p.Record.EditProblem(ctx, p.Doctor, "ann", "c1", q.Version, clinical.ProblemEntry{Name: q.Name, System: q.System, Code: q.Code, Onset: "2009-04", Note: "Father too"}); err != nil {
			t.Fatal(err)
		}
		raw := string(p.Read(t, "Condition", "c1").Raw)
		for _, want := range []string{`"valueDecimal":1.50`, `"onsetDateTime":"2009-04"`, `"display":"Essential (primary) hypertension"`, "Father too"} {
			if !strings.Contains(raw, want) {
				t.Errorf("%s is missing in %s", want, raw)
			}
		}
		if err := p.Record.EditProblem(ctx, p.Doctor, "ann", "c1", q.Version, clinical.ProblemEntry{Name: q.Name}); code(err) != "conflict" {
			t.Errorf("an edit of an old version: %v", err)
		}
		if err := p.Record.ResolveProblem(ctx, p.Doctor, "ben", "c1", 0, "2026-03-01"); code(err) != "conflict" {
			t.Errorf("another patient's problem: %v", err)
		}
		q = chart(t, p, "ann").Problems[0]
		if err := p.Record.ResolveProblem(ctx, p.Doctor, "ann", "c1", q.Version, "2026-03-01"); err != nil {
			t.Fatal(err)
		}
		if q = chart(t, p, "ann").Problems[0]; q.Active() || q.Resolved != "2026-03-01" {
			t.Errorf("resolved: %+v", q)
		}
	})
}

func TestMedicationLine(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		id, err := p.Record.AddMedication(ctx, p.Nurse, "ann", clinical.MedicationEntry{Name: "Metformin", Sig: "500 mg twice daily", Start: "2014"})
		if err != nil {
			t.Fatal(err)
		}
		m := chart(t, p, "ann").Medications[0]
		if m.Name != "Metformin" || m.Sig != "500 mg twice daily" || !m.Active() || m.Start != "2014" {
			t.Fatalf("%+v", m)
		}
		if err := p.Record.StopMedication(ctx, p.Nurse, "ann", m.Kind, id, m.Version, "Diarrhea", false); err != nil {
			t.Fatal(err)
		}
		m = chart(t, p, "ann").Medications[0]
		if m.Active() || m.End != "2026-03-02" {
			t.Errorf("stopped: %+v", m)
		}
		if err := p.Record.StopMedication(ctx, p.Nurse, "ann", m.Kind, id, m.Version, "", true); err != nil {
			t.Fatal(err)
		}
		if m = chart(t, p, "ann").Medications[0]; !m.Active() || m.End != "" {
			t.Errorf("taken up again: %+v", m)
		}
	})
}

func TestVitalsAreStoredAsTyped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		_, err := p.Record.RecordVitals(ctx, p.Nurse, "ann", clinical.Reading{Values: map[string]string{
			"systolic": "152", "diastolic": "91", "hr": "78", "temp": "37.0", "weight": "188.40", "height": "65", "spo2": "97"},
			Units: map[string]string{"temp": "Cel"}})
		if err != nil {
			t.Fatal(err)
		}
		c := chart(t, p, "ann")
		got := map[string]string{}
		for _, r := range c.Vitals.Rows {
			got[r.Key] = r.Cells[0].Text + string(r.Cells[0].Flag)
		}
		for k, want := range map[string]string{"bp": "152/91H", "hr": "78", "temp": "98.6", "weight": "188.40", "height": "65", "spo2": "97", "bmi": "31.4H"} {
			if got[k] != want {
				t.Errorf("%s = %q, want %q", k, got[k], want)
			}
		}
		raw := ""
		for _, r := range p.Find(t, "Observation", "patient", "Patient/ann", "code", "8310-5") {
			raw = string(r.Raw)
		}
		if !strings.Contains(raw, `"value":37.0`) || !strings.Contains(raw, `"code":"Cel"`) {
			t.Errorf("the temperature was not kept as typed: %s", raw)
		}
		// A weight in the wrong unit is noticed, a confirmed one is taken.
		in := clinical.Reading{When: d.Clock.Now().Add(time.Minute), Values: map[string]string{"weight": "85.5"}}
		_, err = p.Record.RecordVitals(ctx, p.Nurse, "ann", in)
		var no *clinical.Unaccepted
		if !errors.As(err, &no) || len(no.Doubts) != 1 {
			t.Fatalf("a lost kilogram unit: %v", err)
		}
		in.Confirmed = []string{no.Doubts[0].Token}
		if _, err = p.Record.RecordVitals(ctx, p.Nurse, "ann", in); err != nil {
			t.Errorf("confirmed: %v", err)
		}
		c = chart(t, p, "ann")
		cell := c.Vitals.Rows[len(c.Vitals.Rows)-1].Cells[0]
		for _, r := range c.Vitals.Rows {
			if r.Key == "weight" {
				cell = r.Cells[0]
			}
		}
		if err := p.Record.MarkWrong(ctx, p.Nurse, "ann", "Observation", cell.ID, cell.Version); err != nil {
			t.Fatal(err)
		}
		for _, r := range chart(t, p, "ann").Vitals.Rows {
			if r.Key == "weight" && (!r.Cells[0].Wrong || r.Cells[1].Wrong) {
				t.Errorf("entered in error: %+v", r.Cells)
			}
		}
	})
}

func lab(id, patient, loinc, name, value, unit, when, low, high string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],
		"code":{"coding":[{"system":"http://loinc.org","code":%q}],"text":%q},"subject":{"reference":"Patient/%s"},"effectiveDateTime":%q,
		"valueQuantity":{"value":%s,"unit":%q},"referenceRange":[{"low":{"value":%s},"high":{"value":%s}}]}`, id, loinc, name, patient, when, value, unit, low, high)
}

func TestResultsAndReview(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		p.Put(t,
			lab("k1", "ann", "2823-3", "Potassium", "4.6", "mmol/L", "2025-05-20T09:00:00Z", "3.5", "5.1"),
			lab("k2", "ann", "2823-3", "Potassium", "5.0", "mmol/L", "2025-11-20T09:00:00Z", "3.5", "5.1"),
			strings.Replace(lab("k3", "ann", "2823-3", "Potassium", "6.1", "mmol/L", "2026-03-01T20:48:00Z", "3.5", "5.1"), `"status":"final",`,
				`"status":"final","interpretation":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"HH"}]}],`, 1),
			lab("t1", "ann", "3016-3", "TSH", "2.20", "mIU/L", "2025-05-12", "0.4", "4.5"),
			lab("b1", "ben", "3016-3", "TSH", "9.9", "mIU/L", "2026-03-01", "0.4", "4.5"),
		)
		c := chart(t, p, "ann")
		if len(c.Results) != 2 {
			t.Fatalf("results: %+v", c.Results)
		}
		k := c.Results[0]
		if k.Value != "6.1" || k.Flag != clinical.CriticalHigh || k.Previous != "5.0" || k.Change != 1 || len(k.Trend) != 3 || k.Trend[1].Value != "5.0" || k.Ref != "3.5–5.1" || !k.New {
			t.Errorf("potassium: %+v", k)
		}
		if c.Results[1].Value != "2.20" || c.Results[1].New {
			t.Errorf("TSH: %+v", c.Results[1])
		}
		if len(c.Critical) != 1 || c.NewResults != 1 {
			t.Fatalf("critical: %+v", c.Critical)
		}
		if _, err := p.Record.ReviewResults(ctx, p.Doctor, "ann", []string{"b1"}); code(err) != "conflict" {
			t.Errorf("another patient's result: %v", err)
		}
		task, err := p.Record.ReviewResults(ctx, p.Doctor, "ann", []string{"k3"})
		if err != nil {
			t.Fatal(err)
		}
		if c = chart(t, p, "ann"); len(c.Critical) != 0 || c.NewResults != 0 || !strings.HasPrefix(c.Results[0].Reviewed, "Amara Quill, MD") {
			t.Errorf("after review: %+v", c.Results[0])
		}
		if err := p.Record.Unreview(ctx, p.Doctor, "ann", task); err != nil {
			t.Fatal(err)
		}
		if c = chart(t, p, "ann"); len(c.Critical) != 1 {
			t.Error("putting a review back did not bring the alert back")
		}
		s, err := p.Record.Trend(ctx, p.Doctor, "ann", "k1")
		if err != nil || len(s) != 1 || len(s[0].Points) != 3 || s[0].Points[2].Value != "6.1" {
			t.Errorf("trend: %+v %v", s, err)
		}
	})
}

func TestTimelinePages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		var raw []string
		for i := range 90 {
			at := time.Date(2020, 1, 1, 15, 0, 0, 0, time.UTC).AddDate(0, 0, i*7)
			raw = append(raw, fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"},"period":{"start":%q}}`, i, at.Format(time.RFC3339)))
			if i%3 == 0 {
				raw = append(raw, fmt.Sprintf(`{"resourceType":"Procedure","id":"p%d","status":"completed","code":{"text":"Spirometry"},"subject":{"reference":"Patient/ann"},"performedDateTime":%q}`, i, at.Format("2006-01-02")))
			}
		}
		p.Put(t, raw...)
		seen := map[string]bool{}
		last := time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
		cursor, pages := "", 0
		for {
			tl, err := p.Record.Timeline(ctx, p.Doctor, "ann", "", cursor, 40)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, e := range tl.Events {
				if seen[e.Type+e.ID] {
					t.Errorf("%s twice", e.ID)
				}
				seen[e.Type+e.ID] = true
				if e.When.After(last) {
					t.Errorf("%s is out of order", e.ID)
				}
				last = e.When
			}
			if tl.Next == "" {
				break
			}
			cursor = tl.Next
		}
		if len(seen) != 120 || pages < 3 {
			t.Errorf("%d events on %d pages", len(seen), pages)
		}
		tl, err := p.Record.Timeline(ctx, p.Doctor, "ann", clinical.ProcedureEvent, "", 40)
		if err != nil || len(tl.Events) != 30 || tl.Next != "" {
			t.Errorf("procedures: %d, %v", len(tl.Events), err)
		}
	})
}

// TestVitalsAreInTheTable: limits and units of vital signs stand in one place.
func TestVitalsAreInTheTable(t *testing.T) {
	for _, v := range clinical.Vitals() {
		if v.Unit == "" || v.Show == "" || v.Max <= v.Min || v.DoubtLow < v.Min || v.DoubtHigh > v.Max {
			t.Errorf("%+v", v)
		}
	}
}
