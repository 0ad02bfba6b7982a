package clinical

import (
	"context"
	"errors"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Unsigned hands over the notes that nobody has signed yet, of the practice or of one patient, as Compositions of the status
// "preliminary" whose id is the draft's: they are no records, and belong to what a practice takes away all the same. Words that a window
// wrote after it had lost the pen, and nobody has looked at, stand in sections of their own. n is how many there were.
func (d *Drafts) Unsigned(ctx context.Context, s auth.System, patientID string, each func(raw []byte) error) (n int64, err error) {
	err = d.db.View(ctx, s, func(tx *db.Tx) error {
		var list []Draft
		var err error
		if patientID != "" {
			list, err = draftsOf(ctx, tx, patientID)
		} else {
			list, err = draftsOpen(ctx, tx)
		}
		for i := 0; i < len(list) && err == nil; i++ {
			var dr *Draft
			dr, err = readDraft(ctx, tx, list[i].ID, "")
			switch {
			case errors.Is(err, db.ErrNoRows):
				err = nil // it has no words
			case err == nil:
				c := dr.preliminary()
				n, err = n+1, each(c.AppendJSON(nil))
			}
		}
		return err
	})
	return n, err
}

func (dr *Draft) preliminary() fhirjson.Node {
	sections := dr.Text.sections()
	for _, o := range dr.Others {
		sections = append(sections, fhir.Object("title", "Written in another window by "+o.Name+", not looked at yet", "section", o.Text.sections()))
	}
	return fhir.Object(
		"resourceType", "Composition",
		"id", dr.ID,
		"status", "preliminary",
		"type", fhir.Concept(systemLOINC, dr.Type, dr.TypeName, ""),
		"subject", subject(dr.PatientID),
		"encounter", encounterRef(dr.EncounterID),
		"date", dr.Saved.Format("2006-01-02T15:04:05Z07:00"),
		"author", fhir.Array(fhir.Object("display", dr.Author)),
		"title", dr.Title,
		"section", sections,
	)
}
