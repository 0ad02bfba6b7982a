package patient

import (
	"context"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Record is one record of a chart with the sensitivity marks it bears.
type Record struct {
	Type, ID string
	Version  int64
	Title    string // its name as written, "" when it has none
	Labels   int64
	Origin   fhirstore.Origin
	// Declassified says that a person took marks away: neither codes nor the visit bring them back.
	Declassified bool
	Chart        []string // names of the Restrictions of the whole chart
}

// Marks reads the marks of one record. A record of another patient, and one that the scope may not see, is not found.
func (d *Directory) Marks(ctx context.Context, s auth.Staff, patientID, typ, id string) (out Record, err error) {
	err = d.db.View(ctx, s, func(tx *db.Tx) error {
		r, o, err := d.marked(ctx, tx, patientID, typ, id)
		if err != nil {
			return err
		}
		out = Record{Type: typ, ID: id, Version: r.Version, Title: titleOf(r.Node()), Labels: r.Labels &^ auth.LabelDeclassified, Origin: o,
			Declassified: r.Labels&auth.LabelDeclassified != 0}
		chart, err := d.store.Read(ctx, tx, "Patient", patientID)
		if err != nil {
			return err
		}
		for _, x := range Restrictions {
			if chart.Labels&auth.LabelsNamed(x.Name) != 0 {
				out.Chart = append(out.Chart, x.Name)
			}
		}
		return nil
	})
	return out, err
}

// marked reads a record of one patient.
func (d *Directory) marked(ctx context.Context, tx *db.Tx, patientID, typ, id string) (*fhirstore.Resource, fhirstore.Origin, error) {
	none := fhir.Problem("not-found", "There is no such record in this chart.", "Go back to the chart.")
	if !fhir.IsResourceType(typ) || typ == "Patient" {
		return nil, fhirstore.Origin{}, none
	}
	r, err := d.store.Read(ctx, tx, typ, id)
	if err != nil {
		return nil, fhirstore.Origin{}, err
	}
	o, err := d.store.Origins(ctx, tx, r)
	if err == nil && o.Patient != patientID {
		err = none
	}
	return r, o, err
}

// Mark puts marks on a record, and on what was added to it when it is a note. Who may not see them loses sight of it at once;
// the store refuses marks that whoever puts them may not see.
func (d *Directory) Mark(ctx context.Context, s auth.Staff, patientID, typ, id string, version int64, names []string) error {
	if !s.Can(auth.LabelWrite) {
		return fhir.Problem("forbidden", "Your role may not mark records as sensitive.", "Ask a practice administrator for the right.")
	}
	labels := auth.LabelsNamed(names...)
	if labels == 0 {
		return fhir.Problem("required", "No mark was chosen.", "Choose at least one from the list.").At("label")
	}
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		r, _, err := d.marked(ctx, tx, patientID, typ, id)
		if err != nil {
			return err
		}
		if r.Version != version {
			return fhir.Problem("conflict", "This record was changed meanwhile. Nothing was marked.", "Look at it again, then mark it.")
		}
		more, err := d.additions(ctx, tx, r)
		if err != nil {
			return err
		}
		for _, r := range append(more, r) {
			if err := d.mark(ctx, tx, r, labels&^r.Labels); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *Directory) mark(ctx context.Context, tx *db.Tx, r *fhirstore.Resource, labels int64) error {
	if labels == 0 {
		return nil
	}
	tree := r.Node().Clone()
	meta, list := fhirjson.NewObject(), fhirjson.NewArray()
	if m := tree.Get("meta"); m != nil {
		meta = m.Clone()
	}
	if l := meta.Get("security"); l != nil {
		list = l.Clone()
	}
	for _, c := range auth.SecurityCodings(labels) {
		list.Append(coding(c[0], c[1]))
	}
	meta.Set("security", list)
	tree.Set("meta", meta)
	p, err := d.store.PrepareNode(ctx, &tree)
	if err == nil {
		_, err = d.store.Update(ctx, tx, p, r.Version)
	}
	return err
}

// additions are the addenda of a note: separate resources, which tell what the note tells.
func (d *Directory) additions(ctx context.Context, tx *db.Tx, r *fhirstore.Resource) ([]*fhirstore.Resource, error) {
	if r.Type != "DocumentReference" {
		return nil, nil
	}
	return d.store.Find(ctx, tx, "DocumentReference", "relatesto", "DocumentReference/"+r.ID)
}

// Unmark takes one mark away from a record and its addenda, with a reason that goes on record and must not name the patient.
func (d *Directory) Unmark(ctx context.Context, s auth.Staff, patientID, typ, id string, version int64, name, reason string) error {
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		r, _, err := d.marked(ctx, tx, patientID, typ, id)
		if err != nil {
			return err
		}
		label := auth.LabelsNamed(name)
		more, err := d.additions(ctx, tx, r)
		if err != nil {
			return err
		}
		if _, err = d.store.Unlabel(ctx, tx, typ, id, version, label, reason); err != nil {
			return err
		}
		for _, a := range more {
			if a.Labels&label != 0 {
				if _, err = d.store.Unlabel(ctx, tx, a.Type, a.ID, a.Version, label, reason); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// titleOf is the name of a record as its author wrote it.
func titleOf(n *fhirjson.Node) string {
	for _, path := range [][]string{{"description"}, {"code", "text"}, {"code", "coding", "display"}, {"medicationCodeableConcept", "text"},
		{"medicationCodeableConcept", "coding", "display"}, {"title"}, {"type", "text"}, {"type", "coding", "display"}} {
		if t := n.At(path...).Text(); t != "" {
			return t
		}
	}
	return ""
}
