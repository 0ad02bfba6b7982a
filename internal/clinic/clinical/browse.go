package clinical

import (
	"context"
	"encoding/base64"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// Timeline is one page of a patient's history, newest first.
type Timeline struct {
	Events []Event
	Next   string // sealed cursor of the next page; "" at the start of the record
}

// Timeline reads a page of at least n events before the cursor ("" for the newest), as far
// as there are any. A page ends where a day ends, so that no day is torn apart.
func (r *Record) Timeline(ctx context.Context, s db.Scope, patientID string, kind EventKind, cursor string, n int) (*Timeline, error) {
	types := typesOf(kind)
	if len(types) == 0 {
		return nil, fhir.Problem("value", "The timeline has no such kind of entry.", "Choose one of the filters shown.")
	}
	zone := r.zone(ctx, s)
	out := &Timeline{}
	err := r.db.View(ctx, s, func(tx *db.Tx) error {
		if _, err := r.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		before, err := openDay(tx, patientID, cursor)
		if err != nil {
			return err
		}
		out.Events = out.Events[:0]
		var floor time.Time // older events than this may be missing
		for _, typ := range types {
			list, more, err := r.before(ctx, tx, typ, patientID, before, n)
			if err != nil {
				return err
			}
			for i, res := range list {
				e, ok := readEvent(typ, res.ID, res.Node(), zone)
				if ok {
					out.Events = append(out.Events, e)
				}
				if more && i == len(list)-1 {
					if at := e.When; at.After(floor) {
						floor = at
					}
				}
			}
		}
		newestEvents(out.Events)
		out.cut(n, floor, zone)
		if out.Next != "" {
			out.Next = sealDay(tx, patientID, out.Next)
		}
		return nil
	})
	return out, err
}

// cut ends the page at the end of a day: after n events, and above floor. Next is then the
// first day that was not shown whole, exclusive bound of the next page.
func (t *Timeline) cut(n int, floor time.Time, zone *time.Location) {
	day := func(at time.Time) string { return at.In(zone).Format("2006-01-02") }
	end := len(t.Events)
	for i := range t.Events {
		if i > 0 && day(t.Events[i].When) != day(t.Events[i-1].When) && (i >= n || !floor.IsZero() && day(t.Events[i].When) <= day(floor)) {
			end = i
			break
		}
	}
	if end == len(t.Events) && floor.IsZero() || end == 0 {
		return
	}
	t.Next = day(t.Events[end-1].When)
	t.Events = t.Events[:end]
}

// before reads the newest n resources of a type before a day.
func (r *Record) before(ctx context.Context, tx *db.Tx, typ, patientID string, before string, n int) (list []*fhirstore.Resource, more bool, err error) {
	form := map[string][]string{"patient": {"Patient/" + patientID}}
	if before != "" {
		form[dateParam(typ)] = []string{"lt" + before}
	}
	q, issues := fhirsearch.ParseQuery(typ, form)
	if err := issues.Err(); err != nil {
		return nil, false, err
	}
	q.Count = n
	page, err := r.store.Search(ctx, tx, q)
	if err != nil {
		return nil, false, err
	}
	return page.Resources, page.Next != "", nil
}

func dateParam(typ string) string {
	switch typ {
	case "Condition":
		return "onset-date"
	case "MedicationRequest":
		return "authoredon"
	}
	return "date"
}

func sealDay(tx *db.Tx, patientID, day string) string {
	return base64.RawURLEncoding.EncodeToString(tx.Keys().Seal(nil, []byte(day), []byte("timeline|"+patientID)))
}

func openDay(tx *db.Tx, patientID, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		raw, err = tx.Keys().Open(nil, raw, []byte("timeline|"+patientID))
	}
	if err != nil {
		return "", fhir.Problem("value", "This link to older entries is no longer good.", "Go back to the top of the timeline.").Because(err)
	}
	return string(raw), nil
}

// Trend reads the whole course of the test that an Observation of the patient belongs to:
// one series, or one for each component of a panel such as a blood pressure.
func (r *Record) Trend(ctx context.Context, s db.Scope, patientID, observationID string) ([]Series, error) {
	zone := r.zone(ctx, s)
	var out []Series
	err := r.db.View(ctx, s, func(tx *db.Tx) error {
		who, err := r.store.Read(ctx, tx, "Patient", patientID)
		if err != nil {
			return err
		}
		birth := who.Node().Get("birthDate").Text()
		first, err := r.store.Read(ctx, tx, "Observation", observationID)
		if err != nil {
			return err
		}
		if !about(first.Node(), patientID) {
			return otherPatient()
		}
		system, code := fhir.ConceptCode(first.Node().Get("code"), systemLOINC)
		params := []string{"patient", "Patient/" + patientID}
		if code != "" {
			params = append(params, "code", system+"|"+code)
		}
		same, err := r.store.Find(ctx, tx, "Observation", params...)
		if err != nil {
			return err
		}
		var list []observation
		want := readObservation(first.ID, first.Version, first.Node(), zone, true)
		for _, res := range same {
			o := readObservation(res.ID, res.Version, res.Node(), zone, isAdult(birth, effective(res.Node(), zone)))
			if sameTest(&o) == sameTest(&want) {
				list = append(list, o)
			}
		}
		out = nil
		if want.Value != "" || len(want.parts) == 0 {
			out = append(out, seriesOf(list))
			return nil
		}
		for _, part := range want.parts {
			out = append(out, seriesOf(withPart(list, part.Code)))
		}
		return nil
	})
	return out, err
}

// vitalCodes lists the codes of vital signs.
func vitalCodes() []string {
	codes := []string{loincBP, loincPanel, loincSpO2Plain}
	for _, v := range vitals {
		if v.LOINC != "" {
			codes = append(codes, v.LOINC)
		}
	}
	return codes
}

// Vitals reads a wider flowsheet than the chart's: the newest columns up to n.
func (r *Record) Vitals(ctx context.Context, s db.Scope, patientID string, n int) (Flowsheet, error) {
	zone := r.zone(ctx, s)
	var out Flowsheet
	err := r.db.View(ctx, s, func(tx *db.Tx) error {
		who, err := r.store.Read(ctx, tx, "Patient", patientID)
		if err != nil {
			return err
		}
		birth := who.Node().Get("birthDate").Text()
		// One look a code: patient, code and date lie in one key, which the store walks newest first. A category, or all codes in
		// one query, would be looked for among everything ever observed.
		var list []observation
		for _, code := range vitalCodes() {
			q, issues := fhirsearch.ParseQuery("Observation", map[string][]string{"patient": {"Patient/" + patientID}, "code": {code}, "_sort": {"-date"}})
			if err := issues.Err(); err != nil {
				return err
			}
			q.Count = n
			page, err := r.store.Search(ctx, tx, q)
			if err != nil {
				return err
			}
			for _, res := range page.Resources {
				list = append(list, readObservation(res.ID, res.Version, res.Node(), zone, isAdult(birth, effective(res.Node(), zone))))
			}
		}
		out = flowsheetOf(list, n)
		return nil
	})
	return out, err
}

// Notes lists the signed notes and documents of a patient, newest first, addenda left to
// the notes they belong to.
func (r *Record) Notes(ctx context.Context, s db.Scope, patientID string, n int) ([]Note, error) {
	zone := r.zone(ctx, s)
	var out []Note
	err := r.db.View(ctx, s, func(tx *db.Tx) error {
		if _, err := r.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		list, _, err := r.before(ctx, tx, "DocumentReference", patientID, "", n)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, res := range list {
			doc := res.Node()
			if doc.At("relatesTo", "code").Text() == "appends" || doc.Get("status").Text() == "superseded" {
				continue
			}
			out = append(out, noteHead(res.ID, res.Version, doc, zone))
		}
		return nil
	})
	return out, err
}
